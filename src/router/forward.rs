//! What happens to one traffic frame (specification §7).

use super::next_hop::{self, NextHop, SnakeQuery};
use super::{Delivery, PeerMisbehaved, Port, Router, Transit, Verdict};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::coords::Coords;
use crate::wire::frame::{self, Frame, TrafficFrame, TrafficHeader};
use crate::wire::snake::Watermark;

/// What a frame starts with (specification §7). Nobody looks at it unless hop limiting is on.
pub(super) const HOP_LIMIT: u8 = 10;
/// The port of what we send ourselves.
pub(super) const OURSELVES: Port = 0;

/// A frame's next station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It ends here, as far as routing goes.
    Deliver,
    /// By coordinates: nothing in the frame changes.
    ByCoordinates(Port),
    /// By key, with this watermark and without coordinates: no later node returns it to the tree.
    ByKey(Port, Watermark),
}

impl Router {
    /// Decides about one traffic frame that came from peering `from` and rewrites it in place for its next hop: the
    /// watermark or the coordinates if it goes by key, the hop limit if that is configured. No allocation, no copy of
    /// the payload. Drops are **not** counted here: the verdict names the reason and the caller counts it.
    ///
    /// # Errors
    /// [`PeerMisbehaved::Malformed`] if the frame cannot be decoded: close the peering.
    pub fn forward(&mut self, from: Port, frame: &mut PacketBuf, now: Instant) -> Result<Verdict, PeerMisbehaved> {
        // Decoded once, into a list that keeps its memory: looking for the nearest peer goes through it more than once.
        let mut destination = std::mem::take(&mut self.destination);
        let verdict = self.forward_to(&mut destination, from, frame, now);
        self.destination = destination;
        verdict
    }

    fn forward_to(
        &mut self,
        coords: &mut Vec<u64>,
        from: Port,
        frame: &mut PacketBuf,
        now: Instant,
    ) -> Result<Verdict, PeerMisbehaved> {
        let Frame::Traffic(traffic) = frame::parse(frame)? else {
            return Ok(Verdict::Drop(DropReason::UnknownFrame));
        };
        let TrafficFrame { hop_limit, destination, watermark, .. } = traffic;
        // What is addressed to us arrives whatever its coordinates, watermark and hop limit say.
        if traffic.destination_key == self.own {
            return Ok(Verdict::Deliver(delivery(&traffic)));
        }
        if self.config.hop_limiting && hop_limit <= 1 {
            return Ok(Verdict::Drop(DropReason::FrameHopLimit));
        }
        destination.decode(coords);
        let is_by_coordinates = !coords.is_empty();
        let step = self.step(from, coords, &traffic.destination_key, watermark, now);
        if self.config.transit == Transit::Never && step != Ok(Step::Deliver) {
            return Ok(Verdict::Drop(DropReason::TransitRefused));
        }
        let (port, rewritten) = match step {
            Err(reason) => return Ok(Verdict::Drop(reason)),
            Ok(Step::Deliver) => return Ok(Verdict::Deliver(delivery(&traffic))),
            Ok(Step::ByCoordinates(port)) => (port, Ok(())),
            Ok(Step::ByKey(port, next)) if is_by_coordinates => (port, frame::clear_destination(frame, next)),
            Ok(Step::ByKey(port, next)) if next != watermark => (port, frame::set_watermark(frame, next)),
            Ok(Step::ByKey(port, _)) => (port, Ok(())),
        };
        if rewritten.is_err() {
            return Ok(Verdict::Drop(DropReason::FrameOverflow));
        }
        if self.config.hop_limiting {
            frame::set_hop_limit(frame, hop_limit - 1);
        }
        Ok(Verdict::Forward(self.carrier(port, from)))
    }

    /// Makes `payload` a traffic frame to the node `to`: the header goes into its headroom, for the first hop. With
    /// `coords` it goes by coordinates if a peer is nearer to them than we are, otherwise by key.
    ///
    /// [`Verdict::Deliver`] means that we are `to` ourselves; the packet is then left without a header. If we are only
    /// the closest node to a key that nobody owns, it is dropped: there is nobody else to give it to. A dropped packet
    /// may or may not have got its header. Drops are not counted here.
    pub fn originate(
        &mut self,
        to: &PublicKey,
        coords: Option<&Coords>,
        payload: &mut PacketBuf,
        now: Instant,
    ) -> Verdict {
        if *to == self.own {
            return Verdict::Deliver(Delivery { source_key: *to, destination_key: *to, payload_at: 0 });
        }
        let nowhere = Coords::default();
        let (port, destination, watermark) = match self.first_step(to, coords, now) {
            Err(reason) => return Verdict::Drop(reason),
            // Not reached: what starts here and ends here is an error of `step`.
            Ok(Step::Deliver) => return Verdict::Drop(DropReason::BackToSender),
            Ok(Step::ByCoordinates(port)) => (port, coords.unwrap_or(&nowhere), Watermark::NONE),
            Ok(Step::ByKey(port, watermark)) => (port, &nowhere, watermark),
        };
        let header = TrafficHeader {
            version: 0,
            extra: 0,
            hop_limit: HOP_LIMIT - u8::from(self.config.hop_limiting),
            destination,
            source: &self.tree.coords,
            destination_key: to,
            source_key: &self.own,
            watermark,
        };
        match frame::emit_traffic(payload, &header) {
            Ok(()) => Verdict::Forward(self.carrier(port, OURSELVES)),
            Err(_) => Verdict::Drop(DropReason::FrameOverflow),
        }
    }

    /// Through which peering [`Router::originate`] would send a frame now.
    pub fn first_hop(&self, to: &PublicKey, coords: Option<&Coords>, now: Instant) -> Option<Port> {
        match self.first_step(to, coords, now) {
            Ok(Step::ByCoordinates(port) | Step::ByKey(port, _)) => Some(self.carrier(port, OURSELVES)),
            Ok(Step::Deliver) | Err(_) => None,
        }
    }

    /// The first station of a frame of our own.
    fn first_step(&self, to: &PublicKey, coords: Option<&Coords>, now: Instant) -> Result<Step, DropReason> {
        let coords = coords.map_or(&[][..], Coords::as_slice);
        self.step(OURSELVES, coords, to, Watermark::NONE, now)
    }

    /// The next station of a frame for `key`, which is not ours, at `coords`; without any it goes by key.
    fn step(
        &self,
        from: Port,
        coords: &[u64],
        key: &PublicKey,
        watermark: Watermark,
        now: Instant,
    ) -> Result<Step, DropReason> {
        let tree = &self.tree;
        let by_coordinates = if coords.is_empty() {
            None
        } else {
            next_hop::by_coordinates(coords, &tree.coords, &tree.neighbours, &tree.leaves, from)
        };
        // Our coordinates with a stranger's key are stale, or a lie (pitfall 15): the key shows where the frame
        // belongs.
        if let Some(NextHop::Port(port)) = by_coordinates {
            return Ok(Step::ByCoordinates(port));
        }
        let query = SnakeQuery { destination: *key, bootstrap: false, watermark };
        let (next, best) = next_hop::by_key(&self.snake_view(now), &query);
        let next = next.ok_or(DropReason::NoNextHop)?;
        if next == NextHop::Local && from == OURSELVES && self.config.transit == Transit::Never {
            // Nearest is our home, which has the routes that would be ours.
            return self.tree.parent.map(|home| Step::ByKey(home, Watermark::NONE)).ok_or(DropReason::NoNextHop);
        }
        let came_from = if from == OURSELVES { NextHop::Local } else { NextHop::Port(from) };
        if next == came_from {
            return Err(DropReason::BackToSender);
        }
        if best.is_worse_than(&watermark) {
            return Err(DropReason::WorseWatermark);
        }
        match next {
            NextHop::Local => Ok(Step::Deliver),
            NextHop::Port(port) => Ok(Step::ByKey(port, best)),
        }
    }
}

fn delivery(frame: &TrafficFrame<'_>) -> Delivery {
    Delivery { source_key: frame.source_key, destination_key: frame.destination_key, payload_at: frame.payload_at }
}
