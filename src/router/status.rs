//! What the router tells about itself: plain values, as `pineconectl tree` and `pineconectl snake` print them.

use serde::{Deserialize, Serialize};

use super::{Port, Router};
use crate::keys::PublicKey;
use crate::time::Instant;

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

impl Router {
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
