//! What the node keeps per peering: who it is, what waits for it, what crossed it.

use crate::keys::PublicKey;
use crate::node::outbox::Outbox;
use crate::node::pacer::Pacer;
use crate::router::PeerKind;
use crate::time::{Duration, Instant};
use crate::wire::extensions::Extensions;

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
    /// What the peer understands beyond plain Pinecone.
    pub extensions: Extensions,
}

/// One peering.
#[derive(Debug)]
pub(super) struct Peering {
    pub(super) info: PeerInfo,
    pub(super) up_since: Instant,
    pub(super) outbox: Outbox,
    /// Whether the caller found the outbox empty, so that the next frame has to be reported.
    pub(super) idle: bool,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) queue_drops: u64,
    /// Traffic frames that left its queue, and microseconds that they had waited in all.
    pub(super) queue_delay: (u64, u64),
    /// Longest frame, in bytes, that we make for it if we can choose.
    pub(super) frame_len: usize,
    pub(super) priority: u8,
    /// The time of a round trip over it without queueing, once known.
    pub(super) round_trip: Option<Duration>,
    /// Its cap, if it has one.
    pub(super) pacer: Option<Pacer>,
    /// Whether traffic waits for that.
    pub(super) is_paced: bool,
}

impl Peering {
    pub(super) fn new(info: PeerInfo, now: Instant) -> Self {
        Self {
            info,
            up_since: now,
            outbox: Outbox::default(),
            idle: true,
            received_bytes: 0,
            sent_bytes: 0,
            queue_drops: 0,
            queue_delay: (0, 0),
            frame_len: usize::MAX,
            priority: 0,
            round_trip: None,
            pacer: None,
            is_paced: false,
        }
    }

    /// Whether its cap lets the next traffic frame through.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        self.pacer.as_mut().is_none_or(|pacer| pacer.is_open(now))
    }

    /// Whether frames for it should be short.
    pub(super) fn is_slow(&self) -> bool {
        self.frame_len != usize::MAX
    }
}
