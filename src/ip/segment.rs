//! Cutting a packet that stands for many: what a network card with segmentation offload does, for hosts that take whole packets only and
//! for frames that do not hold the large one.
//!
//! Every piece has the headers of the original with what is its own: lengths, TCP's sequence number, and of TCP's flags those that belong
//! to the first packet (congestion window reduced) or to the last (end, push).

use std::net::Ipv6Addr;

use super::offload::{self, Layout, TCP_FLAGS_AT};
use crate::buf::{Offload, PacketBuf};
use crate::ip::{Ipv6View, checksum, protocol};

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

/// Iterator over the pieces of a packet.
#[derive(Debug)]
pub struct Pieces<'a> {
    packet: &'a PacketBuf,
    layout: Layout,
    ends: (Ipv6Addr, Ipv6Addr),
    /// Data bytes per packet and, a multiple of it, per piece.
    size: u16,
    step: usize,
    at: usize,
}

/// Cuts a packet that stands for many into pieces of at most `max_len` bytes, each of which stands for as many as it holds. `None` if it
/// does not stand for many, or `max_len` is too short for even one.
pub fn pieces(packet: &PacketBuf, max_len: usize) -> Option<Pieces<'_>> {
    Pieces::new(packet, |data_at, size| max_len.checked_sub(data_at)?.checked_div(size))
}

/// Hands out what a host takes that wants complete packets: the packet with its checksum, or all that it stands for.
pub fn complete(mut packet: PacketBuf, mut give: impl FnMut(PacketBuf)) {
    if let Some(pieces) = Pieces::new(&packet, |_, _| Some(1)) {
        for mut piece in pieces {
            offload::complete(&mut piece);
            give(piece);
        }
        return;
    }
    offload::complete(&mut packet);
    give(packet);
}

impl Iterator for Pieces<'_> {
    type Item = PacketBuf;

    fn next(&mut self) -> Option<PacketBuf> {
        let data = self.packet.get(self.at..)?;
        let data = &data[..data.len().min(self.step)];
        let first = self.at == self.layout.data_at;
        if data.is_empty() && !first {
            return None;
        }
        let mut piece = PacketBuf::with_capacity(self.layout.data_at + data.len());
        piece.append(&self.packet[..self.layout.data_at]);
        piece.append(data);
        let before = self.at - self.layout.data_at;
        // One past the end, so that a packet without data is a piece, and the only one.
        self.at += data.len().max(1);
        self.adapt(&mut piece, before, self.at >= self.packet.len());
        let one = data.len() <= usize::from(self.size);
        piece.offload = if one { Offload::Checksum } else { Offload::Segments(self.size) };
        Some(piece)
    }
}

impl<'a> Pieces<'a> {
    /// Pieces of as many packets as `many` says, given where the data begins and how much of it each packet has.
    fn new(packet: &'a PacketBuf, many: impl FnOnce(usize, usize) -> Option<usize>) -> Option<Self> {
        let Offload::Segments(size) = packet.offload else { return None };
        let layout = Layout::of(packet)?;
        let view = Ipv6View::parse(packet).ok()?;
        let each = usize::from(size);
        let many = many(layout.data_at, each).filter(|many| *many > 0 && each > 0)?.min(offload::MAX_SEGMENTS);
        let ends = (view.source(), view.destination());
        Some(Self { packet, layout, ends, size, step: many * each, at: layout.data_at })
    }

    /// Writes what is a piece's own into its headers; `before` data bytes are in earlier ones.
    fn adapt(&self, piece: &mut PacketBuf, before: usize, last: bool) {
        let Layout { protocol, transport_at, .. } = self.layout;
        // A packet of at most 65,575 bytes was parsed, so what follows its fixed header is told by 16 bits.
        let payload_len = (piece.len() - crate::ip::IPV6_HEADER_LEN) as u16;
        piece[4..6].copy_from_slice(&payload_len.to_be_bytes());
        let sum_at = self.layout.checksum_offset();
        let transport = &mut piece[transport_at..];
        let len = transport.len();
        if protocol == protocol::TCP {
            let sequence = transport
                .first_chunk::<8>()
                .map_or(0, |head| u32::from_be_bytes([head[4], head[5], head[6], head[7]]).wrapping_add(before as u32));
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            let flags = &mut transport[TCP_FLAGS_AT];
            *flags &= if before > 0 { !TCP_CWR } else { 0xff };
            *flags &= if last { 0xff } else { !(TCP_FIN | TCP_PSH) };
        } else {
            transport[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        }
        let sum = checksum::pseudo_header(self.ends.0, self.ends.1, protocol, len);
        transport[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet with these bytes after the fixed header.
    pub(in crate::ip) fn packet(next: u8, payload: &[u8]) -> PacketBuf {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend([next, 64]);
        bytes.extend([[0x06; 16], [0x07; 16]].concat());
        bytes.extend(payload);
        PacketBuf::from(&bytes[..])
    }

    fn data(len: usize) -> impl Iterator<Item = u8> {
        (0..len).map(|n| (n % 251) as u8)
    }

    /// A TCP packet with its last flags set, the sum of the pseudo header in place.
    pub(in crate::ip) fn tcp(len: usize) -> PacketBuf {
        let mut message =
            vec![0x30, 0x39, 0, 22, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 9, 0x50, TCP_FIN | TCP_PSH | 0x10, 1, 0];
        message.extend(checksum::pseudo_header([6; 16].into(), [7; 16].into(), protocol::TCP, 20 + len).to_be_bytes());
        message.extend([0, 0]);
        message.extend(data(len));
        packet(protocol::TCP, &message)
    }

    /// A UDP packet, the sum of the pseudo header in place.
    pub(in crate::ip) fn udp(len: usize) -> PacketBuf {
        let mut message = vec![0x30, 0x39, 0, 53];
        message.extend(((8 + len) as u16).to_be_bytes());
        message.extend(checksum::pseudo_header([6; 16].into(), [7; 16].into(), protocol::UDP, 8 + len).to_be_bytes());
        message.extend(data(len));
        packet(protocol::UDP, &message)
    }

    fn all(mut packet: PacketBuf, size: u16) -> Vec<PacketBuf> {
        packet.offload = Offload::Segments(size);
        let mut out = Vec::new();
        complete(packet, |piece| out.push(piece));
        out
    }

    fn sum_is_right(piece: &[u8]) -> bool {
        let view = Ipv6View::parse(piece).unwrap();
        checksum::transport(view.source(), view.destination(), view.next_header(), view.payload()) == 0
    }

    fn sequence(piece: &[u8]) -> u32 {
        u32::from_be_bytes(piece[44..48].try_into().unwrap())
    }

    #[test]
    fn tcp_is_cut_with_sequence_numbers_that_wrap_and_flags_where_they_belong() {
        let mut original = tcp(3_000);
        original[53] |= TCP_CWR;
        let pieces = all(original, 1_440);
        let got: Vec<_> = pieces.iter().map(|piece| (piece.len(), sequence(piece), piece[53])).collect();
        assert_eq!(
            got,
            [
                (1_500, 0xffff_ff00, 0x10 | TCP_CWR),
                (1_500, 1_440 - 256, 0x10),
                (180, 2_880 - 256, 0x10 | TCP_FIN | TCP_PSH)
            ]
        );
        assert!(pieces.iter().all(|piece| sum_is_right(piece) && piece.offload == Offload::None));
    }

    #[test]
    fn every_udp_datagram_has_its_own_length() {
        let pieces = all(udp(2_500), 1_200);
        let lens: Vec<_> = pieces.iter().map(|piece| u16::from_be_bytes([piece[44], piece[45]])).collect();
        assert_eq!(lens, [1_208, 1_208, 108]);
        assert!(pieces.iter().all(|piece| sum_is_right(piece)));
    }

    #[test]
    fn a_packet_with_nothing_undone_stays_as_it_is() {
        let original = tcp(100);
        let mut out = Vec::new();
        complete(original.clone(), |piece| out.push(piece));
        assert_eq!(out.len(), 1);
        assert_eq!(out[0][..], original[..]);
    }

    #[test]
    fn an_acknowledgement_without_data_is_one_piece() {
        let pieces = all(tcp(0), 1_440);
        assert_eq!(pieces.len(), 1);
        assert!(sum_is_right(&pieces[0]));
    }

    #[test]
    fn what_cannot_be_cut_is_not() {
        let mut packet = tcp(3_000);
        assert!(pieces(&packet, 1_500).is_none());
        packet.offload = Offload::Segments(1_440);
        assert!(pieces(&packet, 1_499).is_none());
        packet.offload = Offload::Segments(0);
        assert!(pieces(&packet, 1_500).is_none());
    }

    proptest! {
        #[test]
        fn pieces_cut_in_two_steps_are_those_cut_at_once(
            len in 0usize..20_000, size in 200u16..3_000, room in 3_100usize..20_000, is_tcp in any::<bool>(),
        ) {
            let mut packet = if is_tcp { tcp(len) } else { udp(len) };
            packet.offload = Offload::Segments(size);
            let mut in_two_steps = Vec::new();
            for piece in pieces(&packet, room).unwrap() {
                prop_assert!(piece.len() <= room && offload::is_sound(&piece));
                complete(piece, |piece| in_two_steps.push(piece.to_vec()));
            }
            let at_once: Vec<_> = all(packet.clone(), size).iter().map(|piece| piece.to_vec()).collect();
            prop_assert_eq!(&in_two_steps, &at_once);
            let data_at = Layout::of(&packet).unwrap().data_at;
            let data: Vec<u8> = at_once.iter().flat_map(|piece| piece[data_at..].to_vec()).collect();
            prop_assert_eq!(&data[..], &packet[data_at..]);
            prop_assert!(at_once.iter().all(|piece| sum_is_right(piece)));
        }
    }
}
