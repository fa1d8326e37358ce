//! What a peering's task does for traffic frames that go beside the stream, where the transport can do that.
//!
//! In a batch of the core's, protocol frames come first; they and the link's own messages go on the stream, traffic frames beside it. The two do not
//! wait for each other, but the next batch waits for both, so that no more is under way than the core means to have.

use std::io;
use std::task::{Context, Poll};

use super::{BATCH_FRAMES, Batch, Outgoing, PeerTask, WRITE_TIMEOUT};
use crate::drops::DropReason;
use crate::link::{LinkEvent, SILENCE_TIMEOUT};
use crate::shell::transport::Stream;
use crate::time::{Duration, Instant};
use crate::wire::frame::Header;

/// Frames that are read before others have their turn.
const MOST_AT_ONCE: usize = 4 * BATCH_FRAMES;

impl PeerTask {
    /// Reads what came beside the stream until there is no more or the batch is full. While the link is not up nothing is read, so nothing counts.
    pub(super) fn read_beside(&mut self, now: Instant, cx: &mut Context<'_>) {
        if !self.link.is_open() || self.incoming.ended.is_some() {
            return;
        }
        let Some(beside) = self.stream.beside() else { return };
        let mut taken = 0;
        while !self.incoming.is_full()
            && let Poll::Ready(frame) = beside.poll_recv(now, cx)
        {
            if self.link.handle_beside(&frame, now) {
                self.incoming.take(LinkEvent::Frame(frame));
            } else {
                self.incoming.drops.count(DropReason::MalformedFrame);
            }
            taken += 1;
            if taken == MOST_AT_ONCE {
                // What is of no use fills no batch; others are to have their turn all the same.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.incoming.drops.merge(&beside.take_drops());
    }

    /// How long the transport may take nothing. One that moves from address to address needs time for that: the silence of the other side shows whether
    /// it came through.
    pub(super) fn write_timeout(&mut self) -> Duration {
        if self.stream.beside().is_some() { SILENCE_TIMEOUT } else { WRITE_TIMEOUT }
    }
}

impl Outgoing {
    /// Takes a batch of the core's.
    pub(super) fn take_batch(&mut self, batch: Batch, has_beside: bool) {
        let is_traffic = |frame: &[u8]| Header::parse(frame).is_ok_and(|header| header.kind.is_traffic());
        for frame in batch {
            if has_beside && is_traffic(&frame) { self.beside.push_back(frame) } else { self.frames.push_back(frame) }
        }
        self.batch = true;
    }

    /// Writes all frames, to the stream and beside it. Neither waits for the other.
    pub(super) fn poll_write_all(
        &mut self,
        stream: &mut Box<dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let on_stream = if self.is_done_on_stream() { Poll::Ready(Ok(())) } else { self.poll_write(stream, cx) };
        let beside = self.poll_beside(stream, cx);
        match (on_stream, beside) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn poll_beside(&mut self, stream: &mut Box<dyn Stream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(frame) = self.beside.front() {
            let Some(beside) = stream.beside() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
            std::task::ready!(beside.poll_send(frame, cx))?;
            self.written_beside += frame.len() as u64;
            self.beside.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
