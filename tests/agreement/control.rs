//! One daemon's control socket, spoken to directly: a program for each question would cost more than all 64 daemons do.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use pinecone::control::{Answer, MAX_ANSWER_LEN, Reply, Request, decode_reply};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a daemon.
pub(crate) struct Control(BufReader<UnixStream>);

impl Control {
    /// Connects, if the daemon is there already.
    pub(crate) fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("it is more than nothing");
        Some(Self(BufReader::with_capacity(64 << 10, stream)))
    }

    /// Asks; the answer is to be fetched before the next question.
    pub(crate) fn send(&mut self, request: &Request) {
        self.0.get_mut().write_all(request.to_line().as_bytes()).expect("the daemon reads");
    }

    /// Fetches the answer to what was asked.
    pub(crate) fn receive(&mut self, request: &Request) -> Reply {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).expect("the daemon answers");
        assert!(line.len() <= MAX_ANSWER_LEN);
        decode_reply(&line, request).expect("the daemon speaks our protocol")
    }

    /// Asks what cannot fail.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.send(request);
        self.receive(request).unwrap_or_else(|failure| panic!("{request:?}: {failure}"))
    }
}
