//! The processes of a peer on a bed, while a case is measured.

use std::fs::File;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::account::{Memory, cpu_seconds, memory};
use crate::bed::Bed;
use crate::peers::{Node, Peer};
use crate::traffic::first_reply_every;
use crate::wait::seconds;

/// From the first process's start until a ping gets through. All need less than five seconds, or do not get there at all: Yggdrasil with
/// a relay was seen to find no way in forty seconds, about one time in eight.
const START_DEADLINE: Duration = seconds(20);
/// Between pings where it does not matter when exactly the first one is answered.
const GENTLE: Duration = Duration::from_millis(100);
/// How long pings go on before it is looked whether the daemons are still there.
const PATIENCE: Duration = seconds(1);
/// Lines of each daemon's log that are shown when a measurement failed.
const LOG_LINES: usize = 15;

/// A peer at work: at most one process per host of the line.
pub(crate) struct Overlay {
    daemons: Vec<Daemon>,
    /// Each host's address in the overlay.
    pub(crate) addresses: Vec<Ipv6Addr>,
    /// The /64 that each host may route for those behind it, if the peer has such a thing.
    pub(crate) subnets: Vec<Option<Ipv6Addr>>,
    /// When the first process was started.
    pub(crate) started: Instant,
}

struct Daemon {
    host: usize,
    child: Child,
    log: PathBuf,
}

impl Overlay {
    /// Starts the peer's processes and waits until the first host reaches the last one.
    pub(crate) fn start(peer: &dyn Peer, bed: &Bed) -> Self {
        let mut overlay = Self::spawn(peer, bed);
        overlay.wait_ready(bed, GENTLE, START_DEADLINE);
        overlay
    }

    /// Starts the peer's processes.
    pub(crate) fn spawn(peer: &dyn Peer, bed: &Bed) -> Self {
        let nodes = peer.nodes(bed);
        let addresses = nodes.iter().map(|node| node.address).collect();
        let subnets = nodes.iter().map(|node| node.subnet).collect();
        let started = Instant::now();
        let start = |(host, node): (usize, Node)| {
            let mut command = node.command?;
            let log = bed.directory_of(host).join("log");
            let file = File::create(&log).expect("/run is ours");
            command.stdin(Stdio::null()).stdout(file.try_clone().expect("a second handle")).stderr(file);
            Some(Daemon { host, child: bed.hosts[host].spawn(&mut command), log })
        };
        let daemons = nodes.into_iter().enumerate().filter_map(start).collect();
        Self { daemons, addresses, subnets, started }
    }

    /// Pings every `interval` until the first host reaches the last one; returns when that was, counted from the start of the
    /// processes.
    pub(crate) fn wait_ready(&mut self, bed: &Bed, interval: Duration, deadline: Duration) -> Duration {
        while self.started.elapsed() < deadline {
            let before = self.started.elapsed();
            if let Some(reply) = first_reply_every(interval, bed.first(), self.target(), PATIENCE) {
                return before + reply;
            }
            for daemon in &mut self.daemons {
                let ended = daemon.child.try_wait().expect("our own child");
                assert!(ended.is_none(), "the daemon of host {} ended at its start", daemon.host);
            }
        }
        panic!("no ping got through within {deadline:?}");
    }

    /// The address of the last host.
    pub(crate) fn target(&self) -> Ipv6Addr {
        *self.addresses.last().expect("a line has hosts")
    }

    /// Whether there is any process at all.
    pub(crate) fn has_daemons(&self) -> bool {
        !self.daemons.is_empty()
    }

    /// Processor time so far of each host's daemon, in the order of the hosts.
    pub(crate) fn cpu(&self) -> Vec<f64> {
        self.of_each(cpu_seconds)
    }

    /// Memory of each daemon.
    pub(crate) fn memory(&self) -> Vec<Memory> {
        self.daemons.iter().map(|daemon| memory(daemon.child.id())).collect()
    }

    fn of_each(&self, measure: impl Fn(u32) -> f64) -> Vec<f64> {
        let mut values = vec![0.0; self.addresses.len()];
        self.daemons.iter().for_each(|daemon| values[daemon.host] = measure(daemon.child.id()));
        values
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            if std::thread::panicking() {
                let text = std::fs::read_to_string(&daemon.log).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let state = daemon.child.try_wait().ok().flatten().map_or("running".to_owned(), |s| s.to_string());
                eprintln!("── log of host {} ({state})", daemon.host);
                lines[lines.len().saturating_sub(LOG_LINES)..].iter().for_each(|line| eprintln!("{line}"));
            }
            let _ = daemon.child.kill();
            let _ = daemon.child.wait();
        }
    }
}
