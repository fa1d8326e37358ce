//! TLS between nodes: one place for its settings, which `tls://`, `wss://` and QUIC share.
//!
//! Only TLS 1.3, both sides with the certificate of their node key, no resumption, no early data; `docs/security.md` has the list and the
//! reasons. What a handshake leaves behind is [`Carrier::Channel`]: the peer's key, and a value that names this channel and no other.

mod certificate;
mod signer;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

pub(crate) use certificate::peer_key;
pub(crate) use verify::NodeCertificateError;

use signer::NodeSigner;
use verify::NodeVerifier;

use crate::keys::{Keypair, PublicKey};
use crate::link::Carrier;
use crate::shell::cpu::has_aes;

/// What nodes speak inside the channel (RFC 7301), so that it is mistaken for nothing else. `quic://` says the same.
pub(crate) const ALPN: &[u8] = b"pinecone";
/// Label of the channel binding (RFC 9266 §2), with an empty context.
pub(crate) const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The TLS settings of this node, made once.
#[derive(Clone, Debug)]
pub(crate) struct NodeTls {
    provider: Arc<CryptoProvider>,
    identity: Arc<SingleCertAndKey>,
    server: Arc<ServerConfig>,
}

/// Why there is no TLS: a fault of ours or of the libraries, as nothing in it comes from outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeTlsError {
    /// No certificate.
    #[error("cannot make the node's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The settings contradict each other.
    #[error("cannot set up TLS: {0}")]
    Settings(#[from] rustls::Error),
}

impl NodeTls {
    /// Makes the certificate of this key and the settings around it.
    ///
    /// # Errors
    /// None is expected.
    pub(crate) fn new(keypair: Arc<Keypair>) -> Result<Self, NodeTlsError> {
        let provider = Arc::new(provider());
        let certificate = certificate::make(&keypair)?;
        let certified = CertifiedKey::new(vec![certificate], Arc::new(NodeSigner(keypair)));
        let identity = Arc::new(SingleCertAndKey::from(certified));
        let server = Arc::new(server_config(Arc::clone(&provider), Arc::clone(&identity))?);
        Ok(Self { provider, identity, server })
    }

    /// For dialling a node: any node, or only the one with this key.
    ///
    /// # Errors
    /// None is expected.
    pub(crate) fn client_config(&self, pin: Option<PublicKey>) -> Result<Arc<ClientConfig>, NodeTlsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NodeVerifier { pin }))
            .with_client_cert_resolver(Arc::clone(&self.identity) as _);
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session is not proven anew by either key, and its ticket names the client to whoever listens.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(Arc::new(config))
    }

    /// For nodes that dial us.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

/// What the channel says of the peer, after the handshake: `certificates` are the peer's, `export` exports keying material of 32 bytes under a
/// label and an empty context. `None` if the other side is not a node, or has not finished the handshake.
pub(crate) fn channel(
    certificates: &[CertificateDer<'_>],
    export: impl FnOnce(&mut [u8; 32], &[u8]) -> bool,
) -> Option<Carrier> {
    let key = peer_key(certificates)?;
    let mut binding = [0; 32];
    export(&mut binding, BINDING_LABEL).then_some(Carrier::Channel { key, binding })
}

fn server_config(
    provider: Arc<CryptoProvider>,
    identity: Arc<SingleCertAndKey>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(NodeVerifier { pin: None }))
        .with_cert_resolver(identity as _);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The algorithms, best first. The client's order counts. AES-128, because what it carries is encrypted end to end once more, and QUIC
/// cannot do without it; where the processor has no AES, ChaCha20 is faster. X25519 with ML-KEM-768 keeps what is recorded today from
/// tomorrow's quantum computers (draft-ietf-tls-ecdhe-mlkem).
fn provider() -> CryptoProvider {
    let mut cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    if !has_aes() {
        cipher_suites.rotate_right(1);
    }
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() }
}
