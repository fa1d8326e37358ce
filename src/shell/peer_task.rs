//! One task per peering: it owns the stream and the [`Link`] and moves batches of frames between them and the core.
//!
//! The task is one hand-written future instead of a `select!`: reading, writing, handing over and waiting work on the same link, and each
//! must go on while another is stuck. What it holds is bounded: one batch on its way to the core, one on its way to the
//! peer, and what the link holds. While the core does not take the batch, nothing is read, so the peer's TCP has to wait.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

mod beside;

use crate::buf::PacketBuf;
use crate::drops::{DropCounters, DropReason};
use crate::keys::PublicKey;
use crate::link::window::SendWindow;
use crate::link::{Link, LinkConfig, LinkError, LinkEvent};
use crate::shell::clock::Clock;
use crate::shell::timer::Timer;
use crate::shell::transport::{Connection, DialError, Ends, Stream};
use crate::time::{Duration, Instant};
use crate::wire::extensions::Extensions;

/// Frames that pass between a peering and the core at a time.
pub(crate) type Batch = Vec<PacketBuf>;

/// Most frames in a batch: as many as one vectored write takes in good measure.
pub(crate) const BATCH_FRAMES: usize = 64;
/// A batch is full once it has this many bytes. On a link of 10 Mbit/s it is a tenth of a second that protocol frames may wait
/// behind; on one of 10 Gbit/s handing it over costs a hundredth of the time that writing it takes.
pub(crate) const BATCH_BYTES: usize = 128 << 10;
/// A peer that takes no byte for this long is gone (specification §2.2).
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where little is written the path is looked at this often, to know the round trip.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Names a peering from its first dialling to its end; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeeringId(pub(crate) u64);

/// What a peering tells the core.
#[derive(Debug)]
pub(crate) struct FromPeer {
    /// Which peering.
    pub(crate) id: PeeringId,
    /// What happened.
    pub(crate) event: PeerEvent,
}

/// What happened at a peering.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// The connection is there; hellos are being exchanged.
    Connected(Ends),
    /// The hellos were exchanged, and the keys proven if both sides know how.
    Up(PeerUp),
    /// Frames came.
    Frames(Batch),
    /// Frames or parts of some were dropped, for this reason and so many.
    Dropped(DropReason, u64),
    /// The peering is over. Always the last event.
    Closed(PeerClosed),
}

/// Who the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerUp {
    /// Its key.
    pub(crate) key: PublicKey,
    /// Whether it has proven that.
    pub(crate) proven: bool,
    /// What it understands beyond plain Pinecone.
    pub(crate) extensions: Extensions,
}

/// Why a peering ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerClosed {
    /// It never began.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer broke the rules of the link, or went silent.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Stream(#[from] io::Error),
    /// The peer takes nothing.
    #[error("the other side took no byte for {} s", WRITE_TIMEOUT.as_secs())]
    WriteTimedOut,
    /// The peer closed the connection.
    #[error("the other side closed the connection")]
    ByPeer,
    /// The peer closed the connection when it should have proven its key.
    #[error(
        "the other side closed the connection while keys were proven: it asks for another ?password= than this peer has (the peer in \
         peering.peers here and the listener in peering.listen there have the same or none), or its log says why"
    )]
    ByPeerInProof,
    /// The core is gone.
    #[error("we closed the connection")]
    ByUs,
}

/// The task's end of the channels.
pub(crate) struct Channels {
    /// Its name.
    pub(crate) id: PeeringId,
    /// To the core; shared by all peerings, and bounded.
    pub(crate) events: mpsc::Sender<FromPeer>,
    /// Batches to write, one at a time.
    pub(crate) batches: mpsc::Receiver<Batch>,
    /// Told when a batch is written and there is room for more; holds at most one message per peering.
    pub(crate) written: mpsc::UnboundedSender<Written>,
}

/// A batch is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Of which peering.
    pub(crate) id: PeeringId,
    /// Bytes that the next batch may have; a frame that begins within them may end beyond.
    pub(crate) room: usize,
    /// Longest frame that does not hold up others for long.
    pub(crate) frame_len: usize,
    /// The round trip to the peer without queueing, if it is known.
    pub(crate) round_trip: Option<Duration>,
}

/// Runs a peering from dialling to its end, which it tells the core. The time for the hello begins at `hello_since`, or else with the
/// connection.
pub(crate) async fn run(
    connect: impl Future<Output = Result<Connection, DialError>>,
    config: LinkConfig,
    channels: Channels,
    clock: Clock,
    hello_since: Option<Instant>,
) {
    let (id, events) = (channels.id, channels.events.clone());
    let closed = match connect.await {
        Ok(connection) => {
            let config = LinkConfig { carrier: connection.ends.carrier, ..config };
            let link = Link::new(config, hello_since.unwrap_or_else(|| clock.now()));
            run_connected(connection, link, channels, clock).await
        }
        Err(error) => error.into(),
    };
    // If nobody listens, nobody needs to know.
    let _ = events.send(FromPeer { id, event: PeerEvent::Closed(closed) }).await;
}

async fn run_connected(connection: Connection, link: Link, channels: Channels, clock: Clock) -> PeerClosed {
    let Connection { stream, ends } = connection;
    let connected = PeerEvent::Connected(ends);
    if channels.events.send(FromPeer { id: channels.id, event: connected }).await.is_err() {
        return PeerClosed::ByUs;
    }
    let mut task = PeerTask {
        id: channels.id,
        link,
        stream,
        incoming: Incoming::new(channels.events),
        outgoing: Outgoing::new(),
        batches: channels.batches,
        written: channels.written,
        window: SendWindow::default(),
        sampled_at: None,
        look_for_room: None,
        timer: Timer::new(clock),
        clock,
    };
    std::future::poll_fn(|cx| task.poll(cx)).await
}

struct PeerTask {
    id: PeeringId,
    stream: Box<dyn Stream>,
    link: Link,
    incoming: Incoming,
    outgoing: Outgoing,
    batches: mpsc::Receiver<Batch>,
    written: mpsc::UnboundedSender<Written>,
    window: SendWindow,
    /// When the transport was asked about its path last.
    sampled_at: Option<Instant>,
    /// When to look for room for the next batch; none if none was written, or that is told.
    look_for_room: Option<Instant>,
    timer: Timer,
    clock: Clock,
}

/// What was read and waits for the core.
struct Incoming {
    events: PollSender<FromPeer>,
    up: Option<PeerUp>,
    frames: Batch,
    bytes: usize,
    /// What was dropped and is not told yet.
    drops: DropCounters,
    /// Nothing more can be read; what was read before is still handed over.
    ended: Option<PeerClosed>,
}

/// What waits to be written.
struct Outgoing {
    frames: VecDeque<PacketBuf>,
    /// Traffic frames that go beside the stream.
    beside: VecDeque<PacketBuf>,
    /// Whether a batch of the core's is among the frames.
    batch: bool,
    /// Whether the stream holds nothing back.
    flushed: bool,
    /// Bytes written so far: to the stream, and beside it.
    written: u64,
    written_beside: u64,
    /// Since when the stream takes nothing.
    stuck_since: Option<Instant>,
}

impl Incoming {
    fn new(events: mpsc::Sender<FromPeer>) -> Self {
        Self {
            events: PollSender::new(events),
            up: None,
            frames: Batch::new(),
            bytes: 0,
            drops: DropCounters::default(),
            ended: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.up.is_none() && self.frames.is_empty()
    }

    fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }

    /// Hands over what there is. Ready if that was something.
    fn poll_hand_over(&mut self, id: PeeringId, cx: &mut Context<'_>) -> Poll<Result<(), PeerClosed>> {
        // Told while there is nothing else to tell.
        let dropped = if self.is_empty() { self.drops.iter().next() } else { None };
        if self.is_empty() && dropped.is_none() {
            return Poll::Pending;
        }
        ready!(self.events.poll_reserve(cx)).map_err(|_| PeerClosed::ByUs)?;
        let event = match (self.up.take(), dropped) {
            (Some(up), _) => PeerEvent::Up(up),
            (None, Some((reason, count))) => {
                self.drops.take(reason);
                PeerEvent::Dropped(reason, count)
            }
            (None, None) => {
                self.bytes = 0;
                PeerEvent::Frames(std::mem::take(&mut self.frames))
            }
        };
        Poll::Ready(self.events.send_item(FromPeer { id, event }).map_err(|_| PeerClosed::ByUs))
    }

    fn take(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up { key, proven, extension_version, extensions } => {
                self.up =
                    Some(PeerUp { key, proven, extensions: Extensions::announced(extension_version, extensions) });
            }
            LinkEvent::Frame(frame) => {
                self.bytes += frame.len();
                self.frames.push(frame);
            }
        }
    }
}

impl PeerTask {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PeerClosed> {
        loop {
            match self.poll_once(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(closed) => return Poll::Ready(closed),
            }
        }
    }

    /// Does whatever can be done without waiting; false if that is nothing.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, PeerClosed> {
        let now = self.clock.now();
        self.read(now, cx);
        self.read_beside(now, cx);
        let handed_over = matches!(self.incoming.poll_hand_over(self.id, cx)?, Poll::Ready(()));
        if self.incoming.is_empty()
            && let Some(closed) = self.incoming.ended.take()
        {
            return Err(closed);
        }
        let wrote = self.write(now, cx)?;
        self.tell_room(now);
        Ok(handed_over || wrote || self.timers(now, cx)?)
    }

    /// Reads until the stream has nothing more or the batch is full. Errors wait in `incoming.ended`.
    fn read(&mut self, now: Instant, cx: &mut Context<'_>) {
        while self.incoming.ended.is_none() {
            while !self.incoming.is_full()
                && let Some(event) = self.link.poll_event()
            {
                self.incoming.take(event);
            }
            if self.incoming.is_full() {
                return;
            }
            let is_proving = self.link.is_proving();
            let by_peer = || if is_proving { PeerClosed::ByPeerInProof } else { PeerClosed::ByPeer };
            let mut buffer = ReadBuf::new(self.link.read_buffer());
            let closed = match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                // TLS wants a goodbye before the end. We need none: what counts is whole frames.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Some(by_peer()),
                // A goodbye is lost if something of ours was still on the way.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset && is_proving => {
                    Some(PeerClosed::ByPeerInProof)
                }
                Poll::Ready(Err(error)) => Some(error.into()),
                Poll::Ready(Ok(())) => match buffer.filled().len() {
                    0 => Some(by_peer()),
                    len => self.link.handle_read(len, now).err().map(PeerClosed::Link),
                },
            };
            if let Some(closed) = closed {
                // Frames that came whole before the error are still good.
                while let Some(event) = self.link.poll_event() {
                    self.incoming.take(event);
                }
                self.incoming.ended = Some(closed);
            }
        }
    }

    /// Writes what waits, or takes the next batch to write. True if something was finished.
    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, PeerClosed> {
        // The link's own messages do not wait for what is beside the stream.
        if self.outgoing.is_done_on_stream()
            && let Some(frame) = self.link.poll_transmit()
        {
            self.outgoing.frames.push_back(frame);
        }
        if self.outgoing.is_done() && !self.fill(cx)? {
            return Ok(false);
        }
        let before = (self.outgoing.written, self.outgoing.written_beside);
        let poll = self.outgoing.poll_write_all(&mut self.stream, cx);
        let written = (self.outgoing.written - before.0, self.outgoing.written_beside - before.1);
        if written != (0, 0) {
            self.window.handle_written((written.0 + written.1) as usize);
            self.outgoing.stuck_since = None;
        }
        // What is beside the stream may get lost, so it does not save a keepalive.
        if written.0 != 0 {
            self.link.handle_written(now);
        }
        match poll {
            Poll::Pending => {
                let since = *self.outgoing.stuck_since.get_or_insert(now);
                if since.has_passed(self.write_timeout(), now) { Err(PeerClosed::WriteTimedOut) } else { Ok(false) }
            }
            Poll::Ready(result) => {
                result?;
                self.outgoing.stuck_since = None;
                if std::mem::take(&mut self.outgoing.batch) {
                    self.look_for_room = Some(now);
                }
                Ok(true)
            }
        }
    }

    /// After a batch: tells the core how long the next one may be, once the path has room for one.
    fn tell_room(&mut self, now: Instant) {
        if self.look_for_room.is_none_or(|at| at > now) {
            return;
        }
        let is_old = self.sampled_at.is_none_or(|at| at.has_passed(SAMPLE_INTERVAL, now));
        if self.window.wants_sample() || is_old {
            self.sampled_at = Some(now);
            let Some(sample) = self.stream.path() else { return self.send_room(BATCH_BYTES, usize::MAX) };
            self.window.handle_sample(sample, now);
        }
        match self.window.room() {
            0 => self.look_for_room = Some(self.window.look_again_at(now)),
            room => {
                let for_loss = self.stream.beside().map_or(usize::MAX, |beside| beside.frame_len());
                self.send_room(room, self.window.frame_len().min(for_loss));
            }
        }
    }

    fn send_room(&mut self, room: usize, frame_len: usize) {
        self.look_for_room = None;
        let _ = self.written.send(Written { id: self.id, room, frame_len, round_trip: self.window.round_trip() });
    }

    /// Puts the core's next frames to write into `outgoing`.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, PeerClosed> {
        match self.batches.poll_recv(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => Err(PeerClosed::ByUs),
            Poll::Ready(Some(batch)) => {
                self.outgoing.take_batch(batch, self.stream.beside().is_some());
                Ok(true)
            }
        }
    }

    /// Waits for the next deadline. True if one was due.
    fn timers(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, PeerClosed> {
        // While the core does not take what was read, the peer is not silent: we are deaf.
        let link = if self.incoming.is_empty() { self.link.poll_timeout().map(|(at, _)| at) } else { None };
        let write_timeout = self.write_timeout();
        let write = self.outgoing.stuck_since.map(|since| since + write_timeout);
        let deadlines = [link, write, self.look_for_room];
        let Some(deadline) = deadlines.into_iter().flatten().min() else { return Ok(false) };
        if self.timer.poll(deadline, now, cx).is_pending() {
            return Ok(false);
        }
        if link.is_some_and(|at| at <= deadline) {
            self.link.handle_timeout(now.max(deadline))?;
        }
        Ok(true)
    }
}

impl Outgoing {
    fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            beside: VecDeque::new(),
            batch: false,
            flushed: true,
            written: 0,
            written_beside: 0,
            stuck_since: None,
        }
    }

    fn is_done(&self) -> bool {
        self.is_done_on_stream() && self.beside.is_empty()
    }

    fn is_done_on_stream(&self) -> bool {
        self.frames.is_empty() && self.flushed
    }

    /// Writes all frames, as many at once as a vectored write takes, and flushes.
    fn poll_write(&mut self, stream: &mut Box<dyn Stream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); BATCH_FRAMES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
                count += 1;
            }
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.flushed = false;
            self.written += written as u64;
            self.advance(written);
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Forgets what is written; a frame that is written in part keeps its rest.
    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.frames.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
