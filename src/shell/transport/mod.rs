//! What carries peerings: dialling and listening by URI, and the byte streams that come of it.
//!
//! A peering needs an ordered, reliable stream of bytes and nothing else, so that is all the rest of the shell sees
//! ([`Connection`]). What a kind of transport can do about the peer's identity is one flag; one that can carry traffic frames beside the stream,
//! where they do not wait for each other, offers that too ([`Beside`]).

mod path;
mod proxy;
pub(crate) mod quic;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod underlay;
mod unix;
pub(crate) mod ws;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::addr::Destination;
use crate::buf::PacketBuf;
use crate::config::{Endpoint, InterfaceName, ListenAddress, ListenUri, PeerUri, Scheme};
use crate::drops::DropCounters;
use crate::link::window::PathSample;
use crate::link::{Carrier, HELLO_TIMEOUT};
use crate::time::Instant;

use tls::NodeTls;
use underlay::{MarkError, Underlay};

/// A stream in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// What is known of its path, for a window in front of it.
    fn path(&self) -> Option<PathSample> {
        None
    }

    /// What carries traffic frames beside the stream, if there is something.
    fn beside(&mut self) -> Option<&mut dyn Beside> {
        None
    }
}

/// Carries traffic frames beside a stream: each by itself, in no order, and not again if it gets lost.
pub(crate) trait Beside {
    /// Sends a frame. Pending while it would only wait, and to be called with the same frame then.
    ///
    /// # Errors
    /// The connection broke.
    fn poll_send(&mut self, frame: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The next frame, whole, of which nothing was looked at. Pending for ever when the connection is over, which the stream tells.
    fn poll_recv(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<PacketBuf>;

    /// Longest packet, in bytes, that should go into a frame, for what gets lost of late; [`usize::MAX`] if any may.
    fn frame_len(&mut self) -> usize;

    /// What was dropped since this was last asked.
    fn take_drops(&mut self) -> DropCounters;
}

impl Stream for ws::WsStream<Box<dyn Stream>> {
    fn path(&self) -> Option<PathSample> {
        self.inner().path()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

#[cfg(test)]
impl Stream for tokio::net::TcpStream {}

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

impl Remote {
    /// Who counts as one source of connections. A user of this host is one; the documentation prefix (RFC 3849) stands for them, from where
    /// nothing ever comes.
    pub(crate) fn source(&self) -> IpAddr {
        match self {
            Self::Ip(address) => address.ip(),
            Self::Unix { user } => {
                let (high, low) = ((user >> 16) as u16, *user as u16);
                Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, 0).into()
            }
        }
    }
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
pub(crate) enum Incoming {
    /// Over a stream of the system's.
    Stream {
        /// What kind of listener it came to.
        scheme: Scheme,
        /// Our side of TLS.
        tls: Arc<NodeTls>,
        /// The connection.
        connection: Connection,
    },
    /// Over QUIC.
    Quic(Box<quic::Incoming>),
}

/// Accepts connections.
pub(crate) enum Listener {
    /// Over TCP.
    Tcp {
        /// What is spoken there.
        scheme: Scheme,
        /// Our side of TLS.
        tls: Arc<NodeTls>,
        /// The socket.
        listener: tcp::Listener,
    },
    /// In the file system.
    Unix {
        /// Our side of TLS, which is not spoken there.
        tls: Arc<NodeTls>,
        /// The socket.
        listener: unix::Listener,
    },
    /// Over QUIC.
    Quic(quic::Listener),
}

/// Connects to a peer; names are resolved anew.
///
/// # Errors
/// Nothing answered, or not in time.
pub(crate) async fn dial(uri: &PeerUri, dialler: &quic::Dialler) -> Result<Connection, DialError> {
    let at = match &uri.endpoint {
        Endpoint::Unix(path) => return unix::dial(path).await,
        Endpoint::Net(at) => at,
    };
    let (tls, underlay) = (&dialler.tls, &dialler.underlay);
    let proxy = uri.proxy.as_ref().or(underlay.proxy.as_ref());
    if proxy.is_none() && proxy::needs_proxy(&at.host) {
        return Err(DialError::Onion(at.host.to_string()));
    }
    if uri.scheme == Scheme::Quic {
        // Past the proxy would show our address to somebody who is not to see it.
        return match proxy {
            Some(proxy) => Err(DialError::NoProxyForQuic(proxy.to_string())),
            None => quic::dial(dialler, at, uri.interface.as_ref(), uri.key).await,
        };
    }
    let binding = underlay.binding(uri.interface.as_ref().map(InterfaceName::as_str));
    let connected = match proxy {
        Some(proxy) => proxy::dial(proxy, at, binding).await?,
        None => tcp::dial(at, binding).await?,
    };
    let Connection { stream, ends } = connected.into_connection();
    match uri.scheme {
        Scheme::Tcp | Scheme::Quic | Scheme::Unix => Ok(Connection { stream, ends }),
        Scheme::Ws => websocket(ws::connect(stream, &at.host, at.port, &at.path).await, ends),
        Scheme::Tls => channel(tls.connect(stream, &at.host, uri.key).await, ends),
        Scheme::Wss => {
            let Connection { stream, ends } = channel(tls.connect_web(stream, &at.host, uri.key).await, ends)?;
            websocket(ws::connect(stream, &at.host, at.port, &at.path).await, ends)
        }
    }
}

/// Listens for peers. Must be called within the runtime.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub(crate) fn listen(uri: &ListenUri, tls: &Arc<NodeTls>, underlay: &Underlay) -> Result<Listener, ListenError> {
    let (scheme, tls) = (uri.scheme, Arc::clone(tls));
    let binding = underlay.binding(uri.interface.as_ref().map(InterfaceName::as_str));
    match &uri.address {
        ListenAddress::Ip(address) if scheme == Scheme::Quic => {
            quic::listen(&tls, *address, binding).map(Listener::Quic)
        }
        ListenAddress::Ip(address) => {
            let listener = tcp::listen(*address, binding)?;
            Ok(Listener::Tcp { scheme, tls, listener })
        }
        ListenAddress::Unix { path, group } => {
            let listener = unix::listen(path, group.as_deref())?;
            Ok(Listener::Unix { tls, listener })
        }
    }
}

impl Listener {
    /// The port that it listens on, chosen by the system or not; none for Unix sockets.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { listener, .. } => Some(listener.address().port()),
            Self::Quic(listener) => Some(listener.address().port()),
            Self::Unix { .. } => None,
        }
    }

    /// Where it listens, with the port that the system chose, for people.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Tcp { scheme, listener, .. } => format!("{scheme}://{}", listener.address()),
            Self::Quic(listener) => format!("{}://{}", Scheme::Quic, listener.address()),
            Self::Unix { listener, .. } => format!("{}://{}", Scheme::Unix, listener.path()),
        }
    }

    /// The next connection that does not come over the overlay.
    ///
    /// # Errors
    /// The system is out of something; it may have it again later.
    pub(crate) async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp { scheme, tls, listener } => {
                let connection = listener.accept().await?;
                Ok(Incoming::Stream { scheme: *scheme, tls: Arc::clone(tls), connection })
            }
            Self::Unix { tls, listener } => {
                let connection = listener.accept().await?;
                Ok(Incoming::Stream { scheme: Scheme::Unix, tls: Arc::clone(tls), connection })
            }
            Self::Quic(listener) => Ok(Incoming::Quic(Box::new(listener.accept().await?))),
        }
    }
}

impl Incoming {
    /// Who is at its ends.
    pub(crate) fn ends(&self) -> Ends {
        match self {
            Self::Stream { connection, .. } => connection.ends,
            Self::Quic(incoming) => incoming.ends(),
        }
    }

    /// Where it comes from, for people.
    pub(crate) fn uri(&self) -> String {
        let scheme = match self {
            Self::Stream { scheme, .. } => *scheme,
            Self::Quic(_) => Scheme::Quic,
        };
        match self.ends().remote {
            Remote::Ip(address) => format!("{scheme}://{address}"),
            Remote::Unix { user } => format!("{scheme} (user {user})"),
        }
    }

    /// Says what the transport says first. Takes as long as the other side likes, up to [`HELLO_TIMEOUT`], so each connection is to be
    /// opened in a task of its own.
    ///
    /// # Errors
    /// The other side did not do its part.
    pub(crate) async fn open(self) -> Result<Connection, DialError> {
        let (scheme, tls, Connection { stream, ends }) = match self {
            Self::Stream { scheme, tls, connection } => (scheme, tls, connection),
            Self::Quic(incoming) => return incoming.open().await,
        };
        match scheme {
            Scheme::Tcp | Scheme::Quic | Scheme::Unix => Ok(Connection { stream, ends }),
            Scheme::Ws => websocket(ws::accept(stream).await, ends),
            Scheme::Tls => channel(tls.accept(stream).await, ends),
            Scheme::Wss => {
                let both = async {
                    let Connection { stream, ends } = channel(tls.accept_web(stream).await, ends)?;
                    websocket(ws::accept(stream).await, ends)
                };
                // One after the other, within the time of one.
                let late = |_| Err(DialError::TimedOut(HELLO_TIMEOUT));
                tokio::time::timeout(HELLO_TIMEOUT, both).await.unwrap_or_else(late)
            }
        }
    }
}

fn channel(opened: Result<(tls::Channel, Carrier), tls::TlsError>, ends: Ends) -> Result<Connection, DialError> {
    let (stream, carrier) = opened.map_err(|source| DialError::Tls { address: ends.remote, source })?;
    Ok(Connection { stream: Box::new(stream), ends: Ends { carrier, ..ends } })
}

fn websocket(
    opened: Result<ws::WsStream<Box<dyn Stream>>, ws::UpgradeError>,
    ends: Ends,
) -> Result<Connection, DialError> {
    let stream = opened.map_err(|source| DialError::Upgrade { address: ends.remote, source })?;
    // What a channel underneath has proven stays proven.
    let carrier = if ends.carrier.proven_key().is_some() { ends.carrier } else { Carrier::WebSocket };
    Ok(Connection { stream: Box::new(stream), ends: Ends { carrier, ..ends } })
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
    /// The connection is there, and no TLS over it.
    #[error("no TLS with {address}: {source}")]
    Tls {
        /// The peer's address.
        address: Remote,
        /// What went wrong.
        source: tls::TlsError,
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
    /// QUIC, and a proxy for all peers.
    #[error(
        "quic:// goes through no proxy, and peering.proxy is {0}: use tls:// for this peer, or set peering.proxy = \"\""
    )]
    NoProxyForQuic(String),
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
    /// There is no QUIC connection.
    #[error("no QUIC connection with {address}: {source}")]
    Quic {
        /// The peer's address.
        address: SocketAddr,
        /// What went wrong.
        source: quic::QuicError,
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
