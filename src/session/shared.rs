//! What all sessions of a node share: keys, settings, randomness, the clock of stamps, the indexes, and the way out.

use std::collections::{BTreeMap, VecDeque};

use super::handshake::Identity;
use super::payload::Place;
use super::{SessionConfig, SessionEvent};
use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::time::{Instant, UnixClock};

/// A session's place in the table.
pub(super) type Slot = u32;

/// What every session needs besides its own state.
pub(super) struct Shared {
    pub(super) config: SessionConfig,
    pub(super) identity: Identity,
    pub(super) rng: Rng,
    pub(super) stamps: Stamps,
    pub(super) indexes: Indexes,
    pub(super) own: OwnPlace,
    pub(super) out: Out,
}

/// Where we are, and the stamp of the last change: zero as long as nobody told us.
#[derive(Debug, Default)]
pub(super) struct OwnPlace {
    pub(super) place: Option<Place>,
    pub(super) changed: u64,
}

/// Messages to originate and events, in their order. The caller drains both after every call; what one call can add is bounded.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) messages: VecDeque<(PublicKey, PacketBuf)>,
    pub(super) events: VecDeque<SessionEvent>,
}

impl Out {
    pub(super) fn send(&mut self, to: &PublicKey, message: PacketBuf) {
        self.messages.push_back((*to, message));
    }

    pub(super) fn event(&mut self, event: SessionEvent) {
        self.events.push_back(event);
    }
}

/// Strictly increasing numbers made of Unix milliseconds (48 bits) and a counter (16 bits), which carries into the former.
#[derive(Debug)]
pub(super) struct Stamps {
    clock: UnixClock,
    last: u64,
}

impl Stamps {
    pub(super) const fn new(clock: UnixClock) -> Self {
        Self { clock, last: 0 }
    }

    pub(super) fn next(&mut self, now: Instant) -> u64 {
        let by_clock = self.clock.at(now).0.min(u64::MAX >> 16) << 16;
        self.last = by_clock.max(self.last.saturating_add(1));
        self.last
    }
}

/// Which session a receiver index belongs to. Indexes are random, so that they tell nothing and a restarted node's old ones
/// are unknown to it.
#[derive(Debug, Default)]
pub(super) struct Indexes(BTreeMap<u32, Slot>);

impl Indexes {
    /// An index that nobody has, for the session in `slot`.
    pub(super) fn allocate(&mut self, slot: Slot, rng: &mut Rng) -> u32 {
        loop {
            let index = rng.u32();
            if let std::collections::btree_map::Entry::Vacant(vacant) = self.0.entry(index) {
                vacant.insert(slot);
                return index;
            }
        }
    }

    pub(super) fn find(&self, index: u32) -> Option<Slot> {
        self.0.get(&index).copied()
    }

    pub(super) fn release(&mut self, index: u32) {
        self.0.remove(&index);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, UnixMillis};

    #[test]
    fn stamps_increase_within_a_millisecond_and_follow_the_clock() {
        let mut stamps = Stamps::new(UnixClock::new(UnixMillis(1_000), Instant::ZERO));
        let first = stamps.next(Instant::ZERO);
        assert_eq!(first, 1_000 << 16);
        let burst: Vec<u64> = (0..70_000).map(|_| stamps.next(Instant::ZERO)).collect();
        assert!(burst.is_sorted_by(|a, b| a < b) && burst[0] > first);
        assert_eq!(stamps.next(Instant::ZERO + Duration::from_secs(10)), 11_000 << 16);
    }

    #[test]
    fn an_index_belongs_to_one_session_until_it_is_released() {
        let (mut indexes, mut rng) = (Indexes::default(), Rng::new([1; 32]));
        let index = indexes.allocate(3, &mut rng);
        assert_eq!(indexes.find(index), Some(3));
        indexes.release(index);
        assert_eq!((indexes.find(index), indexes.len()), (None, 0));
    }
}
