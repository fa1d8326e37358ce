//! A TCP connection that knows its path: what the kernel says of it (`TCP_INFO`, linux/tcp.h), and what was written.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::libc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Stream;
use crate::link::window::PathSample;
use crate::time::Duration;

/// The first fields of the kernel's `struct tcp_info`: all that Linux 4.6 had. A kernel writes as many as are asked for
/// and as it has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Info {
    _states_and_options: [u8; 8],
    _timeouts: [u32; 2],
    send_segment: u32,
    _segments_and_times: [u32; 12],
    /// Smoothed, in microseconds.
    round_trip: u32,
    _windows: [u32; 8],
    _pacing: [u64; 2],
    bytes_acked: u64,
    _received: [u64; 3],
}

/// The connection. What is outstanding is counted in bytes: the kernel only knows segments, which may be as short as our frames.
#[derive(Debug)]
pub(super) struct MeasuredTcp {
    stream: TcpStream,
    written: u64,
    /// What the kernel counted before our first byte.
    acked_before: u64,
}

impl MeasuredTcp {
    pub(super) fn new(stream: TcpStream) -> Self {
        let acked_before = info(&stream).map_or(0, |info| info.bytes_acked);
        Self { stream, written: 0, acked_before }
    }
}

/// Not through nix, whose getter panics if an older kernel has fewer fields.
fn info(socket: &impl AsRawFd) -> Option<Info> {
    let mut info = Info::default();
    let mut len = size_of::<Info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed. The kernel writes at most `len` bytes to `info`, which has as many and is
    // numbers only; and it writes to `len`.
    #[allow(unsafe_code)]
    let result = unsafe {
        let at = (&raw mut info).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, at, &raw mut len)
    };
    (result == 0 && is_complete(len)).then_some(info)
}

/// Whether the kernel has all fields that we need: without them a peering does without a window.
const fn is_complete(len: libc::socklen_t) -> bool {
    len as usize >= size_of::<Info>()
}

impl Stream for MeasuredTcp {
    fn path(&self) -> Option<PathSample> {
        let info = info(&self.stream)?;
        let acked = info.bytes_acked.saturating_sub(self.acked_before);
        Some(PathSample {
            acked,
            outstanding: usize::try_from(self.written.saturating_sub(acked)).unwrap_or(usize::MAX),
            round_trip: Duration::from_micros(info.round_trip.into()),
            segment: info.send_segment as usize,
        })
    }
}

impl AsyncRead for MeasuredTcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for MeasuredTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written += len as u64;
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.written += len as u64;
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_kernel_with_fewer_fields_knows_no_path() {
        // Linux 4.1 ended behind the pacing rates, 4.2 behind the counters of bytes.
        assert!(!is_complete(120) && !is_complete(136));
        assert!(is_complete(size_of::<Info>() as libc::socklen_t));
    }

    #[test]
    fn what_is_no_tcp_connection_knows_no_path() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(info(&one).is_none());
    }

    #[tokio::test]
    async fn bytes_are_outstanding_until_the_other_side_has_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = MeasuredTcp::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let mut receiver = listener.accept().await.unwrap().0;
        let before = sender.path().unwrap();
        assert_eq!((before.acked, before.outstanding), (0, 0));
        // Short writes, as of short frames, until both ends' buffers are full.
        let mut written = 0;
        std::future::poll_fn(|cx| {
            while let Poll::Ready(len) = Pin::new(&mut sender).poll_write(cx, &[0; 1_000]) {
                written += len.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        let full = sender.path().unwrap();
        assert!(full.outstanding > 0);
        assert_eq!(full.acked as usize + full.outstanding, written);
        let mut read = vec![0; written];
        receiver.read_exact(&mut read).await.unwrap();
        // What comes back acknowledges all before it.
        sender.write_all(b"!").await.unwrap();
        receiver.read_exact(&mut read[..1]).await.unwrap();
        receiver.write_all(b"!").await.unwrap();
        sender.read_exact(&mut read[..1]).await.unwrap();
        let empty = sender.path().unwrap();
        assert_eq!((empty.acked, empty.outstanding), (written as u64 + 1, 0));
        assert!(!empty.round_trip.is_zero());
    }
}
