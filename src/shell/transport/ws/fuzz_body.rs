//! The body of the fuzz target `websocket`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{WsStream, accept, config, connect};
use crate::config::Host;

/// What may be said in answer to nothing: a request, a refusal with its reason, a goodbye.
const UNASKED: usize = 1 << 10;

/// Bit 0 of the first byte says which side we are on, bit 1 whether the other side begins with HTTP, and the others how the rest, which is what
/// it says, is cut into pieces. The same in one piece and in many, no more answered than asked, and an end.
pub fn fuzz_websocket(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let whole = listen(mode, bytes, usize::MAX);
    assert!(whole.written <= UNASKED + 4 * bytes.len(), "{} bytes in answer to {}", whole.written, bytes.len());
    assert!(whole.read.len() <= bytes.len());
    let pieces = listen(mode, bytes, 1 + usize::from(mode >> 2) * 16);
    assert_eq!((whole.read, whole.went_well), (pieces.read, pieces.went_well), "the same bytes in other pieces");
}

/// What came of it.
struct Heard {
    /// The peering's bytes.
    read: Vec<u8>,
    /// Whether they ended without an error.
    went_well: bool,
    /// Bytes that we said.
    written: usize,
}

#[expect(clippy::expect_used, reason = "a fuzz target that cannot run is to fail")]
fn listen(mode: u8, bytes: &[u8], piece: usize) -> Heard {
    // Nothing ever waits, but the time for the HTTP is limited by the runtime's clock.
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without any input or output");
    let mut far = Far { rest: bytes, piece, written: 0 };
    let mut read = Vec::new();
    let went_well = runtime.block_on(async {
        let role = if mode & 1 == 1 { Role::Server } else { Role::Client };
        let opened = match (mode & 2 == 2, role) {
            (false, role) => {
                let socket = WebSocketStream::from_raw_socket(&mut far, role, Some(config())).await;
                Ok(WsStream::new(socket, role))
            }
            (true, Role::Server) => accept(&mut far).await,
            (true, Role::Client) => connect(&mut far, &Host::Name("node.example".to_owned()), 80, "/path").await,
        };
        match opened {
            Ok(mut stream) => stream.read_to_end(&mut read).await.is_ok(),
            Err(_) => false,
        }
    });
    Heard { read, went_well, written: far.written }
}

/// The other side: says what it has to say, at most so many bytes at a time, and listens to everything.
struct Far<'a> {
    rest: &'a [u8],
    piece: usize,
    written: usize,
}

impl AsyncRead for Far<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let len = self.rest.len().min(self.piece).min(buffer.remaining());
        let (now, later) = self.rest.split_at(len);
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Far<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
