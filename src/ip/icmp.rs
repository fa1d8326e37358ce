//! ICMPv6 errors for packets that go no further, so that applications fail at once instead of waiting (RFC 4443).
//!
//! Built in one place because the rules about when to stay silent (§2.4) are easy to miss: no error about an error or a
//! redirect, none about a multicast packet, none to an address that is not one host's. Where it cannot be told what a packet
//! holds (a later fragment, broken extension headers) there is no answer either. Each function returns `None` then. How many
//! errors go out per second is the caller's matter (§2.4 (f)): the node holds a token bucket.

use std::net::Ipv6Addr;

use super::{IPV6_HEADER_LEN, Ipv6View, MIN_MTU, Upper, checksum, protocol};
use crate::buf::PacketBuf;

/// Destination Unreachable.
pub(super) const UNREACHABLE: u8 = 1;
/// Packet Too Big.
const TOO_BIG: u8 = 2;
/// Time Exceeded.
const TIME_EXCEEDED: u8 = 3;
/// Types from here on are not errors (§2.1).
const FIRST_INFORMATIONAL: u8 = 128;
/// Echo Request.
pub(super) const ECHO_REQUEST: u8 = 128;
/// Echo Reply.
pub(super) const ECHO_REPLY: u8 = 129;
/// Redirect (RFC 4861 §4.5): not an error by its number, but not to be answered with one (§2.4 (e.2)).
const REDIRECT: u8 = 137;

/// Type, code, checksum and one 32-bit field.
pub(super) const ICMP_HEADER_LEN: usize = 8;
/// The usual initial hop limit of hosts.
const HOP_LIMIT: u8 = 64;

/// Why a packet cannot reach its destination (RFC 4443 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Outside the overlay, or nobody there owns the address.
    NoRoute,
    /// A firewall does not allow it.
    AdminProhibited,
    /// The owner of the address is known but cannot be reached.
    AddressUnreachable,
    /// The host must not send from this source address.
    SourcePolicy,
}

impl Unreachable {
    /// The code field.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoRoute => 0,
            Self::AdminProhibited => 1,
            Self::AddressUnreachable => 3,
            Self::SourcePolicy => 5,
        }
    }
}

/// A Destination Unreachable about the packet `offending`, sent from `from` to its source.
#[must_use]
pub fn unreachable(kind: Unreachable, from: Ipv6Addr, offending: &[u8]) -> Option<PacketBuf> {
    error(UNREACHABLE, kind.code(), 0, from, offending)
}

/// A Packet Too Big (RFC 4443 §3.2): packets of up to `mtu` bytes would pass. Never tells less than 1280, which every IPv6
/// link carries: hosts ignore such a value or, worse, do not (RFC 8201 §4).
#[must_use]
pub fn packet_too_big(mtu: u32, from: Ipv6Addr, offending: &[u8]) -> Option<PacketBuf> {
    error(TOO_BIG, 0, mtu.max(MIN_MTU as u32), from, offending)
}

/// A Time Exceeded with code 0: the hop limit is used up (RFC 4443 §3.3).
#[must_use]
pub fn hop_limit_exceeded(from: Ipv6Addr, offending: &[u8]) -> Option<PacketBuf> {
    error(TIME_EXCEEDED, 0, 0, from, offending)
}

/// Whether `upper` is an ICMPv6 error message.
pub(super) fn is_error(upper: &Upper<'_>) -> bool {
    upper.protocol == protocol::ICMPV6
        && !upper.is_later_fragment()
        && upper.payload.first().is_some_and(|kind| *kind < FIRST_INFORMATIONAL)
}

fn error(kind: u8, code: u8, field: u32, from: Ipv6Addr, offending: &[u8]) -> Option<PacketBuf> {
    let view = Ipv6View::parse(offending).ok()?;
    if !may_be_answered(&view) {
        return None;
    }
    let to = view.source();
    // As much of the packet as fits, so that its sender finds the socket it came from (§2.4 (c)).
    let quoted = &offending[..offending.len().min(MIN_MTU - IPV6_HEADER_LEN - ICMP_HEADER_LEN)];

    let mut packet = PacketBuf::with_capacity(IPV6_HEADER_LEN + ICMP_HEADER_LEN + quoted.len());
    packet.append(&[kind, code, 0, 0]);
    packet.append(&field.to_be_bytes());
    packet.append(quoted);
    let sum = checksum::transport(from, to, protocol::ICMPV6, &packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());

    let [len_high, len_low] = u16::try_from(packet.len()).ok()?.to_be_bytes();
    let header = packet.prepend(IPV6_HEADER_LEN);
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, len_high, len_low, protocol::ICMPV6, HOP_LIMIT]);
    header[8..24].copy_from_slice(&from.octets());
    header[24..].copy_from_slice(&to.octets());
    Some(packet)
}

/// RFC 4443 §2.4 (e), on the side of silence where the packet does not show what it is.
fn may_be_answered(view: &Ipv6View<'_>) -> bool {
    let one_host = |address: Ipv6Addr| !address.is_unspecified() && !address.is_multicast();
    let Some(upper) = view.upper() else { return false };
    let harmless = match (upper.protocol, upper.payload.first()) {
        (protocol::ICMPV6, Some(kind)) if !upper.is_later_fragment() => !is_error(&upper) && *kind != REDIRECT,
        (protocol::ICMPV6, _) => false,
        _ => true,
    };
    harmless && one_host(view.source()) && one_host(view.destination())
}

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;
    use crate::ip::tests::packet;

    const US: Ipv6Addr = Ipv6Addr::new(0x600, 0, 0, 0, 0, 0, 0, 1);
    const HOST: Ipv6Addr = Ipv6Addr::new(0x700, 1, 2, 3, 0, 0, 0, 4);
    const AWAY: Ipv6Addr = Ipv6Addr::new(0x601, 0, 0, 0, 0, 0, 0, 2);

    /// What another implementation reads in an error: addresses, type, quoted bytes; checksum checked.
    fn read(error: &[u8]) -> (Ipv6Addr, Ipv6Addr, Icmpv6Type, Vec<u8>) {
        let sliced = SlicedPacket::from_ip(error).unwrap();
        let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) = (&sliced.net, &sliced.transport) else {
            panic!("not an ICMPv6 packet")
        };
        let (source, destination) = (ip.header().source_addr(), ip.header().destination_addr());
        assert!(icmp.is_checksum_valid(source.octets(), destination.octets()));
        assert_eq!(ip.header().hop_limit(), 64);
        (source, destination, icmp.icmp_type(), icmp.payload().to_vec())
    }

    fn is_answered(packet: &[u8]) -> bool {
        unreachable(Unreachable::NoRoute, US, packet).is_some()
    }

    #[test]
    fn another_implementation_understands_every_error() {
        use etherparse::icmpv6::{DestUnreachableCode as Code, TimeExceededCode};
        let offending = packet(HOST, AWAY, protocol::UDP, &[7; 20]);
        for (kind, code) in [
            (Unreachable::NoRoute, Code::NoRoute),
            (Unreachable::AdminProhibited, Code::Prohibited),
            (Unreachable::AddressUnreachable, Code::Address),
            (Unreachable::SourcePolicy, Code::SourceAddressFailedPolicy),
        ] {
            let error = unreachable(kind, US, &offending).unwrap();
            assert_eq!(read(&error), (US, HOST, Icmpv6Type::DestinationUnreachable(code), offending.clone()));
        }
        let error = packet_too_big(1400, US, &offending).unwrap();
        assert_eq!(read(&error).2, Icmpv6Type::PacketTooBig { mtu: 1400 });
        let error = hop_limit_exceeded(US, &offending).unwrap();
        assert_eq!(read(&error).2, Icmpv6Type::TimeExceeded(TimeExceededCode::HopLimitExceeded));
    }

    #[test]
    fn a_too_big_never_asks_for_less_than_every_link_carries() {
        let error = packet_too_big(600, US, &packet(HOST, AWAY, protocol::UDP, &[7; 20])).unwrap();
        assert_eq!(read(&error).2, Icmpv6Type::PacketTooBig { mtu: 1280 });
    }

    #[test]
    fn an_error_quotes_what_fits_the_smallest_mtu() {
        let offending = packet(HOST, AWAY, protocol::TCP, &[9; 5000]);
        let error = unreachable(Unreachable::NoRoute, US, &offending).unwrap();
        assert_eq!(error.len(), 1280);
        assert_eq!(read(&error).3, &offending[..1232]);
    }

    #[test]
    fn nothing_is_answered_to_an_error_a_redirect_or_what_may_be_one() {
        let icmp = |kind: u8| packet(HOST, AWAY, protocol::ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        assert!(is_answered(&icmp(ECHO_REQUEST)));
        for kind in [1, 2, 3, 4, 100, 127, REDIRECT] {
            assert!(!is_answered(&icmp(kind)), "type {kind}");
        }
        assert!(!is_answered(&packet(HOST, AWAY, protocol::ICMPV6, &[])));
        let behind_options = [[protocol::ICMPV6, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert!(!is_answered(&packet(HOST, AWAY, 60, &behind_options)));
        let later_fragment = [[protocol::ICMPV6, 0, 0, 8, 0, 0, 0, 1], [128, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert!(!is_answered(&packet(HOST, AWAY, 44, &later_fragment)));
        let broken_options = [protocol::TCP, 200, 0, 0, 0, 0, 0, 0];
        assert!(!is_answered(&packet(HOST, AWAY, 60, &broken_options)));
    }

    #[test]
    fn nothing_is_answered_to_or_about_addresses_of_many_or_none() {
        let multicast = "ff02::1".parse().unwrap();
        assert!(!is_answered(&packet(HOST, multicast, protocol::UDP, &[0; 8])));
        assert!(!is_answered(&packet(multicast, AWAY, protocol::UDP, &[0; 8])));
        assert!(!is_answered(&packet(Ipv6Addr::UNSPECIFIED, AWAY, protocol::UDP, &[0; 8])));
        assert!(!is_answered(&packet(HOST, AWAY, protocol::UDP, &[0; 8])[..47]));
    }

    proptest! {
        #[test]
        fn an_error_is_never_answered_with_an_error(
            next in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..1500),
        ) {
            let offending = packet(HOST, AWAY, next, &payload);
            if let Some(error) = unreachable(Unreachable::NoRoute, US, &offending) {
                prop_assert!(error.len() <= 1280);
                read(&error);
                prop_assert!(!is_answered(&error));
            }
        }
    }
}
