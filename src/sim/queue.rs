//! What is going to happen: events in the order of their time, and those of the same time in the order in which they were scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// A queue of events.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    order: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), scheduled: 0 }
    }

    pub(super) fn push(&mut self, at: Instant, event: E) {
        self.heap.push(Entry { at, order: self.scheduled, event });
        self.scheduled += 1;
    }

    /// When the next event happens.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<E> Entry<E> {
    const fn rank(&self) -> (Instant, u64) {
        (self.at, self.order)
    }
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: `BinaryHeap` hands out the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_scheduling() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            queue.push(Instant::from_micros(at), name);
        }
        assert_eq!(queue.next_at(), Some(Instant::from_micros(1)));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }
}
