//! Time as the core sees it: a number that the caller hands in.
//!
//! [`Instant`] counts microseconds from an arbitrary zero, so a simulated run and its trace repeat exactly. The daemon's
//! shell feeds it from the boot-time clock (time asleep counts: a laptop that wakes up must see its deadlines passed).
//! All arithmetic saturates: a hostile or broken clock never panics.

pub use std::time::Duration;

/// A point in monotonic time: microseconds since an arbitrary zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The arbitrary zero.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` µs after the zero.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whether at least `span` has passed between `self` and `now`.
    pub fn has_passed(self, span: Duration, now: Self) -> bool {
        now.saturating_since(self) >= span
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since the Unix epoch, as Pinecone's sequence numbers use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

/// What the wall clock says at a monotonic instant, from one reading taken at start.
///
/// The wall clock is never read again: were it set back while the daemon runs, our sequence numbers would go back too and
/// every node would take our bootstraps for old ones.
#[derive(Clone, Copy, Debug)]
pub struct UnixClock {
    read_at: Instant,
    reading: UnixMillis,
}

impl UnixClock {
    /// A clock that showed `reading` at `read_at`.
    pub const fn new(reading: UnixMillis, read_at: Instant) -> Self {
        Self { read_at, reading }
    }

    /// The wall-clock time at `now`.
    pub fn at(&self, now: Instant) -> UnixMillis {
        let elapsed = u64::try_from(now.saturating_since(self.read_at).as_millis()).unwrap_or(u64::MAX);
        UnixMillis(self.reading.0.saturating_add(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::from_micros(u64::MAX) + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO.saturating_since(Instant::from_micros(5)), Duration::ZERO);
    }

    #[test]
    fn the_unix_clock_advances_with_the_monotonic_one() {
        let clock = UnixClock::new(UnixMillis(1_000), Instant::from_micros(500_000));
        assert_eq!(clock.at(Instant::from_micros(2_500_000)), UnixMillis(3_000));
        assert_eq!(clock.at(Instant::ZERO), UnixMillis(1_000));
    }
}
