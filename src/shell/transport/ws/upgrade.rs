//! The HTTP with which a WebSocket begins (RFC 6455 §4), from both sides.
//!
//! Accepting is done here and not by the crate, for the sake of bounds of our own and of an answer for those who come without a WebSocket:
//! browsers, probes, proxies that are set up wrongly.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{WsStream, config};
use crate::config::Host;
use crate::link::HELLO_TIMEOUT;
use crate::time::Duration;

/// How long the upgrade may take: as long as the hello that follows.
const UPGRADE_TIMEOUT: Duration = HELLO_TIMEOUT;
/// Longest request in bytes, with its headers: what common servers take, and proxies therefore send at most.
const MAX_REQUEST: usize = 8 << 10;
/// Bytes of a request that are read at a time: nodes need some 200, browsers some 500.
const CHUNK: usize = 1 << 10;

/// Why no WebSocket came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// The server does not want one.
    #[error("the server answered {0} instead of opening a WebSocket; check host, port and path")]
    Refused(StatusCode),
    /// The server's answer is not that of a WebSocket server.
    #[error("the server did not answer as WebSocket servers do: {0}")]
    BadAnswer(Error),
    /// The client's request is none for a WebSocket, or not one for us; it was told so.
    #[error("refused its HTTP request with {status}: {reason}")]
    BadRequest {
        /// What it was told.
        status: StatusCode,
        /// What is wrong.
        reason: &'static str,
    },
    /// The connection broke.
    #[error("the connection broke while the WebSocket was opened: {0}")]
    Io(#[from] io::Error),
    /// The connection was closed.
    #[error("the other side closed the connection while the WebSocket was opened")]
    Closed,
    /// Nothing came, or not all of it.
    #[error("the other side did not open a WebSocket within {} s", UPGRADE_TIMEOUT.as_secs())]
    TimedOut,
}

/// Opens a WebSocket as the client: no subprotocol, no extensions.
pub(crate) async fn connect<S>(stream: S, host: &Host, port: u16, path: &str) -> Result<WsStream<S>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let uri = format!("ws://{host}:{port}{path}");
    let upgrade = tokio_tungstenite::client_async_with_config(uri, stream, Some(config()));
    match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok((socket, _))) => Ok(WsStream::new(socket, Role::Client)),
        Ok(Err(Error::Http(answer))) => Err(UpgradeError::Refused(answer.status())),
        Ok(Err(Error::Io(error))) => Err(error.into()),
        Ok(Err(Error::Protocol(ProtocolError::HandshakeIncomplete))) => Err(UpgradeError::Closed),
        Ok(Err(error)) => Err(UpgradeError::BadAnswer(error)),
        Err(_) => Err(UpgradeError::TimedOut),
    }
}

/// Opens a WebSocket as the server: for any path, without subprotocol and extensions.
pub(crate) async fn accept<S>(mut stream: S) -> Result<WsStream<S>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let upgrade = async {
        let (answer, rest) = match read_request(&mut stream).await? {
            Ok((request, rest)) => (answer(&request), rest),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        match answer {
            Ok(answer) => {
                stream.write_all(&answer).await?;
                stream.flush().await?;
                Ok(rest)
            }
            Err(refusal) => {
                stream.write_all(refusal.text().as_bytes()).await?;
                stream.shutdown().await?;
                Err(UpgradeError::BadRequest { status: refusal.0, reason: refusal.1 })
            }
        }
    };
    let rest = tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await.map_err(|_| UpgradeError::TimedOut)??;
    let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config())).await;
    Ok(WsStream::new(socket, Role::Server))
}

/// A status to refuse a request with, and why.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

/// Reads one request. Also returns what was read behind it.
async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Result<(Request, Vec<u8>), Refusal>, UpgradeError> {
    let mut received = Vec::with_capacity(CHUNK);
    loop {
        let mut chunk = [0; CHUNK];
        let len = stream.read(&mut chunk).await?;
        if len == 0 {
            return Err(UpgradeError::Closed);
        }
        received.extend_from_slice(&chunk[..len]);
        match Request::try_parse(&received) {
            Ok(Some((len, request))) => return Ok(Ok((request, received.split_off(len)))),
            Ok(None) if received.len() < MAX_REQUEST => {}
            Ok(None) | Err(Error::Capacity(CapacityError::TooManyHeaders)) => {
                return Ok(Err(Refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")));
            }
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return Ok(Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "the method is not GET")));
            }
            Err(_) => return Ok(Err(Refusal(StatusCode::BAD_REQUEST, "this is not HTTP/1.1"))),
        }
    }
}

/// The answer that opens the WebSocket.
fn answer(request: &Request) -> Result<Vec<u8>, Refusal> {
    let response = create_response(request).map_err(|error| match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => Refusal(StatusCode::UPGRADE_REQUIRED, "this is a Pinecone node, which speaks WebSocket (version 13) here"),
        _ => Refusal(StatusCode::BAD_REQUEST, "the WebSocket request is not complete"),
    })?;
    if !has_own_origin(request.headers()) {
        return Err(Refusal(StatusCode::FORBIDDEN, "the Origin is not this host"));
    }
    let mut answer = Vec::new();
    let internal = |_| Refusal(StatusCode::INTERNAL_SERVER_ERROR, "no answer could be made");
    write_response(&mut answer, &response).map_err(internal)?;
    Ok(answer)
}

/// Whether the request may come from a page of ours, or from no page at all. Browsers let pages of any site open WebSockets to any host
/// and leave it to the server to look at the page's origin (RFC 6455 §10.2).
fn has_own_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        matches!((origin, host), (Some((_, of)), Some(host)) if of.as_bytes().eq_ignore_ascii_case(host))
    })
}

impl Refusal {
    fn text(&self) -> String {
        let Self(status, reason) = self;
        let upgrade = match *status {
            StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            StatusCode::METHOD_NOT_ALLOWED => "Allow: GET\r\n",
            _ => "",
        };
        let connection = if *status == StatusCode::UPGRADE_REQUIRED { "Upgrade, close" } else { "close" };
        let length = reason.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nConnection: {connection}\r\n{upgrade}Content-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n{reason}\n"
        )
    }
}

#[cfg(test)]
mod tests;
