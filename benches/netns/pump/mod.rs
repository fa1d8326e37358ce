//! A pass-through pump: between a TUN interface and a TCP connection, or between two connections, with nothing in between. No keys, no
//! routes, no choices: what it reaches is the most that any overlay in user space can reach on a machine.
//!
//! It is as good as blocking threads can be: one for each direction, as many packets per write as there are waiting, 64 KB buffers,
//! no copy besides the kernel's. It runs as a process of its own (this program again), so that it is accounted for like a daemon.

mod tun;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use tun::Tun;

/// The first argument of a pump's process.
pub(crate) const COMMAND: &str = "__pump";
/// The argument that turns virtio headers on.
pub(crate) const OFFLOAD: &str = "--vnet";

/// The largest packet with its virtio header.
const MAX_PACKET: usize = 65_535 + 10;
/// Before each packet on a connection: its length.
const PREFIX: usize = 4;
/// What is gathered before it is written: once as much as the largest packet, writes do not get cheaper per byte.
const BATCH: usize = 64 * 1024;
/// What is read from a connection at a time.
const READ: usize = 256 * 1024;
/// Between attempts to connect: short against the time that anything takes to start.
const RETRY: Duration = Duration::from_millis(2);

/// Joins the ends that the arguments name, two by two, until one of them fails.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let offload = arguments.first().is_some_and(|argument| argument == OFFLOAD);
    let ends = &arguments[usize::from(offload)..];
    let mut threads = Vec::new();
    for pair in ends.chunks_exact(2) {
        let [first, second] = [&pair[0], &pair[1]].map(|text| End::open(text, offload));
        threads.push(pump(first.twin(), second.twin()));
        threads.push(pump(second, first));
    }
    // A pump without one of its directions is of no use to a measurement, so the first to end ends all.
    while threads.iter().all(|thread| !thread.is_finished()) {
        std::thread::sleep(Duration::from_millis(50));
    }
    ExitCode::FAILURE
}

/// Where packets come from and go to.
enum End {
    Tun(Tun),
    Tcp(TcpStream),
}

impl End {
    /// Reads `tun=NAME`, `listen=ADDRESS` or `connect=ADDRESS`, and waits until it is there.
    fn open(text: &str, offload: bool) -> Self {
        let (kind, value) = text.split_once('=').expect("an end is KIND=VALUE");
        if kind == "tun" {
            return Self::Tun(Tun::open(value, offload).unwrap_or_else(|error| panic!("{value}: {error}")));
        }
        let address: SocketAddr = value.parse().expect("an address and port");
        let stream = if kind == "listen" {
            TcpListener::bind(address).and_then(|listener| listener.accept()).expect("the address is ours").0
        } else {
            loop {
                match TcpStream::connect(address) {
                    Ok(stream) => break stream,
                    Err(_) => std::thread::sleep(RETRY),
                }
            }
        };
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self::Tcp(stream)
    }

    fn twin(&self) -> Self {
        match self {
            Self::Tun(tun) => Self::Tun(tun.try_clone().expect("a second handle")),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a second handle")),
        }
    }
}

/// One direction.
fn pump(from: End, to: End) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let result = match (from, to) {
            (End::Tun(tun), End::Tcp(stream)) => send(&tun, stream),
            (End::Tcp(stream), End::Tun(tun)) => receive(stream, &tun),
            (End::Tcp(from), End::Tcp(to)) => relay(from, to),
            (End::Tun(_), End::Tun(_)) => Err(ErrorKind::Unsupported.into()),
        };
        eprintln!("pump: {result:?}");
    })
}

/// Packets from the interface, each behind its length; all that are waiting in one write.
fn send(tun: &Tun, mut stream: TcpStream) -> std::io::Result<()> {
    let mut batch = vec![0; BATCH + PREFIX + MAX_PACKET];
    loop {
        let mut filled = 0;
        while filled < BATCH {
            let start = filled + PREFIX;
            match tun.read(&mut batch[start..start + MAX_PACKET]) {
                Ok(len) => {
                    batch[filled..start].copy_from_slice(&(len as u32).to_be_bytes());
                    filled = start + len;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => tun.wait_readable()?,
                Err(error) => return Err(error),
            }
        }
        stream.write_all(&batch[..filled])?;
    }
}

/// The other direction.
fn receive(mut stream: TcpStream, tun: &Tun) -> std::io::Result<()> {
    let mut buffer = vec![0; READ + PREFIX + MAX_PACKET];
    let mut filled = 0;
    loop {
        let len = stream.read(&mut buffer[filled..])?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += len;
        let mut rest = &buffer[..filled];
        while let Some((prefix, packet)) = rest.split_first_chunk::<PREFIX>() {
            let Some((packet, after)) = packet.split_at_checked(u32::from_be_bytes(*prefix) as usize) else { break };
            // What the kernel refuses is lost, as on any link.
            let _ = tun.write(packet);
            rest = after;
        }
        let consumed = filled - rest.len();
        buffer.copy_within(consumed..filled, 0);
        filled -= consumed;
    }
}

/// Bytes as they are: whoever relays a frame without its keys can do no less.
fn relay(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..len])?;
    }
}
