use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::addr::Address;
use crate::admission::{AllowedKeys, Limits};
use crate::buf::PacketBuf;
use crate::config::{PeerUri, Scheme};
use crate::control::{Answer, FailureKind, Peers, Request};
use crate::dns::names::PetNames;
use crate::ip::firewall::Policy;
use crate::keys::{Keypair, Seed};
use crate::link::{Carrier, Link, LinkConfig, LinkEvent, ProofConfig, Side};
use crate::node::{NodeConfig, Target};
use crate::rng::Rng;
use crate::shell::netlink::Interface;
use crate::shell::peerings::Greeting;
use crate::shell::readiness::Manager;
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::{Connection, Ends, Remote, Stream};
use crate::shell::tun::memory::{self, MemoryHost};
use crate::time::UnixMillis;
use crate::wire::extensions::Extensions;
use crate::wire::hello::{HELLO_LEN, Hello};

/// Longer than anything here takes when it works; on the paused clock waiting for it takes no time.
const DEADLINE: Duration = Duration::from_secs(60);

/// A daemon without sockets: a core with a TUN in memory, and all that a test needs to drive it.
struct Daemon {
    keypair: Arc<Keypair>,
    host: MemoryHost,
    accepted: mpsc::Sender<Accepted>,
    calls: mpsc::Sender<Call>,
    network: mpsc::Sender<Arc<Snapshot>>,
    core: tokio::task::JoinHandle<io::Error>,
}

#[derive(Default)]
struct Options {
    require_authenticated: bool,
    limits: Limits,
    allowed: AllowedKeys,
    network: Snapshot,
    /// How long the machine was asleep, in seconds.
    asleep: Option<&'static AtomicU64>,
}

impl Daemon {
    fn start(seed: u8) -> Self {
        Self::start_with(seed, Options::default())
    }

    fn start_with(seed: u8, options: Options) -> Self {
        let clock = options.asleep.map_or_else(Clock::of_runtime, Clock::of_a_machine_that_sleeps);
        let keypair = Arc::new(Keypair::from_seed(&Seed([seed; 32])));
        let config = NodeConfig { mtu: 1_280, firewall: Policy::Open, ..NodeConfig::default() };
        let unix = UnixMillis(1_700_000_000_000);
        let node = Node::new(config, keypair.clone(), [seed; 32], clock.now(), unix);
        let (tun, host) = memory::pair();
        let (accepted, accepted_to_core) = mpsc::channel(4);
        let (calls, calls_to_core) = mpsc::channel(4);
        let (network, network_to_core) = mpsc::channel(1);
        let (_, settings_to_core) = mpsc::channel(1);
        let (reloads, _) = mpsc::channel(1);
        let greeting = Greeting::new(keypair.clone(), Extensions::LINK_PROOF);
        let parts = CoreParts {
            node,
            tun: Tun::Memory(tun),
            dns: Some(Responder::new(keypair.public(), PetNames::default())),
            peerings: Peerings::new(greeting, options.limits, Rng::new([seed; 32]), NodeTls::for_tests(1), clock),
            wanted: Wanted::new(Rng::new([seed; 32])),
            accepted: accepted_to_core,
            calls: calls_to_core,
            lan: None,
            network: (Arc::new(options.network), network_to_core),
            reloads: (reloads, settings_to_core),
            pulse: Pulse::new(Manager::default(), clock.now()),
            confinement: Confinement::default(),
            require_authenticated: options.require_authenticated,
            allowed: options.allowed,
            watchers: crate::shell::control_socket::watchers(),
            clock,
        };
        let core = tokio::spawn(Core::new(parts).run());
        Self { keypair, host, accepted, calls, network, core }
    }

    fn address(&self) -> std::net::Ipv6Addr {
        Address::of(&self.keypair.public()).ip()
    }

    async fn connect(&self, stream: impl Stream + 'static, local: &str) {
        let ends = Ends {
            remote: Remote::Ip("192.0.2.77:1".parse().unwrap()),
            local: local.parse().ok(),
            carrier: Carrier::Tcp,
        };
        let connection = Connection { stream: Box::new(stream), ends };
        let incoming = Incoming::Stream { scheme: Scheme::Tcp, tls: NodeTls::for_tests(1), connection };
        assert!(
            self.accepted
                .send(Accepted { incoming, lan: false, password: Default::default(), policy: PeerPolicy::default() })
                .await
                .is_ok()
        );
    }

    async fn ask(&self, request: Request) -> Reply {
        let (sender, reply) = oneshot::channel();
        self.calls.send((request, sender)).await.unwrap();
        tokio::time::timeout(DEADLINE, reply).await.unwrap().unwrap()
    }

    async fn peers(&self) -> Peers {
        match self.ask(Request::Peers).await {
            Ok(Answer::Peers(peers)) => peers,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it has this many peerings.
    async fn has_peers(&self, count: usize) {
        let reached = async {
            while self.peers().await.peers.len() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap();
    }
}

/// The hello of a plain Pinecone node.
fn hello(pair: &Keypair) -> [u8; HELLO_LEN] {
    hello_with(pair, Extensions::NONE)
}

fn hello_with(pair: &Keypair, extensions: Extensions) -> [u8; HELLO_LEN] {
    let (extension_version, extensions) = (extensions.version(), extensions.bits());
    Hello { key: pair.public(), extension_version, extensions }.encode(pair)
}

/// Two daemons with a peering.
async fn two() -> (Daemon, Daemon) {
    let (a, b) = (Daemon::start(1), Daemon::start(2));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: PeerUri = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    assert!(matches!(a.ask(Request::PeerAdd { uri }).await, Ok(Answer::Done)));
    let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    b.connect(stream, "192.0.2.1").await;
    a.has_peers(1).await;
    b.has_peers(1).await;
    (a, b)
}

/// An IPv6 packet with a UDP datagram of `len` bytes, all `byte`.
fn packet(from: &Daemon, to: &Daemon, byte: u8, len: usize) -> PacketBuf {
    let mut out = Vec::new();
    etherparse::PacketBuilder::ipv6(from.address().octets(), to.address().octets(), 64)
        .udp(1_000, 2_000)
        .write(&mut out, &vec![byte; len])
        .unwrap();
    PacketBuf::from(&out[..])
}

async fn received(daemon: &mut Daemon) -> PacketBuf {
    tokio::time::timeout(DEADLINE, daemon.host.recv.recv()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn packets_of_the_host_cross_two_daemons_in_both_directions_and_in_order() {
    let (mut a, mut b) = two().await;
    // The first of them find out who has the address and make the session.
    a.host.send.send(packet(&a, &b, 0, 100)).await.unwrap();
    assert_eq!(*received(&mut b).await, *packet(&a, &b, 0, 100));
    for n in 1..=200 {
        a.host.send.send(packet(&a, &b, n, 1_000)).await.unwrap();
        b.host.send.send(packet(&b, &a, n, 10)).await.unwrap();
    }
    for n in 1..=200 {
        assert_eq!(*received(&mut b).await, *packet(&a, &b, n, 1_000));
        assert_eq!(*received(&mut a).await, *packet(&b, &a, n, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn lookups_and_pings_are_answered_when_the_node_has_found_out() {
    let (a, b) = two().await;
    let target = Target::Address(crate::addr::Destination::of(b.address()).unwrap());
    let timeout = Duration::from_secs(10);
    let looked_up = a.ask(Request::Lookup { target, timeout }).await;
    assert!(matches!(looked_up, Ok(Answer::Lookup(answer)) if answer.key == b.keypair.public()));
    let pinged = a.ask(Request::Ping { target, timeout }).await;
    assert!(matches!(pinged, Ok(Answer::Ping(answer)) if answer.key == b.keypair.public()));
    let nobody = Target::Address(crate::addr::Destination::of("600::1".parse().unwrap()).unwrap());
    let failure = a.ask(Request::Lookup { target: nobody, timeout: Duration::from_secs(2) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("600::1 within 2 s"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_closed_and_forgotten() {
    let a = Daemon::start(1);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    let peer = Keypair::from_seed(&Seed([9; 32]));
    far.write_all(&hello(&peer)).await.unwrap();
    a.has_peers(1).await;
    // An announcement that is none.
    far.write_all(&crate::wire::frame::announcement(&[0; 10]).unwrap()).await.unwrap();
    a.has_peers(0).await;
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, far.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest[..HELLO_LEN], hello_with(&a.keypair, Extensions::LINK_PROOF));
}

#[tokio::test(start_paused = true)]
async fn an_unauthenticated_peer_is_refused_where_that_is_asked_for() {
    let options = Options { require_authenticated: true, ..Options::default() };
    let a = Daemon::start_with(1, options);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    far.write_all(&hello(&Keypair::from_seed(&Seed([9; 32])))).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, far.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, hello_with(&a.keypair, Extensions::LINK_PROOF), "our hello and nothing else");
    a.has_peers(0).await;
}

/// Dials like a daemon with this seed, as far as to the proof of its key, and then keeps the connection.
async fn prove(far: &mut DuplexStream, seed: u8) {
    let keypair = Arc::new(Keypair::from_seed(&Seed([seed; 32])));
    let plain = LinkConfig::plain(hello_with(&keypair, Extensions::LINK_PROOF), keypair.public());
    let proof = ProofConfig { keypair, nonce: [seed; 32], side: Side::Dialler, password: Default::default() };
    let mut link = Link::new(LinkConfig { proof: Some(proof), ..plain }, Instant::ZERO);
    loop {
        while let Some(frame) = link.poll_transmit() {
            far.write_all(&frame).await.unwrap();
        }
        if let Some(LinkEvent::Up { proven, .. }) = link.poll_event() {
            assert!(proven);
            return;
        }
        let len = far.read(link.read_buffer()).await.unwrap();
        assert!(len > 0, "hung up on");
        link.handle_read(len, Instant::ZERO).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_only_claims_a_key_goes_when_its_owner_comes_and_is_not_believed_again() {
    let a = Daemon::start(1);
    let claim = hello(&Keypair::from_seed(&Seed([9; 32])));
    let (near, mut claimer) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    claimer.write_all(&claim).await.unwrap();
    a.has_peers(1).await;
    assert!(!a.peers().await.peers[0].authenticated);

    let (near, mut owner) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    let start = tokio::time::Instant::now();
    prove(&mut owner, 9).await;
    tokio::time::timeout(DEADLINE, claimer.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    // On the paused clock: not by its silence, which takes five seconds.
    assert!(start.elapsed() < Duration::from_secs(4));
    a.has_peers(1).await;
    assert!(a.peers().await.peers[0].authenticated);

    drop(owner);
    a.has_peers(0).await;
    let (near, mut claimer) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    claimer.write_all(&claim).await.unwrap();
    tokio::time::timeout(DEADLINE, claimer.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    a.has_peers(0).await;
    let Ok(Answer::Status(status)) = a.ask(Request::Status).await else { panic!("no status") };
    assert_eq!(status.refused.get("key_only_claimed"), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_allowed_is_closed_and_counted_and_an_allowed_one_is_a_peer() {
    let (friend, stranger) = (Keypair::from_seed(&Seed([8; 32])), Keypair::from_seed(&Seed([9; 32])));
    let text = format!("inbound = ['{}']", friend.public());
    let options = Options { allowed: toml::from_str(&text).unwrap(), ..Options::default() };
    let a = Daemon::start_with(1, options);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    far.write_all(&hello(&stranger)).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, far.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!((rest.len(), &rest[8..40]), (HELLO_LEN, &a.keypair.public().0[..]), "our hello and nothing else");
    let Ok(Answer::Status(status)) = a.ask(Request::Status).await else { panic!("no status") };
    assert_eq!(status.refused.into_iter().collect::<Vec<_>>(), [("key_not_allowed_inbound".to_owned(), 1)]);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    far.write_all(&hello(&friend)).await.unwrap();
    a.has_peers(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_peering_ends_with_the_address_that_it_uses() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let network = |addresses: Vec<IpAddr>| {
        let addresses = addresses.into_iter().map(|address| (address, 24)).collect();
        let interface = Interface { running: true, addresses, ..Interface::default() };
        Snapshot { interfaces: vec![interface] }
    };
    let options = Options { network: network(vec![address]), ..Options::default() };
    let a = Daemon::start_with(1, options);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    far.write_all(&hello(&Keypair::from_seed(&Seed([9; 32])))).await.unwrap();
    a.has_peers(1).await;
    let other: IpAddr = "198.51.100.1".parse().unwrap();
    a.network.send(Arc::new(network(vec![address, other]))).await.unwrap();
    a.has_peers(1).await;
    a.network.send(Arc::new(network(vec![other]))).await.unwrap();
    a.has_peers(0).await;
}

#[tokio::test(start_paused = true)]
async fn peers_are_added_shown_and_removed_while_running() {
    let a = Daemon::start(1);
    // Nothing listens there: the port was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let uri: PeerUri = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    assert!(matches!(a.ask(Request::PeerAdd { uri: uri.clone() }).await, Ok(Answer::Done)));
    let again = a.ask(Request::PeerAdd { uri: uri.clone() }).await.unwrap_err();
    assert_eq!(again.kind, FailureKind::AlreadyThere);
    let failed = async {
        loop {
            let waiting = a.peers().await.waiting;
            if waiting[0].failures > 0 {
                break waiting;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waiting = tokio::time::timeout(DEADLINE, failed).await.unwrap();
    assert_eq!(waiting[0].uri, uri.to_string());
    assert!(waiting[0].last_error.as_ref().unwrap().contains("refused"), "{waiting:?}");
    assert!(matches!(a.ask(Request::PeerRemove { uri: uri.clone() }).await, Ok(Answer::Done)));
    assert_eq!(a.ask(Request::PeerRemove { uri }).await.unwrap_err().kind, FailureKind::NotThere);
    assert!(a.peers().await.waiting.is_empty());
}

/// Waits until the peer that is away has had another attempt than those so far, and says how long that took.
async fn next_attempt(daemon: &Daemon) -> Duration {
    let failures = daemon.peers().await.waiting[0].failures;
    let start = tokio::time::Instant::now();
    let tried = async {
        while daemon.peers().await.waiting[0].failures == failures {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(2 * DEADLINE, tried).await.unwrap();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_for_a_peer_ends_when_the_network_changes_and_when_the_machine_wakes_up() {
    static ASLEEP: AtomicU64 = AtomicU64::new(7);
    let a = Daemon::start_with(1, Options { asleep: Some(&ASLEEP), ..Options::default() });
    let (near, mut far) = tokio::io::duplex(1 << 16);
    a.connect(near, "192.0.2.1").await;
    far.write_all(&hello(&Keypair::from_seed(&Seed([9; 32])))).await.unwrap();
    a.has_peers(1).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let uri: PeerUri = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    assert!(matches!(a.ask(Request::PeerAdd { uri }).await, Ok(Answer::Done)));
    for wakes_up in [false, true] {
        // After half an hour it is dialled once a minute.
        let long = Duration::from_secs(30);
        tokio::time::sleep(60 * long).await;
        while next_attempt(&a).await < long {}
        assert!(a.peers().await.waiting[0].next_attempt_seconds.unwrap() > long.as_secs_f64());
        if wakes_up {
            // Whoever is our peer has taken us for dead meanwhile.
            ASLEEP.fetch_add(3_600, Ordering::Relaxed);
            a.has_peers(0).await;
        } else {
            a.network.send(Arc::default()).await.unwrap();
        }
        let waited = next_attempt(&a).await;
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_core_ends_when_its_interface_does() {
    let Daemon { host, core, .. } = Daemon::start(1);
    drop(host);
    let error = tokio::time::timeout(DEADLINE, core).await.unwrap().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_peers_can_cause_does_not_fill_the_log() {
    let mut log = LogBudget { left: LOG_LINES, since: Instant::ZERO };
    for _ in 0..1_000 {
        log.say(Instant::ZERO, "line");
    }
    assert_eq!(log.left, 0);
    log.say(Instant::ZERO + LOG_INTERVAL, "line");
    assert_eq!(log.left, LOG_LINES - 1);
}
