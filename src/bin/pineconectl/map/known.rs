//! The part of the tree and of the snake that one node knows.

use std::collections::BTreeMap;

use pinecone::keys::PublicKey;
use pinecone::node::status::{PeerStatus, SessionStatus, SnakeStatus, Status, TreeStatus};
use serde::Serialize;

/// Most nodes of the tree that are drawn, and most of the snake: a picture with more shows nothing.
const MAX_NODES: usize = 500;
const MAX_SNAKE: usize = 128;

/// Who a node is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// On the way to somebody; all that is known of it is its place.
    Between,
    /// There is a session with it.
    Session,
    /// On the way from the root to us.
    Ancestor,
    /// A peer.
    Peer,
    /// This node.
    Own,
}

/// A node in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Node {
    /// Its place: ports from the root down.
    pub(super) coordinates: Vec<u64>,
    /// Its key, if known.
    pub(super) key: Option<PublicKey>,
    pub(super) role: Role,
}

/// A node in the snake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Bead {
    pub(super) key: PublicKey,
    /// The port that leads towards it; none for us and for the next lower key, unless there is a route.
    pub(super) port: Option<u16>,
    pub(super) is_own: bool,
    /// Whether it is the next lower key, which we tell of ourselves.
    pub(super) is_descending: bool,
}

/// What is known.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Known {
    pub(super) own: PublicKey,
    pub(super) address: String,
    pub(super) root: PublicKey,
    /// Nodes of the tree, by their places: parents come before their children.
    pub(super) tree: Vec<Node>,
    /// Nodes of the snake, by their keys.
    pub(super) snake: Vec<Bead>,
    /// Nodes that are known and left out, of the tree and of the snake.
    pub(super) left_out: (usize, usize),
}

impl Known {
    pub(super) fn new(
        status: &Status,
        tree: &TreeStatus,
        peers: &[PeerStatus],
        sessions: &[SessionStatus],
        snake: &SnakeStatus,
    ) -> Self {
        let mut places: BTreeMap<Vec<u64>, (Role, Option<PublicKey>)> = BTreeMap::new();
        let mut put = |coordinates: &[u64], role: Role, key: Option<PublicKey>| {
            for depth in 0..coordinates.len() {
                places.entry(coordinates[..depth].to_vec()).or_insert((Role::Between, None));
            }
            let place = places.entry(coordinates.to_vec()).or_insert((role, key));
            place.0 = place.0.max(role);
            place.1 = place.1.or(key);
        };
        put(&tree.coordinates, Role::Own, Some(status.public_key));
        for (depth, key) in tree.ancestors.iter().enumerate().filter(|(depth, _)| *depth < tree.coordinates.len()) {
            put(&tree.coordinates[..depth], Role::Ancestor, Some(*key));
        }
        // Coordinates in another tree mean another place.
        for peer in peers.iter().filter(|peer| peer.root == Some(tree.root)) {
            if let Some(coordinates) = &peer.coordinates {
                put(coordinates, Role::Peer, Some(peer.key));
            }
        }
        for session in sessions {
            if let Some(coordinates) = session.coordinates.as_ref().filter(|_| session.routed_by != "snake") {
                put(coordinates, Role::Session, Some(session.key));
            }
        }
        let all = places.len();
        let tree_nodes: Vec<Node> = places
            .into_iter()
            .take(MAX_NODES)
            .map(|(coordinates, (role, key))| Node { coordinates, key, role })
            .collect();
        let (snake, snake_left_out) = beads(status.public_key, snake);
        Self {
            own: status.public_key,
            address: status.address.clone(),
            root: tree.root,
            left_out: (all - tree_nodes.len(), snake_left_out),
            tree: tree_nodes,
            snake,
        }
    }
}

/// The snake around us: those whose keys are nearest to ours in the order of keys.
fn beads(own: PublicKey, snake: &SnakeStatus) -> (Vec<Bead>, usize) {
    let mut beads: BTreeMap<PublicKey, Option<u16>> =
        snake.routes.iter().map(|route| (route.key, Some(route.via_port))).collect();
    beads.insert(own, None);
    if let Some(descending) = snake.descending {
        beads.entry(descending).or_insert(None);
    }
    let all = beads.len();
    let at = beads.range(..own).count();
    let first = at.saturating_sub(MAX_SNAKE / 2).min(all.saturating_sub(MAX_SNAKE));
    let bead = |(key, port)| Bead { key, port, is_own: key == own, is_descending: snake.descending == Some(key) };
    let shown: Vec<Bead> = beads.into_iter().skip(first).take(MAX_SNAKE).map(bead).collect();
    let left_out = all - shown.len();
    (shown, left_out)
}

#[cfg(test)]
pub(super) mod tests {
    use pinecone::node::status::SnakeRoute;

    use super::*;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    pub(in super::super) fn example(routes: usize) -> Known {
        let status = serde_json::json!({
            "public_key": key(5), "address": "605::1", "subnet": "705::/64", "coordinates": [3, 1], "root": key(9), "root_sequence": 7,
            "peers": 1, "sessions": 1, "snake_routes": 5, "uptime_seconds": 1.0, "version": "0.1.0", "packets_delivered": 0,
            "packets_sent": 0, "frames_forwarded": 0, "drops": {},
        });
        let tree = TreeStatus {
            root: key(9),
            root_sequence: 7,
            parent: Some(key(8)),
            parent_port: Some(1),
            coordinates: vec![3, 1],
            ancestors: vec![key(9), key(8)],
            waiting: false,
        };
        let peer = |n, coordinates: &[u64], root| {
            let peer = serde_json::json!({
                "port": n, "key": key(n), "address": "a", "uri": "tcp://<evil>", "inbound": false, "authenticated": true, "uptime_seconds": 1.0,
                "coordinates": coordinates, "root": key(root), "parent": n == 8, "received_bytes": 0, "sent_bytes": 0, "queued_bytes": 0,
                "queue_drops": 0,
            });
            serde_json::from_value(peer).unwrap()
        };
        let peers: [PeerStatus; 3] = [peer(8, &[3], 9), peer(2, &[3, 1, 4], 9), peer(3, &[7], 1)];
        let session = serde_json::json!({
            "key": key(4), "address": "604::1", "state": "established", "coordinates": [6, 2], "routed_by": "tree", "received_bytes": 0,
            "sent_bytes": 0,
        });
        let route = |n: usize| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&(n as u32).to_be_bytes());
            SnakeRoute { key: PublicKey(key), via_port: 1, next_port: None, age_seconds: 1.0 }
        };
        let snake = SnakeStatus { descending: Some(key(4)), routes: (0..routes).map(route).collect() };
        let (status, session) = (serde_json::from_value(status).unwrap(), serde_json::from_value(session).unwrap());
        Known::new(&status, &tree, &peers, &[session], &snake)
    }

    #[test]
    fn what_is_known_is_put_together_by_place_with_the_nodes_between() {
        let known = example(2);
        let tree: Vec<_> = known.tree.iter().map(|node| (node.coordinates.as_slice(), node.key, node.role)).collect();
        let expected: [(&[u64], Option<PublicKey>, Role); 6] = [
            (&[], Some(key(9)), Role::Ancestor),
            (&[3], Some(key(8)), Role::Peer),
            (&[3, 1], Some(key(5)), Role::Own),
            (&[3, 1, 4], Some(key(2)), Role::Peer),
            (&[6], None, Role::Between),
            (&[6, 2], Some(key(4)), Role::Session),
        ];
        assert_eq!(tree, expected);
        let snake: Vec<_> = known.snake.iter().map(|bead| (bead.is_own, bead.is_descending, bead.port)).collect();
        assert_eq!(snake, [(false, false, Some(1)), (false, false, Some(1)), (false, true, None), (true, false, None)]);
        assert_eq!(known.left_out, (0, 0));
    }

    #[test]
    fn of_a_long_snake_the_part_around_us_is_shown() {
        let known = example(1_000);
        assert_eq!((known.snake.len(), known.left_out.1), (MAX_SNAKE, 1_002 - MAX_SNAKE));
        assert!(known.snake.iter().any(|bead| bead.is_own));
    }
}
