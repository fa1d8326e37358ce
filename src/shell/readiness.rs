//! What the service manager is told: sd_notify(3), one datagram per message.
//!
//! The crate `sd-notify` opens a socket for each message and waits where it is full. Here the core loop itself tells that it is alive, so
//! nothing may wait; and the socket is opened before the process is confined, and kept.
//!
//! The watchdog is fed by the core loop and nothing else: where that stands still, whatever else still runs, the service manager finds out.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

use crate::time::{Duration, Instant};

/// Between two status lines: they are for people.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The way to the service manager, if there is one that wants to know. Copies lead to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manager {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

/// What the core loop tells: that it is alive, and how it goes.
#[derive(Debug)]
pub(crate) struct Pulse {
    manager: Manager,
    next_beat: Instant,
    next_status: Instant,
    status: String,
}

impl Manager {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` in the environment say.
    pub(crate) fn from_environment() -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self::default();
        };
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|span| is_ours && *span > 0).map(Duration::from_micros);
        match connect(path.as_bytes()) {
            Ok(socket) => Self { socket: Some(Arc::new(socket)), watchdog },
            Err(error) => {
                tracing::warn!("cannot tell the service manager anything ({}): {error}", path.to_string_lossy());
                Self::default()
            }
        }
    }

    /// Tells something, in lines of `NAME=value`. It never waits: where the manager does not read, the message is lost, and the next watchdog
    /// message comes soon.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!("cannot tell the service manager {state:?}: {error}");
        }
    }

    /// Tells that a reload begins, at the reading `monotonic` of CLOCK_MONOTONIC. The end of it is another `READY=1`.
    pub(crate) fn reloading(&self, monotonic: Duration) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros()));
    }
}

impl Pulse {
    /// Beats from now on.
    pub(crate) fn new(manager: Manager, now: Instant) -> Self {
        Self { manager, next_beat: now, next_status: now, status: String::new() }
    }

    /// A turn of the core loop. `status` is asked for when it may be told.
    pub(crate) fn beat(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if self.manager.socket.is_none() {
            return;
        }
        if let Some(every) = self.manager.watchdog
            && self.next_beat <= now
        {
            self.manager.tell("WATCHDOG=1");
            self.next_beat = now + every / 2;
        }
        if self.next_status <= now {
            self.next_status = now + STATUS_EVERY;
            let status = status();
            if status != self.status {
                self.manager.tell(&format!("STATUS={status}"));
                self.status = status;
            }
        }
    }

    /// When the next turn has to come at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.manager.watchdog.map(|_| self.next_beat)
    }
}

fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let address = match path.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(path: &[u8], watchdog: Option<Duration>) -> Manager {
        Manager { socket: Some(Arc::new(connect(path).unwrap())), watchdog }
    }

    fn told(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(len) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..len].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn messages_arrive_at_sockets_with_a_path_and_with_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("pineconed-test-{}", std::process::id());
        let with_path = UnixDatagram::bind(&path).unwrap();
        let with_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap()).unwrap();
        manager(path.as_os_str().as_bytes(), None).tell("READY=1");
        manager(format!("@{abstract_name}").as_bytes(), None).reloading(Duration::from_micros(7));
        assert_eq!(told(&with_path), ["READY=1"]);
        assert_eq!(told(&with_name), ["RELOADING=1\nMONOTONIC_USEC=7"], "in one message");
    }

    #[test]
    fn the_core_says_that_it_lives_twice_in_the_time_and_what_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let every = Duration::from_millis(1_000);
        let mut pulse = Pulse::new(manager(path.as_os_str().as_bytes(), Some(every)), at(0));
        for millis in [0, 100, 499, 500, 501, 1_000, 1_001] {
            pulse.beat(at(millis), || if millis < 600 { "no peers".to_owned() } else { "1 peer".to_owned() });
        }
        assert_eq!(told(&socket), ["WATCHDOG=1", "STATUS=no peers", "WATCHDOG=1", "WATCHDOG=1", "STATUS=1 peer"]);
        assert_eq!(pulse.poll_timeout(), Some(at(1_500)));
    }

    #[test]
    fn a_manager_that_does_not_read_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(path.as_os_str().as_bytes(), None);
        for _ in 0..10_000 {
            manager.tell("STATUS=something");
        }
        assert!(told(&socket).len() < 10_000, "the rest was lost, and this test came to its end");
    }

    #[test]
    fn without_a_manager_nothing_is_told_or_counted() {
        let mut pulse = Pulse::new(Manager::default(), Instant::ZERO);
        pulse.beat(Instant::ZERO, || unreachable!("nobody wants to know"));
        assert_eq!(pulse.poll_timeout(), None);
    }
}
