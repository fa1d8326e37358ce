//! How TLS signs with the node key: through [`Keypair`], so that the private half is in no second place, and is wiped with it.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use super::certificate::spki;
use crate::keys::Keypair;

/// The node key as TLS uses it.
#[derive(Clone)]
pub(super) struct NodeSigner(pub(super) Arc<Keypair>);

impl fmt::Debug for NodeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SigningKey for NodeSigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(spki(&self.0.public()).into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for NodeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Shows the node's certificate to web servers that ask for one without naming CAs, as nodes do. Who names CAs wants another certificate, and
/// may refuse a client that shows a wrong one.
#[derive(Debug)]
pub(super) struct OnlyToNodes(pub(super) Arc<CertifiedKey>);

impl ResolvesClientCert for OnlyToNodes {
    fn resolve(&self, cas: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_node = cas.is_empty() && schemes.contains(&SignatureScheme::ED25519);
        is_node.then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
