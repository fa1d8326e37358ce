//! A task on a transport made by hand: a stream, and frames beside it that the test sees, loses and makes up.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::*;
use crate::buf::PacketBuf;
use crate::drops::DropCounters;
use crate::keys::{Keypair, Seed};
use crate::link::{Carrier, LinkConfig, LinkError};
use crate::shell::clock::Clock;
use crate::shell::peer_task::{Channels, FromPeer, PeerClosed, PeerEvent, PeeringId, Written, run};
use crate::shell::transport::{Beside, Connection, Ends, Remote};
use crate::wire::coords::Coords;
use crate::wire::frame::{self, HEADER_LEN, TrafficHeader};
use crate::wire::hello::{HELLO_LEN, Hello};
use crate::wire::snake::Watermark;

struct Transport {
    stream: DuplexStream,
    beside: InMemory,
}

/// Room for one frame: more waits.
struct InMemory {
    out: mpsc::Sender<Vec<u8>>,
    come: mpsc::UnboundedReceiver<Vec<u8>>,
    sending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    drops: DropCounters,
}

impl Beside for InMemory {
    fn poll_send(&mut self, frame: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (out, frame) = (self.out.clone(), frame.to_vec());
        let sending = self.sending.get_or_insert_with(|| Box::pin(async move { out.send(frame).await.unwrap() }));
        std::task::ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, _: Instant, cx: &mut Context<'_>) -> Poll<PacketBuf> {
        match self.come.poll_recv(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(PacketBuf::from(&frame[..])),
            _ => Poll::Pending,
        }
    }

    fn frame_len(&mut self) -> usize {
        2_000
    }

    fn take_drops(&mut self) -> DropCounters {
        std::mem::take(&mut self.drops)
    }
}

impl Stream for Transport {
    fn beside(&mut self) -> Option<&mut dyn Beside> {
        Some(&mut self.beside)
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A task under test, with the core's and the peer's ends of everything.
struct Bed {
    events: mpsc::Receiver<FromPeer>,
    batches: mpsc::Sender<Batch>,
    written: mpsc::UnboundedReceiver<Written>,
    far: DuplexStream,
    sent: mpsc::Receiver<Vec<u8>>,
    send: mpsc::UnboundedSender<Vec<u8>>,
    _task: tokio::task::JoinHandle<()>,
}

fn pair(n: u8) -> Keypair {
    Keypair::from_seed(&Seed([n; 32]))
}

fn hello(n: u8) -> [u8; HELLO_LEN] {
    Hello { key: pair(n).public(), extension_version: 0, extensions: 0 }.encode(&pair(n))
}

fn traffic(len: usize) -> Vec<u8> {
    let mut payload = PacketBuf::from(&vec![7; len][..]);
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: 9,
        destination: &Coords::default(),
        source: &Coords::default(),
        destination_key: &pair(1).public(),
        source_key: &pair(2).public(),
        watermark: Watermark::NONE,
    };
    frame::emit_traffic(&mut payload, &header).unwrap();
    payload.to_vec()
}

impl Bed {
    fn start() -> Self {
        let (to_core, events) = mpsc::channel(2);
        let (batches, to_task) = mpsc::channel(1);
        let (to_core_written, written) = mpsc::unbounded_channel();
        let (near, far) = tokio::io::duplex(4_096);
        let (out, sent) = mpsc::channel(1);
        let (send, come) = mpsc::unbounded_channel();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ends = Ends { remote: Remote::Ip((ip, 1).into()), local: Some(ip), carrier: Carrier::Tcp };
        let beside = InMemory { out, come, sending: None, drops: DropCounters::default() };
        let connection = Connection { stream: Box::new(Transport { stream: near, beside }), ends };
        let config = LinkConfig::plain(hello(1), pair(1).public());
        let channels = Channels { id: PeeringId(1), events: to_core, batches: to_task, written: to_core_written };
        let connect = std::future::ready(Ok(connection));
        let _task = tokio::spawn(run(connect, config, channels, Clock::of_runtime(), None));
        Self { events, batches, written, far, sent, send, _task }
    }

    async fn up() -> Self {
        let mut bed = Self::start();
        assert!(matches!(bed.event().await, PeerEvent::Connected(_)));
        bed.far.read_exact(&mut [0; HELLO_LEN]).await.unwrap();
        bed.far.write_all(&hello(2)).await.unwrap();
        assert!(matches!(bed.event().await, PeerEvent::Up(..)));
        bed
    }

    async fn event(&mut self) -> PeerEvent {
        self.events.recv().await.unwrap().event
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_goes_beside_the_stream_and_everything_else_on_it() {
    let mut bed = Bed::up().await;
    let (first, second, protocol) = (traffic(100), traffic(3_000), frame::announcement(&[1; 50]).unwrap());
    let batch = [&first[..], &protocol, &second].map(PacketBuf::from).to_vec();
    bed.batches.send(batch).await.unwrap();
    let mut on_stream = vec![0; protocol.len()];
    bed.far.read_exact(&mut on_stream).await.unwrap();
    assert_eq!(on_stream, *protocol);
    assert_eq!((bed.sent.recv().await.unwrap(), bed.sent.recv().await.unwrap()), (first, second));
    assert!(bed.written.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_stuck_does_not_hold_up_traffic_nor_the_other_way_round() {
    let mut bed = Bed::up().await;
    // More than the stream takes without a reader.
    let protocol = frame::announcement(&[1; 10_000]).unwrap();
    let batch = [&protocol[..], &traffic(1), &traffic(2)].map(PacketBuf::from).to_vec();
    bed.batches.send(batch).await.unwrap();
    assert_eq!(bed.sent.recv().await.unwrap(), traffic(1));
    assert_eq!(bed.sent.recv().await.unwrap(), traffic(2));
    assert!(bed.written.try_recv().is_err(), "the next batch waits for both");
    let mut read = vec![0; protocol.len()];
    bed.far.read_exact(&mut read).await.unwrap();
    assert!(bed.written.recv().await.is_some());
    let batch =
        [&traffic(1)[..], &traffic(2), &traffic(3), &frame::announcement(&[1; 50]).unwrap()].map(PacketBuf::from);
    bed.batches.send(batch.to_vec()).await.unwrap();
    bed.far.read_exact(&mut [0; 50]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_that_comes_beside_the_stream_counts_before_the_link_is_up() {
    let mut bed = Bed::start();
    assert!(matches!(bed.event().await, PeerEvent::Connected(_)));
    bed.send.send(traffic(10)).unwrap();
    // All that could happen has happened when only the time for the hello is left to wait for.
    assert!(matches!(bed.event().await, PeerEvent::Closed(PeerClosed::Link(LinkError::HelloTimeout))));
}

#[tokio::test(start_paused = true)]
async fn what_comes_beside_the_stream_is_handed_over_and_a_sign_of_life() {
    let mut bed = Bed::up().await;
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(SILENCE_TIMEOUT * 4 / 5).await;
        bed.send.send(traffic(10)).unwrap();
        let PeerEvent::Frames(frames) = bed.event().await else { panic!() };
        assert_eq!(frames.iter().map(|frame| frame.to_vec()).collect::<Vec<_>>(), [traffic(10)]);
    }
    assert!(matches!(bed.event().await, PeerEvent::Closed(PeerClosed::Link(LinkError::Silent))));
    assert!(start.elapsed() > SILENCE_TIMEOUT * 3);
}

#[tokio::test(start_paused = true)]
async fn only_well_formed_traffic_comes_beside_the_stream_and_the_rest_is_counted() {
    let mut bed = Bed::up().await;
    let mut longer = traffic(10);
    longer.push(0);
    for frame in
        [frame::keepalive().to_vec(), frame::announcement(&[1; 50]).unwrap().to_vec(), longer, vec![1; HEADER_LEN]]
    {
        bed.send.send(frame).unwrap();
    }
    let mut dropped = 0;
    while dropped < 4 {
        match bed.event().await {
            PeerEvent::Dropped(DropReason::MalformedFrame, count) => dropped += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(bed.event().await, PeerEvent::Closed(PeerClosed::Link(LinkError::Silent))), "no sign of life");
}

#[tokio::test(start_paused = true)]
async fn what_goes_beside_the_stream_does_not_save_a_keepalive() {
    let mut bed = Bed::up().await;
    let batches = bed.batches.clone();
    let talker = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if batches.send(vec![PacketBuf::from(&traffic(10)[..])]).await.is_err() {
                return;
            }
        }
    });
    let mut read = [0; HEADER_LEN];
    bed.far.read_exact(&mut read).await.unwrap();
    assert_eq!(read, *frame::keepalive());
    talker.abort();
}
