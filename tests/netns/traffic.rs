//! What applications do: ping, send files and datagrams, measure, fetch a page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::Host;
use crate::wait::{eventually, seconds, wait_until};

/// A socket that hears nothing for this long has failed: longer than any outage a test makes.
const IO_TIMEOUT: Duration = seconds(60);
/// Written and read in pieces of this size.
const CHUNK: usize = 64 * 1024;

/// Outcome of a run of the `ping` program.
#[derive(Debug)]
pub(crate) struct Pings {
    pub(crate) sent: u32,
    pub(crate) received: u32,
    /// All that it printed.
    pub(crate) text: String,
}

/// Runs `ping -6 -n OPTIONS ADDRESS` on `host` to its end.
pub(crate) fn ping(host: &Host, address: Ipv6Addr, options: &str) -> Pings {
    let address = address.to_string();
    let arguments: Vec<_> = ["-6", "-n"].into_iter().chain(options.split(' ')).chain([address.as_str()]).collect();
    let output = host.output("ping", &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // "3 packets transmitted, 3 received, 0% packet loss, time 402ms"
    let summary: Vec<_> =
        text.lines().find(|line| line.contains("packets transmitted")).unwrap_or("").split(' ').collect();
    let number = |at: usize| summary.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
    let (sent, received) = (number(0), number(3));
    Pings { sent, received, text }
}

/// Waits until `address` answers pings of `host`.
pub(crate) fn wait_reachable(host: &Host, address: Ipv6Addr, deadline: Duration) {
    assert!(
        first_reply(host, address, deadline).is_some(),
        "{} cannot reach {address}: no reply within {deadline:?}",
        host.name()
    );
}

/// All of five pings in a row are answered.
pub(crate) fn assert_pings(host: &Host, address: Ipv6Addr) {
    let pings = ping(host, address, "-c 5 -i 0.1 -W 5");
    assert!(pings.sent == 5 && pings.received == 5, "{}: {}", host.name(), pings.text);
}

/// Sends an echo request every 50 ms until one is answered; says when that was, counted from the call.
pub(crate) fn first_reply(host: &Host, address: Ipv6Addr, deadline: Duration) -> Option<Duration> {
    first_reply_every(Duration::from_millis(50), host, address, deadline)
}

/// As [`first_reply`], for an echo request every `interval`: what it says is that exact.
pub(crate) fn first_reply_every(
    interval: Duration,
    host: &Host,
    address: Ipv6Addr,
    deadline: Duration,
) -> Option<Duration> {
    // Any number that no other prober of this host uses at the time.
    static IDENTIFIER: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(1);
    let identifier = IDENTIFIER.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
    let socket = host.within(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))).expect("a raw socket");
    socket.set_read_timeout(Some(interval)).expect("a positive time");
    let to = SocketAddr::from((address, 0)).into();
    let start = Instant::now();
    let mut sequence = 0_u16;
    while start.elapsed() < deadline {
        let mut request = vec![128, 0, 0, 0, identifier[0], identifier[1]];
        request.extend(sequence.to_be_bytes());
        sequence = sequence.wrapping_add(1);
        // The kernel fills in the checksum. Refusals (no route yet, queue full) are what we wait out.
        let _ = socket.send_to(&request, &to);
        let sent = Instant::now();
        let mut reply = [0; 256];
        while sent.elapsed() < interval {
            let len = (&socket).read(&mut reply).unwrap_or(0);
            if len >= 8 && reply[0] == 129 && reply[4..6] == identifier {
                return Some(start.elapsed());
            }
        }
    }
    None
}

/// A file on its way over TCP. The content is pseudo-random; both sides hash it.
pub(crate) struct Transfer {
    state: Arc<State>,
    sender: JoinHandle<[u8; 32]>,
    receiver: JoinHandle<[u8; 32]>,
    total: u64,
}

#[derive(Default)]
struct State {
    /// The sender stops here until it is told to go on.
    limit: Mutex<u64>,
    raised: Condvar,
    received: Mutex<u64>,
}

impl Transfer {
    /// Starts sending `total` bytes from `from` to a receiver on `to`, at most `limit` of them until [`Transfer::go_on`].
    pub(crate) fn start(from: &Host, to: &Host, address: Ipv6Addr, total: u64, limit: u64) -> Self {
        let listener = to.within(|| TcpListener::bind((address, 0))).expect("the address is on this host");
        let port = listener.local_addr().expect("a bound socket").port();
        let stream = from
            .within(|| TcpStream::connect_timeout(&(address, port).into(), seconds(15)))
            .unwrap_or_else(|error| panic!("{} cannot connect to {address}: {error}", from.name()));
        let state = Arc::new(State { limit: Mutex::new(limit), ..State::default() });
        let sender = std::thread::spawn({
            let state = state.clone();
            move || send_file(&stream, total, &state)
        });
        let receiver = std::thread::spawn({
            let state = state.clone();
            move || receive_file(&listener.accept().expect("our own sender").0, &state)
        });
        Self { state, sender, receiver, total }
    }

    /// Sends a file and checks that it arrived intact.
    pub(crate) fn complete(from: &Host, to: &Host, address: Ipv6Addr, total: u64) {
        Self::start(from, to, address, total, total).finish();
    }

    /// Bytes that have arrived.
    pub(crate) fn received(&self) -> u64 {
        *self.state.received.lock().unwrap()
    }

    /// Lets the sender send the rest.
    pub(crate) fn go_on(&self) {
        *self.state.limit.lock().unwrap() = self.total;
        self.state.raised.notify_all();
    }

    /// Waits for the end and checks that all arrived intact.
    pub(crate) fn finish(self) {
        wait_until("the transfer is complete", IO_TIMEOUT, || self.sender.is_finished() && self.receiver.is_finished());
        assert_eq!(self.received(), self.total);
        assert!(self.sender.join().unwrap() == self.receiver.join().unwrap(), "what arrived is not what was sent");
    }
}

fn send_file(mut stream: &TcpStream, total: u64, state: &State) -> [u8; 32] {
    stream.set_write_timeout(Some(IO_TIMEOUT)).expect("a positive time");
    let (mut hash, mut random, mut sent) = (Sha256::new(), 0x1234_5678_9abc_def0_u64, 0);
    while sent < total {
        let mut limit = state.limit.lock().unwrap();
        while sent >= *limit {
            limit = state.raised.wait(limit).unwrap();
        }
        drop(limit);
        let chunk = random_bytes(&mut random, CHUNK.min((total - sent) as usize));
        hash.update(&chunk);
        stream.write_all(&chunk).expect("the connection lasts");
        sent += chunk.len() as u64;
    }
    hash.finalize().into()
}

fn receive_file(mut stream: &TcpStream, state: &State) -> [u8; 32] {
    stream.set_read_timeout(Some(IO_TIMEOUT)).expect("a positive time");
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match stream.read(&mut chunk).expect("the connection lasts") {
            0 => return hash.finalize().into(),
            len => {
                hash.update(&chunk[..len]);
                *state.received.lock().unwrap() += len as u64;
            }
        }
    }
}

/// Marsaglia's xorshift64: not secret, not compressible, the same in every run.
pub(crate) fn random_bytes(state: &mut u64, len: usize) -> Vec<u8> {
    let words = std::iter::repeat_with(|| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Sends `count` datagrams of `size` bytes to an echo on `to`, one after the other; each must come back as it was sent.
pub(crate) fn echo_datagrams(from: &Host, to: &Host, address: Ipv6Addr, count: usize, size: usize) {
    let echo = to.within(|| UdpSocket::bind((address, 0))).expect("the address is on this host");
    let there = echo.local_addr().expect("a bound socket");
    let client = from.within(|| UdpSocket::bind("[::]:0")).expect("any port");
    for socket in [&echo, &client] {
        socket.set_read_timeout(Some(seconds(5))).expect("a positive time");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut datagram = vec![0; 65_536];
            for n in 0..count {
                let (len, sender) =
                    echo.recv_from(&mut datagram).unwrap_or_else(|error| panic!("datagram {n}: {error}"));
                echo.send_to(&datagram[..len], sender).expect("the echo can be sent");
            }
        });
        let mut random = 1 + size as u64;
        let mut answer = vec![0; 65_536];
        for n in 0..count {
            let datagram = random_bytes(&mut random, size);
            client.send_to(&datagram, there).expect("the datagram can be sent");
            let len = client.recv(&mut answer).unwrap_or_else(|error| panic!("echo {n} of {size} bytes: {error}"));
            assert!(answer[..len] == datagram, "datagram {n} of {size} bytes came back changed");
        }
    });
}

/// Runs iperf3 from `from` to `to` for `time` seconds, in the other direction if `reverse`. Returns Mbit/s received.
pub(crate) fn iperf(from: &Host, to: &Host, address: Ipv6Addr, time: u8, reverse: bool) -> f64 {
    let bind = address.to_string();
    let mut server =
        Command::new("iperf3").args(["-s", "-1", "-B", &bind, "--forceflush"]).stdout(Stdio::piped()).spawn_on(to);
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let listens = lines.any(|line| line.is_ok_and(|line| line.contains("listening")));
    assert!(listens, "iperf3 does not listen on {bind}");
    let time = time.to_string();
    let mut arguments = vec!["-c", &bind, "-t", &time, "-J"];
    arguments.extend(reverse.then_some("-R"));
    let output = from.output("iperf3", &arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let _ = server.kill();
    let _ = server.wait();
    let result: serde_json::Value = serde_json::from_str(&text).expect("iperf3 -J prints JSON");
    let rate = &result["end"]["sum_received"]["bits_per_second"];
    rate.as_f64().unwrap_or_else(|| panic!("iperf3 failed: {text}")) / 1e6
}

/// Fetches `path` from a web server and returns the body.
pub(crate) fn fetch(from: &Host, address: Ipv6Addr, port: u16, path: &str) -> Vec<u8> {
    let mut stream = eventually("the web server accepts", seconds(15), || {
        from.within(|| TcpStream::connect_timeout(&(address, port).into(), seconds(5))).ok()
    });
    stream.set_read_timeout(Some(seconds(15))).expect("a positive time");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: [{address}]:{port}\r\n\r\n").expect("the request can be sent");
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("the answer arrives");
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("an HTTP header") + 4;
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer[..body]));
    answer.split_off(body)
}

/// Reads better after the arguments.
trait SpawnOn {
    fn spawn_on(&mut self, host: &Host) -> std::process::Child;
}

impl SpawnOn for Command {
    fn spawn_on(&mut self, host: &Host) -> std::process::Child {
        host.spawn(self)
    }
}

pub(crate) fn median_ms(text: &str) -> f64 {
    let times = text.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let mut times: Vec<_> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Ends a flood, also when the test fails while it goes on.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
