//! A table by key that many peerings fill and none can take over.
//!
//! When it is full, the peering with the most entries loses its oldest. So a peering that floods the table displaces
//! its own entries and nobody else's, and one that stays below an equal share never loses any. Walking is in the order
//! of keys.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use super::Port;
use crate::keys::PublicKey;

/// A bounded map from keys to values of fixed size, each charged to a peering.
#[derive(Debug)]
pub(super) struct FairTable<V> {
    entries: BTreeMap<PublicKey, Entry<V>>,
    /// The entries of each peering, oldest first. A refreshed entry becomes the youngest.
    by_age: BTreeMap<(Port, u64), PublicKey>,
    /// Entries by port.
    counts: [u32; 256],
    next_stamp: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    owner: Port,
    stamp: u64,
}

impl<V> FairTable<V> {
    /// Bytes of an entry in both indexes.
    pub(super) const ENTRY_LEN: usize =
        size_of::<PublicKey>() + size_of::<Entry<V>>() + size_of::<(Port, u64)>() + size_of::<PublicKey>();

    /// An empty table for at most `capacity` entries (at least one).
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
            counts: [0; 256],
            next_stamp: 0,
            capacity: capacity.max(1),
        }
    }

    /// Inserts or replaces; the entry is the youngest of `owner`. Returns the key that had to go if the table was full.
    pub(super) fn insert(&mut self, key: PublicKey, owner: Port, value: V) -> Option<PublicKey> {
        self.remove(&key);
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        self.entries.insert(key, Entry { value, owner, stamp });
        self.by_age.insert((owner, stamp), key);
        self.counts[usize::from(owner)] += 1;
        if self.entries.len() <= self.capacity {
            return None;
        }
        let displaced = self.oldest_of(self.largest_owner(owner))?;
        self.remove(&displaced);
        Some(displaced)
    }

    pub(super) fn get(&self, key: &PublicKey) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of `key`, to be changed; its age stays what it is.
    pub(super) fn get_mut(&mut self, key: &PublicKey) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    pub(super) fn remove(&mut self, key: &PublicKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_age.remove(&(entry.owner, entry.stamp));
            self.counts[usize::from(entry.owner)] -= 1;
        }
    }

    /// The entries in a range of keys, lowest first.
    pub(super) fn range(&self, keys: impl RangeBounds<PublicKey>) -> impl DoubleEndedIterator<Item = (&PublicKey, &V)> {
        self.entries.range(keys).map(|(key, entry)| (key, &entry.value))
    }

    /// All entries, lowest key first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PublicKey, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// Removes entries that `expired` says so of, oldest first. Entries expire in the order of their age, so this
    /// touches nothing but what it removes.
    pub(super) fn expire(&mut self, expired: impl Fn(&V) -> bool) {
        for owner in 0..=u8::MAX {
            while let Some(key) = self.oldest_of(owner) {
                if !self.get(&key).is_some_and(&expired) {
                    break;
                }
                self.remove(&key);
            }
        }
    }

    /// Removes entries that `keep` does not want, looking at all of them.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        let (by_age, counts) = (&mut self.by_age, &mut self.counts);
        self.entries.retain(|_, entry| {
            let kept = keep(&entry.value);
            if !kept {
                by_age.remove(&(entry.owner, entry.stamp));
                counts[usize::from(entry.owner)] -= 1;
            }
            kept
        });
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_age.clear();
        self.counts = [0; 256];
    }

    fn oldest_of(&self, owner: Port) -> Option<PublicKey> {
        if self.counts[usize::from(owner)] == 0 {
            return None;
        }
        self.by_age.range((owner, 0)..).next().map(|(_, key)| *key)
    }

    /// The peering with the most entries; `newest` if it is among them.
    fn largest_owner(&self, newest: Port) -> Port {
        (0..=u8::MAX).fold(newest, |largest, port| {
            if self.counts[usize::from(port)] > self.counts[usize::from(largest)] { port } else { largest }
        })
    }

    /// Panics unless all indexes describe the same entries.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.entries.len() <= self.capacity);
        assert_eq!(self.entries.len(), self.by_age.len());
        for (key, entry) in &self.entries {
            assert_eq!(self.by_age.get(&(entry.owner, entry.stamp)), Some(key));
        }
        for port in 0..=u8::MAX {
            let owned = self.entries.values().filter(|entry| entry.owner == port).count();
            assert_eq!(self.counts[usize::from(port)] as usize, owned);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    #[test]
    fn a_flooding_peering_displaces_only_its_own_entries() {
        let mut table = FairTable::new(4);
        table.insert(key(1), 1, ());
        table.insert(key(2), 2, ());
        for n in 10..100 {
            table.insert(key(n), 3, ());
        }
        let keys: Vec<_> = table.iter().map(|(key, ())| *key).collect();
        assert_eq!(keys, [key(1), key(2), key(98), key(99)]);
        table.assert_consistent();
    }

    #[test]
    fn a_late_peering_takes_from_the_one_with_the_most() {
        let mut table = FairTable::new(3);
        for n in 1..=3 {
            table.insert(key(n), 1, ());
        }
        assert_eq!(table.insert(key(9), 2, ()), Some(key(1)));
        assert_eq!(table.insert(key(8), 2, ()), Some(key(9)), "with equal shares the newcomer pays for itself");
    }

    #[test]
    fn a_refreshed_entry_is_the_youngest() {
        let mut table = FairTable::new(2);
        table.insert(key(1), 1, 'a');
        table.insert(key(2), 1, 'b');
        table.insert(key(1), 1, 'c');
        assert_eq!(table.insert(key(3), 1, 'd'), Some(key(2)));
        assert_eq!(table.get(&key(1)), Some(&'c'));
    }

    #[test]
    fn expiry_takes_old_entries_of_every_peering_and_leaves_young_ones() {
        let mut table = FairTable::new(10);
        for (n, port) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
            table.insert(key(n), port, n);
        }
        table.expire(|n| *n <= 2);
        assert_eq!(table.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 4]);
        table.assert_consistent();
    }

    proptest! {
        #[test]
        fn indexes_agree_after_any_sequence_of_operations(
            operations in prop::collection::vec((0..40u8, 0..4u8, 0..4u8), 0..200),
        ) {
            let mut table = FairTable::new(12);
            for (n, port, what) in operations {
                match what {
                    0 => table.remove(&key(n)),
                    1 => table.retain(|owner| *owner != port),
                    _ => { table.insert(key(n), port, port); }
                }
                table.assert_consistent();
            }
        }
    }
}
