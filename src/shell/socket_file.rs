//! Socket files that others connect to: made with the right mode, one owner at a time, and gone when dropped.
//!
//! One daemon per path: a lock beside the socket is held as long as the socket is. The lock, not the socket, decides,
//! because between finding out that nobody answers on a socket and replacing it another daemon may have done the same.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::files::make_directory_of;

/// Why there is no socket file. Each use has words of its own for it.
#[derive(Debug)]
pub(crate) enum SocketFileError {
    /// Somebody serves on it.
    InUse(PathBuf),
    /// Something that is not a socket lies there.
    NotASocket(PathBuf),
    /// This host has no such group.
    NoSuchGroup(String),
    /// The operating system refuses.
    Io {
        /// The path it was about.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// A socket file of ours, and the right to have it there.
#[derive(Debug)]
pub(crate) struct SocketFile {
    // Dropped in this order: the file goes before the lock, so that the next daemon finds neither.
    _file: OwnFile,
    _lock: LockFile,
}

impl SocketFile {
    /// Makes the socket at `path` with this mode, and its directory (mode 0755) if there is none, and listens, without blocking. Gives
    /// the file to `group`, a name or number, if there is one.
    pub(crate) fn bind(
        path: &Path,
        group: Option<&str>,
        mode: u32,
        backlog: i32,
    ) -> Result<(StdListener, Self), SocketFileError> {
        let group = group.map(group_id).transpose()?;
        make_directory_of(path, 0o755).map_err(io_error(path, "make the directory of"))?;
        let lock = LockFile::take(path)?;
        remove_stale(path)?;
        let listener = listen(path, backlog).map_err(io_error(path, "make it"))?;
        let file = OwnFile::of(path).map_err(io_error(path, "look at it"))?;
        if let Some(group) = group {
            std::os::unix::fs::chown(path, None, Some(group)).map_err(io_error(path, "give it to the group"))?;
        }
        // Not before the group is right: the umask has narrowed the mode until here, never widened it.
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(io_error(path, "set its mode"))?;
        Ok((listener, Self { _file: file, _lock: lock }))
    }
}

/// Removes a socket on which nobody answers. Only for who holds the lock.
fn remove_stale(path: &Path) -> Result<(), SocketFileError> {
    if is_answered(path)? {
        return Err(SocketFileError::InUse(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "remove the old one")(error)),
        _ => Ok(()),
    }
}

/// Whether somebody answers on the socket at `path`; neither a missing nor a stale socket is answered.
pub(crate) fn is_answered(path: &Path) -> Result<bool, SocketFileError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error(path, "look at it")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketFileError::NotASocket(path.to_owned())),
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
fn listen(path: &Path, backlog: i32) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

/// The number of a group by its name or number.
pub(crate) fn group_id(name: &str) -> Result<u32, SocketFileError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let found = nix::unistd::Group::from_name(name).ok().flatten();
    found.map(|group| group.gid.as_raw()).ok_or_else(|| SocketFileError::NoSuchGroup(name.to_owned()))
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
    fn take(socket: &Path) -> Result<Self, SocketFileError> {
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
                    return Err(SocketFileError::InUse(socket.to_owned()));
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

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> SocketFileError {
    let path = path.to_owned();
    move |source| SocketFileError::Io { path, what, source }
}
