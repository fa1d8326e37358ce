//! The metrics server: HTTP for Prometheus, at an address or on a Unix socket.
//!
//! It asks the core for a snapshot by the same channel as the control socket, and does everything else (text, connections) in tasks of its
//! own. What clients can cost is bounded: connections, the length of headers, the time of a connection, which carries one request; and
//! snapshots, of which scrapes that come close together share one, so that nobody takes the core's time by asking often.
//!
//! HTTP is hyper's: a parser that meets strangers is no place for code of our own.

mod listen;
mod process;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

pub use listen::{MetricsListenFailed, MetricsListener};

use crate::control::{Answer, Request as ControlRequest};
use crate::metrics::{Format, Snapshot, encode};
use crate::shell::clock::Clock;
use crate::shell::control_socket::Call;
use crate::time::{Duration, Instant};

/// Most connections at a time. Scrapers come one by one.
const MAX_CONNECTIONS: usize = 16;
/// Most bytes of a request's head. A scraper's is some 300.
const MAX_HEAD_LEN: usize = 8 << 10;
/// Most header lines.
const MAX_HEADERS: usize = 64;
/// From accepting a connection to its end. Prometheus gives up after 10 s by default.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// For the head of the request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// Scrapes that are no further apart share a snapshot.
const SNAPSHOT_LIFE: Duration = Duration::from_millis(250);
/// The pause after a failed accept: out of descriptors, most likely, which no retry at full speed mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until the receiver of `calls` is gone.
pub async fn serve(listener: MetricsListener, calls: mpsc::Sender<Call>, clock: Clock) {
    let source = Arc::new(Source { calls, clock, last: Mutex::new(None) });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Those who find all places taken wait in the listener's backlog, where they cost us nothing.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = source.calls.closed() => return,
        };
        match accepted {
            Ok(stream) => {
                tokio::spawn(serve_client(stream, Arc::clone(&source), place));
            }
            Err(error) => {
                tracing::warn!("cannot accept on {listener}: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request. Errors are the client's affair: it went, was too slow, or spoke no HTTP.
async fn serve_client(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    source: Arc<Source>,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let source = Arc::clone(&source);
        async move { Ok::<_, Infallible>(respond(&request, &source).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_LEN)
        .max_headers(MAX_HEADERS);
    let served = timeout(CONNECTION_LIMIT, http.serve_connection(TokioIo::new(stream), service)).await;
    tracing::trace!(?served, "metrics connection ended");
}

async fn respond(request: &Request<Incoming>, source: &Source) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "pineconed: the metrics are at /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"),
    }
    let accepts = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accepts.collect::<Vec<_>>().join(","));
    match source.snapshot().await {
        Some(snapshot) => {
            let body = Bytes::from(encode(&snapshot, &process::look(), format));
            with_type(StatusCode::OK, format.content_type(), body)
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Where snapshots come from.
struct Source {
    calls: mpsc::Sender<Call>,
    clock: Clock,
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl Source {
    /// A snapshot that is not older than [`SNAPSHOT_LIFE`]. `None`: the daemon is stopping.
    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        // Held while the core is asked: others who come meanwhile get what it answers.
        let mut last = self.last.lock().await;
        if let Some((at, snapshot)) = &*last
            && !at.has_passed(SNAPSHOT_LIFE, self.clock.now())
        {
            return Some(Arc::clone(snapshot));
        }
        let (reply_to, reply) = oneshot::channel();
        self.calls.send((ControlRequest::Metrics, reply_to)).await.ok()?;
        let Ok(Ok(Answer::Metrics(snapshot))) = reply.await else { return None };
        let snapshot = Arc::new(*snapshot);
        *last = Some((self.clock.now(), Arc::clone(&snapshot)));
        Some(snapshot)
    }
}

#[cfg(test)]
mod tests;
