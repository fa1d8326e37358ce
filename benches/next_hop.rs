//! What finding a frame's next hop costs, as tables and peerings grow.
//!
//! The claim that this stands for: the cost per forwarded frame is flat or logarithmic in what a node knows, not
//! proportional to it. By key it should hardly grow from a hundred routes to a million, and not with the peerings; by
//! coordinates hardly from one peering to a thousand.
//!
//! Measured is [`Router::forward`] on a frame's first hop along its way: decoding the header, the decision, and by key the
//! rewriting of the watermark. It changes the frame, so each measurement gets a copy that was made before the clock ran, in
//! batches small enough to stay in the cache. Destinations are spread over the whole table, so large tables are read from
//! memory, not from the cache.
//!
//! A frame with a source route is forwarded by its list alone, [`Router::forward_routed`]: that should cost the same whatever the tables and the
//! peerings, and little more for the tenth hop of a list than for the first.
//!
//! Tables are filled as they are in a network, by bootstraps, but with [`Scheme::Simulated`]: a million real signatures
//! would take minutes. `cargo bench --bench next_hop` measures; run as a test it only goes through small tables once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be ends the measurement")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion};
use pinecone::buf::PacketBuf;
use pinecone::keys::{Keypair, PublicKey, Scheme, Seed};
use pinecone::router::{PeerKind, Port, RoutedVerdict, Router, RouterConfig, Rules, Timings, Verdict};
use pinecone::time::{Duration, Instant, UnixClock, UnixMillis};
use pinecone::wire::coords::Coords;
use pinecone::wire::extensions::Extensions;
use pinecone::wire::frame::{self, BootstrapFrame, Frame, TrafficHeader};
use pinecone::wire::route::{self, Hop, RouteKind, Routed};
use pinecone::wire::snake::{Bootstrap, Watermark};
use pinecone::wire::tree::{Announcement, Root};

/// Among so many nodes the one with the highest key is root; those of a table that are above it are left out.
const CANDIDATES: u64 = 4_096;
/// Peerings where the number of routes varies: an ordinary relay.
const RELAY_PEERS: usize = 10;
/// Routes where the number of peerings varies.
const ROUTES: usize = 10_000;
/// Different frames that take turns: enough for a table not to be in the cache only because the same path is walked again.
const FRAMES: usize = 8_192;
/// Frames that are copied at a time before the clock runs.
const BATCH: BatchSize = BatchSize::NumIterations(64);
/// Between two bootstraps, so that none is beyond the budgets for signature checks.
const GAP: Duration = Duration::from_millis(1);
/// When the routers begin, in Unix time.
const UNIX: u64 = 1_800_000_000_000;

/// The key pair number `n` of all that there are here.
fn node(n: u64) -> Keypair {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&n.to_le_bytes());
    Keypair::from_seed(&Seed(seed)).with_scheme(Scheme::Simulated)
}

/// The nodes that every bench has: the root, our own in the middle of all keys, relays between the root and the peers.
struct Cast {
    root: Keypair,
    own: Arc<Keypair>,
    relays: Vec<Keypair>,
}

impl Cast {
    fn new() -> Self {
        let mut nodes: Vec<_> = (0..CANDIDATES).map(node).collect();
        nodes.sort_by_key(Keypair::public);
        let root = nodes.pop().unwrap();
        let own = Arc::new(nodes.swap_remove(nodes.len() / 2));
        nodes.truncate(64);
        Self { root, own, relays: nodes }
    }

    /// What the peer number `i` announces: it is three hops below the root, on a branch of the tree that it shares with a few
    /// others.
    fn announcement(&self, i: usize, peer: &Keypair) -> Announcement {
        let half = self.relays.len() / 2;
        let upper = &self.relays[i % half];
        let lower = &self.relays[half + i / half % half];
        let mut chain = Announcement::as_root(Root { key: self.root.public(), sequence: 1 });
        let branch = [&self.root, upper, lower].into_iter().zip([i % half + 1, i / half % half + 1, i + 1]);
        for (signer, port) in branch {
            chain = chain.extend(port as u64, signer, None);
        }
        chain.extend(7, peer, None)
    }
}

/// A router among its peers, and the routes that it was given.
struct Hub {
    router: Router,
    now: Instant,
    peers: Vec<Port>,
    /// Where each route leads, and through which port.
    routes: Vec<(PublicKey, Port)>,
    /// The next node to bootstrap.
    next: u64,
}

impl Hub {
    fn new(cast: &Cast, peers: usize) -> Self {
        let now = Instant::from_micros(1_000_000);
        let timings = Timings { route_lifetime: Duration::from_secs(1_000_000), ..Timings::reference() };
        let rules = Rules { source_routes: true, ..Rules::strict() };
        let config = RouterConfig { max_routes: 2_000_000, timings, rules, ..RouterConfig::default() };
        let router = Router::new(config, cast.own.clone(), UnixClock::new(UnixMillis(UNIX), now), now);
        let mut hub = Self { router, now, peers: Vec::new(), routes: Vec::new(), next: 1 << 32 };
        for i in 0..peers {
            let peer = node(1 << 40 | i as u64);
            let port =
                hub.router.add_peer(peer.public(), PeerKind::Remote, Extensions::SOURCE_ROUTES, hub.now).unwrap();
            hub.protocol(port, &Frame::Announcement(&cast.announcement(i, &peer).encode()));
            assert_eq!(hub.router.peer_root(port).map(|root| root.key), Some(cast.root.public()));
            hub.peers.push(port);
        }
        hub
    }

    /// Takes a frame, and throws away what it makes the router send.
    fn protocol(&mut self, from: Port, frame: &Frame<'_>) {
        self.now = self.now + GAP;
        self.router.handle_protocol_frame(from, frame, self.now).unwrap();
        while self.router.poll_transmit().is_some() {}
    }

    /// Nodes bootstrap through all peers by turns until there are so many routes.
    fn fill(&mut self, routes: usize) {
        let root = self.router.root();
        while self.routes.len() < routes {
            let node = node(self.next);
            let destination = node.public();
            self.next += 1;
            if destination > root.key {
                continue;
            }
            let from = self.peers[self.routes.len() % self.peers.len()];
            let payload = &Bootstrap::sign(UNIX + self.next, root, &node).encode()[..];
            let watermark = Watermark::NONE;
            let frame = BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload };
            self.protocol(from, &Frame::Bootstrap(frame));
            self.routes.push((destination, from));
        }
        assert_eq!(self.router.route_count(), routes);
    }

    /// Another peering than `port`, for a frame to come from. Where there is none, the frame is our own: a node with a single
    /// peering relays nothing.
    fn other_than(&self, port: Port) -> Port {
        if self.peers.len() == 1 { 0 } else { self.peers[usize::from(port) % self.peers.len()] }
    }

    /// Frames for nodes from all over the table.
    fn frames_by_key(&self) -> Vec<Case> {
        let count = FRAMES.min(self.routes.len());
        let spread = (0..count).map(|i| self.routes[i * self.routes.len() / count]);
        let frames = spread.map(|(key, via)| Case {
            from: self.other_than(via),
            to: via,
            frame: traffic(key, &Coords::default()),
        });
        frames.collect()
    }

    /// Frames for nodes two hops below each peer, which is the way to them.
    fn frames_by_coordinates(&self) -> Vec<Case> {
        let frames = (0..FRAMES as u64).map(|i| {
            let to = self.peers[i as usize % self.peers.len()];
            let mut below = self.router.peer_coords(to).unwrap().as_slice().to_vec();
            below.extend([200 + i % 50, 1 + i % 7]);
            Case { from: self.other_than(to), to, frame: traffic(PublicKey([5; 32]), &Coords::new(below)) }
        });
        frames.collect()
    }

    /// Measures what it costs to forward these frames, by turns.
    fn measure(&mut self, c: &mut Criterion, id: BenchmarkId, group: &str, cases: &[Case]) {
        for Case { from, to, frame } in cases {
            let verdict = self.router.forward(*from, &mut frame.clone(), self.now);
            assert_eq!(verdict, Ok(Verdict::Forward(*to)));
        }
        let (router, now) = (&mut self.router, self.now);
        let mut turns = cases.iter().cycle();
        c.benchmark_group(group).bench_function(id, |bencher| {
            let copy = || turns.next().map(|case| (case.from, case.frame.clone())).unwrap();
            let forward = |(from, frame): &mut (Port, PacketBuf)| black_box(router.forward(*from, frame, now));
            bencher.iter_batched_ref(copy, forward, BATCH);
        });
    }
}

impl Hub {
    /// Sealed frames that come to this node at the given place of a list of ten hops.
    fn frames_by_route(&self, taken: usize) -> Vec<Case> {
        let frames = (0..FRAMES).map(|i| {
            let to = self.peers[i % self.peers.len()];
            let stranger = |n: usize| Hop { port: 1 + n as u16, epoch: 1 + n as u32 };
            let mut hops: Vec<Hop> = (0..10).map(stranger).collect();
            hops[taken] = self.router.hop(to).unwrap();
            let mut frame = PacketBuf::from(&[7; 100][..]);
            route::seal(&mut frame, &hops, i as u64).unwrap();
            for n in 0..taken {
                Routed::parse(&frame, true).unwrap().take_hop(&mut frame, stranger(n));
            }
            Case { from: self.other_than(to), to, frame }
        });
        frames.collect()
    }

    /// Measures what it costs to take one hop of a source route.
    fn measure_routed(&mut self, c: &mut Criterion, id: BenchmarkId, cases: &[Case]) {
        for Case { from, to, frame } in cases {
            let verdict = self.router.forward_routed(*from, RouteKind::Sealed, &mut frame.clone(), self.now);
            assert_eq!(verdict, Ok(RoutedVerdict::Forward(*to)));
        }
        let (router, now) = (&mut self.router, self.now);
        let mut turns = cases.iter().cycle();
        c.benchmark_group("by route").bench_function(id, |bencher| {
            let copy = || turns.next().map(|case| (case.from, case.frame.clone())).unwrap();
            let forward = |(from, frame): &mut (Port, PacketBuf)| {
                black_box(router.forward_routed(*from, RouteKind::Sealed, frame, now))
            };
            bencher.iter_batched_ref(copy, forward, BATCH);
        });
    }
}

/// One frame, where it comes from and where it has to go.
struct Case {
    from: Port,
    to: Port,
    frame: PacketBuf,
}

/// A frame for `key`, which may be at `destination`.
fn traffic(key: PublicKey, destination: &Coords) -> PacketBuf {
    let mut frame = PacketBuf::from(&[7; 100][..]);
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: 10,
        destination,
        source: &Coords::new(vec![3, 141, 5, 92]),
        destination_key: &key,
        source_key: &PublicKey([6; 32]),
        watermark: Watermark::NONE,
    };
    frame::emit_traffic(&mut frame, &header).unwrap();
    frame
}

fn main() {
    // As criterion itself decides: without `--bench`, as under `cargo test`, nothing is measured.
    let is_measured = std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    let (routes, peers): (&[usize], &[usize]) = if is_measured {
        (&[100, 1_000, 10_000, 100_000, 1_000_000], &[1, 10, 50, 250, 1_000])
    } else {
        (&[100, 1_000], &[1, 10])
    };
    let mut c = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
        .configure_from_args();
    let cast = Cast::new();
    let mut hub = Hub::new(&cast, RELAY_PEERS);
    for &count in routes {
        hub.fill(count);
        let cases = hub.frames_by_key();
        hub.measure(&mut c, BenchmarkId::new("routes", count), "by key", &cases);
        let cases = hub.frames_by_coordinates();
        hub.measure(&mut c, BenchmarkId::new("routes", count), "by coordinates", &cases);
        let cases = hub.frames_by_route(4);
        hub.measure_routed(&mut c, BenchmarkId::new("routes", count), &cases);
    }
    for taken in [0, 9] {
        let cases = hub.frames_by_route(taken);
        hub.measure_routed(&mut c, BenchmarkId::new("hops taken", taken), &cases);
    }
    drop(hub);
    for &count in peers {
        let mut hub = Hub::new(&cast, count);
        let cases = hub.frames_by_coordinates();
        hub.measure(&mut c, BenchmarkId::new("peers", count), "by coordinates", &cases);
        hub.fill(if is_measured { ROUTES } else { 100 });
        let cases = hub.frames_by_key();
        hub.measure(&mut c, BenchmarkId::new("peers", count), "by key", &cases);
    }
    c.final_summary();
}
