//! Peers through a proxy: a TCP connection to it, on which [`Handshake`] asks for the rest.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::DialError;
use super::tcp;
use super::underlay::Binding;
use crate::config::{Host, NetEndpoint, ProxyUri};
use crate::proxy::{Handshake, ProxyError};
use crate::time::Duration;

/// How long the proxy may take to connect us, after it was reached itself. Tor makes a circuit first, and to an onion service two.
const PROXY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the proxy's that are looked at at a time: more than common answers have.
const CHUNK: usize = 512;
/// The names that only Tor resolves, and that no other name service is to be asked for (RFC 7686 §2).
const ONION: &str = "onion";

/// Why there is no connection through a proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyDialError {
    /// It was not reached. Says what, in the words for any peer.
    #[error("{0}")]
    Unreached(Box<DialError>),
    /// It said why not.
    #[error(transparent)]
    Refused(#[from] ProxyError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The connection was closed.
    #[error("it closed the connection without an answer")]
    Closed,
    /// Nothing came, or not all of it.
    #[error("it did not connect us within {} s", PROXY_TIMEOUT.as_secs())]
    TimedOut,
}

/// Connects to `peer` through `proxy`. The name is the proxy's to resolve.
pub(super) async fn dial(
    proxy: &ProxyUri,
    peer: &NetEndpoint,
    binding: Binding<'_>,
) -> Result<tcp::Connected, DialError> {
    let failed = |source| DialError::Proxy { proxy: proxy.to_string(), source };
    let at = NetEndpoint { host: proxy.host.clone(), port: proxy.port, path: String::new() };
    let reached = tcp::dial(&at, binding).await;
    let mut connected = reached.map_err(|error| failed(ProxyDialError::Unreached(Box::new(error))))?;
    let asked = ask(&mut connected.stream, Handshake::new(proxy, &peer.host, peer.port));
    let answer = tokio::time::timeout(PROXY_TIMEOUT, asked).await;
    answer.unwrap_or(Err(ProxyDialError::TimedOut)).map_err(failed)?;
    Ok(connected)
}

/// Talks to the proxy until the connection is there. Reads nothing behind that.
async fn ask(stream: &mut TcpStream, mut handshake: Handshake) -> Result<(), ProxyDialError> {
    let mut chunk = [0; CHUNK];
    loop {
        while let Some(bytes) = handshake.poll_transmit() {
            let bytes = zeroize::Zeroizing::new(bytes);
            stream.write_all(&bytes).await?;
        }
        if handshake.is_open() {
            return Ok(());
        }
        // What the peer says first may come with the proxy's last words, and is not ours to take.
        let len = stream.peek(&mut chunk).await?;
        if len == 0 {
            return Err(ProxyDialError::Closed);
        }
        let consumed = handshake.handle_read(&chunk[..len])?;
        stream.read_exact(&mut chunk[..consumed]).await?;
    }
}

/// Whether the name can only be reached through a proxy.
pub(super) fn needs_proxy(host: &Host) -> bool {
    matches!(host, Host::Name(name) if name.rsplit('.').next() == Some(ONION))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn peer(name: &str) -> NetEndpoint {
        NetEndpoint { host: Host::Name(name.to_owned()), port: 7463, path: String::new() }
    }

    /// Dials through a proxy that says `answer` to whatever it is sent first, and returns what it was sent.
    async fn dial_through(kind: &str, answer: &'static [u8]) -> (Result<tcp::Connected, DialError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("{kind}://joshua:hunter2@{}", listener.local_addr().unwrap());
        let proxy = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut heard = vec![0; 1000];
            let len = stream.read(&mut heard).await.unwrap();
            heard.truncate(len);
            stream.write_all(answer).await.unwrap();
            heard
        };
        let (uri, to) = (uri.parse().unwrap(), peer("node.onion"));
        let (dialled, heard) = tokio::join!(dial(&uri, &to, Binding::default()), proxy);
        (dialled, heard)
    }

    #[tokio::test]
    async fn what_the_peer_says_behind_the_proxy_s_answer_is_left_for_the_peering() {
        let (dialled, heard) = dial_through("http", b"HTTP/1.1 200 OK\r\n\r\npine").await;
        assert!(heard.starts_with(b"CONNECT node.onion:7463 HTTP/1.1\r\n"));
        let mut read = [0; 4];
        dialled.unwrap().stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"pine");
    }

    #[tokio::test]
    async fn errors_name_the_proxy_and_what_it_said_and_no_login() {
        for (kind, answer, expected) in [
            ("socks5", &b"\x05\xff"[..], "a way to log in"),
            ("socks5", b"HTTP/1.1 400 Bad", "write proxy=http://"),
            ("http", b"HTTP/1.1 407 No\r\n\r\n", "refused our user name"),
            ("http", b"HTTP/1.1 502 No\r\n\r\n", "cannot connect to node.onion:7463"),
            ("http", b"", "closed the connection without an answer"),
        ] {
            let error = dial_through(kind, answer).await.0.err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("***@127.0.0.1:"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("joshua"), "{error}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let uri = format!("socks5://{nobody}").parse().unwrap();
        let error = dial(&uri, &peer("a.onion"), Binding::default()).await.err().unwrap().to_string();
        assert!(
            error.contains("the proxy socks5://127.0.0.1:") && error.contains("cannot connect to 127.0.0.1:"),
            "{error}"
        );
    }
}
