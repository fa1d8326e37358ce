//! Building frames. Traffic frames are built around a payload that stays where it is: the header goes into the headroom.

use super::{
    ANNOUNCEMENT_OVERHEAD, DESTINATION_AT, FrameKind, HEADER_LEN, Header, KEYS_LEN, MAX_FRAME_LEN, NO_COORDS,
    checked_len, length_field,
};
use super::{BootstrapFrame, BroadcastFrame};
use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::wire::coords::Coords;
use crate::wire::notice::{RouteNotice, RouteTrouble};
use crate::wire::snake::Watermark;
use crate::wire::{FrameOverflow, varint};

/// A keepalive.
pub fn keepalive() -> PacketBuf {
    PacketBuf::from(&header(FrameKind::Keepalive, HEADER_LEN).bytes()[..])
}

/// An announcement frame around `payload`.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit.
pub fn announcement(payload: &[u8]) -> Result<PacketBuf, FrameOverflow> {
    let len = checked_len(ANNOUNCEMENT_OVERHEAD + payload.len())?;
    let mut frame = PacketBuf::with_capacity(len);
    frame.append(&header(FrameKind::Announcement, len).bytes());
    frame.append(&length_field(payload.len()));
    frame.append(payload);
    Ok(frame)
}

/// A bootstrap frame.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit.
pub fn bootstrap(f: &BootstrapFrame<'_>) -> Result<PacketBuf, FrameOverflow> {
    let len = checked_len(DESTINATION_AT + PublicKey::LEN + f.watermark.encoded_len() + f.payload.len())?;
    let header = Header { version: f.version, kind: FrameKind::Bootstrap, extra: f.extra, hop_limit: f.hop_limit, len };
    let mut frame = PacketBuf::with_capacity(len);
    frame.append(&header.bytes());
    frame.append(&length_field(f.payload.len()));
    frame.append(&f.destination.0);
    frame.append(&f.watermark.key.0);
    let mut sequence = [0; varint::MAX_LEN];
    let sequence_len = varint::write_to(f.watermark.sequence, &mut sequence);
    frame.append(&sequence[..sequence_len]);
    frame.append(f.payload);
    Ok(frame)
}

/// A wakeup broadcast frame.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit.
pub fn broadcast(f: &BroadcastFrame<'_>) -> Result<PacketBuf, FrameOverflow> {
    let len = checked_len(DESTINATION_AT + PublicKey::LEN + f.payload.len())?;
    let header = Header { version: f.version, kind: FrameKind::Broadcast, extra: f.extra, hop_limit: f.hop_limit, len };
    let mut frame = PacketBuf::with_capacity(len);
    frame.append(&header.bytes());
    frame.append(&length_field(f.payload.len()));
    frame.append(&f.source.0);
    frame.append(f.payload);
    Ok(frame)
}

/// A route notice.
///
/// # Errors
/// [`FrameOverflow`] if it would not fit; the largest notice does.
pub fn route_notice(trouble: RouteTrouble, notice: &RouteNotice) -> Result<PacketBuf, FrameOverflow> {
    let body = notice.encode();
    let len = checked_len(HEADER_LEN + body.len())?;
    let mut frame = PacketBuf::with_capacity(len);
    frame.append(&header(FrameKind::RouteNotice(trouble), len).bytes());
    frame.append(&body);
    Ok(frame)
}

/// An extension frame of this type around a body that is known to fit.
pub(in crate::wire) fn extension<const N: usize>(kind: u8, body: &[u8; N]) -> PacketBuf {
    const { assert!(HEADER_LEN + N <= MAX_FRAME_LEN) };
    let mut frame = PacketBuf::with_capacity(HEADER_LEN + N);
    frame.append(&header(FrameKind::Unknown(kind), HEADER_LEN + N).bytes());
    frame.append(body);
    frame
}

/// The header of an extension frame of `len` bytes in all, which is known to fit.
pub(in crate::wire) fn extension_header(kind: FrameKind, len: usize) -> [u8; HEADER_LEN] {
    header(kind, len).bytes()
}

/// What stands before the payload of a traffic frame.
#[derive(Clone, Copy, Debug)]
pub struct TrafficHeader<'a> {
    /// 0 unless forwarded from a node that says otherwise.
    pub version: u8,
    /// 0 unless forwarded from a node that says otherwise.
    pub extra: u8,
    /// 10 at the origin.
    pub hop_limit: u8,
    /// Where to; empty: go by key.
    pub destination: &'a Coords,
    /// Where we are.
    pub source: &'a Coords,
    /// To whom.
    pub destination_key: &'a PublicKey,
    /// From whom.
    pub source_key: &'a PublicKey,
    /// The way so far. Only on the wire if `destination` is empty.
    pub watermark: Watermark,
}

/// Makes `payload` a traffic frame by writing the header in front of it. The payload's bytes stay where they are.
///
/// # Errors
/// [`FrameOverflow`] if the frame would not fit; the payload is unchanged.
pub fn emit_traffic(payload: &mut PacketBuf, header: &TrafficHeader<'_>) -> Result<(), FrameOverflow> {
    let TrafficHeader { version, extra, hop_limit, .. } = *header;
    let by_key = header.destination.is_empty();
    let watermark_len = if by_key { header.watermark.encoded_len() } else { 0 };
    let coords_len = header.destination.encoded_len() + header.source.encoded_len();
    let overhead = DESTINATION_AT + coords_len + KEYS_LEN + watermark_len;
    let payload_len = payload.len();
    let len = checked_len(overhead + payload_len)?;
    let mut out = Writer { rest: payload.prepend(overhead) };
    out.put(&Header { version, kind: FrameKind::Traffic, extra, hop_limit, len }.bytes());
    out.put(&length_field(payload_len));
    out.coords(header.destination);
    out.coords(header.source);
    out.put(&header.destination_key.0);
    out.put(&header.source_key.0);
    if by_key {
        out.watermark(&header.watermark);
    }
    Ok(())
}

/// Bytes that a traffic frame puts in front of its payload at the most: without a destination it goes by key, and its
/// watermark's sequence may take ten bytes.
pub fn traffic_overhead(destination: &Coords, source: &Coords) -> usize {
    let watermark_len = if destination.is_empty() { PublicKey::LEN + varint::MAX_LEN } else { 0 };
    DESTINATION_AT + destination.encoded_len() + source.encoded_len() + KEYS_LEN + watermark_len
}

/// Fills a slice from its front. The slices are cut to the computed length, so nothing is ever left out.
pub(super) struct Writer<'a> {
    pub(super) rest: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) = std::mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    fn varu64(&mut self, v: u64) {
        let written = varint::write_to(v, self.rest);
        self.rest = &mut std::mem::take(&mut self.rest)[written..];
    }

    fn coords(&mut self, coords: &Coords) {
        self.put(&length_field(coords.encoded_len() - NO_COORDS.len()));
        for port in coords.as_slice() {
            self.varu64(*port);
        }
    }

    pub(super) fn watermark(&mut self, watermark: &Watermark) {
        self.put(&watermark.key.0);
        self.varu64(watermark.sequence);
    }
}

/// A header of a frame that starts here.
const fn header(kind: FrameKind, len: usize) -> Header {
    Header { version: 0, kind, extra: 0, hop_limit: 0, len }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, parse};
    use super::*;

    #[test]
    fn what_is_built_is_what_is_parsed() {
        let payload = &b"payload"[..];
        let watermark = Watermark { key: PublicKey([7; 32]), sequence: 1_795_326_766_543 };
        let built =
            BootstrapFrame { version: 1, extra: 2, hop_limit: 3, destination: PublicKey([9; 32]), watermark, payload };
        assert_eq!(parse(&bootstrap(&built).unwrap()), Ok(Frame::Bootstrap(built)));
        let built = BroadcastFrame { version: 1, extra: 2, hop_limit: 5, source: PublicKey([9; 32]), payload };
        assert_eq!(parse(&broadcast(&built).unwrap()), Ok(Frame::Broadcast(built)));
        assert_eq!(parse(&announcement(payload).unwrap()), Ok(Frame::Announcement(payload)));
        let notice = RouteNotice::parse(&[7; 64]).unwrap();
        let built = route_notice(RouteTrouble::Withdrawn, &notice).unwrap();
        assert_eq!(parse(&built), Ok(Frame::RouteNotice(RouteTrouble::Withdrawn, &[7; 64])));
        assert_eq!(built[..11], *b"pine\x00\x11\x00\x00\x00\x4a\x07");
        assert_eq!(keepalive()[..], *b"pine\x00\x00\x00\x00\x00\x0a");
    }

    #[test]
    fn a_traffic_header_goes_in_front_of_a_payload_that_stays() {
        let (here, there) = (Coords::new(vec![4, 300]), Coords::new(vec![1]));
        for destination in [Coords::default(), there] {
            let mut frame = PacketBuf::from(&b"payload"[..]);
            let payload_at = frame.as_ptr();
            let header = TrafficHeader {
                version: 1,
                extra: 2,
                hop_limit: 10,
                destination: &destination,
                source: &here,
                destination_key: &PublicKey([1; 32]),
                source_key: &PublicKey([2; 32]),
                watermark: Watermark::NONE,
            };
            emit_traffic(&mut frame, &header).unwrap();
            let Ok(Frame::Traffic(parsed)) = parse(&frame) else { panic!("not traffic") };
            assert_eq!((parsed.destination.to_owned(), parsed.source.to_owned()), (destination.clone(), here.clone()));
            assert_eq!((parsed.destination_key, parsed.source_key), (PublicKey([1; 32]), PublicKey([2; 32])));
            assert_eq!((parsed.payload, parsed.payload.as_ptr()), (&b"payload"[..], payload_at));
            assert!(parsed.payload_at <= traffic_overhead(&destination, &here));
        }
    }

    #[test]
    fn a_frame_that_its_length_field_cannot_describe_is_not_built() {
        let mut payload = PacketBuf::from(&[0; 65_423][..]);
        let header = TrafficHeader {
            version: 0,
            extra: 0,
            hop_limit: 10,
            destination: &Coords::default(),
            source: &Coords::default(),
            destination_key: &PublicKey::ZERO,
            source_key: &PublicKey::ZERO,
            watermark: Watermark::NONE,
        };
        assert_eq!(emit_traffic(&mut payload, &header), Err(FrameOverflow { len: 65_536 }));
        assert_eq!(payload.len(), 65_423);
        payload.truncate(65_422);
        assert_eq!(emit_traffic(&mut payload, &header), Ok(()));
        assert_eq!(payload.len(), MAX_FRAME_LEN);
        assert!(announcement(&[0; 65_523]).is_ok());
        assert_eq!(announcement(&[0; 65_524]).map(|_| ()), Err(FrameOverflow { len: 65_536 }));
    }
}
