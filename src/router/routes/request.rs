//! Path requests and traces: whoever passes one on writes down by which of its peerings it came and goes on.
//!
//! A request wanders for as many hops as its source wants, at random but not back, and then goes as the traffic frame in it would. A node that
//! it comes through twice cuts out what was between. So a path has no loops, and whoever asks often enough sees different ones. One request is one
//! frame, whatever comes of it: nobody has more work with it than with a traffic frame, and what it may cost altogether is limited.
//!
//! A trace goes the same way and ends where its hops are used up; that node answers to where it came from, so that nobody can have answers
//! sent to others.

use super::super::{Delivery, PeerMisbehaved, Port, Router, Verdict};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::frame::{self, Frame};
use crate::wire::route::request::{PathRequest, Record};
use crate::wire::route::{Hop, MAX_HOPS};

/// What to do with a path request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathVerdict {
    /// Send it to this port; it is rewritten for that.
    Forward(Port),
    /// Send what was in it to this port, as an ordinary frame: the peer there does not understand requests.
    Plain(Port),
    /// It is for us. What is left is the traffic frame that was in it.
    Deliver(Box<PathRequest>, Delivery),
    /// A trace that ends here: the frame is to be answered, and where it would have gone.
    Answer(Box<PathRequest>, TraceStep),
    /// Let it go, for this reason. The caller counts it.
    Drop(DropReason),
}

/// Where a node would have sent a trace on, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceStep {
    /// It is for this node.
    Destination,
    /// The trace was told so.
    Route(Port),
    /// To the neighbour that is nearest in the tree.
    Tree(Port),
    /// Along the snake, by the destination's key.
    Snake(Port),
    /// To this port, where nobody understands requests.
    Plain(Port),
    /// The peering that it was told to take is gone.
    Broken,
    /// Nowhere, for this reason.
    Nowhere(DropReason),
}

impl Router {
    /// Decides about one path request that came from peering `from`. Drops are not counted here.
    ///
    /// # Errors
    /// [`PeerMisbehaved::Malformed`] if its front cannot be: close the peering.
    pub fn forward_request(
        &mut self,
        from: Port,
        frame: &mut PacketBuf,
        now: Instant,
    ) -> Result<PathVerdict, PeerMisbehaved> {
        let Some(came_by) = self.hop(from) else { return Ok(PathVerdict::Drop(DropReason::UnknownFrame)) };
        let (request, inside_at) = PathRequest::parse(frame)?;
        let Some(peer) = self.peers.get_mut(from) else { return Ok(PathVerdict::Drop(DropReason::PeeringClosed)) };
        if !peer.path_requests.take(1, now) || !self.path_requests.take(1, now) {
            return Ok(PathVerdict::Drop(DropReason::RateLimited));
        }
        frame.advance(inside_at);
        Ok(self.pass_request_on(from, came_by, request, frame, now))
    }

    /// Sends a request of our own by a peering: `frame` is the traffic frame for its end.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn originate_request(
        &mut self,
        first: Hop,
        request: &PathRequest,
        frame: &mut PacketBuf,
    ) -> Result<Port, DropReason> {
        let port = self.port_of(first).ok_or(DropReason::NoNextHop)?;
        request.wrap(frame).map_err(|_| DropReason::FrameOverflow)?;
        Ok(port)
    }

    fn pass_request_on(
        &mut self,
        from: Port,
        came_by: Hop,
        mut request: PathRequest,
        inside: &mut PacketBuf,
        now: Instant,
    ) -> PathVerdict {
        let Ok(Frame::Traffic(traffic)) = frame::parse(inside) else {
            return PathVerdict::Drop(DropReason::MalformedFrame);
        };
        if traffic.source_key == self.own {
            return PathVerdict::Drop(DropReason::OwnReturned);
        }
        let to = traffic.destination_key;
        if to == self.own {
            let delivery =
                Delivery { source_key: traffic.source_key, destination_key: to, payload_at: traffic.payload_at };
            return if request.is_trace {
                PathVerdict::Answer(Box::new(request), TraceStep::Destination)
            } else {
                PathVerdict::Deliver(Box::new(request), delivery)
            };
        }
        let came_by = self.cut_loop(&mut request, came_by);
        let (port, step) = match self.next_of_request(from, &request, &to, inside, now) {
            TraceStep::Route(port) => (port, TraceStep::Route(port)),
            TraceStep::Tree(port) => (port, TraceStep::Tree(port)),
            TraceStep::Snake(port) => (port, TraceStep::Snake(port)),
            step if request.is_trace => return PathVerdict::Answer(Box::new(request), step),
            TraceStep::Nowhere(reason) => return PathVerdict::Drop(reason),
            TraceStep::Broken | TraceStep::Plain(_) | TraceStep::Destination => {
                return PathVerdict::Drop(DropReason::RouteBroken);
            }
        };
        if request.remaining == 0 {
            return match request.is_trace {
                true => PathVerdict::Answer(Box::new(request), step),
                false => PathVerdict::Drop(DropReason::FrameHopLimit),
            };
        }
        request.remaining -= 1;
        request.wandering = request.wandering.saturating_sub(1);
        match self.hop(port) {
            None if request.is_trace => PathVerdict::Answer(Box::new(request), TraceStep::Plain(port)),
            None => PathVerdict::Plain(port),
            Some(out) if request.write_down(Record { out, came_by }) && request.wrap(inside).is_ok() => {
                PathVerdict::Forward(port)
            }
            Some(_) => PathVerdict::Drop(DropReason::FrameOverflow),
        }
    }

    /// Where a request goes on: where it is told to, else at random while it wanders, else where what is in it goes, which is rewritten for
    /// that.
    fn next_of_request(
        &mut self,
        from: Port,
        request: &PathRequest,
        to: &PublicKey,
        inside: &mut PacketBuf,
        now: Instant,
    ) -> TraceStep {
        if let Some(told) = request.records.get(request.cursor) {
            return self.port_of(told.out).filter(|port| *port != from).map_or(TraceStep::Broken, TraceStep::Route);
        }
        if request.wandering > 0
            && let Some(port) = self.wander(from, request.salt, to)
        {
            return TraceStep::Route(port);
        }
        match self.forward(from, inside, now) {
            Ok(Verdict::Forward(port)) if goes_by_coordinates(inside) => TraceStep::Tree(port),
            Ok(Verdict::Forward(port)) => TraceStep::Snake(port),
            Ok(Verdict::Drop(reason)) => TraceStep::Nowhere(reason),
            // Nobody is nearer to the key, and it is not ours.
            Ok(Verdict::Deliver(_)) => TraceStep::Nowhere(DropReason::NoNextHop),
            Err(_) => TraceStep::Nowhere(DropReason::MalformedFrame),
        }
    }

    /// Some peering to wander through, which depends on the salt and is another one at each node; one with the destination, if there is one.
    fn wander(&self, from: Port, salt: u64, to: &PublicKey) -> Option<Port> {
        let origin = self.peers.get(from)?.key;
        let others = || self.routable().filter(|(hop, key)| hop.port != from && **key != origin);
        if let Some((hop, _)) = others().find(|(_, key)| *key == to) {
            return Some(hop.port);
        }
        let own = self.own.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // The fractional digits of the golden ratio: all bits of the salt decide.
        let mixed = u128::from(salt ^ own) * 0x9e37_79b9_7f4a_7c15;
        let count = others().count() as u64;
        let at = ((mixed >> 32) as u64).checked_rem(count)?;
        others().nth(usize::try_from(at).ok()?).map(|(hop, _)| hop.port)
    }

    /// If a request was here before, forgets what happened since. Returns by which hop it first came.
    fn cut_loop(&self, request: &mut PathRequest, came_by: Hop) -> Hop {
        if request.cursor < request.records.len() {
            return came_by;
        }
        match request.records.iter().position(|record| self.port_of(record.came_by).is_some()) {
            Some(at) => {
                let first = request.records[at].came_by;
                request.records.truncate(at);
                request.cursor = at;
                first
            }
            None => came_by,
        }
    }
}

fn goes_by_coordinates(frame: &[u8]) -> bool {
    matches!(frame::parse(frame), Ok(Frame::Traffic(traffic)) if !traffic.destination.is_empty())
}

impl PathRequest {
    /// Adds a record, or fills in the one that says where to go.
    fn write_down(&mut self, record: Record) -> bool {
        if self.cursor < self.records.len() {
            self.records[self.cursor] = record;
        } else if self.records.len() < MAX_HOPS {
            self.records.push(record);
        } else {
            return false;
        }
        self.cursor += 1;
        true
    }
}
