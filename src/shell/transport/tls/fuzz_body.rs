//! The body of the fuzz target `certificate`.

use std::net::Ipv4Addr;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{node_name, peer_key, spki};
use super::verify::NodeVerifier;
use crate::keys::PublicKey;

/// A certificate that the other side of `tls://`, `wss://` or `quic://` shows. A key comes out of it only if it is there, with the name that is
/// made from it; out of two certificates none does; and a pin lets that key in and no other.
pub fn fuzz_certificate(data: &[u8]) {
    let certificate = CertificateDer::from(data);
    let key = peer_key(std::slice::from_ref(&certificate));
    assert_eq!(peer_key(&[certificate.clone(), certificate.clone()]), None);
    let accepts = |pin: Option<PublicKey>| {
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        let verifier = NodeVerifier { pin };
        verifier
            .verify_server_cert(&certificate, &[], &name, &[], UnixTime::since_unix_epoch(Default::default()))
            .is_ok()
    };
    assert_eq!(accepts(None), key.is_some());
    let Some(key) = key else { return };
    let contains = |part: &[u8]| data.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    assert!(data.windows(44).any(|window| *window == *spki(&key)) && contains(node_name(&key).as_bytes()));
    let mut other = key;
    other.0[31] ^= 1;
    assert!(accepts(Some(key)) && !accepts(Some(other)));
}
