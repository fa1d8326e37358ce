//! Bytes in, whole frames out.
//!
//! Reads go to a staging buffer, many small frames at a time; each is copied into a buffer of its own when it is taken. A
//! large frame of which only the beginning has arrived moves to its own buffer at once, and the rest is read straight into
//! that: the bulk of a large packet is never copied. A header is checked before a byte of its frame is kept, and frames are
//! taken out of the staging one by one rather than queued, so that tiny frames cannot multiply into buffers.

use std::fmt;

use crate::buf::PacketBuf;
use crate::wire::DecodeError;
use crate::wire::frame::{FrameKind, HEADER_LEN, Header};
use crate::wire::hello::HELLO_LEN;

/// Size of the staging buffer. Ten packets of an ordinary MTU per read; larger ones read fewer times but copy more.
const STAGING: usize = 16 * 1024;
/// A frame longer than this that is not complete gets its own buffer. Half the staging: a shorter one always fits behind
/// what is left of it, and one more read is then cheaper than reading its end alone.
const DIRECT_ABOVE: usize = STAGING / 2;

/// ```text
/// staging   | handed out | whole frames | start of a frame | free |
///                      start        scanned               end
/// ```
pub(super) struct Deframer {
    staging: Box<[u8]>,
    start: usize,
    scanned: usize,
    end: usize,
    large: Large,
    /// A frame was completed since the last scan.
    completed: bool,
}

/// The large frame behind everything in the staging, if there is one.
enum Large {
    None,
    /// Its first `have` bytes have arrived.
    Filling {
        frame: PacketBuf,
        have: usize,
    },
    Whole(PacketBuf),
}

impl Deframer {
    pub(super) fn new() -> Self {
        let staging = vec![0; STAGING].into_boxed_slice();
        Self { staging, start: 0, scanned: 0, end: 0, large: Large::None, completed: false }
    }

    /// Where to read to. Empty only while frames wait to be taken.
    pub(super) fn read_buffer(&mut self) -> &mut [u8] {
        match &mut self.large {
            Large::Filling { frame, have } => frame.get_mut(*have..).unwrap_or_default(),
            Large::Whole(_) => &mut [],
            Large::None => {
                if self.start == self.scanned {
                    self.staging.copy_within(self.start..self.end, 0);
                    self.end -= self.start;
                    (self.start, self.scanned) = (0, 0);
                }
                self.staging.get_mut(self.end..).unwrap_or_default()
            }
        }
    }

    /// The first `len` bytes of [`Deframer::read_buffer`] were filled.
    pub(super) fn received(&mut self, len: usize) {
        match &mut self.large {
            Large::Filling { frame, have } => {
                *have = have.saturating_add(len).min(frame.len());
                if *have == frame.len()
                    && let Large::Filling { frame, .. } = std::mem::replace(&mut self.large, Large::None)
                {
                    self.large = Large::Whole(frame);
                    self.completed = true;
                }
            }
            Large::Whole(_) => {}
            Large::None => self.end = self.end.saturating_add(len).min(STAGING),
        }
    }

    /// The hello, once it is there in full. To be called before the first scan.
    pub(super) fn take_hello(&mut self) -> Option<[u8; HELLO_LEN]> {
        let hello = *self.staging.get(self.start..self.end)?.first_chunk()?;
        self.start += HELLO_LEN;
        self.scanned = self.start;
        Some(hello)
    }

    /// Finds the ends of frames in what was received. Says whether a frame was completed since the last scan.
    pub(super) fn scan(&mut self) -> Result<bool, DecodeError> {
        while let Some(rest) = self.staging.get(self.scanned..self.end)
            && rest.len() >= HEADER_LEN
        {
            let len = Header::parse(rest)?.len;
            if len <= rest.len() {
                self.scanned += len;
                self.completed = true;
                continue;
            }
            if len > DIRECT_ABOVE {
                let mut frame = PacketBuf::for_reading(len);
                let have = rest.len();
                frame[..have].copy_from_slice(rest);
                self.end = self.scanned;
                self.large = Large::Filling { frame, have };
            }
            break;
        }
        Ok(std::mem::take(&mut self.completed))
    }

    /// Whether a frame is under way, or whole, that is too long for the staging.
    pub(super) fn has_large(&self) -> bool {
        !matches!(self.large, Large::None)
    }

    /// The next whole frame that is not a keepalive.
    pub(super) fn next_frame(&mut self) -> Option<PacketBuf> {
        while let Some(frames) = self.staging.get(self.start..self.scanned)
            && let Ok(header) = Header::parse(frames)
            && let Some(frame) = frames.get(..header.len)
        {
            self.start += header.len;
            if header.kind != FrameKind::Keepalive {
                return Some(PacketBuf::from(frame));
            }
        }
        match std::mem::replace(&mut self.large, Large::None) {
            Large::Whole(frame) => {
                let is_keepalive = Header::parse(&frame).is_ok_and(|header| header.kind == FrameKind::Keepalive);
                (!is_keepalive).then_some(frame)
            }
            other => {
                self.large = other;
                None
            }
        }
    }
}

impl fmt::Debug for Deframer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let large = match &self.large {
            Large::None => 0,
            Large::Filling { have, .. } => *have,
            Large::Whole(frame) => frame.len(),
        };
        write!(f, "Deframer({} bytes staged, {large} of a large frame)", self.end - self.start)
    }
}
