//! Containers that cannot grow without limit: whatever a peer can fill lives in one of these.

use std::collections::{BTreeMap, VecDeque};

use crate::buf::PacketBuf;
use crate::time::{Duration, Instant};

/// A map with at most `capacity` entries; a new one displaces the least recently inserted or refreshed.
///
/// Ordered by key, so that walking it is the same in every run.
#[derive(Clone, Debug)]
pub struct BoundedMap<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
    next_stamp: u64,
    capacity: usize,
}

impl<K: Ord + Clone, V> BoundedMap<K, V> {
    /// An empty map that will hold at most `capacity` entries (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), by_age: BTreeMap::new(), next_stamp: 0, capacity: capacity.max(1) }
    }

    /// Inserts or replaces, making the entry the youngest. Returns the oldest entry if it had to go.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        if let Some((old, _)) = self.entries.insert(key.clone(), (stamp, value)) {
            self.by_age.remove(&old);
        }
        self.by_age.insert(stamp, key);
        if self.entries.len() > self.capacity { self.pop_oldest() } else { None }
    }

    /// Removes and returns the least recently inserted or refreshed entry.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.by_age.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }

    /// Makes the entry the youngest, if it exists.
    pub fn refresh(&mut self, key: &K) {
        if let Some((stamp, _)) = self.entries.get_mut(key) {
            self.by_age.remove(stamp);
            *stamp = self.next_stamp;
            self.by_age.insert(self.next_stamp, key.clone());
            self.next_stamp += 1;
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (stamp, value) = self.entries.remove(key)?;
        self.by_age.remove(&stamp);
        Some(value)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let by_age = &mut self.by_age;
        self.entries.retain(|key, (stamp, value)| {
            let kept = keep(key, value);
            if !kept {
                by_age.remove(stamp);
            }
            kept
        });
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.by_age.clear();
    }
}

/// Packets waiting for something, oldest first, bounded in the memory they occupy: a new one displaces the oldest.
#[derive(Debug, Default)]
pub struct ByteQueue {
    packets: VecDeque<(Instant, PacketBuf)>,
    bytes: usize,
}

impl ByteQueue {
    /// Appends `packet`; returns how many of the oldest had to go to keep within `limit` bytes of memory.
    pub fn push(&mut self, packet: PacketBuf, limit: usize, now: Instant) -> usize {
        self.bytes += packet.footprint();
        self.packets.push_back((now, packet));
        let mut displaced = 0;
        while self.bytes > limit && self.pop().is_some() {
            displaced += 1;
        }
        displaced
    }

    /// Takes the oldest packet and the time it came.
    pub fn pop(&mut self) -> Option<(Instant, PacketBuf)> {
        let (at, packet) = self.packets.pop_front()?;
        self.bytes -= packet.footprint();
        Some((at, packet))
    }

    /// Takes the oldest packet if it came at least `age` before `now`.
    pub fn pop_older_than(&mut self, age: Duration, now: Instant) -> Option<PacketBuf> {
        let (at, _) = self.packets.front()?;
        if at.has_passed(age, now) { self.pop().map(|(_, packet)| packet) } else { None }
    }

    /// When the oldest packet came.
    pub fn oldest(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _)| *at)
    }

    /// Memory occupied, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

/// A budget that refills with time: `rate` per second, up to `burst` saved.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Micro-tokens: 1 token = 1 000 000, so that refilling needs no fraction.
    level: u64,
    rate: u32,
    burst: u32,
    filled_at: Instant,
}

impl TokenBucket {
    const UNIT: u64 = 1_000_000;

    /// A full bucket.
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { level: u64::from(burst) * Self::UNIT, rate, burst, filled_at: now }
    }

    /// Takes `count` tokens if that many are there; otherwise takes none and says so.
    pub fn take(&mut self, count: u32, now: Instant) -> bool {
        let elapsed = u64::try_from(now.saturating_since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        self.filled_at = self.filled_at.max(now);
        let refill = elapsed.saturating_mul(u64::from(self.rate));
        self.level = self.level.saturating_add(refill).min(u64::from(self.burst) * Self::UNIT);
        let cost = u64::from(count) * Self::UNIT;
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

    #[test]
    fn a_full_map_drops_its_least_recently_refreshed_entry() {
        let mut map = BoundedMap::new(2);
        map.insert("a", 1);
        map.insert("b", 2);
        map.refresh(&"a");
        assert_eq!(map.insert("c", 3), Some(("b", 2)));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a", &1), (&"c", &3)]);
    }

    #[test]
    fn retain_and_remove_leave_no_trace_in_the_age_order() {
        let mut map = BoundedMap::new(3);
        for key in 0..3 {
            map.insert(key, key);
        }
        map.retain(|key, _| *key != 0);
        map.remove(&1);
        assert_eq!((map.len(), map.by_age.len()), (1, 1));
        assert_eq!(map.pop_oldest(), Some((2, 2)));
    }

    #[test]
    fn a_byte_queue_counts_memory_and_drops_the_oldest() {
        let mut queue = ByteQueue::default();
        let packet = || PacketBuf::from(&[0; 100][..]);
        let limit = 3 * packet().footprint();
        let displaced: usize = (0..5).map(|n| queue.push(packet(), limit, Instant::from_micros(n))).sum();
        assert_eq!((displaced, queue.len(), queue.oldest()), (2, 3, Some(Instant::from_micros(2))));
        assert_eq!(queue.push(PacketBuf::with_capacity(60_000), limit, Instant::ZERO), 4);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_bucket_refills_at_its_rate_and_not_beyond_its_burst() {
        let mut bucket = TokenBucket::new(10, 5, Instant::ZERO);
        assert!(bucket.take(5, Instant::ZERO));
        assert!(!bucket.take(1, Instant::ZERO));
        assert!(bucket.take(1, Instant::from_micros(100_000)));
        assert!(!bucket.take(6, Instant::from_micros(u64::MAX)));
        assert!(bucket.take(5, Instant::from_micros(u64::MAX)));
    }
}
