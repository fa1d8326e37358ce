//! Frames with routes around them: how our own leave, and what becomes of those that arrive or come back.

use super::super::counters::Stage;
use super::super::flow::{self, Flow, PROTOCOL_FLOW};
use super::super::transmit::stage_of;
use super::super::{Node, PeerMisbehaved, Port};
use super::conversation::Route;
use super::labels::Wish;
use super::{Routes, Wanted};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::router::{Delivery, RoutedVerdict, Router, Verdict};
use crate::session::{Opened, RouteMessage};
use crate::time::Instant;
use crate::wire::coords::Coords;
use crate::wire::frame;
use crate::wire::route::{self, RouteKind, Routed};
use crate::wire::session::{DATA, DATA_OVERHEAD};

/// Where the index of a session's data message is.
const INDEX: std::ops::Range<usize> = 4..8;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum CameBy {
    /// By tree or snake; with the mark of the route that it lost on its way, or 0.
    Itself(u8),
    /// By a route, sealed.
    Label(u64),
    /// By a route, open.
    Mark(u8),
}

impl Node {
    /// Sends a packet that is sealed, by a route if there is one.
    pub(in crate::node) fn send_sealed(&mut self, to: &PublicKey, mut message: PacketBuf, flow: Flow, now: Instant) {
        if self.router.has_routable()
            && let Some(route) = self.routes.for_packet(to, now)
        {
            let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, to);
            if let Some(port) = put_route(&self.router, coords, to, &route, 0, &mut message) {
                self.counters.originated.count(Stage::Route, message.len());
                return self.queue_traffic(port, message, flow, now);
            }
        }
        self.send_to(to, message, flow, now);
    }

    /// Sends what a session says besides packets. Handshakes go by tree or snake, as those are what works without any state.
    pub(in crate::node) fn send_control(&mut self, to: &PublicKey, mut message: PacketBuf, now: Instant) {
        if message.first() == Some(&DATA)
            && let Some(route) = self.routes.for_control(to)
        {
            let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, to);
            if let Some(port) = put_route(&self.router, coords, to, &route, 1, &mut message) {
                self.counters.originated.count(Stage::Route, message.len());
                return self.queue_traffic(port, message, PROTOCOL_FLOW, now);
            }
        }
        self.send_to(to, message, PROTOCOL_FLOW, now);
    }

    /// Sends what is said about routes, by the one that it is about.
    pub(super) fn send_by(&mut self, to: &PublicKey, route: &Route, mut message: PacketBuf, now: Instant) {
        let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, to);
        match put_route(&self.router, coords, to, route, 1, &mut message) {
            Some(port) => {
                self.counters.originated.count(Stage::Route, message.len());
                self.queue_traffic(port, message, PROTOCOL_FLOW, now);
            }
            None => self.drops.count(DropReason::NoNextHop),
        }
    }

    /// Takes a frame of this extension from a peering.
    pub(in crate::node) fn handle_routed(
        &mut self,
        from: Port,
        kind: RouteKind,
        mut frame: PacketBuf,
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        if kind == RouteKind::Request {
            return self.handle_request(from, frame, now);
        }
        let outcome = match self.router.forward_routed(from, kind, &mut frame, now)? {
            RoutedVerdict::Forward(port) => {
                self.relay(port, Stage::Route, frame, now);
                Ok(())
            }
            RoutedVerdict::Plain { verdict: Verdict::Forward(port), .. } => {
                self.relay(port, stage_of(&frame), frame, now);
                Ok(())
            }
            RoutedVerdict::Plain { verdict: Verdict::Deliver(delivery), arrived } => {
                let mark = frame::extra_of(&frame);
                frame.advance(delivery.payload_at);
                let came_by = if arrived { CameBy::Mark(mark) } else { CameBy::Itself(mark) };
                self.deliver(&delivery, frame, came_by, now)
            }
            RoutedVerdict::Plain { verdict: Verdict::Drop(reason), .. } | RoutedVerdict::Drop(reason) => Err(reason),
            RoutedVerdict::Arrived { label, message_at } => self.open_sealed(from, (label, message_at), frame, now),
            RoutedVerdict::Returned { label, message_at } => {
                frame.advance(message_at);
                self.take_back(label, frame, now)
            }
        };
        if let Err(reason) = outcome {
            self.drops.count(reason);
        }
        Ok(())
    }

    fn relay(&mut self, port: Port, stage: Stage, frame: PacketBuf, now: Instant) {
        self.frames_forwarded += 1;
        self.counters.forwarded.count(stage, frame.len());
        let flow = flow_of(&frame);
        self.queue_traffic(port, frame, flow, now);
    }

    /// A sealed frame at the end of its route.
    fn open_sealed(
        &mut self,
        from: Port,
        (label, message_at): (u64, usize),
        mut frame: PacketBuf,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some((source_key, mask)) = self.routes.labels.find(label) else {
            return match self.router.refuse_sealed(from, &mut frame) {
                Verdict::Forward(port) => {
                    self.queue_traffic(port, frame, PROTOCOL_FLOW, now);
                    Err(DropReason::UnknownLabel)
                }
                Verdict::Drop(reason) => Err(reason),
                Verdict::Deliver(_) => Err(DropReason::UnknownLabel),
            };
        };
        frame.advance(message_at);
        if frame.first() != Some(&DATA) {
            return Err(DropReason::MalformedMessage);
        }
        apply_mask(&mut frame, mask);
        let delivery = Delivery { source_key, destination_key: self.keypair.public(), payload_at: 0 };
        self.deliver(&delivery, frame, CameBy::Label(label), now)
    }

    /// A sealed frame of ours came back: its route is broken, and it goes another way. Or the answer to a trace did.
    fn take_back(&mut self, label: u64, mut message: PacketBuf, now: Instant) -> Result<(), DropReason> {
        let Some((to, id, given)) = self.routes.outgoing.get(&(label & !1)).copied() else {
            return self.handle_trace_answer(label, &message, now);
        };
        if message.len() < DATA_OVERHEAD || message.first() != Some(&DATA) {
            return Err(DropReason::MalformedMessage);
        }
        if !self.routes.returned.take(1, now) {
            return Err(DropReason::RateLimited);
        }
        apply_mask(&mut message, given.mask);
        self.routes.broke(&to, id, now);
        self.send_control(&to, message, now);
        Ok(())
    }

    /// Whatever was opened in a session: what is to be known about the way that it came.
    pub(in crate::node) fn note_way(&mut self, from: &PublicKey, came_by: CameBy, now: Instant) {
        match came_by {
            CameBy::Mark(0) => {}
            CameBy::Itself(0) => self.routes.labels.count_ordinary(from),
            CameBy::Label(label) => self.routes.labels.count(label, now),
            CameBy::Mark(mark) => self.routes.labels.count_marked(from, mark, now),
            CameBy::Itself(mark) => {
                if self.routes.labels.has_marked(from, mark) && self.routes.labels.admit(from, Wish::News, now) {
                    self.routes.want(from, vec![Wanted::Say(0, RouteMessage::Broken { mark })]);
                }
            }
        }
    }

    /// What a session's message turned out to be, if it is about routes.
    pub(in crate::node) fn take_opened(
        &mut self,
        from: &PublicKey,
        opened: Opened,
        now: Instant,
    ) -> Result<(), DropReason> {
        match opened {
            Opened::Packet(packet) => {
                self.routes.heard(from, now);
                self.admit_inbound(from, packet, now)
            }
            Opened::Route(message) => self.handle_route_message(from, message, now),
            Opened::Nothing => Ok(()),
        }
    }
}

impl Routes {
    /// A route to a node is broken.
    pub(super) fn broke(&mut self, to: &PublicKey, id: u64, now: Instant) {
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.broke(id, now);
            self.file(to);
        }
    }
}

/// Makes a session message a frame that takes a route. `variant` is 1 for what is no packet, so that it does not wait behind those. `None` if
/// that cannot be; then the message is as it was.
fn put_route(
    router: &Router,
    coords: Option<&Coords>,
    to: &PublicKey,
    route: &Route,
    variant: u64,
    message: &mut PacketBuf,
) -> Option<Port> {
    let port = router.port_of(route.first)?;
    if route.label.label != 0 {
        apply_mask(message, route.label.mask);
        if route::seal(message, &route.hops, route.label.label | variant).is_err() {
            apply_mask(message, route.label.mask);
            return None;
        }
        return Some(port);
    }
    let len = message.len();
    router.address(to, coords, route.mark, message).ok()?;
    if route::wrap(message, &route.hops).is_err() {
        message.advance(message.len() - len);
        return None;
    }
    Some(port)
}

/// Masks a session's index, or shows it again.
fn apply_mask(message: &mut [u8], mask: u32) {
    let bytes = message.get_mut(INDEX).into_iter().flatten();
    bytes.zip(mask.to_be_bytes()).for_each(|(byte, mask)| *byte ^= mask);
}

/// Which flow a frame with a route belongs to: that of the frame inside, or whatever has the same label.
fn flow_of(frame: &[u8]) -> Flow {
    match frame::Header::parse(frame).map(|header| header.kind) {
        Ok(frame::FrameKind::Route(RouteKind::Sealed)) => {
            Routed::parse(frame, true).map_or(PROTOCOL_FLOW, |routed| flow::of_label(routed.label(frame)))
        }
        Ok(frame::FrameKind::Route(RouteKind::Open)) => {
            let inside = Routed::parse(frame, false).ok().and_then(|routed| frame.get(routed.inside_at()..));
            inside.map_or(PROTOCOL_FLOW, flow::of_frame)
        }
        _ => flow::of_frame(frame),
    }
}
