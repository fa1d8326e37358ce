//! Frames: what crosses a peering after the hellos (specification §3).
//!
//! ```text
//! 0   4   magic          "pine"
//! 4   1   version        0; not checked, forwarded as it came
//! 5   1   type           FrameKind
//! 6   1   extra          0; forwarded as it came
//! 7   1   hop limit
//! 8   2   frame length   with these 10 bytes
//! 10  2   payload length (all types but keepalive and extensions)
//! ```
//!
//! [`parse`] borrows from a whole frame and accepts only what lies inside it: where the reference crashes or reads beyond the
//! end (pitfalls 5 and 7), the answer is an error. Building and rewriting (the submodules) refuse frames that the length
//! field cannot describe (pitfall 6).

mod build;
mod rewrite;

pub use build::{
    TrafficHeader, announcement, bootstrap, broadcast, emit_traffic, keepalive, route_notice, traffic_overhead,
};
pub(in crate::wire) use build::{extension, extension_header};
pub use rewrite::{clear_destination, set_hop_limit, set_watermark};

use super::coords::CoordsRef;
use super::notice::RouteTrouble;
use super::route::RouteKind;
use super::snake::Watermark;
use super::{DecodeError, FrameOverflow, Reader};
use crate::keys::PublicKey;

/// Bytes of the header that every frame starts with.
pub const HEADER_LEN: usize = 10;
/// The longest frame that the length field can describe.
pub const MAX_FRAME_LEN: usize = 65_535;
/// Bytes of an announcement frame before its payload.
pub(super) const ANNOUNCEMENT_OVERHEAD: usize = HEADER_LEN + PAYLOAD_LEN_LEN;

const MAGIC: [u8; 4] = *b"pine";
const PAYLOAD_LEN_LEN: usize = 2;
/// Where the type stands.
const KIND_AT: usize = 5;
/// Where the byte stands that is forwarded as it came.
const EXTRA_AT: usize = 6;
/// Where the hop limit stands.
const HOP_LIMIT_AT: usize = 7;
/// Where the frame length stands.
const LENGTH_AT: usize = 8;
/// Where the first field of a traffic frame stands: the destination's length in bytes.
const DESTINATION_AT: usize = HEADER_LEN + PAYLOAD_LEN_LEN;
/// An empty coordinate list.
const NO_COORDS: [u8; 2] = [0, 0];
/// Destination key and source key of a traffic frame.
const KEYS_LEN: usize = 2 * PublicKey::LEN;

/// Whether a traffic frame has the destination's coordinates, and so goes by them. Of anything else it says nothing.
pub fn is_by_coordinates(frame: &[u8]) -> bool {
    frame.get(DESTINATION_AT..DESTINATION_AT + NO_COORDS.len()).is_some_and(|len| len != NO_COORDS)
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Nothing to say, still there.
    Keepalive,
    /// A tree announcement.
    Announcement,
    /// A bootstrap on its way along the snake.
    Bootstrap,
    /// What nodes say to each other.
    Traffic,
    /// A wakeup broadcast.
    Broadcast,
    /// A route notice, an extension.
    RouteNotice(RouteTrouble),
    /// A path request or a source-routed frame, an extension.
    Route(RouteKind),
    /// A type that we do not know: to be skipped.
    Unknown(u8),
}

impl FrameKind {
    /// The kind that a type byte stands for. (The tag v0.11.0 of the reference has 3 and 4 the other way round: pitfall 1.)
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Keepalive,
            1 => Self::Announcement,
            2 => Self::Bootstrap,
            3 => Self::Traffic,
            4 => Self::Broadcast,
            0x10 => Self::RouteNotice(RouteTrouble::Broken),
            0x11 => Self::RouteNotice(RouteTrouble::Withdrawn),
            0x18 => Self::Route(RouteKind::Request),
            0x19 => Self::Route(RouteKind::Open),
            0x1a => Self::Route(RouteKind::Sealed),
            other => Self::Unknown(other),
        }
    }

    /// Whether it carries what nodes say to each other: lost, it is not missed on the peering; and it waits its turn.
    pub const fn is_traffic(self) -> bool {
        matches!(self, Self::Traffic | Self::Route(_))
    }

    /// The type byte.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Keepalive => 0,
            Self::Announcement => 1,
            Self::Bootstrap => 2,
            Self::Traffic => 3,
            Self::Broadcast => 4,
            Self::RouteNotice(RouteTrouble::Broken) => 0x10,
            Self::RouteNotice(RouteTrouble::Withdrawn) => 0x11,
            Self::Route(RouteKind::Request) => 0x18,
            Self::Route(RouteKind::Open) => 0x19,
            Self::Route(RouteKind::Sealed) => 0x1a,
            Self::Unknown(byte) => byte,
        }
    }
}

/// The first ten bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Sent 0, never looked at.
    pub version: u8,
    /// What the frame is for.
    pub kind: FrameKind,
    /// Sent 0, never looked at.
    pub extra: u8,
    /// How many more hops; its meaning depends on the kind.
    pub hop_limit: u8,
    /// Length of the whole frame in bytes: [`HEADER_LEN`] to [`MAX_FRAME_LEN`].
    pub len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] under ten bytes, [`DecodeError::Magic`], and [`DecodeError::BelowMinimum`] if the frame
    /// claims to be shorter than its header. The peer is at fault, and the stream cannot be read any further.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array("frame header")? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let [version, kind, extra, hop_limit] = reader.array("frame header")?;
        let len = usize::from(reader.u16("frame header")?);
        if len < HEADER_LEN {
            return Err(DecodeError::BelowMinimum { what: "frame", len, minimum: HEADER_LEN });
        }
        Ok(Self { version, kind: FrameKind::from_byte(kind), extra, hop_limit, len })
    }

    fn bytes(&self) -> [u8; HEADER_LEN] {
        let [m0, m1, m2, m3] = MAGIC;
        let [high, low] = length_field(self.len);
        [m0, m1, m2, m3, self.version, self.kind.to_byte(), self.extra, self.hop_limit, high, low]
    }
}

/// A whole frame, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame<'a> {
    /// Nothing to say, still there. Body bytes are ignored.
    Keepalive,
    /// The payload of a tree announcement; see [`Announcement::parse`](super::tree::Announcement::parse).
    Announcement(&'a [u8]),
    /// A bootstrap.
    Bootstrap(BootstrapFrame<'a>),
    /// Traffic.
    Traffic(TrafficFrame<'a>),
    /// A wakeup broadcast.
    Broadcast(BroadcastFrame<'a>),
    /// A route notice and its undecoded body; see [`RouteNotice::parse`](super::notice::RouteNotice::parse). From a peer that did not
    /// announce the extension the type is unknown, whatever the body.
    RouteNotice(RouteTrouble, &'a [u8]),
    /// A path request or a source-routed frame; see [`PathRequest::parse`](super::route::request::PathRequest::parse) and
    /// [`Routed::parse`](super::route::Routed::parse). From a peer that did not announce the extension the type is unknown.
    Route(RouteKind),
    /// A type that we do not know: to be skipped.
    Unknown(u8),
}

/// A bootstrap and how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapFrame<'a> {
    /// Header byte, forwarded as it came.
    pub version: u8,
    /// Header byte, forwarded as it came.
    pub extra: u8,
    /// Header byte, forwarded as it came.
    pub hop_limit: u8,
    /// Who bootstraps.
    pub destination: PublicKey,
    /// The way so far.
    pub watermark: Watermark,
    /// See [`Bootstrap::parse`](super::snake::Bootstrap::parse). Forwarded as it came, bytes that we cannot read included.
    pub payload: &'a [u8],
}

/// A wakeup broadcast and how far it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastFrame<'a> {
    /// Header byte, forwarded as it came.
    pub version: u8,
    /// Header byte, forwarded as it came.
    pub extra: u8,
    /// How many more hops; 5 at the origin.
    pub hop_limit: u8,
    /// Who is up.
    pub source: PublicKey,
    /// See [`WakeupBroadcast::parse`](super::broadcast::WakeupBroadcast::parse). Forwarded as it came.
    pub payload: &'a [u8],
}

/// Traffic between two nodes. Nothing in it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrafficFrame<'a> {
    /// 10 at the origin; most nodes leave it alone.
    pub hop_limit: u8,
    /// Where to; empty: go by key.
    pub destination: CoordsRef<'a>,
    /// Where the source says it is.
    pub source: CoordsRef<'a>,
    /// To whom.
    pub destination_key: PublicKey,
    /// From whom.
    pub source_key: PublicKey,
    /// The way so far; [`Watermark::NONE`] in a frame that goes by coordinates, which carries none.
    pub watermark: Watermark,
    /// What is carried.
    pub payload: &'a [u8],
    /// Where the payload starts in the frame.
    pub payload_at: usize,
}

/// Takes one whole frame apart.
///
/// # Errors
/// [`DecodeError`] if the frame is not exactly as long as it says, if a field does not lie inside it, if coordinates are not
/// canonical, or if a traffic frame has bytes left over. (Behind the payload of other types they are ignored, as the
/// reference does.) The peer is at fault: the reference writes every field anew when it passes a frame on.
pub fn parse(frame: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let header = Header::parse(frame)?;
    let mut whole = Reader::new(frame);
    let mut body = Reader::new(whole.take(header.len, "frame")?);
    whole.finish("frame")?;
    body.take(HEADER_LEN, "frame header")?;
    match header.kind {
        FrameKind::Keepalive => Ok(Frame::Keepalive),
        FrameKind::Announcement => {
            let payload_len = body.u16("announcement frame")?;
            Ok(Frame::Announcement(body.take(payload_len.into(), "announcement frame")?))
        }
        FrameKind::Bootstrap => parse_bootstrap(header, body).map(Frame::Bootstrap),
        FrameKind::Traffic => parse_traffic(header, body).map(Frame::Traffic),
        FrameKind::Broadcast => parse_broadcast(header, body).map(Frame::Broadcast),
        FrameKind::RouteNotice(trouble) => Ok(Frame::RouteNotice(trouble, body.rest())),
        FrameKind::Route(kind) => Ok(Frame::Route(kind)),
        FrameKind::Unknown(byte) => Ok(Frame::Unknown(byte)),
    }
}

fn parse_bootstrap(header: Header, mut body: Reader<'_>) -> Result<BootstrapFrame<'_>, DecodeError> {
    let what = "bootstrap frame";
    let payload_len = body.u16(what)?;
    let destination = body.key(what)?;
    let watermark = read_watermark(&mut body)?;
    let payload = body.take(payload_len.into(), what)?;
    let Header { version, extra, hop_limit, .. } = header;
    Ok(BootstrapFrame { version, extra, hop_limit, destination, watermark, payload })
}

fn parse_broadcast(header: Header, mut body: Reader<'_>) -> Result<BroadcastFrame<'_>, DecodeError> {
    let what = "broadcast frame";
    let payload_len = body.u16(what)?;
    let source = body.key(what)?;
    let payload = body.take(payload_len.into(), what)?;
    let Header { version, extra, hop_limit, .. } = header;
    Ok(BroadcastFrame { version, extra, hop_limit, source, payload })
}

fn parse_traffic(header: Header, mut body: Reader<'_>) -> Result<TrafficFrame<'_>, DecodeError> {
    let what = "traffic frame";
    let payload_len = usize::from(body.u16(what)?);
    let destination = CoordsRef::read(&mut body, "destination coordinates")?;
    let source = CoordsRef::read(&mut body, "source coordinates")?;
    let destination_key = body.key(what)?;
    let source_key = body.key(what)?;
    let watermark = if destination.is_empty() { read_watermark(&mut body)? } else { Watermark::NONE };
    let payload = body.take(payload_len, what)?;
    body.finish(what)?;
    Ok(TrafficFrame {
        hop_limit: header.hop_limit,
        destination,
        source,
        destination_key,
        source_key,
        watermark,
        payload,
        payload_at: header.len - payload_len,
    })
}

/// Destination key and source key of a traffic frame that was [parsed](parse) before, one behind the other; `None` for anything else. The
/// keys' place depends on nothing but the lengths of the coordinates.
pub fn traffic_keys(frame: &[u8]) -> Option<&[u8; KEYS_LEN]> {
    if frame.get(KIND_AT) != Some(&FrameKind::Traffic.to_byte()) {
        return None;
    }
    let len = |rest: &[u8]| rest.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len)));
    let destination = frame.get(DESTINATION_AT..)?;
    let source = destination.get(2 + len(destination)?..)?;
    source.get(2 + len(source)?..)?.first_chunk()
}

/// The byte of a frame's header that nobody on the way looks at or changes; 0 if there is none.
pub fn extra_of(frame: &[u8]) -> u8 {
    frame.get(EXTRA_AT).copied().unwrap_or_default()
}

/// The sequence may be padded: no signature covers it, every hop writes it anew, and the reference takes it.
fn read_watermark(body: &mut Reader<'_>) -> Result<Watermark, DecodeError> {
    Ok(Watermark { key: body.key("watermark")?, sequence: body.varu64_padded("watermark")? })
}

const fn checked_len(len: usize) -> Result<usize, FrameOverflow> {
    if len > MAX_FRAME_LEN { Err(FrameOverflow { len }) } else { Ok(len) }
}

/// A length as its field says it. Everything inside a frame whose length was checked fits.
fn length_field(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_needs_ten_bytes_the_magic_and_a_possible_length() {
        let good = *b"pine\x00\x03\x00\x0a\x00\x71";
        let header = Header { version: 0, kind: FrameKind::Traffic, extra: 0, hop_limit: 10, len: 113 };
        assert_eq!(Header::parse(&good), Ok(header));
        assert_eq!(header.bytes(), good);
        assert_eq!(Header::parse(&good[..9]), Err(DecodeError::Truncated { what: "frame header" }));
        assert_eq!(Header::parse(b"Pine\x00\x03\x00\x0a\x00\x71"), Err(DecodeError::Magic));
        let short = DecodeError::BelowMinimum { what: "frame", len: 9, minimum: 10 };
        assert_eq!(Header::parse(b"pine\x00\x03\x00\x0a\x00\x09"), Err(short));
    }

    #[test]
    fn type_bytes_and_kinds_are_the_same_thing() {
        assert!((0..=u8::MAX).all(|byte| FrameKind::from_byte(byte).to_byte() == byte));
        assert_eq!((FrameKind::Traffic.to_byte(), FrameKind::Broadcast.to_byte()), (3, 4), "pitfall 1");
        let notices = [RouteTrouble::Broken, RouteTrouble::Withdrawn].map(|it| FrameKind::RouteNotice(it).to_byte());
        assert_eq!(notices, [0x10, 0x11]);
    }

    #[test]
    fn a_frame_is_exactly_as_long_as_it_says() {
        let mut frame = keepalive().to_vec();
        assert_eq!(parse(&frame), Ok(Frame::Keepalive));
        frame.push(0);
        assert_eq!(parse(&frame), Err(DecodeError::Leftover { what: "frame" }));
        frame[9] = 12;
        assert_eq!(parse(&frame), Err(DecodeError::Truncated { what: "frame" }));
    }

    #[test]
    fn a_payload_longer_than_its_frame_is_refused_for_every_type() {
        for kind in 1..=4 {
            let frame = [b"pine\x00", &[kind][..], b"\x00\x00\x00\xc8", &[0xff; 2], &[0; 188]].concat();
            assert!(matches!(parse(&frame), Err(DecodeError::Truncated { .. })), "type {kind}");
        }
    }
}
