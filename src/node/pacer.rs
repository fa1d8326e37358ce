//! A cap on what a peering is given to carry (`?max_rate=`): a token bucket in front of its outbox, so that what has to wait does so in the
//! queue that is fair and short, and not in the kernel's or a modem's.
//!
//! A frame may go as soon as the bucket is not empty and takes all of its length from it, so the bucket can owe: whatever the length of
//! frames, what goes in the long run is exactly the rate. Protocol frames do not wait, but are paid for.

use crate::time::{Duration, Instant};

/// What may go at once after a pause, in time: enough that timers which are a few milliseconds late lose nothing.
const BURST: Duration = Duration::from_millis(10);
/// The same in bytes, at least: one full Ethernet frame.
const LEAST_BURST: u64 = 1_500;
/// A frame should not take longer than this, …
const FRAME_TAKES: Duration = Duration::from_millis(1);
/// … unless it would have to be shorter than three Ethernet frames: then headers count.
const LEAST_FRAME: u64 = 4_500;
/// Levels are kept in bits × 10⁶, so that a microsecond at one bit per second is one unit and nothing is ever rounded.
const UNITS_PER_BYTE: i128 = 8_000_000;

/// The bucket of one peering.
#[derive(Clone, Debug)]
pub struct Pacer {
    bits_per_second: u64,
    level: i128,
    filled_at: Instant,
}

impl Pacer {
    /// A full bucket for this rate, which is above zero.
    pub fn new(bits_per_second: u64, now: Instant) -> Self {
        let mut pacer = Self { bits_per_second: bits_per_second.max(1), level: 0, filled_at: now };
        pacer.level = pacer.most();
        pacer
    }

    /// The rate, in bits per second.
    pub fn bits_per_second(&self) -> u64 {
        self.bits_per_second
    }

    /// Whether the next frame may go.
    pub fn is_open(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_since(self.filled_at).as_micros();
        self.filled_at = self.filled_at.max(now);
        let refill = i128::try_from(elapsed).unwrap_or(i128::MAX).saturating_mul(self.bits_per_second.into());
        self.level = self.level.saturating_add(refill).min(self.most());
        self.level > 0
    }

    /// A frame of this length goes.
    pub fn sent(&mut self, len: usize) {
        self.level -= len as i128 * UNITS_PER_BYTE;
    }

    /// A protocol frame of this length goes, which did not ask. What it leaves others to pay for is a second at most, or a cap below what the
    /// protocol needs would let nothing else through at all.
    pub fn sent_protocol(&mut self, len: usize) {
        let before = self.level;
        self.sent(len);
        let floor = -i128::from(self.bits_per_second) * 1_000_000;
        self.level = self.level.max(floor.min(before));
    }

    /// When the next frame may go, if none may now.
    pub fn opens_at(&self) -> Instant {
        let missing = (1 - self.level).max(0);
        let micros = missing / i128::from(self.bits_per_second) + 1;
        self.filled_at + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Longest frame, in bytes, that does not hold up others for long at this rate.
    pub fn frame_len(&self) -> usize {
        let len = u128::from(self.bits_per_second / 8) * FRAME_TAKES.as_micros() / 1_000_000;
        usize::try_from(len.max(LEAST_FRAME.into())).unwrap_or(usize::MAX)
    }

    fn most(&self) -> i128 {
        let burst = i128::from(self.bits_per_second) * i128::try_from(BURST.as_micros()).unwrap_or(0);
        burst.max(i128::from(LEAST_BURST) * UNITS_PER_BYTE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends frames of `len` bytes whenever they may go, being late by up to `late_us` each time; says how many bytes that were per second.
    fn rate_of(bits_per_second: u64, len: usize, late_us: u64, seconds: u64) -> f64 {
        let mut pacer = Pacer::new(bits_per_second, Instant::ZERO);
        let (mut now, mut sent) = (Instant::ZERO, 0u64);
        let end = Instant::ZERO + Duration::from_secs(seconds);
        while now < end {
            if pacer.is_open(now) {
                pacer.sent(len);
                sent += len as u64;
            } else {
                now = pacer.opens_at() + Duration::from_micros(sent % (late_us + 1));
            }
        }
        sent as f64 / seconds as f64
    }

    #[test]
    fn the_rate_is_held_within_five_percent_whatever_the_length_of_frames() {
        for bits in [100_000, 1_000_000, 10_000_000, 1_000_000_000_u64] {
            for len in [80, 1_500, 65_535] {
                let allowed = bits as f64 / 8.0;
                let rate = rate_of(bits, len, 0, 60);
                // What is on its way at the end is one frame too many, which is much only at the lowest rates.
                let slack = 0.05 + len as f64 / 60.0 / allowed;
                assert!((rate / allowed - 1.0).abs() < slack, "{bits} bit/s, {len} bytes: {rate} B/s");
            }
        }
    }

    #[test]
    fn a_pause_saves_no_more_than_the_burst() {
        let mut pacer = Pacer::new(8_000_000, Instant::ZERO);
        let now = Instant::ZERO + Duration::from_secs(3_600);
        let mut sent = 0;
        while pacer.is_open(now) {
            pacer.sent(1_000);
            sent += 1;
        }
        assert_eq!(sent, 10, "ten milliseconds at a megabyte per second");
        assert!(!pacer.is_open(now) && pacer.opens_at() > now);
    }

    #[test]
    fn protocol_frames_hold_up_traffic_for_a_second_at_most() {
        let mut pacer = Pacer::new(100_000, Instant::ZERO);
        (0..1_000).for_each(|_| pacer.sent_protocol(1_000));
        assert!(pacer.opens_at() <= Instant::ZERO + Duration::from_millis(1_001), "{:?}", pacer.opens_at());
        // What a frame of traffic owes stays.
        pacer.sent(65_535);
        let owed = pacer.opens_at();
        pacer.sent_protocol(10);
        assert_eq!(pacer.opens_at(), owed);
    }

    #[test]
    fn frames_are_kept_short_at_low_rates() {
        assert_eq!(Pacer::new(1_000_000, Instant::ZERO).frame_len(), 4_500);
        assert_eq!(Pacer::new(100_000_000, Instant::ZERO).frame_len(), 12_500);
    }

    proptest! {
        #[test]
        fn late_timers_cost_no_rate_and_give_none(
            bits in 1_000_000u64..1_000_000_000, len in 100usize..9_000, late_us in 0u64..8_000,
        ) {
            let rate = rate_of(bits, len, late_us, 10) * 8.0 / bits as f64;
            prop_assert!((0.95..1.05).contains(&rate), "{rate}");
        }

        #[test]
        fn it_is_open_when_it_says_so(bits in 1u64..u64::MAX, lens in prop::collection::vec(1usize..70_000, 1..20)) {
            let mut pacer = Pacer::new(bits, Instant::ZERO);
            for len in lens {
                pacer.sent(len);
            }
            let at = pacer.opens_at();
            prop_assert!(pacer.is_open(at));
        }
    }
}
