//! Handshakes in memory, between our settings and those of others.

use std::io::Read;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, ClientConnection, Error, HandshakeKind, PeerIncompatible, ServerConnection};

use super::*;
use crate::keys::Seed;

fn pair(n: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_seed(&Seed([n; 32])))
}

fn node(n: u8) -> NodeTls {
    NodeTls::new(pair(n)).unwrap()
}

/// Which side gave up, and why.
#[derive(Debug)]
enum Failed {
    Client(Error),
    Server(Error),
}

/// Moves bytes until neither side has any; both are to process all that they get, as they send tickets or alerts at the end.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Failed> {
    let mut client = ClientConnection::new(client, ServerName::try_from("node.example").unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        feed(&mut server, &bytes).map_err(Failed::Server)?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        feed(&mut client, &bytes).map_err(Failed::Client)?;
    }
    Ok((client, server))
}

fn feed<D>(to: &mut rustls::ConnectionCommon<D>, mut bytes: &[u8]) -> Result<(), Error>
where
    D: rustls::SideData,
{
    while !bytes.is_empty() {
        to.read_tls(&mut bytes).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

fn carrier<D>(of: &rustls::ConnectionCommon<D>) -> Option<Carrier> {
    channel(of.peer_certificates()?, |out, label| of.export_keying_material(out, label, None).is_ok())
}

fn node_error(error: Error) -> Option<NodeCertificateError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(error)) => error.0.downcast_ref().copied(),
        _ => None,
    }
}

/// A client of somebody else, with a certificate or without, that takes any server.
fn foreign_client(identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NodeVerifier { pin: None }));
    Arc::new(match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

/// A self-signed certificate with the name that a node of the key `named` has.
fn foreign_identity(
    algorithm: &'static rcgen::SignatureAlgorithm,
    named: &PublicKey,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::new([certificate::node_name(named)]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    (vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

fn foreign_server(identity: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.0, identity.1)
        .unwrap();
    Arc::new(config)
}

#[test]
fn each_side_learns_the_others_key_and_both_the_same_binding_which_no_other_channel_has() {
    let mut bindings = Vec::new();
    for pin in [None, Some(pair(2).public())] {
        let (client, server) = handshake(node(1).client_config(pin).unwrap(), node(2).server_config()).unwrap();
        let Some(Carrier::Channel { key, binding }) = carrier(&client) else { panic!() };
        assert_eq!(key, pair(2).public());
        assert_eq!(carrier(&server), Some(Carrier::Channel { key: pair(1).public(), binding }));
        assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (Some(ALPN), Some(ALPN)));
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        bindings.push(binding);
    }
    assert_ne!(bindings[0], bindings[1]);
    assert!(!bindings.contains(&[0; 32]));
}

#[test]
fn the_node_with_another_key_than_the_pinned_one_is_refused_in_the_handshake() {
    let (expected, actual) = (pair(3).public(), pair(2).public());
    let result = handshake(node(1).client_config(Some(expected)).unwrap(), node(2).server_config());
    let Err(Failed::Client(error)) = result else { panic!("{result:?}") };
    assert_eq!(node_error(error), Some(NodeCertificateError::WrongKey { expected, actual }));
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let result = handshake(foreign_client(None), node(2).server_config());
    assert!(matches!(result, Err(Failed::Server(Error::NoCertificatesPresented))), "{result:?}");
}

#[test]
fn a_certificate_of_another_algorithm_is_refused_from_either_side() {
    let identity = || foreign_identity(&rcgen::PKCS_ECDSA_P256_SHA256, &pair(7).public());
    // Neither side has a signature scheme in common with the other, as only ed25519 is offered.
    let result = handshake(foreign_client(Some(identity())), node(2).server_config());
    assert!(matches!(result, Err(Failed::Server(Error::NoCertificatesPresented))), "{result:?}");
    let result = handshake(node(1).client_config(None).unwrap(), foreign_server(identity()));
    let Err(Failed::Server(Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon))) = result else {
        panic!("{result:?}")
    };
    // Should it be shown all the same, it is refused for its form.
    let verifier = NodeVerifier { pin: None };
    let now = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::ZERO);
    let name = ServerName::try_from("node.example").unwrap();
    let server = verifier.verify_server_cert(&identity().0[0], &[], &name, &[], now).unwrap_err();
    let client = verifier.verify_client_cert(&identity().0[0], &[], now).unwrap_err();
    assert_eq!(node_error(server), Some(NodeCertificateError::NotOfANode));
    assert_eq!(node_error(client), Some(NodeCertificateError::NotOfANode));
}

#[test]
fn a_certificate_with_the_name_of_another_key_is_refused_from_either_side() {
    let identity = || foreign_identity(&rcgen::PKCS_ED25519, &pair(7).public());
    let result = handshake(foreign_client(Some(identity())), node(2).server_config());
    let Err(Failed::Server(error)) = result else { panic!("{result:?}") };
    assert_eq!(node_error(error), Some(NodeCertificateError::NotOfANode));
    let result = handshake(node(1).client_config(None).unwrap(), foreign_server(identity()));
    let Err(Failed::Client(error)) = result else { panic!("{result:?}") };
    assert_eq!(node_error(error), Some(NodeCertificateError::NotOfANode));
}

/// The certificate is public: whoever saw it can show it, but not sign with its key.
#[test]
fn whoever_shows_the_certificate_of_a_node_without_its_key_is_refused() {
    let thief = |shown: u8, signs: u8| {
        let certificate = certificate::make(&pair(shown)).unwrap();
        let certified = CertifiedKey::new(vec![certificate], Arc::new(NodeSigner(pair(signs))));
        let identity = Arc::new(certified);
        let server = server_config(Arc::new(provider()), Arc::clone(&identity), ALPN).unwrap();
        NodeTls { server: server.into(), identity, ..node(shown) }
    };
    let result = handshake(thief(1, 3).client_config(None).unwrap(), node(2).server_config());
    let Err(Failed::Server(Error::InvalidCertificate(CertificateError::BadSignature))) = result else {
        panic!("{result:?}")
    };
    let result = handshake(node(1).client_config(None).unwrap(), thief(2, 3).server_config());
    let Err(Failed::Client(Error::InvalidCertificate(CertificateError::BadSignature))) = result else {
        panic!("{result:?}")
    };
}

#[test]
fn no_ticket_is_sent_and_every_handshake_is_a_full_one() {
    let client = node(1).client_config(None).unwrap();
    let server = node(2);
    for _ in 0..3 {
        let (mut client, server) = handshake(Arc::clone(&client), server.server_config()).unwrap();
        assert_eq!(client.tls13_tickets_received(), 0);
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert!(client.early_data().is_none());
        assert!(client.reader().read(&mut [0; 1]).is_err(), "nothing but the handshake was sent");
    }
}

/// A ClientHello as TLS 1.2 has it (RFC 5246 §7.4.1.2), without the extension that names later versions.
#[test]
fn tls_1_2_is_refused() {
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    // No session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // X25519; ed25519.
    let extensions = [0x00, 0x0a, 0, 4, 0, 2, 0, 0x1d, 0x00, 0x0d, 0, 4, 0, 2, 0x08, 0x07];
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0, 0, hello.len() as u8]);
    record.extend(hello);
    let mut server = ServerConnection::new(node(2).server_config()).unwrap();
    let error = feed(&mut server, &record).unwrap_err();
    assert!(matches!(error, Error::PeerIncompatible(_)), "{error:?}");
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    // A fatal alert, protocol_version (RFC 8446 §6.2).
    assert_eq!(&alert[alert.len() - 2..], [2, 70]);
}

#[test]
fn a_client_that_wants_to_speak_something_else_is_refused() {
    let mut client = ClientConfig::clone(&node(1).client_config(None).unwrap());
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let result = handshake(Arc::new(client), node(2).server_config());
    assert!(matches!(result, Err(Failed::Server(Error::NoApplicationProtocol))), "{result:?}");
}
