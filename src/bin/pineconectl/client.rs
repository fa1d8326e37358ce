//! One connection to the daemon's control socket. Whatever stands at its other end, an answer or an error comes in time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinecone::control::{Answer, MAX_ANSWER_LEN, Request, decode_reply};
use pinecone::shell::clock::Clock;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{CommandError, Kind};

/// The daemon gives up on a lookup or ping after the same time as we; it gets this much longer to say so.
const GRACE: Duration = Duration::from_secs(1);
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// A connection to the daemon.
pub(crate) struct Client {
    stream: UnixStream,
    path: PathBuf,
    timeout: Duration,
    clock: Clock,
}

impl Client {
    /// Connects; every answer may take as long as `timeout`.
    pub(crate) fn connect(path: &Path, timeout: Duration) -> Result<Self, CommandError> {
        let connect = || -> io::Result<UnixStream> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // Connecting to a Unix socket waits while its backlog is full.
            socket.set_write_timeout(Some(timeout))?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(std::os::fd::OwnedFd::from(socket).into())
        };
        let stream = connect().map_err(|error| connect_error(path, timeout, &error))?;
        Ok(Self { stream, path: path.to_owned(), timeout, clock: Clock::new() })
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, CommandError> {
        // What the daemon has to say (that it is busy) may be there although it does not take our request any more.
        let sent = self.stream.write_all(request.to_line().as_bytes());
        let line = match (self.read_line(), sent) {
            (Ok(line), _) => line,
            (Err(error), Ok(())) | (Err(_), Err(error)) => return Err(self.talk_error(&error)),
        };
        let reply = decode_reply(&line, request).map_err(|error| {
            let message =
                format!("{}: {error}; is this the socket of a pineconed of this version?", self.path.display());
            CommandError::new(Kind::Failure, message)
        })?;
        Ok(reply?)
    }

    /// Asks, and hands on one answer after the other, until `each` says that it has enough. Only the first has to come within the time.
    pub(crate) fn follow(
        mut self,
        request: &Request,
        mut each: impl FnMut(Answer) -> Result<bool, CommandError>,
    ) -> Result<(), CommandError> {
        self.stream.write_all(request.to_line().as_bytes()).map_err(|error| self.talk_error(&error))?;
        self.stream.set_read_timeout(Some(self.timeout + GRACE)).map_err(|error| self.talk_error(&error))?;
        let mut lines = BufReader::new(&self.stream);
        loop {
            let mut line = Vec::new();
            let len = (&mut lines).take(MAX_ANSWER_LEN as u64).read_until(b'\n', &mut line);
            if len.map_err(|error| self.talk_error(&error))? == 0 {
                return Err(CommandError::new(Kind::Failure, "the daemon ended the connection: it is stopping"));
            }
            let reply = decode_reply(&line, request)
                .map_err(|error| CommandError::new(Kind::Failure, format!("{}: {error}", self.path.display())))?;
            if !each(reply?)? {
                return Ok(());
            }
            self.stream.set_read_timeout(None).map_err(|error| self.talk_error(&error))?;
        }
    }

    /// Reads up to the line break, within the time.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let start = self.clock.now();
        let mut line = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let left = (self.timeout + GRACE).saturating_sub(self.clock.now().saturating_since(start));
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let len = match self.stream.read(&mut chunk) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = chunk.get(..len).unwrap_or_default();
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.extend_from_slice(bytes);
            if bytes.contains(&b'\n') {
                return Ok(line);
            }
            if line.len() > MAX_ANSWER_LEN {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
    }

    fn talk_error(&self, error: &io::Error) -> CommandError {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                let seconds = self.timeout.as_secs_f64();
                let message = format!(
                    "the daemon on {path} did not answer within {seconds} s; try a longer --timeout, or look at its log"
                );
                CommandError::new(Kind::Unreachable, message)
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                let message = format!("the daemon on {path} closed the connection before its answer; look at its log");
                CommandError::new(Kind::Failure, message)
            }
            io::ErrorKind::FileTooLarge => {
                let message = format!("what answers on {path} does not stop: this is no pineconed; check --socket");
                CommandError::new(Kind::Failure, message)
            }
            _ => CommandError::new(Kind::Failure, format!("control socket {path}: {error}")),
        }
    }
}

fn connect_error(path: &Path, timeout: Duration, error: &io::Error) -> CommandError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let message = format!(
                "no daemon runs on {path}; start it (systemctl start pineconed), or name its socket with --socket PATH"
            );
            CommandError::new(Kind::NotRunning, message)
        }
        io::ErrorKind::PermissionDenied => {
            let message = format!(
                "you may not use the control socket {path}; use sudo, or become a member of the group in control.group"
            );
            CommandError::new(Kind::Permission, message)
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let seconds = timeout.as_secs_f64();
            let message =
                format!("the daemon on {path} did not take the connection within {seconds} s; look at its log");
            CommandError::new(Kind::Unreachable, message)
        }
        _ => CommandError::new(Kind::Failure, format!("control socket {path}: {error}; check --socket")),
    }
}
