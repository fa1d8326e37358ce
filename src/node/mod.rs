//! The node: router, sessions and resolver put together; the object that the daemon, the simulator and the fuzzers drive.

pub mod status;

use crate::addr::Destination;
use crate::keys::PublicKey;
use crate::router::{PeerKind, Port};

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The MTU of our interface, told to the other side of every session.
    pub mtu: u16,
    /// The group password's hash; zeros without one.
    pub psk: [u8; 32],
    /// Whether this CPU has instructions for AES-256-GCM.
    pub aes: bool,
    /// Whether the host accepts what it did not ask for: see `ip::firewall`.
    pub inbound_open: bool,
    /// Most entries in the snake's routing table.
    pub max_routes: usize,
    /// Most sessions at a time.
    pub max_sessions: usize,
}

/// A peering that came up.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer's key.
    pub key: PublicKey,
    /// What kind of link it is, for tie-breaks.
    pub kind: PeerKind,
    /// Where it was dialled or came from, for people.
    pub uri: String,
    /// Whether the peer dialled us.
    pub inbound: bool,
    /// Whether the link proved the key.
    pub authenticated: bool,
}

/// Names a question that [`Node::lookup`] or [`Node::ping`] asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Whom to look up or ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node by its key.
    Key(PublicKey),
    /// An address or a host behind a routed prefix.
    Address(Destination),
}

/// What happened that the caller may want to act on or tell people.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer broke the protocol: close the peering and call [`Node::remove_peer`].
    ClosePeer {
        /// Which peering.
        port: Port,
        /// What it did.
        reason: String,
    },
    /// We follow another root now.
    RootChanged(PublicKey),
    /// A session came up.
    SessionUp(PublicKey),
    /// A session ended.
    SessionDown(PublicKey),
    /// The answer to [`Node::lookup`]; `None` if nobody answered in time.
    Lookup(RequestId, Option<status::LookupAnswer>),
    /// The answer to [`Node::ping`]; `None` if nobody answered in time.
    Ping(RequestId, Option<status::PingAnswer>),
}
