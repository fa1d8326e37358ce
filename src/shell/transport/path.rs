//! What the kernel knows of a TCP connection's path (`TCP_INFO`, linux/tcp.h).

use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::GetSockOpt;
use nix::sys::socket::sockopt::GetStruct;

use crate::link::window::PathSample;
use crate::time::Duration;

/// The first fields of the kernel's `struct tcp_info`: all that Linux 4.6 had. A kernel writes as many as are asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Info {
    _states_and_options: [u8; 8],
    _timeouts: [u32; 2],
    send_mss: u32,
    _receive_mss: u32,
    /// Segments that are under way.
    unacked: u32,
    _losses_and_times: [u32; 10],
    /// Smoothed, in microseconds.
    round_trip: u32,
    _windows: [u32; 8],
    _pacing: [u64; 2],
    bytes_acked: u64,
    _bytes_received: u64,
    _segments: [u32; 2],
    /// Bytes that were not sent for the first time.
    not_sent: u32,
    _least_round_trip: u32,
}

#[derive(Clone, Copy)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Info, GetStruct<Info>);

/// What there is to know now; none if the kernel does not say.
pub(super) fn sample(socket: &impl AsFd) -> Option<PathSample> {
    let info = TcpInfo.get(socket).ok()?;
    let under_way = u64::from(info.unacked) * u64::from(info.send_mss);
    Some(PathSample {
        acked: info.bytes_acked,
        outstanding: usize::try_from(under_way + u64::from(info.not_sent)).unwrap_or(usize::MAX),
        round_trip: Duration::from_micros(info.round_trip.into()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_are_outstanding_until_the_other_side_has_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut receiver = listener.accept().unwrap().0;
        let before = sample(&sender).unwrap();
        assert_eq!(before.outstanding, 0);
        // More than both ends' buffers hold.
        sender.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(len) = sender.write(&[0; 1 << 16]) {
            written += len;
        }
        let full = sample(&sender).unwrap();
        assert!(full.outstanding > 0 && full.outstanding <= 2 * written, "{full:?} of {written}");
        let mut left = vec![0; written];
        receiver.read_exact(&mut left).unwrap();
        // The last acknowledgement is on its way at most: on loopback that is less than a reader needs to be woken.
        sender.set_nonblocking(false).unwrap();
        sender.write_all(b"!").unwrap();
        receiver.read_exact(&mut left[..1]).unwrap();
        receiver.write_all(b"!").unwrap();
        sender.read_exact(&mut left[..1]).unwrap();
        let empty = sample(&sender).unwrap();
        assert_eq!(empty.outstanding, 0);
        assert_eq!(empty.acked - before.acked, written as u64 + 1);
        assert!(!empty.round_trip.is_zero());
    }
}
