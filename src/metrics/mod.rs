//! Metrics for Prometheus: from a snapshot of the daemon's numbers to text. Pure; `shell::metrics` serves it.
//!
//! - `families`: what there is; - `text`: how it is written; here: which number goes where.
//!
//! A snapshot is taken by the core in one go, so the numbers of one scrape belong together, and everything else (text, connections) happens
//! outside of it.

mod families;
mod text;

use serde::{Deserialize, Serialize};

pub use families::FAMILIES;
pub use text::{Family, Format, Kind};

use self::families as f;
use self::text::Text;
use crate::node::counters::{DELAY_BOUNDS, Delays};
use crate::node::measures::{Measures, Peer};

/// Everything that the core knows for metrics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The node.
    pub node: Measures,
    /// Peers that were turned away, by reason, all reasons.
    pub refused: Vec<(String, u64)>,
    /// Peers that we dial and have a peering with.
    pub dialled_connected: usize,
    /// Peers that we dial and have none with.
    pub dialled_waiting: usize,
}

/// What the operating system knows of the process; absent where it does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Bytes of memory that are resident.
    pub resident_bytes: Option<u64>,
    /// CPU time in seconds.
    pub cpu_seconds: Option<f64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
}

/// The text of a scrape.
pub fn encode(snapshot: &Snapshot, process: &Process, format: Format) -> String {
    let mut out = Writer(Text::new(format));
    node(&mut out, &snapshot.node);
    limits(&mut out, &snapshot.node);
    peerings(&mut out, snapshot);
    peers(&mut out, &snapshot.node.peers);
    out.maybe(&f::PROCESS_MEMORY, process.resident_bytes.map(|bytes| bytes as f64));
    out.maybe(&f::PROCESS_CPU, process.cpu_seconds);
    out.maybe(&f::PROCESS_FDS, process.open_fds.map(|count| count as f64));
    out.0.finish()
}

struct Writer(Text);

impl Writer {
    /// A family without labels.
    fn one(&mut self, family: &Family, value: f64) {
        self.maybe(family, Some(value));
    }

    /// The same, left out if there is no value.
    fn maybe(&mut self, family: &Family, value: Option<f64>) {
        if let Some(value) = value {
            self.0.family(family);
            self.0.sample(family.name, "", &[], value);
        }
    }

    /// A family with one label.
    fn by<'a>(&mut self, family: &Family, values: impl IntoIterator<Item = (&'a str, f64)>) {
        self.0.family(family);
        let label = family.labels.first().copied().unwrap_or_default();
        for (name, value) in values {
            self.0.sample(family.name, "", &[(label, name)], value);
        }
    }
}

fn node(out: &mut Writer, node: &Measures) {
    out.by(&f::BUILD_INFO, [(node.version.as_str(), 1.0)]);
    out.one(&f::UPTIME, node.uptime_seconds);
    out.by(&f::PACKETS, [("from_host", node.packets_from_host as f64), ("to_host", node.packets_to_host as f64)]);
    let stage = |value: fn(&crate::node::measures::Traffic) -> u64| {
        let labelled = node.traffic.iter().map(move |traffic| (traffic, value(traffic) as f64));
        labelled.map(|(traffic, value)| ([("origin", traffic.origin.as_str()), ("stage", &traffic.stage)], value))
    };
    out.0.family(&f::TRAFFIC_FRAMES);
    stage(|traffic| traffic.frames)
        .for_each(|(labels, value)| out.0.sample(f::TRAFFIC_FRAMES.name, "", &labels, value));
    out.0.family(&f::TRAFFIC_BYTES);
    stage(|traffic| traffic.bytes).for_each(|(labels, value)| out.0.sample(f::TRAFFIC_BYTES.name, "", &labels, value));
    out.by(&f::PEERING_BYTES, [("received", node.received_bytes as f64), ("sent", node.sent_bytes as f64)]);
    delays(&mut out.0, &node.queue_delay);
    out.by(&f::DROPS, node.drops.iter().map(|(reason, count)| (reason.as_str(), *count as f64)));
    out.one(&f::IS_ROOT, f64::from(u8::from(node.is_root)));
    out.one(&f::DEPTH, node.depth as f64);
    out.one(&f::ROOT_CHANGES, node.root_changes as f64);
    out.one(&f::COORDINATE_CHANGES, node.coordinate_changes as f64);
    let (established, other) = (node.sessions_established as f64, node.sessions_other as f64);
    out.by(&f::SESSIONS, [("established", established), ("other", other)]);
    out.by(&f::SESSION_CHANGES, [("up", node.sessions_up as f64), ("down", node.sessions_down as f64)]);
    let decisions = node.firewall.decisions.iter();
    out.by(&f::FIREWALL, decisions.map(|(decision, count)| (decision.as_str(), *count as f64)));
    out.0.family(&f::FIREWALL_RULES);
    for rule in &node.firewall.rules {
        let labels = [("rule", rule.number.to_string()), ("match", rule.rule.clone())];
        let labels = [(labels[0].0, labels[0].1.as_str()), (labels[1].0, labels[1].1.as_str())];
        out.0.sample(f::FIREWALL_RULES.name, "", &labels, rule.packets as f64);
    }
}

fn delays(text: &mut Text, delays: &Delays) {
    let name = f::QUEUE_DELAY.name;
    text.family(&f::QUEUE_DELAY);
    let mut below = 0;
    for (index, count) in delays.buckets.iter().enumerate() {
        below += count;
        let bound = DELAY_BOUNDS.get(index).map_or_else(|| "+Inf".to_owned(), |micros| seconds(*micros).to_string());
        text.sample(name, "_bucket", &[("le", &bound)], below as f64);
    }
    text.sample(name, "_sum", &[], seconds(delays.sum_micros));
    text.sample(name, "_count", &[], delays.count() as f64);
}

fn limits(out: &mut Writer, node: &Measures) {
    out.by(&f::TABLE_ENTRIES, node.tables.iter().map(|table| (table.name.as_str(), table.entries as f64)));
    let limits = node.tables.iter().filter_map(|table| Some((table.name.as_str(), table.limit? as f64)));
    out.by(&f::TABLE_LIMIT, limits);
    out.by(&f::MEMORY, node.memory.iter().map(|memory| (memory.part.as_str(), memory.bytes as f64)));
}

fn peerings(out: &mut Writer, snapshot: &Snapshot) {
    let node = &snapshot.node;
    let (proven, claimed) = (node.peerings_authenticated, node.peerings_unauthenticated);
    out.by(&f::PEERINGS, [("proven", proven as f64), ("claimed", claimed as f64)]);
    out.by(&f::PEERING_CHANGES, [("up", node.peerings_up as f64), ("down", node.peerings_down as f64)]);
    out.by(&f::PEERINGS_REFUSED, snapshot.refused.iter().map(|(reason, count)| (reason.as_str(), *count as f64)));
    let (connected, waiting) = (snapshot.dialled_connected as f64, snapshot.dialled_waiting as f64);
    out.by(&f::DIALLED, [("connected", connected), ("waiting", waiting)]);
    out.one(&f::PEERINGS_UNLISTED, (proven + claimed).saturating_sub(node.peers.len()) as f64);
}

fn peers(out: &mut Writer, peers: &[Peer]) {
    let named: Vec<(String, String, &Peer)> =
        peers.iter().map(|peer| (peer.key.to_string(), peer.port.to_string(), peer)).collect();
    out.0.family(&f::PEER_INFO);
    for (key, port, peer) in &named {
        let dialled_by = if peer.inbound { "peer" } else { "us" };
        let proven = if peer.authenticated { "proven" } else { "claimed" };
        let labels = [("peer", key.as_str()), ("port", port), ("dialled_by", dialled_by), ("key", proven)];
        out.0.sample(f::PEER_INFO.name, "", &labels, 1.0);
    }
    let mut each = |family: &Family, value: fn(&Peer) -> Option<f64>| {
        out.0.family(family);
        for (key, port, peer) in &named {
            if let Some(value) = value(peer) {
                out.0.sample(family.name, "", &[("peer", key.as_str()), ("port", port)], value);
            }
        }
    };
    each(&f::PEER_UPTIME, |peer| Some(peer.uptime_seconds));
    each(&f::PEER_QUEUED, |peer| Some(peer.queued_bytes as f64));
    each(&f::PEER_QUEUE_DROPS, |peer| Some(peer.queue_drops as f64));
    each(&f::PEER_ROUND_TRIP, |peer| peer.round_trip_seconds);
    each(&f::PEER_PARENT, |peer| Some(f64::from(u8::from(peer.parent))));
    each(&f::PEER_CARRIES, |peer| Some(f64::from(u8::from(peer.carries))));
    out.0.family(&f::PEER_BYTES);
    for (key, port, peer) in &named {
        for (direction, bytes) in [("received", peer.received_bytes), ("sent", peer.sent_bytes)] {
            let labels = [("peer", key.as_str()), ("port", port), ("direction", direction)];
            out.0.sample(f::PEER_BYTES.name, "", &labels, bytes as f64);
        }
    }
    out.0.family(&f::PEER_QUEUE_DELAY);
    for (key, port, peer) in &named {
        let labels = [("peer", key.as_str()), ("port", port)];
        out.0.sample(f::PEER_QUEUE_DELAY.name, "_sum", &labels, seconds(peer.queue_delay_micros));
        out.0.sample(f::PEER_QUEUE_DELAY.name, "_count", &labels, peer.queue_delay_count as f64);
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
