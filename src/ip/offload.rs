//! Packets with work left undone: checksums that nobody has computed yet, and large packets that stand for many.
//!
//! A host gives and takes them with a *virtio-net header* in front (virtio 1.2 §5.1.6), as if the interface were the network card of a
//! virtual machine:
//!
//! ```text
//! flags 1 | gso_type 1 | hdr_len 2 | gso_size 2 | csum_start 2 | csum_offset 2        in the byte order of the machine
//! ```
//!
//! Across the overlay such a packet travels as it is, in one sealed frame; what costs is the number of packets, not their bytes. Only
//! [`Offload`] goes with it. All else in the header follows from the packet itself and is worked out anew by the receiver, which
//! so does not have to believe it.

use crate::buf::{Offload, PacketBuf};
use crate::ip::{Ipv6View, checksum, protocol};

/// Length of a virtio-net header.
pub const VIRTIO_LEN: usize = 10;
/// Packets that one may stand for at most: as many as of 512 bytes fit the largest one, and the kernel's own limit for UDP. A host pays for
/// each of them, the sender only once.
pub const MAX_SEGMENTS: usize = 128;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// "Congestion window reduced" among the flags of TCP (RFC 3168 §6.1).
const TCP_CWR: u8 = 0x80;
/// Where the flags of TCP are in its header.
pub(super) const TCP_FLAGS_AT: usize = 13;

/// A virtio-net header that means nothing for a packet, or nothing that we asked the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the virtio-net header does not fit the packet (GSO type {gso_type}, checksum at {checksum_at})")]
pub struct BadHeader {
    gso_type: u8,
    checksum_at: usize,
}

/// Where the parts of a TCP or UDP packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// TCP or UDP.
    pub protocol: u8,
    /// Where the transport header begins.
    pub transport_at: usize,
    /// Where its data begins.
    pub data_at: usize,
}

impl Layout {
    /// Of a whole, unfragmented TCP or UDP packet; `None` for anything else.
    pub fn of(packet: &[u8]) -> Option<Self> {
        let upper = Ipv6View::parse(packet).ok()?.upper()?;
        if upper.fragment.is_some() {
            return None;
        }
        let transport_at = packet.len() - upper.payload.len();
        let header_len = match upper.protocol {
            protocol::TCP => usize::from(upper.payload.get(12)? >> 4) * 4,
            protocol::UDP => 8,
            _ => return None,
        };
        let least = if upper.protocol == protocol::TCP { 20 } else { 8 };
        (header_len >= least && header_len <= upper.payload.len()).then_some(Self {
            protocol: upper.protocol,
            transport_at,
            data_at: transport_at + header_len,
        })
    }

    /// Where the checksum is in the transport header.
    pub(super) fn checksum_offset(&self) -> usize {
        if self.protocol == protocol::TCP { 16 } else { 6 }
    }
}

/// Length of the largest of the packets that one stands for (what an MTU has to be compared with), in bytes, and whether it
/// [is sound](is_sound): both in one look.
pub fn extent(packet: &PacketBuf) -> (usize, bool) {
    match packet.offload {
        Offload::None => (packet.len(), true),
        Offload::Checksum => (packet.len(), is_sound(packet)),
        Offload::Segments(size) => Layout::of(packet).map_or((packet.len(), false), |layout| {
            let sound = size > 0 && segments(packet.len() - layout.data_at, size) <= MAX_SEGMENTS;
            (packet.len().min(layout.data_at + usize::from(size)), sound)
        }),
    }
}

/// Whether a packet of somebody else can be what its [`Offload`] says, and a host can be burdened with it.
pub fn is_sound(packet: &PacketBuf) -> bool {
    match packet.offload {
        Offload::None => true,
        Offload::Checksum => Layout::of(packet).is_some(),
        Offload::Segments(_) => extent(packet).1,
    }
}

/// Whether it is a whole TCP packet.
pub fn is_tcp(packet: &[u8]) -> bool {
    Layout::of(packet).is_some_and(|layout| layout.protocol == protocol::TCP)
}

fn segments(data_len: usize, size: u16) -> usize {
    data_len.div_ceil(usize::from(size).max(1))
}

/// Reads the header in front of a packet that the host gave us and notes in the packet what it says.
///
/// # Errors
/// The header does not fit the packet.
pub fn from_host(header: [u8; VIRTIO_LEN], packet: &mut PacketBuf) -> Result<(), BadHeader> {
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (flags, gso_type, gso_size) = (header[0], header[1], field(4));
    let (start, offset) = (usize::from(field(6)), usize::from(field(8)));
    if flags & NEEDS_CSUM == 0 {
        return if gso_type == GSO_NONE { Ok(()) } else { Err(BadHeader { gso_type, checksum_at: 0 }) };
    }
    let bad = BadHeader { gso_type, checksum_at: start + offset };
    let layout = Layout::of(packet).filter(|layout| layout.transport_at == start && layout.checksum_offset() == offset);
    match (gso_type & !GSO_ECN, layout) {
        (GSO_NONE, Some(_)) => packet.offload = Offload::Checksum,
        (GSO_NONE, None) => complete_at(packet, start, offset).ok_or(bad)?,
        (GSO_TCPV6, Some(Layout { protocol: protocol::TCP, .. }))
        | (GSO_UDP_L4, Some(Layout { protocol: protocol::UDP, .. }))
            if gso_size > 0 =>
        {
            packet.offload = Offload::Segments(gso_size);
        }
        _ => return Err(bad),
    }
    Ok(())
}

/// The header to put in front of a packet for a host that takes work left undone. The packet must be [sound](is_sound).
pub fn to_host(packet: &PacketBuf) -> [u8; VIRTIO_LEN] {
    let mut header = [0; VIRTIO_LEN];
    let Some(layout) = (packet.offload != Offload::None).then(|| Layout::of(packet)).flatten() else { return header };
    header[0] = NEEDS_CSUM;
    let mut put = |at: usize, value: usize| header[at..at + 2].copy_from_slice(&(value as u16).to_ne_bytes());
    put(6, layout.transport_at);
    put(8, layout.checksum_offset());
    if let Offload::Segments(size) = packet.offload {
        put(2, layout.data_at);
        put(4, usize::from(size));
        header[1] = match layout.protocol {
            protocol::TCP if packet[layout.transport_at + TCP_FLAGS_AT] & TCP_CWR != 0 => GSO_TCPV6 | GSO_ECN,
            protocol::TCP => GSO_TCPV6,
            _ => GSO_UDP_L4,
        };
    }
    header
}

/// Computes the checksum that a packet lacks, if it lacks one and stands for itself alone.
pub fn complete(packet: &mut PacketBuf) {
    if packet.offload != Offload::Checksum {
        return;
    }
    packet.offload = Offload::None;
    if let Some(layout) = Layout::of(packet) {
        complete_at(packet, layout.transport_at, layout.checksum_offset());
    }
}

/// Sums from `start` to the end and puts the checksum `offset` bytes behind `start`, where the sum of the pseudo header is until then.
fn complete_at(packet: &mut PacketBuf, start: usize, offset: usize) -> Option<()> {
    let message = packet.get_mut(start..)?;
    let sum = checksum::of_partial(message);
    let field = message.get_mut(offset..offset.checked_add(2)?)?;
    // For UDP a checksum of zero means none (RFC 8200 §8.1); its other form, all ones, is right for every protocol.
    field.copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ip::segment::tests::{packet, tcp, udp};

    fn header(flags: u8, gso_type: u8, gso_size: u16, start: u16, offset: u16) -> [u8; VIRTIO_LEN] {
        let mut header = [0; VIRTIO_LEN];
        header[..2].copy_from_slice(&[flags, gso_type]);
        for (at, value) in [(2, 60), (4, gso_size), (6, start), (8, offset)] {
            header[at..at + 2].copy_from_slice(&u16::to_ne_bytes(value));
        }
        header
    }

    #[test]
    fn what_the_kernel_left_undone_is_noted_and_given_back_to_another_kernel() {
        for (header, packet, offload) in [
            (header(0, GSO_NONE, 0, 0, 0), tcp(100), Offload::None),
            (header(NEEDS_CSUM, GSO_NONE, 0, 40, 16), tcp(100), Offload::Checksum),
            (header(NEEDS_CSUM, GSO_TCPV6, 1_440, 40, 16), tcp(9_000), Offload::Segments(1_440)),
            (header(NEEDS_CSUM, GSO_UDP_L4, 1_200, 40, 6), udp(9_000), Offload::Segments(1_200)),
        ] {
            let mut packet = packet;
            from_host(header, &mut packet).unwrap();
            assert_eq!(packet.offload, offload);
            assert!(is_sound(&packet));
            let again = to_host(&packet);
            assert_eq!((again[0], again[1]), (header[0], header[1]));
            if offload != Offload::None {
                assert_eq!(again[4..], header[4..]);
            }
        }
    }

    #[test]
    fn a_congestion_mark_is_told_to_the_kernel() {
        let mut marked = tcp(9_000);
        marked[40 + TCP_FLAGS_AT] |= TCP_CWR;
        from_host(header(NEEDS_CSUM, GSO_TCPV6 | GSO_ECN, 1_440, 40, 16), &mut marked).unwrap();
        assert_eq!(to_host(&marked)[1], GSO_TCPV6 | GSO_ECN);
    }

    #[test]
    fn a_header_that_does_not_fit_its_packet_is_refused() {
        for (header, mut packet) in [
            (header(0, GSO_TCPV6, 1_440, 40, 16), tcp(9_000)),
            (header(NEEDS_CSUM, 1, 1_440, 40, 16), tcp(9_000)),
            (header(NEEDS_CSUM, GSO_TCPV6, 0, 40, 16), tcp(9_000)),
            (header(NEEDS_CSUM, GSO_TCPV6, 1_440, 40, 16), udp(9_000)),
            (header(NEEDS_CSUM, GSO_UDP_L4, 1_440, 44, 6), udp(9_000)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 60_000, 6), udp(100)),
        ] {
            from_host(header, &mut packet).unwrap_err();
        }
    }

    #[test]
    fn a_checksum_of_a_protocol_that_we_do_not_know_is_computed_at_once() {
        let mut sctp = packet(protocol::SCTP, &[7; 64]);
        sctp[48..50].fill(0);
        from_host(header(NEEDS_CSUM, GSO_NONE, 0, 40, 8), &mut sctp).unwrap();
        assert_eq!((sctp.offload, checksum::of_partial(&sctp[40..])), (Offload::None, 0));
    }

    #[test]
    fn a_packet_that_stands_for_too_many_is_not_sound() {
        let mut many = tcp(60_000);
        for (size, sound) in [(0, false), (1, false), (468, false), (469, true), (60_000, true)] {
            many.offload = Offload::Segments(size);
            assert_eq!(is_sound(&many), sound, "{size}");
        }
        let mut other = packet(protocol::ICMPV6, &[0; 64]);
        other.offload = Offload::Checksum;
        assert!(!is_sound(&other));
    }

    #[test]
    fn an_mtu_is_compared_with_the_packets_that_one_stands_for() {
        let mut packet = tcp(9_000);
        assert_eq!(extent(&packet).0, 9_060);
        packet.offload = Offload::Segments(1_440);
        assert_eq!(extent(&packet).0, 1_500);
        packet.offload = Offload::Segments(20_000);
        assert_eq!(extent(&packet).0, 9_060);
    }

    proptest! {
        #[test]
        fn nothing_that_others_write_into_a_packet_makes_the_header_point_outside_it(
            mut bytes in prop::collection::vec(any::<u8>(), 41..200), size in any::<u16>(), next in prop::sample::select(vec![0u8, 6, 17, 43, 44, 60]),
        ) {
            let payload = (bytes.len() - 40) as u16;
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&payload.to_be_bytes());
            bytes[6] = next;
            let mut packet = PacketBuf::from(&bytes[..]);
            for offload in [Offload::Checksum, Offload::Segments(size)] {
                packet.offload = offload;
                if is_sound(&packet) {
                    let header = to_host(&packet);
                    let field = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
                    prop_assert!(field(6) + field(8) + 2 <= packet.len() && field(2) <= packet.len());
                }
            }
        }
    }
}
