//! How long frames should be where datagrams get lost.
//!
//! A frame in *n* datagrams is lost if one of them is: with 1 % lost, every second frame of 64 KiB, and two of a hundred that fit two datagrams. Long frames save work where
//! nothing gets lost; so their length follows what does.

/// What part of the frames may be lost because of their length, as a fraction.
const TOLERATED: f64 = 0.02;
/// Datagrams over which a loss is measured, and how much of the new measurement counts.
const MEASURED_OVER: u64 = 500;
const GAIN: f64 = 0.3;
/// Fewest datagrams of a frame: in one there is no room for the shortest packet that every host may send (1,280 bytes) and its headers, on most paths.
const FEWEST: f64 = 2.0;
/// What a frame has beside the packet in it: headers, keys, coordinates, authentication.
const OVERHEAD: usize = 200;

/// Measures the loss of one path.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossMeter {
    sent: u64,
    lost: u64,
    /// The part of the datagrams that got lost of late.
    loss: f64,
}

impl LossMeter {
    /// So many datagrams were sent and so many of them lost, since the path was new. Smaller numbers than before mean that it is another path.
    pub fn handle_counts(&mut self, sent: u64, lost: u64) {
        if sent < self.sent || lost < self.lost {
            *self = Self { sent, lost, loss: 0.0 };
            return;
        }
        let span = sent - self.sent;
        if span >= MEASURED_OVER {
            let loss = ((lost - self.lost) as f64 / span as f64).min(1.0);
            self.loss += (loss - self.loss) * GAIN;
            (self.sent, self.lost) = (sent, lost);
        }
    }

    /// Longest packet, in bytes, that should go into a frame, if datagrams have room for `datagram` bytes of it; [`usize::MAX`] if any may.
    pub fn frame_len(&self, datagram: usize) -> usize {
        let datagrams = TOLERATED / self.loss;
        if !datagrams.is_finite() || datagrams * datagram as f64 > f64::from(u16::MAX) {
            return usize::MAX;
        }
        (datagrams.max(FEWEST) as usize * datagram).saturating_sub(OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(loss_per_mille: u64, packets: u64) -> LossMeter {
        let mut meter = LossMeter::default();
        for sent in (0..packets).step_by(100) {
            meter.handle_counts(sent, sent * loss_per_mille / 1_000);
        }
        meter
    }

    #[test]
    fn frames_are_as_long_as_they_like_until_something_gets_lost() {
        assert_eq!(LossMeter::default().frame_len(1_400), usize::MAX);
        assert_eq!(after(0, 100_000).frame_len(1_400), usize::MAX);
    }

    #[test]
    fn the_more_gets_lost_the_shorter_are_frames_down_to_two_datagrams() {
        assert_eq!(after(10, 100_000).frame_len(1_400), 2_600);
        assert_eq!(after(200, 100_000).frame_len(1_400), 2_600);
        let in_between = after(2, 100_000).frame_len(1_400);
        assert!((12_000..14_000).contains(&in_between), "{in_between}");
    }

    #[test]
    fn a_loss_of_long_ago_is_forgotten() {
        let mut meter = after(50, 10_000);
        for sent in (10_000..30_000).step_by(500) {
            meter.handle_counts(sent, 500);
        }
        assert_eq!(meter.frame_len(1_400), usize::MAX);
    }

    #[test]
    fn another_path_is_measured_anew() {
        let mut meter = after(100, 10_000);
        meter.handle_counts(10, 0);
        assert_eq!(meter.frame_len(1_400), usize::MAX);
    }
}
