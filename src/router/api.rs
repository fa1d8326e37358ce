//! What goes into the router and what comes out of it: its configuration, verdicts, events and errors.

use super::{Rules, Timings, Transit};
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::wire::DecodeError;
use crate::wire::tree::{AnnouncementError, Root};

/// The number of a peering at our node: 1 to [`MAX_PORT`]; 0 is the node itself.
pub type Port = u16;

/// The highest port number, and so the most peerings of a node.
///
/// The reference's nodes stop at 253, but that is their own affair: on the wire ports are variable-length integers, and
/// the reference reads them as 64 bits, so nobody minds how high those of other nodes are. Up to 16,383 they take two
/// bytes, as from 128 on; this is far below that, and twice what the busiest hubs of real meshes have.
pub const MAX_PORT: Port = 4_095;

/// What carries a peering; faster kinds win ties. Order and numbers are the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    /// In the same process.
    Pipe = 0,
    /// Found by LAN discovery.
    Lan = 1,
    /// Apple's peer-to-peer link.
    Bonjour = 2,
    /// Configured, or accepted from anywhere.
    Remote = 3,
    /// Bluetooth.
    Bluetooth = 4,
}

/// What a router is told at its start.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Our own sequence as root at the start. It has to be above that of any earlier run, or nodes that still have an
    /// old announcement will take ours for a replay (pitfall 10): the daemon uses Unix milliseconds.
    pub initial_sequence: u64,
    /// Whether traffic frames are dropped when their hop limit is used up. Off in the reference: its nodes send frames
    /// with a hop limit of 10 and carry them any number of hops.
    pub hop_limiting: bool,
    /// Most entries in the snake's routing table; about 200 bytes each.
    pub max_routes: usize,
    /// Where we go beyond the reference's rules.
    pub rules: Rules,
    /// Whether we carry what others send to others.
    pub transit: Transit,
    /// Intervals and lifetimes.
    pub timings: Timings,
}

impl Default for RouterConfig {
    /// The reference's rules, intervals and hop limits. 65,536 routes are 13 MiB: enough for a node on the way of every
    /// bootstrap in a network of that size, or for an ordinary one in a far larger network.
    fn default() -> Self {
        Self {
            initial_sequence: 1,
            hop_limiting: false,
            max_routes: 65_536,
            rules: Rules::strict(),
            transit: Transit::Full,
            timings: Timings::reference(),
        }
    }
}

/// Signatures that were checked, by what they were in: the one costly thing that a small frame can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounters {
    /// In tree announcements, one for each entry that was not verified before.
    pub announcements: u64,
    /// Of bootstraps.
    pub bootstraps: u64,
    /// Of wakeup broadcasts.
    pub broadcasts: u64,
}

impl CheckCounters {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.announcements + self.bootstraps + self.broadcasts
    }
}

/// What to do with a traffic frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it to this port; it has been rewritten for that.
    Forward(Port),
    /// It ends here.
    Deliver(Delivery),
    /// Let it go, for this reason. The caller counts it.
    Drop(DropReason),
}

/// A traffic frame that ended at our node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who claims to have sent it.
    pub source_key: PublicKey,
    /// Whom it was for. Not ours if we are merely the closest node that the frame could find.
    pub destination_key: PublicKey,
    /// Where in the frame the payload starts, in bytes.
    pub payload_at: usize,
}

/// How a peer broke the protocol. Its peering has to be closed, then removed with [`Router::remove_peer`](super::Router::remove_peer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerMisbehaved {
    /// A frame, or a broadcast in it, is not what it has to be.
    #[error("the peer sent a malformed frame: {0}")]
    Malformed(#[from] DecodeError),
    /// An announcement is not what it has to be.
    #[error("the peer sent {0}")]
    Announcement(#[from] AnnouncementError),
    /// The last signer of an announcement is not the peer.
    #[error("the peer sent another node's announcement as its own")]
    ForeignAnnouncement,
    /// An announcement is older than the one before it.
    #[error("the peer sent an announcement that is older than its last one")]
    ReplayedAnnouncement,
    /// A signature in an announcement or broadcast is wrong. Honest peers check before they pass something on.
    #[error("the peer sent a wrong signature")]
    BadSignature,
}

/// What the caller may want to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterEvent {
    /// We follow another root key. Coordinates learnt in the old tree mean nothing in this one.
    RootChanged(Root),
    /// Our own coordinates changed.
    CoordinatesChanged,
    /// A node not far from here says that it is awake: what waits for it may be tried again.
    WakeupBroadcast(PublicKey),
    /// A peer turned out to have broken the protocol, in an announcement that could not be checked when it came.
    PeerMisbehaved {
        /// Which peering.
        port: Port,
        /// What it did.
        why: PeerMisbehaved,
    },
}
