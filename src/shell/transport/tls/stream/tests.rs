//! Channels over loopback and in memory: of nodes, and of web servers with good and bad certificates.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::*;
use crate::config::{ListenUri, PeerUri};
use crate::keys::{Keypair, Seed};
use crate::shell::transport::quic::Dialler;
use crate::shell::transport::underlay::Underlay;
use crate::shell::transport::{self, Connection, DialError};

fn key(seed: u8) -> PublicKey {
    Keypair::from_seed(&Seed([seed; 32])).public()
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

fn pipe() -> (Box<dyn Stream>, DuplexStream) {
    let (near, far) = tokio::io::duplex(64 << 10);
    (Box::new(near), far)
}

/// Node 1 dials node 2 at a listener of this scheme.
async fn dial(scheme: &str, rest: &str) -> (Result<Connection, DialError>, Result<Connection, DialError>) {
    let listen: ListenUri = format!("{scheme}://127.0.0.1:0").parse().unwrap();
    let listener = transport::listen(&listen, &NodeTls::for_tests(2), &Underlay::default()).unwrap();
    let uri: PeerUri = format!("{scheme}://127.0.0.1:{}{rest}", listener.port().unwrap()).parse().unwrap();
    let dialler = Dialler::for_tests(1);
    let accept = async { listener.accept().await.unwrap().open().await };
    tokio::join!(transport::dial(&uri, &dialler), accept)
}

fn tls_error(result: Result<Connection, DialError>) -> TlsError {
    match result.err() {
        Some(DialError::Tls { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_sides_of_a_channel_know_each_others_key_and_the_path_underneath() {
    for (scheme, path) in [("tls", ""), ("wss", "/some/path")] {
        let (dialled, accepted) = dial(scheme, &format!("{path}?key={}", key(2))).await;
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        let Carrier::Channel { key: proven, binding } = dialled.ends.carrier else { panic!("{scheme}") };
        assert_eq!(proven, key(2));
        assert_eq!(accepted.ends.carrier, Carrier::Channel { key: key(1), binding });
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut received = vec![0; sent.len()];
        let send = async {
            dialled.stream.write_all(&sent).await.unwrap();
            dialled.stream.flush().await.unwrap();
        };
        let (_, read) = tokio::join!(send, accepted.stream.read_exact(&mut received));
        assert_eq!(read.unwrap(), sent.len());
        assert!(received == sent, "{scheme}: the bytes are others");
        // What comes back acknowledges all before it.
        accepted.stream.write_all(b"!").await.unwrap();
        accepted.stream.flush().await.unwrap();
        dialled.stream.read_exact(&mut received[..1]).await.unwrap();
        let sample = dialled.stream.path().unwrap();
        assert!(sample.acked as usize > sent.len() && sample.outstanding < 1_000, "{scheme}: {sample:?}");
    }
}

#[tokio::test]
async fn the_wrong_node_is_refused_in_the_handshake() {
    for scheme in ["tls", "wss"] {
        let (dialled, accepted) = dial(scheme, &format!("?key={}", key(3))).await;
        let expected = NodeCertificateError::WrongKey { expected: key(3), actual: key(2) };
        assert!(matches!(tls_error(dialled), TlsError::Node(error) if error == expected), "{scheme}");
        assert!(matches!(tls_error(accepted), TlsError::Refused(_)), "{scheme}");
    }
}

#[tokio::test]
async fn without_a_pin_tls_takes_any_node_and_wss_none() {
    assert_eq!(dial("tls", "").await.0.unwrap().ends.carrier.proven_key(), Some(key(2)));
    let error = tls_error(dial("wss", "").await.0);
    assert!(matches!(error, TlsError::Node(NodeCertificateError::NotPinned(actual)) if actual == key(2)), "{error}");
    assert!(error.to_string().contains(&format!("add ?key={}", key(2))));
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_apart() {
    let (near, mut far) = pipe();
    far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let result = NodeTls::for_tests(2).accept(near).await;
    assert!(matches!(result.err(), Some(TlsError::NotTls)));
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"pine\x01"] {
        let (near, mut far) = pipe();
        far.write_all(answer).await.unwrap();
        let error = NodeTls::for_tests(1).connect(near, &name("node.example"), None).await.err().unwrap();
        assert!(matches!(error, TlsError::NotTls), "{error}");
        assert!(error.to_string().contains("ws://"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_ended() {
    let (near, _far) = pipe();
    assert!(matches!(NodeTls::for_tests(2).accept(near).await.err(), Some(TlsError::TimedOut)));
    let (near, _far) = pipe();
    let result = NodeTls::for_tests(1).connect(near, &name("node.example"), None).await;
    assert!(matches!(result.err(), Some(TlsError::TimedOut)));
    let (near, far) = pipe();
    drop(far);
    assert!(matches!(NodeTls::for_tests(2).accept(near).await.err(), Some(TlsError::Closed)));
}

/// A CA of our own, in a file.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    fn node(&self, seed: u8) -> NodeTls {
        NodeTls::clone(&NodeTls::for_tests(seed)).with_ca_file(Some(self.file.path().to_owned()))
    }

    /// A web server with a certificate of this CA.
    fn server(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

fn server(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What comes of dialling this web server under this name.
async fn visit(node: &NodeTls, server: &TlsAcceptor, host: &Host, pin: Option<PublicKey>) -> Result<Carrier, TlsError> {
    let (near, far) = pipe();
    let (dialled, _) = tokio::join!(node.connect_web(near, host, pin), server.accept(far));
    dialled.map(|(_, carrier)| carrier)
}

#[tokio::test]
async fn a_web_server_that_a_ca_vouches_for_is_taken_and_proves_no_key() {
    let ca = Ca::new("a");
    let server = ca.server(&["node.example", "192.0.2.1"], |_| ());
    for host in [name("node.example"), Host::Ip("192.0.2.1".parse().unwrap())] {
        for pin in [None, Some(key(2))] {
            let carrier = visit(&ca.node(1), &server, &host, pin).await.unwrap();
            assert_eq!(carrier, Carrier::WebSocket);
        }
    }
}

#[tokio::test]
async fn a_web_server_with_a_bad_certificate_is_refused_with_what_to_do() {
    let (ca, other) = (Ca::new("a"), Ca::new("b"));
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let cases = [
        (ca.server(&["node.example"], expired), "expired"),
        (ca.server(&["node.example"], early), "not valid yet"),
        (ca.server(&["other.example"], |_| ()), "another name"),
        (other.server(&["node.example"], |_| ()), "no CA that this host trusts"),
    ];
    for (server, expected) in cases {
        // A pin is about the node, and no excuse for the web server.
        for pin in [None, Some(key(2))] {
            let error = visit(&ca.node(1), &server, &name("node.example"), pin).await.unwrap_err();
            let TlsError::Web(reason) = error else { panic!("{error}") };
            assert!(reason.contains(expected), "{expected}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_an_error_that_names_it() {
    let ca = Ca::new("a");
    let server = ca.server(&["node.example"], |_| ());
    std::fs::write(ca.file.path(), "no certificate").unwrap();
    let error = visit(&ca.node(1), &server, &name("node.example"), None).await.unwrap_err();
    assert!(error.to_string().starts_with("peering.tls_ca_file: "), "{error}");
    let absent = NodeTls::clone(&NodeTls::for_tests(1)).with_ca_file(Some("/nonexistent/ca.pem".into()));
    let error = visit(&absent, &server, &name("node.example"), None).await.unwrap_err();
    assert!(error.to_string().contains("cannot read /nonexistent/ca.pem"), "{error}");
}

#[tokio::test]
async fn a_web_server_at_a_tls_port_is_not_a_node() {
    let ca = Ca::new("a");
    let server = ca.server(&["node.example"], |_| ());
    let (near, far) = pipe();
    let (node, host) = (ca.node(1), name("node.example"));
    let (dialled, _) = tokio::join!(node.connect(near, &host, None), server.accept(far));
    let error = dialled.err().unwrap();
    // It has no signature that we take, and says so before it shows its certificate.
    assert!(matches!(error, TlsError::Refused(_)), "{error}");
}

/// Counts the writes underneath.
struct Counted {
    inner: DuplexStream,
    writes: Arc<std::sync::Mutex<Vec<usize>>>,
}

impl Stream for Counted {}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let poll = Pin::new(&mut self.inner).poll_write(cx, &bytes);
        if let Poll::Ready(Ok(len)) = poll {
            self.writes.lock().unwrap().push(len);
        }
        poll
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_batch_of_frames_goes_out_in_full_records_and_few_writes() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let writes = Arc::default();
    let counted = Box::new(Counted { inner: near, writes: Arc::clone(&writes) });
    let (dialler, host, listener) = (NodeTls::for_tests(1), name("node.example"), NodeTls::for_tests(2));
    let (dialled, accepted) = tokio::join!(dialler.connect(counted, &host, None), listener.accept(Box::new(far)));
    let (mut dialled, _accepted) = (dialled.unwrap().0, accepted.unwrap());
    writes.lock().unwrap().clear();
    // As a peering writes them: 60 frames of 1000 bytes and one of 60,000.
    let frames: Vec<Vec<u8>> = (0..60).map(|_| vec![7; 1_000]).chain([vec![8; 60_000]]).collect();
    let mut written = 0;
    while written < 120_000 {
        let mut skip = written;
        let slices: Vec<_> = frames
            .iter()
            .filter_map(|frame| {
                let skipped = skip.min(frame.len());
                skip -= skipped;
                (skipped < frame.len()).then(|| IoSlice::new(&frame[skipped..]))
            })
            .collect();
        written += dialled.write_vectored(&slices).await.unwrap();
    }
    dialled.flush().await.unwrap();
    let writes = writes.lock().unwrap();
    // Records of 16 KiB: a head of 5 bytes, the content's type, a tag of 16 bytes.
    let records = 120_000usize.div_ceil(16 << 10) + 1;
    assert!(writes.iter().sum::<usize>() <= 120_000 + records * 22, "{writes:?}");
    assert!(writes.len() <= 4, "{writes:?}");
}
