//! What there is to tell about routes: `pineconectl path`, and how a session's frames are routed.

use std::sync::Arc;

use super::super::status::{PathCandidate, PathStatus};
use super::super::{Event, Node, RequestId};
use super::conversation::{Reason, Route};
use super::{Conversation, Later, Routes};
use crate::addr::Address;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// How long routes are looked for and measured before they are told, if nobody looked before.
const LOOK_FOR: Duration = Duration::from_millis(1_500);
/// Questions that wait at a time; beyond, they are answered with what is known.
const MOST_LATER: usize = 256;
/// A trace does not wait longer than this for the session that would tell the target's coordinates.
const TRACE_WAITS: Duration = Duration::from_secs(3);

impl Node {
    /// Somebody wants to know the ways to a node, with which there is a session: looks for routes, and tells when there was time for that.
    pub(in crate::node) fn look_for_paths(&mut self, id: RequestId, to: &PublicKey, now: Instant) {
        let is_known = self.routes.is_busy(to);
        let is_possible = self.routes.config.enabled && self.router.has_routable();
        if !is_possible || is_known || self.routes.later.len() >= MOST_LATER {
            self.tell_paths(id, to, now);
            self.routes.look_for(to, now);
            return;
        }
        self.routes.look_for(to, now);
        self.routes.later.push((now + LOOK_FOR, Later::Paths, id, *to));
    }

    /// A trace is wanted, and the session with its target is asked for: it begins then, and without it if that takes long.
    pub(in crate::node) fn trace_later(&mut self, id: RequestId, to: PublicKey, now: Instant) {
        let wait = if self.routes.later.len() < MOST_LATER { TRACE_WAITS } else { Duration::ZERO };
        self.routes.later.push((now + wait, Later::Trace, id, to));
    }

    /// Goes on with what waited.
    pub(in crate::node) fn answer_later(&mut self, now: Instant) {
        let due: Vec<_> = self.routes.later.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, what, id, to) in due {
            match what {
                Later::Paths => self.tell_paths(id, &to, now),
                Later::Trace if self.requests.is_open(id) => self.start_trace(id, to, None, now),
                Later::Trace => {}
            }
        }
    }

    /// Tells the ways to a node as they are.
    pub(in crate::node) fn tell_paths(&mut self, id: RequestId, to: &PublicKey, now: Instant) {
        if !self.requests.take(|open, _| open == id).is_empty() {
            let status = self.paths(to, now);
            self.events.push_back(Event::Path(id, Some(status)));
        }
    }

    /// The ways to a node.
    pub fn paths(&self, to: &PublicKey, now: Instant) -> PathStatus {
        let conversation = self.routes.conversations.get(to);
        let without = if self.coords_for(to).is_some_and(|coords| !coords.is_empty()) { "tree" } else { "snake" };
        let rtt = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let candidates = conversation.map_or_else(Vec::new, |conversation| {
            let candidate = |it: &super::Candidate| PathCandidate {
                first_peer: self.router.peer_key(it.route.first.port).copied(),
                first_port: it.route.first.port,
                hops: it.route.hops.len() + 1,
                rtt_seconds: rtt(it.measure.rtt()),
                probes_answered: it.measure.answers(),
                age_seconds: now.saturating_since(it.found).as_secs_f64(),
                sealed: it.route.label.label != 0,
                used: conversation.using == Some(it.id),
            };
            conversation.candidates.iter().map(candidate).collect()
        });
        PathStatus {
            key: *to,
            address: Address::of(to).to_string(),
            stage: self.routed_by(to).to_owned(),
            reason: self.why(conversation).to_owned(),
            without_route: without.to_owned(),
            without_route_rtt_seconds: conversation.and_then(|it| rtt(it.ordinary.rtt())),
            candidates,
        }
    }

    fn why(&self, conversation: Option<&Conversation>) -> &'static str {
        if !self.routes.config.enabled {
            return "source routes are switched off on this node (session.source_routes)";
        }
        if !self.router.has_routable() {
            return "no peer of this node understands source routes";
        }
        match conversation.map(|it| it.reason) {
            None | Some(Reason::NotBusy) => "too few packets go there for routes to be looked for",
            Some(Reason::Searching) => "routes are being looked for",
            Some(Reason::NoPath) => "nodes that do not understand source routes are on all ways that were found",
            Some(Reason::First) => "the first route that was measured, not slower than the way without one",
            Some(Reason::Quickest) => "clearly quicker than what was used before",
            Some(Reason::FellOver) => "the route before it broke; this was the next best",
            Some(Reason::Broke) => "the last route broke; others are being looked for",
            Some(Reason::NotBetter) => "no route is better than the way without one",
        }
    }
}

impl Routes {
    /// Whether frames to a node take a route now.
    pub(in crate::node) fn has_route(&self, to: &PublicKey) -> bool {
        self.conversations.get(to).is_some_and(|it| it.using.is_some())
    }

    /// Where the route in use begins.
    pub(in crate::node) fn first_port(&self, to: &PublicKey) -> Option<super::super::Port> {
        let conversation = self.conversations.get(to)?;
        let using = conversation.using?;
        conversation.candidates.iter().find(|it| it.id == using).map(|it| it.route.first.port)
    }

    /// The route in use.
    pub(super) fn current_route(&mut self, to: &PublicKey) -> Option<Arc<Route>> {
        self.conversations.get_mut(to)?.current().map(|candidate| Arc::clone(&candidate.route))
    }

    fn is_busy(&self, to: &PublicKey) -> bool {
        self.conversations.get(to).is_some_and(|it| it.is_busy && !it.candidates.is_empty())
    }
}
