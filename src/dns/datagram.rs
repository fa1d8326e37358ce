//! UDP over IPv6, as much as a question and its answer need (RFC 768, RFC 8200 §8.1).

use std::net::Ipv6Addr;

use super::PORT;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::ip::{IPV6_HEADER_LEN, Ipv6View, checksum, protocol};

const UDP_HEADER_LEN: usize = 8;
/// The answer crosses no router.
const HOP_LIMIT: u8 = 64;

/// A datagram to our port. Its checksum is not looked at: the host's kernel leaves it to be computed for what goes no further.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: Ipv6Addr,
    destination: Ipv6Addr,
    source_port: u16,
    /// What is in it.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads an IPv6 packet.
    ///
    /// # Errors
    /// It is something else than a whole UDP datagram to port 53 without extension headers.
    pub fn parse(packet: &'a [u8]) -> Result<Self, DropReason> {
        let view = Ipv6View::parse(packet)?;
        let udp = packet.get(IPV6_HEADER_LEN..).unwrap_or_default();
        let Some((header, payload)) = udp.split_first_chunk::<UDP_HEADER_LEN>() else {
            return Err(DropReason::MalformedPacket);
        };
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let is_whole = packet[6] == protocol::UDP && usize::from(field(4)) == udp.len() && field(2) == PORT;
        if !is_whole {
            return Err(DropReason::MalformedPacket);
        }
        Ok(Self { source: view.source(), destination: view.destination(), source_port: field(0), payload })
    }

    /// The packet that carries `message` back.
    pub fn reply(&self, message: &[u8]) -> PacketBuf {
        build(self.destination, self.source, (PORT, self.source_port), message)
    }
}

/// A packet with one datagram; `ports` are source and destination.
pub fn build(source: Ipv6Addr, destination: Ipv6Addr, ports: (u16, u16), message: &[u8]) -> PacketBuf {
    // Answers have a few hundred bytes, and questions that long are none.
    let message = message.get(..message.len().min(usize::from(u16::MAX) - UDP_HEADER_LEN)).unwrap_or_default();
    let len = (UDP_HEADER_LEN + message.len()) as u16;
    let mut udp = Vec::with_capacity(usize::from(len));
    for field in [ports.0, ports.1, len, 0] {
        udp.extend_from_slice(&field.to_be_bytes());
    }
    udp.extend_from_slice(message);
    // Zero would mean "not computed", which IPv6 does not allow; its other form is all ones.
    let sum = match checksum::transport(source, destination, protocol::UDP, &udp) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = PacketBuf::with_capacity(IPV6_HEADER_LEN + udp.len());
    packet.append(&[0x60, 0, 0, 0]);
    packet.append(&len.to_be_bytes());
    packet.append(&[protocol::UDP, HOP_LIMIT]);
    packet.append(&source.octets());
    packet.append(&destination.octets());
    packet.append(&udp);
    packet
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};

    use super::*;
    use crate::dns::ADDRESS;

    /// A question for an address.
    pub(crate) fn question(name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).unwrap();
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::AAAA), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_built_can_be_read_and_adds_up(message in proptest::collection::vec(any::<u8>(), 0..600), port: u16) {
            let source = "600::1".parse().unwrap();
            let packet = build(source, ADDRESS, (port, PORT), &message);
            let read = Datagram::parse(&packet).unwrap();
            prop_assert_eq!((read.source, read.source_port, read.payload), (source, port, &message[..]));
            prop_assert_eq!(checksum::transport(source, ADDRESS, protocol::UDP, &packet[IPV6_HEADER_LEN..]), 0);
            for len in 0..packet.len() {
                prop_assert!(Datagram::parse(&packet[..len]).is_err());
            }
        }
    }

    #[test]
    fn other_ports_and_protocols_are_not_answered() {
        let source = "600::1".parse().unwrap();
        assert!(Datagram::parse(&build(source, ADDRESS, (1, 54), b"")).is_err());
        let mut tcp = build(source, ADDRESS, (1, PORT), b"");
        tcp[6] = protocol::TCP;
        assert!(Datagram::parse(&tcp).is_err());
    }
}
