use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::*;
use crate::config::{Host, ListenUri, PeerUri};
use crate::shell::transport;
use crate::shell::transport::quic::Dialler;
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Underlay;

/// The crate's own end of a WebSocket, which shows messages.
type Far = WebSocketStream<DuplexStream>;

fn host() -> Host {
    Host::Name("node.example.org".into())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(31).wrapping_add((n >> 8) as u8).wrapping_add(seed)).collect()
}

/// Our client and our server.
async fn pair(buffer: usize) -> (WsStream<DuplexStream>, WsStream<DuplexStream>) {
    let ((near, far), host) = (tokio::io::duplex(buffer), host());
    let (client, server) = tokio::join!(connect(near, &host, 80, "/a"), accept(far));
    (client.unwrap(), server.unwrap())
}

/// Ours in `role`, and the other side.
async fn against(role: Role, buffer: usize) -> (WsStream<DuplexStream>, Far) {
    let ((near, far), host) = (tokio::io::duplex(buffer), host());
    match role {
        Role::Client => {
            let (ours, theirs) = tokio::join!(connect(near, &host, 80, ""), tokio_tungstenite::accept_async(far));
            (ours.unwrap(), theirs.unwrap())
        }
        Role::Server => {
            let (ours, theirs) = tokio::join!(accept(near), tokio_tungstenite::client_async("ws://a/", far));
            (ours.unwrap(), theirs.unwrap().0)
        }
    }
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin), len: usize, at_a_time: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = vec![0; at_a_time];
    while all.len() < len {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            read => all.extend_from_slice(&chunk[..read]),
        }
    }
    all
}

/// What reading gives once it fails.
async fn read_error(stream: &mut WsStream<DuplexStream>) -> String {
    stream.read_to_end(&mut Vec::new()).await.unwrap_err().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_bytes_arrive_whatever_the_writes_the_reads_and_the_buffer(
        writes in prop::collection::vec(1usize..100_000, 1..6),
        at_a_time in 1usize..80_000,
        buffer in 1usize..100_000,
        from_client: bool,
    ) {
        // With tiny buffers the bytes go one by one; then there must be few.
        let scale = if buffer < 1_000 || at_a_time < 1_000 { 100 } else { 1 };
        let writes: Vec<Vec<u8>> = writes.iter().zip(0..).map(|(len, seed)| bytes(len.div_ceil(scale), seed)).collect();
        let sent = writes.concat();
        let received = run(async {
            let (client, server) = pair(buffer).await;
            let (mut writer, mut reader) = if from_client { (client, server) } else { (server, client) };
            let write = async {
                for bytes in &writes {
                    writer.write_all(bytes).await.unwrap();
                }
                writer.flush().await.unwrap();
            };
            tokio::join!(write, read_all(&mut reader, sent.len(), at_a_time)).1
        });
        prop_assert!(received == sent);
    }

    #[test]
    fn the_same_bytes_are_read_whatever_messages_they_come_in(
        messages in prop::collection::vec((0usize..70_000, 0u8..4), 1..8),
        server: bool,
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut expected = Vec::new();
        let mut to_send = Vec::new();
        for ((len, kind), seed) in messages.into_iter().zip(0..) {
            let content = bytes(len, seed);
            match kind {
                0 => to_send.push(Message::Ping(Bytes::from(content[..len.min(125)].to_vec()))),
                1 if server => {
                    let text: String = content.iter().map(|byte| char::from(byte & 0x7f)).collect();
                    expected.extend_from_slice(text.as_bytes());
                    to_send.push(Message::text(text));
                }
                2 => {
                    let (first, rest) = content.split_at(len / 3);
                    expected.extend_from_slice(&content);
                    to_send.push(fragment(first, Data::Binary, false));
                    to_send.push(Message::Ping(Bytes::new()));
                    to_send.push(fragment(rest, Data::Continue, true));
                }
                _ => {
                    expected.extend_from_slice(&content);
                    to_send.push(Message::binary(content));
                }
            }
        }
        let received = run(async {
            let (mut ours, theirs) = against(role, 4_096).await;
            let (mut to_us, mut from_us) = theirs.split();
            let send = async {
                for message in to_send {
                    to_us.send(message).await.unwrap();
                }
                to_us.close().await.unwrap();
            };
            // Somebody has to take the answers to the pings.
            let take = async { while let Some(Ok(_)) = from_us.next().await {} };
            let read = async {
                let mut received = Vec::new();
                ours.read_to_end(&mut received).await.unwrap();
                // The other side waits for the end of the connection.
                drop(ours);
                received
            };
            tokio::join!(send, take, read).2
        });
        prop_assert!(received == expected);
    }

    #[test]
    fn no_bytes_after_the_upgrade_make_it_panic(garbage in prop::collection::vec(any::<u8>(), 0..300), server: bool) {
        run(async {
            let (near, mut far) = tokio::io::duplex(1_000);
            let role = if server { Role::Server } else { Role::Client };
            let socket = WebSocketStream::from_raw_socket(near, role, Some(config())).await;
            far.write_all(&garbage).await.unwrap();
            far.shutdown().await.unwrap();
            let _ = WsStream::new(socket, role).read_to_end(&mut Vec::new()).await;
        });
    }
}

fn fragment(content: &[u8], kind: Data, last: bool) -> Message {
    Message::Frame(Frame::message(content.to_vec(), OpCode::Data(kind), last))
}

#[tokio::test(start_paused = true)]
async fn a_batch_becomes_few_messages_and_none_is_longer_than_a_reference_node_takes() {
    for role in [Role::Client, Role::Server] {
        let (mut ours, mut theirs) = against(role, 1 << 20).await;
        let frames: Vec<Vec<u8>> = (0..64).map(|n| bytes(2_000, n)).collect();
        let slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        assert!(ours.is_write_vectored());
        assert_eq!(ours.write_vectored(&slices).await.unwrap(), 32_768);
        // A frame of the largest size takes three.
        ours.write_all(&bytes(65_535, 0)).await.unwrap();
        ours.flush().await.unwrap();
        let all = [&frames.concat()[..32_768], &bytes(65_535, 0)].concat();
        let (mut received, mut lengths) = (Vec::new(), Vec::new());
        while received.len() < all.len() {
            let message = theirs.next().await.unwrap().unwrap();
            assert!(message.is_binary());
            lengths.push(message.len());
            received.extend_from_slice(&message.into_data());
        }
        assert_eq!(lengths, [32_768, 32_768, 32_767]);
        assert!(received == all);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_queues_here_while_the_other_side_takes_nothing() {
    let (mut ours, _theirs) = against(Role::Server, 1_000).await;
    let mut accepted = 0;
    let endless = async {
        loop {
            accepted += ours.write(&[0; 100_000]).await.unwrap();
        }
    };
    tokio::time::timeout(crate::time::Duration::from_secs(60), endless).await.unwrap_err();
    assert_eq!(accepted, MAX_OUTGOING);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered() {
    for role in [Role::Client, Role::Server] {
        let (mut ours, mut theirs) = against(role, 1_000).await;
        theirs.send(Message::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
        let mut nothing = [0; 1];
        tokio::select! {
            read = ours.read(&mut nothing) => panic!("{read:?}"),
            answer = theirs.next() => assert_eq!(answer.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"are you there"))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_flood_of_pings_that_nobody_takes_are_bounded() {
    let (mut ours, theirs) = against(Role::Server, 10_000).await;
    let (mut to_us, mut from_us) = theirs.split();
    let flood = async {
        for _ in 0..10_000 {
            to_us.send(Message::Ping(Bytes::from(vec![7; 125]))).await.unwrap();
        }
        to_us.send(Message::binary(vec![1])).await.unwrap();
    };
    let (_, read) = tokio::join!(flood, ours.read_u8());
    assert_eq!(read.unwrap(), 1, "what comes behind the pings is read all the same");
    let mut pongs = 0;
    let drained = async {
        ours.write_u8(2).await.unwrap();
        ours.flush().await.unwrap();
    };
    let count = async {
        while let Some(Ok(Message::Pong(payload))) = from_us.next().await {
            pongs += payload.len();
        }
    };
    tokio::join!(drained, count);
    assert!((1_000..MAX_OUTGOING + MAX_PONGS + 20_000).contains(&pongs), "{pongs} of 1,250,000 bytes were answered");
}

#[tokio::test(start_paused = true)]
async fn messages_without_content_leave_time_to_others() {
    let (mut ours, mut theirs) = against(Role::Server, 100_000).await;
    for _ in 0..10 * MAX_EMPTY {
        theirs.feed(Message::binary(Vec::new())).await.unwrap();
    }
    theirs.send(Message::binary(vec![9])).await.unwrap();
    let mut polls = 0;
    let mut read = Box::pin(ours.read_u8());
    let byte = std::future::poll_fn(|cx| {
        polls += 1;
        read.as_mut().poll(cx)
    });
    assert_eq!(byte.await.unwrap(), 9);
    assert_eq!(polls, 11);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_ends_the_stream_and_the_other_side_learns_why() {
    for (role, in_pieces) in [(Role::Client, false), (Role::Server, false), (Role::Server, true)] {
        let (mut ours, theirs) = against(role, 1 << 20).await;
        let (mut to_us, mut from_us) = theirs.split();
        let content = bytes(MAX_INCOMING + 1, 0);
        if in_pieces {
            to_us.send(fragment(&content[..1_000], Data::Binary, false)).await.unwrap();
            to_us.send(fragment(&content[1_000..], Data::Continue, true)).await.unwrap();
        } else {
            to_us.send(Message::binary(content)).await.unwrap();
        }
        let error = read_error(&mut ours).await;
        assert!(error.contains("more than 131072 bytes"), "{error}");
        assert_eq!(code(from_us.next().await), Some(CloseCode::Size));
    }
    let (mut ours, mut theirs) = against(Role::Server, 1 << 20).await;
    theirs.send(Message::binary(bytes(MAX_INCOMING, 0))).await.unwrap();
    assert_eq!(read_all(&mut ours, MAX_INCOMING, 100_000).await, bytes(MAX_INCOMING, 0));
}

fn code(message: Option<Result<Message, Error>>) -> Option<CloseCode> {
    match message {
        Some(Ok(Message::Close(Some(frame)))) => Some(frame.code),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_message_of_a_server_is_refused() {
    let (mut ours, mut theirs) = against(Role::Client, 1_000).await;
    theirs.send(Message::text("hello")).await.unwrap();
    let error = read_error(&mut ours).await;
    assert!(error.contains("text message"), "{error}");
    assert_eq!(code(theirs.next().await), Some(CloseCode::Unsupported));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_frame_ends_the_stream() {
    let (near, mut far) = tokio::io::duplex(1_000);
    let socket = WebSocketStream::from_raw_socket(near, Role::Server, Some(config())).await;
    // Not masked, which clients must do.
    far.write_all(&[0x82, 1, 0]).await.unwrap();
    let error = read_error(&mut WsStream::new(socket, Role::Server)).await;
    assert!(error.contains("broke the WebSocket protocol"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_the_end_and_is_answered() {
    for frame in [None, Some(CloseFrame { code: CloseCode::Away, reason: "bye".into() })] {
        let (mut ours, mut theirs) = against(Role::Server, 1_000).await;
        theirs.send(Message::binary(vec![1, 2])).await.unwrap();
        theirs.send(Message::Close(frame)).await.unwrap();
        let mut received = Vec::new();
        ours.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, [1, 2]);
        assert!(matches!(theirs.next().await, Some(Ok(Message::Close(_)))));
        assert_eq!(ours.write(&[1]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test(start_paused = true)]
async fn why_the_other_side_closed_is_told_and_cannot_harm_a_log() {
    let (mut ours, mut theirs) = against(Role::Client, 1_000).await;
    let frame = CloseFrame { code: CloseCode::Size, reason: "read limited\nat 32769 bytes\x1b[2J".into() };
    theirs.send(Message::Close(Some(frame))).await.unwrap();
    let error = read_error(&mut ours).await;
    assert_eq!(error, r#"the other side closed the WebSocket with code 1009: "read limited\nat 32769 bytes\u{1b}[2J""#);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_without_a_goodbye_is_the_end() {
    let (mut ours, theirs) = against(Role::Server, 1_000).await;
    drop(theirs);
    assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_says_goodbye() {
    for role in [Role::Client, Role::Server] {
        let (mut ours, mut theirs) = against(role, 1_000).await;
        ours.write_all(&[5]).await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(theirs.next().await.unwrap().unwrap(), Message::binary(vec![5]));
        assert!(theirs.next().await.unwrap().unwrap().is_close());
    }
}

#[test]
fn a_listener_and_a_dialler_meet_over_tcp_whatever_the_path() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (tls, dialler) = (NodeTls::for_tests(1), Dialler::for_tests(1));
        let listen: ListenUri = "ws://127.0.0.1:0".parse().unwrap();
        let listener = transport::listen(&listen, &tls, &Underlay::default()).unwrap();
        let uri: PeerUri = format!("ws://127.0.0.1:{}/any/path", listener.port().unwrap()).parse().unwrap();
        let accept = async {
            let incoming = listener.accept().await.unwrap();
            assert!(incoming.uri().starts_with("ws://127.0.0.1:"), "{}", incoming.uri());
            incoming.open().await.unwrap()
        };
        let (dialled, mut accepted) = tokio::join!(transport::dial(&uri, &dialler), accept);
        let mut dialled = dialled.unwrap();
        assert_eq!([dialled.ends.carrier, accepted.ends.carrier], [crate::link::Carrier::WebSocket; 2]);
        let remote = dialled.ends.remote;
        assert!(matches!(remote, transport::Remote::Ip(remote) if Some(remote.port()) == listener.port()));
        dialled.stream.write_all(b"ping").await.unwrap();
        dialled.stream.flush().await.unwrap();
        accepted.stream.write_all(b"pong").await.unwrap();
        accepted.stream.flush().await.unwrap();
        let (there, back) = tokio::join!(read_all(&mut accepted.stream, 4, 100), read_all(&mut dialled.stream, 4, 100));
        assert_eq!((&there[..], &back[..]), (&b"ping"[..], &b"pong"[..]));
    });
}
