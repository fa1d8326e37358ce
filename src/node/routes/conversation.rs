//! One node that we send a lot to: which routes to it there are, how long they take, and which is used.
//!
//! **Search.** When packets have gone for a moment, and every few seconds while they do, path requests go out through different first hops.
//! **Measure.** Every route that is found is probed, three times at once and then every second; so is the way by tree or snake.
//! **Choose.** The route that takes least. Another one has to be clearly quicker, and the more often it went back and forth the longer nothing
//! changes. A route that does not answer twice, loses nearly all, or is said to be broken, is dropped, and the next one is used at once.

use std::sync::Arc;

use super::labels::mark_of;
use super::losses::Losses;
use super::measure::Measure;
use crate::session::{Label, RouteMessage};
use crate::time::{Duration, Instant};
use crate::wire::route::Hop;

/// So many packets …
const BUSY_PACKETS: u32 = 4;
/// … in this time make a conversation.
const BUSY_WITHIN: Duration = Duration::from_secs(4);
/// It is forgotten so long after the last one.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(15);
/// Between two searches.
const SEARCH_EVERY: Duration = Duration::from_secs(3);
/// The same after a route broke.
const SEARCH_SOON: Duration = Duration::from_millis(500);
/// Between two probes of a way.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A path request is answered by then, or not at all.
const REQUEST_LIFETIME: Duration = Duration::from_secs(3);
/// Routes that are kept, once they are measured.
const KEPT: usize = 4;
/// Routes at a time, those that are on trial included.
const MOST: usize = 8;
/// Path requests under way.
const MOST_REQUESTS: usize = 16;
/// What counts as quicker: so much, and a quarter.
const LEAST_GAIN: Duration = Duration::from_millis(2);
/// Nothing is changed again for so long after a change, twice as long after each further one …
const HOLD: Duration = Duration::from_secs(3);
/// … up to this, and anew after so long without any.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// A route that lost nearly everything is not tried again for so long.
const DISTRUST: Duration = Duration::from_secs(60);
/// Such routes that are remembered.
const MOST_DISTRUSTED: usize = 8;
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
    changed: Option<Instant>,
    hold: Duration,
    /// When a route in use broke last.
    broken: Option<Instant>,
    distrusted: Vec<(Hop, Vec<Hop>, Instant)>,
    tokens: u64,
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
            changed: None,
            hold: HOLD,
            broken: None,
            distrusted: Vec::new(),
            tokens: 0,
            due: now + IDLE_AFTER,
        }
    }

    /// A packet goes to the other node. Returns whether the conversation became busy.
    pub(super) fn note_packet(&mut self, now: Instant) -> bool {
        self.used = now;
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
            (self.is_busy, self.search_at, self.probe_at, self.reason) = (true, now, now, Reason::Searching);
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.used.has_passed(IDLE_AFTER, now)
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
        probes.chain(ordinary).chain([self.search_at, self.probe_at, over]).min().unwrap_or(over)
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        if !self.is_busy {
            return wanted;
        }
        self.requests.retain(|(_, _, sent)| !sent.has_passed(REQUEST_LIFETIME, now));
        self.distrusted.retain(|(_, _, until)| *until > now);
        self.expire_probes(now, &mut wanted);
        if self.probe_at <= now {
            self.probe_at = now + PROBE_EVERY;
            self.probe_all(now, &mut wanted);
            self.keep_the_best();
        }
        if self.search_at <= now {
            (self.search_at, self.searched) = (now + SEARCH_EVERY, now);
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
        self.candidates.push(Candidate {
            id,
            route: Arc::new(Route { first, hops, label, mark: mark_of(id) }),
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
            self.search_at = self.search_at.min((self.searched + SEARCH_SOON).max(now));
        }
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
        known || self.distrusted.iter().any(|(by, way, _)| *by == first && way == hops)
    }

    /// Makes room for a route on trial, if there is some.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.candidates.len() < MOST {
            return true;
        }
        let (using, settled) = (self.using, |it: &Candidate| it.measure.is_settled() || it.found.has_passed(HOLD, now));
        let out = self.candidates.iter().filter(|it| Some(it.id) != using && settled(it));
        let out = out.max_by_key(|it| it.measure.rtt().unwrap_or(Duration::MAX)).map(|it| it.id);
        self.candidates.retain(|it| Some(it.id) != out);
        out.is_some()
    }

    /// Drops what is measured and slow. Of two that begin with the same hop the slower one goes first: what breaks one is likely to break
    /// the other.
    fn keep_the_best(&mut self) {
        while self.candidates.iter().filter(|it| it.measure.is_settled()).count() > KEPT {
            let slowest_first = |it: &&Candidate| std::cmp::Reverse(it.measure.rtt());
            let mut settled: Vec<_> = self.candidates.iter().filter(|it| it.measure.is_settled()).collect();
            settled.sort_by_key(slowest_first);
            let mut spare = settled.iter().filter(|it| Some(it.id) != self.using);
            let doubled =
                |it: &&&Candidate| settled.iter().filter(|other| other.route.first == it.route.first).count() > 1;
            let Some(out) = spare.clone().find(doubled).or_else(|| spare.next()).map(|it| it.id) else { return };
            self.candidates.retain(|it| it.id != out);
        }
    }

    fn expire_probes(&mut self, now: Instant, wanted: &mut Vec<Wanted>) {
        self.ordinary.expire(now);
        let mut late = Vec::new();
        for candidate in &mut self.candidates {
            if candidate.measure.expire(now) {
                late.push((candidate.id, candidate.measure.misses(), candidate.measure.answers()));
            }
        }
        for (id, misses, answers) in late {
            // One that never answered leads nowhere; one that did has a second try.
            if misses > 1 || answers == 0 { self.broke(id, now) } else { self.probe(id, now, wanted) }
        }
    }

    fn probe_all(&mut self, now: Instant, wanted: &mut Vec<Wanted>) {
        let idle = self.candidates.iter().filter(|it| !it.measure.is_waiting()).map(|it| it.id);
        let ordinary = (!self.ordinary.is_waiting()).then_some(0);
        for id in idle.chain(ordinary).collect::<Vec<_>>() {
            self.probe(id, now, wanted);
        }
    }

    fn probe(&mut self, id: u64, now: Instant, wanted: &mut Vec<Wanted>) {
        self.tokens += 1;
        let token = self.tokens;
        match self.candidate(id) {
            Some(candidate) => {
                candidate.losses.probe();
                candidate.measure.begin(token, now);
            }
            None if id == 0 => {
                self.ordinary_losses.probe();
                self.ordinary.begin(token, now);
            }
            None => return,
        }
        wanted.push(Wanted::Say(id, RouteMessage::Probe { id, token }));
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

    /// The quickest route that answers.
    fn best(&self) -> Option<&Candidate> {
        let answering = self.candidates.iter().filter(|it| it.measure.misses() == 0 && it.measure.answers() > 0);
        answering.min_by_key(|it| it.measure.rtt())
    }

    fn choose(&mut self, now: Instant) {
        let is_bad = self.ordinary.misses() > 0 || now < self.doubted_until;
        let ordinary = self.ordinary.rtt().filter(|_| !is_bad);
        let (using, changed) = (self.using, self.changed);
        let Some((best, best_rtt, settled)) =
            self.best().and_then(|it| Some((it.id, it.measure.rtt()?, it.measure.is_settled())))
        else {
            return;
        };
        let current = using.and_then(|id| self.candidate(id)).and_then(|it| it.measure.rtt());
        let Some(current) = current else {
            let is_good = match ordinary {
                None => is_bad || settled,
                Some(ordinary) if self.is_neighbour => is_quicker(best_rtt, ordinary),
                Some(ordinary) => !is_quicker(ordinary, best_rtt),
            };
            if is_good {
                let reason = if self.is_neighbour { Reason::Quickest } else { Reason::First };
                (self.using, self.reason) = (Some(best), reason);
            } else if ordinary.is_some() {
                self.reason = Reason::NotBetter;
            }
            return;
        };
        if changed.is_some_and(|at| !at.has_passed(self.hold, now)) {
            return;
        }
        if Some(best) != using && settled && is_quicker(best_rtt, current) {
            self.change(Some(best), Reason::Quickest, now);
        } else if ordinary.is_some_and(|ordinary| is_quicker(ordinary, current))
            && self.ordinary.is_settled()
            // While the tree forms anew its ways change.
            && self.broken.is_none_or(|at| at.has_passed(HOLD, now))
        {
            self.change(None, Reason::NotBetter, now);
        }
    }

    fn change(&mut self, to: Option<u64>, reason: Reason, now: Instant) {
        self.hold = match self.changed {
            Some(at) if !at.has_passed(LONGEST_HOLD, now) => (self.hold * 2).min(LONGEST_HOLD),
            _ => HOLD,
        };
        (self.using, self.reason, self.changed) = (to, reason, Some(now));
    }
}

/// Whether `this` is so much less than `that` that a change is worth it.
fn is_quicker(this: Duration, that: Duration) -> bool {
    that >= this + LEAST_GAIN && that * 3 >= this * 4
}

#[cfg(test)]
mod tests;
