use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::keys::{Keypair, Seed};
use crate::link::{HELLO_TIMEOUT, SILENCE_TIMEOUT};
use crate::shell::transport::tls::NodeTls;
use crate::wire::frame;
use crate::wire::hello::{HELLO_LEN, Hello};

fn hello(pair: &Keypair) -> [u8; HELLO_LEN] {
    Hello { key: pair.public(), extension_version: 1, extensions: 1 }.encode(pair)
}

fn frame_of(byte: u8, len: usize) -> PacketBuf {
    frame::announcement(&vec![byte; len]).unwrap()
}

/// A task under test with the core's ends of its channels.
struct Peering {
    task: tokio::task::JoinHandle<()>,
    events: mpsc::Receiver<FromPeer>,
    batches: mpsc::Sender<Batch>,
    written: mpsc::UnboundedReceiver<Written>,
}

impl Peering {
    fn start(stream: impl Stream + 'static, pair: &Keypair) -> Self {
        let (to_core, events) = mpsc::channel(2);
        let (batches, to_task) = mpsc::channel(1);
        let (to_core_written, written) = mpsc::unbounded_channel();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ends = Ends {
            remote: crate::shell::transport::Remote::Ip((ip, 1).into()),
            local: Some(ip),
            carrier: crate::link::Carrier::Tcp,
        };
        let connection = Connection { stream: Box::new(stream), ends };
        let config = LinkConfig::plain(hello(pair), pair.public());
        let channels = Channels { id: PeeringId(7), events: to_core, batches: to_task, written: to_core_written };
        let task = tokio::spawn(run(std::future::ready(Ok(connection)), config, channels, Clock::of_runtime(), None));
        Self { task, events, batches, written }
    }

    async fn event(&mut self) -> PeerEvent {
        let FromPeer { id, event } = self.events.recv().await.unwrap();
        assert_eq!(id, PeeringId(7));
        event
    }

    /// Waits for the end.
    async fn closed(&mut self) -> PeerClosed {
        match self.event().await {
            PeerEvent::Closed(closed) => closed,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the events up to `Up`.
    async fn up(&mut self) -> PublicKey {
        assert!(matches!(self.event().await, PeerEvent::Connected(_)));
        match self.event().await {
            PeerEvent::Up(PeerUp { key, proven, extensions }) => {
                assert_eq!((proven, extensions), (false, Extensions::ROUTE_NOTICES));
                key
            }
            other => panic!("{other:?}"),
        }
    }

    async fn frames(&mut self, count: usize) -> Batch {
        let mut frames = Batch::new();
        while frames.len() < count {
            match self.event().await {
                PeerEvent::Frames(more) => {
                    assert!(more.len() <= BATCH_FRAMES);
                    frames.extend(more);
                }
                other => panic!("{other:?}"),
            }
        }
        frames
    }
}

fn pairs() -> (Keypair, Keypair) {
    (Keypair::from_seed(&Seed([1; 32])), Keypair::from_seed(&Seed([2; 32])))
}

/// A task against a test that plays the peer by hand, hellos exchanged.
async fn against_hand(buffer: usize) -> (Peering, DuplexStream) {
    let (ours, theirs) = pairs();
    let (near, mut far) = tokio::io::duplex(buffer);
    let mut peering = Peering::start(near, &ours);
    let mut read = [0; HELLO_LEN];
    let (_, wrote) = tokio::join!(far.read_exact(&mut read), async {
        assert!(matches!(peering.event().await, PeerEvent::Connected(_)));
    });
    let () = wrote;
    assert_eq!(read, hello(&ours));
    far.write_all(&hello(&theirs)).await.unwrap();
    assert!(matches!(peering.event().await, PeerEvent::Up(PeerUp { key, .. }) if key == theirs.public()));
    (peering, far)
}

#[tokio::test(start_paused = true)]
async fn frames_cross_in_order_and_whole_though_every_write_is_partial() {
    let (ours, theirs) = pairs();
    // 333 bytes at a time: frames, headers and hellos are all cut somewhere.
    let (near, far) = tokio::io::duplex(333);
    let (mut a, mut b) = (Peering::start(near, &ours), Peering::start(far, &theirs));
    let (key_b, key_a) = tokio::join!(a.up(), b.up());
    assert_eq!((key_a, key_b), (ours.public(), theirs.public()));
    let sizes = [1, 100, 5_000, 60_000, 10, 1_400];
    let batch = |first: u8| -> Batch { sizes.iter().zip(first..).map(|(len, byte)| frame_of(byte, *len)).collect() };
    a.batches.send(batch(0)).await.unwrap();
    b.batches.send(batch(100)).await.unwrap();
    let (from_a, from_b) = tokio::join!(b.frames(sizes.len()), a.frames(sizes.len()));
    for (frames, first) in [(from_a, 0), (from_b, 100)] {
        let sent = batch(first);
        assert!(frames.iter().map(|frame| &**frame).eq(sent.iter().map(|frame| &**frame)));
    }
    assert_eq!(a.written.recv().await.map(|written| written.id), Some(PeeringId(7)));
    assert_eq!(b.written.recv().await.map(|written| written.id), Some(PeeringId(7)));
}

#[tokio::test(start_paused = true)]
async fn frames_before_a_broken_one_are_delivered_and_the_reason_is_told() {
    let (mut peering, mut far) = against_hand(4_096).await;
    let mut bytes = frame_of(1, 10).to_vec();
    bytes.extend_from_slice(b"this is no frame at all");
    far.write_all(&bytes).await.unwrap();
    assert_eq!(&*peering.frames(1).await[0], &*frame_of(1, 10));
    assert!(matches!(peering.closed().await, PeerClosed::Link(LinkError::Framing(_))));
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_sent_before_closing_is_delivered() {
    let (mut peering, mut far) = against_hand(4_096).await;
    far.write_all(&frame_of(1, 10)).await.unwrap();
    drop(far);
    assert_eq!(peering.frames(1).await.len(), 1);
    assert!(matches!(peering.closed().await, PeerClosed::ByPeer));
}

#[tokio::test(start_paused = true)]
async fn an_idle_peering_sends_keepalives_and_ends_when_the_peer_is_silent() {
    let (mut peering, mut far) = against_hand(4_096).await;
    let start = tokio::time::Instant::now();
    let mut read = [0; frame::HEADER_LEN];
    far.read_exact(&mut read).await.unwrap();
    assert_eq!(read, *frame::keepalive());
    assert!(matches!(peering.closed().await, PeerClosed::Link(LinkError::Silent)));
    let waited = start.elapsed();
    assert!(waited >= SILENCE_TIMEOUT && waited < SILENCE_TIMEOUT + Duration::from_millis(100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_sending_keepalives_is_kept() {
    let (peering, mut far) = against_hand(4_096).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        far.write_all(&frame::keepalive()).await.unwrap();
    }
    assert!(!peering.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_hello_ends_in_time() {
    let (ours, _) = pairs();
    let (near, _far) = tokio::io::duplex(4_096);
    let mut peering = Peering::start(near, &ours);
    let start = tokio::time::Instant::now();
    assert!(matches!(peering.event().await, PeerEvent::Connected(_)));
    assert!(matches!(peering.closed().await, PeerClosed::Link(LinkError::HelloTimeout)));
    assert!(start.elapsed() >= HELLO_TIMEOUT && start.elapsed() < HELLO_TIMEOUT + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (mut peering, _far) = against_hand(1_000).await;
    let start = tokio::time::Instant::now();
    peering.batches.send(vec![frame_of(1, 10_000)]).await.unwrap();
    assert!(matches!(peering.closed().await, PeerClosed::WriteTimedOut));
    assert!(start.elapsed() >= WRITE_TIMEOUT && start.elapsed() < WRITE_TIMEOUT + Duration::from_millis(100));
    assert!(peering.written.try_recv().is_err(), "the batch was not written");
}

#[tokio::test(start_paused = true)]
async fn while_the_core_is_busy_the_peer_has_to_wait_and_is_not_taken_for_silent() {
    let (mut peering, far) = against_hand(1 << 20).await;
    let (_read, mut write) = tokio::io::split(far);
    let frames = 100;
    let writer = tokio::spawn(async move {
        for n in 0..frames {
            write.write_all(&frame_of(n, 60_000)).await.unwrap();
        }
        write
    });
    // Nothing is taken for much longer than the silence timeout.
    tokio::time::sleep(SILENCE_TIMEOUT * 3).await;
    assert!(!peering.task.is_finished());
    assert!(!writer.is_finished(), "100 frames of 60 kB must not fit into the task, two batches and a stream of 1 MiB");
    let received = peering.frames(usize::from(frames)).await;
    assert!(received.iter().zip(0..).all(|(frame, n)| **frame == *frame_of(n, 60_000)));
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peering_that_the_core_lets_go_ends() {
    let (mut peering, mut far) = against_hand(4_096).await;
    (peering.batches, _) = mpsc::channel(1);
    assert!(matches!(peering.closed().await, PeerClosed::ByUs));
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ends_a_tls_channel_without_a_goodbye_has_closed_the_connection() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (ours, theirs) = (NodeTls::for_tests(1), NodeTls::for_tests(2));
    let host = crate::config::Host::Name("node.example".to_owned());
    let (near, far) = tokio::join!(ours.connect(Box::new(near), &host, None), theirs.accept(Box::new(far)));
    let mut peering = Peering::start(near.unwrap().0, &pairs().0);
    assert!(matches!(peering.event().await, PeerEvent::Connected(_)));
    drop(far);
    let closed = peering.closed().await;
    assert!(matches!(closed, PeerClosed::ByPeer), "{closed}");
}
