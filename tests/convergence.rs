//! Networks of real routers on a virtual clock: they find one root, deliver every frame to its destination, and find
//! together again when a link is cut or the root goes away.
//!
//! Frames go straight from router to router with 5 ms latency. Everything depends on a seed, which each test prints:
//! the keys, and when each link comes up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pinecone::buf::PacketBuf;
use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::rng::Rng;
use pinecone::router::{PeerKind, Port, Router, RouterConfig, Verdict};
use pinecone::time::{Duration, Instant, UnixClock, UnixMillis};
use pinecone::wire::coords::Coords;
use pinecone::wire::extensions::Extensions;
use pinecone::wire::frame::{self, FrameKind, Header};

const LATENCY: Duration = Duration::from_millis(5);
/// No way in these networks is that long: such a frame goes in circles.
const MAX_HOPS: usize = 500;
/// Within this time after a change everybody must reach everybody again.
const DEADLINE: Duration = Duration::from_secs(300);

/// One node's end of a link.
type End = (usize, Port);

struct Network {
    nodes: Vec<Option<(Arc<Keypair>, Router)>>,
    /// Both directions of every link.
    links: BTreeMap<End, End>,
    /// Frames under way, by arrival, then in the order in which they were sent.
    in_flight: BTreeMap<(Instant, u64), (End, PacketBuf)>,
    /// Links that are still to come up.
    planned: BTreeMap<(Instant, usize), (usize, usize)>,
    sent: u64,
    now: Instant,
}

impl Network {
    /// The links of a topology file, each of which comes up within the first second.
    fn from_file(name: &str, rng: &mut Rng) -> Self {
        let path = format!("{}/tests/topologies/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let edges: Vec<(usize, usize)> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| {
                let mut ends = line.split_whitespace().map(|end| end.parse().unwrap());
                (ends.next().unwrap(), ends.next().unwrap())
            })
            .collect();
        let size = edges.iter().map(|(a, b)| a.max(b) + 1).max().unwrap();
        let clock = UnixClock::new(UnixMillis(1_700_000_000_000), Instant::ZERO);
        let nodes = (0..size).map(|_| {
            let keypair = Arc::new(Keypair::from_seed(&Seed(rng.bytes())));
            let router = Router::new(RouterConfig::default(), keypair.clone(), clock, Instant::ZERO);
            Some((keypair, router))
        });
        let nodes = nodes.collect();
        let planned = edges.into_iter().enumerate();
        let planned = planned.map(|(i, edge)| ((Instant::from_micros(rng.below(1_000_000)), i), edge)).collect();
        let (links, in_flight) = (BTreeMap::new(), BTreeMap::new());
        Self { nodes, links, in_flight, planned, sent: 0, now: Instant::ZERO }
    }

    fn router(&mut self, node: usize) -> &mut Router {
        &mut self.nodes[node].as_mut().expect("a node that was removed").1
    }

    fn key(&self, node: usize) -> PublicKey {
        self.nodes[node].as_ref().expect("a node that was removed").0.public()
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some()).collect()
    }

    fn connect(&mut self, a: usize, b: usize) {
        let (key_a, key_b, now) = (self.key(a), self.key(b), self.now);
        let port_a = self.router(a).add_peer(key_b, PeerKind::Remote, Extensions::NONE, now).unwrap();
        let port_b = self.router(b).add_peer(key_a, PeerKind::Remote, Extensions::NONE, now).unwrap();
        self.links.insert((a, port_a), (b, port_b));
        self.links.insert((b, port_b), (a, port_a));
        self.drain(a);
        self.drain(b);
    }

    /// Cuts the link at `end`; what is under way on it is lost.
    fn cut(&mut self, end: End) {
        let other = self.links.remove(&end).unwrap();
        self.links.remove(&other);
        self.in_flight.retain(|_, (to, _)| *to != end && *to != other);
        for (node, port) in [end, other] {
            if self.nodes[node].is_some() {
                let now = self.now;
                self.router(node).remove_peer(port, now);
                self.drain(node);
            }
        }
    }

    fn remove_node(&mut self, node: usize) {
        self.nodes[node] = None;
        for end in self.links.keys().copied().filter(|(at, _)| *at == node).collect::<Vec<_>>() {
            self.cut(end);
        }
    }

    /// Puts what the router wants to send on its way.
    fn drain(&mut self, node: usize) {
        while let Some((port, frame)) = self.router(node).poll_transmit() {
            let to = self.links[&(node, port)];
            self.in_flight.insert((self.now + LATENCY, self.sent), (to, frame));
            self.sent += 1;
        }
        while self.router(node).poll_event().is_some() {}
    }

    /// Lets time pass until `until`.
    fn run(&mut self, until: Instant) {
        loop {
            let arrival = self.in_flight.first_key_value().map(|((at, _), _)| *at);
            let link = self.planned.first_key_value().map(|((at, _), _)| *at);
            let timer =
                self.alive().into_iter().filter_map(|node| Some((self.router(node).poll_timeout()?.0, node))).min();
            let due = [arrival, link, timer.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = due;
            if link == Some(due) {
                let (_, (a, b)) = self.planned.pop_first().unwrap();
                self.connect(a, b);
            } else if arrival == Some(due) {
                let (_, ((node, port), frame)) = self.in_flight.pop_first().unwrap();
                let parsed = frame::parse(&frame).unwrap();
                let result = self.router(node).handle_protocol_frame(port, &parsed, due);
                assert_eq!(result, Ok(()), "all nodes are honest");
                self.drain(node);
            } else if let Some((_, node)) = timer {
                self.router(node).handle_timeout(due);
                assert!(self.router(node).poll_timeout().is_none_or(|(next, _)| next > due));
                self.drain(node);
            }
        }
        self.now = until;
    }

    /// Carries one traffic frame through the network in its present state. `None`: dropped. Otherwise the node where it
    /// ended and the number of hops.
    fn carry(&mut self, from: usize, to: &PublicKey, coords: Option<&Coords>) -> Option<(usize, usize)> {
        let now = self.now;
        let mut frame = PacketBuf::from(&b"hello"[..]);
        let mut at = (from, 0);
        let mut verdict = self.router(from).originate(to, coords, &mut frame, now);
        for hops in 0..MAX_HOPS {
            match verdict {
                Verdict::Drop(_) => return None,
                Verdict::Deliver(delivery) => {
                    let is_for_us = delivery.destination_key == self.key(at.0);
                    assert!(is_for_us || delivery.destination_key < self.key(at.0), "delivered to a lower key");
                    assert_eq!(&frame[delivery.payload_at..], b"hello");
                    return Some((at.0, hops));
                }
                Verdict::Forward(port) => {
                    at = self.links[&(at.0, port)];
                    assert_eq!(Header::parse(&frame).unwrap().kind, FrameKind::Traffic);
                    verdict = self.router(at.0).forward(at.1, &mut frame, now).expect("a well-formed frame");
                }
            }
        }
        panic!("a frame from node {from} goes in circles");
    }

    /// Groups of nodes that links connect.
    fn components(&self) -> Vec<BTreeSet<usize>> {
        let mut rest: BTreeSet<_> = self.alive().into_iter().collect();
        let mut components = Vec::new();
        while let Some(first) = rest.pop_first() {
            let (mut component, mut reached) = (BTreeSet::from([first]), vec![first]);
            while let Some(node) = reached.pop() {
                for ((_, _), (next, _)) in self.links.range((node, 0)..=(node, Port::MAX)) {
                    if component.insert(*next) {
                        rest.remove(next);
                        reached.push(*next);
                    }
                }
            }
            components.push(component);
        }
        components
    }

    /// Whether everybody in `component` follows its highest key.
    fn agrees_on_the_root(&mut self, component: &BTreeSet<usize>) -> bool {
        let highest = component.iter().map(|node| self.key(*node)).max();
        component.iter().all(|node| Some(self.router(*node).root().key) == highest)
    }

    /// Whether every frame between nodes of `component` ends exactly at its destination, by key and by coordinates.
    fn delivers_everything(&mut self, component: &BTreeSet<usize>) -> bool {
        component.iter().all(|to| component.iter().all(|from| from == to || self.delivers(*from, *to)))
    }

    fn delivers(&mut self, from: usize, to: usize) -> bool {
        let (key, coords) = (self.key(to), self.router(to).coords().clone());
        let distance = self.router(from).coords().distance(&coords);
        let by_key = self.carry(from, &key, None);
        let by_coords = self.carry(from, &key, Some(&coords));
        // Greedy routing gets nearer with every hop. (The root's coordinates are empty, so frames to it go by key.)
        let is_greedy = coords.is_empty() || by_coords.is_some_and(|(_, hops)| hops <= distance);
        let arrives = |way: Option<(usize, usize)>| way.is_some_and(|(node, _)| node == to);
        arrives(by_key) && arrives(by_coords) && is_greedy
    }

    /// Waits until everything that is connected works, and makes sure that it stays so. Returns how long it took.
    fn converge(&mut self) -> Duration {
        let start = self.now;
        let components = loop {
            self.run(self.now + Duration::from_millis(500));
            let components = self.components();
            let agreed =
                self.planned.is_empty() && components.iter().all(|component| self.agrees_on_the_root(component));
            if agreed && components.iter().all(|component| self.delivers_everything(component)) {
                break components;
            }
            assert!(!start.has_passed(DEADLINE, self.now), "not converged after {DEADLINE:?}");
        };
        let took = self.now.saturating_since(start);
        // Two lifetimes of a route: nothing of the past is left.
        self.run(self.now + Duration::from_secs(20));
        for component in &components {
            assert!(self.agrees_on_the_root(component), "the root was lost again");
            assert!(self.delivers_everything(component), "pairs were lost again");
            self.check_unowned_keys(component);
        }
        took
    }

    /// A frame for a key that nobody owns ends at the next higher one, wherever it comes from.
    fn check_unowned_keys(&mut self, component: &BTreeSet<usize>) {
        for owner in component {
            let mut below = self.key(*owner);
            below.0[31] = below.0[31].wrapping_sub(1);
            if below > self.key(*owner) {
                continue;
            }
            for from in component.iter().filter(|from| *from != owner) {
                let end = self.carry(*from, &below, None).map(|(node, _)| node);
                assert_eq!(end, Some(*owner), "from node {from}");
            }
        }
    }

    fn root(&self) -> usize {
        self.alive().into_iter().max_by_key(|node| self.key(*node)).unwrap()
    }
}

/// Lets a topology converge, for several seeds, and hands it to `then`.
fn with_converged(topology: &str, then: impl Fn(&mut Network, &mut Rng)) {
    for seed in 1..=2u8 {
        println!("{topology}, seed {seed}");
        let mut rng = Rng::new([seed; 32]);
        let mut network = Network::from_file(topology, &mut rng);
        println!("  converged after {:?}", network.converge());
        then(&mut network, &mut rng);
    }
}

/// Cuts a few links one after the other.
fn cut_links(network: &mut Network, rng: &mut Rng) {
    for _ in 0..3 {
        let ends: Vec<_> = network.links.keys().copied().collect();
        let end = ends[rng.below(ends.len() as u64) as usize];
        println!("  cutting the link of node {} at port {}", end.0, end.1);
        network.cut(end);
        println!("  converged after {:?}", network.converge());
    }
}

/// Removes the root, then the next one.
fn remove_roots(network: &mut Network, _: &mut Rng) {
    for _ in 0..2 {
        let root = network.root();
        println!("  removing node {root}, the root");
        network.remove_node(root);
        println!("  converged after {:?}", network.converge());
    }
}

#[test]
fn a_line_converges_and_reconverges_when_links_are_cut() {
    with_converged("line-00050", cut_links);
}

#[test]
fn two_halves_of_a_line_find_together_again() {
    with_converged("line-00050", |network, _| {
        let (end, other) =
            network.links.iter().map(|(end, other)| (*end, *other)).find(|(end, _)| end.0 == 25).unwrap();
        network.cut(end);
        println!("  cut in the middle, converged after {:?}", network.converge());
        network.connect(end.0, other.0);
        println!("  joined again, converged after {:?}", network.converge());
    });
}

#[test]
fn a_line_reconverges_when_its_root_goes() {
    with_converged("line-00050", remove_roots);
}

#[test]
fn a_grid_converges_and_reconverges_when_links_are_cut() {
    with_converged("grid4-00049", cut_links);
}

#[test]
fn a_grid_reconverges_when_its_root_goes() {
    with_converged("grid4-00049", remove_roots);
}

#[test]
fn a_random_tree_converges_and_reconverges_when_links_are_cut() {
    with_converged("mnl-rtree-0050", cut_links);
}

#[test]
fn a_random_tree_reconverges_when_its_root_goes() {
    with_converged("mnl-rtree-0050", remove_roots);
}
