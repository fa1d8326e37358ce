//! A table by key that many peerings fill and none can take over.
//!
//! When it is full, the peering with the most entries loses its oldest. So a peering that floods the table displaces
//! its own entries and nobody else's, and one that stays below an equal share never loses any. Walking is in the order
//! of keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use super::Port;
use crate::keys::PublicKey;

/// A bounded map from keys to values of fixed size, each charged to a peering.
#[derive(Debug)]
pub(super) struct FairTable<V> {
    entries: BTreeMap<PublicKey, Entry<V>>,
    /// The entries of each peering, oldest first. A refreshed entry becomes the youngest.
    by_age: BTreeMap<(Port, u64), PublicKey>,
    shares: Shares,
    next_stamp: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    owner: Port,
    stamp: u64,
}

/// How many entries each peering has. Peerings without any are not in it, so that nothing here costs more where there
/// could be thousands of them.
#[derive(Debug, Default)]
struct Shares {
    counts: BTreeMap<Port, u32>,
    /// The same by size: in a full table every newcomer asks who has the most.
    by_size: BTreeSet<(u32, Reverse<Port>)>,
}

impl Shares {
    fn add(&mut self, owner: Port) {
        let count = self.counts.entry(owner).or_insert(0);
        self.by_size.remove(&(*count, Reverse(owner)));
        *count += 1;
        self.by_size.insert((*count, Reverse(owner)));
    }

    fn subtract(&mut self, owner: Port) {
        let Some(count) = self.counts.get_mut(&owner) else { return };
        self.by_size.remove(&(*count, Reverse(owner)));
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&owner);
        } else {
            self.by_size.insert((*count, Reverse(owner)));
        }
    }

    /// The peering with the most entries; `newest` if it is among them, otherwise the lowest port of several.
    fn largest(&self, newest: Port) -> Port {
        match self.by_size.last() {
            Some((most, Reverse(port))) if self.counts.get(&newest) != Some(most) => *port,
            _ => newest,
        }
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.by_size.clear();
    }
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
            shares: Shares::default(),
            next_stamp: 0,
            capacity: capacity.max(1),
        }
    }

    /// Inserts or replaces; the entry is the youngest of `owner`. Returns the key that had to go if the table was full.
    pub(super) fn insert(&mut self, key: PublicKey, owner: Port, value: V) -> Option<PublicKey> {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let before = self.entries.insert(key, Entry { value, owner, stamp });
        self.by_age.insert((owner, stamp), key);
        self.shares.add(owner);
        if let Some(before) = before {
            self.by_age.remove(&(before.owner, before.stamp));
            self.shares.subtract(before.owner);
        }
        if self.entries.len() <= self.capacity {
            return None;
        }
        let (_, displaced) = self.oldest_from(self.shares.largest(owner))?;
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
            self.shares.subtract(entry.owner);
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
    /// touches nothing but what it removes and one more entry of each peering that has any.
    pub(super) fn expire(&mut self, expired: impl Fn(&V) -> bool) {
        let mut from = Some(0);
        while let Some((owner, key)) = from.and_then(|port| self.oldest_from(port)) {
            if self.get(&key).is_some_and(&expired) {
                self.remove(&key);
                from = Some(owner);
            } else {
                from = owner.checked_add(1);
            }
        }
    }

    /// Removes entries that `keep` does not want, looking at all of them.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        let (by_age, shares) = (&mut self.by_age, &mut self.shares);
        self.entries.retain(|_, entry| {
            let kept = keep(&entry.value);
            if !kept {
                by_age.remove(&(entry.owner, entry.stamp));
                shares.subtract(entry.owner);
            }
            kept
        });
    }

    /// Charges all entries of one peering to another. They keep their age.
    pub(super) fn hand_to(&mut self, lost: Port, heir: Port) {
        let all = self.by_age.range((lost, 0)..=(lost, u64::MAX)).map(|((_, stamp), key)| (*stamp, *key));
        for (stamp, key) in all.collect::<Vec<_>>() {
            self.by_age.remove(&(lost, stamp));
            self.by_age.insert((heir, stamp), key);
            self.shares.subtract(lost);
            self.shares.add(heir);
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.owner = heir;
            }
        }
    }

    /// Changes all entries.
    pub(super) fn update(&mut self, mut change: impl FnMut(&mut V)) {
        self.entries.values_mut().for_each(|entry| change(&mut entry.value));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_age.clear();
        self.shares.clear();
    }

    /// The oldest entry of the peering `port`, or of the next higher one that has any.
    fn oldest_from(&self, port: Port) -> Option<(Port, PublicKey)> {
        self.by_age.range((port, 0)..).next().map(|((owner, _), key)| (*owner, *key))
    }

    /// Panics unless all indexes describe the same entries.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.entries.len() <= self.capacity);
        assert_eq!(self.entries.len(), self.by_age.len());
        let mut counts = BTreeMap::new();
        for (key, entry) in &self.entries {
            assert_eq!(self.by_age.get(&(entry.owner, entry.stamp)), Some(key));
            *counts.entry(entry.owner).or_insert(0) += 1;
        }
        assert_eq!(self.shares.counts, counts);
        assert_eq!(self.shares.by_size, counts.into_iter().map(|(port, count)| (count, Reverse(port))).collect());
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
    fn of_several_peerings_with_the_most_the_lowest_port_pays() {
        let mut table = FairTable::new(6);
        for (n, port) in [(1, 4_095), (2, 4_095), (3, 300), (4, 300), (5, 7)] {
            table.insert(key(n), port, ());
        }
        assert_eq!(table.insert(key(6), 9, ()), None);
        assert_eq!(table.insert(key(7), 9, ()), Some(key(6)), "the newcomer is among them");
        assert_eq!(table.insert(key(8), 7, ()), Some(key(5)));
        assert_eq!(table.insert(key(9), 8, ()), Some(key(3)));
        assert_eq!(table.insert(key(9), 4_095, ()), None, "a key that changes its peering takes no more room");
        table.assert_consistent();
    }

    #[test]
    fn expiry_gets_as_far_as_the_highest_port() {
        let mut table = FairTable::new(10);
        for (n, port) in [(1, 0), (2, 4_095), (3, Port::MAX), (4, Port::MAX)] {
            table.insert(key(n), port, n);
        }
        table.expire(|n| *n != 4);
        assert_eq!(table.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [4]);
        table.assert_consistent();
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
            operations in prop::collection::vec((0..40u8, 0..4 as Port, 0..4u8), 0..200),
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
