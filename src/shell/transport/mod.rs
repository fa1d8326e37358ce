//! What carries peerings: dialling and listening by URI, and the byte streams that come of it.
//!
//! A peering needs an ordered, reliable stream of bytes and nothing else, so that is all the rest of the shell sees
//! ([`Connection`]). What a kind of transport can do about the peer's identity is one flag.

mod path;
pub(crate) mod tcp;
pub(crate) mod ws;

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::addr::Destination;
use crate::config::{ListenUri, PeerUri, Scheme};
use crate::link::Carrier;
#[cfg(doc)]
use crate::link::HELLO_TIMEOUT;
use crate::link::window::PathSample;

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
pub(crate) struct Incoming {
    /// What kind of listener it came to.
    pub(crate) scheme: Scheme,
    /// The connection.
    pub(crate) connection: Connection,
}

/// Accepts connections.
pub(crate) struct Listener {
    scheme: Scheme,
    listener: tcp::Listener,
}

/// Connects to a peer; names are resolved anew.
///
/// # Errors
/// Nothing answered, or not in time.
pub(crate) async fn dial(uri: &PeerUri) -> Result<Connection, DialError> {
    let Connection { stream, ends } = tcp::dial(&uri.host, uri.port, uri.interface.as_ref()).await?;
    match uri.scheme {
        Scheme::Tcp => Ok(Connection { stream, ends }),
        Scheme::Ws => websocket(ws::connect(stream, &uri.host, uri.port, &uri.path).await, ends),
    }
}

/// Listens for peers. Must be called within the runtime.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub(crate) fn listen(uri: &ListenUri) -> Result<Listener, ListenError> {
    let listener = tcp::listen(uri.address, uri.interface.as_ref())?;
    Ok(Listener { scheme: uri.scheme, listener })
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The next connection that does not come over the overlay.
    ///
    /// # Errors
    /// The system is out of something; it may have it again later.
    pub(crate) async fn accept(&self) -> io::Result<Incoming> {
        Ok(Incoming { scheme: self.scheme, connection: self.listener.accept().await? })
    }
}

impl Incoming {
    /// Who is at its ends.
    pub(crate) fn ends(&self) -> Ends {
        self.connection.ends
    }

    /// Where it comes from, for people.
    pub(crate) fn uri(&self) -> String {
        format!("{}://{}", self.scheme, self.connection.ends.remote)
    }

    /// Says what the transport says first. Takes as long as the other side likes, up to [`HELLO_TIMEOUT`], so each connection is to be
    /// opened in a task of its own.
    ///
    /// # Errors
    /// The other side did not do its part.
    pub(crate) async fn open(self) -> Result<Connection, DialError> {
        let Connection { stream, ends } = self.connection;
        match self.scheme {
            Scheme::Tcp => Ok(Connection { stream, ends }),
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
        address: SocketAddr,
        /// What went wrong.
        source: ws::UpgradeError,
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
