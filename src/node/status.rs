//! What a node tells about itself: plain values, as `pineconectl … --json` prints them.
//!
//! Ages and spans are seconds with fractions, sizes are bytes, keys are 64 hexadecimal digits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::ip::firewall::{Explanation, FirewallStatus, RuleStatus};
use crate::keys::PublicKey;
pub use crate::router::status::{SnakeRoute, SnakeStatus, TreeStatus};
use crate::router::{Port, Transit};
pub use crate::session::status::SessionStatus;

/// The node at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Our public key.
    pub public_key: PublicKey,
    /// Our overlay address, RFC 5952 text.
    pub address: String,
    /// Our routed prefix, e.g. `700:…::/64`.
    pub subnet: String,
    /// Our tree coordinates: ports from the root down to us; empty for the root.
    pub coordinates: Vec<u64>,
    /// The key of the root that we follow (ours if we are the root).
    pub root: PublicKey,
    /// The root's sequence number.
    pub root_sequence: u64,
    /// Number of peerings.
    pub peers: usize,
    /// Number of established sessions.
    pub sessions: usize,
    /// Entries in the snake's routing table.
    pub snake_routes: usize,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// Version of the daemon.
    pub version: String,
    /// Packets delivered to the host.
    pub packets_delivered: u64,
    /// Packets taken from the host.
    pub packets_sent: u64,
    /// Frames forwarded for others.
    pub frames_forwarded: u64,
    /// Drops by reason; reasons that did not occur are absent.
    pub drops: BTreeMap<String, u64>,
    /// Peers that were turned away, by reason; reasons that did not occur are absent.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// What the process can still do to the host.
    #[serde(default)]
    pub confinement: Box<Confinement>,
    /// Packets from others by what the firewall decided; see [`FirewallStatus::decisions`].
    #[serde(default)]
    pub firewall: BTreeMap<String, u64>,
}

/// What the process gave up when it had started, for people. The node itself knows nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Whether it was asked for (`service.confine`).
    pub wanted: bool,
    /// Capabilities that it kept, each with the reason.
    pub capabilities: Vec<String>,
    /// How far files are out of reach (Landlock): `full`, `partial`, or why not.
    pub files: String,
    /// Whether system calls are filtered (seccomp): `filtered`, or why not.
    pub system_calls: String,
}

/// One peering.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The port it has at our node.
    pub port: Port,
    /// The peer's key.
    pub key: PublicKey,
    /// Its overlay address.
    pub address: String,
    /// The URI it was dialled at or came from.
    pub uri: String,
    /// Whether the peer dialled us.
    pub inbound: bool,
    /// Whether the link proved the key. Plain Pinecone links do not.
    pub authenticated: bool,
    /// Seconds since the peering came up.
    pub uptime_seconds: f64,
    /// The peer's coordinates, if it announced any.
    pub coordinates: Option<Vec<u64>>,
    /// The root it follows, if it announced one.
    pub root: Option<PublicKey>,
    /// Whether it is our parent in the tree.
    pub parent: bool,
    /// Bytes of frames received from it.
    pub received_bytes: u64,
    /// Bytes of frames sent to it.
    pub sent_bytes: u64,
    /// Bytes waiting in its queue.
    pub queued_bytes: usize,
    /// Frames dropped at its queue.
    pub queue_drops: u64,
    /// Time of a round trip to the peer without queueing, if its transport knows.
    #[serde(default)]
    pub round_trip_seconds: Option<f64>,
    /// Its place among peerings with the same node; the lowest number carries.
    #[serde(default)]
    pub priority: u8,
    /// Whether it carries what goes to this node; false if another peering with it does.
    #[serde(default)]
    pub carries: bool,
    /// Whether it carries what others send to others, as it announced.
    #[serde(default)]
    pub transit: Transit,
    /// Most bits per second that it is given to carry, if that is capped.
    #[serde(default)]
    pub max_rate: Option<u64>,
}

/// Who answers for an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookupAnswer {
    /// The address or prefix asked for.
    pub target: String,
    /// The owner's key.
    pub key: PublicKey,
    /// The owner's node address.
    pub address: String,
    /// Seconds until the answer came; 0 if it was known.
    pub seconds: f64,
}

/// One overlay ping, answered inside the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PingAnswer {
    /// Who answered.
    pub key: PublicKey,
    /// Its address.
    pub address: String,
    /// Round-trip time in seconds.
    pub rtt_seconds: f64,
    /// How the request was routed: `tree` or `snake`.
    pub routed_by: String,
}

/// The ways to another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PathStatus {
    /// Its key.
    pub key: PublicKey,
    /// Its overlay address.
    pub address: String,
    /// How frames to it are routed now: `route`, `tree` or `snake`.
    pub stage: String,
    /// Why, for people.
    pub reason: String,
    /// How they would be routed without a route: `tree` or `snake`.
    pub without_route: String,
    /// Round trip of that way, as far as it was measured.
    pub without_route_rtt_seconds: Option<f64>,
    /// The routes that are known.
    pub candidates: Vec<PathCandidate>,
}

/// One route.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PathCandidate {
    /// The peer that it begins with.
    pub first_peer: Option<PublicKey>,
    /// The port of that peering.
    pub first_port: Port,
    /// Links that it takes.
    pub hops: usize,
    /// Least round trip of the last probes.
    pub rtt_seconds: Option<f64>,
    /// Probes that were answered.
    pub probes_answered: u32,
    /// Seconds since it was found.
    pub age_seconds: f64,
    /// Whether relays see a label instead of both ends' keys.
    pub sealed: bool,
    /// Whether it is the one in use.
    pub used: bool,
}

/// The answer to [`Node::trace`](super::Node::trace).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceAnswer {
    /// Who was asked for.
    pub key: PublicKey,
    /// Its overlay address.
    pub address: String,
    /// How frames to it are routed here: `route`, `tree` or `snake`.
    pub stage: String,
    /// Whether the trace came to the end.
    pub reached: bool,
    /// Round trip to the node itself, by a ping inside the session.
    pub rtt_seconds: Option<f64>,
    /// This node, and those behind it.
    pub hops: Vec<TraceHop>,
}

/// One node on the way. What others say of themselves is their word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TraceHop {
    /// Its number; 0 is this node.
    pub hop: u32,
    /// `this node`, `forwards`, `destination`, `hidden`, `silent`, `plain`, `broken` or `nowhere`.
    pub state: String,
    /// Its key, if it says so.
    pub key: Option<PublicKey>,
    /// Its overlay address.
    pub address: Option<String>,
    /// Round trip of the trace to it.
    pub rtt_seconds: Option<f64>,
    /// How it forwards there: `route`, `tree` or `snake`.
    pub stage: Option<String>,
    /// Why, for people.
    pub why: String,
    /// What carries the peering that it forwards by, e.g. `tls`.
    pub link: Option<String>,
    /// The round trip of that peering.
    pub link_rtt_seconds: Option<f64>,
}
