//! Several peerings with one node: which of them carries, and what becomes of routes when one of them ends.
//!
//! Routing decides between nodes, by what came over this peering or that. Where it decided for a node that we have several peerings
//! with, traffic takes the one with the lowest priority, then the faster kind, then the clearly shorter round trip, whichever routing had in mind:
//! they end at the same node. Each side chooses for what it sends. Protocol frames keep their ways, so every peering goes on telling what it can.
//!
//! When a peering ends and another with the same node is there, that one inherits its routes, if the node on the other side does the same: nothing
//! has to be found anew. The reference knows none of this, and the strict profile does without.

use super::{Port, Router};
use crate::keys::PublicKey;
use crate::time::Duration;
use crate::wire::extensions::Extensions;

/// A peering that carries is left for another one only if that saves so much of a round trip, and a quarter of it: what is measured varies.
const LEAST_GAIN: Duration = Duration::from_millis(2);

impl Router {
    /// Sets the priority of a peering among those with the same node; the lowest carries.
    pub fn set_priority(&mut self, port: Port, priority: u8) {
        let Some(peer) = self.peers.get_mut(port) else { return };
        peer.priority = priority;
        let key = peer.key;
        self.choose_carrier(key);
    }

    /// Tells how long a round trip over a peering takes without queueing. (With it, two peerings would take turns: whoever carries has queues.)
    pub fn set_round_trip(&mut self, port: Port, round_trip: Duration) {
        let Some(peer) = self.peers.get_mut(port) else { return };
        peer.round_trip = Some(round_trip);
        let key = peer.key;
        if self.peers.iter().any(|(other, peer)| other != port && peer.key == key) {
            self.choose_carrier(key);
        }
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
        let all = || self.peers.iter().filter(|(_, peer)| peer.key == *key && peer.heard.is_some());
        let class = all().map(|(_, peer)| (peer.priority, peer.kind)).min()?;
        let equals = || all().filter(|(_, peer)| (peer.priority, peer.kind) == class);
        let (present, with) = equals().find(|(port, _)| self.carries(*port)).or_else(|| equals().next())?;
        let shortest = equals().min_by_key(|(port, peer)| (peer.round_trip.unwrap_or(Duration::MAX), *port));
        let is_better = |other: Option<Duration>| match (other, with.round_trip) {
            (Some(other), Some(now)) => now >= other + LEAST_GAIN && now * 3 >= other * 4,
            _ => false,
        };
        Some(shortest.filter(|(_, peer)| is_better(peer.round_trip)).map_or(present, |(port, _)| port))
    }
}
