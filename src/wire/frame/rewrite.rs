//! Rewriting traffic frames on their way. The payload never moves: header bytes shift within the headroom.

use super::build::Writer;
use super::{
    DESTINATION_AT, FrameKind, HEADER_LEN, HOP_LIMIT_AT, Header, KEYS_LEN, LENGTH_AT, NO_COORDS, checked_len,
    length_field, read_watermark,
};
use crate::buf::PacketBuf;
use crate::wire::snake::Watermark;
use crate::wire::{FrameOverflow, Reader};

/// Replaces the watermark of a traffic frame that goes by key. In place if the sequence takes as many bytes as before;
/// otherwise the header moves, the payload never does. A frame that [`parse`](super::parse) would not call such a frame is left as it is.
///
/// # Errors
/// [`FrameOverflow`] if the frame would outgrow its length field; it is unchanged.
pub fn set_watermark(frame: &mut PacketBuf, watermark: Watermark) -> Result<(), FrameOverflow> {
    let Some(layout) = Layout::of(frame) else { return Ok(()) };
    if layout.destination_len > 0 {
        return Ok(());
    }
    let old = layout.payload_at - layout.watermark_at;
    let new = watermark.encoded_len();
    let len = checked_len(frame.len() - old + new)?;
    if new > old {
        frame.prepend(new - old);
        frame.copy_within(new - old..new - old + layout.watermark_at, 0);
    } else if new < old {
        frame.copy_within(..layout.watermark_at, old - new);
        frame.advance(old - new);
    }
    finish_rewrite(frame, layout.watermark_at, &watermark, len);
    Ok(())
}

/// Turns a traffic frame that goes by coordinates into one that goes by key: the destination goes, the watermark comes.
/// Header bytes move, the payload does not. A frame that goes by key already only gets the watermark; one that [`parse`](super::parse)
/// would refuse is left as it is.
///
/// # Errors
/// [`FrameOverflow`] if the frame would outgrow its length field; it is unchanged.
pub fn clear_destination(frame: &mut PacketBuf, watermark: Watermark) -> Result<(), FrameOverflow> {
    let Some(layout) = Layout::of(frame) else { return Ok(()) };
    let destination_len = layout.destination_len;
    if destination_len == 0 {
        return set_watermark(frame, watermark);
    }
    let added = watermark.encoded_len();
    let len = checked_len(frame.len() - destination_len + added)?;
    let mut front = [0; DESTINATION_AT];
    front.copy_from_slice(&frame[..DESTINATION_AT]);
    frame.prepend(added);
    // Source and keys go down to make room for the watermark in front of the payload, over the front if the destination is
    // short; the front goes to where the destination ends.
    let source_at = DESTINATION_AT + NO_COORDS.len() + destination_len;
    frame.copy_within(added + source_at..added + layout.payload_at, source_at);
    frame.advance(destination_len);
    frame[..DESTINATION_AT].copy_from_slice(&front);
    let watermark_at = layout.payload_at - destination_len;
    frame[DESTINATION_AT..DESTINATION_AT + NO_COORDS.len()].copy_from_slice(&NO_COORDS);
    finish_rewrite(frame, watermark_at, &watermark, len);
    Ok(())
}

/// Replaces the hop limit of any frame.
pub fn set_hop_limit(frame: &mut PacketBuf, hop_limit: u8) {
    if let Some(byte) = frame.get_mut(HOP_LIMIT_AT) {
        *byte = hop_limit;
    }
}

/// Writes what changes in every rewritten traffic frame: watermark and frame length.
fn finish_rewrite(frame: &mut PacketBuf, watermark_at: usize, watermark: &Watermark, len: usize) {
    Writer { rest: &mut frame[watermark_at..] }.watermark(watermark);
    frame[LENGTH_AT..HEADER_LEN].copy_from_slice(&length_field(len));
}

/// Where things are in a traffic frame.
struct Layout {
    /// Bytes of the destination's ports.
    destination_len: usize,
    /// Where the watermark is, if the frame goes by key; otherwise the same as `payload_at`.
    watermark_at: usize,
    /// Where the payload starts.
    payload_at: usize,
}

impl Layout {
    /// `None` if this is not a traffic frame. Looks at lengths only, not at ports.
    fn of(frame: &[u8]) -> Option<Self> {
        let header = Header::parse(frame).ok()?;
        if header.kind != FrameKind::Traffic || header.len != frame.len() {
            return None;
        }
        let what = "traffic frame";
        let mut reader = Reader::new(frame);
        reader.take(HEADER_LEN, what).ok()?;
        let payload_len = usize::from(reader.u16(what).ok()?);
        let destination_len = usize::from(reader.u16(what).ok()?);
        reader.take(destination_len, what).ok()?;
        let source_len = usize::from(reader.u16(what).ok()?);
        reader.take(source_len + KEYS_LEN, what).ok()?;
        let watermark_at = frame.len() - reader.rest().len();
        if destination_len == 0 {
            read_watermark(&mut reader).ok()?;
        }
        let payload_at = frame.len() - reader.rest().len();
        (reader.rest().len() == payload_len).then_some(Self { destination_len, watermark_at, payload_at })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, TrafficHeader, announcement, emit_traffic, parse};
    use super::*;
    use crate::keys::PublicKey;
    use crate::wire::coords::Coords;

    fn mark(sequence: u64) -> Watermark {
        Watermark { key: PublicKey([7; 32]), sequence }
    }

    fn traffic(destination: &Coords, watermark: Watermark, payload: &[u8]) -> PacketBuf {
        let mut frame = PacketBuf::from(payload);
        let header = TrafficHeader {
            version: 1,
            extra: 2,
            hop_limit: 10,
            destination,
            source: &Coords::new(vec![4, 300]),
            destination_key: &PublicKey([1; 32]),
            source_key: &PublicKey([2; 32]),
            watermark,
        };
        emit_traffic(&mut frame, &header).unwrap();
        frame
    }

    #[test]
    fn a_rewritten_frame_is_the_frame_that_would_have_been_built() {
        for old in [0, 127, 128, u64::MAX] {
            for new in [0, 5, 1 << 40, u64::MAX] {
                let expected = traffic(&Coords::default(), mark(new), b"payload");
                let payload_at = |frame: &PacketBuf| frame.as_ptr_range().end;
                let mut frame = traffic(&Coords::default(), mark(old), b"payload");
                let before = payload_at(&frame);
                set_watermark(&mut frame, mark(new)).unwrap();
                assert_eq!(&*frame, &*expected, "{old} → {new}");
                assert_eq!(payload_at(&frame), before, "the payload moved");
                for destination in [vec![1], vec![1; 33], vec![1; 34], vec![300; 60], vec![]] {
                    let mut frame = traffic(&Coords::new(destination.clone()), mark(old), b"payload");
                    let before = payload_at(&frame);
                    clear_destination(&mut frame, mark(new)).unwrap();
                    assert_eq!(&*frame, &*expected, "{destination:?} → {new}");
                    assert_eq!(payload_at(&frame), before, "the payload moved");
                }
            }
        }
    }

    #[test]
    fn a_frame_that_would_outgrow_its_length_field_stays_as_it_is() {
        let mut frame = traffic(&Coords::default(), mark(0), &[9; 65_535 - 116]);
        assert_eq!(frame.len(), 65_535);
        let before = frame.to_vec();
        assert_eq!(set_watermark(&mut frame, mark(128)), Err(FrameOverflow { len: 65_536 }));
        assert_eq!(*frame, *before);
        let mut frame = traffic(&Coords::new(vec![1]), mark(0), &[9; 65_419]);
        let before = frame.to_vec();
        assert_eq!(clear_destination(&mut frame, mark(128)), Err(FrameOverflow { len: 65_536 }));
        assert_eq!(*frame, *before);
        assert_eq!(clear_destination(&mut frame, mark(127)), Ok(()));
        assert_eq!(frame.len(), 65_535);
    }

    #[test]
    fn only_traffic_is_rewritten() {
        let mut frame = announcement(&[0; 200]).unwrap();
        let before = frame.to_vec();
        assert_eq!(set_watermark(&mut frame, mark(1)), Ok(()));
        assert_eq!(clear_destination(&mut frame, mark(1)), Ok(()));
        assert_eq!(*frame, *before);
        let mut by_coordinates = traffic(&Coords::new(vec![1]), mark(0), b"payload");
        let before = by_coordinates.to_vec();
        assert_eq!(set_watermark(&mut by_coordinates, mark(1)), Ok(()));
        assert_eq!(*by_coordinates, *before);
    }

    #[test]
    fn a_padded_watermark_is_replaced_by_a_canonical_one() {
        let mut padded = traffic(&Coords::default(), mark(128), b"payload");
        let at = padded.len() - b"payload".len() - 2;
        padded[at..at + 2].copy_from_slice(&[0x80, 0x00]);
        set_watermark(&mut padded, mark(0)).unwrap();
        assert_eq!(&*padded, &*traffic(&Coords::default(), mark(0), b"payload"));
    }

    #[test]
    fn the_hop_limit_is_one_byte_of_any_frame() {
        let mut frame = traffic(&Coords::new(vec![1]), mark(0), b"payload");
        set_hop_limit(&mut frame, 3);
        assert!(matches!(parse(&frame), Ok(Frame::Traffic(traffic)) if traffic.hop_limit == 3));
    }
}
