//! Two hundred attempts a second from one source: honest peers keep their peerings, a new one gets in, and it costs next to nothing.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::daemon::{Config, Running};
use crate::hostile::{Attack, hello};
use crate::lab::{Host, Lab};
use crate::sandbox::in_lab;
use crate::traffic::{Stop, assert_pings, ping};
use crate::wait::{seconds, wait_until};

const PER_SECOND: u32 = 200;

/// Makes attempts from a host at an address until it is told to stop, and says how many they were.
type Flood = fn(&Host, SocketAddr, &AtomicBool) -> u32;

/// While `flood` goes on at the port that is `port` behind that of TCP.
fn leaves_honest_peers_alone_and_lets_a_new_one_in(lab: &Lab, port: u16, flood: Flood) {
    let attack = Attack::prepare(lab);
    let target = &attack.mesh.nodes[0];
    let newcomer = lab.host("newcomer");
    let uri = lab.link(&attack.mesh.hosts[0], &newcomer).ends[0].uri();
    let goes_on = AtomicBool::new(true);
    let (attacker, to) = (&attack.attacker, SocketAddr::new(attack.target.ip(), attack.target.port() + port));
    let used = || processor_seconds(target.pid());
    let (before, start) = (used(), Instant::now());
    let attempts = std::thread::scope(|scope| {
        let _stop = Stop(&goes_on);
        let flooding = scope.spawn(|| flood(attacker, to, &goes_on));
        let pings = ping(&attack.mesh.hosts[2], attack.mesh.address(0), "-c 50 -i 0.1 -W 2");
        assert_eq!(pings.received, pings.sent, "{}", pings.text);
        let mut config = Config::new(9);
        config.peers = vec![uri];
        let honest = Running::start(lab, &newcomer, config);
        wait_until("a new peer gets in during the flood", seconds(10), || !honest.peers().is_empty());
        assert_pings(&newcomer, attack.mesh.address(0));
        goes_on.store(false, Ordering::Relaxed);
        honest.stop(nix::sys::signal::Signal::SIGTERM);
        flooding.join().unwrap()
    });
    let (used, took) = (used() - before, start.elapsed().as_secs_f64());
    let refused = target.ctl("status")["refused"].clone();
    println!("{attempts} attempts in {took:.1} s, {used:.2} s of processor time, refused: {refused}");
    assert!(used < took / 4.0, "{used} s of processor time in {took} s");
    let turned_away: u64 = refused.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert!(f64::from(attempts) > took * f64::from(PER_SECOND) / 2.0, "the flood was none: {attempts} in {took} s");
    assert!(turned_away > u64::from(attempts) / 2, "{refused} of {attempts}");
    let lines = target.log_text().lines().filter(|line| line.contains("turned ")).count();
    assert!((1..10).contains(&lines), "{lines} lines in the log");
    attack.changed_nothing();
}

#[test]
fn two_hundred_connections_a_second_from_one_source_leave_honest_peers_alone_and_let_a_new_one_in() {
    in_lab(&[], |lab| {
        // Half of them say a proper hello, each with the same key.
        leaves_honest_peers_alone_and_lets_a_new_one_in(lab, 0, |from, to, goes_on| {
            let hello = hello(250);
            over_tcp(from, to, goes_on, |n| if n % 2 == 0 { &hello[..] } else { &[] })
        });
    });
}

#[test]
fn two_hundred_tls_handshakes_a_second_from_one_source_leave_honest_peers_alone_and_let_a_new_one_in() {
    in_lab(&[], |lab| {
        leaves_honest_peers_alone_and_lets_a_new_one_in(lab, 1, |from, to, goes_on| {
            let name = ServerName::try_from("node.pinecone.internal").unwrap();
            let mut greeting = Vec::new();
            ClientConnection::new(Arc::new(anonymous()), name).unwrap().write_tls(&mut greeting).unwrap();
            over_tcp(from, to, goes_on, |_| &greeting)
        });
    });
}

#[test]
fn two_hundred_quic_handshakes_a_second_from_one_source_leave_honest_peers_alone_and_let_a_new_one_in() {
    in_lab(&[], |lab| leaves_honest_peers_alone_and_lets_a_new_one_in(lab, 1, over_quic));
}

/// Connects this often until told to stop, and says on each connection what `says` it; each stays open for a second.
fn over_tcp<'a>(
    attacker: &Host,
    target: SocketAddr,
    goes_on: &AtomicBool,
    says: impl Fn(u32) -> &'a [u8] + Sync,
) -> u32 {
    attacker.within(|| {
        let start = Instant::now();
        let (mut attempts, mut open) = (0, VecDeque::new());
        while goes_on.load(Ordering::Relaxed) {
            if let Ok(mut stream) = TcpStream::connect_timeout(&target, seconds(1)) {
                let _ = stream.write_all(says(attempts));
                open.push_back(stream);
                open.drain(..open.len().saturating_sub(PER_SECOND as usize));
            }
            attempts += 1;
            std::thread::sleep((seconds(1) / PER_SECOND * attempts).saturating_sub(start.elapsed()));
        }
        attempts
    })
}

/// The same with handshakes of QUIC, each of which shows that its source is there, and has a second.
fn over_quic(attacker: &Host, target: SocketAddr, goes_on: &AtomicBool) -> u32 {
    attacker.within(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(anonymous()).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(crypto));
            let endpoint = quinn::Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
            let start = Instant::now();
            let mut attempts = 0;
            while goes_on.load(Ordering::Relaxed) {
                let connecting = endpoint.connect_with(config.clone(), target, "node.pinecone.internal").unwrap();
                tokio::spawn(tokio::time::timeout(seconds(1), connecting));
                attempts += 1;
                tokio::time::sleep((seconds(1) / PER_SECOND * attempts).saturating_sub(start.elapsed())).await;
            }
            attempts
        })
    })
}

/// Somebody without a certificate, to whom every node will do.
fn anonymous() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"pinecone".to_vec()];
    config
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// What a process has used of processors, in seconds.
fn processor_seconds(pid: nix::unistd::Pid) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name, which may have spaces, in parentheses: user and system time are the 12th and 13th, in hundredths.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}
