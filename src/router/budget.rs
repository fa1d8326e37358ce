//! How many signatures peers may make us check.
//!
//! Checks are the one expensive thing that a frame of a few bytes can ask of us, so they are limited twice: per
//! peering, so that one peer cannot spend what others need, and for all of them together, so that many hostile peerings
//! cannot occupy the core. When the common pool is empty, each peering still has a small allowance of its own: hostile
//! peerings slow others down, but do not cut them off.

use crate::bounded::TokenBucket;
use crate::time::Instant;

/// Checks per second for all peerings together. In a network of 10,000 nodes the busiest relay passes all bootstraps:
/// 2,000 a second. Twice that is about a quarter of a core (58 µs each where it was measured).
const POOL_RATE: u32 = 4_000;
/// After a change of the root, every node bootstraps at once; this much can be saved up for it.
const POOL_BURST: u32 = 12_000;
/// A single peering may carry half of the bootstraps of such a network, and it takes several hostile ones to empty the
/// pool.
const PEERING_RATE: u32 = POOL_RATE / 4;
const PEERING_BURST: u32 = POOL_BURST / 4;
/// What is left to a peering when the pool is empty: bootstraps of 100 nodes.
const RESERVE_RATE: u32 = 20;
/// Enough for the longest announcement.
const RESERVE_BURST: u32 = 700;
/// The peerings that can have that much. More of them share what these have: 5,000 checks a second, so that all reserves
/// together cannot occupy a core however many peerings are hostile. Of 4,095, each still has more than one a second.
const FULL_RESERVES: u64 = 250;

/// Signatures in the longest announcement that leaves room for our own entry.
const LONGEST_ANNOUNCEMENT: u32 = 674;

/// The checks of all peerings together.
#[derive(Debug)]
pub(super) struct Pool(TokenBucket);

impl Pool {
    pub(super) fn new(now: Instant) -> Self {
        Self(TokenBucket::new(POOL_RATE, POOL_BURST, now))
    }
}

/// The checks of one peering.
#[derive(Debug)]
pub(super) struct Allowance {
    limit: TokenBucket,
    reserve: Reserve,
}

impl Allowance {
    /// For announcements, which may need many checks at once.
    pub(super) fn for_announcements(now: Instant) -> Self {
        Self::new(LONGEST_ANNOUNCEMENT, now)
    }

    /// For bootstraps and broadcasts, which need one each.
    pub(super) fn for_single_checks(now: Instant) -> Self {
        Self::new(1, now)
    }

    fn new(largest: u32, now: Instant) -> Self {
        // The reserve starts empty, or else connecting again and again would be a way around the pool.
        let reserve = Reserve { level: 0, largest, filled_at: now };
        Self { limit: TokenBucket::new(PEERING_RATE, PEERING_BURST, now), reserve }
    }

    /// Whether `checks` signatures may be checked at `now`; if so, they are paid for. `peerings` is how many there are.
    pub(super) fn take(&mut self, checks: usize, pool: &mut Pool, peerings: usize, now: Instant) -> bool {
        let checks = u32::try_from(checks).unwrap_or(u32::MAX);
        self.limit.take(checks, now) && (pool.0.take(checks, now) || self.reserve.take(checks, peerings, now))
    }
}

/// What a peering can spend when others have emptied the pool: a token bucket that fills the slower, and holds the less,
/// the more peerings there are.
#[derive(Debug)]
struct Reserve {
    /// In millionths of a check.
    level: u64,
    /// The most checks that come at once: so much can always be saved up, or they could never be paid for. For
    /// announcements that is nearly all that a reserve can ever hold, but at its share of the rate a peering among
    /// thousands saves ten minutes for it.
    largest: u32,
    filled_at: Instant,
}

impl Reserve {
    const UNIT: u64 = 1_000_000;

    fn take(&mut self, checks: u32, peerings: usize, now: Instant) -> bool {
        let sharers = FULL_RESERVES.max(peerings as u64);
        let elapsed = u64::try_from(now.saturating_since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        self.filled_at = self.filled_at.max(now);
        let refill = elapsed.saturating_mul(u64::from(RESERVE_RATE) * FULL_RESERVES) / sharers;
        let most = (u64::from(RESERVE_BURST) * FULL_RESERVES / sharers).max(u64::from(self.largest));
        self.level = self.level.saturating_add(refill).min(most * Self::UNIT);
        let cost = u64::from(checks) * Self::UNIT;
        let enough = self.level >= cost;
        if enough {
            self.level -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::MAX_PORT;
    use crate::time::Duration;

    #[test]
    fn one_peering_cannot_empty_the_pool() {
        let (mut pool, now) = (Pool::new(Instant::ZERO), Instant::ZERO);
        let (mut greedy, mut modest) = (Allowance::for_single_checks(now), Allowance::for_single_checks(now));
        while greedy.take(1, &mut pool, 10, now) {}
        assert!(modest.take(1_000, &mut pool, 10, now));
    }

    #[test]
    fn an_empty_pool_leaves_every_peering_a_reserve_that_fills_with_time_only() {
        let (mut pool, now) = (Pool::new(Instant::ZERO), Instant::ZERO);
        for _ in 0..10 {
            let mut hostile = Allowance::for_single_checks(now);
            while hostile.take(1, &mut pool, 10, now) {}
        }
        let mut honest = Allowance::for_single_checks(now);
        assert!(!honest.take(1, &mut pool, 10, now));
        // Nothing else asks meanwhile, so the pool is emptied again first.
        let later = now + Duration::from_secs(1);
        for _ in 0..10 {
            let mut hostile = Allowance::for_single_checks(later);
            while hostile.take(1, &mut pool, 10, later) {}
        }
        assert!(honest.take(RESERVE_RATE as usize, &mut pool, 10, later));
        assert!(!honest.take(1, &mut pool, 10, later));
    }

    /// What `allowance` can spend within `time`, asking every second, while others keep the pool empty.
    fn spent(mut allowance: Allowance, peerings: usize, time: Duration) -> u64 {
        let seconds = 0..=u64::from(time.as_micros() as u32 / 1_000_000);
        let at = |second| Instant::ZERO + Duration::from_secs(second);
        let mut take = |second| allowance.reserve.take(1, peerings, at(second));
        seconds.map(|second| std::iter::from_fn(|| take(second).then_some(())).count() as u64).sum()
    }

    #[test]
    fn the_reserves_of_any_number_of_peerings_add_up_to_no_more_than_those_of_250() {
        let minute = Duration::from_secs(60);
        for peerings in [1, 253, 1_000, usize::from(MAX_PORT)] {
            let each = spent(Allowance::for_single_checks(Instant::ZERO), peerings, minute);
            assert!(each >= 60, "one of {peerings} peerings is cut off");
            assert!(each * peerings as u64 <= 60 * u64::from(RESERVE_RATE) * FULL_RESERVES);
        }
    }

    #[test]
    fn what_reserves_save_up_for_single_checks_is_bounded_for_all_peerings_together() {
        let day = Instant::ZERO + Duration::from_secs(86_400);
        for peerings in [1, 253, 1_000, usize::from(MAX_PORT)] {
            let mut idle = Allowance::for_single_checks(Instant::ZERO).reserve;
            let saved = std::iter::from_fn(|| idle.take(1, peerings, day).then_some(())).count();
            assert!(saved >= 1 && saved * peerings <= RESERVE_BURST as usize * FULL_RESERVES as usize);
        }
    }

    #[test]
    fn the_longest_announcement_can_always_be_paid_for_in_the_end() {
        const { assert!(RESERVE_BURST >= LONGEST_ANNOUNCEMENT && PEERING_BURST >= LONGEST_ANNOUNCEMENT) };
        let mut reserve = Allowance::for_announcements(Instant::ZERO).reserve;
        let mut paid = |second| {
            let now = Instant::ZERO + Duration::from_secs(second);
            reserve.take(LONGEST_ANNOUNCEMENT, usize::from(MAX_PORT), now)
        };
        assert!(!paid(500));
        assert!(paid(600));
    }
}
