//! What measures: iperf3, ping and a flood of datagrams. Everything here has a deadline, and fails when it has passed.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{Ipv6Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lab::Host;
use crate::parse::{Transfer, iperf3, ping_times};
use crate::readings::{Reading, Unit};
use crate::stats::{median, percentile};
use crate::wait::{eventually, seconds};

/// Beyond the time that a program was told to take.
const GRACE: Duration = seconds(20);
/// A transfer runs for this long before pings are sent along with it: what is of interest is the time when it is fast already.
const WARM_UP: Duration = Duration::from_millis(500);

/// A TCP transfer by iperf3.
#[derive(Clone, Copy)]
pub(crate) struct Tcp<'a> {
    pub(crate) seconds: u64,
    pub(crate) streams: u32,
    /// From the last host to the first one.
    pub(crate) reverse: bool,
    pub(crate) congestion_control: &'a str,
}

/// Transfers between a client on `from` and a server on `to` that listens on `address`.
pub(crate) fn tcp(from: &Host, to: &Host, address: Ipv6Addr, tcp: Tcp<'_>) -> Transfer {
    let address = address.to_string();
    let mut server = Running::start(to, "iperf3", &["-s", "-1", "-6", "-B", &address, "--forceflush"]);
    eventually("iperf3 listens", seconds(5), || server.text().contains("listening").then_some(()));
    let (time, streams) = (tcp.seconds.to_string(), tcp.streams.to_string());
    let mut arguments = vec!["-6", "-c", &address, "-t", &time, "-P", &streams, "-C", tcp.congestion_control, "-J"];
    arguments.extend(tcp.reverse.then_some("-R"));
    let text = Running::start(from, "iperf3", &arguments).finish(seconds(tcp.seconds) + GRACE);
    iperf3(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`tcp`], with pings the same way meanwhile.
pub(crate) fn tcp_and_ping(from: &Host, to: &Host, address: Ipv6Addr, load: Tcp<'_>) -> (Transfer, Pings) {
    const INTERVAL: Duration = Duration::from_millis(10);
    let whole = seconds(load.seconds).saturating_sub(WARM_UP + Duration::from_millis(100));
    let count = (whole.as_millis() / INTERVAL.as_millis()).max(10) as u32;
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            std::thread::sleep(WARM_UP);
            ping(from, address, count, INTERVAL)
        });
        let transfer = tcp(from, to, address, load);
        (transfer, pings.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// What became of some pings.
pub(crate) struct Pings {
    sent: u32,
    /// Round-trip times in milliseconds, of those that were answered.
    times: Vec<f64>,
}

impl Pings {
    /// Median and 99th percentile.
    pub(crate) fn readings(&self, what: &str) -> Vec<Reading> {
        let readings = [("median", median(&self.times)), ("p99", percentile(&self.times, 99.0))];
        let reading =
            |(which, ms): (&str, Option<f64>)| Some(Reading::new(&format!("{what}, {which}"), Unit::Milliseconds, ms?));
        readings.into_iter().filter_map(reading).collect()
    }

    /// How many got through at all: percentiles are those of the survivors.
    pub(crate) fn answered(&self, what: &str) -> Reading {
        Reading::new(what, Unit::Percent, self.times.len() as f64 / f64::from(self.sent) * 100.0)
    }
}

/// Sends `count` pings. It fails if none is answered.
pub(crate) fn ping(from: &Host, address: Ipv6Addr, count: u32, interval: Duration) -> Pings {
    let (number, pause) = (count.to_string(), interval.as_secs_f64().to_string());
    let arguments = ["-6", "-n", "-c", &number, "-i", &pause, "-W", "5", &address.to_string()];
    let text = Running::start(from, "ping", &arguments).finish_anyhow(interval * count + GRACE);
    let times = ping_times(&text);
    assert!(!times.is_empty(), "no ping to {address} was answered: {text}");
    Pings { sent: count, times }
}

/// What became of a flood of datagrams.
pub(crate) struct Flood {
    /// That arrived.
    pub(crate) per_second: f64,
    /// That arrived from beginning to end, also before the counting began.
    pub(crate) all: u64,
}

/// Sends datagrams of `size` bytes as fast as one thread can, and counts those that arrive for `time`.
pub(crate) fn flood(from: &Host, to: &Host, address: Ipv6Addr, size: usize, time: Duration) -> Flood {
    let receiver = to.within(|| UdpSocket::bind((address, 0))).expect("the address is on this host");
    let sender = from.within(|| UdpSocket::bind("[::]:0")).expect("any port");
    sender.connect(receiver.local_addr().expect("it is bound")).expect("there is a route");
    receiver.set_read_timeout(Some(seconds(1))).expect("a positive time");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let datagram = vec![0x5a; size];
            while !done.load(Ordering::Relaxed) {
                // Where a queue is full it is lost, which is what is measured.
                let _ = sender.send(&datagram);
            }
        });
        let flood = receive(&receiver, size, time);
        done.store(true, Ordering::Relaxed);
        flood
    })
}

fn receive(socket: &UdpSocket, size: usize, time: Duration) -> Flood {
    let mut buffer = vec![0; size + 1];
    let mut count_until = |end: Instant| {
        let mut count = 0_u64;
        while Instant::now() < end {
            count += u64::from(socket.recv(&mut buffer).is_ok());
        }
        count
    };
    let before = count_until(Instant::now() + WARM_UP);
    let start = Instant::now();
    let count = count_until(start + time);
    Flood { per_second: count as f64 / start.elapsed().as_secs_f64(), all: (before + count).max(1) }
}

/// A program whose output goes to a file. Killed when it is dropped.
struct Running {
    what: String,
    child: Child,
    output: File,
}

impl Running {
    fn start(host: &Host, program: &str, arguments: &[&str]) -> Self {
        let output = tempfile::tempfile_in("/run").expect("/run is ours");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a second handle")).stderr(output.try_clone().expect("a third"));
        Self { what: format!("{program} {}", arguments.join(" ")), child: host.spawn(&mut command), output }
    }

    /// What it has printed.
    fn text(&mut self) -> String {
        let mut text = String::new();
        // Written through the same open file, whose position is thus the end; the program is not disturbed by one that moves back
        // there after reading.
        self.output.rewind().expect("a file can be read again");
        let _ = self.output.read_to_string(&mut text);
        text
    }

    /// Waits for its end; it must succeed. Returns what it printed.
    fn finish(mut self, deadline: Duration) -> String {
        let status = self.wait(deadline);
        let text = self.text();
        assert!(status.success(), "{} ({status}): {text}", self.what);
        text
    }

    /// As [`Running::finish`], for programs that may say that something failed.
    fn finish_anyhow(mut self, deadline: Duration) -> String {
        self.wait(deadline);
        self.text()
    }

    fn wait(&mut self, deadline: Duration) -> std::process::ExitStatus {
        let (what, child) = (format!("{} ends", self.what), &mut self.child);
        eventually(&what, deadline, || child.try_wait().expect("our own child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
