//! One node that we send a lot to: which routes to it there are, how long they take, and which is used.
//!
//! **Search.** When packets have gone for a moment, and every few seconds while they do, path requests go out through different first hops.
//! **Measure.** Every route that is found is probed, three times at once; then the way in use every second, and the others every three. The way
//! by tree or snake is one of them. All are probed at once when the one in use breaks or becomes doubtful.
//! **Choose.** The route that takes least. Another one has to be clearly quicker, and the more often it went back and forth the longer nothing
//! changes. A route that does not answer twice, loses nearly all, or is said to be broken, is dropped, and the next one is used at once.

mod choose;
mod probing;

use std::sync::Arc;

pub(super) use self::probing::DOUBTFUL;
use super::labels::mark_of;
use super::losses::Losses;
use super::measure::Measure;
use super::silence::Silence;
use crate::session::{Label, RouteMessage};
use crate::time::{Duration, Instant};
use crate::wire::route::{self, Hop};

/// So many packets …
const BUSY_PACKETS: u32 = 4;
/// … in this time make a conversation.
const BUSY_WITHIN: Duration = Duration::from_secs(4);
/// It is forgotten so long after the last one.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(15);
/// Between two searches.
const SEARCH_EVERY: Duration = Duration::from_secs(3);
/// After so many to which nothing was answered …
const FRUITLESS: u32 = 5;
/// … it is so long: the other node may have no use for routes.
const SEARCH_SELDOM: Duration = Duration::from_secs(15);
/// The same after a route broke.
const SEARCH_SOON: Duration = Duration::from_millis(500);
/// A path request is answered by then, or not at all.
const REQUEST_LIFETIME: Duration = Duration::from_secs(3);
/// Routes that are kept, once they are measured.
const KEPT: usize = 4;
/// Routes at a time, those that are on trial included.
const MOST: usize = 8;
/// Path requests under way.
const MOST_REQUESTS: usize = 16;
/// Nothing is changed again for so long after a change, twice as long after each further one.
const HOLD: Duration = Duration::from_secs(3);
/// A route that lost nearly everything is not tried again for so long.
const DISTRUST: Duration = Duration::from_secs(60);
/// Such routes that are remembered.
const MOST_DISTRUSTED: usize = 8;
/// One that was slower than those that are kept is not measured again for so long.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// Such routes that are remembered.
const MOST_SLOW: usize = 16;
/// A way through the network: the first hop is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Route {
    pub(in crate::node) first: Hop,
    pub(in crate::node) hops: Vec<Hop>,
    /// None: frames are open, with the mark.
    pub(in crate::node) label: Label,
    pub(in crate::node) mark: u8,
}

/// A route that may be used.
#[derive(Clone, Debug)]
pub(in crate::node) struct Candidate {
    pub(super) id: u64,
    pub(in crate::node) route: Arc<Route>,
    pub(super) measure: Measure,
    pub(super) found: Instant,
    pub(super) losses: Losses,
}

/// Why things are as they are, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotBusy,
    Searching,
    NoPath,
    First,
    Quickest,
    FellOver,
    Broke,
    NotBetter,
}

/// Something that a conversation wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Path requests.
    Search(u32),
    /// A message by the candidate with this id; 0: by tree or snake.
    Say(u64, RouteMessage),
}

#[derive(Debug)]
pub(super) struct Conversation {
    /// The last packet.
    pub(super) used: Instant,
    packets: u32,
    counted_from: Instant,
    pub(super) is_busy: bool,
    /// Whether the other node is our peer: then the way by tree is a single hop.
    is_neighbour: bool,
    pub(super) candidates: Vec<Candidate>,
    requests: Vec<(u64, Hop, Instant)>,
    pub(super) ordinary: Measure,
    pub(super) ordinary_losses: Losses,
    /// Until when the way by tree or snake is not trusted.
    doubted_until: Instant,
    pub(super) using: Option<u64>,
    pub(super) reason: Reason,
    searches: u32,
    search_at: Instant,
    searched: Instant,
    probe_at: Instant,
    /// When the ways that are not in use are probed again.
    spare_at: Instant,
    silence: Silence,
    changed: Option<Instant>,
    hold: Duration,
    /// When a route in use broke last.
    broken: Option<Instant>,
    distrusted: Vec<(Hop, Vec<Hop>, Instant)>,
    /// Ways that were measured and found slow lately: every search finds them again.
    slow: Vec<(Hop, Vec<Hop>, Instant)>,
    tokens: u64,
    /// Bytes that a sealed route, and an open one, put before what they carry, at most so far.
    longest_fronts: (usize, usize),
    /// Searches since anything was answered.
    unanswered: u32,
    /// For when it is filed.
    pub(super) due: Instant,
}

impl Conversation {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            used: now,
            packets: 0,
            counted_from: now,
            is_busy: false,
            is_neighbour: false,
            candidates: Vec::new(),
            requests: Vec::new(),
            ordinary: Measure::default(),
            ordinary_losses: Losses::default(),
            doubted_until: Instant::ZERO,
            using: None,
            reason: Reason::NotBusy,
            searches: 0,
            search_at: now,
            searched: Instant::ZERO,
            probe_at: now,
            spare_at: now,
            silence: Silence::new(now),
            changed: None,
            hold: HOLD,
            broken: None,
            distrusted: Vec::new(),
            slow: Vec::new(),
            tokens: 0,
            longest_fronts: (0, 0),
            unanswered: 0,
            due: now + IDLE_AFTER,
        }
    }

    /// A packet goes to the other node. Returns whether the conversation became busy.
    pub(super) fn note_packet(&mut self, now: Instant) -> bool {
        self.used = now;
        self.silence.sent();
        if self.is_busy {
            return false;
        }
        if self.counted_from.has_passed(BUSY_WITHIN, now) {
            (self.counted_from, self.packets) = (now, 0);
        }
        self.packets += 1;
        if self.packets >= BUSY_PACKETS {
            self.become_busy(now);
        }
        self.is_busy
    }

    /// Somebody wants to know the ways to the other node.
    pub(super) fn become_busy(&mut self, now: Instant) {
        self.used = now;
        if !self.is_busy {
            (self.is_busy, self.search_at, self.reason) = (true, now, Reason::Searching);
            self.probe_all_at(now);
        }
    }

    /// A packet came from the other node.
    pub(super) const fn note_heard(&mut self, now: Instant) {
        self.silence.heard(now);
    }

    /// The other node hears nothing of us although it should: perhaps the way in use does not work.
    pub(super) fn doubt(&mut self, now: Instant) {
        if self.is_busy && self.silence.doubt(false, now) {
            self.probe_all_at(now);
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.used.has_passed(IDLE_AFTER, now)
    }

    /// Bytes of a frame besides its message, whichever way it goes: `ordinary` without a route. Of all routes that were found so far, so that
    /// what fits does not change whenever another one is used.
    pub(super) fn overhead(&self, ordinary: usize) -> usize {
        let (sealed, open) = self.longest_fronts;
        ordinary.max(sealed).max(if open > 0 { open + ordinary } else { 0 })
    }

    /// The route in use.
    pub(super) fn current(&mut self) -> Option<&mut Candidate> {
        let using = self.using?;
        self.candidates.iter_mut().find(|candidate| candidate.id == using)
    }

    pub(super) fn candidate(&mut self, id: u64) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.id == id)
    }

    /// When something is to be done.
    pub(super) fn deadline(&self) -> Instant {
        let over = self.used + IDLE_AFTER;
        if !self.is_busy {
            return over;
        }
        let probes = self.candidates.iter().filter_map(|candidate| candidate.measure.deadline());
        let ordinary = self.ordinary.deadline();
        let listen = self.silence.deadline();
        probes.chain(ordinary).chain(listen).chain([self.search_at, self.probe_at, over]).min().unwrap_or(over)
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        if !self.is_busy {
            return wanted;
        }
        self.requests.retain(|(_, _, sent)| !sent.has_passed(REQUEST_LIFETIME, now));
        self.distrusted.retain(|(_, _, until)| *until > now);
        self.slow.retain(|(_, _, until)| *until > now);
        self.expire_probes(now, &mut wanted);
        let ordinary = self.ordinary.rtt();
        let rtt = self.current().map_or(ordinary, |it| it.measure.rtt());
        if self.silence.is_suspicious(rtt, now) {
            self.probe_all_at(now);
        }
        if self.probe_at <= now {
            self.probe_what_is_due(now, &mut wanted);
            self.silence.next_round(now);
            self.keep_the_best(now);
        }
        if self.search_at <= now {
            let pause = if self.unanswered < FRUITLESS { SEARCH_EVERY } else { SEARCH_SELDOM };
            (self.search_at, self.searched) = (now + pause, now);
            self.unanswered += 1;
            wanted.push(Wanted::Search(self.searches));
            self.searches += 1;
        }
        self.choose(now);
        wanted
    }

    /// A path request left by this hop.
    pub(super) fn requested(&mut self, id: u64, first: Hop, now: Instant) {
        if self.requests.len() >= MOST_REQUESTS {
            self.requests.remove(0);
        }
        self.requests.push((id, first, now));
    }

    /// The answer to a path request. Returns what is to be said.
    pub(super) fn reply(&mut self, id: u64, label: Label, hops: Option<Vec<Hop>>, now: Instant) -> Vec<Wanted> {
        let Some(at) = self.requests.iter().position(|(requested, ..)| *requested == id) else { return Vec::new() };
        let (_, first, _) = self.requests.swap_remove(at);
        self.unanswered = 0;
        let Some(hops) = hops else {
            if self.candidates.is_empty() && self.reason == Reason::Searching {
                self.reason = Reason::NoPath;
            }
            return Vec::new();
        };
        // No hop between: that is the ordinary way to a neighbour.
        if hops.is_empty() || self.is_known(first, &hops) || !self.make_room(now) {
            return Vec::new();
        }
        let route = Route { first, hops, label, mark: mark_of(id) };
        let front = route::front_len(route.hops.len(), label.label != 0);
        let longest = if label.label != 0 { &mut self.longest_fronts.0 } else { &mut self.longest_fronts.1 };
        *longest = front.max(*longest);
        self.candidates.push(Candidate {
            id,
            route: Arc::new(route),
            measure: Measure::default(),
            found: now,
            losses: Losses::default(),
        });
        let mut wanted = Vec::new();
        self.probe(id, now, &mut wanted);
        wanted
    }

    /// The answer to a probe. Returns what is to be said, and whether the route in use changed.
    pub(super) fn probed(&mut self, id: u64, token: u64, received: u32, now: Instant) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        if id == 0 {
            if self.ordinary.answer(token, now) {
                if self.ordinary_losses.are_bad(received) {
                    self.doubted_until = now + DISTRUST;
                } else if !self.ordinary.is_settled() {
                    self.probe(0, now, &mut wanted);
                }
            }
        } else if let Some(candidate) = self.candidate(id)
            && candidate.measure.answer(token, now)
        {
            if candidate.losses.are_bad(received) {
                self.distrust(id, now);
            } else if !candidate.measure.is_settled() {
                self.probe(id, now, &mut wanted);
            }
        }
        self.choose(now);
        wanted
    }

    /// A route does not lead there any more.
    pub(super) fn broke(&mut self, id: u64, now: Instant) {
        self.candidates.retain(|candidate| candidate.id != id);
        if self.using == Some(id) {
            let next = self.best().map(|best| best.id);
            self.using = next;
            self.reason = if next.is_some() { Reason::FellOver } else { Reason::Broke };
            // That was no choice: to go back to what was better before is no going back and forth.
            (self.changed, self.hold) = (None, HOLD);
            // What was measured without a route is of the network as it was before.
            (self.ordinary, self.broken) = (Measure::default(), Some(now));
            self.slow.clear();
            self.search_soon(now);
            self.probe_all_at(now);
        }
    }

    /// Looks for routes before it is time for that again.
    fn search_soon(&mut self, now: Instant) {
        self.search_at = self.search_at.min((self.searched + SEARCH_SOON).max(now));
    }

    /// A peering is gone, and with it all routes that begin there.
    pub(super) fn lose(&mut self, first: Hop, now: Instant) -> bool {
        let gone: Vec<_> = self.candidates.iter().filter(|it| it.route.first == first).map(|it| it.id).collect();
        gone.iter().for_each(|id| self.broke(*id, now));
        self.requests.retain(|(_, by, _)| *by != first);
        !gone.is_empty()
    }

    /// The session hears nothing: the way in use does not work, whatever probes said.
    pub(super) fn silent(&mut self, now: Instant) {
        if let Some(id) = self.using {
            self.broke(id, now);
        }
    }

    pub(super) fn set_neighbour(&mut self, is_neighbour: bool) {
        self.is_neighbour = is_neighbour;
    }

    fn is_known(&self, first: Hop, hops: &[Hop]) -> bool {
        let known = self.candidates.iter().any(|it| it.route.first == first && it.route.hops == hops);
        known || self.distrusted.iter().chain(&self.slow).any(|(by, way, _)| *by == first && way == hops)
    }

    fn distrust(&mut self, id: u64, now: Instant) {
        if let Some(candidate) = self.candidates.iter().find(|it| it.id == id) {
            if self.distrusted.len() >= MOST_DISTRUSTED {
                self.distrusted.remove(0);
            }
            let Route { first, hops, .. } = &*candidate.route;
            self.distrusted.push((*first, hops.clone(), now + DISTRUST));
        }
        self.broke(id, now);
    }
}

#[cfg(test)]
mod tests;
