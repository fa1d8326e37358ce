//! Whether the other node went silent: where packets come and go all the time, none coming is a sign that the way in use does not work, and
//! comes long before a probe is missed.
//!
//! It is no proof: the other side may have nothing to say. So it only makes all ways be probed at once, and lets one that does not answer be left at
//! the first probe instead of the second.

use crate::time::{Duration, Instant};

/// Packets that come between two looks at whether the exchange is lively, from which on silence means something.
const LIVELY: u32 = 8;
/// Between two such looks at least. Rounds of probes come early when something breaks, and few packets come in between.
const JUDGED_OVER: Duration = Duration::from_millis(900);
/// Packets that went without anything coming.
const UNHEARD: u32 = 2;
/// So long, and two round trips, is silence.
const SILENCE: Duration = Duration::from_millis(150);
/// Between two looks while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two doubts, and how long one lasts.
const DOUBT_FOR: Duration = Duration::from_millis(700);

/// What is heard of the other node.
#[derive(Clone, Debug)]
pub(super) struct Silence {
    last: Instant,
    /// Packets that came since the last look at whether it is lively, and that went since the last one that came.
    heard: u32,
    unheard: u32,
    is_lively: bool,
    judged_at: Instant,
    look_at: Instant,
    /// Since when there is a doubt, and whether it is our own.
    doubted: Option<(Instant, bool)>,
}

impl Silence {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, heard: 0, unheard: 0, is_lively: false, judged_at: now, look_at: now, doubted: None }
    }

    /// A packet goes.
    pub(super) const fn sent(&mut self) {
        self.unheard = self.unheard.saturating_add(1);
    }

    /// A packet came.
    pub(super) const fn heard(&mut self, now: Instant) {
        (self.last, self.unheard) = (now, 0);
        self.heard = self.heard.saturating_add(1);
    }

    /// A round of probes begins.
    pub(super) fn next_round(&mut self, now: Instant) {
        if self.heard >= LIVELY {
            self.is_lively = true;
        } else if self.judged_at.has_passed(JUDGED_OVER, now) {
            self.is_lively = false;
        } else {
            return;
        }
        (self.heard, self.judged_at) = (0, now);
    }

    /// When it is to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.is_lively.then_some(self.look_at)
    }

    /// Looks. Returns whether a doubt begins.
    pub(super) fn is_suspicious(&mut self, rtt: Option<Duration>, now: Instant) -> bool {
        if !self.is_lively || now < self.look_at {
            return false;
        }
        let silence = self.last + SILENCE + rtt.unwrap_or_default() * 2;
        self.look_at = silence.max(now + LOOK_EVERY);
        silence <= now && self.unheard >= UNHEARD && self.doubt(true, now)
    }

    /// Begins to doubt, of itself or because the other side does. Returns whether that is new.
    pub(super) fn doubt(&mut self, is_own: bool, now: Instant) -> bool {
        let is_new = !self.is_doubted(now);
        if is_new {
            self.doubted = Some((now, is_own));
        }
        is_new
    }

    /// Whether there is a doubt.
    pub(super) fn is_doubted(&self, now: Instant) -> bool {
        self.doubted.is_some_and(|(at, _)| !at.has_passed(DOUBT_FOR, now))
    }

    /// Whether there is one that the other side should know of. Not one of its own, or the two would go on doubting for ever.
    pub(super) fn is_to_be_told(&self, now: Instant) -> bool {
        self.is_doubted(now) && self.doubted.is_some_and(|(_, is_own)| is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn silence_is_suspicious_where_packets_came_all_the_time_and_still_go() {
        let rtt = Some(Duration::from_millis(20));
        for (came, went, suspicious) in [(20, 3, true), (20, 1, false), (7, 3, false)] {
            let mut silence = Silence::new(at(0));
            (0..came).for_each(|n| silence.heard(at(n * 10)));
            silence.next_round(at(1_000));
            (0..went).for_each(|_| silence.sent());
            assert!(!silence.is_suspicious(rtt, at(came * 10 - 10 + 150)));
            assert_eq!(silence.is_suspicious(rtt, at(came * 10 - 10 + 200)), suspicious);
            assert!(!silence.is_suspicious(rtt, at(came * 10 + 300)), "once");
            assert_eq!(silence.is_doubted(at(came * 10 + 300)), suspicious);
        }
    }

    #[test]
    fn who_says_nothing_for_a_round_is_not_waited_for() {
        let mut silence = Silence::new(at(0));
        (0..20).for_each(|_| silence.heard(at(10)));
        silence.next_round(at(1_000));
        assert!(silence.deadline().is_some());
        silence.next_round(at(1_100));
        assert!(silence.deadline().is_some(), "a round that begins early says nothing of the time before");
        silence.next_round(at(2_000));
        (0..20).for_each(|_| silence.sent());
        assert!(silence.deadline().is_none() && !silence.is_suspicious(None, at(5_000)));
    }
}
