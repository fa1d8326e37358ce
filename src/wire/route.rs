//! Source-routed frames, an extension: the list of hops that a frame is to take, with a cursor, in front of what it carries. See
//! [`super::extensions`]; how routes are found is in [`request`], what they are good for in `docs/source-routes.md`.
//!
//! ```text
//! 10      1   flags           bit 0: on its way back (sealed frames only); the others are zero
//! 11      1   hops, n         0 to 64
//! 12      1   cursor, c       0 to n: how many hops were taken
//! 13      1   zero
//! 14      6n  hops            port 2, epoch 4
//! 14+6n       open            a whole traffic frame
//!             sealed          label 8, session message
//! ```
//!
//! Who takes a hop writes in its place the hop by which the frame came, and moves the cursor. So the entries before the cursor are the way
//! back, those behind it the way on, and a frame that cannot go on can be sent back as it is. The cursor moves in one direction only, so
//! that no frame takes more than twice the hops of its list.
//!
//! A node of a list is named by the peering that leads to it: its port, and the number of the peering among all that its node ever had. A
//! port that is used again has another number, so a route never leads to another neighbour than the one that it was found through.

pub mod request;

use super::frame::{HEADER_LEN, MAX_FRAME_LEN};
use super::{DecodeError, FrameOverflow, Reader};
use crate::buf::PacketBuf;

/// Most hops of a route, without the first, which the source takes by itself.
pub const MAX_HOPS: usize = 64;
/// Bytes of a label.
pub const LABEL_LEN: usize = 8;
/// Where the hops begin.
const HOPS_AT: usize = HEADER_LEN + 4;
const FLAGS_AT: usize = HEADER_LEN;
const CURSOR_AT: usize = HEADER_LEN + 2;
/// The frame is on its way back.
const RETURNING: u8 = 1;

/// One hop: a peering of the node that takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The peering's port at its node; 0 in no peering.
    pub port: u16,
    /// Its number among all peerings of the node.
    pub epoch: u32,
}

impl Hop {
    /// Bytes of a hop.
    pub const LEN: usize = 6;

    /// The bytes of the hop.
    pub const fn encode(self) -> [u8; Self::LEN] {
        let ([a, b], [c, d, e, f]) = (self.port.to_be_bytes(), self.epoch.to_be_bytes());
        [a, b, c, d, e, f]
    }

    /// The hop that these bytes stand for.
    pub const fn decode([a, b, c, d, e, f]: [u8; Self::LEN]) -> Self {
        Self { port: u16::from_be_bytes([a, b]), epoch: u32::from_be_bytes([c, d, e, f]) }
    }
}

/// What a frame of this extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// A [`request`]: it looks for a path, or traces one.
    Request,
    /// A traffic frame with a route around it.
    Open,
    /// A session message with a route around it, and a label instead of keys.
    Sealed,
}

/// The front of a source-routed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Whether a label stands for the two ends.
    pub is_sealed: bool,
    /// Whether it is on its way back.
    pub is_returning: bool,
    /// Hops in the list.
    pub hops: usize,
    /// Hops that were taken.
    pub cursor: usize,
}

impl Routed {
    /// Reads the front of a whole frame of the kind [`RouteKind::Open`] or, if `is_sealed`, [`RouteKind::Sealed`]. What is carried is
    /// not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if the list, the label or the cursor cannot be. The peer is at fault: every hop checks this much.
    pub fn parse(frame: &[u8], is_sealed: bool) -> Result<Self, DecodeError> {
        let what = "source-routed frame";
        let mut reader = Reader::new(frame);
        reader.take(HEADER_LEN, what)?;
        let [flags, hops, cursor, zero] = reader.array(what)?;
        let (hops, cursor) = (usize::from(hops), usize::from(cursor));
        let highest_flag = if is_sealed { RETURNING } else { 0 };
        if hops > MAX_HOPS || cursor > hops || flags > highest_flag || zero != 0 {
            return Err(DecodeError::Leftover { what });
        }
        reader.take(hops * Hop::LEN + if is_sealed { LABEL_LEN } else { 0 }, what)?;
        Ok(Self { is_sealed, is_returning: flags == RETURNING, hops, cursor })
    }

    /// The next hop; `None` at the end of the way.
    pub fn next(&self, frame: &[u8]) -> Option<Hop> {
        if self.is_returning {
            hop_at(frame, self.cursor.checked_sub(1)?)
        } else {
            Some(self.cursor).filter(|cursor| *cursor < self.hops).and_then(|cursor| hop_at(frame, cursor))
        }
    }

    /// The way back from here: the hops by which the frame came to those that took one.
    pub fn taken<'a>(&self, frame: &'a [u8]) -> impl Iterator<Item = Hop> + use<'a> {
        let taken = frame.get(HOPS_AT..HOPS_AT + self.cursor * Hop::LEN).unwrap_or_default();
        taken.as_chunks().0.iter().map(|bytes| Hop::decode(*bytes))
    }

    /// Takes the next hop: writes `came_by` in its place if the frame is on its way out.
    pub fn take_hop(&self, frame: &mut [u8], came_by: Hop) {
        let at = HOPS_AT + self.cursor * Hop::LEN;
        if self.is_returning {
            set_cursor(frame, self.cursor.saturating_sub(1));
        } else if self.cursor < self.hops
            && let Some(place) = frame.get_mut(at..at + Hop::LEN)
        {
            place.copy_from_slice(&came_by.encode());
            set_cursor(frame, self.cursor + 1);
        }
    }

    /// Sends a sealed frame back the way it came.
    pub fn turn_back(&self, frame: &mut [u8]) {
        if self.is_sealed
            && let Some(flags) = frame.get_mut(FLAGS_AT)
        {
            *flags = RETURNING;
        }
    }

    /// The label of a sealed frame; 0 for an open one.
    pub fn label(&self, frame: &[u8]) -> u64 {
        let label = frame.get(self.end_of_hops()..).and_then(<[u8]>::first_chunk);
        label.filter(|_| self.is_sealed).map_or(0, |label| u64::from_be_bytes(*label))
    }

    /// Where what is carried begins: a traffic frame, or a session message.
    pub const fn inside_at(&self) -> usize {
        front_len(self.hops, self.is_sealed)
    }

    const fn end_of_hops(&self) -> usize {
        front_len(self.hops, false)
    }
}

fn hop_at(frame: &[u8], index: usize) -> Option<Hop> {
    frame.get(HOPS_AT + index * Hop::LEN..).and_then(<[u8]>::first_chunk).map(|bytes| Hop::decode(*bytes))
}

fn set_cursor(frame: &mut [u8], cursor: usize) {
    if let (Some(place), Ok(cursor)) = (frame.get_mut(CURSOR_AT), u8::try_from(cursor)) {
        *place = cursor;
    }
}

/// Bytes of the front of a frame with so many hops.
pub const fn front_len(hops: usize, is_sealed: bool) -> usize {
    HOPS_AT + hops * Hop::LEN + if is_sealed { LABEL_LEN } else { 0 }
}

/// Puts a route around a whole traffic frame: into its headroom, nothing moves.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit, or if there are more than [`MAX_HOPS`]; the frame is unchanged.
pub fn wrap(frame: &mut PacketBuf, hops: &[Hop]) -> Result<(), FrameOverflow> {
    put_front(frame, RouteKind::Open, [0, 0], hops, None)
}

/// Puts a route and a label around a session message.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit, or if there are more than [`MAX_HOPS`]; the message is unchanged.
pub fn seal(message: &mut PacketBuf, hops: &[Hop], label: u64) -> Result<(), FrameOverflow> {
    put_front(message, RouteKind::Sealed, [0, 0], hops, Some(label))
}

/// Makes `message` a frame that goes back the way that a request came: `came_by` are the hops by which it came to those that it passed, in
/// its order. It has to be sent to whom the request came from.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit, or if there are more than [`MAX_HOPS`]; the message is unchanged.
pub fn send_back(message: &mut PacketBuf, came_by: &[Hop], label: u64) -> Result<(), FrameOverflow> {
    let cursor = u8::try_from(came_by.len()).map_err(|_| FrameOverflow { len: usize::MAX })?;
    put_front(message, RouteKind::Sealed, [RETURNING, cursor], came_by, Some(label))
}

fn put_front(
    inside: &mut PacketBuf,
    kind: RouteKind,
    [flags, cursor]: [u8; 2],
    hops: &[Hop],
    label: Option<u64>,
) -> Result<(), FrameOverflow> {
    let front_len = front_len(hops.len(), label.is_some());
    let len = front_len + inside.len();
    let count = u8::try_from(hops.len()).ok().filter(|_| hops.len() <= MAX_HOPS && len <= MAX_FRAME_LEN);
    let count = count.ok_or(FrameOverflow { len })?;
    let front = inside.prepend(front_len);
    let (header, rest) = front.split_at_mut(HEADER_LEN);
    header.copy_from_slice(&super::frame::extension_header(super::frame::FrameKind::Route(kind), len));
    let (fields, mut rest) = rest.split_at_mut(HOPS_AT - HEADER_LEN);
    fields.copy_from_slice(&[flags, count, cursor, 0]);
    for hop in hops {
        let (place, behind) = rest.split_at_mut(Hop::LEN);
        place.copy_from_slice(&hop.encode());
        rest = behind;
    }
    if let Some(label) = label {
        rest.copy_from_slice(&label.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
