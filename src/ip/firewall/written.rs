//! The policy in configuration files: a word, or a list of tables that may leave out what is usual.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::{ALL_PORTS, MAX_RULES, Policy, Protocol, Rule, RuleError};

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
    use crate::ip::firewall::Source;
    use crate::keys::PublicKey;

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
}
