//! The way through extension headers to the upper-layer protocol (RFC 8200 §4).
//!
//! Bounded, because every header may announce another one. It is only as strict as the way needs: what options say is the
//! receiving host's matter.

/// Protocol numbers (IANA) that something here looks for.
pub mod protocol {
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Datagram Congestion Control Protocol.
    pub const DCCP: u8 = 33;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Lightweight UDP.
    pub const UDP_LITE: u8 = 136;
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Extension headers followed at most. RFC 8200 §4.1 knows no use for more than seven in one packet.
const MAX_EXTENSION_HEADERS: usize = 8;

/// What a packet carries behind its extension headers.
#[derive(Clone, Copy, Debug)]
pub struct Upper<'a> {
    /// Upper-layer protocol number. In a fragment other than the first: the next-header value of its fragment header.
    pub protocol: u8,
    /// The upper-layer header and its data; in a fragment other than the first just data.
    pub payload: &'a [u8],
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
}

/// A fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where this fragment belongs, in units of 8 bytes; 0 for the first.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Names the packet that the fragments make, between its two addresses.
    pub id: u32,
}

impl<'a> Upper<'a> {
    /// Follows extension headers from number `next` at the start of `rest`; `None` if they end early, are too many or hold
    /// two fragment headers.
    pub(super) fn walk(mut next: u8, mut rest: &'a [u8]) -> Option<Self> {
        let mut fragment = None;
        for _ in 0..=MAX_EXTENSION_HEADERS {
            let len = match next {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => {
                    8 + 8 * usize::from(*rest.get(1)?)
                }
                AUTHENTICATION => 8 + 4 * usize::from(*rest.get(1)?),
                FRAGMENT => 8,
                protocol => return Some(Self { protocol, payload: rest, fragment }),
            };
            let (header, after) = rest.split_at_checked(len)?;
            let follows = *header.first()?;
            if next == FRAGMENT {
                let parsed = Fragment::parse(header)?;
                if fragment.replace(parsed).is_some() {
                    return None;
                }
                if parsed.offset != 0 {
                    return Some(Self { protocol: follows, payload: after, fragment });
                }
            }
            (next, rest) = (follows, after);
        }
        None
    }

    /// Source and destination port, if the protocol has them and they are in this packet.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if !has_ports(self.protocol) || self.is_later_fragment() {
            return None;
        }
        let (&[a, b, c, d], _) = self.payload.split_first_chunk::<4>()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Whether this is a fragment other than the first: the upper-layer header is elsewhere.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }
}

/// Whether the protocol's header starts with two ports.
pub(super) fn has_ports(number: u8) -> bool {
    use protocol::{DCCP, SCTP, TCP, UDP, UDP_LITE};
    matches!(number, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

impl Fragment {
    fn parse(header: &[u8]) -> Option<Self> {
        let (&[_, _, high, low, a, b, c, d], _) = header.split_first_chunk::<8>()?;
        let field = u16::from_be_bytes([high, low]);
        Some(Self { offset: field >> 3, more: field & 1 == 1, id: u32::from_be_bytes([a, b, c, d]) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORTS: [u8; 8] = [0, 22, 0, 80, 1, 2, 3, 4];

    fn chain(headers: &[u8], end: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for next in headers {
            out.extend([*next, 0, 0, 0, 0, 0, 0, 0]);
        }
        out.extend(end);
        out
    }

    #[test]
    fn ports_are_found_behind_extension_headers() {
        let bytes = chain(&[DESTINATION_OPTIONS, AUTHENTICATION, protocol::TCP], &PORTS);
        let upper = Upper::walk(HOP_BY_HOP, &bytes).unwrap();
        assert_eq!((upper.protocol, upper.payload, upper.ports()), (protocol::TCP, &PORTS[..], Some((22, 80))));
        assert_eq!(Upper::walk(protocol::ICMPV6, &PORTS).unwrap().ports(), None);
        assert_eq!(Upper::walk(protocol::TCP, &PORTS[..3]).unwrap().ports(), None);
    }

    #[test]
    fn headers_without_end_or_beyond_the_limit_are_not_followed() {
        assert!(Upper::walk(DESTINATION_OPTIONS, &chain(&[DESTINATION_OPTIONS; 8], &PORTS)).is_none());
        assert!(Upper::walk(HOP_BY_HOP, &chain(&[DESTINATION_OPTIONS; 7], &[])).is_none());
        let mut at_the_limit = [DESTINATION_OPTIONS; 8];
        at_the_limit[7] = protocol::UDP;
        assert!(Upper::walk(HOP_BY_HOP, &chain(&at_the_limit, &PORTS)).is_some());
        assert!(Upper::walk(ROUTING, &[protocol::TCP, 1, 0, 0, 0, 0, 0, 0, 0]).is_none());
        assert!(Upper::walk(ROUTING, &[]).is_none());
    }

    #[test]
    fn only_the_first_fragment_has_ports() {
        let fragment = |offset: u16, more: u16| {
            let mut bytes = vec![protocol::UDP, 0];
            bytes.extend((offset << 3 | more).to_be_bytes());
            bytes.extend([0, 0, 0, 9]);
            bytes.extend(PORTS);
            bytes
        };
        let bytes = fragment(0, 1);
        let first = Upper::walk(FRAGMENT, &bytes).unwrap();
        assert_eq!(first.fragment, Some(Fragment { offset: 0, more: true, id: 9 }));
        assert_eq!(first.ports(), Some((22, 80)));
        let bytes = fragment(185, 0);
        let later = Upper::walk(FRAGMENT, &bytes).unwrap();
        assert!(later.is_later_fragment());
        assert_eq!((later.protocol, later.ports()), (protocol::UDP, None));
    }

    #[test]
    fn two_fragment_headers_in_one_packet_are_refused() {
        assert!(Upper::walk(FRAGMENT, &chain(&[FRAGMENT, protocol::UDP], &PORTS)).is_none());
    }

    proptest! {
        #[test]
        fn any_chain_ends(next in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(upper) = Upper::walk(next, &bytes) {
                prop_assert!(bytes.ends_with(upper.payload));
                upper.ports();
            }
        }
    }
}
