//! Several peerings with one node: which of them carries, and what becomes of routes when one of them ends.
//!
//! Routing decides between nodes, by what came over this peering or that. Where it decided for a node that we have several peerings
//! with, traffic takes the one with the lowest priority (then the faster kind, then the lower port), whichever routing had in mind: they end at
//! the same node. Each side chooses for what it sends. Protocol frames keep their ways, so every peering goes on telling what it can.
//!
//! When a peering ends and another with the same node is there, that one inherits its routes, if the node on the other side does the same: nothing
//! has to be found anew. The reference knows none of this, and the strict profile does without.

use super::{Port, Router};
use crate::keys::PublicKey;
use crate::wire::extensions::Extensions;

impl Router {
    /// Sets the priority of a peering among those with the same node; the lowest carries.
    pub fn set_priority(&mut self, port: Port, priority: u8) {
        let Some(peer) = self.peers.get_mut(port) else { return };
        peer.priority = priority;
        let key = peer.key;
        self.choose_carrier(key);
    }

    /// Whether traffic for the node behind a peering goes over that one.
    pub fn carries(&self, port: Port) -> bool {
        !self.carriers.contains_key(&port)
    }

    /// Through which peering to send what is to go to the node behind `port` and came from `from`.
    pub(super) fn carrier(&self, port: Port, from: Port) -> Port {
        // Hardly any node has two peerings with another.
        if self.carriers.is_empty() {
            return port;
        }
        self.carriers.get(&port).copied().filter(|carrier| *carrier != from).unwrap_or(port)
    }

    /// Chooses anew among the peerings with a node.
    pub(super) fn choose_carrier(&mut self, key: PublicKey) {
        if !self.config.rules.siblings {
            return;
        }
        let best = self.best_peering(&key);
        for (port, _) in self.peers.iter().filter(|(_, peer)| peer.key == key) {
            match best {
                Some(best) if best != port => self.carriers.insert(port, best),
                _ => self.carriers.remove(&port),
            };
        }
    }

    /// A peering ended: gives its routes to another one with the same node.
    pub(super) fn bequeath(&mut self, lost: Port, key: PublicKey, extensions: Extensions) {
        self.carriers.remove(&lost);
        self.choose_carrier(key);
        if !self.config.rules.siblings || !extensions.contain(Extensions::ROUTE_NOTICES) {
            return;
        }
        if let Some(heir) = self.best_peering(&key) {
            self.snake.hand_to(lost, heir);
        }
    }

    /// The peering to use with a node, among those that it announced itself over.
    fn best_peering(&self, key: &PublicKey) -> Option<Port> {
        let candidates = self.peers.iter().filter(|(_, peer)| peer.key == *key && peer.heard.is_some());
        candidates.map(|(port, peer)| (peer.priority, peer.kind, port)).min().map(|(.., port)| port)
    }
}
