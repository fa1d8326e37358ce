//! Whether the other side is still there, and showing it that we are.
//!
//! Two rules work together. Who received something and had nothing to send for [`KEEPALIVE_AFTER`] sends a keepalive. So who
//! sent something and hears nothing authentic for longer than that and a round trip has reason to doubt the route
//! ([`SUSPECT_AFTER`]), and then the other side ([`DEAD_AFTER`]). Keepalives and other last words are not answered:
//! an idle session is silent.

use super::timers::SessionTimer;
use crate::time::{Duration, Instant};

/// How long a receiver may stay silent.
pub(super) const KEEPALIVE_AFTER: Duration = Duration::from_secs(1);
/// Silence, beyond a round trip, after which the route by coordinates is doubted: two keepalives were lost.
pub(super) const SUSPECT_AFTER: Duration = Duration::from_millis(2500);
/// Silence, beyond a round trip, after which the session is taken for dead: as long again on the other route.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Most of a measured round trip that is believed: a handshake may have waited for its first data.
const LONGEST_ROUND_TRIP: Duration = Duration::from_millis(2500);

/// How long nothing authentic came although something should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Silence {
    /// Not long.
    #[default]
    None,
    /// Long enough to try another route.
    Suspect,
    /// Too long: keys and packets are held back until something authentic comes.
    Dead,
}

/// What was heard and what was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    heard_at: Option<Instant>,
    /// When the first message was sent that should have been answered and was not.
    unanswered_since: Option<Instant>,
    silence: Silence,
    keepalive_at: Option<Instant>,
    round_trip: Duration,
}

impl Liveness {
    /// Something authentic came. Returns how long the silence was that it ended.
    pub(super) fn heard(&mut self, now: Instant) -> Silence {
        self.heard_at = Some(now);
        self.unanswered_since = None;
        std::mem::take(&mut self.silence)
    }

    /// It has to be answered, if only by a keepalive. Returns when, if that is earlier than before.
    pub(super) fn owe_answer(&mut self, now: Instant) -> Option<Instant> {
        if self.keepalive_at.is_some() {
            return None;
        }
        self.keepalive_at = Some(now + KEEPALIVE_AFTER);
        self.keepalive_at
    }

    /// Something was sent. Returns when its silence is noticed, if that is earlier than before.
    pub(super) fn sent(&mut self, expects_answer: bool, now: Instant) -> Option<Instant> {
        self.keepalive_at = None;
        if !expects_answer || self.unanswered_since.is_some() {
            return None;
        }
        self.unanswered_since = Some(now);
        Some(now + SUSPECT_AFTER + self.round_trip)
    }

    /// A round trip was measured.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.min(LONGEST_ROUND_TRIP);
    }

    /// The last round trip measured, if any was.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        (self.round_trip > Duration::ZERO).then_some(self.round_trip)
    }

    /// Whether a keepalive has to be sent.
    pub(super) fn is_keepalive_due(&self, now: Instant) -> bool {
        self.keepalive_at.is_some_and(|at| at <= now)
    }

    /// Advances the silence; returns its stage if that is another one than before.
    pub(super) fn advance_silence(&mut self, now: Instant) -> Option<Silence> {
        let since = self.unanswered_since?;
        let stage = match now.saturating_since(since).saturating_sub(self.round_trip) {
            silent if silent >= DEAD_AFTER => Silence::Dead,
            silent if silent >= SUSPECT_AFTER => Silence::Suspect,
            _ => Silence::None,
        };
        let advanced = stage > self.silence;
        self.silence = self.silence.max(stage);
        advanced.then_some(stage)
    }

    pub(super) fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// Whether something authentic came so lately that nobody needs to ask.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.heard_at.is_some_and(|at| !at.has_passed(SUSPECT_AFTER, now))
    }

    /// Whether something was sent that should be answered.
    pub(super) fn waits_for_answer(&self) -> bool {
        self.unanswered_since.is_some()
    }

    /// What it waits for next.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Instant, SessionTimer)> {
        let limit = match self.silence {
            Silence::None => Some(SUSPECT_AFTER),
            Silence::Suspect => Some(DEAD_AFTER),
            Silence::Dead => None,
        };
        let silence = self.unanswered_since.zip(limit).map(|(since, limit)| since + limit + self.round_trip);
        let keepalive = self.keepalive_at.map(|at| (at, SessionTimer::Keepalive));
        silence.map(|at| (at, SessionTimer::Silence)).into_iter().chain(keepalive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn silence_counts_from_the_first_unanswered_message_and_ends_with_anything_authentic() {
        let mut life = Liveness::default();
        assert_eq!(life.sent(true, at(0)), Some(at(2500)));
        assert_eq!(life.sent(true, at(2000)), None);
        assert_eq!(life.advance_silence(at(2499)), None);
        assert_eq!(life.advance_silence(at(2500)), Some(Silence::Suspect));
        assert_eq!(life.advance_silence(at(2600)), None);
        assert_eq!(life.advance_silence(at(5000)), Some(Silence::Dead));
        assert_eq!(life.heard(at(6000)), Silence::Dead);
        assert_eq!((life.silence, life.deadlines().next()), (Silence::None, None));
    }

    #[test]
    fn an_idle_session_or_one_with_only_last_words_is_never_suspected() {
        let mut life = Liveness::default();
        life.heard(at(0));
        life.sent(false, at(10));
        assert_eq!((life.advance_silence(at(1_000_000)), life.deadlines().next()), (None, None));
    }

    #[test]
    fn a_keepalive_is_due_a_second_after_the_first_message_unless_something_was_sent() {
        let mut life = Liveness::default();
        assert_eq!(life.owe_answer(at(0)), Some(at(1000)));
        assert_eq!(life.owe_answer(at(900)), None);
        assert!(!life.is_keepalive_due(at(999)) && life.is_keepalive_due(at(1000)));
        life.sent(false, at(1000));
        assert!(!life.is_keepalive_due(at(9000)));
    }

    #[test]
    fn patience_grows_with_the_round_trip_and_not_beyond_reason() {
        let mut life = Liveness::default();
        life.set_round_trip(Duration::from_millis(700));
        assert_eq!(life.sent(true, at(0)), Some(at(3200)));
        assert_eq!(life.advance_silence(at(3199)), None);
        life.heard(at(3199));
        life.set_round_trip(Duration::from_secs(60));
        assert_eq!(life.sent(true, at(4000)), Some(at(9000)));
    }
}
