//! Path requests: frames that go their way by tree or snake, or are told a part of it, and write down which.
//!
//! ```text
//! 10      1    flags          bit 0: a trace; the others are zero
//! 11      1    remaining      hops that it may still take, 0 to 64
//! 12      1    wandering      of these, how many at random before it goes by tree or snake
//! 13      1    records, n     0 to 64
//! 14      1    cursor, c      0 to n: records of nodes that it passed; those behind it are prescribed
//! 15      1    zero
//! 16      8    salt           names a trace; whichever way it wanders depends on it
//! 24      12n  records        the hop by which it goes on 6, the hop by which it came 6 (zeros where it was not yet)
//! 24+12n       a whole traffic frame
//! ```
//!
//! The traffic frame is for the node at the end of the path and goes its way as it would alone; for the search of a path it carries a
//! session message by which that node knows that its partner asks, and which counts once. A node whose next hop does not
//! understand requests sends on the traffic frame alone: the other end then knows that there is no path that way.

use super::{Hop, MAX_HOPS, RouteKind};
use crate::buf::PacketBuf;
use crate::wire::frame::{FrameKind, HEADER_LEN, MAX_FRAME_LEN, extension_header};
use crate::wire::{DecodeError, FrameOverflow, Reader};

/// Where the records begin.
const RECORDS_AT: usize = HEADER_LEN + 14;
const TRACE: u8 = 1;

/// What one node wrote into a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The hop by which the request went on.
    pub out: Hop,
    /// The hop by which it came: the way back.
    pub came_by: Hop,
}

impl Record {
    /// Bytes of a record.
    pub const LEN: usize = 2 * Hop::LEN;
}

/// The front of a path request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRequest {
    /// Whether it traces a path: the node where its hops are used up says so.
    pub is_trace: bool,
    /// Hops that it may still take.
    pub remaining: u8,
    /// Hops of these that it takes at random.
    pub wandering: u8,
    /// Records of nodes that were passed; those behind are prescribed.
    pub cursor: usize,
    /// Chosen by the source.
    pub salt: u64,
    /// Who was passed and is to be. At most [`MAX_HOPS`].
    pub records: Vec<Record>,
}

impl PathRequest {
    /// Reads the front of a whole frame, and says where the traffic frame begins. That one is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if the front cannot be. The peer is at fault: every hop writes it anew.
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), DecodeError> {
        let what = "path request";
        let mut reader = Reader::new(frame);
        reader.take(HEADER_LEN, what)?;
        let [flags, remaining, wandering, count, cursor, zero] = reader.array(what)?;
        let salt = reader.u64(what)?;
        let (count, cursor) = (usize::from(count), usize::from(cursor));
        if flags > TRACE || zero != 0 || count > MAX_HOPS || cursor > count || usize::from(remaining) > MAX_HOPS {
            return Err(DecodeError::Leftover { what });
        }
        let bytes = reader.take(count * Record::LEN, what)?;
        let hops: (&[[u8; Hop::LEN]], _) = bytes.as_chunks();
        let records = hops
            .0
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[out, came_by]| Record { out: Hop::decode(*out), came_by: Hop::decode(*came_by) });
        let request = Self { is_trace: flags == TRACE, remaining, wandering, cursor, salt, records: records.collect() };
        Ok((request, RECORDS_AT + count * Record::LEN))
    }

    /// Puts the request in front of a whole traffic frame, which does not move.
    ///
    /// # Errors
    /// [`FrameOverflow`] if it would not fit, or if there are more than [`MAX_HOPS`] records; the frame is unchanged.
    pub fn wrap(&self, frame: &mut PacketBuf) -> Result<(), FrameOverflow> {
        let front_len = RECORDS_AT + self.records.len() * Record::LEN;
        let len = front_len + frame.len();
        let fits = self.records.len() <= MAX_HOPS && self.cursor <= self.records.len() && len <= MAX_FRAME_LEN;
        let (Some(count), Some(cursor)) = (to_byte(self.records.len(), fits), to_byte(self.cursor, fits)) else {
            return Err(FrameOverflow { len });
        };
        let mut front = Vec::with_capacity(front_len);
        front.extend(extension_header(FrameKind::Route(RouteKind::Request), len));
        front.extend([u8::from(self.is_trace) * TRACE, self.remaining, self.wandering, count, cursor, 0]);
        front.extend(self.salt.to_be_bytes());
        for record in &self.records {
            front.extend(record.out.encode());
            front.extend(record.came_by.encode());
        }
        frame.prepend(front_len).copy_from_slice(&front);
        Ok(())
    }

    /// The records of the nodes that were passed.
    pub fn passed(&self) -> &[Record] {
        self.records.get(..self.cursor).unwrap_or_default()
    }

    /// The way there: the hops that those who were passed took.
    pub fn way_there(&self) -> Vec<Hop> {
        self.passed().iter().map(|record| record.out).collect()
    }

    /// The way back, for a node that sends to whom the request came from.
    pub fn way_back(&self) -> Vec<Hop> {
        self.passed().iter().rev().map(|record| record.came_by).collect()
    }
}

fn to_byte(count: usize, fits: bool) -> Option<u8> {
    u8::try_from(count).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(n: u16) -> Record {
        let hop = |port, epoch| Hop { port, epoch };
        Record { out: hop(n, u32::from(n) << 16), came_by: hop(n + 1, 7) }
    }

    fn request(records: u16) -> PathRequest {
        let records: Vec<_> = (1..=records).map(record).collect();
        PathRequest { is_trace: true, remaining: 9, wandering: 2, cursor: records.len() / 2, salt: 0x0102, records }
    }

    #[test]
    fn a_request_has_its_fields_where_the_layout_says() {
        let mut frame = PacketBuf::from(&b"inside"[..]);
        request(2).wrap(&mut frame).unwrap();
        assert_eq!(frame[10..16], [1, 9, 2, 2, 1, 0]);
        assert_eq!(frame[16..24], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(frame[24..36], [0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7]);
        assert_eq!((&frame[48..], frame.len()), (&b"inside"[..], 54));
        assert_eq!(PathRequest::parse(&frame), Ok((request(2), 48)));
    }

    #[test]
    fn ways_are_those_of_the_nodes_that_were_passed() {
        let request = request(5);
        assert_eq!(request.way_there().iter().map(|hop| hop.port).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(request.way_back().iter().map(|hop| hop.port).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn what_cannot_be_is_neither_written_nor_read() {
        let mut frame = PacketBuf::from(&b"inside"[..]);
        assert!(request(65).wrap(&mut frame).is_err());
        assert!(PathRequest { cursor: 4, ..request(3) }.wrap(&mut frame).is_err());
        assert!(request(3).wrap(&mut PacketBuf::with_capacity(MAX_FRAME_LEN)).is_ok());
        assert!(request(3).wrap(&mut PacketBuf::for_reading(MAX_FRAME_LEN - 59)).is_err());
        assert_eq!(&*frame, b"inside");
        request(64).wrap(&mut frame).unwrap();
        for (at, wrong) in [(10, 2), (11, 65), (13, 65), (14, 65), (15, 1)] {
            let mut changed = frame.to_vec();
            changed[at] = wrong;
            assert!(PathRequest::parse(&changed).is_err(), "byte {at}");
        }
        for len in 0..24 + 64 * 12 {
            assert!(PathRequest::parse(&frame[..len]).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0u8..4) {
            let mut bytes = bytes;
            for (at, value) in [(10, count & 1), (13, count), (14, 0), (15, 0)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if let Ok((request, at)) = PathRequest::parse(&bytes) {
                let mut frame = PacketBuf::from(&bytes[at..]);
                prop_assert!(request.wrap(&mut frame).is_ok());
                prop_assert_eq!(&frame[10..], &bytes[10..]);
            }
        }
    }
}
