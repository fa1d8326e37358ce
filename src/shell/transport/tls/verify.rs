//! Who is at the other end: what TLS asks us about certificates, answered for nodes.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::certificate::peer_key;
use crate::keys::PublicKey;

/// Why the other side's certificate will not do. Reaches others inside [`CertificateError::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeCertificateError {
    /// It may be a good one, of a web server.
    #[error("the other side's certificate is not that of a node (wss:// is for nodes behind a web server)")]
    NotOfANode,
    /// Another node's.
    #[error(
        "the other side has the key {actual}, but this peer is configured with ?key={expected}: correct the key if the peer's has changed, \
         otherwise somebody else answers at this address"
    )]
    WrongKey {
        /// The key that the peer was configured with.
        expected: PublicKey,
        /// The key that it has.
        actual: PublicKey,
    },
    /// A node where a web server is expected, and nobody said which node.
    #[error(
        "a node answers for itself here, and no CA vouches for it: if the node {0} is the one that you mean, add ?key={0}"
    )]
    NotPinned(PublicKey),
}

impl From<NodeCertificateError> for Error {
    fn from(error: NodeCertificateError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// Takes the certificates of nodes: of every node, or of the one with the pinned key. It looks at no name and no clock, for the reasons
/// that [`super::certificate`] gives; that the other side owns the key is proven by its signature of the handshake.
#[derive(Clone, Copy)]
pub(super) struct NodeVerifier {
    pub(super) pin: Option<PublicKey>,
}

impl fmt::Debug for NodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeVerifier({:?})", self.pin)
    }
}

impl NodeVerifier {
    fn verify(self, certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = if others.is_empty() { peer_key(std::slice::from_ref(certificate)) } else { None };
        let actual = key.ok_or(NodeCertificateError::NotOfANode)?;
        match self.pin {
            Some(expected) if expected != actual => Err(NodeCertificateError::WrongKey { expected, actual }.into()),
            _ => Ok(()),
        }
    }
}

/// Whether `message` was signed with the node key of `certificate`: the same check as for all other signatures of nodes.
pub(super) fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = peer_key(std::slice::from_ref(certificate)).ok_or(NodeCertificateError::NotOfANode)?;
    let signature = signed.signature().try_into().map_err(|_| CertificateError::BadSignature)?;
    if signed.scheme == SignatureScheme::ED25519 && key.verifies(message, signature) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// TLS 1.2 is not compiled in, so nobody asks; whoever does is refused.
pub(super) fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Client certificates are mandatory, which is the trait's default.
impl ClientCertVerifier for NodeVerifier {
    /// None: a node's certificate has no issuer but itself.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
