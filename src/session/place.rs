//! Where the other side is in the tree, as it told us, and whether it knows where we are.
//!
//! Coordinates in frame headers can be rewritten by anyone on the way. What counts is what came inside the encryption, in
//! the order of its stamps. It is told again until the other side says that it heard it.
//!
//! **Trust.** A route by coordinates can fail while the snake works: a relay drops frames on purpose, or the tree is being
//! rebuilt. If a session falls silent while it uses coordinates and is heard again by the snake, the place is not trusted
//! for a while, each time longer. If the snake was silent too, the place had no part in it. Another place is trusted at once.

use super::liveness::Silence;
use super::payload::Place;
use crate::time::{Duration, Instant};

/// First time of distrust, doubled with each failure in a row…
const DISTRUST: Duration = Duration::from_secs(10);
/// … at most this often: 160 s.
const MAX_DOUBLINGS: u32 = 4;
/// A place that worked for so long starts without a record.
const PROBATION: Duration = Duration::from_secs(60);
/// Shortest time between two messages that tell our place: a tree that is being built changes often, and the last one counts.
pub(super) const TELL_INTERVAL: Duration = Duration::from_millis(200);
/// First time to wait for the receipt before telling again, doubled each time…
const RETELL_AFTER: Duration = Duration::from_secs(1);
/// … at most this often: 8 s.
const MAX_RETELL_DOUBLINGS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Since(Instant),
    /// Fell silent, undecided why.
    Suspended,
    NotUntil(Instant),
}

/// What the other side told us.
#[derive(Clone, Debug)]
pub(super) struct Told {
    stamp: u64,
    place: Option<Place>,
    trust: Trust,
    failures: u32,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { stamp: 0, place: None, trust: Trust::Since(Instant::ZERO), failures: 0 }
    }

    /// The place to use, if there is one and it is trusted.
    pub(super) fn trusted(&self) -> Option<&Place> {
        self.place.as_ref().filter(|_| matches!(self.trust, Trust::Since(_)))
    }

    /// The place as told, trusted or not.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The latest stamp heard: our receipt.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// A coordinates message. Older ones than known are ignored. Returns whether the place to use changed.
    pub(super) fn hear(&mut self, stamp: u64, place: Option<Place>, now: Instant) -> bool {
        stamp > self.stamp && self.take(stamp, place, now)
    }

    /// What a handshake said, which is newer than anything before whatever its stamp: the other side may have restarted with
    /// its clock set back. If it ends a silence, a restart is the better explanation of that. Returns whether the place to
    /// use changed.
    pub(super) fn restart(&mut self, stamp: u64, place: Option<Place>, now: Instant) -> bool {
        let resumes = self.trust == Trust::Suspended;
        if resumes {
            self.trust = Trust::Since(now);
        }
        self.take(stamp, place, now) || (resumes && self.place.is_some())
    }

    /// The session fell silent. Returns whether the place to use changed.
    pub(super) fn suspend(&mut self, now: Instant) -> bool {
        let Trust::Since(since) = self.trust else { return false };
        if since.has_passed(PROBATION, now) {
            self.failures = 0;
        }
        self.trust = Trust::Suspended;
        self.place.is_some()
    }

    /// The session is heard again after a silence. Returns whether the place to use changed.
    pub(super) fn resume(&mut self, after: Silence, now: Instant) -> bool {
        if self.trust != Trust::Suspended {
            return false;
        }
        if after == Silence::Dead {
            self.trust = Trust::Since(now);
            return self.place.is_some();
        }
        self.trust = Trust::NotUntil(now + DISTRUST * (1 << self.failures.min(MAX_DOUBLINGS)));
        self.failures += 1;
        false
    }

    /// Ends a distrust whose time is over. Returns whether the place to use changed.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = matches!(self.trust, Trust::NotUntil(until) if until <= now);
        if over {
            self.trust = Trust::Since(now);
        }
        over && self.place.is_some()
    }

    /// When a distrust ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.trust {
            Trust::NotUntil(until) => Some(until),
            Trust::Since(_) | Trust::Suspended => None,
        }
    }

    fn take(&mut self, stamp: u64, place: Option<Place>, now: Instant) -> bool {
        self.stamp = stamp;
        if self.place == place {
            return false;
        }
        self.place = place;
        self.trust = Trust::Since(now);
        self.failures = 0;
        true
    }
}

/// What we told the other side. Changes of our place are known by the stamp they were made at.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// The latest of our stamps that the other side is known to have heard.
    heard: u64,
    /// The change that was told last, when, and how often.
    told: u64,
    told_at: Option<Instant>,
    times: u32,
}

impl Telling {
    /// A handshake or a receipt shows that the other side heard what we said under this stamp.
    pub(super) fn receipt(&mut self, stamp: u64) {
        self.heard = self.heard.max(stamp);
    }

    /// As [`Telling::receipt`], but what it knew before does not count: it may have restarted.
    pub(super) fn restart(&mut self, stamp: u64) {
        *self = Self { heard: stamp, told_at: self.told_at, ..Self::default() };
    }

    /// When the change of `changed` has to be told; `None` if the other side knows it.
    pub(super) fn due(&self, changed: u64) -> Option<Instant> {
        if self.heard >= changed {
            return None;
        }
        let Some(told_at) = self.told_at else { return Some(Instant::ZERO) };
        if self.told != changed || self.times == 0 {
            return Some(told_at + TELL_INTERVAL);
        }
        Some(told_at + RETELL_AFTER * (1 << (self.times - 1).min(MAX_RETELL_DOUBLINGS)))
    }

    /// The change of `changed` was told.
    pub(super) fn tell(&mut self, changed: u64, now: Instant) {
        self.times = if self.told == changed { self.times.saturating_add(1) } else { 1 };
        self.told = changed;
        self.told_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PublicKey;
    use crate::wire::coords::Coords;

    fn place(port: u64) -> Option<Place> {
        Place::new(PublicKey::FULL, Coords::new(vec![port]))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn places_count_in_the_order_of_their_stamps() {
        let mut told = Told::new();
        assert!(told.hear(5, place(1), at(0)));
        assert!(!told.hear(4, place(2), at(0)));
        assert!(!told.hear(5, place(2), at(0)));
        assert_eq!((told.trusted(), told.stamp()), (place(1).as_ref(), 5));
        assert!(told.hear(6, None, at(0)));
        assert_eq!(told.trusted(), None);
        assert!(told.restart(2, place(3), at(0)));
        assert!(told.hear(3, place(4), at(0)));
    }

    #[test]
    fn a_place_that_fails_while_the_snake_works_is_distrusted_longer_each_time() {
        let mut told = Told::new();
        told.hear(1, place(1), at(0));
        let mut now = at(0);
        for expected in [10, 20, 40, 80, 160, 160] {
            assert!(told.suspend(now));
            assert_eq!(told.trusted(), None);
            assert!(!told.resume(Silence::Suspect, now));
            let end = now + Duration::from_secs(expected);
            assert_eq!(told.deadline(), Some(end));
            assert!(!told.handle_timeout(end - Duration::from_micros(1)));
            assert!(told.handle_timeout(end));
            now = end + Duration::from_secs(1);
        }
        assert!(told.suspend(now + PROBATION));
        told.resume(Silence::Suspect, now + PROBATION);
        assert_eq!(told.deadline(), Some(now + PROBATION + DISTRUST));
    }

    #[test]
    fn another_place_and_an_outage_of_everything_restore_trust_at_once() {
        let mut told = Told::new();
        told.hear(1, place(1), at(0));
        told.suspend(at(1));
        assert!(told.resume(Silence::Dead, at(2)));
        assert_eq!(told.trusted(), place(1).as_ref());
        told.suspend(at(3));
        told.resume(Silence::Suspect, at(3));
        assert!(!told.hear(2, place(1), at(4)));
        assert_eq!(told.trusted(), None);
        assert!(!told.restart(3, place(1), at(5)), "agreeing on keys anew is no reason to trust");
        assert!(told.hear(4, place(2), at(5)));
        assert_eq!(told.trusted(), place(2).as_ref());
        told.suspend(at(6));
        assert!(told.restart(5, place(2), at(6)), "a restart explains the silence");
        assert_eq!(told.trusted(), place(2).as_ref());
    }

    #[test]
    fn a_change_is_told_at_once_then_again_until_there_is_a_receipt() {
        let mut telling = Telling::default();
        assert_eq!(telling.due(0), None);
        assert_eq!(telling.due(7), Some(Instant::ZERO));
        let mut now = at(100);
        for wait in [1, 2, 4, 8, 8] {
            telling.tell(7, now);
            assert_eq!(telling.due(7), Some(now + Duration::from_secs(wait)));
            now = now + Duration::from_secs(wait);
        }
        telling.tell(7, now);
        assert_eq!(telling.due(9), Some(now + TELL_INTERVAL));
        telling.receipt(8);
        assert_eq!((telling.due(7), telling.due(9)), (None, Some(now + TELL_INTERVAL)));
        telling.restart(3);
        assert_eq!(telling.due(7), Some(now + TELL_INTERVAL));
    }
}
