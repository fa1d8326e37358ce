//! The control socket: lines of the [control protocol](crate::control) from local clients to the core loop and back.
//!
//! Rights are those of the socket file: whoever may write to it (root, the daemon's user, one group) controls the daemon.
//! Clients are bounded in number, each in the length of a line and in the time it may be silent or leave an answer unread, and
//! each has a task of its own: a client that hangs holds up nobody, and no more than [`MAX_CLIENTS`] of them stay.
//!
//! One daemon per path: see [`socket_file`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::files::may_make;
use super::socket_file::{self, SocketFile, SocketFileError};
use crate::control::events::{self, Event, Happened};
use crate::control::{Answer, Failure, FailureKind, MAX_REQUEST_LEN, Reply, Request, decode_request, reply_line};
use crate::shell::clock::Clock;
use crate::time::Duration;

/// The lines of a client.
type Lines<'a> = FramedRead<ReadHalf<'a>, LinesCodec>;

/// A request and where its answer goes.
pub type Call = (Request, oneshot::Sender<Reply>);

/// The way from the core to those who watch: a ring of [`events::QUEUE`], in which whoever is too slow loses the oldest.
pub type Watchers = broadcast::Sender<Arc<Happened>>;

/// A way with nobody at its end.
pub fn watchers() -> Watchers {
    broadcast::Sender::new(events::QUEUE)
}

/// Most clients at a time: far more than people and scripts of one host need, and little memory if all are idle.
pub const MAX_CLIENTS: usize = 32;
/// How long a client may be silent, and how long it may take to read an answer.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted. The core loop accepts within milliseconds.
const BACKLOG: i32 = 32;
/// Owner and group may connect (connecting to a Unix socket needs the right to write to it).
const SOCKET_MODE: u32 = 0o660;
/// The pause after a failed accept: out of descriptors, most likely, which no retry at full speed mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlSocketError {
    /// Another daemon runs.
    #[error(
        "another pineconed runs on the control socket {0}; stop it, or give this one another path with control.socket"
    )]
    AlreadyRunning(PathBuf),
    /// Something that is not a socket lies there.
    #[error("{0} is not a socket and is left alone; remove it, or choose another path with control.socket")]
    NotASocket(PathBuf),
    /// `control.group` names no group of this host.
    #[error("control.group: this host has no group {0}; create it with `groupadd {0}`, or name another")]
    NoSuchGroup(String),
    /// The operating system refuses.
    #[error("control socket {path}: cannot {what}: {source}; {}", advice(source))]
    Io {
        /// The path it was about.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// A control socket that clients can connect to. Removed from the file system when dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    _file: SocketFile,
}

impl ControlSocket {
    /// Makes the socket at `path`, and its directory (mode 0755) if there is none. Members of `group` (a name or number) may
    /// use it besides the owner. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Another daemon runs on this path, the path is taken, or the operating system refuses.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, ControlSocketError> {
        let (listener, file) = SocketFile::bind(path, group, SOCKET_MODE, BACKLOG)?;
        let listener = UnixListener::from_std(listener).map_err(|source| io_error(path, "listen on it", source))?;
        Ok(Self { listener, _file: file })
    }

    /// Serves clients until the receiver of `calls` is gone. Ends all connections and removes the socket when dropped.
    pub async fn serve(self, calls: mpsc::Sender<Call>, watchers: Watchers) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
                () = calls.closed() => return,
            };
            match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn(serve_client(stream, calls.clone(), watchers.clone()));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(error) => {
                    tracing::warn!("cannot accept on the control socket: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What a daemon would find at `path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing that keeps it from starting.
    Free,
    /// Another daemon.
    Running,
}

/// Whether a daemon could serve on `path`, without making anything.
///
/// # Errors
/// What [`ControlSocket::bind`] would most likely say, but for [`ControlSocketError::AlreadyRunning`].
pub fn probe(path: &Path, group: Option<&str>) -> Result<Probe, ControlSocketError> {
    group.map(socket_file::group_id).transpose()?;
    if socket_file::is_answered(path)? {
        return Ok(Probe::Running);
    }
    may_make(path).map_err(|source| io_error(path, "make it", source))?;
    Ok(Probe::Free)
}

/// One client: a request, its answer, and so on.
async fn serve_client(mut stream: UnixStream, calls: mpsc::Sender<Call>, watchers: Watchers) {
    let (read, mut write) = stream.split();
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(MAX_REQUEST_LEN));
    // Ends with the connection, with a client that is silent, and with bytes that are not even text.
    while let Ok(Some(line)) = timeout(IDLE_LIMIT, lines.next()).await {
        let (reply, more) = match line {
            Ok(line) => match decode_request(line.as_bytes()) {
                Ok(Request::Watch) => return watch(&mut lines, &mut write, &watchers).await,
                request => (answer(request, &calls).await, true),
            },
            // Where the next line begins is not known then.
            Err(LinesCodecError::MaxLineLengthExceeded) => {
                let message = format!("a request has at most {MAX_REQUEST_LEN} bytes");
                (Err(Failure::new(FailureKind::TooLarge, message)), false)
            }
            Err(LinesCodecError::Io(_)) => return,
        };
        let line = reply_line(&reply);
        if !matches!(timeout(IDLE_LIMIT, write.write_all(line.as_bytes())).await, Ok(Ok(()))) || !more {
            return;
        }
    }
}

async fn answer(request: Result<Request, Failure>, calls: &mpsc::Sender<Call>) -> Reply {
    let stopping = || Failure::new(FailureKind::Stopping, "the daemon is stopping");
    let request = request?;
    let (reply_to, reply) = oneshot::channel();
    calls.send((request, reply_to)).await.map_err(|_| stopping())?;
    reply.await.map_err(|_| stopping())?
}

/// Tells a client what happens, until it goes or says something else.
async fn watch(lines: &mut Lines<'_>, write: &mut WriteHalf<'_>, watchers: &Watchers) {
    let mut events = watchers.subscribe();
    let clock = Clock::new();
    let here = |event| Happened { time: clock.unix_now().0 as f64 / 1e3, event };
    let mut next = here(Event::Watching);
    loop {
        let line = reply_line(&Ok(Answer::Event(next)));
        if !matches!(timeout(IDLE_LIMIT, write.write_all(line.as_bytes())).await, Ok(Ok(()))) {
            return;
        }
        next = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => Happened::clone(&event),
                Err(RecvError::Lagged(count)) => here(Event::Lost { count }),
                // The daemon is stopping.
                Err(RecvError::Closed) => return,
            },
            _ = lines.next() => return,
        };
    }
}

/// Says so and closes; a client that does not take even one line gets none.
fn turn_away(stream: &UnixStream) {
    let message = format!("{MAX_CLIENTS} clients are connected to the daemon already; try again when one has gone");
    let _ = stream.try_write(reply_line(&Err(Failure::new(FailureKind::Busy, message))).as_bytes());
}

impl From<SocketFileError> for ControlSocketError {
    fn from(error: SocketFileError) -> Self {
        match error {
            SocketFileError::InUse(path) => Self::AlreadyRunning(path),
            SocketFileError::NotASocket(path) => Self::NotASocket(path),
            SocketFileError::NoSuchGroup(group) => Self::NoSuchGroup(group),
            SocketFileError::Io { path, what, source } => Self::Io { path, what, source },
        }
    }
}

fn io_error(path: &Path, what: &'static str, source: io::Error) -> ControlSocketError {
    ControlSocketError::Io { path: path.to_owned(), what, source }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run pineconed as root, or choose another path with control.socket",
        _ => "choose another path with control.socket",
    }
}

#[cfg(test)]
mod tests;
