//! Path requests, and what two nodes say about routes inside their session.

use std::sync::Arc;

use super::super::flow::PROTOCOL_FLOW;
use super::super::{Node, PeerMisbehaved, Port};
use super::conversation::{DOUBTFUL, Route, Wanted};
use super::labels::{Back, Wish, mark_of};
use super::{Errand, Routes};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::router::{Delivery, PathVerdict};
use crate::session::{Label, Opened, RouteMessage};
use crate::time::Instant;
use crate::wire::route::request::PathRequest;
use crate::wire::route::{Hop, MAX_HOPS};
use crate::wire::session::DATA;

/// Path requests of one search that leave by another hop than the ordinary one.
const OTHER_HOPS: usize = 2;
/// Hops that the last request of a search wanders at random, at most.
const WANDERING: u64 = 4;
/// Messages and searches that wait to be sent: one call makes a few for each conversation that is due.
const ALL_HOPS: u8 = MAX_HOPS as u8;

impl Node {
    /// Does what the routes want.
    pub(in crate::node) fn run_errands(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while let Some(Errand { to, wanted }) = self.routes.poll_errand() {
            busy = true;
            match wanted {
                Wanted::Search(round) => self.search(&to, round, now),
                Wanted::Say(id, message) => self.say(&to, id, &message, now),
            }
        }
        busy
    }

    /// Says something about routes: by one of ours, or with 0 by tree or snake.
    fn say(&mut self, to: &PublicKey, id: u64, message: &RouteMessage, now: Instant) {
        if id == 0 {
            self.routes.count_ordinary(to);
            if let Some(message) = self.sessions.seal_route(to, message, now) {
                self.send_to(to, message, PROTOCOL_FLOW, now);
            }
            return;
        }
        let Some(route) = self.routes.send_by(to, id) else { return };
        if let Some(message) = self.sessions.seal_route(to, message, now) {
            self.send_by(to, &route, message, now);
        }
    }

    /// Sends path requests to a node through different first hops.
    fn search(&mut self, to: &PublicKey, round: u32, now: Instant) {
        let is_neighbour = self.router.routable().any(|(_, key)| key == to);
        self.routes.set_neighbour(to, is_neighbour);
        for (first, wandering) in self.first_hops(to, round, now) {
            if !self.sessions.is_established(to) {
                return;
            }
            let id = self.routes.next_id();
            let label = self.routes.labels.give(to, (0, None), self.routes.config.seal, &mut self.rng, now);
            let Some(mut frame) = self.sessions.seal_route(to, &RouteMessage::Request { id, label }, now) else {
                return;
            };
            let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, to);
            if self.router.address(to, coords, 0, &mut frame).is_err() {
                return;
            }
            let salt = self.rng.u64();
            let (remaining, cursor, records) = (ALL_HOPS, 0, Vec::new());
            let request = PathRequest { is_trace: false, remaining, wandering, cursor, salt, records };
            match self.router.originate_request(first, &request, &mut frame) {
                Ok(port) => {
                    self.routes.requested(to, id, first, now);
                    self.queue_traffic(port, frame, PROTOCOL_FLOW, now);
                }
                Err(reason) => self.drops.count(reason),
            }
        }
    }

    /// First hops of a search, each with how far the request wanders from there.
    fn first_hops(&mut self, to: &PublicKey, round: u32, now: Instant) -> Vec<(Hop, u8)> {
        let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, to);
        let ordinary = self.router.first_hop(to, coords, now).and_then(|port| self.router.hop(port));
        let mut others: Vec<Hop> = self
            .router
            .routable()
            .filter(|(hop, key)| *key != to && Some(*hop) != ordinary)
            .map(|(hop, _)| hop)
            .collect();
        let is_neighbour = ordinary.is_some_and(|hop| self.router.peer_key(hop.port) == Some(to));
        let mut hops: Vec<(Hop, u8)> = ordinary.filter(|_| !is_neighbour).map(|hop| (hop, 0)).into_iter().collect();
        // The first times the direct ways, then also ways that nobody would take by themselves.
        let wanders = |rng: &mut crate::rng::Rng| if round < 2 { 0 } else { rng.below(WANDERING) as u8 };
        while hops.len() < 1 + OTHER_HOPS && !others.is_empty() {
            let at = self.rng.below(others.len() as u64) as usize;
            hops.push((others.swap_remove(at), wanders(&mut self.rng)));
        }
        if !hops.is_empty() {
            let at = self.rng.below(hops.len() as u64) as usize;
            hops.push((hops[at].0, 1 + self.rng.below(WANDERING) as u8));
        }
        hops
    }

    /// Takes a path request from a peering.
    pub(super) fn handle_request(
        &mut self,
        from: Port,
        mut frame: PacketBuf,
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        let outcome = match self.router.forward_request(from, &mut frame, now)? {
            PathVerdict::Forward(port) | PathVerdict::Plain(port) => {
                self.queue_traffic(port, frame, PROTOCOL_FLOW, now);
                Ok(())
            }
            PathVerdict::Deliver(request, delivery) => {
                frame.advance(delivery.payload_at);
                self.answer_request(from, &request, &delivery, frame, now)
            }
            PathVerdict::Answer(request, step) => self.answer_trace(from, &request, step, now),
            PathVerdict::Drop(reason) => Err(reason),
        };
        if let Err(reason) = outcome {
            self.drops.count(reason);
        }
        Ok(())
    }

    /// A path request for us. Who asks shows inside the session, and that it asks for the first time.
    fn answer_request(
        &mut self,
        from: Port,
        request: &PathRequest,
        delivery: &Delivery,
        message: PacketBuf,
        now: Instant,
    ) -> Result<(), DropReason> {
        let of = &delivery.source_key;
        if !self.routes.config.enabled {
            return Err(DropReason::RoutesRefused);
        }
        if message.first() != Some(&DATA) {
            return Err(DropReason::MalformedMessage);
        }
        let Opened::Route(RouteMessage::Request { id, label }) = self.sessions.open(of, message, now)? else {
            return Err(DropReason::MalformedMessage);
        };
        let first = self.router.hop(from).filter(|_| id != 0).ok_or(DropReason::MalformedMessage)?;
        if !self.routes.labels.admit(of, Wish::Request, now) {
            return Err(DropReason::RateLimited);
        }
        let label = self.routes.usable(label);
        let back = Back { first, hops: request.way_back(), label };
        let label = self.routes.labels.give(of, (id, Some(back)), self.routes.config.seal, &mut self.rng, now);
        let reply = RouteMessage::Reply { id, label, hops: Some(request.way_there()) };
        self.say(of, 0, &reply, now);
        Ok(())
    }

    /// Something about routes, from the owner of the key.
    pub(super) fn handle_route_message(
        &mut self,
        from: &PublicKey,
        message: RouteMessage,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.routes.config.enabled {
            return Err(DropReason::RoutesRefused);
        }
        match message {
            // It came without its path: somebody on the way does not understand requests.
            RouteMessage::Request { id, .. } => {
                if !self.routes.labels.admit(from, Wish::Request, now) {
                    return Err(DropReason::RateLimited);
                }
                self.say(from, 0, &RouteMessage::Reply { id, label: Label::default(), hops: None }, now);
            }
            RouteMessage::Reply { id, label, hops } => self.routes.reply(from, (id, label, hops), now),
            RouteMessage::Probe { id, token } => {
                if !self.routes.labels.admit(from, Wish::Probe, now) {
                    return Err(DropReason::RateLimited);
                }
                if token & DOUBTFUL != 0 {
                    self.routes.doubt(from, now);
                }
                self.answer_probe(from, id, token, now);
            }
            RouteMessage::Probed { id, token, received } => self.routes.probed(from, (id, token, received), now),
            RouteMessage::Broken { mark } => self.routes.broke_marked(from, mark, now),
        }
        Ok(())
    }

    /// Answers a probe by the way that it came, or by tree or snake if that is not known any more.
    fn answer_probe(&mut self, from: &PublicKey, id: u64, token: u64, now: Instant) {
        let (received, back) = self.routes.labels.path(from, id);
        let route =
            back.map(|Back { first, hops, label }| Route { first: *first, hops: hops.clone(), label: *label, mark: 0 });
        let answer = RouteMessage::Probed { id, token, received };
        match route.filter(|route| self.router.port_of(route.first).is_some()) {
            Some(route) => {
                if let Some(message) = self.sessions.seal_route(from, &answer, now) {
                    self.send_by(from, &route, message, now);
                }
            }
            None => self.say(from, 0, &answer, now),
        }
    }
}

impl Routes {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn requested(&mut self, to: &PublicKey, id: u64, first: Hop, now: Instant) {
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.requested(id, first, now);
        }
    }

    fn set_neighbour(&mut self, to: &PublicKey, is_neighbour: bool) {
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.set_neighbour(is_neighbour);
        }
    }

    /// Something goes to a node by tree or snake.
    fn count_ordinary(&mut self, to: &PublicKey) {
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.ordinary_losses.sent();
        }
    }

    /// One of the routes to a node, to send something by, which is counted.
    fn send_by(&mut self, to: &PublicKey, id: u64) -> Option<Arc<Route>> {
        let candidate = self.conversations.get_mut(to)?.candidate(id)?;
        candidate.losses.sent();
        Some(Arc::clone(&candidate.route))
    }

    /// What we make of a label that somebody gave us.
    fn usable(&self, label: Label) -> Label {
        if self.config.seal { Label { label: label.label & !1, ..label } } else { Label::default() }
    }

    fn reply(&mut self, from: &PublicKey, (id, label, hops): (u64, Label, Option<Vec<Hop>>), now: Instant) {
        let label = self.usable(label);
        // A label that somebody else gave us: whoever uses it here too wants to have what comes back from that one.
        if self.outgoing.get(&label.label).is_some_and(|(of, ..)| of != from) {
            return;
        }
        let Some(conversation) = self.conversations.get_mut(from) else { return };
        let wanted = conversation.reply(id, label, hops, now);
        if let Some(route) = conversation.candidate(id).map(|it| &it.route).filter(|route| route.label.label != 0) {
            self.outgoing.insert(route.label.label, (*from, id, route.label));
        }
        self.want(from, wanted);
        self.file(from);
    }

    fn probed(&mut self, from: &PublicKey, (id, token, received): (u64, u64, u32), now: Instant) {
        let Some(conversation) = self.conversations.get_mut(from) else { return };
        let wanted = conversation.probed(id, token, received, now);
        self.want(from, wanted);
        self.file(from);
    }

    fn broke_marked(&mut self, from: &PublicKey, mark: u8, now: Instant) {
        let Some(conversation) = self.conversations.get_mut(from) else { return };
        let marked = || conversation.candidates.iter().map(|it| it.id).filter(|id| mark_of(*id) == mark);
        let id = marked().find(|id| Some(*id) == conversation.using).or_else(|| marked().next());
        if let Some(id) = id {
            self.broke(from, id, now);
        }
    }
}
