//! Connections over loopback, in real time: QUIC has timers and sockets of its own.

use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::config::{Host, ListenUri, NetEndpoint, PeerUri};
use crate::keys::{Keypair, PublicKey, Seed};
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Underlay;
use crate::shell::transport::{self, Connection, Stream};
use crate::time::{Duration, Instant};

/// Longer than anything here takes on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(30);

fn key(n: u8) -> PublicKey {
    Keypair::from_seed(&Seed([n; 32])).public()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await.expect("it hangs") })
}

fn listener(n: u8, at: &str) -> transport::Listener {
    transport::listen(&at.parse::<ListenUri>().unwrap(), &NodeTls::for_tests(n), &Underlay::default()).unwrap()
}

/// Node 1 dials node 2, with options in the URI. The network changes when the sender says so.
async fn dial_with(port: u16, options: &str, network: &watch::Sender<u64>) -> Result<Connection, DialError> {
    let uri: PeerUri = format!("quic://127.0.0.1:{port}{options}").parse().unwrap();
    let dialler = Dialler { tls: NodeTls::for_tests(1), underlay: Arc::default(), network: network.subscribe() };
    transport::dial(&uri, &dialler).await
}

/// A connection of node 1 to node 2, in which each has said one byte on the stream.
async fn pair(network: &watch::Sender<u64>) -> (Connection, Connection) {
    let listener = listener(2, "quic://127.0.0.1:0");
    let port = listener.port().unwrap();
    let dial = async {
        let mut dialled = dial_with(port, "", network).await.unwrap();
        dialled.stream.write_all(b"1").await.unwrap();
        dialled
    };
    let accept = async {
        let incoming = listener.accept().await.unwrap();
        assert!(incoming.uri().starts_with("quic://127.0.0.1:"));
        let mut accepted = incoming.open().await.unwrap();
        accepted.stream.write_all(b"2").await.unwrap();
        accepted
    };
    let (mut dialled, mut accepted) = tokio::join!(dial, accept);
    let mut read = [0];
    dialled.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"2");
    accepted.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"1");
    (dialled, accepted)
}

async fn send(stream: &mut Box<dyn Stream>, frame: &[u8]) {
    std::future::poll_fn(|cx| stream.beside().unwrap().poll_send(frame, cx)).await.unwrap();
}

async fn receive(stream: &mut Box<dyn Stream>) -> Vec<u8> {
    std::future::poll_fn(|cx| stream.beside().unwrap().poll_recv(Instant::ZERO, cx)).await.to_vec()
}

fn frame(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(7).wrapping_add(seed)).collect()
}

#[test]
fn both_sides_know_each_other_s_key_and_agree_on_the_channel() {
    run(async {
        let (dialled, accepted) = pair(&watch::Sender::new(0)).await;
        let (Carrier::Channel { key: of_2, binding: a }, Carrier::Channel { key: of_1, binding: b }) =
            (dialled.ends.carrier, accepted.ends.carrier)
        else {
            panic!("not proven");
        };
        assert_eq!((of_1, of_2), (key(1), key(2)));
        assert_eq!(a, b);
        let (other, _) = pair(&watch::Sender::new(0)).await;
        assert_ne!(other.ends.carrier, dialled.ends.carrier, "the same nodes on another connection");
    });
}

#[test]
fn a_peer_with_another_key_than_the_pinned_one_is_refused() {
    run(async {
        let listener = listener(2, "quic://127.0.0.1:0");
        let port = listener.port().unwrap();
        let options = format!("?key={}", key(3));
        let network = watch::Sender::new(0);
        let accept = async {
            let incoming = listener.accept().await.unwrap();
            incoming.open().await.err().unwrap()
        };
        let (dialled, accepted) = tokio::join!(dial_with(port, &options, &network), accept);
        let error = dialled.err().unwrap();
        let DialError::Quic { source: QuicError::WrongKey { expected }, .. } = error else { panic!("{error}") };
        assert_eq!(expected, key(3));
        assert!(matches!(accepted, DialError::Quic { .. }), "{accepted}");
    });
}

#[test]
fn frames_of_every_length_arrive_whole_beside_the_stream() {
    run(async {
        let (mut dialled, mut accepted) = pair(&watch::Sender::new(0)).await;
        let lens = [1, 10, 1_000, 1_199, 1_200, 1_500, 5_000, 65_535, 20];
        let sent: Vec<_> = lens.iter().zip(0..).map(|(len, n)| frame(*len, n)).collect();
        let mut came = Vec::new();
        let all = async {
            for frame in &sent {
                send(&mut dialled.stream, frame).await;
            }
        };
        let take = async {
            while came.len() < sent.len() {
                came.push(receive(&mut accepted.stream).await);
            }
        };
        tokio::join!(all, take);
        assert_eq!(came, sent);
    });
}

#[test]
fn more_than_the_connection_takes_at_once_waits_and_is_not_dropped() {
    run(async {
        let (mut dialled, mut accepted) = pair(&watch::Sender::new(0)).await;
        const FRAMES: usize = 100;
        let sent = frame(60_000, 1);
        let mut stuck = 0;
        let send = async {
            for _ in 0..FRAMES {
                std::future::poll_fn(|cx| {
                    let poll = dialled.stream.beside().unwrap().poll_send(&sent, cx);
                    stuck += usize::from(poll.is_pending());
                    poll
                })
                .await
                .unwrap();
            }
        };
        let take = async {
            for _ in 0..FRAMES {
                assert_eq!(receive(&mut accepted.stream).await, sent);
            }
        };
        tokio::join!(send, take);
        assert!(stuck > 0, "six million bytes went into a short queue at once");
        assert_eq!(accepted.stream.beside().unwrap().take_drops().iter().count(), 0);
    });
}

#[test]
fn the_stream_is_not_starved_by_datagrams() {
    run(async {
        let (mut dialled, mut accepted) = pair(&watch::Sender::new(0)).await;
        let bulk = frame(60_000, 1);
        let mut before = 0;
        let both = async {
            for n in 0..200 {
                if n == 50 {
                    dialled.stream.write_all(b"protocol").await.unwrap();
                }
                send(&mut dialled.stream, &bulk).await;
            }
        };
        let take = async {
            let mut read = [0; 8];
            let (mut protocol, mut bulk) = (0, 0);
            while bulk < 200 {
                std::future::poll_fn(|cx| {
                    let mut buffer = tokio::io::ReadBuf::new(&mut read);
                    if protocol < 8 && std::pin::Pin::new(&mut accepted.stream).poll_read(cx, &mut buffer).is_ready() {
                        protocol += buffer.filled().len();
                        before = bulk;
                        return Poll::Ready(());
                    }
                    accepted.stream.beside().unwrap().poll_recv(Instant::ZERO, cx).map(|_| bulk += 1)
                })
                .await;
            }
            assert_eq!(protocol, 8);
        };
        tokio::join!(both, take);
        // What waited in QUIC goes before it, and what the receiver had not taken.
        assert!(before < 80, "{before} frames of bulk before the protocol frame that was written after 50");
    });
}

#[test]
fn the_path_is_measured() {
    run(async {
        let (mut dialled, mut accepted) = pair(&watch::Sender::new(0)).await;
        let before = dialled.stream.path().unwrap();
        send(&mut dialled.stream, &frame(50_000, 1)).await;
        receive(&mut accepted.stream).await;
        // What comes back acknowledges all before it, some time.
        while dialled.stream.path().unwrap().acked < before.acked + 50_000 {
            send(&mut accepted.stream, &frame(100, 1)).await;
            receive(&mut dialled.stream).await;
        }
        let after = dialled.stream.path().unwrap();
        assert!(after.outstanding < 20_000 && !after.round_trip.is_zero(), "{after:?}");
    });
}

#[test]
fn the_end_of_a_connection_is_told_at_once() {
    run(async {
        let (dialled, mut accepted) = pair(&watch::Sender::new(0)).await;
        drop(dialled);
        let mut read = [0];
        let ended = accepted.stream.read(&mut read).await;
        assert!(ended.is_err() || ended.is_ok_and(|len| len == 0));
    });
}

#[test]
fn every_source_has_to_show_itself_before_it_gets_a_place() {
    run(async {
        let listener = listener(2, "quic://127.0.0.1:0");
        let port = listener.port().unwrap();
        let network = watch::Sender::new(0);
        let mut dialling = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let network = network.clone();
            dialling.spawn(async move { dial_with(port, "", &network).await });
        }
        // All of them come through, at the second try.
        let mut waiting = Vec::new();
        while waiting.len() < 20 {
            waiting.push(listener.accept().await.unwrap());
        }
        let validated = |incoming: &transport::Incoming| matches!(incoming, transport::Incoming::Quic(incoming) if incoming.is_validated());
        assert!(waiting.iter().all(validated));
        let mut accepting: tokio::task::JoinSet<_> = waiting.into_iter().map(transport::Incoming::open).collect();
        while let Some(dialled) = dialling.join_next().await {
            let mut dialled = dialled.unwrap().unwrap();
            dialled.stream.write_all(b"1").await.unwrap();
            assert!(accepting.join_next().await.unwrap().unwrap().is_ok());
        }
    });
}

#[test]
fn where_there_is_a_proxy_for_all_peers_nothing_is_dialled_past_it() {
    run(async {
        let listener = listener(2, "quic://127.0.0.1:0");
        let underlay = Underlay { proxy: Some("socks5://me:hunter2@127.0.0.1:9".parse().unwrap()), mark: None };
        let dialler = Dialler { underlay: Arc::new(underlay), ..Dialler::for_tests(1) };
        let uri: PeerUri = format!("quic://127.0.0.1:{}", listener.port().unwrap()).parse().unwrap();
        let error = transport::dial(&uri, &dialler).await.err().unwrap();
        assert!(matches!(error, DialError::NoProxyForQuic(_)), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    });
}

#[test]
fn the_overlay_is_never_dialled() {
    run(async {
        let dialler = Dialler::for_tests(1);
        let host = Host::Ip("612:3456::1".parse().unwrap());
        let at = NetEndpoint { host, port: 7463, path: String::new() };
        let result = dial(&dialler, &at, None, None).await;
        assert!(matches!(result, Err(DialError::Overlay(_))));
    });
}
