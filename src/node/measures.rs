//! What metrics are made of: a snapshot of counters and sizes, as plain values.
//!
//! Taken on the core's thread, so it is made to be cheap: no text beyond a few labels, and no walk over a table that others fill. Peerings are
//! listed up to [`MAX_LISTED`], because each is a set of time series in somebody's database, and whoever may connect may
//! connect under a new key each time: those that we dial come first, then those that have been up longest. So nobody who comes and goes
//! displaces a peer that stays. What concerns all peerings is counted for the node.

use serde::{Deserialize, Serialize};

use super::counters::{ByStage, Delays};
use super::waiting;
use crate::drops::DropReason;
use crate::ip::firewall::FirewallStatus;
use crate::keys::PublicKey;
use crate::node::{Node, Peering, Port};
use crate::time::Instant;

/// Most peerings with measures of their own.
pub const MAX_LISTED: usize = 128;

/// The node in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measures {
    /// Version of the daemon.
    pub version: String,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// Whether this node is the root of its tree.
    pub is_root: bool,
    /// Hops between the root and us.
    pub depth: usize,
    /// How often we followed another root.
    pub root_changes: u64,
    /// How often our coordinates changed.
    pub coordinate_changes: u64,
    /// Packets taken from the host.
    pub packets_from_host: u64,
    /// Packets delivered to the host.
    pub packets_to_host: u64,
    /// Traffic frames by what we did with them and how they were routed.
    pub traffic: Vec<Traffic>,
    /// Bytes of frames received over all peerings.
    pub received_bytes: u64,
    /// Bytes of frames sent over all peerings.
    pub sent_bytes: u64,
    /// How long traffic frames waited in the queues of peerings.
    pub queue_delay: Delays,
    /// Drops by reason, all reasons.
    pub drops: Vec<(String, u64)>,
    /// The firewall.
    pub firewall: FirewallStatus,
    /// Sessions that carry packets.
    pub sessions_established: usize,
    /// Sessions that do not: idle or handshaking.
    pub sessions_other: usize,
    /// Sessions that came up.
    pub sessions_up: u64,
    /// Sessions that ended.
    pub sessions_down: u64,
    /// Tables that others can grow.
    pub tables: Vec<Table>,
    /// Memory of what others can grow.
    pub memory: Vec<Memory>,
    /// Peerings whose key is proven.
    pub peerings_authenticated: usize,
    /// Peerings whose key is claimed.
    pub peerings_unauthenticated: usize,
    /// Peerings that came up.
    pub peerings_up: u64,
    /// Peerings that ended.
    pub peerings_down: u64,
    /// At most [`MAX_LISTED`] peerings.
    pub peers: Vec<Peer>,
}

/// Traffic frames of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// `originated` or `forwarded`.
    pub origin: String,
    /// `tree` or `snake`.
    pub stage: String,
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A table that others can grow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// What it holds.
    pub name: String,
    /// Its entries.
    pub entries: usize,
    /// Most entries, where that is a fixed number.
    pub limit: Option<usize>,
}

/// Memory that others can make us use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// For what.
    pub part: String,
    /// Bytes, estimated from the entries.
    pub bytes: usize,
}

/// One peering.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// The peer's key.
    pub key: PublicKey,
    /// Its port at our node.
    pub port: Port,
    /// Whether the peer dialled us.
    pub inbound: bool,
    /// Whether the link proved the key.
    pub authenticated: bool,
    /// Whether it is our parent in the tree.
    pub parent: bool,
    /// Whether it carries what goes to this node.
    pub carries: bool,
    /// Seconds since it came up.
    pub uptime_seconds: f64,
    /// Bytes of frames received.
    pub received_bytes: u64,
    /// Bytes of frames sent.
    pub sent_bytes: u64,
    /// Bytes that wait in its queue.
    pub queued_bytes: usize,
    /// Frames dropped at its queue.
    pub queue_drops: u64,
    /// Frames that left its queue.
    pub queue_delay_count: u64,
    /// How long those had waited in all, in microseconds.
    pub queue_delay_micros: u64,
    /// Seconds of a round trip without queueing, if known.
    pub round_trip_seconds: Option<f64>,
}

impl Node {
    /// The node in numbers.
    pub fn measures(&self, now: Instant) -> Measures {
        let counters = &self.counters;
        let mut drops = self.drops.clone();
        drops.merge(self.router.drops());
        let established = self.sessions.established();
        let authenticated = self.peerings.values().filter(|peering| peering.info.authenticated).count();
        Measures {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: now.saturating_since(self.started_at).as_secs_f64(),
            is_root: self.router.root().key == self.keypair.public(),
            depth: self.router.coords().as_slice().len(),
            root_changes: counters.root_changes,
            coordinate_changes: counters.coordinate_changes,
            packets_from_host: self.packets_sent,
            packets_to_host: self.packets_delivered,
            traffic: [("originated", &counters.originated), ("forwarded", &counters.forwarded)]
                .into_iter()
                .flat_map(|(origin, stages)| traffic(origin, stages))
                .collect(),
            received_bytes: counters.received_bytes,
            sent_bytes: counters.sent_bytes,
            queue_delay: counters.queue_delay,
            drops: DropReason::ALL.iter().map(|reason| (reason.label().to_owned(), drops.get(*reason))).collect(),
            firewall: self.firewall.status(),
            sessions_established: established,
            sessions_other: self.sessions.len() - established,
            sessions_up: counters.sessions_up,
            sessions_down: counters.sessions_down,
            tables: self.tables(),
            memory: self.memory(),
            peerings_authenticated: authenticated,
            peerings_unauthenticated: self.peerings.len() - authenticated,
            peerings_up: counters.peerings_up,
            peerings_down: counters.peerings_down,
            peers: self.listed(now),
        }
    }

    fn tables(&self) -> Vec<Table> {
        let footprint = self.router.footprint();
        let firewall = self.firewall.status();
        [
            ("snake_routes", footprint.routes, Some(self.max_routes)),
            ("tree_signers", footprint.signers, None),
            ("broadcasts", footprint.broadcasts, None),
            ("sessions", self.sessions.len(), Some(self.max_sessions)),
            ("firewall_flows", firewall.flows, Some(firewall.flow_limit)),
        ]
        .map(|(name, entries, limit)| Table { name: name.to_owned(), entries, limit })
        .into()
    }

    fn memory(&self) -> Vec<Memory> {
        [
            ("router", self.router.footprint().bytes),
            ("sessions", self.sessions.table_bytes()),
            ("firewall", self.firewall.table_bytes()),
            ("waiting_packets", self.waiting.bytes()),
            ("queues", self.peerings.values().map(|peering| peering.outbox.bytes()).sum()),
        ]
        .map(|(part, bytes)| Memory { part: part.to_owned(), bytes })
        .into()
    }

    fn listed(&self, now: Instant) -> Vec<Peer> {
        let mut peerings: Vec<(&Port, &Peering)> = self.peerings.iter().collect();
        peerings.sort_by_key(|(_, peering)| (peering.info.inbound, peering.up_since));
        peerings.truncate(MAX_LISTED);
        let parent = self.router.parent();
        let peer = |(port, peering): (&Port, &Peering)| Peer {
            key: peering.info.key,
            port: *port,
            inbound: peering.info.inbound,
            authenticated: peering.info.authenticated,
            parent: parent == Some(*port),
            carries: self.router.carries(*port),
            uptime_seconds: now.saturating_since(peering.up_since).as_secs_f64(),
            received_bytes: peering.received_bytes,
            sent_bytes: peering.sent_bytes,
            queued_bytes: peering.outbox.bytes(),
            queue_drops: peering.queue_drops,
            queue_delay_count: peering.queue_delay.0,
            queue_delay_micros: peering.queue_delay.1,
            round_trip_seconds: peering.round_trip.map(|span| span.as_secs_f64()),
        };
        peerings.into_iter().map(peer).collect()
    }
}

/// Most memory of packets that wait, in bytes.
pub const WAITING_LIMIT: usize = waiting::BYTES_IN_ALL;

fn traffic(origin: &str, stages: &ByStage) -> Vec<Traffic> {
    let one = |(stage, flowed): (super::counters::Stage, super::counters::Flowed)| Traffic {
        origin: origin.to_owned(),
        stage: stage.label().to_owned(),
        frames: flowed.frames,
        bytes: flowed.bytes,
    };
    stages.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keys::{Keypair, Seed};
    use crate::node::{NodeConfig, PeerInfo};
    use crate::router::PeerKind;
    use crate::time::{Duration, UnixMillis};
    use crate::wire::extensions::Extensions;

    fn peer(n: u16, inbound: bool) -> PeerInfo {
        let mut key = [7; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        let (uri, extensions) = ("tcp://192.0.2.1:7463".to_owned(), Extensions::default());
        PeerInfo {
            key: PublicKey(key),
            kind: PeerKind::Remote,
            uri,
            inbound,
            authenticated: n.is_multiple_of(2),
            extensions,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn whoever_comes_and_goes_displaces_nobody_who_stays_from_the_list() {
        let keypair = Arc::new(Keypair::from_seed(&Seed([1; 32])));
        let mut node = Node::new(NodeConfig::default(), keypair, [2; 32], at(0), UnixMillis(1));
        for n in 0..200 {
            node.add_peer(peer(n, true), at(u64::from(n))).unwrap();
        }
        let ours = node.add_peer(peer(500, false), at(500)).unwrap();
        let measures = node.measures(at(600));
        assert_eq!(measures.peers.len(), MAX_LISTED);
        assert_eq!((measures.peers[0].port, measures.peers[0].inbound), (ours, false));
        assert_eq!(measures.peers[1].key, peer(0, true).key);
        assert_eq!(measures.peers[MAX_LISTED - 1].key, peer(MAX_LISTED as u16 - 2, true).key);
        assert_eq!((measures.peerings_authenticated, measures.peerings_unauthenticated), (101, 100));
        node.remove_peer(ours, at(700));
        let measures = node.measures(at(700));
        assert_eq!((measures.peerings_up, measures.peerings_down), (201, 1));
        assert!(measures.peers.iter().all(|peer| peer.inbound));
    }
}
