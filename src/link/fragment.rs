//! Traffic frames over datagrams: which datagrams a frame becomes, and how it is put together again.
//!
//! A transport with unreliable datagrams (QUIC, RFC 9221) loses, reorders and delays them one by one. Traffic frames go through it
//! without waiting for each other; one that is longer than a datagram is cut into several:
//!
//! ```text
//! a whole frame          0   1   0
//!                        1       the frame
//!
//! a fragment             0   1   count: how many fragments the frame has, 2 to 255
//!                        1   1   index: which one this is, from 0
//!                        2   2   length of the whole frame in bytes
//!                        4   4   number of the frame; each frame that is cut gets the next one, modulo 2³²
//!                        8       its share of the frame
//! ```
//!
//! Integers are big-endian. All fragments of a frame are of the same size, ⌈length / count⌉, but for the last, which has the rest. So each fragment
//! says by itself where it belongs and how long it has to be: one that disagrees with the others of its number is refused, in whatever order they come, and
//! equal sizes are what the kernel can send in one go.
//!
//! The receiver keeps frames that are not complete within bounds: [`MAX_BYTES`] of memory, [`MAX_FRAMES`] frames, [`MAX_AGE`]. Beyond them the
//! oldest goes, which is the one that is least likely to be completed. Nothing is asked for again; what the frame carries knows best
//! whether that is worth it.

mod reassembly;
#[cfg(test)]
mod tests;

pub use reassembly::{MAX_AGE, MAX_BYTES, MAX_FRAMES, Reassembler, Refused};

use crate::wire::frame::MAX_FRAME_LEN;

/// Bytes before a whole frame.
pub const WHOLE_HEADER_LEN: usize = 1;
/// Bytes before a fragment's share of its frame.
pub const FRAGMENT_HEADER_LEN: usize = 8;
/// The shortest datagram that is worth using: with it the longest frame has 255 fragments at most.
pub const MIN_DATAGRAM: usize = FRAGMENT_HEADER_LEN + MAX_FRAME_LEN.div_ceil(MAX_COUNT);

/// Most fragments of a frame: what the field can say.
const MAX_COUNT: usize = 255;
/// The count of a frame that is not cut.
const WHOLE: u8 = 0;

/// What a fragment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    count: u8,
    index: u8,
    /// Of the whole frame, in bytes.
    len: u16,
    number: u32,
}

impl Header {
    fn to_bytes(self) -> [u8; FRAGMENT_HEADER_LEN] {
        let [len_high, len_low] = self.len.to_be_bytes();
        let [a, b, c, d] = self.number.to_be_bytes();
        [self.count, self.index, len_high, len_low, a, b, c, d]
    }

    fn from_bytes([count, index, len_high, len_low, a, b, c, d]: [u8; FRAGMENT_HEADER_LEN]) -> Self {
        let (len, number) = (u16::from_be_bytes([len_high, len_low]), u32::from_be_bytes([a, b, c, d]));
        Self { count, index, len, number }
    }

    /// Where this fragment's share lies in the frame, if the frame can have such a fragment.
    fn range(self) -> Option<std::ops::Range<usize>> {
        let (count, index, len) = (usize::from(self.count), usize::from(self.index), usize::from(self.len));
        if count < 2 || index >= count {
            return None;
        }
        let size = len.div_ceil(count);
        let (start, end) = (index * size, ((index + 1) * size).min(len));
        // The last one must not be empty; then none is.
        ((count - 1) * size < len).then_some(start..end)
    }
}

/// Cuts frames.
#[derive(Debug, Default)]
pub struct Fragmenter {
    next_number: u32,
}

/// A frame cut up: its datagrams one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Length of each datagram but the last, which may be shorter.
    pub datagram_len: usize,
    /// How many there are.
    pub count: usize,
}

impl Fragmenter {
    /// Appends the datagrams of a frame to `out`, each of at most `max_datagram` bytes. None, and nothing appended, if that is below
    /// [`MIN_DATAGRAM`] or the frame is empty or longer than [`MAX_FRAME_LEN`].
    pub fn cut(&mut self, frame: &[u8], max_datagram: usize, out: &mut Vec<u8>) -> Option<Cut> {
        let len = u16::try_from(frame.len()).ok().filter(|len| *len > 0)?;
        if max_datagram < MIN_DATAGRAM {
            return None;
        }
        if frame.len() + WHOLE_HEADER_LEN <= max_datagram {
            out.push(WHOLE);
            out.extend_from_slice(frame);
            return Some(Cut { datagram_len: frame.len() + WHOLE_HEADER_LEN, count: 1 });
        }
        let fewest = frame.len().div_ceil(max_datagram - FRAGMENT_HEADER_LEN).max(2);
        let size = frame.len().div_ceil(fewest);
        let chunks = frame.chunks(size);
        // Fewer than `fewest` if the rounding up leaves nothing for the last; ⌈length / count⌉ is `size` all the same.
        let count = u8::try_from(chunks.len()).ok()?;
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        out.reserve(frame.len() + usize::from(count) * FRAGMENT_HEADER_LEN);
        for (index, chunk) in (0..count).zip(chunks) {
            out.extend_from_slice(&Header { count, index, len, number }.to_bytes());
            out.extend_from_slice(chunk);
        }
        Some(Cut { datagram_len: size + FRAGMENT_HEADER_LEN, count: count.into() })
    }
}
