//! What happens to one traffic frame (specification §7).

use super::next_hop::{self, NextHop, SnakeQuery};
use super::{Delivery, PeerMisbehaved, Port, Router, Verdict};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::DecodeError;
use crate::wire::coords::{Coords, CoordsRef};
use crate::wire::frame::{self, Frame, TrafficFrame, TrafficHeader};
use crate::wire::snake::Watermark;

/// What a frame starts with (specification §7). Nobody looks at it unless hop limiting is on.
const HOP_LIMIT: u8 = 10;
/// The port of what we send ourselves.
const OURSELVES: Port = 0;

/// A frame's next station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It ends here.
    Deliver,
    /// By coordinates: nothing in the frame changes.
    ByCoordinates(Port),
    /// By key, with this watermark and without coordinates: no later node returns it to the tree.
    ByKey(Port, Watermark),
}

/// What a step depends on in the frame.
struct Heading<'a> {
    from: Port,
    destination: CoordsRef<'a>,
    key: PublicKey,
    watermark: Watermark,
}

impl Router {
    /// Decides about one traffic frame that came from peering `from` and rewrites it in place for its next hop: the watermark
    /// or the coordinates if it goes by key, the hop limit if that is configured. No allocation, no copy of the payload.
    /// Drops are **not** counted here: the verdict names the reason and the caller counts it.
    ///
    /// # Errors
    /// [`PeerMisbehaved::Malformed`] if it is not a well-formed traffic frame: close the peering.
    pub fn forward(&mut self, from: Port, frame: &mut PacketBuf, now: Instant) -> Result<Verdict, PeerMisbehaved> {
        let Frame::Traffic(traffic) = frame::parse(frame)? else {
            return Ok(Verdict::Drop(DropReason::UnknownFrame));
        };
        let TrafficFrame { hop_limit, destination, destination_key: key, watermark, .. } = traffic;
        let is_tree_routed = !destination.is_empty();
        let step = match self.step(&Heading { from, destination, key, watermark }, now) {
            Ok(Step::Deliver) if key == self.own => return Ok(Verdict::Deliver(delivery(&traffic))),
            Ok(step) => step,
            Err(reason) => return Ok(Verdict::Drop(reason)),
        };
        if self.config.hop_limiting && hop_limit <= 1 {
            return Ok(Verdict::Drop(DropReason::FrameHopLimit));
        }
        let port = match step {
            Step::Deliver => return Ok(Verdict::Deliver(delivery(&traffic))),
            Step::ByCoordinates(port) => port,
            Step::ByKey(port, next) => {
                let rewritten = match is_tree_routed {
                    true => frame::clear_destination(frame, next),
                    false if next == watermark => Ok(()),
                    false => frame::set_watermark(frame, next),
                };
                if rewritten.is_err() {
                    return Ok(Verdict::Drop(DropReason::FrameOverflow));
                }
                port
            }
        };
        if self.config.hop_limiting {
            frame::set_hop_limit(frame, hop_limit - 1);
        }
        Ok(Verdict::Forward(port))
    }

    /// Makes `payload` a traffic frame to the node `to`: the header goes into its headroom, for the first hop. With `coords`
    /// the frame goes by coordinates if a peer is nearer to them than we are, otherwise by key.
    ///
    /// [`Verdict::Deliver`] means that we are `to` ourselves; the packet is then left as it is, without a header. If we are only the
    /// closest node to a key that nobody owns the frame is dropped: there is nobody else to give it to.
    /// Drops are not counted here.
    pub fn originate(
        &mut self,
        to: &PublicKey,
        coords: Option<&Coords>,
        payload: &mut PacketBuf,
        now: Instant,
    ) -> Verdict {
        if *to == self.own {
            let (source_key, destination_key) = (self.own, self.own);
            let source = self.tree.coords.clone();
            return Verdict::Deliver(Delivery { source_key, destination_key, source, payload_at: 0 });
        }
        if self.config.hop_limiting && HOP_LIMIT <= 1 {
            return Verdict::Drop(DropReason::FrameHopLimit);
        }
        let by_tree = coords.filter(|coords| !coords.is_empty()).and_then(|coords| {
            match next_hop::by_owned_coordinates(coords, &self.tree.coords, &self.tree.neighbours) {
                Some(NextHop::Port(port)) => Some((port, coords, Watermark::NONE)),
                Some(NextHop::Local) | None => None,
            }
        });
        let nowhere = Coords::default();
        let (port, destination, watermark) = match by_tree {
            Some(found) => found,
            None => match self.step_by_key(OURSELVES, to, Watermark::NONE, now) {
                Ok((NextHop::Port(port), watermark)) => (port, &nowhere, watermark),
                Ok((NextHop::Local, _)) => return Verdict::Drop(DropReason::BackToSender),
                Err(reason) => return Verdict::Drop(reason),
            },
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
            Ok(()) => Verdict::Forward(port),
            Err(_) => Verdict::Drop(DropReason::FrameOverflow),
        }
    }
}
