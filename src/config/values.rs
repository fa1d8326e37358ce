//! Types of single configuration values, each checked while it is read.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use super::uri::ProxyUri;
use crate::admission::MAX_INBOUND;

/// Longest interface name in bytes (Linux `IFNAMSIZ` without the final zero).
const MAX_INTERFACE_NAME: usize = 15;
/// The least MTU that IPv6 allows on a link (RFC 8200 §5).
const MIN_MTU: u16 = 1280;
/// The most that fits a frame with the largest headers in front of it.
pub(super) const MAX_MTU: u16 = 65_000;
/// Longest path of a Unix socket in bytes (Linux `sun_path` without the final zero).
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// What is wrong with a value, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// An interface name that Linux would not take, or takes for a pattern.
    #[error(
        "an interface name has 1 to {MAX_INTERFACE_NAME} bytes: letters, digits and punctuation without \
         spaces and any of / : % ? & # *"
    )]
    InterfaceName,
    /// A log filter that cannot be read.
    #[error(
        "a log level is one of error, warn, info, debug, trace and off; parts of the program can have their own: \
         \"info,pinecone::router=debug\""
    )]
    LogFilter,
}

/// Implements `Deserialize` for a type with `FromStr`; `$expected` is what errors ask for if it is not even a string.
macro_rules! deserialize_from_str {
    ($type:ty, $expected:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}
pub(super) use deserialize_from_str;

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as the kernel knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:%?&#*".contains(&byte);
        let fits = (1..=MAX_INTERFACE_NAME).contains(&text.len()) && text != "." && text != "..";
        if fits && text.bytes().all(allowed) { Ok(Self(text.to_owned())) } else { Err(ValueError::InterfaceName) }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `tun.name`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunName {
    /// `"none"`: no interface; the node only routes for others.
    None,
    /// An interface of this name.
    Named(InterfaceName),
}

impl Default for TunName {
    fn default() -> Self {
        Self::Named(InterfaceName("pine0".to_owned()))
    }
}

impl FromStr for TunName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::Named) }
    }
}

deserialize_from_str!(TunName, "an interface name such as \"pine0\", or \"none\"");

/// `log.level`: a level, and levels of single modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter: levels separated by commas, each with `module=` in front or for all.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
        let is_module = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        };
        let is_directive = |directive: &str| match directive.split_once('=') {
            Some((module, level)) => is_module(module) && LEVELS.contains(&level),
            None => LEVELS.contains(&directive),
        };
        if text.split(',').all(is_directive) { Ok(Self(text.to_owned())) } else { Err(ValueError::LogFilter) }
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_from_str!(LogFilter, "a level such as \"info\"");

/// `log.format`: whether lines begin with the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// With the time, except where the systemd journal adds its own.
    #[default]
    Auto,
    /// Always with the time.
    Time,
    /// Never with the time.
    Plain,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "time" => Ok(Self::Time),
            "plain" => Ok(Self::Plain),
            _ => Err("the format is \"auto\", \"time\" (every line begins with the time) or \"plain\" (no line does)"),
        }
    }
}

/// `session.cipher`: what packets are sealed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionCipher {
    /// AES-256-GCM between nodes that both have instructions for it, otherwise ChaCha20-Poly1305.
    #[default]
    Auto,
    /// ChaCha20-Poly1305 with everybody.
    ChaCha20,
}

impl FromStr for SessionCipher {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "chacha20" => Ok(Self::ChaCha20),
            _ => Err(
                "the cipher is \"auto\" (AES-256-GCM where both CPUs have it) or \"chacha20\" (ChaCha20-Poly1305 always)",
            ),
        }
    }
}

deserialize_from_str!(SessionCipher, "\"auto\" or \"chacha20\"");

deserialize_from_str!(LogFormat, "\"auto\", \"time\" or \"plain\"");

/// Declares a reader of whole numbers that says `$expected` of anything else.
macro_rules! read_integer {
    ($(#[$doc:meta])* $name:ident -> $type:ty, $expected:literal, $convert:expr) => {
        $(#[$doc])*
        pub(super) fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            struct Visitor;
            impl de::Visitor<'_> for Visitor {
                type Value = $type;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($expected)
                }

                fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                    let convert: fn(i64) -> Option<$type> = $convert;
                    convert(number).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
                }
            }
            deserializer.deserialize_i64(Visitor)
        }
    };
}

read_integer!(
    /// `tun.mtu`
    mtu -> u16, "a whole number of bytes from 1280 to 65000",
    |number| u16::try_from(number).ok().filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu))
);

read_integer!(
    /// `tun.fd`: -1 is none; 0 to 2 are the standard streams.
    descriptor -> Option<i32>, "the number of a file descriptor from 3, or -1 for none",
    |number| match i32::try_from(number) {
        Ok(-1) => Some(None),
        Ok(fd) if fd > 2 => Some(Some(fd)),
        _ => None,
    }
);

read_integer!(
    /// `peering.max_inbound`, `peering.max_inbound_per_source`
    max_inbound -> usize, "a number of peerings from 1 to 3584",
    |number| usize::try_from(number).ok().filter(|number| (1..=MAX_INBOUND).contains(number))
);
const _: () = assert!(MAX_INBOUND == 3584, "the sentence above says so");

read_integer!(
    /// `peering.fwmark`: 0 is none.
    fwmark -> u32, "a whole number from 0 (none) to 4294967295",
    |number| u32::try_from(number).ok()
);

/// A proxy; an empty string is none.
pub(super) fn optional_proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ProxyUri>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(de::Error::custom) }
}

/// `control.socket`: a path that fits a Unix socket address.
pub(super) fn socket_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > MAX_SOCKET_PATH || text.contains('\0') {
        return Err(de::Error::custom(format!("the path of a socket has 1 to {MAX_SOCKET_PATH} bytes")));
    }
    Ok(text.into())
}

/// An empty string is none.
pub(super) fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

/// A group's name or number; an empty string is none.
pub(super) fn optional_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b':') {
        return Err(de::Error::custom("a group is its name or number, without spaces"));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// A table. (Serde would also fill a struct from a list, by position.)
pub(super) fn section<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Visitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a [section] of its own")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Visitor(PhantomData))
}

/// A list in which nothing stands twice.
pub(super) fn distinct<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq + fmt::Display,
{
    let list = Vec::<T>::deserialize(deserializer)?;
    for (index, item) in list.iter().enumerate() {
        if list.iter().take(index).any(|earlier| earlier == item) {
            return Err(de::Error::custom(format!("{item} is listed twice; remove one")));
        }
    }
    Ok(list)
}
