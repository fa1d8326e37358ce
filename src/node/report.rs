//! What the node tells about itself, for `pineconectl` and metrics.

use std::net::Ipv6Addr;

use crate::addr::{Address, Destination};
use crate::ip::firewall::{Protocol, Question};
use crate::keys::PublicKey;
use crate::node::pacer::Pacer;
use crate::node::status::{Explanation, FirewallStatus, PeerStatus, SessionStatus, SnakeStatus, Status, TreeStatus};
use crate::node::{Node, Target};
use crate::router::Transit;
use crate::time::Instant;

impl Node {
    /// Whose address, or address in whose /64, this is, if the key has proven itself to us.
    pub fn known_owner(&self, ip: Ipv6Addr) -> Option<PublicKey> {
        self.owner_of(&Destination::of(ip)?)
    }

    /// The node at a glance.
    pub fn status(&self, now: Instant) -> Status {
        let root = self.router.root();
        let mut drops = self.drops.clone();
        drops.merge(self.router.drops());
        Status {
            public_key: self.keypair.public(),
            address: self.address.to_string(),
            subnet: self.subnet.to_string(),
            coordinates: self.router.coords().as_slice().to_vec(),
            root: root.key,
            root_sequence: root.sequence,
            peers: self.peerings.len(),
            sessions: self.sessions.established(),
            snake_routes: self.router.route_count(),
            uptime_seconds: now.saturating_since(self.started_at).as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            packets_delivered: self.packets_delivered,
            packets_sent: self.packets_sent,
            frames_forwarded: self.frames_forwarded,
            drops: drops.iter().map(|(reason, count)| (reason.label().to_owned(), count)).collect(),
            // Connections are not the node's affair: whoever accepts them fills this in.
            refused: std::collections::BTreeMap::new(),
            confinement: Box::default(),
            firewall: self.firewall.status().decisions,
        }
    }

    /// What the firewall is and what it has done.
    pub fn firewall(&self) -> FirewallStatus {
        self.firewall.status()
    }

    /// What the firewall would do with a packet from `source` that belongs to nothing this host started.
    pub fn explain_firewall(&self, source: Target, protocol: Protocol, port: Option<u16>) -> Explanation {
        let (address, key) = match source {
            Target::Key(key) => (Address::of(&key).ip(), Some(key)),
            // A host behind a node is written as the node's prefix, and is covered by what covers that.
            Target::Address(destination) => (destination.ip(), self.owner_of(&destination)),
        };
        self.firewall.explain(&Question { address, key, protocol, port })
    }

    /// All peerings, in the order of their ports.
    pub fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let parent = self.router.parent();
        let peer = |(port, peering): (&super::Port, &super::Peering)| PeerStatus {
            port: *port,
            key: peering.info.key,
            address: Address::of(&peering.info.key).to_string(),
            uri: peering.info.uri.clone(),
            inbound: peering.info.inbound,
            authenticated: peering.info.authenticated,
            uptime_seconds: now.saturating_since(peering.up_since).as_secs_f64(),
            coordinates: self.router.peer_coords(*port).map(|coords| coords.as_slice().to_vec()),
            root: self.router.peer_root(*port).map(|root| root.key),
            parent: parent == Some(*port),
            received_bytes: peering.received_bytes,
            sent_bytes: peering.sent_bytes,
            queued_bytes: peering.outbox.bytes(),
            queue_drops: peering.queue_drops,
            round_trip_seconds: peering.round_trip.map(|span| span.as_secs_f64()),
            priority: peering.priority,
            carries: self.router.carries(*port),
            transit: Transit::of(peering.info.extensions),
            max_rate: peering.pacer.as_ref().map(Pacer::bits_per_second),
        };
        self.peerings.iter().map(peer).collect()
    }

    /// Our place in the spanning tree.
    pub fn tree(&self) -> TreeStatus {
        self.router.tree_status()
    }

    /// Our place in the snake.
    pub fn snake(&self, now: Instant) -> SnakeStatus {
        self.router.snake_status(now)
    }

    /// All sessions, in the order of their keys.
    pub fn sessions(&self, now: Instant) -> Vec<SessionStatus> {
        let mut sessions = self.sessions.status(now);
        for session in &mut sessions {
            session.routed_by = self.routed_by(&session.key).to_owned();
        }
        sessions
    }

    /// How a frame to this node would be routed.
    pub(super) fn routed_by(&self, key: &PublicKey) -> &'static str {
        if self.routes.has_route(key) {
            return "route";
        }
        if self.coords_for(key).is_some_and(|coords| !coords.is_empty()) { "tree" } else { "snake" }
    }
}
