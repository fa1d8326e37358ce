//! What the router tells about itself: plain values, as `pineconectl tree` and `pineconectl snake` print them.

use serde::{Deserialize, Serialize};

use super::broadcast::Broadcasts;
use super::next_hop::Rank;
use super::snake::Routes;
use super::{Port, Router};
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::tree::Hop;

/// Our place in the spanning tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TreeStatus {
    /// The root we follow.
    pub root: PublicKey,
    /// Its sequence number.
    pub root_sequence: u64,
    /// Our parent's key; none if we are the root.
    pub parent: Option<PublicKey>,
    /// The parent's port.
    pub parent_port: Option<Port>,
    /// Our coordinates.
    pub coordinates: Vec<u64>,
    /// The nodes from the root down to us, without us.
    pub ancestors: Vec<PublicKey>,
    /// Whether we wait to choose a parent anew.
    pub waiting: bool,
}

/// Our place in the snake.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnakeStatus {
    /// The next lower key known, whose bootstraps end here.
    pub descending: Option<PublicKey>,
    /// The routing table, in the order of keys.
    pub routes: Vec<SnakeRoute>,
}

/// One entry of the snake's routing table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnakeRoute {
    /// The key that bootstrapped.
    pub key: PublicKey,
    /// The port its bootstrap came from: the way towards the key.
    pub via_port: Port,
    /// The port its bootstrap went on to; none if it ended here.
    pub next_port: Option<Port>,
    /// Seconds since the last bootstrap.
    pub age_seconds: f64,
}

/// What a router remembers of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Entries of the snake's routing table.
    pub routes: usize,
    /// Signers of the peers' announcements.
    pub signers: usize,
    /// Nodes whose wakeup broadcasts are remembered.
    pub broadcasts: usize,
    /// Memory of all of it, in bytes: entries and their share of the indexes.
    pub bytes: usize,
}

impl Footprint {
    /// All entries.
    pub const fn entries(&self) -> usize {
        self.routes + self.signers + self.broadcasts
    }
}

/// What a B-tree node costs an entry besides the entry itself: nodes are two thirds full on average.
const fn in_btree(size: usize) -> usize {
    size * 3 / 2
}

impl Router {
    /// How much it remembers of others.
    pub fn footprint(&self) -> Footprint {
        let (routes, broadcasts) = (self.snake.routes.len(), self.broadcasts.len());
        let announced = self.peers.iter().filter_map(|(_, peer)| peer.heard.as_ref());
        let signers = announced.map(|heard| heard.announcement.hops.len()).sum();
        let signer = in_btree(size_of::<(PublicKey, Rank)>()) + size_of::<Hop>();
        let bytes =
            routes * in_btree(Routes::ENTRY_LEN) + broadcasts * in_btree(Broadcasts::ENTRY_LEN) + signers * signer;
        Footprint { routes, signers, broadcasts, bytes }
    }

    /// Our place in the spanning tree.
    pub fn tree_status(&self) -> TreeStatus {
        let parent = self.tree.parent.and_then(|port| self.peers.get(port));
        let heard = parent.and_then(|peer| peer.heard.as_ref());
        TreeStatus {
            root: self.tree.root.key,
            root_sequence: self.tree.root.sequence,
            parent: parent.map(|peer| peer.key),
            parent_port: self.tree.parent,
            coordinates: self.tree.coords.as_slice().to_vec(),
            ancestors: heard.map_or_else(Vec::new, |heard| heard.announcement.signers().copied().collect()),
            waiting: self.is_waiting(),
        }
    }

    /// Our place in the snake.
    pub fn snake_status(&self, now: Instant) -> SnakeStatus {
        let lifetime = self.config.timings.route_lifetime;
        let routes = self.snake.routes.iter().map(|(key, route)| SnakeRoute {
            key: *key,
            via_port: route.via,
            next_port: route.next,
            age_seconds: now.saturating_since(route.live_until - lifetime).as_secs_f64(),
        });
        SnakeStatus { descending: self.snake.descending.map(|(key, _)| key), routes: routes.collect() }
    }
}
