//! A QUIC connection as the rest of the shell sees it: the one stream, and what is beside it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::datagrams::Datagrams;
use super::path::Path;
use crate::link::fragment::MIN_DATAGRAM;
use crate::link::window::PathSample;
use crate::shell::transport::{Beside, Stream, is_overlay};

/// The connection. It ends when this is dropped.
pub(super) struct QuicStream {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    datagrams: Datagrams,
    path: Arc<Path>,
}

impl QuicStream {
    pub(super) fn new(connection: Connection, send: SendStream, receive: RecvStream, path: Arc<Path>) -> Self {
        let datagrams = Datagrams::new(connection.clone());
        Self { connection, send, receive, datagrams, path }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        // Others hold the connection too, to move it.
        self.connection.close(VarInt::from_u32(0), b"");
    }
}

impl Stream for QuicStream {
    fn path(&self) -> Option<PathSample> {
        let outstanding = self.path.in_flight() as usize + self.datagrams.unsent();
        let segment = self.connection.max_datagram_size().unwrap_or_default();
        Some(PathSample { acked: self.path.acked(), outstanding, round_trip: self.connection.rtt(), segment })
    }

    fn beside(&mut self) -> Option<&mut dyn Beside> {
        // The peer says in the handshake whether it takes datagrams and how long ones; one that takes none of use gets all on the stream.
        let usable = self.connection.max_datagram_size().is_some_and(|max| max >= MIN_DATAGRAM);
        if usable { Some(&mut self.datagrams) } else { None }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A peer that moves could move into the overlay, and the peering would carry itself.
        if is_overlay(self.connection.remote_address().ip().to_canonical()) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "the other side moved into the overlay",
            )));
        }
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.datagrams.stream_frames_left();
        let len = ready!(AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes))?;
        self.datagrams.stream_written(left);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}
