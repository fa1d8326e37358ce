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
/// What is left to a peering when the pool is empty: bootstraps of 100 nodes. With 253 hostile peerings that adds up to
/// 5,060 checks a second, so that all of them together cannot occupy a core.
const RESERVE_RATE: u32 = 20;
/// Enough for the longest announcement (674 signatures).
const RESERVE_BURST: u32 = 700;

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
    reserve: TokenBucket,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        let mut reserve = TokenBucket::new(RESERVE_RATE, RESERVE_BURST, now);
        // It starts empty, or else connecting again and again would be a way around the pool.
        let _ = reserve.take(RESERVE_BURST, now);
        Self { limit: TokenBucket::new(PEERING_RATE, PEERING_BURST, now), reserve }
    }

    /// Whether `checks` signatures may be checked at `now`; if so, they are paid for.
    pub(super) fn take(&mut self, checks: usize, pool: &mut Pool, now: Instant) -> bool {
        let checks = u32::try_from(checks).unwrap_or(u32::MAX);
        self.limit.take(checks, now) && (pool.0.take(checks, now) || self.reserve.take(checks, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn one_peering_cannot_empty_the_pool() {
        let (mut pool, now) = (Pool::new(Instant::ZERO), Instant::ZERO);
        let (mut greedy, mut modest) = (Allowance::new(now), Allowance::new(now));
        while greedy.take(1, &mut pool, now) {}
        assert!(modest.take(1_000, &mut pool, now));
    }

    #[test]
    fn an_empty_pool_leaves_every_peering_a_reserve_that_fills_with_time_only() {
        let (mut pool, now) = (Pool::new(Instant::ZERO), Instant::ZERO);
        for _ in 0..10 {
            let mut hostile = Allowance::new(now);
            while hostile.take(1, &mut pool, now) {}
        }
        let mut honest = Allowance::new(now);
        assert!(!honest.take(1, &mut pool, now));
        // Nothing else asks meanwhile, so the pool is emptied again first.
        let later = now + Duration::from_secs(1);
        for _ in 0..10 {
            let mut hostile = Allowance::new(later);
            while hostile.take(1, &mut pool, later) {}
        }
        assert!(honest.take(RESERVE_RATE as usize, &mut pool, later));
        assert!(!honest.take(1, &mut pool, later));
    }

    #[test]
    fn the_longest_announcement_can_always_be_paid_for_in_the_end() {
        const { assert!(RESERVE_BURST >= 674 && PEERING_BURST >= 674) };
    }
}
