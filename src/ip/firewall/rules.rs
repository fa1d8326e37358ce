//! What the configuration says about inbound packets: `firewall.inbound` as typed values with errors for people.

use std::fmt;
use std::net::Ipv6Addr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
        let protocol = match self.protocol {
            Protocol::Any => true,
            Protocol::Tcp => protocol_number == protocol::TCP,
            Protocol::Udp => protocol_number == protocol::UDP,
            Protocol::Icmp => protocol_number == protocol::ICMPV6,
        };
        let ports = self.ports == ALL_PORTS || port.is_some_and(|port| self.ports.0 <= port && port <= self.ports.1);
        protocol && ports && self.from.contains(sender)
    }
}

/// Who sent, or is to be sent, a packet.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The address in the packet.
    pub(super) address: Ipv6Addr,
    /// The key that the session proved; `None` for the destination of an outbound packet, whose key only the address tells.
    pub(super) key: Option<&'a PublicKey>,
}

const ALL_PORTS: (u16, u16) = (0, u16::MAX);

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

/// A rule as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: String,
    #[serde(default = "any_protocol")]
    protocol: Protocol,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<WrittenPort>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenPort {
    Number(i64),
    Range(String),
}

impl<'de> Deserialize<'de> for WrittenPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortVisitor;
        impl Visitor<'_> for PortVisitor {
            type Value = WrittenPort;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number or a range such as \"8000-8100\"")
            }

            fn visit_i64<E>(self, number: i64) -> Result<WrittenPort, E> {
                Ok(WrittenPort::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<WrittenPort, E> {
                Ok(WrittenPort::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_str<E>(self, text: &str) -> Result<WrittenPort, E> {
                Ok(WrittenPort::Range(text.to_owned()))
            }
        }
        deserializer.deserialize_any(PortVisitor)
    }
}

fn any_protocol() -> Protocol {
    Protocol::Any
}

impl WrittenPort {
    fn range(&self) -> Result<(u16, u16), RuleError> {
        let parsed = match self {
            Self::Number(number) => u16::try_from(*number).ok().map(|port| (port, port)),
            Self::Range(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                first.trim().parse().ok().zip(last.trim().parse().ok())
            }
        };
        parsed.filter(|(first, last)| first <= last).ok_or_else(|| match self {
            Self::Number(number) => RuleError::Port(number.to_string()),
            Self::Range(text) => RuleError::Port(text.clone()),
        })
    }
}

impl TryFrom<Written> for Rule {
    type Error = RuleError;

    fn try_from(written: Written) -> Result<Self, RuleError> {
        let from = written.from.parse()?;
        let ports = match written.port {
            None => ALL_PORTS,
            Some(_) if !matches!(written.protocol, Protocol::Tcp | Protocol::Udp) => {
                return Err(RuleError::PortWithoutProtocol);
            }
            Some(port) => port.range()?,
        };
        Ok(Self { from, protocol: written.protocol, ports })
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let port = match self.ports {
            ALL_PORTS => None,
            (first, last) if first == last => Some(WrittenPort::Number(first.into())),
            (first, last) => Some(WrittenPort::Range(format!("{first}-{last}"))),
        };
        Written { from: self.from.to_string(), protocol: self.protocol, port }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyVisitor)
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Established => serializer.serialize_str("established"),
            Self::Open => serializer.serialize_str("open"),
            Self::Rules(rules) => rules.serialize(serializer),
        }
    }
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = Policy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "\"established\", \"open\" or a list of rules such as { from = \"any\", protocol = \"tcp\", port = 22 }",
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Policy, E> {
        match text {
            "established" => Ok(Policy::Established),
            "open" => Ok(Policy::Open),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Policy, A::Error> {
        let mut rules = Vec::new();
        while let Some(rule) = seq.next_element()? {
            if rules.len() == MAX_RULES {
                return Err(A::Error::custom(format_args!("more than {MAX_RULES} rules: use prefixes or port ranges")));
            }
            rules.push(rule);
        }
        Ok(Policy::Rules(rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        inbound: Policy,
    }

    fn read(inbound: &str) -> Result<Policy, String> {
        toml::from_str::<File>(&format!("inbound = {inbound}"))
            .map(|file| file.inbound)
            .map_err(|error| error.to_string())
    }

    fn rule(text: &str) -> Rule {
        match read(&format!("[{text}]")) {
            Ok(Policy::Rules(mut rules)) => rules.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn from(address: &str) -> Sender<'static> {
        Sender { address: address.parse().unwrap(), key: None }
    }

    #[test]
    fn a_policy_is_a_word_or_a_list_of_rules() {
        assert_eq!(read("\"established\""), Ok(Policy::Established));
        assert_eq!(read("\"open\""), Ok(Policy::Open));
        assert_eq!(read("[]"), Ok(Policy::Rules(vec![])));
        let everything = Rule { from: Source::Any, protocol: Protocol::Any, ports: (0, 65535) };
        assert_eq!(read("[{ from = \"any\" }]"), Ok(Policy::Rules(vec![everything])));
        let rule = rule(r#"{ from = "700:1:2:3::/64", protocol = "udp", port = "8000 - 8100" }"#);
        assert_eq!(rule.ports, (8000, 8100));
        assert_eq!(rule.to_string(), "udp 8000-8100 from 700:1:2:3::/64");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_out() {
        for (text, hint) in [
            ("\"on\"", "\"established\", \"open\" or a list"),
            ("7", "\"established\", \"open\" or a list"),
            (r#"[{ protocol = "tcp" }]"#, "missing field `from`"),
            (r#"[{ from = "somebody" }]"#, "64 hexadecimal digits"),
            (r#"[{ from = "600::/129" }]"#, "such as"),
            (r#"[{ from = "700:1::5/64" }]"#, "write 700:1::/64"),
            (r#"[{ from = "2001:db8::/32" }]"#, "outside the overlay"),
            (r#"[{ from = "::/0" }]"#, "outside the overlay"),
            (r#"[{ from = "any", protocol = "sctp" }]"#, "sctp"),
            (r#"[{ from = "any", port = 22 }]"#, "`port` needs"),
            (r#"[{ from = "any", protocol = "icmp", port = 22 }]"#, "`port` needs"),
            (r#"[{ from = "any", protocol = "tcp", port = 65536 }]"#, "not \"65536\""),
            (r#"[{ from = "any", protocol = "tcp", port = "90-80" }]"#, "not \"90-80\""),
            (r#"[{ from = "any", protocol = "tcp", port = true }]"#, "a port number or a range"),
            (r#"[{ from = "any", protocol = "tcp", ports = 22 }]"#, "unknown field `ports`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
        let many = format!("[{}]", r#"{ from = "any" },"#.repeat(MAX_RULES + 1));
        assert!(read(&many).unwrap_err().contains("more than 256 rules"));
    }

    #[test]
    fn a_policy_can_be_written_down_and_read_back() {
        let key = PublicKey([7; 32]);
        for text in [
            "\"open\"".to_owned(),
            "\"established\"".to_owned(),
            format!(
                r#"[{{ from = "{key}", protocol = "tcp", port = 22 }}, {{ from = "600::1", protocol = "udp", port = "1-2" }}]"#
            ),
        ] {
            let file = File { inbound: read(&text).unwrap() };
            assert_eq!(toml::from_str::<File>(&toml::to_string(&file).unwrap()).unwrap(), file);
        }
    }

    #[test]
    fn rules_tell_senders_protocols_and_ports_apart() {
        let ssh = rule(r#"{ from = "600::/16", protocol = "tcp", port = 22 }"#);
        assert!(ssh.admits(from("600::5"), protocol::TCP, Some(22)));
        assert!(!ssh.admits(from("601::5"), protocol::TCP, Some(22)));
        assert!(!ssh.admits(from("600::5"), protocol::UDP, Some(22)));
        assert!(!ssh.admits(from("600::5"), protocol::TCP, Some(23)));
        assert!(!ssh.admits(from("600::5"), protocol::TCP, None));
        assert!(rule(r#"{ from = "600::5", protocol = "icmp" }"#).admits(from("600::5"), protocol::ICMPV6, None));
        assert!(rule(r#"{ from = "any" }"#).admits(from("6ff::"), 47, None));
    }

    #[test]
    fn a_rule_for_a_key_covers_the_hosts_behind_it() {
        let (key, other) = (PublicKey([0x5a; 32]), PublicKey([0x5b; 32]));
        let rule = rule(&format!(r#"{{ from = "{key}" }}"#));
        let mut host = addr::Subnet::of(&key).ip().octets();
        host[15] = 9;
        let proven = |key| Sender { address: host.into(), key: Some(key) };
        assert!(rule.admits(proven(&key), protocol::TCP, Some(1)));
        assert!(!rule.admits(proven(&other), protocol::TCP, Some(1)));
        assert!(rule.admits(Sender { address: host.into(), key: None }, protocol::TCP, Some(1)));
        assert!(!rule.admits(Sender { address: addr::Address::of(&other).ip(), key: None }, protocol::TCP, Some(1)));
    }
}
