//! Listening: one socket for all connections that come to it.
//!
//! A first packet has a source address that anybody can write on it, and places and rates are counted by source, over all transports. So each source
//! has to show first that it receives what is sent to it (RFC 9000 §8.1.2): it costs a round trip, and nobody uses up what is another's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, ServerConfig, TokioRuntime};

use super::path::Path;
use super::stream::QuicStream;
use super::{QuicError, carrier, settings, socket};
use crate::link::{Carrier, HELLO_TIMEOUT};
use crate::shell::transport::tcp::{canonical, listen_error, scoped};
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Binding;
use crate::shell::transport::{Connection, DialError, Ends, ListenError, Remote, is_overlay};

/// Accepts peers.
pub(crate) struct Listener {
    endpoint: Endpoint,
    config: Arc<ServerConfig>,
    address: SocketAddr,
}

/// A connection that begins.
pub(crate) struct Incoming {
    incoming: quinn::Incoming,
    config: Arc<ServerConfig>,
    remote: SocketAddr,
    ends: Ends,
}

/// Listens on `address`; the unspecified IPv6 address takes IPv4 too.
pub(crate) fn listen(tls: &NodeTls, address: SocketAddr, binding: Binding<'_>) -> Result<Listener, ListenError> {
    let scoped = scoped(address, binding.interface).map_err(|_| ListenError::NoInterface {
        address,
        interface: binding.interface.unwrap_or_default().to_owned(),
    })?;
    let failed = |source: io::Error| listen_error(address, source);
    let config = settings::server(tls).map_err(|error| failed(io::Error::other(error)))?;
    let udp = socket::bind(scoped, binding).map_err(|error| error.of_listening(address))?;
    let endpoint =
        Endpoint::new(settings::endpoint(), Some(config.clone()), udp, Arc::new(TokioRuntime)).map_err(failed)?;
    let address = endpoint.local_addr().map_err(failed)?;
    Ok(Listener { endpoint, config: Arc::new(config), address })
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that does not come over the overlay.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub(crate) async fn accept(&self) -> io::Result<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await.ok_or(io::ErrorKind::NotConnected)?;
            let remote = canonical(incoming.remote_address());
            let local = incoming.local_ip().map_or(self.address.ip(), |ip| ip.to_canonical());
            if is_overlay(remote.ip()) || is_overlay(local) {
                tracing::debug!(%remote, "refused a peering over the overlay itself");
                incoming.ignore();
                continue;
            }
            if !incoming.remote_address_validated() {
                // Fails only where it is not allowed, which is after another retry.
                let _ = incoming.retry();
                continue;
            }
            // Who it is shows after the handshake.
            let ends = Ends { remote: Remote::Ip(remote), local: None, carrier: Carrier::Tcp };
            return Ok(Incoming { incoming, config: Arc::clone(&self.config), remote, ends });
        }
    }
}

impl Incoming {
    /// Who is at its ends.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// Whether the source was seen to receive what is sent to it.
    #[cfg(test)]
    pub(super) fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Goes through the handshake and takes the stream that the peer opens.
    ///
    /// # Errors
    /// The other side did not do its part.
    pub(crate) async fn open(self) -> Result<Connection, DialError> {
        let Self { incoming, config, remote: address, ends } = self;
        let failed = |error: QuicError| error.with(address);
        let path = Arc::new(Path::default());
        let handshake = async {
            let config = settings::accepted(&config, &path, address);
            let connection = incoming.accept_with(Arc::new(config))?.await?;
            let carrier = carrier(&connection)?;
            let (send, receive) = connection.accept_bi().await?;
            Ok((connection, send, receive, carrier))
        };
        let opened = tokio::time::timeout(HELLO_TIMEOUT, handshake).await.unwrap_or(Err(QuicError::NoStream));
        let (connection, send, receive, carrier) = opened.map_err(failed)?;
        let stream = Box::new(QuicStream::new(connection, send, receive, path));
        Ok(Connection { stream, ends: Ends { carrier, ..ends } })
    }
}
