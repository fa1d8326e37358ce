//! Unix sockets: peerings between daemons that share a file system and nothing else, as containers and network namespaces of one host do.
//!
//! Who may connect is who may write to the socket file: our own user and root, and a group if the listener names one.

use std::io;

use nix::errno::Errno;
use tokio::net::{UnixListener, UnixStream};

use super::{Connection, DialError, Ends, ListenError, Remote, Stream};
use crate::config::SocketPath;
use crate::link::Carrier;
use crate::shell::socket_file::{SocketFile, SocketFileError};
use crate::time::Duration;

/// How long dialling may take: it waits only if the other daemon does not accept.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 128;
/// Connecting to a Unix socket needs the right to write to it.
const OWNER_ONLY: u32 = 0o600;
const OWNER_AND_GROUP: u32 = 0o660;

impl Stream for UnixStream {}

/// Connects to the daemon that listens at `path`.
pub(super) async fn dial(path: &SocketPath) -> Result<Connection, DialError> {
    let failed = |source: io::Error| {
        let advice = match source.kind() {
            io::ErrorKind::NotFound => "; there is no such file: does the other daemon run, and listen there?",
            io::ErrorKind::ConnectionRefused => "; no daemon listens there now",
            io::ErrorKind::PermissionDenied => "; its listener can let our group in with ?group=",
            _ => "",
        };
        DialError::Unix { path: path.as_path().to_owned(), source, advice }
    };
    let attempt = UnixStream::connect(path.as_path());
    match tokio::time::timeout(DIAL_TIMEOUT, attempt).await {
        Ok(stream) => stream.and_then(connection).map_err(failed),
        Err(_) => Err(DialError::TimedOut(DIAL_TIMEOUT)),
    }
}

/// Accepts peers. The socket file is removed when this is dropped.
pub(crate) struct Listener {
    listener: UnixListener,
    path: SocketPath,
    _file: SocketFile,
}

/// Listens at `path`.
pub(super) fn listen(path: &SocketPath, group: Option<&str>) -> Result<Listener, ListenError> {
    let mode = if group.is_some() { OWNER_AND_GROUP } else { OWNER_ONLY };
    let bound = SocketFile::bind(path.as_path(), group, mode, BACKLOG);
    let (listener, file) = bound.map_err(|error| listen_error(path, error))?;
    let listener = UnixListener::from_std(listener).map_err(|source| ListenError::Unix {
        path: path.as_path().to_owned(),
        what: "listen on it",
        source,
    })?;
    Ok(Listener { listener, path: path.clone(), _file: file })
}

impl Listener {
    pub(super) fn path(&self) -> &SocketPath {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match connection(stream) {
                Ok(connection) => return Ok(connection),
                // Gone before we looked at it.
                Err(error) => tracing::debug!(%error, "lost a connection while accepting it"),
            }
        }
    }
}

fn connection(stream: UnixStream) -> io::Result<Connection> {
    let user = stream.peer_cred()?.uid();
    let ends = Ends { remote: Remote::Unix { user }, local: None, carrier: Carrier::Unix };
    Ok(Connection { stream: Box::new(stream), ends })
}

fn listen_error(path: &SocketPath, error: SocketFileError) -> ListenError {
    match error {
        SocketFileError::InUse(path) => ListenError::UnixInUse(path),
        SocketFileError::NotASocket(path) => ListenError::NotASocket(path),
        SocketFileError::NoSuchGroup(group) => ListenError::NoSuchGroup { path: path.as_path().to_owned(), group },
        // The kernel has no socket to bind in such a directory, e.g. on some network file systems.
        SocketFileError::Io { path, what, source } => {
            let what = if source.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) {
                "have sockets in this directory"
            } else {
                what
            };
            ListenError::Unix { path, what, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::config::{Endpoint, PeerUri};

    fn socket(path: &std::path::Path) -> SocketPath {
        let uri: PeerUri = format!("unix://{}", path.display()).parse().unwrap();
        match uri.endpoint {
            Endpoint::Unix(path) => path,
            Endpoint::Net(_) => unreachable!("it is a Unix socket"),
        }
    }

    #[tokio::test]
    async fn a_socket_carries_bytes_and_tells_whose_program_is_at_the_other_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket(&directory.path().join("made/peers.sock"));
        let listener = listen(&path, None).unwrap();
        let (dialled, accepted) = tokio::join!(dial(&path), listener.accept());
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        let user = nix::unistd::geteuid().as_raw();
        assert_eq!(accepted.ends, Ends { remote: Remote::Unix { user }, local: None, carrier: Carrier::Unix });
        dialled.stream.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        accepted.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
    }

    #[test]
    fn each_user_counts_as_one_source_of_connections() {
        let source = |user| Remote::Unix { user }.source();
        let subnet = |user| match source(user) {
            std::net::IpAddr::V6(ip) => ip.segments()[..4].to_vec(),
            std::net::IpAddr::V4(_) => unreachable!("users have IPv6 addresses"),
        };
        assert_eq!(source(1000), source(1000));
        // Whoever has the same /64 is the same source.
        assert!(subnet(1000) != subnet(1001) && subnet(0) != subnet(1 << 16));
    }

    #[tokio::test]
    async fn the_file_is_for_our_user_alone_unless_a_group_is_named_and_goes_with_the_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket(&directory.path().join("peers.sock"));
        let group = nix::unistd::getegid().as_raw();
        for (named, mode) in [(None, 0o600), (Some(group.to_string()), 0o660)] {
            let listener = listen(&path, named.as_deref()).unwrap();
            let file = std::fs::metadata(path.as_path()).unwrap();
            assert_eq!((file.permissions().mode() & 0o777, file.gid()), (mode, group));
            drop(listener);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
        let error = listen(&path, Some("no-such-group-here")).err().unwrap().to_string();
        assert!(error.contains("has no group no-such-group-here"), "{error}");
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket(&directory.path().join("peers.sock"));
        drop(std::os::unix::net::UnixListener::bind(path.as_path()).unwrap());
        let error = dial(&path).await.err().unwrap().to_string();
        assert!(error.contains("no daemon listens there now"), "{error}");
        let listener = listen(&path, None).unwrap();
        let error = listen(&path, None).err().unwrap();
        assert!(matches!(error, ListenError::UnixInUse(_)), "{error}");
        assert!(dial(&path).await.is_ok());
        drop(listener);
        let error = dial(&path).await.err().unwrap().to_string();
        assert!(error.contains("there is no such file"), "{error}");
        std::fs::write(path.as_path(), "precious").unwrap();
        let error = listen(&path, None).err().unwrap();
        assert!(matches!(error, ListenError::NotASocket(_)), "{error}");
    }
}
