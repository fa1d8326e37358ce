//! What carries peerings: dialling and listening by URI, and the byte streams that come of it.
//!
//! A peering needs an ordered, reliable stream of bytes and nothing else, so that is all the rest of the shell sees
//! ([`Connection`]). What a kind of transport can do about the peer's identity is one flag; one that can carry traffic frames beside the stream,
//! where they do not wait for each other, offers that too ([`Beside`]).

mod path;
pub(crate) mod quic;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod ws;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::addr::Destination;
use crate::buf::PacketBuf;
use crate::config::{ListenUri, PeerUri, Scheme};
use crate::drops::DropCounters;
use crate::link::window::PathSample;
use crate::link::{Carrier, HELLO_TIMEOUT};
use crate::time::Instant;

use tls::NodeTls;

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
    /// The peer's address.
    pub(crate) remote: SocketAddr,
    /// Ours: if it leaves the host, so does the connection.
    pub(crate) local: IpAddr,
    /// What is underneath, and what it says of the peer's key.
    pub(crate) carrier: Carrier,
}

/// A connection that came to a listener. What its transport says first is not said yet.
pub(crate) enum Incoming {
    /// Over TCP.
    Tcp {
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
    /// Over QUIC.
    Quic(quic::Listener),
}

/// Connects to a peer; names are resolved anew.
///
/// # Errors
/// Nothing answered, or not in time.
pub(crate) async fn dial(uri: &PeerUri, dialler: &quic::Dialler) -> Result<Connection, DialError> {
    if uri.scheme == Scheme::Quic {
        return quic::dial(dialler, &uri.host, uri.port, uri.interface.as_ref(), uri.key).await;
    }
    let tls = &dialler.tls;
    let Connection { stream, ends } = tcp::dial(&uri.host, uri.port, uri.interface.as_ref()).await?;
    match uri.scheme {
        Scheme::Tcp | Scheme::Quic => Ok(Connection { stream, ends }),
        Scheme::Ws => websocket(ws::connect(stream, &uri.host, uri.port, &uri.path).await, ends),
        Scheme::Tls => channel(tls.connect(stream, &uri.host, uri.key).await, ends),
        Scheme::Wss => {
            let Connection { stream, ends } = channel(tls.connect_web(stream, &uri.host, uri.key).await, ends)?;
            websocket(ws::connect(stream, &uri.host, uri.port, &uri.path).await, ends)
        }
    }
}

/// Listens for peers. Must be called within the runtime.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub(crate) fn listen(uri: &ListenUri, tls: &Arc<NodeTls>) -> Result<Listener, ListenError> {
    let (address, interface) = (uri.address, uri.interface.as_ref());
    match uri.scheme {
        Scheme::Quic => quic::listen(tls, address, interface).map(Listener::Quic),
        scheme => {
            let listener = tcp::listen(address, interface)?;
            Ok(Listener::Tcp { scheme, tls: Arc::clone(tls), listener })
        }
    }
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp { listener, .. } => listener.address(),
            Self::Quic(listener) => listener.address(),
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
                Ok(Incoming::Tcp { scheme: *scheme, tls: Arc::clone(tls), connection })
            }
            Self::Quic(listener) => Ok(Incoming::Quic(Box::new(listener.accept().await?))),
        }
    }
}

impl Incoming {
    /// Who is at its ends.
    pub(crate) fn ends(&self) -> Ends {
        match self {
            Self::Tcp { connection, .. } => connection.ends,
            Self::Quic(incoming) => incoming.ends(),
        }
    }

    /// Where it comes from, for people.
    pub(crate) fn uri(&self) -> String {
        let scheme = match self {
            Self::Tcp { scheme, .. } => *scheme,
            Self::Quic(_) => Scheme::Quic,
        };
        format!("{scheme}://{}", self.ends().remote)
    }

    /// Says what the transport says first. Takes as long as the other side likes, up to [`HELLO_TIMEOUT`], so each connection is to be
    /// opened in a task of its own.
    ///
    /// # Errors
    /// The other side did not do its part.
    pub(crate) async fn open(self) -> Result<Connection, DialError> {
        let (scheme, tls, Connection { stream, ends }) = match self {
            Self::Tcp { scheme, tls, connection } => (scheme, tls, connection),
            Self::Quic(incoming) => return incoming.open().await,
        };
        match scheme {
            Scheme::Tcp | Scheme::Quic => Ok(Connection { stream, ends }),
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
        address: SocketAddr,
        /// What went wrong.
        source: tls::TlsError,
    },
    /// The connection is there, and no WebSocket over it.
    #[error("no WebSocket with {address}: {source}")]
    Upgrade {
        /// The peer's address.
        address: SocketAddr,
        /// What went wrong.
        source: ws::UpgradeError,
    },
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
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Os {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: std::io::Error,
    },
}
