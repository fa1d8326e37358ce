//! URIs of peerings: where to dial ([`PeerUri`]) and where to listen ([`ListenUri`]).
//!
//! ```text
//! tcp://host:port?key=<64 hex digits>&max_backoff=<duration>&interface=<name>     host: name, IPv4 or [IPv6]
//! ws://host:port/path?…                                                           the path is sent to the HTTP server
//! quic://host:port?…                                                              over UDP
//! …?priority=<0 to 254>&max_rate=<bits per second>                                 for peers and listeners
//! tcp://ip:port?interface=<name>                                                  listen; port 0 lets the system choose
//! ws://ip:port?…                                                                  listen; takes requests for any path
//! tls://…  wss://…                                                                as tcp:// and ws://, through TLS
//! quic://ip:port?…                                                                listen on UDP
//! ```
//!
//! Options are for us and never sent, so the HTTP request of a `ws://` peer has no query.
//!
//! `Display` gives the canonical text, which parses to the same value. Errors name the part that is wrong and repeat neither
//! the whole text nor the value of an option: either may hold a secret that was put in the wrong place.

mod error;
mod options;
mod parts;
mod rate;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

pub use error::UriError;
pub use rate::Rate;

use options::{LISTEN_OPTIONS, Options, PEER_OPTIONS};
use parts::{Parts, parse_path};

use super::values::{InterfaceName, deserialize_from_str};
use crate::addr::Destination;
use crate::keys::PublicKey;
use crate::node::PeerPolicy;
use crate::time::Duration;

/// What carries the peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP, as Go nodes speak it.
    Tcp,
    /// WebSocket over plain TCP, as Go nodes speak it: gets through where only HTTP does.
    Ws,
    /// TLS over TCP, which proves the keys of both sides.
    Tls,
    /// WebSocket over TLS: to a node, or to a web server that passes it on to one.
    Wss,
    /// QUIC over UDP: encrypted, and traffic in datagrams.
    Quic,
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
    /// What is wanted of the peering.
    pub policy: PeerPolicy,
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
    /// What is wanted of the peerings.
    pub policy: PeerPolicy,
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
        let policy = options.policy();
        let Options { key, max_backoff, interface, .. } = options;
        Ok(Self { scheme: parts.scheme, host, port, path, key, max_backoff, interface, policy })
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
        write_policy(&self.policy, |name, value| option(f, name, value))
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
        let policy = options.policy();
        Ok(Self { scheme: parts.scheme, address: SocketAddr::new(ip, port), interface: options.interface, policy })
    }
}

impl fmt::Display for ListenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)?;
        let mut separator = '?';
        let mut option = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name}={value}");
            separator = '&';
            written
        };
        if let Some(name) = &self.interface {
            option(f, "interface", name)?;
        }
        write_policy(&self.policy, |name, value| option(f, name, value))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Ws => f.write_str("ws"),
            Self::Tls => f.write_str("tls"),
            Self::Wss => f.write_str("wss"),
            Self::Quic => f.write_str("quic"),
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

/// Writes the options that a policy needs.
fn write_policy(policy: &PeerPolicy, mut option: impl FnMut(&str, &dyn fmt::Display) -> fmt::Result) -> fmt::Result {
    if policy.priority != 0 {
        option("priority", &policy.priority)?;
    }
    policy.max_rate.map_or(Ok(()), |rate| option("max_rate", &Rate(rate)))
}

fn is_overlay(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Destination::of(ip).is_some())
}

fn require_interface(ip: IpAddr, interface: Option<&InterfaceName>) -> Result<(), UriError> {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if link_local && interface.is_none() { Err(UriError::NoInterface) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
