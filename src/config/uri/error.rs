//! What can be wrong with a URI of a peering, in sentences that say what to write instead.
//!
//! They repeat neither the whole text nor the value of an option: either may hold a secret that was put in the wrong place.

use crate::config::values::MAX_SOCKET_PATH;
use crate::config::{DEFAULT_PORT, ValueError};
use crate::link::BadPassword;

/// Longest URI in bytes; a name of 253 bytes, a key and the options fit with room to spare.
pub(super) const MAX_LEN: usize = 1024;

/// Which part of a URI is wrong, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than 1024 bytes.
    #[error("a URI has at most {MAX_LEN} bytes")]
    TooLong,
    /// Nothing before `://`.
    #[error("the scheme is missing; write tcp://host:port")]
    NoScheme,
    /// No scheme of ours before `://`.
    #[error("the scheme is not one of a peering; use tls://, quic://, wss://, tcp://, ws:// or unix://")]
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
    #[error("nothing but ?options may follow the port; only ws:// and wss:// peers can have a path")]
    Path,
    /// A path with something that cannot stand in one.
    #[error("the path has a character that cannot stand there; write it as % and two hexadecimal digits")]
    BadPath,
    /// An option that nobody knows.
    #[error("option number {0} is not known; options are {1}")]
    UnknownOption(usize, &'static str),
    /// An option twice.
    #[error("option `{0}` is given twice")]
    RepeatedOption(&'static str),
    /// `key` is not a key.
    #[error("option `key` is not a public key of 64 hexadecimal digits")]
    BadKey,
    /// `password` is not one.
    #[error("option `password`: {0}")]
    BadPassword(BadPassword),
    /// `max_backoff` is not a duration in bounds.
    #[error("option `max_backoff` is not a duration from 1s to 24h, such as 90s, 5m or 1h")]
    BadBackoff,
    /// `priority` is not in bounds.
    #[error("option `priority` is not a number from 0 (carries first) to 254")]
    BadPriority,
    /// `max_rate` is not a rate.
    #[error("option `max_rate` is not a rate from 10k to 1000G in bits per second, such as 500k, 10M or 1G")]
    BadRate,
    /// `interface` is not an interface name.
    #[error("option `interface`: {0}")]
    BadInterface(ValueError),
    /// `proxy` is not a proxy.
    #[error(
        "option `proxy` is not socks5://host:port or http://host:port, with user:password@ before the host if it needs that"
    )]
    BadProxy,
    /// The user name and password of `proxy` are not right.
    #[error(
        "the login of option `proxy` is user:password of at most 255 bytes each, with % and two hexadecimal digits in place of \
         & : @ / ? # % and spaces"
    )]
    BadProxyLogin,
    /// `unix://` without an absolute path, or with one that no socket can have.
    #[error("a Unix socket is an absolute path of at most {MAX_SOCKET_PATH} bytes: unix:///run/pinecone/peers.sock")]
    BadSocketPath,
    /// An option of network peerings at `unix://`, or the other way round.
    #[error("option `{0}` has no meaning {1}")]
    WrongOption(&'static str, &'static str),
    /// `group` is neither the name nor the number of a group.
    #[error("option `group` is a group's name or number")]
    BadGroup,
}
