//! What carries peerings: dialling and listening by URI, and the byte streams that come of it.
//!
//! A peering needs an ordered, reliable stream of bytes and nothing else, so that is all the rest of the shell sees
//! ([`Connection`]). What a kind of transport can do about the peer's identity is one flag.

pub(crate) mod tcp;

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::addr::Destination;
use crate::config::{ListenUri, PeerUri, Scheme};

/// A stream in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that a peering can be made of.
pub(crate) struct Connection {
    /// The bytes.
    pub(crate) stream: Box<dyn Stream>,
    /// Who is at its ends.
    pub(crate) ends: Ends,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The peer's address.
    pub(crate) remote: SocketAddr,
    /// Ours: if it leaves the host, so does the connection.
    pub(crate) local: IpAddr,
    /// Whether the transport proved the peer's key.
    pub(crate) authenticated: bool,
}

/// Connects to a peer; names are resolved anew.
///
/// # Errors
/// Nothing answered, or not in time.
pub(crate) async fn dial(uri: &PeerUri) -> Result<Connection, DialError> {
    match uri.scheme {
        Scheme::Tcp => tcp::dial(&uri.host, uri.port, uri.interface.as_ref()).await,
    }
}

/// Listens for peers. Must be called within the runtime.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub(crate) fn listen(uri: &ListenUri) -> Result<tcp::Listener, ListenError> {
    match uri.scheme {
        Scheme::Tcp => tcp::listen(uri.address, uri.interface.as_ref()),
    }
}

/// Whether a connection with this end would run over the overlay itself. Such peerings are refused: they would carry the
/// frames that carry them.
pub(crate) fn is_overlay(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Destination::of(ip).is_some())
}

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Its name has no address.
    #[error("cannot resolve {name}: {source}")]
    Resolve {
        /// The name.
        name: String,
        /// The resolver's answer.
        source: std::io::Error,
    },
    /// It is inside the overlay, or the way there is.
    #[error("{0} is in the overlay; a peering needs an address of the network underneath")]
    Overlay(IpAddr),
    /// The interface to dial through does not exist.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// The connection was refused or found no way.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Nothing came back.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(crate::time::Duration),
}

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else does.
    #[error("cannot listen on {0}: another program does (ss -ltnp 'sport = :{port}' names it)", port = .0.port())]
    InUse(SocketAddr),
    /// Not an address of this host.
    #[error("cannot listen on {0}: this host has no such address (ip addr shows those it has)")]
    NotOurs(SocketAddr),
    /// A privileged port.
    #[error("cannot listen on {0}: ports below 1024 need CAP_NET_BIND_SERVICE; use another port")]
    NotAllowed(SocketAddr),
    /// The interface to listen on does not exist.
    #[error("cannot listen on {address}: there is no interface {interface}")]
    NoInterface {
        /// The address.
        address: SocketAddr,
        /// The interface.
        interface: String,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Os {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: std::io::Error,
    },
}
