//! How long a way takes, by probes inside the session: one at a time, the least of the last few counts, of those that are not old: of a way
//! that is probed now and then only the last.
//!
//! The least, because what varies is queues, and a way that carries has them: measured with its queues it would be left for an empty one,
//! which then has them.

use crate::time::{Duration, Instant};

/// Probes that count.
const WINDOW: usize = 3;
/// An answer that came so long before the last one says nothing of how it is now.
const FRESH: Duration = Duration::from_millis(2_500);
/// How long an answer may take where nothing is known, …
const PATIENCE: Duration = Duration::from_secs(2);
/// … and at least where a round trip is; otherwise four of them.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// What is known about one way.
#[derive(Clone, Debug, Default)]
pub(super) struct Measure {
    /// The round trips of the last answers, and when those came.
    rtts: [(Instant, Duration); WINDOW],
    answers: u32,
    /// When the probe left that was answered last.
    answered: Option<Instant>,
    probe: Option<(u64, Instant)>,
    misses: u32,
}

impl Measure {
    /// The round trip; `None` before the first answer.
    pub(super) fn rtt(&self) -> Option<Duration> {
        let known = usize::try_from(self.answers).unwrap_or(WINDOW).min(WINDOW);
        let rtts = self.rtts.iter().take(known);
        let newest = rtts.clone().map(|(came, _)| *came).max()?;
        rtts.filter(|(came, _)| *came + FRESH > newest).map(|(_, rtt)| *rtt).min()
    }

    /// Probes that were answered.
    pub(super) fn answers(&self) -> u32 {
        self.answers
    }

    /// Probes in a row that were not, up to the present one.
    pub(super) fn misses(&self) -> u32 {
        self.misses
    }

    /// Whether a probe was answered that left at this time or later.
    pub(super) fn answered_since(&self, sent: Instant) -> bool {
        self.answered.is_some_and(|at| at >= sent)
    }

    /// Whether as many were answered as count.
    pub(super) fn is_settled(&self) -> bool {
        self.answers as usize >= WINDOW
    }

    /// Whether a probe is under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.probe.is_some()
    }

    /// A probe leaves.
    pub(super) fn begin(&mut self, token: u64, now: Instant) {
        self.probe = Some((token, now));
    }

    /// An answer came. Returns whether it is the one that is waited for.
    pub(super) fn answer(&mut self, token: u64, now: Instant) -> bool {
        let Some((_, sent)) = self.probe.take_if(|(expected, _)| *expected == token) else { return false };
        self.rtts[self.answers as usize % WINDOW] = (now, now.saturating_since(sent));
        self.answered = Some(sent);
        self.answers = self.answers.saturating_add(1);
        self.misses = 0;
        true
    }

    /// When the probe under way counts as lost.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = self.rtt().map_or(PATIENCE, |rtt| (rtt * 4).clamp(LEAST_PATIENCE, PATIENCE));
        self.probe.map(|(_, sent)| sent + patience)
    }

    /// Gives up a probe whose time is over. Returns when it had left.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        self.misses += 1;
        self.probe.take().map(|(_, sent)| sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_least_of_the_last_three_answers_counts() {
        let mut measure = Measure::default();
        assert_eq!(measure.rtt(), None);
        for (token, (sent, came)) in [(0, 10), (20, 50), (60, 80), (100, 130)].into_iter().enumerate() {
            measure.begin(token as u64, at(sent));
            assert!(!measure.answer(99, at(came)) && measure.answer(token as u64, at(came)));
        }
        assert_eq!((measure.rtt(), measure.is_settled()), (Some(Duration::from_millis(20)), true));
        assert!(!measure.answer(3, at(140)), "an answer that comes twice counts once");
    }

    #[test]
    fn of_a_way_that_is_probed_now_and_then_only_the_last_answer_counts() {
        let mut measure = Measure::default();
        for (token, (sent, rtt)) in [(0, 10), (3_000, 50), (6_000, 30)].into_iter().enumerate() {
            measure.begin(token as u64, at(sent));
            assert!(measure.answer(token as u64, at(sent + rtt)));
            assert_eq!(measure.rtt(), Some(Duration::from_millis(rtt)));
        }
        assert!(measure.answered_since(at(6_000)) && !measure.answered_since(at(6_001)));
    }

    #[test]
    fn a_probe_is_waited_for_according_to_what_is_known_and_an_answer_forgives_misses() {
        let mut measure = Measure::default();
        measure.begin(1, at(0));
        assert_eq!((measure.expire(at(1_999)), measure.expire(at(2_000))), (None, Some(at(0))));
        assert_eq!(measure.expire(at(3_000)), None);
        measure.begin(2, at(3_000));
        assert!(measure.answer(2, at(3_100)) && measure.misses() == 0);
        measure.begin(3, at(4_000));
        assert_eq!((measure.expire(at(4_399)), measure.expire(at(4_400))), (None, Some(at(4_000))));
        assert_eq!((measure.misses(), measure.deadline()), (1, None));
    }
}
