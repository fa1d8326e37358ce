//! The sliding window that lets every message in once, in any order that a network makes of it.

/// How many counters behind the highest one are remembered. Frames of one session overtake each other when their route
/// changes or queues are fair between flows: 2048 are some 20 ms at a gigabit of small packets.
pub(super) const WINDOW: u64 = 2048;
const WORDS: usize = (WINDOW / 64) as usize;

/// Which counters were seen: a ring of one bit per counter, and the highest one plus one.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow {
    seen: [u64; WORDS],
    next: u64,
}

impl ReplayWindow {
    pub(super) const fn new() -> Self {
        Self { seen: [0; WORDS], next: 0 }
    }

    /// Whether a message with this counter may still come: not seen, and not too old to tell. Asked before decrypting, since
    /// it costs nothing; **nothing is marked**, because the message may be forged.
    pub(super) fn accepts(&self, counter: u64) -> bool {
        counter >= self.next || (self.next - counter <= WINDOW && !self.is_marked(counter))
    }

    /// Marks the counter of an authentic message; `false` if it must not be accepted.
    pub(super) fn mark(&mut self, counter: u64) -> bool {
        if !self.accepts(counter) {
            return false;
        }
        if counter >= self.next {
            self.advance_beyond(counter);
        }
        self.seen[word(counter)] |= bit(counter);
        true
    }

    /// Makes `counter` the highest: the ring's places between the old and the new highest belong to new counters.
    fn advance_beyond(&mut self, counter: u64) {
        if counter - self.next >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            for skipped in self.next..counter {
                self.seen[word(skipped)] &= !bit(skipped);
            }
            self.seen[word(counter)] &= !bit(counter);
        }
        self.next = counter.saturating_add(1);
    }

    fn is_marked(&self, counter: u64) -> bool {
        self.seen[word(counter)] & bit(counter) != 0
    }
}

/// Which word of the ring holds the counter's bit.
const fn word(counter: u64) -> usize {
    ((counter % WINDOW) / 64) as usize
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The window as its definition says it, with unlimited memory.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn mark(&mut self, counter: u64) -> bool {
            let too_old = self.seen.last().is_some_and(|highest| counter + WINDOW <= *highest);
            !too_old && self.seen.insert(counter)
        }
    }

    /// Steps forwards and backwards, mostly small, some around the size of the window.
    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            6 => -40i64..40,
            2 => (WINDOW as i64 - 3)..(WINDOW as i64 + 3),
            2 => (-(WINDOW as i64) - 3)..(-(WINDOW as i64) + 3),
            1 => 0i64..10_000,
        ];
        prop::collection::vec(step, 1..300)
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(start in 0u64..5_000, steps in steps()) {
            let (mut window, mut model) = (ReplayWindow::new(), Model::default());
            let mut counter = start;
            for step in steps {
                counter = counter.saturating_add_signed(step);
                let accepts = window.accepts(counter);
                let marked = window.mark(counter);
                prop_assert_eq!(accepts, marked);
                prop_assert_eq!(marked, model.mark(counter), "counter {}", counter);
            }
        }
    }

    #[test]
    fn takes_counters_once_and_down_to_the_end_of_the_window() {
        let mut window = ReplayWindow::new();
        assert!(window.mark(WINDOW + 10));
        assert!(!window.mark(WINDOW + 10));
        assert!(window.mark(11));
        assert!(!window.mark(10));
    }

    #[test]
    fn the_highest_counters_do_not_wrap() {
        let mut window = ReplayWindow::new();
        assert!(window.mark(u64::MAX - 1));
        assert!(!window.mark(u64::MAX - 1));
        assert!(window.mark(u64::MAX - 2));
        assert!(!window.mark(0));
    }
}
