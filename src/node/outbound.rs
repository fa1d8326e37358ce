//! From the host to the overlay: which packets may leave, to whom, and how they are sealed, framed and queued.

use crate::addr::{Destination, may_send_from};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::ip::{Ipv6View, MIN_MTU, icmp, offload, segment};
use crate::keys::PublicKey;
use crate::node::flow::{self, Flow, PROTOCOL_FLOW};
use crate::node::outbox::Outbox;
use crate::node::resolver::{self, Question};
use crate::node::transmit::stage_of;
use crate::node::{Node, Port};
use crate::router::{Router, Verdict};
use crate::session::{PACKET_OVERHEAD, Sealed, Sessions};
use crate::time::{Duration, Instant};
use crate::wire::coords::Coords;
use crate::wire::frame::{self, MAX_FRAME_LEN};
use crate::wire::session::lookup::LookupQuestion;

/// A destination whose session has been missing for this long is reported to the application, while its newest packets are kept.
const REPORT_AFTER: Duration = Duration::from_secs(5);

/// Where frames should be short, packets have the length of a frame, so that each costs the headers of one. Only if frames are shorter than
/// this (three Ethernet frames, on links below 6 Mbit/s) packets are an Ethernet's: TCP cannot have less than a packet under way, nor less than
/// a few if one gets lost, and with large ones that is a queue of a second. The host still hands over many at a time.
const ROOMY_FRAME: usize = 5_000;
const SMALL_MTU: usize = 1_500;

/// Why the host is told that its packet did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    NoRoute,
    AddressUnreachable,
    SourcePolicy,
    HopLimit,
    TooBig(usize),
}

/// How long packets to another node may be, in bytes.
struct PacketLimits {
    /// What fits a frame on the way to it.
    frame: usize,
    /// What its interface takes.
    mtu: usize,
}

impl Node {
    /// Takes a packet from the host. It is sent, kept until its destination can be reached, or dropped with an ICMPv6 error.
    pub fn handle_tun_packet(&mut self, packet: PacketBuf, now: Instant) {
        match self.admit(&packet, now) {
            Ok(destination) => {
                self.packets_sent += 1;
                self.send_packet(packet, destination, now);
            }
            Err((reason, rejection)) => {
                self.drops.count(reason);
                if let Some(rejection) = rejection {
                    self.reject(&packet, rejection, now);
                }
            }
        }
        self.settle(now);
    }

    /// Whether a packet of the host may leave, and for where it is.
    fn admit(&mut self, packet: &[u8], now: Instant) -> Result<Destination, (DropReason, Option<Rejection>)> {
        let view = Ipv6View::parse(packet).map_err(|_| (DropReason::MalformedPacket, None))?;
        if view.destination().is_multicast() {
            // The kernel's own multicast (router solicitations, MLD) has nobody to go to.
            return Err((DropReason::NotOverlay, None));
        }
        let own = self.keypair.public();
        if !may_send_from(&own, view.source()) {
            return Err((DropReason::ForeignSource, Some(Rejection::SourcePolicy)));
        }
        let Some(destination) = Destination::of(view.destination()) else {
            return Err((DropReason::NotOverlay, Some(Rejection::NoRoute)));
        };
        if destination.belongs_to(&own) {
            // Ours, but the kernel knows no such host: sending it back would loop.
            return Err((DropReason::NoRouteToKey, Some(Rejection::NoRoute)));
        }
        if view.hop_limit() == 0 {
            return Err((DropReason::HopLimit, Some(Rejection::HopLimit)));
        }
        self.firewall.note_outbound(&view, now);
        Ok(destination)
    }

    /// Sends a packet to whoever owns `destination`, or keeps it and sees to it that it can be sent.
    pub(super) fn send_packet(&mut self, packet: PacketBuf, destination: Destination, now: Instant) {
        let Some(owner) = self.resolver.owner(&destination) else {
            self.drops.add(DropReason::WaitingRoom, self.waiting.push(destination, packet, now) as u64);
            // Counted from the first packet that waits: an application that keeps sending is told as soon as one that does not.
            let since = self.waiting.since(&destination).unwrap_or(now);
            return self.resolver.ask(destination, since + resolver::TIMEOUT, &mut self.rng, now);
        };
        let limits = self.packet_limits(&owner);
        let good = self.good_len(&owner, now);
        let wanted = if good < ROOMY_FRAME { SMALL_MTU } else { good };
        let largest = limits.frame.min(limits.mtu).min(wanted).max(MIN_MTU);
        let (unit_len, is_sound) = offload::extent(&packet);
        if unit_len > largest {
            self.drops.count(DropReason::TooBig);
            return self.reject(&packet, Rejection::TooBig(largest), now);
        }
        let frame = limits.frame.max(MIN_MTU);
        // One that stands for more than the other side takes is cut too: TCP's segments may be short.
        if packet.len() <= frame.min(good) && is_sound {
            return self.seal_packet(packet, destination, &owner, now);
        }
        // It stands for many of which each fits.
        match segment::pieces(&packet, frame.min(good.max(largest))) {
            Some(pieces) => pieces.for_each(|piece| self.seal_packet(piece, destination, &owner, now)),
            None if packet.len() <= frame => self.seal_packet(packet, destination, &owner, now),
            None => self.drops.count(DropReason::TooBig),
        }
    }

    /// How long packets to a node should be at most, so that no frame holds up others for long on the first peering of its way.
    fn good_len(&self, to: &PublicKey, now: Instant) -> usize {
        if self.slow_peerings == 0 {
            return usize::MAX;
        }
        let coords = self.coords_for(to);
        let port = self.routes.first_port(to).or_else(|| self.router.first_hop(to, coords, now));
        match port.and_then(|port| self.peerings.get(&port)) {
            Some(peering) if peering.is_slow() => {
                let nowhere = Coords::default();
                let ordinary = frame::traffic_overhead(coords.unwrap_or(&nowhere), self.router.coords());
                let overhead = self.routes.overhead(to, ordinary);
                peering.frame_len.saturating_sub(overhead + PACKET_OVERHEAD)
            }
            _ => usize::MAX,
        }
    }

    fn seal_packet(&mut self, packet: PacketBuf, destination: Destination, owner: &PublicKey, now: Instant) {
        let flow = flow::of_packet(&packet);
        match self.sessions.seal(owner, packet, now) {
            Sealed::Ready(message) => self.send_sealed(owner, message, flow, now),
            Sealed::NotReady(packet) => self.keep(packet, destination, now),
            Sealed::Drop(reason) => self.drops.count(reason),
        }
    }

    /// Keeps a packet for a node that cannot be reached yet, and says so to the application if that takes long.
    fn keep(&mut self, packet: PacketBuf, destination: Destination, now: Instant) {
        if self.waiting.since(&destination).is_some_and(|since| since.has_passed(REPORT_AFTER, now)) {
            self.reject(&packet, Rejection::AddressUnreachable, now);
        }
        self.drops.add(DropReason::WaitingRoom, self.waiting.push(destination, packet, now) as u64);
    }

    /// Nobody answered for `destination`: its packets end here.
    pub(super) fn give_up(&mut self, destination: &Destination, now: Instant) {
        for packet in self.waiting.take(destination) {
            self.drops.count(DropReason::NoRouteToKey);
            self.reject(&packet, Rejection::NoRoute, now);
        }
    }

    fn packet_limits(&self, to: &PublicKey) -> PacketLimits {
        let nowhere = Coords::default();
        let overhead = frame::traffic_overhead(self.coords_for(to).unwrap_or(&nowhere), self.router.coords());
        // A relay may have to turn a frame routed by coordinates into one routed by key, which is larger.
        let overhead = overhead.max(frame::traffic_overhead(&nowhere, self.router.coords()));
        let overhead = self.routes.overhead(to, overhead) + PACKET_OVERHEAD;
        PacketLimits {
            frame: MAX_FRAME_LEN.saturating_sub(overhead),
            mtu: self.sessions.peer_mtu(to).map_or(usize::from(u16::MAX), usize::from),
        }
    }

    /// Puts the frame header before a message and queues it at the peering it has to take.
    pub(super) fn send_to(&mut self, to: &PublicKey, mut message: PacketBuf, flow: Flow, now: Instant) {
        // Not through `coords_for`: the router is borrowed mutably beside the sessions.
        let coords = coords_in_tree(&self.sessions, &self.router, to);
        match self.router.originate(to, coords, &mut message, now) {
            Verdict::Forward(port) => {
                self.counters.originated.count(stage_of(&message), message.len());
                self.queue_traffic(port, message, flow, now);
            }
            Verdict::Drop(reason) => self.drops.count(reason),
            // Nobody is nearer to the key than we are.
            Verdict::Deliver(_) => self.drops.count(DropReason::NoNextHop),
        }
    }

    /// A node's coordinates, if it told us and they belong to our tree.
    pub(super) fn coords_for(&self, to: &PublicKey) -> Option<&Coords> {
        coords_in_tree(&self.sessions, &self.router, to)
    }

    pub(super) fn send_question(&mut self, question: &Question, now: Instant) {
        let message = LookupQuestion { nonce: question.nonce, target: question.destination.ip().octets() };
        self.send_to(&question.to, message.encode(), PROTOCOL_FLOW, now);
    }

    pub(super) fn queue_traffic(&mut self, port: Port, frame: PacketBuf, flow: Flow, now: Instant) {
        let limit = Outbox::limit(self.peerings.len());
        let Some(peering) = self.peerings.get_mut(&port) else { return self.drops.count(DropReason::NoNextHop) };
        let dropped = peering.outbox.push(frame, flow, limit, now) as u64;
        peering.queue_drops += dropped;
        self.drops.add(DropReason::QueueFull, dropped);
        // While it waits for its cap, more traffic changes nothing.
        if !peering.is_paced && std::mem::take(&mut peering.idle) {
            self.ready.insert(port);
        }
    }

    /// Tells the host by ICMPv6 that `packet` did not get through.
    pub(super) fn reject(&mut self, packet: &[u8], rejection: Rejection, now: Instant) {
        let from = self.address.ip();
        let error = match rejection {
            Rejection::NoRoute => icmp::unreachable(icmp::Unreachable::NoRoute, from, packet),
            Rejection::AddressUnreachable => icmp::unreachable(icmp::Unreachable::AddressUnreachable, from, packet),
            Rejection::SourcePolicy => icmp::unreachable(icmp::Unreachable::SourcePolicy, from, packet),
            Rejection::HopLimit => icmp::hop_limit_exceeded(from, packet),
            Rejection::TooBig(limit) => icmp::packet_too_big(limit as u32, from, packet),
        };
        if let Some(error) = error
            && self.icmp_budget.take(1, now)
        {
            self.give_to_host(error);
        }
    }
}

/// A node's coordinates, if it told us and they belong to our tree.
pub(super) fn coords_in_tree<'a>(sessions: &'a Sessions, router: &Router, of: &PublicKey) -> Option<&'a Coords> {
    let root = router.root().key;
    sessions.coordinates(of).filter(|(of_root, _)| **of_root == root).map(|(_, coords)| coords)
}
