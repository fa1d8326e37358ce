//! IPv6 packets for tests.

use std::net::Ipv6Addr;

use etherparse::{Icmpv6Slice, PacketBuilder};
use pinecone::buf::PacketBuf;

/// A UDP packet.
pub fn udp(from: Ipv6Addr, to: Ipv6Addr, ports: (u16, u16), payload: &[u8]) -> PacketBuf {
    let builder = PacketBuilder::ipv6(from.octets(), to.octets(), 64).udp(ports.0, ports.1);
    let mut bytes = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut bytes, payload).unwrap();
    PacketBuf::from(&bytes[..])
}

/// The type and code of an ICMPv6 packet.
pub fn icmp_type_code(packet: &[u8]) -> Option<(u8, u8)> {
    if packet.get(6) != Some(&58) {
        return None;
    }
    let icmp = Icmpv6Slice::from_slice(packet.get(40..)?).ok()?;
    Some((icmp.type_u8(), icmp.code_u8()))
}

/// The MTU that a Packet Too Big message names.
pub fn too_big_mtu(packet: &[u8]) -> Option<u32> {
    (icmp_type_code(packet)? == (2, 0)).then(|| u32::from_be_bytes(packet[44..48].try_into().unwrap()))
}
