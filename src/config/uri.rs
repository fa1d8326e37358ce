//! URIs of peerings: where to dial ([`PeerUri`]) and where to listen ([`ListenUri`]).
//!
//! ```text
//! tcp://host:port?key=<64 hex digits>&max_backoff=<duration>&interface=<name>     host: name, IPv4 or [IPv6]
//! tcp://host:port?password=<16 to 128 characters>                                  that both sides have to know; for listeners too
//! tcp://host:port?proxy=socks5://[user:password@]host:port                        or http://…: through this proxy
//! ws://host:port/path?…                                                           the path is sent to the HTTP server
//! quic://host:port?…                                                              over UDP
//! …?priority=<0 to 254>&max_rate=<bits per second>                                 for peers and listeners
//! tcp://ip:port?interface=<name>                                                  listen; port 0 lets the system choose
//! ws://ip:port?…                                                                  listen; takes requests for any path
//! tls://…  wss://…                                                                as tcp:// and ws://, through TLS
//! quic://ip:port?…                                                                listen on UDP
//! unix:///path/of/socket?key=…&max_backoff=…                                      a node of the same host, whatever its network
//! unix:///path/of/socket?group=<name or number>                                   listen; others than our user need the group
//! ```
//!
//! Options are for us and never sent, so the HTTP request of a `ws://` peer has no query.
//!
//! `Display` gives the canonical text, which parses to the same value but for a password and the login of a proxy, which it hides. Errors name the part that is wrong and repeat neither
//! the whole text nor the value of an option: either may hold a secret that was put in the wrong place.

mod error;
mod options;
mod parts;
mod percent;
mod proxy;
mod rate;
mod socket;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

pub use error::UriError;
pub use proxy::{Login, ProxyKind, ProxyUri};
pub use rate::Rate;
pub use socket::SocketPath;

use options::{LISTEN_OPTIONS, Options, PEER_OPTIONS};
use parts::{Parts, parse_path};

use super::values::{InterfaceName, deserialize_from_str};
use crate::addr::Destination;
use crate::keys::PublicKey;
use crate::link::PeerPassword;
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
    /// A Unix socket, between nodes that share a file system. Not for Go nodes.
    Unix,
}

/// The host part of a peer's URI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name in lower case, resolved at every attempt.
    Name(String),
}

/// A place in the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetEndpoint {
    /// The peer's host.
    pub host: Host,
    /// The peer's port, never 0.
    pub port: u16,
    /// What to ask the HTTP server for, `/…`; empty without a path, and for schemes that have none.
    pub path: String,
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Somewhere in the network.
    Net(NetEndpoint),
    /// At a socket of this host's file system.
    Unix(SocketPath),
}

/// Where to dial a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerUri {
    /// What carries the peering.
    pub scheme: Scheme,
    /// Where the peer is.
    pub endpoint: Endpoint,
    /// The key that the peer must have.
    pub key: Option<PublicKey>,
    /// The password that both sides of the peering have to know.
    pub password: Option<PeerPassword>,
    /// Longest waiting time between attempts, in whole seconds.
    pub max_backoff: Option<Duration>,
    /// The interface to dial through.
    pub interface: Option<InterfaceName>,
    /// The proxy to dial through.
    pub proxy: Option<ProxyUri>,
    /// What is wanted of the peering.
    pub policy: PeerPolicy,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An address and port; port 0 lets the system choose one.
    Ip(SocketAddr),
    /// A socket in the file system.
    Unix {
        /// Where.
        path: SocketPath,
        /// Whose members may connect besides our own user: a group's name or number.
        group: Option<String>,
    },
}

impl<T: Into<SocketAddr>> From<T> for ListenAddress {
    fn from(address: T) -> Self {
        Self::Ip(address.into())
    }
}

/// Where to accept peerings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenUri {
    /// What carries the peerings.
    pub scheme: Scheme,
    /// Where.
    pub address: ListenAddress,
    /// The password that those who connect have to know.
    pub password: Option<PeerPassword>,
    /// The only interface to accept from.
    pub interface: Option<InterfaceName>,
    /// What is wanted of the peerings.
    pub policy: PeerPolicy,
}

impl PeerUri {
    /// Whether both dial the same place, whatever their options: what `peer remove` compares.
    pub fn same_endpoint(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.endpoint == other.endpoint && self.interface == other.interface
    }

    /// The text with all secrets in it, for those who may see them. It parses to the same value.
    pub fn with_secrets(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write(f, true))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, with_secrets: bool) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.endpoint {
            Endpoint::Net(NetEndpoint { host, port, path }) => write!(f, "{host}:{port}{path}")?,
            Endpoint::Unix(path) => write!(f, "{path}")?,
        }
        let mut separator = '?';
        let mut option = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name}={value}");
            separator = '&';
            written
        };
        if let Some(key) = &self.key {
            option(f, "key", key)?;
        }
        if let Some(password) = self.password.as_ref().filter(|_| with_secrets) {
            option(f, "password", &password.reveal())?;
        }
        if let Some(span) = self.max_backoff {
            option(f, "max_backoff", &format_args!("{}s", span.as_secs()))?;
        }
        if let Some(name) = &self.interface {
            option(f, "interface", name)?;
        }
        match &self.proxy {
            Some(proxy) if with_secrets => option(f, "proxy", &proxy.with_login())?,
            Some(proxy) => option(f, "proxy", proxy)?,
            None => {}
        }
        write_policy(&self.policy, |name, value| option(f, name, value))
    }
}

impl FromStr for PeerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let parts = Parts::split(text)?;
        if parts.scheme == Scheme::Unix {
            return Self::unix(&parts);
        }
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
        if parts.scheme == Scheme::Quic && options.proxy.is_some() {
            return Err(UriError::WrongOption("proxy", "for quic://: proxies carry TCP; use tls:// there"));
        }
        let policy = options.policy();
        let Options { key, password, max_backoff, interface, proxy, .. } = options;
        let endpoint = Endpoint::Net(NetEndpoint { host, port, path });
        Ok(Self { scheme: parts.scheme, endpoint, key, password, max_backoff, interface, proxy, policy })
    }
}

impl fmt::Display for PeerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

impl FromStr for ListenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let parts = Parts::split(text)?;
        if parts.scheme == Scheme::Unix {
            return Self::unix(&parts);
        }
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
        if options.group.is_some() {
            return Err(UriError::WrongOption("group", "but for unix://"));
        }
        let policy = options.policy();
        let Options { password, interface, .. } = options;
        Ok(Self { scheme: parts.scheme, address: (ip, port).into(), password, interface, policy })
    }
}

impl fmt::Display for ListenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        let mut group_of = None;
        match &self.address {
            ListenAddress::Ip(address) => write!(f, "{address}")?,
            ListenAddress::Unix { path, group } => {
                write!(f, "{path}")?;
                group_of = group.as_ref();
            }
        }
        let mut separator = '?';
        let mut option = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name}={value}");
            separator = '&';
            written
        };
        if let Some(group) = group_of {
            option(f, "group", group)?;
        }
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
            Self::Unix => f.write_str("unix"),
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
