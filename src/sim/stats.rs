//! What a simulation counts and remembers of what happened.

use crate::node::Port;
use crate::sim::NodeId;
use crate::time::Instant;
use crate::wire::frame::FrameKind;

/// Frames that one node gave to its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tree announcements.
    pub announcements: Tally,
    /// Bootstraps, its own and others'.
    pub bootstraps: Tally,
    /// Wakeup broadcasts, its own and others'.
    pub broadcasts: Tally,
    /// Traffic frames.
    pub traffic: Tally,
    /// Anything else.
    pub other: Tally,
}

/// Frames of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub frames: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

impl Counters {
    pub(super) fn count(&mut self, kind: Option<FrameKind>, len: usize) {
        let tally = match kind {
            Some(FrameKind::Announcement) => &mut self.announcements,
            Some(FrameKind::Bootstrap) => &mut self.bootstraps,
            Some(FrameKind::Broadcast) => &mut self.broadcasts,
            Some(FrameKind::Traffic | FrameKind::Route(_)) => &mut self.traffic,
            _ => &mut self.other,
        };
        tally.frames += 1;
        tally.bytes += len as u64;
    }

    /// All protocol frames: everything but traffic.
    pub const fn protocol(&self) -> Tally {
        let (a, b, c, d) = (self.announcements, self.bootstraps, self.broadcasts, self.other);
        Tally { frames: a.frames + b.frames + c.frames + d.frames, bytes: a.bytes + b.bytes + c.bytes + d.bytes }
    }
}

impl std::ops::Sub for Tally {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { frames: self.frames - earlier.frames, bytes: self.bytes - earlier.bytes }
    }
}

/// A frame that arrives.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// When.
    pub at: Instant,
    /// At which node.
    pub node: NodeId,
    /// At which of its ports.
    pub port: Port,
    /// What.
    pub frame: &'a [u8],
}

/// Whoever wants to see every frame.
pub type Observer = Box<dyn FnMut(&Arrival<'_>)>;

/// What happened, in one number, and whoever watches.
#[derive(Default)]
pub(super) struct Trace {
    digest: u64,
    observer: Option<Observer>,
}

impl Trace {
    pub(super) fn note(&mut self, arrival: &Arrival<'_>) {
        // Lengths and not contents: a run with simulated signatures has the digest of the same run with real ones.
        for word in [arrival.at.as_micros(), arrival.node as u64, u64::from(arrival.port), arrival.frame.len() as u64] {
            self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        if let Some(observer) = &mut self.observer {
            observer(arrival);
        }
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({:016x})", self.digest)
    }
}
