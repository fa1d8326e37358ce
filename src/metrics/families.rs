//! The metrics there are: names, kinds, labels and help. `docs/metrics.md` has a row for each, and a test compares.
//!
//! Names follow the conventions of Prometheus: `pinecone_`, base units, `_total` for counters. Labels have few values that the program itself
//! chooses, except `peer` and `port`, of which there are [`MAX_LISTED`](crate::node::measures::MAX_LISTED) at the most, and `rule` and `match`,
//! which the operator chooses.

use super::text::{Family, Kind};

const fn family(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help }
}

const PEER: &[&str] = &["peer", "port"];

pub(super) const BUILD_INFO: Family =
    family("pinecone_build_info", Kind::Gauge, &["version"], "Always 1; the label is the version of the daemon");
pub(super) const UPTIME: Family =
    family("pinecone_uptime_seconds", Kind::Gauge, &[], "Seconds since the daemon started");
pub(super) const PACKETS: Family = family(
    "pinecone_packets_total",
    Kind::Counter,
    &["direction"],
    "IP packets exchanged with the host; one that stands for many counts once",
);
pub(super) const TRAFFIC_FRAMES: Family = family(
    "pinecone_traffic_frames_total",
    Kind::Counter,
    &["origin", "stage"],
    "Traffic frames sent, by whose they are and how they were routed",
);
pub(super) const TRAFFIC_BYTES: Family = family(
    "pinecone_traffic_bytes_total",
    Kind::Counter,
    &["origin", "stage"],
    "Bytes of traffic frames sent, by whose they are and how they were routed",
);
pub(super) const PEERING_BYTES: Family = family(
    "pinecone_peering_bytes_total",
    Kind::Counter,
    &["direction"],
    "Bytes of frames over all peerings there have been",
);
pub(super) const QUEUE_DELAY: Family = family(
    "pinecone_queue_delay_seconds",
    Kind::Histogram,
    &[],
    "Time that traffic frames waited in the queue of the peering that they left by",
);
pub(super) const DROPS: Family =
    family("pinecone_drops_total", Kind::Counter, &["reason"], "Packets and frames dropped");
pub(super) const IS_ROOT: Family =
    family("pinecone_tree_root", Kind::Gauge, &[], "1 while this node is the root of the tree that it is in");
pub(super) const DEPTH: Family = family("pinecone_tree_depth", Kind::Gauge, &[], "Hops to the root of the tree");
pub(super) const ROOT_CHANGES: Family =
    family("pinecone_tree_root_changes_total", Kind::Counter, &[], "Times that this node followed another root");
pub(super) const COORDINATE_CHANGES: Family = family(
    "pinecone_tree_coordinate_changes_total",
    Kind::Counter,
    &[],
    "Times that the coordinates of this node changed while its root did not",
);
pub(super) const SESSIONS: Family =
    family("pinecone_sessions", Kind::Gauge, &["state"], "Encrypted sessions with other nodes");
pub(super) const SESSION_CHANGES: Family =
    family("pinecone_session_changes_total", Kind::Counter, &["change"], "Sessions that came up and that ended");
pub(super) const FIREWALL: Family = family(
    "pinecone_firewall_packets_total",
    Kind::Counter,
    &["decision"],
    "Packets from other nodes by what the firewall decided about them",
);
pub(super) const FIREWALL_RULES: Family = family(
    "pinecone_firewall_rule_packets_total",
    Kind::Counter,
    &["rule", "match"],
    "Packets let in by each rule of the firewall",
);
pub(super) const TABLE_ENTRIES: Family =
    family("pinecone_table_entries", Kind::Gauge, &["table"], "Entries of tables that other nodes can grow");
pub(super) const TABLE_LIMIT: Family =
    family("pinecone_table_entries_limit", Kind::Gauge, &["table"], "Most entries of such a table");
pub(super) const MEMORY: Family = family(
    "pinecone_memory_bytes",
    Kind::Gauge,
    &["part"],
    "Memory of what other nodes can grow, estimated from its entries",
);
pub(super) const PEERINGS: Family =
    family("pinecone_peerings", Kind::Gauge, &["key"], "Peerings that are up, by whether the peer's key is proven");
pub(super) const PEERING_CHANGES: Family =
    family("pinecone_peering_changes_total", Kind::Counter, &["change"], "Peerings that came up and that ended");
pub(super) const PEERINGS_REFUSED: Family =
    family("pinecone_peerings_refused_total", Kind::Counter, &["reason"], "Peers that were turned away");
pub(super) const DIALLED: Family = family(
    "pinecone_dialled_peers",
    Kind::Gauge,
    &["state"],
    "Peers of the configuration and of pineconectl peer add, by whether there is a peering",
);
pub(super) const PEERINGS_UNLISTED: Family = family(
    "pinecone_peerings_unlisted",
    Kind::Gauge,
    &[],
    "Peerings that are up and have no pinecone_peer metrics, because there are too many",
);
pub(super) const PEER_INFO: Family = family(
    "pinecone_peer_info",
    Kind::Gauge,
    &["peer", "port", "dialled_by", "key"],
    "Always 1; the labels say who dialled, and whether the peer's key is proven or only claimed",
);
pub(super) const PEER_UPTIME: Family =
    family("pinecone_peer_uptime_seconds", Kind::Gauge, PEER, "Seconds since the peering came up");
pub(super) const PEER_BYTES: Family = family(
    "pinecone_peer_bytes_total",
    Kind::Counter,
    &["peer", "port", "direction"],
    "Bytes of frames over the peering",
);
pub(super) const PEER_QUEUED: Family =
    family("pinecone_peer_queued_bytes", Kind::Gauge, PEER, "Bytes that wait in the peering's queue");
pub(super) const PEER_QUEUE_DROPS: Family = family(
    "pinecone_peer_queue_drops_total",
    Kind::Counter,
    PEER,
    "Traffic frames dropped at the peering's queue, because they waited too long or it was full",
);
pub(super) const PEER_QUEUE_DELAY: Family = family(
    "pinecone_peer_queue_delay_seconds",
    Kind::Summary,
    PEER,
    "Time that traffic frames waited in the peering's queue",
);
pub(super) const PEER_ROUND_TRIP: Family = family(
    "pinecone_peer_round_trip_seconds",
    Kind::Gauge,
    PEER,
    "Time of a round trip to the peer without queueing, where its transport knows",
);
pub(super) const PEER_PARENT: Family =
    family("pinecone_peer_parent", Kind::Gauge, PEER, "1 for the peering with our parent in the tree");
pub(super) const PEER_CARRIES: Family = family(
    "pinecone_peer_carries",
    Kind::Gauge,
    PEER,
    "0 for a peering that stands by because another one with the same node carries its traffic",
);
pub(super) const PROCESS_MEMORY: Family =
    family("process_resident_memory_bytes", Kind::Gauge, &[], "Resident memory size in bytes");
pub(super) const PROCESS_CPU: Family =
    family("process_cpu_seconds_total", Kind::Counter, &[], "Total user and system CPU time spent in seconds");
pub(super) const PROCESS_FDS: Family = family("process_open_fds", Kind::Gauge, &[], "Number of open file descriptors");

/// All families, in the order of the text.
pub const FAMILIES: &[Family] = &[
    BUILD_INFO,
    UPTIME,
    PACKETS,
    TRAFFIC_FRAMES,
    TRAFFIC_BYTES,
    PEERING_BYTES,
    QUEUE_DELAY,
    DROPS,
    IS_ROOT,
    DEPTH,
    ROOT_CHANGES,
    COORDINATE_CHANGES,
    SESSIONS,
    SESSION_CHANGES,
    FIREWALL,
    FIREWALL_RULES,
    TABLE_ENTRIES,
    TABLE_LIMIT,
    MEMORY,
    PEERINGS,
    PEERING_CHANGES,
    PEERINGS_REFUSED,
    DIALLED,
    PEERINGS_UNLISTED,
    PEER_INFO,
    PEER_UPTIME,
    PEER_BYTES,
    PEER_QUEUED,
    PEER_QUEUE_DROPS,
    PEER_QUEUE_DELAY,
    PEER_ROUND_TRIP,
    PEER_PARENT,
    PEER_CARRIES,
    PROCESS_MEMORY,
    PROCESS_CPU,
    PROCESS_FDS,
];
