//! TLS between nodes: one place for its settings, which `tls://`, `wss://` and QUIC share.
//!
//! Only TLS 1.3, both sides with the certificate of their node key, no resumption, no early data; `docs/security.md` has the list and the
//! reasons. What a handshake leaves behind is [`Carrier::Channel`]: the peer's key, and a value that names this channel and no other.

mod certificate;
pub(crate) mod fuzz_body;
mod signer;
mod stream;
#[cfg(test)]
mod tests;
mod verify;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

pub(crate) use certificate::peer_key;
pub(crate) use stream::{Channel, TlsError};
pub(crate) use verify::NodeCertificateError;
pub(crate) use web::RootsError;

use signer::{NodeSigner, OnlyToNodes};
use verify::NodeVerifier;
use web::WebVerifier;

use crate::keys::{Keypair, PublicKey};
use crate::link::Carrier;
use crate::shell::cpu::has_aes;

/// What nodes speak inside the channel (RFC 7301), so that it is mistaken for nothing else. `quic://` says the same.
pub(crate) const ALPN: &[u8] = b"pinecone";
/// What goes through the channel of a `wss://` peering.
const HTTP: &[u8] = b"http/1.1";
/// Label of the channel binding (RFC 9266 §2), with an empty context.
pub(crate) const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The TLS settings of this node, made once.
#[derive(Clone, Debug)]
pub(crate) struct NodeTls {
    provider: Arc<CryptoProvider>,
    identity: Arc<CertifiedKey>,
    server: Arc<ServerConfig>,
    web_server: Arc<ServerConfig>,
    /// CAs to trust instead of the host's.
    ca_file: Option<PathBuf>,
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
    /// The task that reads CAs panicked.
    #[error("cannot read the CAs: {0}")]
    Task(#[from] tokio::task::JoinError),
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
        let identity = Arc::new(certified);
        let [server, web_server] =
            [ALPN, HTTP].map(|protocol| server_config(Arc::clone(&provider), Arc::clone(&identity), protocol));
        Ok(Self { provider, identity, server: server?.into(), web_server: web_server?.into(), ca_file: None })
    }

    /// The settings of the node whose private key is this byte, 32 times.
    #[cfg(test)]
    pub(crate) fn for_tests(seed: u8) -> Arc<Self> {
        let keypair = Keypair::from_seed(&crate::keys::Seed([seed; 32]));
        Arc::new(Self::new(Arc::new(keypair)).expect("nothing in it comes from outside"))
    }

    /// The same, with the CAs of this PEM file instead of those that the host trusts, for `wss://` to web servers.
    #[must_use]
    pub(crate) fn with_ca_file(self, ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, ..self }
    }

    /// For dialling a node: any node, or only the one with this key.
    ///
    /// # Errors
    /// None is expected.
    pub(crate) fn client_config(&self, pin: Option<PublicKey>) -> Result<Arc<ClientConfig>, NodeTlsError> {
        let identity = Arc::new(SingleCertAndKey::from(Arc::clone(&self.identity)));
        let config = client_config(&self.provider, Arc::new(NodeVerifier { pin }), identity, ALPN)?;
        Ok(Arc::new(config))
    }

    /// For dialling `wss://`. Reads the CAs anew, so that those who come and go are known at the next attempt.
    ///
    /// # Errors
    /// There are no CAs.
    pub(crate) async fn web_client_config(&self, pin: Option<PublicKey>) -> Result<Arc<ClientConfig>, TlsError> {
        let ca_file = self.ca_file.clone();
        let roots = tokio::task::spawn_blocking(move || web::load_roots(ca_file.as_deref()));
        let roots = match roots.await.map_err(NodeTlsError::from)? {
            // A node with this key needs nobody to vouch for it.
            Err(RootsError::NoneOnHost) if pin.is_some() => None,
            roots => Some(roots?),
        };
        let verifier = WebVerifier::new(pin, roots, Arc::clone(&self.provider)).map_err(NodeTlsError::from)?;
        let identity = Arc::new(OnlyToNodes(Arc::clone(&self.identity)));
        Ok(Arc::new(client_config(&self.provider, Arc::new(verifier), identity, HTTP)?))
    }

    /// For nodes that dial us.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

/// Whether this is a file of CAs.
///
/// # Errors
/// It cannot be read, or there are none in it.
pub(crate) fn check_ca_file(path: &Path) -> Result<(), RootsError> {
    web::load_roots(Some(path)).map(|_| ())
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

fn client_config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Arc<dyn ResolvesClientCert>,
    protocol: &[u8],
) -> Result<ClientConfig, NodeTlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    config.alpn_protocols = vec![protocol.to_vec()];
    // In a resumed session neither side proves its key anew, and the ticket tells whoever listens that the same client is back.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn server_config(
    provider: Arc<CryptoProvider>,
    identity: Arc<CertifiedKey>,
    protocol: &[u8],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(NodeVerifier { pin: None }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![protocol.to_vec()];
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
