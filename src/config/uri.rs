//! URIs of peerings: where to dial ([`PeerUri`]) and where to listen ([`ListenUri`]).
//!
//! ```text
//! tcp://host:port?key=<64 hex digits>&max_backoff=<duration>&interface=<name>     host: name, IPv4 or [IPv6]
//! ws://host:port/path?…                                                           the path is sent to the HTTP server
//! tcp://ip:port?interface=<name>                                                  listen; port 0 lets the system choose
//! ws://ip:port?…                                                                  listen; takes requests for any path
//! ```
//!
//! Options are for us and never sent, so the HTTP request of a `ws://` peer has no query.
//!
//! `Display` gives the canonical text, which parses to the same value. Errors name the part that is wrong and repeat neither
//! the whole text nor the value of an option: either may hold a secret that was put in the wrong place.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::availability::{ABSENT_OPTIONS, ABSENT_SCHEMES};
use super::values::{InterfaceName, deserialize_from_str};
use super::{DEFAULT_PORT, ValueError};
use crate::addr::Destination;
use crate::keys::PublicKey;
use crate::time::Duration;

/// Longest URI in bytes; a name of 253 bytes, a key and the options fit with room to spare.
const MAX_LEN: usize = 1024;
/// Longest DNS name in bytes (RFC 1035 §2.3.4, without the root's dot).
const MAX_NAME: usize = 253;
/// Longest DNS label in bytes (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;
/// Longest waiting time between attempts that can be asked for; beyond a day one would remove the peer.
const MAX_BACKOFF: Duration = Duration::from_secs(24 * 3600);

/// What carries the peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP, as Go nodes speak it.
    Tcp,
    /// WebSocket over plain TCP, as Go nodes speak it: gets through where only HTTP does.
    Ws,
}

/// The host part of a peer's URI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name in lower case, resolved at every attempt.
    Name(String),
}

/// Where to dial a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerUri {
    /// What carries the peering.
    pub scheme: Scheme,
    /// The peer's host.
    pub host: Host,
    /// The peer's port, never 0.
    pub port: u16,
    /// What to ask the HTTP server for, `/…`; empty without a path, and for schemes that have none.
    pub path: String,
    /// The key that the peer must have.
    pub key: Option<PublicKey>,
    /// Longest waiting time between attempts, in whole seconds.
    pub max_backoff: Option<Duration>,
    /// The interface to dial through.
    pub interface: Option<InterfaceName>,
}

/// Where to accept peerings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenUri {
    /// What carries the peerings.
    pub scheme: Scheme,
    /// The address and port; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The only interface to accept from.
    pub interface: Option<InterfaceName>,
}

/// Which part of a URI is wrong, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than 1024 bytes.
    #[error("a URI has at most {MAX_LEN} bytes")]
    TooLong,
    /// Nothing before `://`.
    #[error("the scheme is missing; write tcp://host:port")]
    NoScheme,
    /// A scheme that is planned but not there.
    #[error("scheme `{0}` is not available in this version; use tcp:// or ws://")]
    AbsentScheme(&'static str),
    /// Anything else before `://`.
    #[error("the scheme is not one of a peering; use tcp:// or ws://")]
    UnknownScheme,
    /// `user@` before the host.
    #[error("a user name before the host has no meaning; write tcp://host:port")]
    UserInfo,
    /// Nothing where the host belongs.
    #[error("the host is missing; write tcp://host:port")]
    NoHost,
    /// IPv6 without brackets.
    #[error("an IPv6 address stands in brackets: tcp://[2001:db8::1]:{DEFAULT_PORT}")]
    NoBrackets,
    /// `[…]` that is no IPv6 address.
    #[error("what stands in the brackets is not an IPv6 address")]
    BadIpv6,
    /// `fe80::1%eth0`.
    #[error("a zone has no place in the address; name the interface with ?interface=<name>")]
    Zone,
    /// A host that can be neither a name nor an address.
    #[error("the host is neither an IP address nor a DNS name")]
    BadHost,
    /// A name where only an address will do.
    #[error("listening needs an IP address, not a name; `[::]` is every address of this host")]
    ListenName,
    /// An address of the overlay itself.
    #[error("this is an overlay address; a peering needs an address of the network underneath")]
    Overlay,
    /// An address that can only be listened on.
    #[error("this address means every address of a host; it can be listened on but not dialled")]
    Unspecified,
    /// A link-local address without its interface.
    #[error("a link-local address needs its interface: add ?interface=<name>")]
    NoInterface,
    /// No `:port`.
    #[error("the port is missing; nodes listen on {DEFAULT_PORT} unless told otherwise")]
    NoPort,
    /// Not a number that a port can have.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// A path where none belongs, or a fragment.
    #[error("nothing but ?options may follow the port; only ws:// peers can have a path")]
    Path,
    /// A path with something that cannot stand in one.
    #[error("the path has a character that cannot stand there; write it as % and two hexadecimal digits")]
    BadPath,
    /// An option that nobody knows.
    #[error("option number {0} is not known; options are {1}")]
    UnknownOption(usize, &'static str),
    /// An option that is planned but not there.
    #[error("option `{0}` is not available: {1}")]
    AbsentOption(&'static str, &'static str),
    /// An option twice.
    #[error("option `{0}` is given twice")]
    RepeatedOption(&'static str),
    /// `key` is not a key.
    #[error("option `key` is not a public key of 64 hexadecimal digits")]
    BadKey,
    /// `max_backoff` is not a duration in bounds.
    #[error("option `max_backoff` is not a duration from 1s to 24h, such as 90s, 5m or 1h")]
    BadBackoff,
    /// `interface` is not an interface name.
    #[error("option `interface`: {0}")]
    BadInterface(ValueError),
}

impl PeerUri {
    /// Whether both dial the same place, whatever their options: what `peer remove` compares.
    pub fn same_endpoint(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host == other.host
            && self.port == other.port
            && self.path == other.path
            && self.interface == other.interface
    }
}

impl FromStr for PeerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let parts = Parts::split(text)?;
        let host = Host::parse(parts.host)?;
        let port = parts.port.parse().ok().filter(|port| *port != 0).ok_or(UriError::BadPort)?;
        let path = parse_path(parts.scheme, parts.path)?;
        let mut options = Options::default();
        options.parse(parts.options, PEER_OPTIONS)?;
        if let Host::Ip(ip) = host {
            if is_overlay(ip) {
                return Err(UriError::Overlay);
            }
            if ip.is_unspecified() {
                return Err(UriError::Unspecified);
            }
            require_interface(ip, options.interface.as_ref())?;
        }
        let Options { key, max_backoff, interface } = options;
        Ok(Self { scheme: parts.scheme, host, port, path, key, max_backoff, interface })
    }
}

impl fmt::Display for PeerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.path)?;
        let mut separator = '?';
        let mut option = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name}={value}");
            separator = '&';
            written
        };
        if let Some(key) = &self.key {
            option(f, "key", key)?;
        }
        if let Some(span) = self.max_backoff {
            option(f, "max_backoff", &format_args!("{}s", span.as_secs()))?;
        }
        if let Some(name) = &self.interface {
            option(f, "interface", name)?;
        }
        Ok(())
    }
}

impl FromStr for ListenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let parts = Parts::split(text)?;
        let Host::Ip(ip) = Host::parse(parts.host)? else { return Err(UriError::ListenName) };
        if is_overlay(ip) {
            return Err(UriError::Overlay);
        }
        let port: u16 = parts.port.parse().map_err(|_| UriError::BadPort)?;
        if !parts.path.is_empty() {
            return Err(UriError::Path);
        }
        let mut options = Options::default();
        options.parse(parts.options, LISTEN_OPTIONS)?;
        require_interface(ip, options.interface.as_ref())?;
        Ok(Self { scheme: parts.scheme, address: SocketAddr::new(ip, port), interface: options.interface })
    }
}

impl fmt::Display for ListenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)?;
        if let Some(name) = &self.interface {
            write!(f, "?interface={name}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Ws => f.write_str("ws"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl serde::Serialize for PeerUri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize_from_str!(PeerUri, "a URI such as \"tcp://192.0.2.1:7463\"");
deserialize_from_str!(ListenUri, "a URI such as \"tcp://[::]:7463\"");

/// A URI cut up, with nothing but the scheme understood.
struct Parts<'a> {
    scheme: Scheme,
    host: &'a str,
    port: &'a str,
    /// With its slash, if there is one.
    path: &'a str,
    options: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, UriError> {
        if text.len() > MAX_LEN {
            return Err(UriError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UriError::NoScheme)?;
        let scheme = Scheme::parse(scheme)?;
        let (rest, options) = match rest.split_once('?') {
            Some((rest, options)) => (rest, Some(options)),
            None => (rest, None),
        };
        if rest.contains('#') {
            return Err(UriError::Path);
        }
        let (rest, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if rest.contains('@') {
            return Err(UriError::UserInfo);
        }
        let (host, port) = if rest.starts_with('[') {
            let (host, after) = rest.split_once(']').ok_or(UriError::BadIpv6)?;
            let port = after.strip_prefix(':').ok_or(UriError::NoPort)?;
            (host, port)
        } else {
            if rest.matches(':').count() > 1 {
                return Err(UriError::NoBrackets);
            }
            rest.split_once(':').ok_or(if rest.is_empty() { UriError::NoHost } else { UriError::NoPort })?
        };
        // `u16::from_str` takes a leading plus sign.
        if port.is_empty() {
            return Err(UriError::NoPort);
        }
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UriError::BadPort);
        }
        Ok(Self { scheme, host, port, path, options })
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, UriError> {
        if text.is_empty() {
            return Err(UriError::NoScheme);
        }
        for (name, scheme) in [("tcp", Self::Tcp), ("ws", Self::Ws)] {
            if text.eq_ignore_ascii_case(name) {
                return Ok(scheme);
            }
        }
        let absent = ABSENT_SCHEMES.iter().find(|scheme| scheme.eq_ignore_ascii_case(text));
        Err(absent.map_or(UriError::UnknownScheme, |scheme| UriError::AbsentScheme(scheme)))
    }
}

impl Host {
    /// `text` keeps the opening bracket of an IPv6 address, so that one without brackets is told from a name.
    fn parse(text: &str) -> Result<Self, UriError> {
        if text.is_empty() || text == "[" {
            return Err(UriError::NoHost);
        }
        if text.contains('%') {
            return Err(UriError::Zone);
        }
        if let Some(text) = text.strip_prefix('[') {
            return text.parse().map(|ip| Self::Ip(IpAddr::V6(ip))).map_err(|_| UriError::BadIpv6);
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        // A name whose last label is a number would be taken for an IPv4 address by resolvers (WHATWG URL, "ends in a number").
        let name = text.to_ascii_lowercase();
        let ends_in_number =
            name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() > MAX_NAME || ends_in_number || !name.split('.').all(is_label) {
            return Err(UriError::BadHost);
        }
        Ok(Self::Name(name))
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(allowed) && !label.starts_with('-')
}

/// The path of a peer's URI. The root alone says no more than no path.
fn parse_path(scheme: Scheme, path: &str) -> Result<String, UriError> {
    match scheme {
        Scheme::Tcp if path.is_empty() => Ok(String::new()),
        Scheme::Tcp => Err(UriError::Path),
        Scheme::Ws if path == "/" => Ok(String::new()),
        Scheme::Ws if is_path(path) => Ok(path.to_owned()),
        Scheme::Ws => Err(UriError::BadPath),
    }
}

/// Whether all of `path` may stand in the path of a URI (RFC 3986 §3.3).
fn is_path(path: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    let mut escapes = path.split('%');
    let plain = escapes.next().unwrap_or_default();
    plain.bytes().all(allowed)
        && escapes.all(|after| {
            let (digits, rest) = after.as_bytes().split_at(after.len().min(2));
            digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit) && rest.iter().all(|byte| allowed(*byte))
        })
}

fn is_overlay(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Destination::of(ip).is_some())
}

fn require_interface(ip: IpAddr, interface: Option<&InterfaceName>) -> Result<(), UriError> {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if link_local && interface.is_none() { Err(UriError::NoInterface) } else { Ok(()) }
}

/// The options that one kind of URI takes, as errors list them.
type OptionNames = &'static str;
const PEER_OPTIONS: OptionNames = "key, max_backoff, interface";
const LISTEN_OPTIONS: OptionNames = "interface";

#[derive(Default)]
struct Options {
    key: Option<PublicKey>,
    max_backoff: Option<Duration>,
    interface: Option<InterfaceName>,
}

impl Options {
    fn parse(&mut self, text: Option<&str>, names: OptionNames) -> Result<(), UriError> {
        let Some(text) = text else { return Ok(()) };
        for (index, option) in text.split('&').enumerate() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "key" if names == PEER_OPTIONS => {
                    once(&mut self.key, "key", value.parse().map_err(|_| UriError::BadKey)?)?;
                }
                "max_backoff" if names == PEER_OPTIONS => {
                    once(&mut self.max_backoff, "max_backoff", parse_span(value).ok_or(UriError::BadBackoff)?)?;
                }
                "interface" => {
                    once(&mut self.interface, "interface", value.parse().map_err(UriError::BadInterface)?)?;
                }
                _ => {
                    let absent = ABSENT_OPTIONS.iter().find(|(absent, _)| *absent == name);
                    return Err(absent.map_or(UriError::UnknownOption(index + 1, names), |(name, reason)| {
                        UriError::AbsentOption(name, reason)
                    }));
                }
            }
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    if slot.replace(value).is_some() { Err(UriError::RepeatedOption(name)) } else { Ok(()) }
}

/// A whole number and its unit: `s`, `m` or `h`.
fn parse_span(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let span = Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?);
    (Duration::from_secs(1)..=MAX_BACKOFF).contains(&span).then_some(span)
}

#[cfg(test)]
mod tests;
