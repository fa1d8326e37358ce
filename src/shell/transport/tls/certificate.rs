//! The certificate of a node: how ours is made, and how a peer's is read.
//!
//! It is a self-signed X.509 certificate whose key is the node key. TLS proves that the other side owns the key of the certificate
//! that it shows (RFC 8446 §4.4.3); so the key is all that counts, and the rest only says in X.509's words that there is nothing else:
//!
//! - *names*: the one DNS name is made from the key. It is looked at to tell a node's certificate from a web server's, which may have an
//!   ed25519 key too;
//! - *time*: always valid. A node's key does not expire, and a node without a clock must find its peers;
//! - *its own signature* proves nothing that the handshake does not, and is not checked.
//!
//! The same key always makes the same certificate. It is made at start and never stored.

use data_encoding::BASE32_NOPAD;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SerialNumber};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::keys::{Keypair, PublicKey};

/// What stands before an ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410 §4): the whole is 44 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Under which names of nodes stand.
const ZONE: &str = "pinecone.internal";

/// The name of a node: its key in base 32 (RFC 4648 §6, lower case, no padding), for a label may have 63 bytes, as
/// `<52 characters>.pinecone.internal`.
pub(super) fn node_name(key: &PublicKey) -> String {
    format!("{}.{ZONE}", BASE32_NOPAD.encode(&key.0).to_ascii_lowercase())
}

/// The key as X.509 has it.
pub(super) fn spki(key: &PublicKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], &key.0].concat()
}

/// Makes the certificate of the node with this key.
///
/// # Errors
/// None is known; the encoder does not say that there are none.
pub(super) fn make(keypair: &Keypair) -> Result<CertificateDer<'static>, rcgen::Error> {
    let key = keypair.public();
    let mut params = CertificateParams::new([node_name(&key)])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, key.to_string());
    // There is one certificate per issuer.
    params.serial_number = Some(SerialNumber::from(1));
    // The widest span that every reader understands; RFC 5280 §4.1.2.5 has the year 9999 mean "no end".
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params.self_signed(&Issuer { keypair, key })?.into())
}

/// The key of the node that shows these certificates; `None` if they are not what a node shows: one certificate with an ed25519 key and
/// the name that is made from it.
///
/// TLS has to verify that the other side owns the key; then it counts, and nothing else in the certificate does.
pub(crate) fn peer_key(certificates: &[CertificateDer<'_>]) -> Option<PublicKey> {
    let [certificate] = certificates else { return None };
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let spki = certificate.subject_public_key_info();
    let key = PublicKey(spki.as_ref().strip_prefix(&SPKI_PREFIX)?.try_into().ok()?);
    let name = ServerName::try_from(node_name(&key)).ok()?;
    verify_server_name(&certificate, &name).ok()?;
    // Made from this key, and not for whatever stands before the zone.
    let any = ServerName::try_from(format!("any.{ZONE}")).ok()?;
    verify_server_name(&certificate, &any).is_err().then_some(key)
}

/// The node as the encoder sees it: it signs, and does not hand out its private key.
struct Issuer<'a> {
    keypair: &'a Keypair,
    key: PublicKey,
}

impl rcgen::PublicKeyData for Issuer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.key.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Issuer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.keypair.sign(message).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Seed;

    fn pair(n: u8) -> Keypair {
        Keypair::from_seed(&Seed([n; 32]))
    }

    #[test]
    fn the_key_comes_out_of_the_certificate_and_the_certificate_is_the_same_each_time() {
        for n in 0..20 {
            let certificate = make(&pair(n)).unwrap();
            assert_eq!(peer_key(std::slice::from_ref(&certificate)), Some(pair(n).public()));
            assert_eq!(make(&pair(n)).unwrap(), certificate);
        }
    }

    #[test]
    fn a_node_shows_exactly_one_certificate() {
        let certificate = make(&pair(1)).unwrap();
        assert_eq!(peer_key(&[]), None);
        assert_eq!(peer_key(&[certificate.clone(), certificate]), None);
    }

    #[test]
    fn a_certificate_with_another_name_is_not_that_of_a_node() {
        let keypair = pair(1);
        let issuer = Issuer { keypair: &keypair, key: keypair.public() };
        for name in ["pinecone.example".to_owned(), node_name(&pair(2).public()), format!("*.{ZONE}")] {
            let certificate = CertificateParams::new([name]).unwrap();
            assert_eq!(peer_key(&[certificate.self_signed(&issuer).unwrap().into()]), None);
        }
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_gives_its_key_or_none_and_never_another_one(at: prop::sample::Index, bits in 1u8.., cut: prop::sample::Index) {
            let certificate = make(&pair(1)).unwrap();
            let mut damaged = certificate.to_vec();
            *at.get_mut(&mut damaged) ^= bits;
            // The name is made from the key, so one changed byte cannot make another node's certificate.
            let key = peer_key(&[damaged.into()]);
            prop_assert!(key.is_none() || key == Some(pair(1).public()));
            let cut = cut.index(certificate.len());
            prop_assert_eq!(peer_key(&[certificate[..cut].to_vec().into()]), None);
        }

        #[test]
        fn any_bytes_are_no_certificate(bytes: Vec<u8>) {
            prop_assert_eq!(peer_key(&[bytes.into()]), None);
        }
    }
}
