//! The next hop by key against a second implementation: the specification's §6.5 to the letter, with scans.

use proptest::prelude::*;

use super::*;
use crate::router::next_hop::{NextHop, Rank, SignerIndex, SnakeQuery, SnakeView, by_key};
use crate::router::snake::{Kept, Route, Routes};
use crate::router::transit::Leaves;

/// Keys are single numbers here: few, so that they meet often.
fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

/// Ports from both ends of the range, in the order of the peers.
fn port_of(peer: usize) -> Port {
    1 + peer as Port * 818
}

const KINDS: [PeerKind; 3] = [PeerKind::Lan, PeerKind::Remote, PeerKind::Bluetooth];

#[derive(Clone, Debug)]
struct PeerCase {
    kind: PeerKind,
    order: u64,
    /// Root first, the peer itself last; no key twice.
    signers: Vec<u8>,
}

#[derive(Clone, Debug)]
struct RouteCase {
    key: u8,
    via: usize,
    sequence: u64,
    is_live: bool,
}

#[derive(Clone, Debug)]
struct Case {
    own: u8,
    parent: Option<usize>,
    peers: Vec<PeerCase>,
    routes: Vec<RouteCase>,
    destination: u8,
    bootstrap: bool,
    watermark: (u8, u64),
}

impl Case {
    fn root(&self) -> u8 {
        self.parent.map_or(self.own, |parent| self.peers[parent].signers[0])
    }

    fn peer_key(&self, peer: usize) -> u8 {
        self.peers[peer].signers[self.peers[peer].signers.len() - 1]
    }

    /// Peers in the order in which ties are to be decided.
    fn preferred(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.peers.len()).collect();
        order.sort_by_key(|peer| (self.peers[*peer].kind, self.peers[*peer].order, *peer));
        order
    }
}

/// §6.5, step by step. Of several right answers the one that we want: ties go to the preferred peer.
fn by_the_letter(case: &Case) -> (Option<NextHop>, Watermark) {
    let (own, destination, bootstrap) = (key(case.own), key(case.destination), case.bootstrap);
    let given = Watermark { key: key(case.watermark.0), sequence: case.watermark.1 };
    if !bootstrap && destination == own {
        return (Some(NextHop::Local), given);
    }
    let port = |peer: usize| Some(NextHop::Port(port_of(peer)));
    let ordered = |a: PublicKey, b: PublicKey, c: PublicKey| a < b && b < c;
    let mut best = (own, 0, if bootstrap { None } else { Some(NextHop::Local) });
    let check = |best: &mut (PublicKey, u64, Option<NextHop>), candidate: PublicKey, sequence, hop| {
        let is_it = !bootstrap && candidate == destination && best.0 != destination;
        if is_it || ordered(destination, candidate, best.0) {
            *best = (candidate, sequence, hop);
        }
    };
    if let Some(parent) = case.parent {
        let root = key(case.root());
        if (bootstrap && best.0 == destination) || ordered(best.0, destination, root) {
            best = (root, 0, port(parent));
        }
        for signer in &case.peers[parent].signers {
            check(&mut best, key(*signer), 0, port(parent));
        }
    }
    for peer in case.preferred() {
        for signer in &case.peers[peer].signers {
            check(&mut best, key(*signer), 0, port(peer));
        }
    }
    // Steps 4 and 6 in one: of several peerings to the best key, the preferred one.
    if let Some(peer) = case.preferred().into_iter().find(|peer| key(case.peer_key(*peer)) == best.0) {
        best = (best.0, 0, port(peer));
    }
    for route in case.routes.iter().filter(|route| route.is_live) {
        let mark = Watermark { key: key(route.key), sequence: route.sequence };
        if !mark.is_worse_than(&given) {
            check(&mut best, mark.key, mark.sequence, port(route.via));
        }
    }
    (best.2, Watermark { key: best.0, sequence: best.1 })
}

fn by_index(case: &Case) -> (Option<NextHop>, Watermark) {
    let rank = |peer: usize| Rank::new(case.peers[peer].kind, case.peers[peer].order, port_of(peer));
    let (mut signers, mut routes) = (SignerIndex::default(), Routes::new(1000));
    for (i, peer) in case.peers.iter().enumerate() {
        let keys: Vec<_> = peer.signers.iter().map(|n| key(*n)).collect();
        signers.insert(keys.iter(), key(case.peer_key(i)), rank(i));
    }
    let root = Root { key: key(case.root()), sequence: 1 };
    for route in &case.routes {
        let live_until = if route.is_live { at(1) } else { START };
        let (via, sequence) = (port_of(route.via), route.sequence);
        routes.insert(
            key(route.key),
            via,
            Route { via, next: None, live_until, root, sequence, kept: Kept::default(), is_reported: false },
        );
    }
    let parent = case.parent.map(rank);
    let view = SnakeView {
        own: key(case.own),
        root: root.key,
        parent,
        signers: &signers,
        leaves: &Leaves::default(),
        looks_above_root: false,
        routes: &routes,
        now: START,
    };
    let watermark = Watermark { key: key(case.watermark.0), sequence: case.watermark.1 };
    by_key(&view, &SnakeQuery { destination: key(case.destination), bootstrap: case.bootstrap, watermark })
}

fn case() -> impl Strategy<Value = Case> {
    let peer = (0..KINDS.len(), prop::collection::btree_set(0..30u8, 1..5), any::<u64>());
    let route = (0..30u8, any::<prop::sample::Index>(), 0..4u64, prop::bool::weighted(0.8));
    let frame = (0..30u8, any::<bool>(), prop_oneof![Just((255, 0)), (0..30u8, 0..4u64)]);
    let parts = (
        0..30u8,
        prop::option::weighted(0.8, any::<prop::sample::Index>()),
        prop::collection::vec(peer, 1..6),
        prop::collection::btree_map(0..30u8, route, 0..8),
        frame,
    );
    parts.prop_map(|(own, parent, peers, routes, (destination, bootstrap, watermark))| {
        let own_key = own;
        let peers: Vec<_> = peers
            .into_iter()
            .enumerate()
            .map(|(i, (kind, signers, shuffle))| {
                // The order of the signers between root and peer does not matter; which one is the peer does.
                let mut signers: Vec<_> = signers.into_iter().collect();
                signers.reverse();
                let last = signers.len() - 1;
                let peer = (shuffle as usize % signers.len()).max(1).min(last);
                signers.swap(last, peer);
                if signers[last] == own_key {
                    signers[last] = 30;
                }
                PeerCase { kind: KINDS[kind], order: 10 - i as u64, signers }
            })
            .collect();
        let parent = parent.map(|parent| parent.index(peers.len()));
        // A parent's root is above us and its announcement does not contain us.
        let parent = parent.filter(|parent| peers[*parent].signers[0] > own && !peers[*parent].signers.contains(&own));
        let routes = routes.into_iter().filter(|(key, _)| *key != own).map(|(key, (_, via, sequence, is_live))| {
            RouteCase { key, via: via.index(peers.len()), sequence, is_live }
        });
        let routes = routes.collect();
        Case { own, parent, peers, routes, destination, bootstrap, watermark }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_index_finds_what_the_specification_says(case in case()) {
        prop_assert_eq!(by_index(&case), by_the_letter(&case));
    }
}

#[test]
fn ranks_compare_kind_then_order_then_port_whatever_the_port() {
    const MANY: u64 = 1 << 40;
    let ranks = [
        (PeerKind::Lan, 0, 7),
        (PeerKind::Lan, 1, 1),
        (PeerKind::Lan, 1, 255),
        (PeerKind::Lan, 1, 256),
        (PeerKind::Lan, 1, MAX_PORT),
        (PeerKind::Lan, 2, 1),
        (PeerKind::Lan, MANY, MAX_PORT),
        (PeerKind::Lan, u64::MAX, Port::MAX),
        (PeerKind::Remote, 0, 1),
        (PeerKind::Bluetooth, 0, 1),
    ];
    assert!(ranks.map(|(kind, order, port)| Rank::new(kind, order, port)).is_sorted_by(|a, b| a < b));
}
