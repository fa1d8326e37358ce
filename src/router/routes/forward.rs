//! Frames with a route around them, one hop at a time.
//!
//! What a hop costs: the front of the frame is read, the next hop is looked up in the array of peerings, and seven bytes are written. No
//! key is looked at and nothing is copied.
//!
//! A frame whose next hop is gone loses its route if it is open, and goes on by tree or snake; it may go back where it came from then, as that
//! may be the way. A sealed one says nothing of where it is to go, so it is sent back to its source, whole, which sends it another way.

use super::super::forward::OURSELVES;
use super::super::{PeerMisbehaved, Port, Router, Verdict};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::time::Instant;
use crate::wire::route::{RouteKind, Routed};

/// What to do with a source-routed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutedVerdict {
    /// Send it to this port; its next hop is taken.
    Forward(Port),
    /// It is an ordinary traffic frame from here on, its route is off; and what to do with that.
    Plain {
        /// What to do with what is left.
        verdict: Verdict,
        /// Whether it came to the end of its route.
        arrived: bool,
    },
    /// A sealed frame at the end of its route.
    Arrived {
        /// Which conversation it belongs to.
        label: u64,
        /// Where in the frame the session message begins.
        message_at: usize,
    },
    /// A sealed frame of ours that could not go on, or the answer to a trace.
    Returned {
        /// The label that it was sent with.
        label: u64,
        /// Where in the frame the message begins.
        message_at: usize,
    },
    /// Let it go, for this reason. The caller counts it.
    Drop(DropReason),
}

impl Router {
    /// Decides about one source-routed frame that came from peering `from`, and takes its next hop or its route off. Drops are not
    /// counted here.
    ///
    /// # Errors
    /// [`PeerMisbehaved::Malformed`] if its front cannot be: close the peering. What is carried is its source's affair: if that is
    /// malformed, the frame is dropped.
    pub fn forward_routed(
        &mut self,
        from: Port,
        kind: RouteKind,
        frame: &mut PacketBuf,
        now: Instant,
    ) -> Result<RoutedVerdict, PeerMisbehaved> {
        let Some(came_by) = self.hop(from) else { return Ok(RoutedVerdict::Drop(DropReason::UnknownFrame)) };
        let routed = Routed::parse(frame, kind == RouteKind::Sealed)?;
        let Some(next) = routed.next(frame) else { return Ok(self.arrive(&routed, frame, now)) };
        let passed_before = || !routed.is_returning && routed.taken(frame).any(|hop| self.port_of(hop).is_some());
        match self.port_of(next).filter(|port| *port != from && !passed_before()) {
            Some(port) => {
                routed.take_hop(frame, came_by);
                Ok(RoutedVerdict::Forward(port))
            }
            // Neither way is left.
            None if routed.is_returning => Ok(RoutedVerdict::Drop(DropReason::RouteBroken)),
            None => Ok(self.break_off(from, &routed, frame, now)),
        }
    }

    /// Sends a sealed frame that arrived here, but is not ours, back to its source.
    pub fn refuse_sealed(&self, from: Port, frame: &mut PacketBuf) -> Verdict {
        match Routed::parse(frame, true) {
            Ok(routed) if !routed.is_returning && self.hop(from).is_some() => {
                routed.turn_back(frame);
                Verdict::Forward(from)
            }
            _ => Verdict::Drop(DropReason::UnknownLabel),
        }
    }

    fn arrive(&mut self, routed: &Routed, frame: &mut PacketBuf, now: Instant) -> RoutedVerdict {
        let (label, message_at) = (routed.label(frame), routed.inside_at());
        match (routed.is_sealed, routed.is_returning) {
            (true, true) => RoutedVerdict::Returned { label, message_at },
            (true, false) => RoutedVerdict::Arrived { label, message_at },
            (false, _) => RoutedVerdict::Plain { verdict: self.unwrap(routed, frame, now), arrived: true },
        }
    }

    fn break_off(&mut self, from: Port, routed: &Routed, frame: &mut PacketBuf, now: Instant) -> RoutedVerdict {
        if routed.is_sealed {
            routed.turn_back(frame);
            return RoutedVerdict::Forward(from);
        }
        RoutedVerdict::Plain { verdict: self.unwrap(routed, frame, now), arrived: false }
    }

    /// Takes the route off an open frame.
    fn unwrap(&mut self, routed: &Routed, frame: &mut PacketBuf, now: Instant) -> Verdict {
        frame.advance(routed.inside_at());
        let verdict = self.forward(OURSELVES, frame, now);
        verdict.unwrap_or(Verdict::Drop(DropReason::MalformedFrame))
    }
}
