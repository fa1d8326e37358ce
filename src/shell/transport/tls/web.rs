//! Who is at the other end of `wss://`: a node that is pinned by its key, or a web server that a CA vouches for.
//!
//! A web server stands for the node behind it, whose key the link proves above. A node's own certificate has nobody to vouch for it, so
//! it takes the pin to tell the node that is meant from anybody else who answers: without one it is refused like any self-signed
//! certificate at an `https://` address.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::peer_key;
use super::verify::{NodeCertificateError, refuse_tls12, verify_signature};
use crate::keys::PublicKey;

/// Why there is nobody to vouch for web servers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// The configured file cannot be read.
    #[error("peering.tls_ca_file: cannot read {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("peering.tls_ca_file: {path} has no certificate in PEM form", path = .0.display())]
    Empty(PathBuf),
    /// The host has none.
    #[error("this host trusts no CA: install its package ca-certificates, or set peering.tls_ca_file")]
    NoneOnHost,
}

/// The CAs of this file, or those that the host trusts. Reads files.
///
/// # Errors
/// There is none.
pub(super) fn load_roots(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let text = std::fs::read(path).map_err(|source| RootsError::File { path: path.to_owned(), source })?;
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
        }
        // One bad certificate among many is the host's business; those that can be read count.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(file.map_or(RootsError::NoneOnHost, |path| RootsError::Empty(path.to_owned())));
    }
    Ok(roots)
}

/// Takes the node with the pinned key, or a web server as web clients do: a chain to a CA, the name, the time.
#[derive(Debug)]
pub(super) struct WebVerifier {
    pin: Option<PublicKey>,
    provider: Arc<CryptoProvider>,
    /// None on a host that trusts no CA.
    web: Option<Arc<WebPkiServerVerifier>>,
}

impl WebVerifier {
    pub(super) fn new(
        pin: Option<PublicKey>,
        roots: Option<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let verifier = |roots| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let web = roots.map(verifier).transpose().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { pin, provider, web })
    }

    fn web(&self) -> Result<&WebPkiServerVerifier, Error> {
        self.web.as_deref().ok_or(CertificateError::UnknownIssuer.into())
    }
}

impl ServerCertVerifier for WebVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let node = if intermediates.is_empty() { peer_key(std::slice::from_ref(end_entity)) } else { None };
        match (node, self.pin) {
            (None, _) => self.web()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            (Some(actual), Some(expected)) if actual == expected => Ok(ServerCertVerified::assertion()),
            (Some(actual), Some(expected)) => Err(NodeCertificateError::WrongKey { expected, actual }.into()),
            (Some(actual), None) => Err(NodeCertificateError::NotPinned(actual).into()),
        }
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
        if peer_key(std::slice::from_ref(cert)).is_some() {
            verify_signature(message, cert, dss)
        } else {
            self.web()?.verify_tls13_signature(message, cert, dss)
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
