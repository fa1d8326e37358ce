//! Traffic frames as datagrams, both ways.
//!
//! QUIC sends datagrams before what waits on its streams. Protocol frames are on the stream and go first; so after each write to it no more datagrams are
//! handed over until some of the stream has left, for which those that are waiting, [`SEND_BUFFER`] at the most, have to leave.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, SendDatagramError};
use tokio::time::Sleep;
use tokio_util::sync::ReusableBoxFuture;

use super::settings::SEND_BUFFER;
use crate::buf::PacketBuf;
use crate::drops::{DropCounters, DropReason};
use crate::link::fragment::{FRAGMENT_HEADER_LEN, Fragmenter, MIN_DATAGRAM, Reassembler};
use crate::link::loss::LossMeter;
use crate::shell::transport::Beside;
use crate::time::{Duration, Instant};

/// What QUIC counts for each datagram beside its bytes, at the most.
const BOOKKEEPING: usize = 64;
/// How long datagrams wait for the stream: a round trip or two if the congestion window is closed. Longer, and it is stuck for another reason.
const STREAM_FIRST: Duration = Duration::from_millis(100);
/// How often they look.
const LOOK: Duration = Duration::from_millis(1);
/// Datagrams taken between two looks at whether QUIC had to drop some.
const CHECKED_AFTER: u64 = 4_096;

/// A datagram that waits for room.
type Blocked = Pin<Box<dyn Future<Output = Result<(), SendDatagramError>> + Send>>;

/// The datagrams of one connection.
pub(super) struct Datagrams {
    connection: Connection,
    outgoing: Outgoing,
    incoming: Incoming,
    loss: LossMeter,
    drops: DropCounters,
}

#[derive(Default)]
struct Outgoing {
    fragmenter: Fragmenter,
    /// What is left of the frame that is being sent.
    cut: VecDeque<Bytes>,
    /// Room that QUIC had when it was last asked, minus what it got since.
    room: usize,
    /// The next datagram, for which there was no room.
    blocked: Option<Blocked>,
    behind_stream: Option<BehindStream>,
}

/// Something was written to the stream and has not left.
struct BehindStream {
    /// How many pieces of it had left by then.
    left: u64,
    until: tokio::time::Instant,
    look: Option<Pin<Box<Sleep>>>,
}

struct Incoming {
    reassembler: Reassembler,
    /// Whether `next` is waiting.
    waiting: bool,
    next: ReusableBoxFuture<'static, Result<Bytes, ConnectionError>>,
    /// Datagrams taken; and those that came, but were dropped by QUIC, as far as they are counted.
    taken: u64,
    dropped: u64,
    checked_at: u64,
}

impl Datagrams {
    pub(super) fn new(connection: Connection) -> Self {
        let incoming = Incoming {
            reassembler: Reassembler::default(),
            waiting: false,
            next: ReusableBoxFuture::new(next(connection.clone())),
            taken: 0,
            dropped: 0,
            checked_at: 0,
        };
        Self {
            connection,
            outgoing: Outgoing::default(),
            incoming,
            loss: LossMeter::default(),
            drops: DropCounters::default(),
        }
    }

    /// Bytes that QUIC has not sent.
    pub(super) fn unsent(&self) -> usize {
        SEND_BUFFER.saturating_sub(self.connection.datagram_send_buffer_space() + BOOKKEEPING)
    }

    /// How many frames of the stream have left so far.
    pub(super) fn stream_frames_left(&self) -> u64 {
        self.connection.stats().frame_tx.stream
    }

    /// The stream was written to when so many of its frames had left: what is new goes first.
    pub(super) fn stream_written(&mut self, left: u64) {
        let until = tokio::time::Instant::now() + STREAM_FIRST;
        self.outgoing.behind_stream = Some(BehindStream { left, until, look: None });
    }

    /// Ready when nothing of the stream is to go first.
    fn poll_stream_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(behind) = &mut self.outgoing.behind_stream else { return Poll::Ready(()) };
            let now = tokio::time::Instant::now();
            if now >= behind.until || self.connection.stats().frame_tx.stream > behind.left {
                self.outgoing.behind_stream = None;
                return Poll::Ready(());
            }
            let look = behind.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            ready!(look.as_mut().poll(cx));
            behind.look = None;
        }
    }

    /// Cuts a frame to what fits the path now. False if it cannot be.
    fn cut(&mut self, frame: &[u8]) -> bool {
        let Some(max) = self.connection.max_datagram_size() else { return false };
        let mut out =
            Vec::with_capacity(frame.len() + 16 + FRAGMENT_HEADER_LEN * (frame.len() / MIN_DATAGRAM.max(max / 2)));
        let Some(cut) = self.outgoing.fragmenter.cut(frame, max, &mut out) else { return false };
        let mut rest = Bytes::from(out);
        while rest.len() > cut.datagram_len {
            self.outgoing.cut.push_back(rest.split_to(cut.datagram_len));
        }
        self.outgoing.cut.push_back(rest);
        true
    }

    /// Hands over the datagrams of the frame that is cut.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendDatagramError>> {
        if let Some(blocked) = &mut self.outgoing.blocked {
            let sent = ready!(blocked.as_mut().poll(cx));
            self.outgoing.blocked = None;
            sent?;
        }
        while let Some(datagram) = self.outgoing.cut.pop_front() {
            let needed = datagram.len() + BOOKKEEPING;
            if self.outgoing.room < needed {
                self.outgoing.room = self.connection.datagram_send_buffer_space();
            }
            if self.outgoing.room >= needed {
                self.outgoing.room -= needed;
                self.connection.send_datagram(datagram)?;
                continue;
            }
            let connection = self.connection.clone();
            let mut blocked = Box::pin(async move { connection.send_datagram_wait(datagram).await });
            match blocked.as_mut().poll(cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => {
                    self.outgoing.blocked = Some(blocked);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.incoming.waiting {
            // Mostly there is one, and then nothing has to be kept.
            if let Poll::Ready(datagram) = pin!(self.connection.read_datagram()).poll(cx) {
                return Poll::Ready(datagram.ok());
            }
            self.incoming.next.set(next(self.connection.clone()));
            self.incoming.waiting = true;
        }
        let datagram = ready!(self.incoming.next.poll(cx));
        self.incoming.waiting = false;
        Poll::Ready(datagram.ok())
    }

    /// Counts what QUIC dropped because we did not take it, and frames that were given up. To be called when all is taken that came.
    fn count_drops(&mut self) {
        let given_up = self.incoming.reassembler.take_given_up();
        self.drops.add(DropReason::FragmentsMissing, given_up);
        if self.incoming.taken >= self.incoming.checked_at {
            self.incoming.checked_at = self.incoming.taken + CHECKED_AFTER;
            let came = self.connection.stats().frame_rx.datagram;
            let dropped = came.saturating_sub(self.incoming.taken);
            self.drops.add(DropReason::DatagramOverflow, dropped.saturating_sub(self.incoming.dropped));
            self.incoming.dropped = self.incoming.dropped.max(dropped);
        }
    }
}

impl Beside for Datagrams {
    fn poll_send(&mut self, frame: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Twice, should the path have become narrower in between.
        for _ in 0..2 {
            if self.outgoing.cut.is_empty() && self.outgoing.blocked.is_none() {
                ready!(self.poll_stream_first(cx));
                if !self.cut(frame) {
                    break;
                }
            }
            match ready!(self.poll_hand_over(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(SendDatagramError::ConnectionLost(error)) => return Poll::Ready(Err(error.into())),
                Err(_) => self.outgoing.cut.clear(),
            }
        }
        self.drops.count(DropReason::TooBig);
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<PacketBuf> {
        loop {
            let Poll::Ready(datagram) = self.poll_datagram(cx) else {
                self.incoming.reassembler.expire(now);
                self.count_drops();
                return Poll::Pending;
            };
            // The end of the connection is told by the stream.
            let Some(datagram) = datagram else { return Poll::Pending };
            self.incoming.taken += 1;
            match self.incoming.reassembler.handle_datagram(&datagram, now) {
                Ok(Some(frame)) => return Poll::Ready(frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::trace!(%error, "dropped a datagram");
                    self.drops.count(DropReason::BadFragment);
                }
            }
        }
    }

    fn frame_len(&mut self) -> usize {
        let path = self.connection.stats().path;
        self.loss.handle_counts(path.sent_packets, path.lost_packets);
        let datagram = self.connection.max_datagram_size().unwrap_or(usize::MAX).saturating_sub(FRAGMENT_HEADER_LEN);
        self.loss.frame_len(datagram)
    }

    fn take_drops(&mut self) -> DropCounters {
        std::mem::take(&mut self.drops)
    }
}

async fn next(connection: Connection) -> Result<Bytes, ConnectionError> {
    connection.read_datagram().await
}
