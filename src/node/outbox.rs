//! The traffic frames that wait to cross one peering: fair between flows and short in time. (Protocol frames go before them; those wait in
//! the router, where a newer announcement still replaces an older one.)
//!
//! Fair queueing with CoDel per flow (RFC 8290, RFC 8289). Each flow has its own queue; queues take turns by deficit round robin, and
//! a flow that sends little (a ping, a handshake, a TCP acknowledgement) goes before those that keep a queue, as long as it has sent less than
//! one turn's worth since its last turn. A queue whose
//! frames have waited longer than `TARGET` for a whole `INTERVAL` loses frames at its head until the delay is gone, which is what
//! makes TCP slow down before the queue is long. Memory is bounded: beyond [`Outbox::limit`] the fattest flow loses its oldest frames, so a
//! flood harms itself.
//!
//! A relay sees flows as (source key, destination key); our own packets come with the flow of the packet inside, so that a download
//! and a ping between the same two nodes are two flows here.

use std::collections::{BTreeMap, VecDeque};

use crate::bounded::ByteQueue;
use crate::buf::PacketBuf;
use crate::time::{Duration, Instant};

pub use crate::node::flow::Flow;

/// Queueing delay that is tolerated for ever (RFC 8289 §4.3 suggests 5 % of the interval).
const TARGET: Duration = Duration::from_millis(5);
/// How long the delay may stay above the target before frames are dropped: a typical round-trip time.
const INTERVAL: Duration = Duration::from_millis(100);
/// Memory of all traffic frames that wait for a peering: 120 frames of the largest size, or 4,000 ordinary ones.
const BYTE_LIMIT: usize = 8 << 20;
/// The same for all peerings of a node together. From 256 on each has less: of 4,095, 250 ordinary frames.
const NODE_BYTE_LIMIT: usize = 2 << 30;
/// Flows with a queue of their own at each peering. While there are so many, others share a few queues: a flood of flows costs each of its own
/// the most. (With a fixed number of queues for all, one ping in sixty would always wait behind one of four downloads.)
const MAX_FLOWS: usize = 512;
const SHARED: u64 = 64;
/// Frames that the fattest flow loses at a time at most, so that whoever has many flows does not have them walked for each frame (RFC 8290 §4.1
/// does the same).
const DROPPED_AT_ONCE: usize = 16;
/// Frames of a flow that may wait for ever: with fewer TCP loses all it has under way and has to wait for its timer. Not if they are long.
const ALWAYS_KEPT: usize = 2;
const LONG: usize = 9_500;
/// Bytes that a flow may send per turn: two Ethernet frames. Whoever sends longer frames than that waits for several turns after each, so a
/// ping waits for one frame of each other flow at the most, and for a short one where frames are kept short.
const QUANTUM: i64 = 3_000;

/// The queues of one peering.
#[derive(Debug, Default)]
pub struct Outbox {
    /// A flow is here exactly while it is in one of the two lists, or in both.
    flows: BTreeMap<u64, FlowQueue>,
    /// Flows that go first, then those that wait for their turn (RFC 8290 §4.1).
    fresh: VecDeque<u64>,
    steady: VecDeque<u64>,
    bytes: usize,
    /// How long the last frame that was taken had waited.
    last_wait: Duration,
}

#[derive(Debug, Default)]
struct FlowQueue {
    frames: ByteQueue,
    /// What it may still send before its next turn, in bytes.
    deficit: i64,
    /// In which lists it is.
    is_fresh: bool,
    is_steady: bool,
    codel: Codel,
}

impl Outbox {
    /// What may wait at each of so many peerings, in bytes of memory.
    pub fn limit(peerings: usize) -> usize {
        BYTE_LIMIT.min(NODE_BYTE_LIMIT / peerings.max(1))
    }

    /// Queues a traffic frame of `flow`; returns how many frames had to go to keep within `limit` bytes.
    pub fn push(&mut self, frame: PacketBuf, flow: Flow, limit: usize, now: Instant) -> usize {
        let bucket = self.bucket(flow);
        let queue = self.flows.entry(bucket).or_insert_with(|| FlowQueue { deficit: QUANTUM, ..FlowQueue::default() });
        self.bytes += frame.footprint();
        // What is longer than a turn waits for one, or the beginnings of a few downloads would go before everything else.
        let sparse = queue.frames.is_empty() && queue.deficit > 0 && frame.len() as i64 <= QUANTUM;
        if sparse && !queue.is_fresh {
            queue.is_fresh = true;
            self.fresh.push_back(bucket);
        } else if !queue.is_fresh && !queue.is_steady {
            queue.is_steady = true;
            self.steady.push_back(bucket);
        }
        queue.frames.push(frame, usize::MAX, now);
        let mut dropped = 0;
        if self.bytes > limit {
            // A little more than has to be, so that a sender with many short flows does not have them walked for each frame.
            let low = limit - limit / 32;
            while self.bytes > low {
                match self.drop_from_fattest() {
                    0 => break,
                    some => dropped += some,
                }
            }
        }
        dropped
    }

    /// The next frame to send, and how many were dropped for having waited too long.
    pub fn pop(&mut self, now: Instant) -> (Option<PacketBuf>, usize) {
        let mut dropped = 0;
        while let Some((bucket, fresh)) = self.turn() {
            let alone = self.flows.len() == 1;
            let Some(queue) = self.flows.get_mut(&bucket) else {
                self.end_turn(fresh);
                continue;
            };
            if queue.deficit <= 0 {
                self.wait_for_turn(bucket, fresh, alone);
                continue;
            }
            let before = queue.frames.bytes();
            let (frame, late) = queue.codel.pop(&mut queue.frames, now);
            self.last_wait = queue.codel.waited;
            self.bytes -= before - queue.frames.bytes();
            dropped += late;
            let Some(frame) = frame else {
                self.retire(bucket, fresh);
                continue;
            };
            queue.deficit -= frame.len() as i64;
            return (Some(frame), dropped);
        }
        (None, dropped)
    }

    /// How long the frame that [`Outbox::pop`] gave last had waited.
    pub fn last_wait(&self) -> Duration {
        self.last_wait
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Memory of all that waits, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of frames that wait.
    pub fn len(&self) -> usize {
        self.flows.values().map(|queue| queue.frames.len()).sum::<usize>()
    }

    /// Whose turn it is, and whether it is a fresh flow's.
    fn turn(&self) -> Option<(u64, bool)> {
        let fresh = self.fresh.front().map(|bucket| (*bucket, true));
        fresh.or_else(|| self.steady.front().map(|bucket| (*bucket, false)))
    }

    fn end_turn(&mut self, fresh: bool) {
        let list = if fresh { &mut self.fresh } else { &mut self.steady };
        list.pop_front();
    }

    /// A flow that has sent what it may gets as much again at its next turn, which is that of everybody once around.
    fn wait_for_turn(&mut self, bucket: u64, fresh: bool, alone: bool) {
        self.end_turn(fresh);
        let Some(queue) = self.flows.get_mut(&bucket) else { return };
        if fresh {
            queue.is_fresh = false;
            if queue.is_steady {
                return;
            }
        }
        // Alone there is nobody to wait for.
        queue.deficit = if alone { QUANTUM } else { queue.deficit + QUANTUM };
        queue.is_steady = true;
        self.steady.push_back(bucket);
    }

    /// An empty queue leaves when its turn comes. Not before, if there are others, or a flow could always go first by sending one frame
    /// at a time (RFC 8290 §4.2); until then it goes first while something is left of its last turn.
    fn retire(&mut self, bucket: u64, fresh: bool) {
        self.end_turn(fresh);
        let Some(queue) = self.flows.get_mut(&bucket) else { return };
        if fresh && (queue.is_steady || !self.steady.is_empty()) {
            queue.is_fresh = false;
            if !std::mem::replace(&mut queue.is_steady, true) {
                self.steady.push_back(bucket);
            }
        } else {
            self.flows.remove(&bucket);
        }
    }

    /// The queue of a flow: its own, if it has one or there is room for one.
    fn bucket(&self, flow: Flow) -> u64 {
        if self.flows.len() < MAX_FLOWS || self.flows.contains_key(&flow) { flow } else { u64::MAX - flow % SHARED }
    }

    /// Drops the oldest frames of whoever has the most, up to half of it; at least one, if there is any.
    fn drop_from_fattest(&mut self) -> usize {
        let Some(fattest) = self.flows.values_mut().max_by_key(|queue| queue.frames.bytes()) else { return 0 };
        let (before, mut dropped) = (fattest.frames.bytes(), 0);
        while dropped < DROPPED_AT_ONCE && (dropped == 0 || fattest.frames.bytes() > before / 2) {
            if fattest.frames.pop().is_none() {
                break;
            }
            dropped += 1;
        }
        self.bytes -= before - fattest.frames.bytes();
        dropped
    }
}

/// Controlled delay of one queue (RFC 8289 §5).
#[derive(Debug, Default)]
struct Codel {
    /// When the delay will have been above the target for an interval.
    above_until: Option<Instant>,
    /// The next drop, while dropping.
    drop_at: Option<Instant>,
    drops: u32,
    /// How long the last frame that was taken had waited.
    waited: Duration,
}

impl Codel {
    /// Takes the next frame that is not late, and says how many were dropped before it.
    fn pop(&mut self, frames: &mut ByteQueue, now: Instant) -> (Option<PacketBuf>, usize) {
        let mut dropped = 0;
        loop {
            let Some((queued_at, frame)) = frames.pop() else {
                self.above_until = None;
                self.drop_at = None;
                return (None, dropped);
            };
            let kept = if frame.len() < LONG { ALWAYS_KEPT } else { 0 };
            self.waited = now.saturating_since(queued_at);
            if !self.must_drop(queued_at, frames.len() <= kept, now) {
                return (Some(frame), dropped);
            }
            dropped += 1;
        }
    }

    fn must_drop(&mut self, queued_at: Instant, last: bool, now: Instant) -> bool {
        // The last frames are never dropped: a queue of one is no standing queue.
        if last || now.saturating_since(queued_at) < TARGET {
            self.above_until = None;
            self.drop_at = None;
            return false;
        }
        let Some(above_until) = self.above_until else {
            self.above_until = Some(now + INTERVAL);
            return false;
        };
        match self.drop_at {
            Some(at) if now >= at => {
                self.drops += 1;
                self.drop_at = Some(at + self.spacing());
                true
            }
            Some(_) => false,
            None if now >= above_until => {
                // Soon after the last episode: begin near its drop rate (RFC 8289 §4.2).
                self.drops = self.drops.saturating_sub(2).max(1);
                self.drop_at = Some(now + self.spacing());
                true
            }
            None => false,
        }
    }

    /// Interval / √drops: the control law.
    fn spacing(&self) -> Duration {
        INTERVAL.div_f64(f64::from(self.drops.max(1)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(len: usize, mark: u8) -> PacketBuf {
        PacketBuf::from(&vec![mark; len][..])
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_ping_overtakes_a_download() {
        let mut outbox = Outbox::default();
        for _ in 0..50 {
            outbox.push(frame(60_000, 1), 1, BYTE_LIMIT, Instant::ZERO);
        }
        // The download is established in its turn before the ping comes.
        for _ in 0..3 {
            outbox.pop(Instant::ZERO);
        }
        outbox.push(frame(100, 2), 2, BYTE_LIMIT, Instant::ZERO);
        assert_eq!(outbox.pop(Instant::ZERO).0.map(|frame| frame[0]), Some(2));
    }

    #[test]
    fn who_sends_little_goes_first_every_time_and_who_sends_more_than_a_turn_does_not() {
        for (len, overtakes) in [(200, true), (1_600, false)] {
            let mut outbox = Outbox::default();
            for n in 0..400 {
                outbox.push(frame(30_000, 1), 1 + n % 4, usize::MAX, Instant::ZERO);
            }
            let mut waited = 0;
            for _ in 0..12 {
                outbox.push(frame(len, 2), 9, usize::MAX, Instant::ZERO);
                while outbox.pop(Instant::ZERO).0.unwrap()[0] == 1 {
                    waited += 1;
                }
                // A ping every 30,000 bytes, while a turn of all four is ten times that.
                outbox.pop(Instant::ZERO);
            }
            assert_eq!(waited == 0, overtakes, "{len}: {waited}");
        }
    }

    #[test]
    fn the_beginnings_of_downloads_do_not_go_first() {
        let mut outbox = Outbox::default();
        for flow in 1..5 {
            outbox.push(frame(30_000, 1), flow, BYTE_LIMIT, Instant::ZERO);
        }
        outbox.push(frame(200, 2), 9, BYTE_LIMIT, Instant::ZERO);
        assert_eq!(outbox.pop(Instant::ZERO).0.map(|frame| frame[0]), Some(2));
    }

    #[test]
    fn two_bulk_flows_share_by_bytes() {
        let mut outbox = Outbox::default();
        for _ in 0..40 {
            outbox.push(frame(60_000, 1), 1, BYTE_LIMIT, Instant::ZERO);
        }
        for _ in 0..1600 {
            outbox.push(frame(1_500, 2), 2, BYTE_LIMIT, Instant::ZERO);
        }
        let mut bytes = [0usize; 3];
        for _ in 0..400 {
            let sent = outbox.pop(Instant::ZERO).0.unwrap();
            bytes[usize::from(sent[0])] += sent.len();
        }
        let ratio = bytes[1] as f64 / bytes[2] as f64;
        assert!((0.7..1.4).contains(&ratio), "{bytes:?}");
    }

    #[test]
    fn a_flood_displaces_its_own_frames_only() {
        let mut outbox = Outbox::default();
        outbox.push(frame(100, 2), 2, BYTE_LIMIT, Instant::ZERO);
        let dropped: usize = (0..300).map(|_| outbox.push(frame(60_000, 1), 1, BYTE_LIMIT, Instant::ZERO)).sum();
        assert!(dropped > 100 && outbox.bytes() <= BYTE_LIMIT);
        let marks: Vec<u8> = std::iter::from_fn(|| outbox.pop(Instant::ZERO).0.map(|frame| frame[0])).collect();
        assert_eq!(marks.iter().filter(|mark| **mark == 2).count(), 1);
    }

    #[test]
    fn a_flood_of_flows_is_bounded_and_takes_nothing_from_the_flows_before_it() {
        let mut outbox = Outbox::default();
        outbox.push(frame(100, 2), 7, BYTE_LIMIT, Instant::ZERO);
        let dropped: usize = (0..40_000u64)
            .map(|flow| outbox.push(frame(400, 1), flow.wrapping_mul(0x9e37_79b9_7f4a_7c15), BYTE_LIMIT, Instant::ZERO))
            .sum();
        assert!(dropped > 1_000 && outbox.bytes() <= BYTE_LIMIT);
        assert!(outbox.flows.len() <= MAX_FLOWS + SHARED as usize);
        assert_eq!(outbox.pop(Instant::ZERO).0.map(|frame| frame[0]), Some(2));
    }

    #[test]
    fn the_queues_of_thousands_of_peerings_are_bounded_together_and_hold_a_few_large_frames_each() {
        for peerings in [0, 1, 253, usize::from(crate::router::MAX_PORT)] {
            let limit = Outbox::limit(peerings);
            assert!(limit <= BYTE_LIMIT && limit * peerings <= NODE_BYTE_LIMIT && limit > 4 * 65_535);
        }
    }

    #[test]
    fn a_standing_queue_is_thinned_and_a_short_burst_is_not() {
        // Arrivals 1 ms apart, one frame leaves every 2 ms: the queue grows.
        let mut outbox = Outbox::default();
        let (mut dropped, mut sent) = (0, 0);
        for ms in 0..4_000 {
            outbox.push(frame(1_000, 1), 1, BYTE_LIMIT, at_ms(ms));
            if ms % 2 == 0 {
                let (frame, late) = outbox.pop(at_ms(ms));
                sent += usize::from(frame.is_some());
                dropped += late;
            }
        }
        assert!(dropped > 50 && sent > 1_500, "dropped {dropped}, sent {sent}");

        let mut outbox = Outbox::default();
        for _ in 0..30 {
            outbox.push(frame(1_000, 1), 1, BYTE_LIMIT, Instant::ZERO);
        }
        let burst: usize = (0..30).map(|ms| outbox.pop(at_ms(ms)).1).sum();
        assert_eq!(burst, 0);
    }

    #[test]
    fn two_short_frames_may_wait_for_ever() {
        // TCP's least: as one leaves the next one comes, and there are always two.
        let mut outbox = Outbox::default();
        for ms in 0..1_000 {
            outbox.push(frame(1_500, 1), 1, BYTE_LIMIT, at_ms(10 * ms));
            if ms >= 2 {
                let (sent, late) = outbox.pop(at_ms(10 * ms));
                assert!(sent.is_some() && late == 0, "{ms}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_bulk_flow_never_starves_a_ping(
            lens in prop::collection::vec(100usize..65_000, 1..8), every in 1usize..20, seed in any::<u64>(),
        ) {
            // Flows that always have more, and one that sends a small frame now and then. What leaves before such a frame is at most
            // one frame of each other flow, and what a turn lets it send besides.
            let mut outbox = Outbox::default();
            let flows = lens.len();
            let allowed: usize = lens.iter().map(|len| len + 2 * QUANTUM as usize).sum();
            let mut waited = None;
            for n in 0..2_000usize {
                for (flow, len) in lens.iter().enumerate() {
                    while outbox.flows.get(&(flow as u64)).is_none_or(|queue| queue.frames.len() < 3) {
                        outbox.push(frame(*len, 1), flow as u64, usize::MAX, Instant::ZERO);
                    }
                }
                if waited.is_none() && (n as u64 ^ seed).is_multiple_of(every as u64) {
                    outbox.push(frame(80, 2), flows as u64, usize::MAX, Instant::ZERO);
                    waited = Some(0);
                }
                let sent = outbox.pop(Instant::ZERO).0.unwrap();
                match &mut waited {
                    Some(_) if sent[0] == 2 => waited = None,
                    Some(bytes) => {
                        *bytes += sent.len();
                        prop_assert!(*bytes <= allowed, "{} bytes before it, allowed {}", bytes, allowed);
                    }
                    None => {}
                }
            }
        }

        #[test]
        fn what_goes_in_comes_out_once_or_is_counted(ops in prop::collection::vec((0u64..4, 1usize..3_000, any::<bool>()), 1..400)) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut popped, mut dropped) = (0, 0, 0);
            for (n, (flow, len, pop)) in ops.into_iter().enumerate() {
                let now = at_ms(n as u64);
                dropped += outbox.push(frame(len, 0), flow, BYTE_LIMIT, now);
                pushed += 1;
                if pop {
                    let (frame, late) = outbox.pop(now);
                    popped += usize::from(frame.is_some());
                    dropped += late;
                }
                prop_assert_eq!(outbox.len(), pushed - popped - dropped);
                prop_assert!(outbox.bytes() <= BYTE_LIMIT);
            }
            loop {
                let (frame, late) = outbox.pop(at_ms(10_000));
                dropped += late;
                let Some(_) = frame else { break };
                popped += 1;
            }
            prop_assert_eq!(pushed, popped + dropped);
            prop_assert!(outbox.is_empty() && outbox.bytes() == 0 && outbox.flows.len() <= 4);
        }
    }
}
