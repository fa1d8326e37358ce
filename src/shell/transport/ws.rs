//! WebSocket: what `ws://` adds to TCP (specification §13, RFC 6455).
//!
//! A peering's bytes travel in binary messages, whose boundaries mean nothing. So [`WsStream`] is a stream of bytes like any other,
//! and the peering above it is the same as over TCP. [`upgrade`] is the HTTP before it.

pub(crate) mod fuzz_body;
mod upgrade;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

pub(crate) use upgrade::{UpgradeError, accept, connect};

/// Longest message that we send. A reference node that dialled us closes on longer ones (specification §13, pitfall 24).
const MAX_OUTGOING: usize = 32_768;
/// Longest message that we take, as a whole and in one piece. A reference node sends one frame per message, at most 65,535 bytes;
/// twice that leaves room for whoever joins frames.
const MAX_INCOMING: usize = 128 << 10;
/// Bytes asked of the connection at a time, which each WebSocket holds a buffer for: one message of ours.
const READ_BUFFER: usize = 32 << 10;
/// Bytes of answers to pings that may wait while the other side takes nothing; after that only the newest ping is answered, as RFC 6455
/// §5.5.3 allows. Pings come seconds apart; more than a hundred of them are an attack.
const MAX_PONGS: usize = 16 << 10;
/// Messages without content (pings, empty ones) that are taken at a time, before it is others' turn.
const MAX_EMPTY: usize = 64;

/// A stream of bytes in binary messages.
#[derive(Debug)]
pub(crate) struct WsStream<S> {
    socket: WebSocketStream<S>,
    role: Role,
    /// What is left of the last message.
    unread: Bytes,
    /// Nothing more will come.
    ended: bool,
}

/// What the other side did wrong within a WebSocket. Reaches others inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum WsError {
    /// A server's message was text; a reference node refuses that too.
    #[error("the other side sent a text message, and peerings are binary")]
    Text,
    /// A message was longer than [`MAX_INCOMING`].
    #[error("the other side sent a WebSocket message of more than {MAX_INCOMING} bytes")]
    TooLong,
    /// Anything else that RFC 6455 forbids.
    #[error("the other side broke the WebSocket protocol: {0}")]
    Protocol(Error),
    /// It closed the WebSocket and said that something was wrong.
    #[error("the other side closed the WebSocket with code {code}: {reason:?}")]
    Closed {
        /// Its code (RFC 6455 §7.4).
        code: u16,
        /// What it said; at most 123 bytes, and shown with everything escaped that could harm a log.
        reason: String,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    /// A stream over an open WebSocket.
    fn new(socket: WebSocketStream<S>, role: Role) -> Self {
        Self { socket, role, unread: Bytes::new(), ended: false }
    }

    /// What the WebSocket runs over.
    pub(crate) fn inner(&self) -> &S {
        self.socket.get_ref()
    }

    /// Takes the next message, which may leave something in `unread` or end the stream.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
            Some(Ok(Message::Text(text))) if self.role == Role::Server => self.unread = text.into(),
            Some(Ok(Message::Text(_))) => return self.refuse(CloseCode::Unsupported, WsError::Text, cx),
            // Pings are answered below us.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => return self.closed(frame, cx),
            Some(Err(Error::Io(error))) => return Poll::Ready(Err(error)),
            Some(Err(Error::Capacity(_))) => return self.refuse(CloseCode::Size, WsError::TooLong, cx),
            // Reference nodes end peerings like this, and so do we.
            None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => self.ended = true,
            Some(Err(error)) => return self.refuse(CloseCode::Protocol, WsError::Protocol(error), cx),
        }
        Poll::Ready(Ok(()))
    }

    /// The other side said goodbye, which the socket answers.
    fn closed(&mut self, frame: Option<CloseFrame>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        let _ = Pin::new(&mut self.socket).poll_flush(cx);
        match frame {
            Some(CloseFrame { code, reason }) if !matches!(code, CloseCode::Normal | CloseCode::Away) => {
                let error = WsError::Closed { code: code.into(), reason: reason.as_str().to_owned() };
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ends the stream, and tells the other side why if that can be done at once.
    fn refuse(&mut self, code: CloseCode, error: WsError, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        let frame = CloseFrame { code, reason: "".into() };
        let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
        let _ = Pin::new(&mut self.socket).poll_flush(cx);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        for _ in 0..MAX_EMPTY {
            if !this.unread.is_empty() {
                let len = this.unread.len().min(buffer.remaining());
                buffer.put_slice(&this.unread.split_to(len));
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_message(cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// One message of as much as fits, once the one before it has gone: so whoever writes sees progress, and nothing queues here.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_flush(cx)).map_err(write_error)?;
        let message = gather(slices);
        let len = message.len();
        if len > 0 {
            Pin::new(&mut this.socket).start_send(Message::Binary(message.into())).map_err(write_error)?;
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(write_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut self.get_mut().socket;
        ready!(Pin::new(&mut *socket).poll_close(cx)).map_err(write_error)?;
        Pin::new(socket.get_mut()).poll_shutdown(cx)
    }
}

/// The beginning of `slices`, as much as goes into one message.
fn gather(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let all = slices.iter().fold(0usize, |all, slice| all.saturating_add(slice.len()));
    let mut message = Vec::with_capacity(all.min(MAX_OUTGOING));
    for slice in slices {
        let room = MAX_OUTGOING - message.len();
        message.extend_from_slice(slice.get(..room).unwrap_or(slice));
    }
    message
}

fn write_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::BrokenPipe, error),
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Every message is written at once, as far as the connection takes it.
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_OUTGOING + MAX_PONGS)
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING))
}

#[cfg(test)]
mod tests;
