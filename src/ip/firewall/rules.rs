//! What the configuration says about inbound packets: `firewall.inbound` as typed values with errors for people.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::addr;
use crate::ip::protocol;
use crate::keys::PublicKey;

/// Rules at most: each inbound packet that belongs to no flow is held against all of them.
pub const MAX_RULES: usize = 256;

/// What others may send to this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Answers to what this host sent, and echo requests.
    #[default]
    Established,
    /// Everything.
    Open,
    /// As [`Policy::Established`], and what any of these lets in.
    Rules(Vec<Rule>),
}

/// Lets in packets by their sender, protocol and destination port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who may send.
    pub from: Source,
    /// What.
    pub protocol: Protocol,
    /// To which ports, first and last included. Always `0..=65535` unless the protocol is TCP or UDP.
    pub ports: (u16, u16),
}

/// Whose packets a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Any node.
    Any,
    /// The node with this key, and the hosts behind it.
    Key(PublicKey),
    /// Addresses that start with the first `.1` bits of `.0`; 128 for a single one.
    Prefix(Ipv6Addr, u8),
}

/// Which packets a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// All.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMPv6.
    Icmp,
}

/// Why the text of a rule means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Neither a key nor an address nor a prefix nor "any".
    #[error(
        "`from` is a key (64 hexadecimal digits), an overlay address, a prefix such as \"700:1:2:3::/64\" or \"any\", not {0:?}"
    )]
    From(String),
    /// Bits of a prefix behind its length are set.
    #[error("the prefix {0}/{1} has bits set behind its length: write {2}/{1}")]
    HostBits(Ipv6Addr, u8, Ipv6Addr),
    /// No node can have such an address.
    #[error("{0}/{1} is outside the overlay's 600::/7: nobody there can send from it")]
    NotOverlay(Ipv6Addr, u8),
    /// A port number or range that is none.
    #[error("`port` is a number from 0 to 65535 or a range such as \"8000-8100\", not {0:?}")]
    Port(String),
    /// Ports of a protocol without any.
    #[error("`port` needs `protocol = \"tcp\"` or `protocol = \"udp\"`")]
    PortWithoutProtocol,
}

impl Policy {
    /// The rules; none unless there is a list.
    pub fn rules(&self) -> &[Rule] {
        match self {
            Self::Rules(rules) => rules,
            Self::Established | Self::Open => &[],
        }
    }

    /// The index of the first rule that lets in a packet of `protocol_number` from `sender` to `port`.
    pub(super) fn rule_for(&self, sender: Sender<'_>, protocol_number: u8, port: Option<u16>) -> Option<usize> {
        self.rules().iter().position(|rule| rule.admits(sender, protocol_number, port))
    }
}

impl Rule {
    /// Whether this rule lets in a packet of `protocol_number` from `sender` to `port`, which is `None` where there are none.
    fn admits(&self, sender: Sender<'_>, protocol_number: u8, port: Option<u16>) -> bool {
        self.covers_protocol(protocol_number) && self.covers_port(port) && self.from.contains(sender)
    }

    /// The one thing that keeps this rule from letting in a packet, if it is one thing.
    pub(super) fn near(&self, sender: Sender<'_>, protocol_number: u8, port: Option<u16>) -> Option<Near> {
        match (self.from.contains(sender), self.covers_protocol(protocol_number), self.covers_port(port)) {
            (false, true, true) => Some(Near::Sender),
            (true, false, true) => Some(Near::Protocol),
            (true, true, false) => Some(Near::Port),
            _ => None,
        }
    }

    fn covers_protocol(&self, number: u8) -> bool {
        match self.protocol {
            Protocol::Any => true,
            Protocol::Tcp => number == protocol::TCP,
            Protocol::Udp => number == protocol::UDP,
            Protocol::Icmp => number == protocol::ICMPV6,
        }
    }

    fn covers_port(&self, port: Option<u16>) -> bool {
        self.ports == ALL_PORTS || port.is_some_and(|port| self.ports.0 <= port && port <= self.ports.1)
    }
}

/// What keeps a rule from letting in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Near {
    Sender,
    Protocol,
    Port,
}

/// Who sent, or is to be sent, a packet.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The address in the packet.
    pub(super) address: Ipv6Addr,
    /// The key that the session proved; `None` for the destination of an outbound packet, whose key only the address tells.
    pub(super) key: Option<&'a PublicKey>,
}

/// The ports of a rule that is not about ports.
pub(super) const ALL_PORTS: (u16, u16) = (0, u16::MAX);

impl Source {
    fn contains(&self, sender: Sender<'_>) -> bool {
        match (self, sender.key) {
            (Self::Any, _) => true,
            (Self::Key(wanted), Some(key)) => wanted == key,
            (Self::Key(wanted), None) => addr::may_send_from(wanted, sender.address),
            (Self::Prefix(prefix, len), _) => masked(sender.address, *len) == *prefix,
        }
    }
}

fn masked(address: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
    (address.to_bits() & mask).into()
}

impl std::str::FromStr for Source {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Ok(key) = text.parse() {
            return Ok(Self::Key(key));
        }
        let nonsense = || RuleError::From(text.to_owned());
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, len.parse().ok().filter(|len| *len <= 128).ok_or_else(nonsense)?),
            None => (text, 128),
        };
        let address: Ipv6Addr = address.parse().map_err(|_| nonsense())?;
        if masked(address, len) != address {
            return Err(RuleError::HostBits(address, len, masked(address, len)));
        }
        if len < addr::PREFIX_LEN || masked(address, addr::PREFIX_LEN) != addr::PREFIX {
            return Err(RuleError::NotOverlay(address, len));
        }
        Ok(Self::Prefix(address, len))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Key(key) => key.fmt(f),
            Self::Prefix(address, 128) => address.fmt(f),
            Self::Prefix(address, len) => write!(f, "{address}/{len}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Any => "any",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
        };
        write!(f, "{protocol}")?;
        match self.ports {
            ALL_PORTS => {}
            (first, last) if first == last => write!(f, " {first}")?,
            (first, last) => write!(f, " {first}-{last}")?,
        }
        write!(f, " from {}", self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        toml::from_str(text).unwrap()
    }

    fn from(address: &str) -> Sender<'static> {
        Sender { address: address.parse().unwrap(), key: None }
    }

    #[test]
    fn rules_tell_senders_protocols_and_ports_apart() {
        let ssh = rule("from = \"600::/16\"\nprotocol = \"tcp\"\nport = 22");
        assert!(ssh.admits(from("600::5"), protocol::TCP, Some(22)));
        assert!(!ssh.admits(from("601::5"), protocol::TCP, Some(22)));
        assert!(!ssh.admits(from("600::5"), protocol::UDP, Some(22)));
        assert!(!ssh.admits(from("600::5"), protocol::TCP, Some(23)));
        assert!(!ssh.admits(from("600::5"), protocol::TCP, None));
        assert!(rule("from = \"600::5\"\nprotocol = \"icmp\"").admits(from("600::5"), protocol::ICMPV6, None));
        assert!(rule(r#"from = "any""#).admits(from("6ff::"), 47, None));
    }

    #[test]
    fn a_rule_for_a_key_covers_the_hosts_behind_it() {
        let (key, other) = (PublicKey([0x5a; 32]), PublicKey([0x5b; 32]));
        let rule = rule(&format!("from = \"{key}\""));
        let mut host = addr::Subnet::of(&key).ip().octets();
        host[15] = 9;
        let proven = |key| Sender { address: host.into(), key: Some(key) };
        assert!(rule.admits(proven(&key), protocol::TCP, Some(1)));
        assert!(!rule.admits(proven(&other), protocol::TCP, Some(1)));
        assert!(rule.admits(Sender { address: host.into(), key: None }, protocol::TCP, Some(1)));
        assert!(!rule.admits(Sender { address: addr::Address::of(&other).ip(), key: None }, protocol::TCP, Some(1)));
    }
}
