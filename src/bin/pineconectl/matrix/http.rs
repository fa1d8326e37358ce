//! One HTTP request over a connection that is there already: an answer of bounded size, or what went wrong.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest answer in bytes: none that we ask for has a tenth of it.
const MAX_LEN: usize = 1 << 20;

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: hyper::Method,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks over `stream`, which is then done with.
///
/// # Errors
/// No whole answer within `timeout`, or something that is not HTTP.
pub(crate) async fn ask<S>(stream: S, request: &Request<'_>, timeout: Duration) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::time::timeout(timeout, exchange(stream, request))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no whole answer in time")))
}

async fn exchange<S>(stream: S, request: &Request<'_>) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends when the answer is read, or with the runtime.
    let connection = tokio::spawn(connection);
    let mut message = hyper::Request::builder()
        .method(request.method.clone())
        .uri(request.path)
        .header(HOST, request.host)
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = request.token {
        message = message.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if request.method == hyper::Method::POST { Bytes::from_static(b"{}") } else { Bytes::new() };
    let message = message.body(Full::new(body)).map_err(io::Error::other)?;
    let answer = sender.send_request(message).await.map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_LEN).collect().await.map_err(io::Error::other)?;
    connection.abort();
    Ok(Answer { status, body: body.to_bytes().to_vec() })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn answered(answer: &'static [u8]) -> io::Result<Answer> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut asked = vec![0; 4096];
            let len = theirs.read(&mut asked).await.unwrap();
            assert!(asked[..len].starts_with(b"GET /path HTTP/1.1\r\n"));
            theirs.write_all(answer).await.unwrap();
        });
        let request = Request { method: hyper::Method::GET, host: "host", path: "/path", token: Some("t") };
        ask(ours, &request, Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn answers_may_come_in_chunks() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n \r\n0\r\n\r\n";
        let Answer { status, body } = answered(answer).await.unwrap();
        assert_eq!((status, &body[..]), (200, &b"{} "[..]));
    }

    #[tokio::test]
    async fn what_is_not_http_is_an_error() {
        assert!(answered(b"SSH-2.0-OpenSSH_9.2\r\n").await.is_err());
        assert!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}").await.is_err());
    }
}
