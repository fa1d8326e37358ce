//! What carries peerings: dialling and listening by URI, and the byte streams that come of it.
//!
//! A peering needs an ordered, reliable stream of bytes and nothing else, so that is all the rest of the shell sees
//! ([`Connection`]). What a kind of transport can do about the peer's identity is one flag.

mod path;
mod proxy;
pub(crate) mod tcp;
pub(crate) mod underlay;
mod unix;
pub(crate) mod ws;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::addr::Destination;
use crate::config::{Endpoint, InterfaceName, ListenAddress, ListenUri, PeerUri, Scheme};
use crate::link::Carrier;
#[cfg(doc)]
use crate::link::HELLO_TIMEOUT;
use crate::link::window::PathSample;
use underlay::{MarkError, Underlay};

/// A stream in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// What is known of its path, for a window in front of it.
    fn path(&self) -> Option<PathSample> {
        None
    }
}

impl Stream for ws::WsStream<Box<dyn Stream>> {
    fn path(&self) -> Option<PathSample> {
        self.inner().path()
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

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
    /// The other end.
    pub(crate) remote: Remote,
    /// Our address, if the end has one: if it leaves the host, so does the connection.
    pub(crate) local: Option<IpAddr>,
    /// What is underneath, and what it says of the peer's key.
    pub(crate) carrier: Carrier,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// The peer, or the proxy in front of it.
    Ip(SocketAddr),
    /// A program of this host.
    Unix {
        /// Whose.
        user: u32,
    },
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { user } => write!(f, "a program of user {user}"),
        }
    }
}

/// A connection that came to a listener. What its transport says first is not said yet.
pub(crate) struct Incoming {
    /// What kind of listener it came to.
    pub(crate) scheme: Scheme,
    /// The connection.
    pub(crate) connection: Connection,
}

/// Accepts connections.
pub(crate) struct Listener {
    scheme: Scheme,
    kind: ListenerKind,
}

enum ListenerKind {
    Tcp(tcp::Listener),
    Unix(unix::Listener),
}

/// Connects to a peer; names are resolved anew.
///
/// # Errors
/// Nothing answered, or not in time.
pub(crate) async fn dial(uri: &PeerUri, underlay: &Underlay) -> Result<Connection, DialError> {
    let at = match &uri.endpoint {
        Endpoint::Unix(path) => return unix::dial(path).await,
        Endpoint::Net(at) => at,
    };
    let binding = underlay.binding(uri.interface.as_ref().map(InterfaceName::as_str));
    let connected = match uri.proxy.as_ref().or(underlay.proxy.as_ref()) {
        Some(proxy) => proxy::dial(proxy, at, binding).await?,
        None if proxy::needs_proxy(&at.host) => return Err(DialError::Onion(at.host.to_string())),
        None => tcp::dial(at, binding).await?,
    };
    let Connection { stream, ends } = connected.into_connection();
    match uri.scheme {
        Scheme::Tcp | Scheme::Unix => Ok(Connection { stream, ends }),
        Scheme::Ws => websocket(ws::connect(stream, &at.host, at.port, &at.path).await, ends),
    }
}

/// Listens for peers. Must be called within the runtime.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub(crate) fn listen(uri: &ListenUri, underlay: &Underlay) -> Result<Listener, ListenError> {
    let binding = underlay.binding(uri.interface.as_ref().map(InterfaceName::as_str));
    let kind = match &uri.address {
        ListenAddress::Ip(address) => ListenerKind::Tcp(tcp::listen(*address, binding)?),
        ListenAddress::Unix { path, group } => ListenerKind::Unix(unix::listen(path, group.as_deref())?),
    };
    Ok(Listener { scheme: uri.scheme, kind })
}

impl Listener {
    /// The port that it listens on, chosen by the system or not; none for Unix sockets.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.kind {
            ListenerKind::Tcp(listener) => Some(listener.address().port()),
            ListenerKind::Unix(_) => None,
        }
    }

    /// Where it listens, with the port that the system chose, for people.
    pub(crate) fn uri(&self) -> String {
        match &self.kind {
            ListenerKind::Tcp(listener) => format!("{}://{}", self.scheme, listener.address()),
            ListenerKind::Unix(listener) => format!("{}://{}", self.scheme, listener.path()),
        }
    }

    /// The next connection that does not come over the overlay.
    ///
    /// # Errors
    /// The system is out of something; it may have it again later.
    pub(crate) async fn accept(&self) -> io::Result<Incoming> {
        let connection = match &self.kind {
            ListenerKind::Tcp(listener) => listener.accept().await?,
            ListenerKind::Unix(listener) => listener.accept().await?,
        };
        Ok(Incoming { scheme: self.scheme, connection })
    }
}

impl Incoming {
    /// Who is at its ends.
    pub(crate) fn ends(&self) -> Ends {
        self.connection.ends
    }

    /// Where it comes from, for people.
    pub(crate) fn uri(&self) -> String {
        match self.connection.ends.remote {
            Remote::Ip(address) => format!("{}://{address}", self.scheme),
            Remote::Unix { user } => format!("{} (user {user})", self.scheme),
        }
    }

    /// Says what the transport says first. Takes as long as the other side likes, up to [`HELLO_TIMEOUT`], so each connection is to be
    /// opened in a task of its own.
    ///
    /// # Errors
    /// The other side did not do its part.
    pub(crate) async fn open(self) -> Result<Connection, DialError> {
        let Connection { stream, ends } = self.connection;
        match self.scheme {
            Scheme::Tcp | Scheme::Unix => Ok(Connection { stream, ends }),
            Scheme::Ws => websocket(ws::accept(stream).await, ends),
        }
    }
}

fn websocket(
    opened: Result<ws::WsStream<Box<dyn Stream>>, ws::UpgradeError>,
    ends: Ends,
) -> Result<Connection, DialError> {
    let stream = opened.map_err(|source| DialError::Upgrade { address: ends.remote, source })?;
    Ok(Connection { stream: Box::new(stream), ends: Ends { carrier: Carrier::WebSocket, ..ends } })
}

/// Whether a connection with this end would run over the overlay itself. Such peerings are refused: they would carry the
/// frames that carry them.
pub(crate) fn is_overlay(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Destination::of(ip).is_some())
}

/// Why a peer could not be reached, or a connection that came in is of no use.
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
    /// The connection is there, and no WebSocket over it.
    #[error("no WebSocket with {address}: {source}")]
    Upgrade {
        /// The peer's address.
        address: Remote,
        /// What went wrong.
        source: ws::UpgradeError,
    },
    /// A proxy did not connect us.
    #[error("the proxy {proxy}: {source}")]
    Proxy {
        /// Its URI, without the login.
        proxy: String,
        /// What went wrong.
        source: proxy::ProxyDialError,
    },
    /// An onion service, and no proxy that knows it.
    #[error("{0} can only be reached through Tor: add ?proxy=socks5://127.0.0.1:9050, or set peering.proxy")]
    Onion(String),
    /// The Unix socket did not take us.
    #[error("cannot connect to {}: {source}{advice}", .path.display())]
    Unix {
        /// Where it is.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
        /// What it most likely means.
        advice: &'static str,
    },
    /// The socket's mark.
    #[error(transparent)]
    Mark(MarkError),
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
    /// The socket's mark.
    #[error(transparent)]
    Mark(MarkError),
    /// Another daemon serves on the Unix socket.
    #[error("cannot listen on {}: another daemon does; choose another path", .0.display())]
    UnixInUse(PathBuf),
    /// Something else lies there.
    #[error("{} is not a socket and is left alone; remove it, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The group of a Unix socket is none.
    #[error("cannot listen on {}: this host has no group {group}; create it with `groupadd {group}`, or name another", .path.display())]
    NoSuchGroup {
        /// The socket.
        path: PathBuf,
        /// The group.
        group: String,
    },
    /// The file system does not take the Unix socket.
    #[error("Unix socket {}: cannot {what}: {source}; choose another path, or run pineconed as a user who may", .path.display())]
    Unix {
        /// The path it was about.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
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
