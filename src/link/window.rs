//! How much a peering's transport may hold of what is not acknowledged yet.
//!
//! Whatever the kernel and the slowest link on the way hold, is in the order in which it was written: a ping behind it waits, and nobody
//! can drop what would have been better dropped. Kernels let that grow until something is lost, to hundreds of milliseconds on a slow link.
//! Our own queue in front of it is fair and short; so what is handed over is kept to what the path needs to be busy:
//!
//! ```text
//! window = rate × (round trip without queue × gain + SLACK)        at least FLOOR
//! ```
//!
//! as in BBR (draft-ietf-ccwg-bbr), with the rate as the most that was acknowledged per second of late, and the round trip as the least. The
//! gain is above 2 until the rate stops growing, so that a slow start is not held back, and a little above 1 from then on. Now and
//! then a window that is used up is made small for a moment, to see the round trip without our own queue: whether packets take
//! longer because of that or because the way became longer, nothing else tells.
//!
//! This works on top of whatever congestion control the kernel uses, and only ever sends less than that. On a path that is fast
//! enough for all that there is to send, the window is never used up and changes nothing.

use std::collections::VecDeque;

use crate::time::{Duration, Instant};

/// Queueing at the slowest link that we allow for, so that it is busy although we look only now and then.
const SLACK: Duration = Duration::from_millis(5);
/// Two full Ethernet frames and a bit: less, and delayed acknowledgements stop the flow.
const FLOOR: usize = 4 << 10;
/// While nothing is known: as much as TCP itself begins with.
const INITIAL: usize = 16 << 10;
/// Window as a multiple of what the path holds, in percent: while the rate still grows, and afterwards.
const GAIN_AT_START: u32 = 250;
const GAIN: u32 = 125;
/// The rate has stopped growing when so many measurements in a row were not a quarter above the best one before.
const FLAT: u32 = 3;
/// Shortest time over which a rate is measured, and over which a rate is good enough to be a lower bound.
const MEASURED_OVER: Duration = Duration::from_millis(10);
const GUESSED_OVER: Duration = Duration::from_millis(1);
/// How long a rate is remembered while others are measured, or eight round trips if that is longer. Not long: a link that is shaped by a
/// token bucket is fast for a moment after each pause.
const RATE_KEPT: Duration = Duration::from_millis(300);
/// A frame should not take longer than this on its way through the slowest link, …
const FRAME_TAKES: Duration = Duration::from_millis(1);
/// … unless it would have to be shorter than six Ethernet frames (three if six take too long): then headers count. All of them together
/// take an eighth of the link when there are three, and a fourteenth when there are six.
const LEAST_FRAME: (usize, usize) = (4_400, 8_700);
const LEAST_FRAME_TAKES: Duration = Duration::from_millis(8);
/// Paths that take more than this in that time, 200 Mbit/s, are fast: the longest frame takes less than three milliseconds, which is not worth
/// smaller units, also where losses make the rate go up and down.
const FAST: usize = 25_000;
/// The window is made small if it was used up for so long, …
const DRAIN_AFTER: Duration = Duration::from_secs(10);
/// … or if for so long the round trip was above what our own queue explains.
const DRAIN_AFTER_DOUBT: Duration = Duration::from_secs(1);
/// How long it stays small at least: some acknowledgements, so that the smoothed round trip follows. Otherwise three round trips.
const DRAIN: Duration = Duration::from_millis(50);
/// Bounds of the time after which somebody without room looks again.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));
/// Bytes that can be written without a look at the path.
const UNSEEN: usize = 16 << 10;

/// What a transport knows of its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathSample {
    /// Bytes acknowledged since the connection began.
    pub acked: u64,
    /// Bytes that were written and are not acknowledged.
    pub outstanding: usize,
    /// The smoothed round-trip time; zero if it is not known.
    pub round_trip: Duration,
    /// Bytes of ours in one packet of the path; zero if that is not known.
    pub segment: usize,
}

/// The window of one transport.
#[derive(Debug, Default)]
pub struct SendWindow {
    last: PathSample,
    /// Bytes written since the last sample.
    written: usize,
    mark: Option<Mark>,
    rate: Highest,
    /// The round trip without our queue, as far as it was seen.
    base: Option<Duration>,
    /// The best rate when the last one that was a quarter better came, and how many came since.
    growth: (u64, u32),
    /// Since when the window is used up again and again, and since when the round trip cannot be explained.
    used_up_since: Option<Instant>,
    in_doubt_since: Option<Instant>,
    drain: Option<Drain>,
}

/// The beginning of a measurement of the rate. It ends when all that was outstanding then is acknowledged: bytes that were written in one
/// go are acknowledged in one go a round trip later, and half of that says nothing.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    acked: u64,
    until: u64,
}

impl Mark {
    fn new(sample: PathSample, at: Instant) -> Self {
        Self { at, acked: sample.acked, until: sample.acked.saturating_add(sample.outstanding as u64) }
    }
}

/// A time with a small window.
#[derive(Clone, Copy, Debug)]
struct Drain {
    until: Instant,
    /// The shortest round trip seen in it.
    seen: Option<Duration>,
}

impl SendWindow {
    /// So many bytes went to the transport.
    pub fn handle_written(&mut self, len: usize) {
        self.written = self.written.saturating_add(len);
    }

    /// Whether the transport has to be asked before more is written.
    pub fn wants_sample(&self) -> bool {
        self.written >= UNSEEN || self.room() == 0
    }

    /// What the transport says now.
    pub fn handle_sample(&mut self, sample: PathSample, now: Instant) {
        self.written = 0;
        self.last = sample;
        if !sample.round_trip.is_zero() {
            self.base = Some(self.base.map_or(sample.round_trip, |base| base.min(sample.round_trip)));
        }
        self.measure(sample, now);
        self.watch(sample, now);
    }

    /// Bytes that may be written before the next sample; zero if there is no room.
    pub fn room(&self) -> usize {
        self.size().saturating_sub(self.last.outstanding + self.written)
    }

    /// The round trip on the path without our own queue, once it was seen.
    pub fn round_trip(&self) -> Option<Duration> {
        self.base
    }

    /// When to ask the transport again, if there is no room.
    pub fn look_again_at(&self, now: Instant) -> Instant {
        let excess = (self.last.outstanding + self.written).saturating_sub(self.size()) as f64;
        let wait = match self.rate.get() {
            0 => LOOK_AGAIN.0,
            rate => Duration::from_secs_f64((excess / rate as f64).min(1.0)),
        };
        now + wait.clamp(LOOK_AGAIN.0, LOOK_AGAIN.1)
    }

    /// The window, in bytes.
    pub fn size(&self) -> usize {
        let rate = self.rate.get();
        if rate == 0 {
            return INITIAL;
        }
        let base = self.base.unwrap_or_default();
        let span = match (self.drain, self.growth.1 < FLAT) {
            (Some(_), _) => base / 2,
            (None, true) => base * GAIN_AT_START / 100 + SLACK,
            (None, false) => base * GAIN / 100 + SLACK,
        };
        ((rate as f64 * span.as_secs_f64()) as usize).max(FLOOR)
    }

    /// Longest frame, in bytes, that does not hold up others for long on this path; [`usize::MAX`] until the path is known. Whole segments:
    /// a short one at the end of each frame costs as much again as the headers of the frame.
    pub fn frame_len(&self) -> usize {
        if self.growth.1 < FLAT {
            return usize::MAX;
        }
        let in_time = |time: Duration| (self.rate.get() as f64 * time.as_secs_f64()) as usize;
        if in_time(FRAME_TAKES) > FAST {
            return usize::MAX;
        }
        let least = in_time(LEAST_FRAME_TAKES).clamp(LEAST_FRAME.0, LEAST_FRAME.1);
        let len = in_time(FRAME_TAKES).max(least);
        len - len.checked_rem(self.last.segment).filter(|rest| *rest < len).unwrap_or(0)
    }

    /// How long a frame takes at the slowest link: one that begins within the window may end beyond.
    fn frame_time(&self) -> Duration {
        match (self.frame_len(), self.rate.get()) {
            (usize::MAX, _) | (_, 0) => Duration::ZERO,
            (len, rate) => Duration::from_secs_f64(len as f64 / rate as f64),
        }
    }

    /// Begins and ends the times with a small window.
    fn watch(&mut self, sample: PathSample, now: Instant) {
        let round_trip = Some(sample.round_trip).filter(|round_trip| !round_trip.is_zero());
        if let Some(drain) = &mut self.drain {
            drain.seen = [drain.seen, round_trip].into_iter().flatten().min();
            let seen = drain.seen;
            if now >= drain.until {
                self.base = self.base_after_drain(seen);
                (self.drain, self.used_up_since, self.in_doubt_since) = (None, None, None);
            }
            return;
        }
        if sample.outstanding < self.size() {
            return;
        }
        let since = *self.used_up_since.get_or_insert(now);
        let explained = self.base.unwrap_or_default() * 2 + SLACK * 2 + self.frame_time();
        let doubt = match round_trip {
            Some(round_trip) if round_trip > explained => Some(*self.in_doubt_since.get_or_insert(now)),
            _ => {
                self.in_doubt_since = None;
                None
            }
        };
        if since.has_passed(DRAIN_AFTER, now) || doubt.is_some_and(|since| since.has_passed(DRAIN_AFTER_DOUBT, now)) {
            let until = now + DRAIN.max(sample.round_trip * 3);
            self.drain = Some(Drain { until, seen: None });
        }
    }

    /// The shortest round trip with a small window is that of the path, unless what is still under way then explains the difference: the
    /// smallest window and a frame.
    fn base_after_drain(&self, seen: Option<Duration>) -> Option<Duration> {
        let (Some(base), Some(seen)) = (self.base, seen) else { return seen.or(self.base) };
        let floor = match self.rate.get() {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(FLOOR as f64 / rate as f64),
        };
        Some(if seen <= base + floor + self.frame_time() { base.min(seen) } else { seen })
    }

    fn measure(&mut self, sample: PathSample, now: Instant) {
        // What is sent says something of the path only while the window is about used up.
        let busy = sample.outstanding >= self.size() / 2;
        let Some(mark) = self.mark else {
            self.mark = busy.then(|| Mark::new(sample, now));
            return;
        };
        let span = now.saturating_since(mark.at);
        if sample.acked < mark.until || span < if busy { MEASURED_OVER } else { GUESSED_OVER } {
            return;
        }
        let rate = (sample.acked.saturating_sub(mark.acked) as f64 / span.as_secs_f64()) as u64;
        let kept = RATE_KEPT.max(self.base.unwrap_or_default() * 8);
        if busy {
            self.rate.put(rate, kept, now);
            self.note_growth(rate);
            if sample.round_trip > self.base.unwrap_or_default() * 2 + SLACK * 2 {
                // A queue has formed on the way, so this is all that goes through it.
                self.growth.1 = FLAT;
            }
        } else {
            // The path was done before we looked: it is at least that fast.
            self.rate.raise(rate, kept, now);
        }
        self.mark = busy.then(|| Mark::new(sample, now));
    }

    fn note_growth(&mut self, rate: u64) {
        let (best, flat) = self.growth;
        self.growth = if rate > best + best / 4 { (rate, 0) } else { (best, flat.saturating_add(1)) };
    }
}

/// The highest of the values of late; zero if there never were any.
#[derive(Debug, Default)]
struct Highest {
    /// Falling values with the times at which they came: each is the highest of all since the one before it.
    values: VecDeque<(Instant, u64)>,
}

/// Values that a filter holds at most; beyond that the lowest are forgotten, which are those that matter last.
const MAX_VALUES: usize = 32;

impl Highest {
    fn put(&mut self, value: u64, kept: Duration, now: Instant) {
        while self.values.back().is_some_and(|(_, last)| *last <= value) {
            self.values.pop_back();
        }
        if self.values.len() < MAX_VALUES {
            self.values.push_back((now, value));
        }
        while self.values.len() > 1 && self.values.front().is_some_and(|(at, _)| at.has_passed(kept, now)) {
            self.values.pop_front();
        }
    }

    /// As [`Highest::put`] if it is the highest, and nothing otherwise.
    fn raise(&mut self, value: u64, kept: Duration, now: Instant) {
        if value > self.get() {
            self.put(value, kept, now);
        }
    }

    fn get(&self) -> u64 {
        self.values.front().map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A path: a queue in front of a link, and a way back.
    struct Path {
        bytes_per_ms: f64,
        round_trip_ms: f64,
        queue: f64,
        /// Bytes that the link has taken, and when they are acknowledged.
        acks: VecDeque<(f64, f64)>,
        acked: f64,
        sent: f64,
        smoothed: f64,
    }

    impl Path {
        fn new(mbps: f64, round_trip_ms: f64) -> Self {
            let bytes_per_ms = mbps * 125.0;
            Self {
                bytes_per_ms,
                round_trip_ms,
                queue: 0.0,
                acks: VecDeque::new(),
                acked: 0.0,
                sent: 0.0,
                smoothed: 0.0,
            }
        }

        fn step(&mut self, ms: f64, step: f64) {
            let taken = self.queue.min(self.bytes_per_ms * step);
            self.queue -= taken;
            self.acks.push_back((ms + self.round_trip_ms, taken));
            while let Some((at, bytes)) = self.acks.front().copied().filter(|(at, _)| *at <= ms) {
                let _ = at;
                self.acked += bytes;
                self.acks.pop_front();
            }
            let now = self.round_trip_ms + self.delay();
            self.smoothed = if self.smoothed == 0.0 { now } else { self.smoothed * 0.9 + now * 0.1 };
        }

        /// How long what is written now waits, in milliseconds.
        fn delay(&self) -> f64 {
            self.queue / self.bytes_per_ms
        }

        fn sample(&self) -> PathSample {
            let outstanding = (self.sent - self.acked).max(0.0) as usize;
            let round_trip = Duration::from_micros((self.smoothed * 1000.0) as u64);
            PathSample { acked: self.acked as u64, outstanding, round_trip, segment: 1_448 }
        }
    }

    /// A sender that always has more, looking at the path as the peer task does. Returns how much of the link was used from `from` on, in
    /// percent, and the 99th percentile of the queueing delay in milliseconds.
    fn saturate(
        path: &mut Path,
        window: &mut SendWindow,
        frame: usize,
        ms: std::ops::Range<u64>,
        from: u64,
    ) -> (f64, f64) {
        const STEPS: u64 = 4;
        let (mut look_at, mut delays, mut before) = (Instant::ZERO, Vec::new(), None);
        for step in ms.start * STEPS..ms.end * STEPS {
            let at = step as f64 / STEPS as f64;
            let now = Instant::from_micros(step * 1000 / STEPS);
            path.step(at, 1.0 / STEPS as f64);
            if now >= look_at {
                window.handle_sample(path.sample(), now);
                while window.room() > 0 {
                    window.handle_written(frame);
                    path.queue += frame as f64;
                    path.sent += frame as f64;
                    if window.wants_sample() {
                        window.handle_sample(path.sample(), now);
                    }
                }
                // The timer of the runtime counts milliseconds.
                look_at = window.look_again_at(now).max(now + Duration::from_millis(1));
            }
            if at >= from as f64 {
                before.get_or_insert(path.acked);
                delays.push(path.delay());
            }
        }
        delays.sort_by(f64::total_cmp);
        let span = (ms.end - from) as f64;
        let used = (path.acked - before.unwrap_or(0.0)) / (path.bytes_per_ms * span) * 100.0;
        (used, delays[delays.len() * 99 / 100])
    }

    #[test]
    fn a_slow_link_is_kept_busy_with_a_short_queue() {
        for (mbps, round_trip_ms) in [(1.0, 1.0), (10.0, 0.3), (10.0, 40.0), (100.0, 0.3), (100.0, 30.0), (20.0, 200.0)]
        {
            let (mut path, mut window) = (Path::new(mbps, round_trip_ms), SendWindow::default());
            let (used, delay) = saturate(&mut path, &mut window, 1_500, 0..40_000, 15_000);
            assert!(used > 92.0, "{mbps} Mbit/s, {round_trip_ms} ms: {used} %");
            // What the slack allows, what fills the path again after a drain, and the floor and a frame on the slowest.
            let allowed = 1.3 * 5.0 + 0.8 * round_trip_ms + 2.0 * (FLOOR + 1_500) as f64 / path.bytes_per_ms + 2.0;
            assert!(delay < allowed, "{mbps} Mbit/s, {round_trip_ms} ms: {delay} ms, allowed {allowed}");
        }
    }

    #[test]
    fn a_link_that_becomes_faster_is_used_and_one_that_becomes_slower_not_flooded() {
        let (mut path, mut window) = (Path::new(10.0, 20.0), SendWindow::default());
        saturate(&mut path, &mut window, 1_500, 0..10_000, 0);
        path.bytes_per_ms = 100.0 * 125.0;
        let (used, _) = saturate(&mut path, &mut window, 1_500, 10_000..20_000, 13_000);
        assert!(used > 90.0, "{used} %");
        path.bytes_per_ms = 10.0 * 125.0;
        let (used, delay) = saturate(&mut path, &mut window, 1_500, 20_000..40_000, 25_000);
        assert!(used > 90.0 && delay < 30.0, "{used} %, {delay} ms");
    }

    #[test]
    fn a_way_that_becomes_longer_does_not_throttle_for_long() {
        let (mut path, mut window) = (Path::new(50.0, 5.0), SendWindow::default());
        saturate(&mut path, &mut window, 1_500, 0..10_000, 0);
        path.round_trip_ms = 120.0;
        let (used, _) = saturate(&mut path, &mut window, 1_500, 10_000..60_000, 40_000);
        assert!(used > 85.0, "{used} %");
    }

    #[test]
    fn who_sends_little_always_has_room() {
        let (mut path, mut window) = (Path::new(10.0, 30.0), SendWindow::default());
        for ms in 0..20_000 {
            path.step(ms as f64, 1.0);
            if ms % 10 == 0 {
                assert!(window.room() > 0, "{ms} ms");
                window.handle_written(200);
                path.queue += 200.0;
                path.sent += 200.0;
                if window.wants_sample() {
                    window.handle_sample(path.sample(), Instant::from_micros(ms * 1000));
                }
            }
        }
    }

    #[test]
    fn a_path_that_is_faster_than_we_look_is_not_held_back() {
        let (mut path, mut window) = (Path::new(10_000.0, 0.1), SendWindow::default());
        let (used, _) = saturate(&mut path, &mut window, 64_000, 0..1_000, 100);
        assert!(used > 60.0, "{used} %");
        assert!(window.frame_len() > 65_535);
    }

    #[test]
    fn frames_are_short_where_they_would_take_long() {
        let (mut path, mut window) = (Path::new(100.0, 5.0), SendWindow::default());
        saturate(&mut path, &mut window, 3_000, 0..3_000, 0);
        assert!((11_000..15_000).contains(&window.frame_len()), "{}", window.frame_len());
        assert_eq!(window.frame_len() % 1_448, 0, "no short segment at the end");
    }

    #[test]
    fn a_slow_path_is_known_for_slow_by_the_queue_that_its_first_frames_make() {
        let (mut path, mut window) = (Path::new(10.0, 0.3), SendWindow::default());
        saturate(&mut path, &mut window, 200, 0..100, 0);
        assert!(window.frame_len() < 9_000, "{}", window.frame_len());
    }

    #[test]
    fn our_own_frames_are_no_longer_way() {
        // Frames of 9,000 bytes, which take 7 ms each, as long as a drain that ends with one of them under way.
        let (mut path, mut window) = (Path::new(10.0, 0.3), SendWindow::default());
        let (used, _) = saturate(&mut path, &mut window, 8_688, 0..60_000, 1_000);
        assert!(used > 92.0, "{used} %");
        assert!(window.size() < 8_500, "{} bytes, {:?}", window.size(), window.base);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_path_is_kept_busy(mbps in 2.0f64..400.0, round_trip_ms in 0.1f64..150.0, frame in 200usize..3_000) {
            let (mut path, mut window) = (Path::new(mbps, round_trip_ms), SendWindow::default());
            let (used, delay) = saturate(&mut path, &mut window, frame, 0..30_000, 12_000);
            prop_assert!(used > 85.0, "{} %", used);
            prop_assert!(delay < 14.0 + 0.9 * round_trip_ms + (FLOOR + frame) as f64 / path.bytes_per_ms, "{} ms", delay);
        }

        #[test]
        fn nothing_that_a_transport_says_breaks_it(
            said in prop::collection::vec((any::<u64>(), any::<u32>(), 0u64..1 << 40, 0u64..50_000), 1..60),
        ) {
            let (mut window, mut now) = (SendWindow::default(), Instant::ZERO);
            for (acked, outstanding, micros, later) in said {
                now = now + Duration::from_micros(later);
                let sample = PathSample {
                    acked, outstanding: outstanding as usize, round_trip: Duration::from_micros(micros), segment: outstanding as usize % 3_000,
                };
                window.handle_sample(sample, now);
                prop_assert!(window.size() >= FLOOR && window.look_again_at(now) > now);
                prop_assert!(window.rate.values.len() <= MAX_VALUES);
                window.handle_written(window.room());
            }
        }
    }
}
