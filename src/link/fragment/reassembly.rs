//! Frames that are put together again.
//!
//! A frame's memory is taken when its first fragment comes, for the whole frame, so that every byte is copied once. That lets a peer reserve 64 KiB with one byte,
//! which is why the limit counts what is reserved and not what has come.

use std::collections::VecDeque;

use super::{FRAGMENT_HEADER_LEN, Header, WHOLE};
use crate::buf::PacketBuf;
use crate::time::{Duration, Instant};

/// Memory of frames that are not complete, in bytes, with the room around each. Seven of the longest: they come one after the other, so more than one or two
/// are open only if fragments are lost or overtake each other.
pub const MAX_BYTES: usize = 512 << 10;
/// Frames that are not complete.
pub const MAX_FRAMES: usize = 64;
/// Time after which a frame will not be completed any more. Paths on which datagrams overtake each other by more than this there are none.
pub const MAX_AGE: Duration = Duration::from_secs(2);

/// Why a datagram is not taken. The peer is at fault: fragments lost on the way do not show here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing, or a header that is cut off.
    #[error("a datagram is shorter than its header")]
    Truncated,
    /// A header that no frame has.
    #[error("a fragment's header contradicts itself")]
    BadHeader,
    /// More or fewer bytes than its place in the frame has.
    #[error("a fragment is not as long as its header says")]
    WrongLength,
    /// The frame of this number has another length or count.
    #[error("two fragments of one frame contradict each other")]
    Contradiction,
}

/// Puts frames together. Keeps within its bounds whatever comes.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// Oldest first.
    open: VecDeque<Open>,
    /// Of all in `open`.
    bytes: usize,
    given_up: u64,
}

/// A frame of which some fragments have come.
struct Open {
    number: u32,
    count: u8,
    since: Instant,
    frame: PacketBuf,
    /// One bit for each fragment that is here.
    here: [u64; 4],
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let here: u32 = self.here.iter().map(|bits| bits.count_ones()).sum();
        write!(f, "Open(frame {}: {here} of {} fragments)", self.number, self.count)
    }
}

impl Open {
    /// Notes a fragment; false if it is here already.
    fn note(&mut self, index: u8) -> bool {
        let Some(bits) = self.here.get_mut(usize::from(index / 64)) else { return false };
        let bit = 1 << (index % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }

    fn is_complete(&self) -> bool {
        self.here.iter().map(|bits| bits.count_ones()).sum::<u32>() == u32::from(self.count)
    }
}

impl Reassembler {
    /// Takes a datagram. Returns the frame that is complete with it, of which nothing was looked at; none if fragments are missing or this one came before.
    ///
    /// # Errors
    /// [`Refused`]: the datagram is dropped, and nothing else changes.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<Option<PacketBuf>, Refused> {
        self.expire(now);
        match datagram.split_first() {
            None => Err(Refused::Truncated),
            Some((&WHOLE, [])) => Err(Refused::Truncated),
            Some((&WHOLE, frame)) => Ok(Some(PacketBuf::from(frame))),
            Some(_) => self.handle_fragment(datagram, now),
        }
    }

    fn handle_fragment(&mut self, datagram: &[u8], now: Instant) -> Result<Option<PacketBuf>, Refused> {
        let (header, share) = datagram.split_first_chunk::<FRAGMENT_HEADER_LEN>().ok_or(Refused::Truncated)?;
        let header = Header::from_bytes(*header);
        let range = header.range().ok_or(Refused::BadHeader)?;
        if share.len() != range.len() {
            return Err(Refused::WrongLength);
        }
        let place = match self.place_of(header.number) {
            Some(place) => place,
            None => self.open_frame(header, now),
        };
        let Some(open) = self.open.get_mut(place) else { return Ok(None) };
        if open.count != header.count || open.frame.len() != usize::from(header.len) {
            return Err(Refused::Contradiction);
        }
        if open.note(header.index)
            && let Some(room) = open.frame.get_mut(range)
        {
            room.copy_from_slice(share);
        }
        if !open.is_complete() {
            return Ok(None);
        }
        Ok(self.remove(place))
    }

    /// Gives up frames that are too old. To be called now and then while no datagrams come.
    pub fn expire(&mut self, now: Instant) {
        while self.open.front().is_some_and(|open| open.since.has_passed(MAX_AGE, now)) {
            self.give_up_oldest();
        }
    }

    /// How many frames were given up since this was last asked, because fragments of theirs did not come.
    pub fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }

    /// Memory of frames that are not complete.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many frames are not complete.
    pub fn frames(&self) -> usize {
        self.open.len()
    }

    /// The newest are the likeliest.
    fn place_of(&self, number: u32) -> Option<usize> {
        self.open.iter().rposition(|open| open.number == number)
    }

    /// Makes room for a frame and opens it. Returns its place.
    fn open_frame(&mut self, header: Header, now: Instant) -> usize {
        let frame = PacketBuf::for_reading(header.len.into());
        while !self.open.is_empty() && (self.open.len() >= MAX_FRAMES || self.bytes + frame.footprint() > MAX_BYTES) {
            self.give_up_oldest();
        }
        self.bytes += frame.footprint();
        self.open.push_back(Open { number: header.number, count: header.count, since: now, frame, here: [0; 4] });
        self.open.len() - 1
    }

    fn give_up_oldest(&mut self) {
        if self.remove(0).is_some() {
            self.given_up += 1;
        }
    }

    fn remove(&mut self, place: usize) -> Option<PacketBuf> {
        let frame = self.open.remove(place)?.frame;
        self.bytes -= frame.footprint();
        Some(frame)
    }
}
