//! What the firewall has to know about a packet's upper-layer header, read once.

use crate::ip::icmp::{ECHO_REPLY, ECHO_REQUEST, ICMP_HEADER_LEN, is_error};
use crate::ip::{Upper, protocol, upper};

/// The control bits of a TCP segment (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpFlags(u8);

impl TcpFlags {
    /// Length of the fixed header: a first fragment must hold it whole (RFC 7112).
    const HEADER_LEN: usize = 20;

    pub(super) fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }

    pub(super) fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }

    fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }

    fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// SYN without ACK: asks for a connection.
    pub(super) fn opens(self) -> bool {
        self.syn() && !self.ack()
    }

    /// Part of a connection that exists: neither opens one nor resets it.
    pub(super) fn continues(self) -> bool {
        self.ack() && !self.syn() && !self.rst()
    }

    /// SYN with ACK: accepts one.
    pub(super) fn accepts(self) -> bool {
        self.syn() && self.ack()
    }
}

/// An upper-layer header as the firewall sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// TCP: source port, destination port, flags.
    Tcp(u16, u16, TcpFlags),
    /// Another protocol with ports: source, destination.
    Ports(u16, u16),
    /// ICMPv6 Echo Request with its identifier.
    EchoRequest(u16),
    /// ICMPv6 Echo Reply with its identifier.
    EchoReply(u16),
    /// An ICMPv6 error and the start of the packet that it is about.
    Error(&'a [u8]),
    /// ICMPv6 of another type.
    OtherIcmp,
    /// A protocol without ports.
    Portless,
}

impl<'a> Message<'a> {
    /// Reads the header; `None` if it is not whole, as in a later fragment.
    pub(super) fn read(upper: &Upper<'a>) -> Option<Self> {
        if upper.is_later_fragment() {
            return None;
        }
        match upper.protocol {
            protocol::TCP => {
                let (source, destination) = upper.ports()?;
                let flags = *upper.payload.get(..TcpFlags::HEADER_LEN)?.get(13)?;
                Some(Self::Tcp(source, destination, TcpFlags(flags)))
            }
            number if upper::has_ports(number) => {
                upper.ports().map(|(source, destination)| Self::Ports(source, destination))
            }
            protocol::ICMPV6 => {
                let (&[kind, _, _, _, high, low, _, _], quoted) =
                    upper.payload.split_first_chunk::<ICMP_HEADER_LEN>()?;
                let id = u16::from_be_bytes([high, low]);
                Some(match kind {
                    ECHO_REQUEST => Self::EchoRequest(id),
                    ECHO_REPLY => Self::EchoReply(id),
                    _ if is_error(upper) => Self::Error(quoted),
                    _ => Self::OtherIcmp,
                })
            }
            _ => Some(Self::Portless),
        }
    }

    /// The destination port, if there are ports.
    pub(super) fn destination_port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, port, _) | Self::Ports(_, port) => Some(*port),
            _ => None,
        }
    }

    /// Source and destination port as a [`FlowKey`](super::flows::FlowKey) has them, for messages that belong to flows.
    pub(super) fn flow_ports(&self) -> Option<(u16, u16)> {
        match *self {
            Self::Tcp(source, destination, _) | Self::Ports(source, destination) => Some((source, destination)),
            Self::EchoRequest(id) => Some((id, 0)),
            Self::EchoReply(id) => Some((0, id)),
            Self::Portless => Some((0, 0)),
            Self::Error(_) | Self::OtherIcmp => None,
        }
    }
}
