//! Any frames from any peers, good and bad: nothing panics, and all that is derived stays what it is derived from.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::buf::PacketBuf;
use crate::router::next_hop::ranked;
use crate::router::{Profile, Transit};
use crate::wire::broadcast::WakeupBroadcast;
use crate::wire::coords::Coords;
use crate::wire::frame::{BroadcastFrame, TrafficHeader};
use crate::wire::notice::{RouteNotice, RouteTrouble};

/// Nodes in the test; the router is number `OWN`.
const NODES: usize = 8;
const OWN: usize = 4;
const MAX_ROUTES: usize = 4;

/// Something that happens to the router. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        node: usize,
    },
    Disconnect {
        port: Port,
    },
    /// A chain of signers; the peer is appended. Sometimes with a signature broken.
    Announce {
        port: Port,
        signers: Vec<usize>,
        sequence: u64,
        is_good: bool,
    },
    Bootstrap {
        port: Port,
        node: usize,
        sequence: u64,
        is_good: bool,
        watermark: (usize, u64),
    },
    Broadcast {
        port: Port,
        node: usize,
        sequence: u64,
        hop_limit: u8,
        is_good: bool,
    },
    Notice {
        port: Port,
        trouble: RouteTrouble,
        nodes: Vec<usize>,
    },
    Traffic {
        port: Port,
        node: usize,
        destination: Vec<u64>,
        watermark: (usize, u64),
    },
    Originate {
        node: usize,
        destination: Vec<u64>,
    },
    /// Any bytes behind a good header.
    Garbage {
        port: Port,
        kind: u8,
        body: Vec<u8>,
    },
    Wait {
        millis: u64,
    },
    /// Nothing is sent for a while unless this happens.
    Send,
}

fn step() -> impl Strategy<Value = Step> {
    let port = || 1..6 as Port;
    let node = || 0..NODES;
    let mark = || (node(), prop_oneof![Just(0), 0..50u64]);
    let coords = || prop::collection::vec(1..4u64, 0..4);
    let good = || prop::bool::weighted(0.95);
    let trouble = prop_oneof![Just(RouteTrouble::Broken), Just(RouteTrouble::Withdrawn)];
    prop_oneof![
        3 => node().prop_map(|node| Step::Connect { node }),
        1 => port().prop_map(|port| Step::Disconnect { port }),
        6 => (port(), prop::collection::vec(node(), 0..4), 0..4u64, good())
            .prop_map(|(port, signers, sequence, is_good)| Step::Announce { port, signers, sequence, is_good }),
        6 => (port(), node(), 0..50u64, good(), mark()).prop_map(|(port, node, sequence, is_good, watermark)| {
            Step::Bootstrap { port, node, sequence, is_good, watermark }
        }),
        2 => (port(), node(), 0..50u64, any::<u8>(), good()).prop_map(|(port, node, sequence, hop_limit, is_good)| {
            Step::Broadcast { port, node, sequence, hop_limit, is_good }
        }),
        3 => (port(), trouble, prop::collection::vec(node(), 1..4))
            .prop_map(|(port, trouble, nodes)| Step::Notice { port, trouble, nodes }),
        3 => (port(), node(), coords(), mark())
            .prop_map(|(port, node, destination, watermark)| Step::Traffic { port, node, destination, watermark }),
        1 => (node(), coords()).prop_map(|(node, destination)| Step::Originate { node, destination }),
        1 => (port(), 0..6u8, prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(port, kind, body)| Step::Garbage { port, kind, body }),
        3 => prop_oneof![0..3000u64, Just(50 * 60 * 1000)].prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Send),
    ]
}

struct World {
    nodes: [Arc<Keypair>; NODES],
    router: Router,
    now: Instant,
}

impl World {
    fn new(profile: Profile, transit: Transit) -> Self {
        let nodes = nodes();
        let Profile { rules, timings } = profile;
        let config = RouterConfig { max_routes: MAX_ROUTES, rules, timings, transit, ..RouterConfig::default() };
        Self { router: router_with(&nodes[OWN], config), nodes, now: START }
    }

    /// Hands over one frame as the node does, and closes the peering if the router says so.
    fn frame(&mut self, port: Port, bytes: &[u8]) {
        let result = match frame::parse(bytes) {
            Ok(Frame::Traffic(_)) => self.router.forward(port, &mut PacketBuf::from(bytes), self.now).map(|_| ()),
            Ok(frame) => self.router.handle_protocol_frame(port, &frame, self.now),
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            self.router.remove_peer(port, self.now);
        }
    }

    fn watermark(&self, (node, sequence): (usize, u64)) -> Watermark {
        if node == OWN { Watermark::NONE } else { Watermark { key: self.nodes[node].public(), sequence } }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Connect { node } => {
                let key = self.nodes[*node].public();
                if *node != OWN && self.router.peers.iter().count() < 5 {
                    // Every other node is a plain one; of the others there are all kinds.
                    let extensions = match node {
                        0 => Extensions::ROUTE_NOTICES.and(Transit::Never.extensions()),
                        2 => Extensions::ROUTE_NOTICES.and(Transit::Avoid.extensions()),
                        6 => Extensions::ROUTE_NOTICES,
                        _ => Extensions::NONE,
                    };
                    self.router.add_peer(key, PeerKind::Remote, extensions, self.now).unwrap();
                }
            }
            Step::Disconnect { port } => self.router.remove_peer(*port, self.now),
            Step::Announce { port, signers, sequence, is_good } => {
                self.announce(*port, signers, *sequence, *is_good);
            }
            Step::Bootstrap { port, node, sequence, is_good, watermark } => {
                let signed = Bootstrap::sign(*sequence, self.router.root(), &self.nodes[*node]);
                let mut payload = signed.encode();
                payload[80] ^= u8::from(!is_good);
                let destination = self.nodes[*node].public();
                let (watermark, payload) = (self.watermark(*watermark), &payload[..]);
                // Any age: sequences are below 50.
                let hop_limit = u8::try_from(sequence * 5).unwrap();
                let frame = BootstrapFrame { version: 0, extra: 0, hop_limit, destination, watermark, payload };
                self.frame(*port, &frame::bootstrap(&frame).unwrap());
            }
            Step::Broadcast { port, node, sequence, hop_limit, is_good } => {
                let signed = WakeupBroadcast::sign(*sequence, self.router.root(), &self.nodes[*node]);
                let mut payload = signed.encode();
                payload[80] ^= u8::from(!is_good);
                let (source, hop_limit, payload) = (self.nodes[*node].public(), *hop_limit, &payload[..]);
                let frame = BroadcastFrame { version: 0, extra: 0, hop_limit, source, payload };
                self.frame(*port, &frame::broadcast(&frame).unwrap());
            }
            Step::Notice { port, trouble, nodes } => {
                let keys: Vec<_> = nodes.iter().map(|node| self.nodes[*node].public()).collect();
                for notice in RouteNotice::about(&keys) {
                    self.frame(*port, &frame::route_notice(*trouble, &notice).unwrap());
                }
            }
            Step::Traffic { port, node, destination, watermark } => {
                let mut frame = PacketBuf::from(&b"hello"[..]);
                let header = TrafficHeader {
                    version: 0,
                    extra: 0,
                    hop_limit: 10,
                    destination: &Coords::new(destination.clone()),
                    source: &Coords::default(),
                    destination_key: &self.nodes[*node].public(),
                    source_key: &self.nodes[0].public(),
                    watermark: self.watermark(*watermark),
                };
                frame::emit_traffic(&mut frame, &header).unwrap();
                self.frame(*port, &frame);
            }
            Step::Originate { node, destination } => {
                let mut payload = PacketBuf::from(&b"hello"[..]);
                let coords = Coords::new(destination.clone());
                let _ = self.router.originate(&self.nodes[*node].public(), Some(&coords), &mut payload, self.now);
            }
            Step::Garbage { port, kind, body } => {
                let len = u16::try_from(10 + body.len()).unwrap().to_be_bytes();
                self.frame(*port, &[b"pine\x00", &[*kind][..], &[0, 5], &len, body].concat());
            }
            Step::Wait { millis } => {
                self.now = self.now + Duration::from_millis(*millis);
                self.router.handle_timeout(self.now);
                assert!(self.router.poll_timeout().is_none_or(|(due, _)| due > self.now), "a deadline in the past");
            }
            Step::Send => {
                sent(&mut self.router);
                events(&mut self.router);
            }
        }
    }

    fn announce(&mut self, port: Port, signers: &[usize], sequence: u64, is_good: bool) {
        let Some(peer) = self.router.peers.get(port) else { return };
        let peer = self.nodes.iter().position(|node| node.public() == peer.key).unwrap();
        let mut path = Vec::new();
        for node in signers.iter().copied().filter(|node| *node != peer) {
            if !path.contains(&node) {
                path.push(node);
            }
        }
        let path: Vec<_> = path.into_iter().chain([peer]).map(|node| &*self.nodes[node]).collect();
        let mut announcement = chain(&path, sequence);
        announcement.hops[0].signature[9] ^= u8::from(!is_good);
        self.frame(port, &frame::announcement(&announcement.encode()).unwrap());
    }

    fn check(&self) {
        let router = &self.router;
        let parent = router.parent().map(|port| router.peers.get(port).unwrap().heard.as_ref().unwrap());
        match parent {
            Some(heard) => {
                assert_eq!((router.root(), router.coords()), (heard.announcement.root, &heard.announcement.coords()));
                assert!(!heard.has_loop && router.root().key > router.key_as_root());
            }
            None => assert_eq!((router.root().key, router.coords().len()), (router.own, 0)),
        }
        let mut signers = BTreeSet::new();
        let mut neighbours = BTreeSet::new();
        for (port, peer) in router.peers.iter() {
            let Some(heard) = &peer.heard else { continue };
            if router.is_leaf(port) {
                assert_ne!(router.parent(), Some(port));
                assert!(router.leaves.owner(&peer.key).is_some());
            } else {
                signers.extend(ranked(heard.announcement.signers(), peer.key, peer.rank(port).unwrap()));
            }
            if router.is_our_root(&heard.announcement.root) {
                neighbours.insert((port, heard.announcement.peer_coords()));
            }
        }
        assert_eq!(*router.signers.entries(), signers);
        assert_eq!(
            router
                .tree
                .neighbours
                .iter()
                .chain(router.tree.leaves.iter())
                .map(|(port, coords)| (port, coords.clone()))
                .collect::<BTreeSet<_>>(),
            neighbours
        );
        assert!(router.route_count() <= MAX_ROUTES);
        router.snake.routes.assert_consistent();
        let is_up = |port: Port| router.peers.get(port).is_some();
        for (key, route) in router.snake.routes.iter() {
            assert!(*key != router.own && is_up(route.via) && route.next.is_none_or(is_up));
        }
        if let Some((key, route)) = router.snake.descending {
            assert!(key < router.own && is_up(route.via) && route.next.is_none_or(is_up));
        }
        assert!((0..256).all(|port| router.outgoing.len(port) <= if is_up(port) { 257 } else { 0 }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_frames_leave_the_router_consistent(
        steps in prop::collection::vec(step(), 0..80),
        profile in prop_oneof![Just(Profile::strict()), Just(Profile::improved())],
        transit in prop_oneof![3 => Just(Transit::Full), 1 => Just(Transit::Avoid), 1 => Just(Transit::Never)],
    ) {
        let mut world = World::new(profile, transit);
        for step in &steps {
            world.step(step);
            world.check();
        }
    }
}
