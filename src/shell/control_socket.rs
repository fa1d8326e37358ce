//! The control socket: lines of the [control protocol](crate::control) from local clients to the core loop and back.
//!
//! Rights are those of the socket file: whoever may write to it (root, the daemon's user, one group) controls the daemon.
//! Clients are bounded in number, each in the length of a line and in the time it may be silent or leave an answer unread, and
//! each has a task of its own: a client that hangs holds up nobody, and no more than [`MAX_CLIENTS`] of them stay.
//!
//! One daemon per path: a lock beside the socket is held as long as the daemon runs. The lock, not the socket, decides,
//! because between finding out that nobody answers on a socket and replacing it another daemon may have done the same.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::files::{make_directory_of, may_make};
use crate::control::{Failure, FailureKind, MAX_REQUEST_LEN, Reply, Request, decode_request, reply_line};
use crate::time::Duration;

/// A request and where its answer goes.
pub type Call = (Request, oneshot::Sender<Reply>);

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
    // Dropped in this order: the file goes before the lock, so that the next daemon finds neither.
    _file: OwnFile,
    _lock: LockFile,
}

impl ControlSocket {
    /// Makes the socket at `path`, and its directory (mode 0755) if there is none. Members of `group` (a name or number) may
    /// use it besides the owner. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Another daemon runs on this path, the path is taken, or the operating system refuses.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, ControlSocketError> {
        let group = group.map(group_id).transpose()?;
        make_directory_of(path, 0o755).map_err(io_error(path, "make the directory of"))?;
        let lock = LockFile::take(path)?;
        remove_stale(path)?;
        let listener = listen(path).map_err(io_error(path, "make it"))?;
        let file = OwnFile::of(path).map_err(io_error(path, "look at it"))?;
        if let Some(group) = group {
            std::os::unix::fs::chown(path, None, Some(group)).map_err(io_error(path, "give it to control.group"))?;
        }
        // Not before the group is right: the umask has narrowed the mode until here, never widened it.
        let mode = fs::Permissions::from_mode(SOCKET_MODE);
        fs::set_permissions(path, mode).map_err(io_error(path, "set its mode"))?;
        let listener = UnixListener::from_std(listener).map_err(io_error(path, "listen on it"))?;
        Ok(Self { listener, _file: file, _lock: lock })
    }

    /// Serves clients until the receiver of `calls` is gone. Ends all connections and removes the socket when dropped.
    pub async fn serve(self, calls: mpsc::Sender<Call>) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
                () = calls.closed() => return,
            };
            match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn(serve_client(stream, calls.clone()));
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
    group.map(group_id).transpose()?;
    if is_answered(path)? {
        return Ok(Probe::Running);
    }
    may_make(path).map_err(io_error(path, "make it"))?;
    Ok(Probe::Free)
}

/// One client: a request, its answer, and so on.
async fn serve_client(mut stream: UnixStream, calls: mpsc::Sender<Call>) {
    let (read, mut write) = stream.split();
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(MAX_REQUEST_LEN));
    // Ends with the connection, with a client that is silent, and with bytes that are not even text.
    while let Ok(Some(line)) = timeout(IDLE_LIMIT, lines.next()).await {
        let (reply, more) = match line {
            Ok(line) => (answer(line.as_bytes(), &calls).await, true),
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

async fn answer(line: &[u8], calls: &mpsc::Sender<Call>) -> Reply {
    let stopping = || Failure::new(FailureKind::Stopping, "the daemon is stopping");
    let request = decode_request(line)?;
    let (reply_to, reply) = oneshot::channel();
    calls.send((request, reply_to)).await.map_err(|_| stopping())?;
    reply.await.map_err(|_| stopping())?
}

/// Says so and closes; a client that does not take even one line gets none.
fn turn_away(stream: &UnixStream) {
    let message = format!("{MAX_CLIENTS} clients are connected to the daemon already; try again when one has gone");
    let _ = stream.try_write(reply_line(&Err(Failure::new(FailureKind::Busy, message))).as_bytes());
}

/// Removes a socket on which nobody answers. Only for who holds the lock.
fn remove_stale(path: &Path) -> Result<(), ControlSocketError> {
    if is_answered(path)? {
        return Err(ControlSocketError::AlreadyRunning(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "remove the old one")(error)),
        _ => Ok(()),
    }
}

/// Whether somebody answers on the socket at `path`. Neither a missing nor a stale socket is answered.
fn is_answered(path: &Path) -> Result<bool, ControlSocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error(path, "look at it")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ControlSocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match connect() {
        Ok(()) => Ok(true),
        // Its backlog is full: somebody listens, however busy.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(path, "find out whether a daemon runs there")(error)),
    }
}

/// Binds with a mode that lets nobody but the owner in, whatever the umask: a socket file gets the mode of its descriptor.
fn listen(path: &Path) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

fn group_id(name: &str) -> Result<u32, ControlSocketError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let found = nix::unistd::Group::from_name(name).ok().flatten();
    found.map(|group| group.gid.as_raw()).ok_or_else(|| ControlSocketError::NoSuchGroup(name.to_owned()))
}

/// A file of ours in the file system. Removed when dropped, unless something else lies there by then.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl OwnFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) })
    }

    fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity)
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An exclusive lock on `<path>.lock`. The file is removed when dropped.
#[derive(Debug)]
struct LockFile {
    _file: OwnFile,
    _lock: Flock<fs::File>,
}

impl LockFile {
    fn take(socket: &Path) -> Result<Self, ControlSocketError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
            let file = options.open(&path).map_err(io_error(&path, "open the lock file"))?;
            let opened = file.metadata().map_err(io_error(&path, "look at the lock file"))?;
            let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(ControlSocketError::AlreadyRunning(socket.to_owned()));
                }
                Err((_, error)) => return Err(io_error(&path, "lock the lock file")(error.into())),
            };
            // Whoever had the lock may have removed the file between our opening and locking it; then it locks nothing.
            let file = OwnFile { path: path.clone(), identity: identity(&opened) };
            if file.is_in_place() {
                return Ok(Self { _file: file, _lock: lock });
            }
        }
    }
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> ControlSocketError {
    let path = path.to_owned();
    move |source| ControlSocketError::Io { path, what, source }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run pineconed as root, or choose another path with control.socket",
        _ => "choose another path with control.socket",
    }
}

#[cfg(test)]
mod tests;
