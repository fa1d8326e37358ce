//! From the overlay to the host: what arrives in frames, who may have sent it, and what of it the host gets to see.

use crate::addr::{Destination, may_send_from};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::ip::firewall::{self, InboundVerdict};
use crate::ip::{Ipv6View, offload};
use crate::keys::PublicKey;
use crate::node::flow::{self, PROTOCOL_FLOW};
use crate::node::routes::CameBy;
use crate::node::transmit::stage_of;
use crate::node::{MAX_TUN_BACKLOG, Node, PeerMisbehaved, Port};
use crate::router::{Delivery, Verdict};
use crate::time::Instant;
use crate::wire::frame::{self, FrameKind, Header};
use crate::wire::session::lookup::{LookupAnswer, LookupQuestion};
use crate::wire::session::{DATA, LOOKUP_ANSWER, LOOKUP_QUESTION};

impl Node {
    /// Takes one whole frame from a peering.
    ///
    /// # Errors
    /// If the peer broke the protocol: the caller closes the peering and calls [`Node::remove_peer`].
    pub fn handle_frame(&mut self, from: Port, frame: PacketBuf, now: Instant) -> Result<(), PeerMisbehaved> {
        let Some(peering) = self.peerings.get_mut(&from) else { return Ok(()) };
        peering.received_bytes += frame.len() as u64;
        self.counters.received_bytes += frame.len() as u64;
        let result = match Header::parse(&frame) {
            Ok(header) if header.kind == FrameKind::Traffic => self.handle_traffic(from, frame, now),
            Ok(Header { kind: FrameKind::Route(kind), .. }) => self.handle_routed(from, kind, frame, now),
            _ => frame::parse(&frame)
                .map_err(PeerMisbehaved::from)
                .and_then(|parsed| self.router.handle_protocol_frame(from, &parsed, now)),
        };
        if result.is_err() {
            self.drops.count(DropReason::MalformedFrame);
        }
        self.settle(now);
        result
    }

    fn handle_traffic(&mut self, from: Port, mut frame: PacketBuf, now: Instant) -> Result<(), PeerMisbehaved> {
        match self.router.forward(from, &mut frame, now)? {
            Verdict::Forward(port) => {
                self.frames_forwarded += 1;
                self.counters.forwarded.count(stage_of(&frame), frame.len());
                let flow = flow::of_frame(&frame);
                self.queue_traffic(port, frame, flow, now);
            }
            Verdict::Drop(reason) => self.drops.count(reason),
            Verdict::Deliver(delivery) => {
                let came_by = CameBy::Itself(frame::extra_of(&frame));
                frame.advance(delivery.payload_at);
                if let Err(reason) = self.deliver(&delivery, frame, came_by, now) {
                    self.drops.count(reason);
                }
            }
        }
        Ok(())
    }

    /// Handles a payload that ended here: because it is for us, or because nobody is nearer to its key.
    pub(super) fn deliver(
        &mut self,
        delivery: &Delivery,
        message: PacketBuf,
        came_by: CameBy,
        now: Instant,
    ) -> Result<(), DropReason> {
        let kind = *message.first().ok_or(DropReason::MalformedMessage)?;
        if kind == LOOKUP_QUESTION {
            return self.answer_lookup(&delivery.source_key, &message, now);
        }
        if delivery.destination_key != self.keypair.public() {
            return Err(DropReason::NotForUs);
        }
        if kind == LOOKUP_ANSWER {
            return self.handle_lookup_answer(&delivery.source_key, &message, now);
        }
        let opened = self.sessions.open(&delivery.source_key, message, now)?;
        if kind == DATA {
            self.note_way(&delivery.source_key, came_by, now);
        }
        self.take_opened(&delivery.source_key, opened, now)
    }

    /// Gives a decrypted packet to the host, if its sender may send it and the host wants it.
    pub(super) fn admit_inbound(
        &mut self,
        from: &PublicKey,
        packet: PacketBuf,
        now: Instant,
    ) -> Result<(), DropReason> {
        let view = Ipv6View::parse(&packet).map_err(|_| DropReason::MalformedPacket)?;
        let ours = view.destination() == self.address.ip() || self.subnet.contains(view.destination());
        if !ours || !may_send_from(from, view.source()) {
            return Err(DropReason::SpoofedSource);
        }
        if !offload::is_sound(&packet) {
            return Err(DropReason::MalformedPacket);
        }
        if self.firewall.check_inbound(&view, from, now) == InboundVerdict::Allow {
            self.packets_delivered += 1;
            self.give_to_host(packet);
            return Ok(());
        }
        // The sender is who it says it is, so telling it why harms nobody.
        if let Some(source) = Destination::of(view.source())
            && self.icmp_budget.take(1, now)
            && let Some(error) = firewall::refusal(self.address.ip(), &packet)
        {
            self.send_packet(error, source, now);
        }
        Err(DropReason::FirewallInbound)
    }

    pub(super) fn give_to_host(&mut self, packet: PacketBuf) {
        if self.tun_packets.len() < MAX_TUN_BACKLOG {
            self.tun_packets.push_back(packet);
        } else {
            self.drops.count(DropReason::TunWrite);
        }
    }

    /// Answers a question about an address if it is ours.
    fn answer_lookup(&mut self, asker: &PublicKey, message: &[u8], now: Instant) -> Result<(), DropReason> {
        let question = LookupQuestion::parse(message).map_err(|_| DropReason::MalformedMessage)?;
        let own = self.keypair.public();
        if !question.destination().is_some_and(|target| target.belongs_to(&own)) {
            return Err(DropReason::NotForUs);
        }
        if *asker == own || !self.answer_budget.take(1, now) {
            return Err(DropReason::RateLimited);
        }
        let answer = LookupAnswer::sign(&question, asker, &self.keypair);
        self.send_to(asker, answer.encode(), PROTOCOL_FLOW, now);
        Ok(())
    }

    fn handle_lookup_answer(&mut self, owner: &PublicKey, message: &[u8], now: Instant) -> Result<(), DropReason> {
        let answer = LookupAnswer::parse(message).map_err(|_| DropReason::MalformedMessage)?;
        // Unasked answers end here, before any signature is checked.
        let target = self.resolver.asked(&answer.nonce).ok_or(DropReason::BadAnswer)?;
        let question = LookupQuestion { nonce: answer.nonce, target: target.ip().octets() };
        if !answer.verify(&question, &self.keypair.public(), owner, self.keypair.scheme()) {
            return Err(DropReason::BadAnswer);
        }
        self.resolver.handle_answer(&target, *owner);
        self.resolved(&target, *owner, now);
        Ok(())
    }
}
