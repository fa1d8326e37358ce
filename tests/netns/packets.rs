//! Packets as the wire has them: capture, and injection of anything.

use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, setsockopt, socket, sockopt,
};
use socket2::Socket;

use crate::lab::Host;
use crate::wait::{eventually, seconds};

/// Enough that nothing is lost while the capturing thread waits for a core.
const CAPTURE_BUFFER: usize = 64 << 20;

/// Looks for byte strings in everything that crosses any interface of a host.
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Capture {
    /// Starts capturing; counts the frames that contain each of `needles`.
    pub(crate) fn start(host: &Host, needles: &[&[u8]]) -> Self {
        let socket = Socket::from(host.within(|| packet_socket(SockProtocol::EthAll)));
        // Beyond the limit that unprivileged users have; in a user namespace we get what that allows.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &CAPTURE_BUFFER);
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a positive time");
        let stop = Arc::new(AtomicBool::new(false));
        let needles: Vec<_> = needles.iter().map(|needle| needle.to_vec()).collect();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || count(&socket, &needles, &stop)
        });
        Self { stop, thread }
    }

    /// Stops after everything that waits has been looked at; says how many frames contained each needle.
    pub(crate) fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn count(mut socket: &Socket, needles: &[Vec<u8>], stop: &AtomicBool) -> Vec<u64> {
    let (mut counts, mut frame) = (vec![0; needles.len()], vec![0; 128 * 1024]);
    loop {
        match socket.read(&mut frame) {
            Ok(len) => {
                for (count, needle) in counts.iter_mut().zip(needles) {
                    *count += u64::from(contains(&frame[..len], needle));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return counts;
                }
            }
            // An interface went down.
            Err(_) => (),
        }
    }
}

fn contains(frame: &[u8], needle: &[u8]) -> bool {
    frame.windows(needle.len()).any(|window| window == needle)
}

/// Hands packets to an interface as if the host's network stack had sent them.
pub(crate) struct Injector {
    socket: OwnedFd,
    interface: LinkAddr,
}

impl Injector {
    /// For the interface of `host` that leads to `destination`.
    pub(crate) fn towards(host: &Host, destination: Ipv6Addr) -> Self {
        // A packet socket names an interface as it names the one a packet came by, so one is sent there and waited for.
        const PROBE: &[u8] = b"which way does this go?";
        let socket = host.within(|| packet_socket(SockProtocol::EthAll));
        let probe = host.within(|| UdpSocket::bind("[::]:0")).expect("any port");
        let mut packet = [0; 2048];
        let interface = eventually("the probe is seen", seconds(5), || {
            probe.send_to(PROBE, (destination, 9)).expect("there is a route");
            let (len, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut packet).ok()?;
            from.filter(|_| contains(&packet[..len], PROBE))
        });
        Self { socket, interface }
    }

    /// Sends one packet. Returns whether the kernel took it: a full queue, for example, refuses.
    pub(crate) fn send(&self, packet: &[u8]) -> bool {
        sendto(self.socket.as_raw_fd(), packet, &self.interface, MsgFlags::empty()).is_ok()
    }
}

fn packet_socket(protocol: SockProtocol) -> OwnedFd {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
        .expect("a packet socket: the namespace is ours")
}
