//! Networks of daemons and test nodes on the loopback interface.

use std::time::Duration;

use pinecone::keys::PublicKey;
use pinecone::wire::coords::Coords;

use crate::daemon::Daemon;
use crate::test_node::TestNode;
use crate::wait::{seconds, wait_until};

/// How long a small network may take to agree: the one-second wait after a lost parent, a few bootstrap rounds of five
/// seconds, and a machine that is busy with other tests.
pub(crate) const CONVERGENCE: Duration = seconds(30);
/// How long one message may take, being sent again every time it got lost.
const DELIVERY: Duration = seconds(10);

/// One node of a network.
pub(crate) enum Member {
    Daemon(Box<Daemon>),
    Node(TestNode),
}

impl Member {
    pub(crate) fn key(&self) -> PublicKey {
        match self {
            Self::Daemon(daemon) => daemon.key,
            Self::Node(node) => node.key,
        }
    }

    fn address(&self) -> std::net::SocketAddr {
        match self {
            Self::Daemon(daemon) => daemon.address,
            Self::Node(node) => node.address,
        }
    }

    /// The root that it follows and its coordinates.
    pub(crate) fn place(&self) -> (PublicKey, Vec<u64>) {
        match self {
            Self::Daemon(daemon) => daemon.place(),
            Self::Node(node) => node.place(),
        }
    }

    fn descending(&self) -> Option<PublicKey> {
        match self {
            Self::Daemon(daemon) => daemon.descending(),
            Self::Node(node) => node.descending(),
        }
    }
}

/// Some nodes and the edges between them.
pub(crate) struct Network {
    pub(crate) members: Vec<Member>,
}

impl Network {
    /// One member per letter: `D` a daemon, `N` a test node. Of every edge, the second end dials the first, which has the lower
    /// index.
    pub(crate) fn build(kinds: &str, edges: &[(usize, usize)]) -> Self {
        let mut members: Vec<Member> = vec![];
        for (index, kind) in kinds.chars().enumerate() {
            // The order of the keys has nothing to do with that of the nodes.
            let seed = [u8::try_from(index).unwrap() + 1; 32];
            let dialled: Vec<_> =
                edges.iter().filter(|(_, dialler)| *dialler == index).map(|(to, _)| members[*to].address()).collect();
            members.push(if kind == 'D' {
                Member::Daemon(Box::new(Daemon::start(seed, &dialled)))
            } else {
                let node = TestNode::start(seed);
                dialled.into_iter().for_each(|address| node.connect(address));
                Member::Node(node)
            });
        }
        Self { members }
    }

    /// All test nodes.
    pub(crate) fn nodes(&self) -> Vec<&TestNode> {
        self.members
            .iter()
            .filter_map(|member| if let Member::Node(node) = member { Some(node) } else { None })
            .collect()
    }

    /// Waits until all follow the highest key, no two have the same coordinates, and each knows the next lower key.
    pub(crate) fn wait_agreed(&self) {
        let mut keys: Vec<_> = self.members.iter().map(Member::key).collect();
        keys.sort();
        let root = *keys.last().unwrap();
        wait_until("all follow the highest key, each at a place of its own", CONVERGENCE, || {
            let places: Vec<_> = self.members.iter().map(Member::place).collect();
            let mut coordinates: Vec<_> = places.iter().map(|(_, coordinates)| coordinates).collect();
            coordinates.sort();
            coordinates.dedup();
            coordinates.len() == self.members.len() && places.iter().all(|(follows, _)| *follows == root)
        });
        for member in &self.members {
            let below = keys.iter().rev().find(|key| **key < member.key()).copied();
            wait_until("each knows the next lower key", CONVERGENCE, || member.descending() == below);
        }
    }

    /// Waits until every test node has sent to every other one, by key and by coordinates, and each heard it from the right one.
    pub(crate) fn assert_all_pairs(&self) {
        for from in self.nodes() {
            for to in self.nodes().into_iter().filter(|to| to.key != from.key) {
                assert_delivers(from, to, None);
                let coordinates = Coords::new(to.place().1);
                // The root has none: frames to it always go by key.
                if !coordinates.is_empty() {
                    assert_delivers(from, to, Some(&coordinates));
                }
            }
        }
    }

    /// Fails if any member broke a rule towards a test node.
    pub(crate) fn assert_no_complaints(&self) {
        for node in self.nodes() {
            assert_eq!(node.complaints(), &[] as &[String], "about the peers of {:?}", node.key);
        }
    }
}

/// Sends until it arrives. A frame that was routed by coordinates must arrive so.
pub(crate) fn assert_delivers(from: &TestNode, to: &TestNode, coordinates: Option<&Coords>) {
    let payload = format!("{:?} to {:?} by {}", from.key, to.key, if coordinates.is_some() { "tree" } else { "key" });
    wait_until(&format!("{payload} arrives"), DELIVERY, || {
        from.send(to.key, coordinates, payload.as_bytes());
        std::thread::sleep(Duration::from_millis(20));
        let received = to.take_received();
        let ours = received.iter().find(|received| received.payload == payload.as_bytes());
        ours.is_some_and(|received| received.from == from.key && received.by_tree == coordinates.is_some())
    });
}
