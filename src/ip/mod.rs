//! IP packets as the overlay sees them: bytes to look at, never to take apart.
//!
//! The packet path only needs the fixed IPv6 header, so [`Ipv6View::parse`] checks that and nothing else. Extension headers are
//! walked (bounded) by those who must know what is inside: the [firewall], [ICMPv6 errors](icmp), and
//! [`Ipv6View::flow`] for fair queues.
//!
//! **Hop limits.** The overlay is one link between two hosts, however many nodes a frame crosses, so nobody in it decrements
//! the hop limit: the host's kernel does when it forwards from a routed /64 to the interface, as for any other link. A packet
//! that leaves the host with hop limit 0 must not be forwarded (RFC 8200 §3): it is dropped as
//! [`HopLimit`](DropReason::HopLimit) and answered with [`icmp::hop_limit_exceeded`]. One that *arrives* with hop limit 0 is
//! at its destination and is delivered.

pub mod checksum;
pub mod firewall;
pub mod icmp;
pub mod offload;
pub mod segment;
mod upper;

use std::net::Ipv6Addr;

pub use upper::{Fragment, Upper, protocol};

use crate::drops::DropReason;

/// Length of the fixed IPv6 header (RFC 8200 §3).
pub const IPV6_HEADER_LEN: usize = 40;
/// The smallest MTU that an IPv6 link may have (RFC 8200 §5).
pub const MIN_MTU: usize = 1280;

/// Why bytes are not one IPv6 packet. All of it is the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIpv6 {
    /// Fewer bytes than the fixed header has.
    #[error("{0} bytes are too few for an IPv6 header")]
    Truncated(usize),
    /// Another IP version.
    #[error("the IP version is {0}, not 6")]
    Version(u8),
    /// The header's payload length does not match. Also what a jumbogram (RFC 2675) ends as: no frame could carry one.
    #[error("the IPv6 header announces {announced} bytes of payload and {present} follow")]
    Length {
        /// The header's payload length.
        announced: usize,
        /// Bytes after the header.
        present: usize,
    },
}

impl From<NotIpv6> for DropReason {
    fn from(_: NotIpv6) -> Self {
        Self::MalformedPacket
    }
}

/// One whole IPv6 packet whose fixed header has been checked: version 6, payload length equal to what follows.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    header: &'a [u8; IPV6_HEADER_LEN],
    payload: &'a [u8],
}

/// What tells one conversation from another: addresses, upper-layer protocol and ports.
///
/// Ports are zero where the protocol has none and in all fragments but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Upper-layer protocol number; the first next-header value if the extension headers cannot be followed.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
}

impl<'a> Ipv6View<'a> {
    /// Checks the fixed header of `packet`, which must be exactly one packet.
    ///
    /// # Errors
    /// [`NotIpv6`] says what is wrong; as a drop it counts as [`DropReason::MalformedPacket`].
    pub fn parse(packet: &'a [u8]) -> Result<Self, NotIpv6> {
        let view = Self::parse_truncated(packet)?;
        let announced = view.announced_len();
        if announced == view.payload.len() {
            Ok(view)
        } else {
            Err(NotIpv6::Length { announced, present: view.payload.len() })
        }
    }

    /// As [`Ipv6View::parse`] for the packet that an ICMPv6 error quotes: its end may be missing.
    fn parse_truncated(packet: &'a [u8]) -> Result<Self, NotIpv6> {
        let Some((header, payload)) = packet.split_first_chunk() else { return Err(NotIpv6::Truncated(packet.len())) };
        let view = Self { header, payload };
        match header[0] >> 4 {
            6 => Ok(view),
            version => Err(NotIpv6::Version(version)),
        }
    }

    fn announced_len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.header[4], self.header[5]]))
    }

    /// Source address.
    pub fn source(&self) -> Ipv6Addr {
        self.address_at(8)
    }

    /// Destination address.
    pub fn destination(&self) -> Ipv6Addr {
        self.address_at(24)
    }

    fn address_at(&self, at: usize) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.header[at..at + 16]);
        octets.into()
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// The number of the header after the fixed one: an extension header or the upper-layer protocol.
    pub fn next_header(&self) -> u8 {
        self.header[6]
    }

    /// Everything after the fixed header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Length of the packet in bytes, fixed header included.
    #[expect(clippy::len_without_is_empty, reason = "a packet has at least its header")]
    pub fn len(&self) -> usize {
        IPV6_HEADER_LEN + self.payload.len()
    }

    /// What is behind the extension headers; `None` if they are malformed or too many to follow.
    pub fn upper(&self) -> Option<Upper<'a>> {
        Upper::walk(self.next_header(), self.payload)
    }

    /// The conversation that this packet belongs to.
    pub fn flow(&self) -> Flow {
        let upper = self.upper();
        let (source_port, destination_port) = upper.and_then(|upper| upper.ports()).unwrap_or_default();
        Flow {
            source_port,
            destination_port,
            protocol: upper.map_or(self.next_header(), |upper| upper.protocol),
            source: self.source(),
            destination: self.destination(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet between two addresses, with hop limit 64.
    pub(crate) fn packet(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x60, 0, 0, 0, (payload.len() >> 8) as u8, payload.len() as u8, next_header, 64];
        out.extend(source.octets());
        out.extend(destination.octets());
        out.extend(payload);
        out
    }

    fn udp(source: &str, destination: &str) -> Vec<u8> {
        packet(source.parse().unwrap(), destination.parse().unwrap(), protocol::UDP, &[0, 53, 0x1f, 0x90, 0, 8, 0, 0])
    }

    #[test]
    fn a_view_shows_the_fields_of_the_fixed_header() {
        let bytes = udp("600::1", "601::2");
        let view = Ipv6View::parse(&bytes).unwrap();
        assert_eq!((view.source(), view.destination()), ("600::1".parse().unwrap(), "601::2".parse().unwrap()));
        assert_eq!((view.hop_limit(), view.next_header(), view.len()), (64, 17, 48));
        assert_eq!(view.payload(), &bytes[40..]);
        let flow = view.flow();
        assert_eq!((flow.protocol, flow.source_port, flow.destination_port), (17, 53, 8080));
    }

    #[test]
    fn a_packet_that_is_longer_or_shorter_than_it_says_is_refused() {
        let mut bytes = udp("600::1", "601::2");
        bytes.push(0);
        assert_eq!(Ipv6View::parse(&bytes).unwrap_err(), NotIpv6::Length { announced: 8, present: 9 });
        assert_eq!(Ipv6View::parse(&bytes[..47]).unwrap_err(), NotIpv6::Length { announced: 8, present: 7 });
        assert_eq!(Ipv6View::parse(&bytes[..39]).unwrap_err(), NotIpv6::Truncated(39));
        assert_eq!(Ipv6View::parse(&[0x45; 60]).unwrap_err(), NotIpv6::Version(4));
        assert_eq!(DropReason::from(NotIpv6::Truncated(0)), DropReason::MalformedPacket);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_an_error(start in any::<[u8; 8]>(), rest in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = start.to_vec();
            bytes.extend(rest);
            if let Ok(view) = Ipv6View::parse(&bytes) {
                prop_assert_eq!(view.len(), bytes.len());
                view.flow();
            }
        }

        #[test]
        fn the_view_agrees_with_another_implementation(
            source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), next in any::<u8>(),
            payload in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = packet(source.into(), destination.into(), next, &payload);
            let view = Ipv6View::parse(&bytes).unwrap();
            let (theirs, rest) = etherparse::Ipv6Header::from_slice(&bytes).unwrap();
            prop_assert_eq!((view.source(), view.destination()), (theirs.source_addr(), theirs.destination_addr()));
            prop_assert_eq!((view.hop_limit(), view.next_header()), (theirs.hop_limit, theirs.next_header.0));
            prop_assert_eq!(view.payload(), rest);
        }
    }
}
