//! What the node counts beyond drops: traffic by how it was routed, time in queues, changes of its place.
//!
//! Counters only ever grow, also when peerings end, so that rates can be computed from them. They are plain numbers that one
//! thread owns; counting a frame costs an addition or two.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// How a traffic frame left this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// By the destination's coordinates.
    Tree,
    /// By the destination's key.
    Snake,
    /// By a route that it carries.
    Route,
}

impl Stage {
    /// All stages, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Tree, Self::Snake, Self::Route];

    /// The label of the counter.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Snake => "snake",
            Self::Route => "route",
        }
    }
}

/// Traffic frames and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flowed {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// Flows by stage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByStage([Flowed; Stage::ALL.len()]);

impl ByStage {
    pub(super) fn count(&mut self, stage: Stage, len: usize) {
        let flowed = &mut self.0[stage as usize];
        flowed.frames += 1;
        flowed.bytes += len as u64;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Stage, Flowed)> {
        Stage::ALL.into_iter().zip(self.0)
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// Frames that this node made.
    pub(super) originated: ByStage,
    /// Frames that it forwarded for others.
    pub(super) forwarded: ByStage,
    /// Bytes of frames over all peerings there have been.
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) peerings_up: u64,
    pub(super) peerings_down: u64,
    pub(super) sessions_up: u64,
    pub(super) sessions_down: u64,
    pub(super) root_changes: u64,
    pub(super) coordinate_changes: u64,
    pub(super) queue_delay: Delays,
}

/// Upper bounds of the buckets of [`Delays`], in microseconds: powers of four from 64 µs to 4.2 s.
pub const DELAY_BOUNDS: [u64; 9] = [64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

/// A histogram of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delays {
    /// Spans in each bucket, not summed up: up to each of [`DELAY_BOUNDS`], and beyond.
    pub buckets: [u64; DELAY_BOUNDS.len() + 1],
    /// Sum of all spans, in microseconds.
    pub sum_micros: u64,
}

impl Delays {
    /// Takes in a span.
    pub fn note(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros = self.sum_micros.saturating_add(micros);
        // Bits beyond 64 µs, two per bucket.
        let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
        let bucket = bits.saturating_sub(6).div_ceil(2) as usize;
        self.buckets[bucket.min(DELAY_BOUNDS.len())] += 1;
    }

    /// How many spans there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_span_is_in_the_first_bucket_whose_bound_it_does_not_exceed(micros in prop_oneof![0u64..5_000, 0u64..10_000_000, Just(u64::MAX)]) {
            let mut delays = Delays::default();
            delays.note(Duration::from_micros(micros));
            let expected = DELAY_BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(DELAY_BOUNDS.len());
            prop_assert_eq!(delays.buckets[expected], 1);
            prop_assert_eq!((delays.count(), delays.sum_micros), (1, micros));
        }
    }

    #[test]
    fn bounds_themselves_belong_to_their_bucket() {
        for (index, bound) in DELAY_BOUNDS.into_iter().enumerate() {
            let mut delays = Delays::default();
            delays.note(Duration::from_micros(bound));
            delays.note(Duration::from_micros(bound + 1));
            assert_eq!((delays.buckets[index], delays.buckets[index + 1]), (1, 1), "{bound}");
        }
    }
}
