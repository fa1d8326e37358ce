use proptest::prelude::*;
use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::*;

const REQUEST: &str = "GET /any/path HTTP/1.1\r\nHost: node.example.org:7465\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the server makes of `request`, and its answer.
async fn ask(request: &[u8]) -> (Result<WsStream<DuplexStream>, UpgradeError>, String) {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    far.write_all(request).await.unwrap();
    let outcome = accept(near).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && far.read_buf(&mut answer).await.unwrap() > 0 {}
    (outcome, String::from_utf8(answer).unwrap())
}

/// The status of the refusal.
async fn refused(request: &str) -> (u16, String) {
    match ask(request.as_bytes()).await {
        (Err(UpgradeError::BadRequest { status, reason }), answer) => {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(answer.contains("close\r\n") && answer.ends_with(&format!("\r\n\r\n{reason}\n")), "{answer}");
            (status.as_u16(), answer)
        }
        (outcome, answer) => panic!("{outcome:?} {answer}"),
    }
}

async fn with_header(header: &str) -> (Result<WsStream<DuplexStream>, UpgradeError>, String) {
    ask(format!("{REQUEST}{header}\r\n\r\n").as_bytes()).await
}

#[tokio::test(start_paused = true)]
async fn a_request_for_any_path_is_answered_and_nothing_that_it_offers_is_taken_up() {
    let offers = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\nSec-WebSocket-Protocol: chat\r\n\
                  User-Agent: Go-http-client/1.1";
    let (outcome, answer) = with_header(offers).await;
    outcome.unwrap();
    // The key's answer is the example of RFC 6455 §1.3.
    let mut lines: Vec<&str> = answer.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 101 Switching Protocols");
    lines.sort_unstable();
    let expected = ["connection: Upgrade", "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "upgrade: websocket"];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_site_is_refused_and_one_of_this_host_is_not() {
    for origin in ["http://node.example.org:7465", "https://NODE.example.org:7465"] {
        assert!(with_header(&format!("Origin: {origin}")).await.0.is_ok(), "{origin}");
    }
    let foreign = [
        "http://evil.example.org",
        "http://node.example.org",
        "http://node.example.org:7465.evil.example.org",
        "null",
        "node.example.org:7465",
        "http://node.example.org:7465\r\nOrigin: http://evil.example.org",
    ];
    for origin in foreign {
        assert_eq!(refused(&format!("{REQUEST}Origin: {origin}\r\n\r\n")).await.0, 403, "{origin}");
    }
    let without_host = REQUEST.replace("Host: node.example.org:7465\r\n", "");
    assert_eq!(refused(&format!("{without_host}Origin: http://\r\n\r\n")).await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_without_a_websocket_is_told_what_this_is() {
    let (status, answer) = refused("GET / HTTP/1.1\r\nHost: node.example.org\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(status, 426);
    assert!(answer.contains("Upgrade: websocket\r\n") && answer.contains("Pinecone node"), "{answer}");
    assert_eq!(refused(&format!("{}\r\n", REQUEST.replace("Version: 13", "Version: 8"))).await.0, 426);
    assert_eq!(refused(&format!("{}\r\n", REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"))).await.0, 400);
    let (status, answer) = refused("POST / HTTP/1.1\r\nHost: node.example.org\r\n\r\n").await;
    assert!(status == 405 && answer.contains("Allow: GET\r\n"), "{answer}");
    assert_eq!(refused("SSH-2.0-OpenSSH_9.6\r\n").await.0, 400);
    assert_eq!(refused("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03").await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn an_endless_request_is_refused() {
    let header = format!("X-Long: {}\r\n", "a".repeat(1_000));
    assert_eq!(refused(&format!("{REQUEST}{}", header.repeat(20))).await.0, 431);
    assert_eq!(refused(&format!("{REQUEST}X-Long: {}", "a".repeat(50_000))).await.0, 431);
    assert_eq!(refused(&format!("{REQUEST}{}\r\n", "A: b\r\n".repeat(200))).await.0, 431);
    assert!(with_header(&format!("Cookie: {}", "a".repeat(7_000))).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_in_time_is_given_up() {
    for pieces in [0, 30] {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let start = Instant::now();
        let slow = async {
            for byte in REQUEST.bytes().take(pieces) {
                far.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = accept(near) => outcome,
            () = slow => unreachable!(),
        };
        assert!(matches!(outcome, Err(UpgradeError::TimedOut)), "{outcome:?}");
        let waited = start.elapsed();
        assert!(waited >= UPGRADE_TIMEOUT && waited < UPGRADE_TIMEOUT + Duration::from_millis(100), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_off_is_over_at_once() {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    far.write_all(REQUEST.as_bytes()).await.unwrap();
    drop(far);
    assert!(matches!(accept(near).await, Err(UpgradeError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn bytes_right_behind_the_request_belong_to_the_stream() {
    // A masked binary message of two bytes; the mask is zeros.
    let request = [REQUEST.as_bytes(), b"\r\n", &[0x82, 0x82, 0, 0, 0, 0, 7, 8]].concat();
    let (outcome, _) = ask(&request).await;
    let mut received = [0; 2];
    outcome.unwrap().read_exact(&mut received).await.unwrap();
    assert_eq!(received, [7, 8]);
}

/// What the client makes of `answer`, and its request.
async fn answered(answer: &[u8]) -> (UpgradeError, String) {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let host = Host::Ip("2001:db8::1".parse().unwrap());
    let server = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && far.read_buf(&mut request).await.unwrap() > 0 {}
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let (outcome, request) = tokio::join!(connect(near, &host, 80, "/a/%7Eb"), server);
    (outcome.unwrap_err(), request)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_opens_no_websocket_is_told_from_one_that_is_gone() {
    let (error, request) = answered(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n").await;
    assert!(matches!(error, UpgradeError::Refused(StatusCode::NOT_FOUND)), "{error:?}");
    assert!(request.starts_with("GET /a/%7Eb HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("origin"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("extensions"), "{request}");
    assert!(matches!(answered(b"").await.0, UpgradeError::Closed));
    assert!(matches!(answered(b"HTTP/1.1 1").await.0, UpgradeError::Closed));
    for wrong in [
        &b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let (error, _) = answered(wrong).await;
        assert!(matches!(error, UpgradeError::BadAnswer(_)), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_or_never_stops_is_given_up() {
    let (near, _far) = tokio::io::duplex(64 << 10);
    let start = Instant::now();
    let outcome = connect(near, &Host::Name("a".into()), 80, "").await;
    assert!(matches!(outcome, Err(UpgradeError::TimedOut)), "{outcome:?}");
    assert!(start.elapsed() < UPGRADE_TIMEOUT + Duration::from_millis(100));
    let endless = [&b"HTTP/1.1 101 Switching Protocols\r\nX: "[..], &[b'a'; 200_000]].concat();
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let host = Host::Name("a".into());
    let (outcome, _) = tokio::join!(connect(near, &host, 80, ""), far.write_all(&endless));
    assert!(matches!(outcome, Err(UpgradeError::BadAnswer(_))), "{outcome:?}");
}

/// Texts that look a little like HTTP.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(REQUEST.as_bytes().to_vec()),
        Just(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        "(Origin|Host|Connection|Upgrade): [ -~]{0,20}\r\n".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_either_side_panic(text in nearly_http()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(64 << 10);
            far.write_all(&text).await.unwrap();
            far.shutdown().await.unwrap();
            let _ = accept(near).await;
            let (near, mut far) = tokio::io::duplex(64 << 10);
            far.write_all(&text).await.unwrap();
            far.shutdown().await.unwrap();
            let _ = connect(near, &Host::Name("a".into()), 80, "").await;
        });
    }
}
