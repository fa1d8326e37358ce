//! Which routes are kept, and which one is used.

use super::{Candidate, Conversation, HOLD, KEPT, MOST, MOST_SLOW, Reason, SLOW_FOR};
use crate::time::{Duration, Instant};

/// What counts as quicker: so much, and a quarter.
const LEAST_GAIN: Duration = Duration::from_millis(2);
/// The longest that nothing is changed after a change, and after so long without any it begins anew.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

impl Conversation {
    /// Makes room for a route on trial, if there is some.
    pub(super) fn make_room(&mut self, now: Instant) -> bool {
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
    pub(super) fn keep_the_best(&mut self, now: Instant) {
        while self.candidates.iter().filter(|it| it.measure.is_settled()).count() > KEPT {
            let slowest_first = |it: &&Candidate| std::cmp::Reverse(it.measure.rtt());
            let mut settled: Vec<_> = self.candidates.iter().filter(|it| it.measure.is_settled()).collect();
            settled.sort_by_key(slowest_first);
            let mut spare = settled.iter().filter(|it| Some(it.id) != self.using);
            let doubled =
                |it: &&&Candidate| settled.iter().filter(|other| other.route.first == it.route.first).count() > 1;
            let Some(out) = spare.clone().find(doubled).or_else(|| spare.next()).map(|it| it.id) else { return };
            self.put_aside(out, now);
        }
    }

    /// Drops a slow route, and remembers that it is.
    pub(super) fn put_aside(&mut self, id: u64, now: Instant) {
        let Some(at) = self.candidates.iter().position(|it| it.id == id) else { return };
        let route = self.candidates.remove(at).route;
        if self.slow.len() >= MOST_SLOW {
            self.slow.remove(0);
        }
        self.slow.push((route.first, route.hops.clone(), now + SLOW_FOR));
    }

    /// The quickest route that answers.
    pub(super) fn best(&self) -> Option<&Candidate> {
        let answering = self.candidates.iter().filter(|it| it.measure.misses() == 0 && it.measure.answers() > 0);
        answering.min_by_key(|it| it.measure.rtt())
    }

    pub(super) fn choose(&mut self, now: Instant) {
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

    pub(super) fn change(&mut self, to: Option<u64>, reason: Reason, now: Instant) {
        self.hold = match self.changed {
            Some(at) if !at.has_passed(LONGEST_HOLD, now) => (self.hold * 2).min(LONGEST_HOLD),
            _ => HOLD,
        };
        (self.using, self.reason, self.changed) = (to, reason, Some(now));
    }

    /// The way in use did not answer a probe. If packets do not come through either, and another way answered what was asked at that time, that one is
    /// taken at once.
    pub(super) fn step_aside(&mut self, asked: Instant, now: Instant) {
        if !self.silence.is_doubted(now) {
            return;
        }
        let answered = self.best().filter(|it| it.measure.answered_since(asked)).map(|it| it.id);
        if answered.is_some() || self.ordinary.answered_since(asked) {
            self.using = answered;
            self.reason = if answered.is_some() { Reason::FellOver } else { Reason::Broke };
            (self.changed, self.hold) = (None, HOLD);
            self.search_soon(now);
        }
    }
}

/// Whether `this` is so much less than `that` that a change is worth it.
fn is_quicker(this: Duration, that: Duration) -> bool {
    that >= this + LEAST_GAIN && that * 3 >= this * 4
}
