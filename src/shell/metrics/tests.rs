use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::MetricsListen;
use crate::keys::{Keypair, Seed};
use crate::node::{Node, NodeConfig};
use crate::time::UnixMillis;

/// A server whose core is a node without peers, and how often that was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<std::sync::atomic::AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        // A port that was free a moment ago: the configuration has no words for "any".
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = MetricsListener::bind(&MetricsListen::Tcp(address)).unwrap().unwrap();
        let (sender, mut calls) = mpsc::channel::<Call>(1);
        tokio::spawn(serve(listener, sender, Clock::new()));
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            let keypair = Arc::new(Keypair::from_seed(&Seed([1; 32])));
            let node = Node::new(NodeConfig::default(), keypair, [2; 32], Instant::ZERO, UnixMillis(0));
            while let Some((request, reply)) = calls.recv().await {
                assert_eq!(request, ControlRequest::Metrics);
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let node = node.measures(Instant::from_micros(1_500_000));
                let (refused, dialled_connected, dialled_waiting) = (Vec::new(), 0, 0);
                let snapshot = Snapshot { node, refused, dialled_connected, dialled_waiting };
                let _ = reply.send(Ok(Answer::Metrics(Box::new(snapshot))));
            }
        });
        Self { address, asked }
    }

    /// Sends bytes and reads until the server closes.
    async fn talk(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = Server::start().await;
    let answer = server.talk("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\npinecone_uptime_seconds 1.5\n") && !answer.contains("# EOF"), "{answer}");
    let answer =
        server.talk("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;q=0.9\r\n\r\n").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let answer = server.talk("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn whatever_else_is_asked_for_is_refused_in_words() {
    let server = Server::start().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /metrics/x HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("hello\r\n\r\n", "400"),
    ] {
        let answer = server.talk(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    assert_eq!(server.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn heads_that_are_too_long_or_have_too_many_lines_are_refused() {
    let server = Server::start().await;
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(4 * MAX_HEAD_LEN));
    assert!(!server.talk(&long).await.starts_with("HTTP/1.1 200"));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(2 * MAX_HEADERS));
    assert!(!server.talk(&many).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn clients_that_say_nothing_keep_their_places_for_seconds_only() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Waits behind all of them.
    let answer = server.talk("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn scrapes_that_come_close_together_share_a_snapshot() {
    let server = Server::start().await;
    let start = Clock::new().now();
    for _ in 0..20 {
        assert!(server.talk("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.contains("pinecone_build_info"));
    }
    let took = Clock::new().now().saturating_since(start);
    let most = 1 + took.as_millis() / SNAPSHOT_LIFE.as_millis();
    assert!(server.asked.load(std::sync::atomic::Ordering::Relaxed) as u128 <= most + 1);
}
