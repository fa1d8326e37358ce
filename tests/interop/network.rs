//! Mixed networks on the loopback interface.

use std::net::SocketAddr;
use std::time::Duration;

use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::wire::coords::Coords;

use crate::daemon::Daemon;
use crate::go_node::{GoNode, LISTEN};
use crate::test_node::TestNode;
use crate::wait::{seconds, wait_until};

/// How long a small network may take to agree. A Go node looks at its static peers and bootstraps every five seconds; a new root
/// or a new neighbour in the snake needs a few such rounds.
pub(crate) const CONVERGENCE: Duration = seconds(40);
/// How long one message may take, being sent again every time it got lost.
const DELIVERY: Duration = seconds(15);
/// Between two attempts to send the same message.
const PAUSE: Duration = Duration::from_millis(50);

/// One node of a network.
pub(crate) enum Member {
    Go(GoNode),
    Daemon(Box<Daemon>),
    Node(TestNode),
}

impl Member {
    pub(crate) fn key(&self) -> PublicKey {
        match self {
            Self::Go(node) => node.key,
            Self::Daemon(daemon) => daemon.key,
            Self::Node(node) => node.key,
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Go(node) => node.tcp(),
            Self::Daemon(daemon) => daemon.address,
            Self::Node(node) => node.address,
        }
    }

    /// The root that it follows, and its coordinates.
    pub(crate) fn place(&self) -> (PublicKey, Vec<u64>) {
        match self {
            Self::Go(node) => node.place(),
            Self::Daemon(daemon) => daemon.place(),
            Self::Node(node) => node.place(),
        }
    }

    fn descending(&self) -> Option<PublicKey> {
        match self {
            Self::Go(node) => node.descending(),
            Self::Daemon(daemon) => daemon.descending(),
            Self::Node(node) => node.descending(),
        }
    }

    /// The peers by port; a test node does not tell.
    fn peers(&self) -> Option<Vec<(u64, PublicKey)>> {
        match self {
            Self::Go(node) => Some(node.peers()),
            Self::Daemon(daemon) => {
                let answer = daemon.ctl("peers");
                let peers = answer["peers"].as_array().unwrap().iter();
                let peer = |peer: &serde_json::Value| {
                    (peer["port"].as_u64().unwrap(), peer["key"].as_str().unwrap().parse().unwrap())
                };
                Some(peers.map(peer).collect())
            }
            Self::Node(_) => None,
        }
    }

    /// Whether it can send and tell what it receives.
    fn is_endpoint(&self) -> bool {
        !matches!(self, Self::Daemon(_))
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Go(node) => {
                node.assert_runs();
                node.restart();
            }
            Self::Daemon(daemon) => {
                assert!(daemon.is_running(), "a daemon died by itself");
                daemon.restart();
            }
            Self::Node(node) => node.disconnect_all(),
        }
    }
}

/// Some nodes.
pub(crate) struct Network {
    pub(crate) members: Vec<Member>,
}

impl Network {
    /// One member per letter: `G` a Go node, `D` our daemon, `N` a test node of our library. Of every edge, the second end dials
    /// the first, which has the lower index. Keys are chosen so that the member number `root` has the highest one.
    pub(crate) fn build(kinds: &str, edges: &[(usize, usize)], root: usize) -> Self {
        let seeds = seeds(kinds.len(), root);
        let mut members: Vec<Member> = vec![];
        for (index, (kind, seed)) in kinds.chars().zip(seeds).enumerate() {
            let dialled: Vec<_> =
                edges.iter().filter(|(_, dialler)| *dialler == index).map(|(to, _)| members[*to].address()).collect();
            members.push(match kind {
                'G' => {
                    let peers: Vec<_> = dialled.iter().map(SocketAddr::to_string).collect();
                    Member::Go(GoNode::start(seed, &[LISTEN, &["-connect", &peers.join(",")]].concat()))
                }
                'D' => Member::Daemon(Box::new(Daemon::start(seed, &dialled))),
                _ => {
                    let node = TestNode::start(seed);
                    dialled.into_iter().for_each(|address| node.connect(address));
                    Member::Node(node)
                }
            });
        }
        Self { members }
    }

    /// Waits until all follow the highest key, every one's coordinates are its parent's and the port that it has there, and each
    /// knows the next lower key.
    pub(crate) fn wait_agreed(&self, deadline: Duration) {
        let mut keys: Vec<_> = self.members.iter().map(Member::key).collect();
        keys.sort();
        let root = *keys.last().unwrap();
        wait_until("all follow the highest key, each below its parent", deadline, || {
            let places: Vec<_> = self.members.iter().map(Member::place).collect();
            places.iter().all(|(follows, _)| *follows == root)
                && self
                    .members
                    .iter()
                    .zip(&places)
                    .all(|(member, (_, place))| self.is_below_its_parent(member, place, &places))
        });
        for member in &self.members {
            let below = keys.iter().rev().find(|key| **key < member.key()).copied();
            wait_until("each knows the next lower key", deadline, || member.descending() == below);
        }
    }

    fn is_below_its_parent(&self, member: &Member, place: &[u64], places: &[(PublicKey, Vec<u64>)]) -> bool {
        let Some((port, parent_place)) = place.split_last() else { return places[0].0 == member.key() };
        let mut parents = self.members.iter().zip(places).filter(|(_, (_, place))| place == parent_place);
        let (Some((parent, _)), None) = (parents.next(), parents.next()) else { return false };
        parent.peers().is_none_or(|peers| peers.contains(&(*port, member.key())))
    }

    /// Every pair of endpoints exchanges traffic in both directions: by key, and by coordinates as soon as they are known.
    pub(crate) fn assert_all_pairs(&self) {
        let endpoints: Vec<_> = self.members.iter().filter(|member| member.is_endpoint()).collect();
        for (n, a) in endpoints.iter().enumerate() {
            for b in &endpoints[n + 1..] {
                assert_delivers(a, b, "first");
                assert_delivers(b, a, "answer");
                assert_delivers(a, b, "second");
                assert_delivers(b, a, "third");
                for (from, to) in [(a, b), (b, a)] {
                    assert_goes_by_tree(from, to);
                }
            }
        }
    }

    /// Nobody died, and nobody broke a rule towards a test node.
    pub(crate) fn assert_well(&mut self) {
        for member in &mut self.members {
            match member {
                Member::Go(node) => node.assert_runs(),
                Member::Daemon(daemon) => assert!(daemon.is_running()),
                Member::Node(node) => assert_eq!(node.complaints(), &[] as &[String], "about {:?}'s peers", node.key),
            }
        }
    }
}

/// Sends until it arrives, from the right one and unchanged.
pub(crate) fn assert_delivers(from: &Member, to: &Member, text: &str) {
    let payload = format!("{text}, {:?} to {:?}", from.key(), to.key());
    wait_until(&format!("{payload} arrives"), DELIVERY, || delivers(from, to, payload.as_bytes()));
}

/// As [`assert_delivers`], with a payload of this many bytes.
pub(crate) fn assert_delivers_bytes(from: &Member, to: &Member, length: usize) {
    let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    wait_until(&format!("{length} bytes arrive"), DELIVERY, || delivers(from, to, &payload));
}

/// Sends once, by key or as the sender likes it, and looks for it.
pub(crate) fn delivers(from: &Member, to: &Member, payload: &[u8]) -> bool {
    match from {
        Member::Go(node) => node.send(to.key(), payload),
        Member::Node(node) => node.send(to.key(), None, payload),
        Member::Daemon(_) => panic!("a daemon has no bare traffic of its own"),
    }
    std::thread::sleep(PAUSE);
    match to {
        Member::Go(node) => node.take_received().contains(&(from.key(), payload.to_vec())),
        Member::Node(node) => {
            node.take_received().iter().any(|received| received.from == from.key() && received.payload == payload)
        }
        Member::Daemon(_) => panic!("a daemon does not tell what it received"),
    }
}

/// A Go node has learnt the coordinates of whom it heard, uses them, and the frame arrives by them. Our nodes are told.
fn assert_goes_by_tree(from: &Member, to: &Member) {
    let (_, place) = to.place();
    // The root has no coordinates: everything to it goes by key.
    if place.is_empty() {
        return;
    }
    let payload = format!("by tree, {:?} to {:?}", from.key(), to.key());
    if let Member::Go(node) = from {
        wait_until("the Go node knows the coordinates", seconds(5), || node.cached(&to.key()).as_ref() == Some(&place));
    }
    wait_until(&format!("{payload} arrives"), DELIVERY, || {
        match from {
            Member::Node(node) => node.send(to.key(), Some(&Coords::new(place.clone())), payload.as_bytes()),
            Member::Go(node) => node.send(to.key(), payload.as_bytes()),
            Member::Daemon(_) => unreachable!("not an endpoint"),
        }
        std::thread::sleep(PAUSE);
        match to {
            Member::Node(node) => {
                let received = node.take_received();
                let ours = received.iter().find(|received| received.payload == payload.as_bytes());
                ours.is_some_and(|received| received.from == from.key() && received.by_tree)
            }
            Member::Go(node) => node.take_received().contains(&(from.key(), payload.clone().into_bytes())),
            Member::Daemon(_) => unreachable!("not an endpoint"),
        }
    });
}

/// Private keys of which the one at `highest` has the highest public key. The others are in no order.
fn seeds(count: usize, highest: usize) -> Vec<[u8; 32]> {
    let mut seeds: Vec<_> = (1..=count).map(|n| [u8::try_from(n).unwrap(); 32]).collect();
    let at = (0..count).max_by_key(|n| Keypair::from_seed(&Seed(seeds[*n])).public()).unwrap();
    seeds.swap(at, highest);
    seeds
}
