//! Where the metrics server listens.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::config::MetricsListen;
use crate::shell::socket_file::{SocketFile, SocketFileError};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("metrics.listen: {0}")]
pub struct MetricsListenFailed(String);

/// A socket that scrapers can connect to.
#[derive(Debug)]
pub struct MetricsListener {
    name: String,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// With its file, which goes when this is dropped.
    Unix(UnixListener, #[allow(dead_code, reason = "kept until the listener goes")] SocketFile),
}

/// A connection, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl MetricsListener {
    /// Listens; `None` if metrics are off. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address or path is taken, or the operating system refuses.
    pub fn bind(listen: &MetricsListen) -> Result<Option<Self>, MetricsListenFailed> {
        let failed = |error: &dyn fmt::Display| MetricsListenFailed(format!("{listen}: {error}"));
        let socket = match listen {
            MetricsListen::Off => return Ok(None),
            MetricsListen::Tcp(address) => {
                let bind = || -> io::Result<TcpListener> {
                    let listener = std::net::TcpListener::bind(address)?;
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                };
                Socket::Tcp(bind().map_err(|error| failed(&with_advice(&error)))?)
            }
            MetricsListen::Unix { path, group } => {
                let bound = SocketFile::bind(path.as_path(), group.as_deref(), SOCKET_MODE, BACKLOG);
                let (listener, file) = bound.map_err(|error| failed(&in_words(error)))?;
                Socket::Unix(UnixListener::from_std(listener).map_err(|error| failed(&error))?, file)
            }
        };
        Ok(Some(Self { name: listen.to_string(), socket }))
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| Box::pin(stream) as Pin<Box<dyn Stream>>)
            }
            Socket::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Box::pin(stream) as _),
        }
    }
}

impl fmt::Display for MetricsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn with_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{error}: another program has this port; name another"),
        io::ErrorKind::AddrNotAvailable => format!("{error}: this host does not have this address"),
        _ => error.to_string(),
    }
}

fn in_words(error: SocketFileError) -> String {
    match error {
        SocketFileError::InUse(path) => format!("another program serves on {}", path.display()),
        SocketFileError::NotASocket(path) => format!("{} is not a socket and is left alone; remove it", path.display()),
        SocketFileError::NoSuchGroup(group) => format!("this host has no group {group}"),
        SocketFileError::Io { path, what, source } => format!("{}: cannot {what}: {source}", path.display()),
    }
}
