//! Dialling: a socket of its own for each connection, so that each can go its own way when the network changes.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, TokioRuntime};
use tokio::sync::watch;

use super::path::Path;
use super::stream::QuicStream;
use super::{QuicError, carrier, roam, settings, socket};
use crate::config::{InterfaceName, NetEndpoint};
use crate::keys::PublicKey;
use crate::shell::transport::tcp::{DIAL_TIMEOUT, race, resolve, scoped};
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::{BindingError, Underlay};
use crate::shell::transport::{Connection, DialError, Ends, Remote, is_overlay};

/// The server name that TLS wants to be told. Nobody looks at it: the key is what counts.
const SERVER_NAME: &str = "node.pinecone.internal";

/// What a dialled connection needs beside its address.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// Our certificate.
    pub(crate) tls: Arc<NodeTls>,
    /// What its socket has in common with all others.
    pub(crate) underlay: Arc<Underlay>,
    /// Changes when the network does.
    pub(crate) network: watch::Receiver<u64>,
}

#[cfg(test)]
impl Dialler {
    /// That of a node with this seed, in a network that does not change.
    pub(crate) fn for_tests(seed: u8) -> Self {
        Self { tls: NodeTls::for_tests(seed), underlay: Arc::default(), network: watch::channel(0).1 }
    }
}

/// Connects to a host: all its addresses, each a little later than the one before, the first to answer wins.
pub(crate) async fn dial(
    dialler: &Dialler,
    at: &NetEndpoint,
    interface: Option<&InterfaceName>,
    pin: Option<PublicKey>,
) -> Result<Connection, DialError> {
    let attempt = async {
        let addresses = resolve(&at.host, at.port).await?;
        race(addresses, |address| connect(dialler, address, interface, pin)).await
    };
    tokio::time::timeout(DIAL_TIMEOUT, attempt).await.unwrap_or(Err(DialError::TimedOut(DIAL_TIMEOUT)))
}

async fn connect(
    dialler: &Dialler,
    address: SocketAddr,
    interface: Option<&InterfaceName>,
    pin: Option<PublicKey>,
) -> Result<Connection, DialError> {
    if is_overlay(address.ip().to_canonical()) {
        return Err(DialError::Overlay(address.ip()));
    }
    let address = scoped(address, interface.map(InterfaceName::as_str))?;
    let binding = dialler.underlay.binding(interface.map(InterfaceName::as_str));
    let unbound = |error: BindingError| error.of_dialling(address);
    let refused = |source| DialError::Connect { address, source };
    // Whatever comes of the way there later: it may not begin in the overlay.
    let source = socket::source(address, binding).map_err(unbound)?;
    if is_overlay(source) {
        return Err(DialError::Overlay(source));
    }
    let udp = socket::ephemeral(address, binding).map_err(unbound)?;
    let endpoint = Endpoint::new(settings::endpoint(), None, udp, Arc::new(TokioRuntime)).map_err(refused)?;
    let failed = |error: QuicError| error.with(address);
    let path = Arc::new(Path::default());
    let config = settings::client(&dialler.tls, pin, &path, address).map_err(|error| failed(error.into()))?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| failed(error.into()))?;
    let connection = connecting.await.map_err(|error| failed(QuicError::of_dialling(error, pin)))?;
    let carrier = carrier(&connection).map_err(failed)?;
    let (send, receive) = connection.open_bi().await.map_err(|error| failed(error.into()))?;
    let way = roam::Way { interface: interface.cloned(), underlay: Arc::clone(&dialler.underlay), source };
    roam::follow(endpoint, connection.clone(), way, dialler.network.clone());
    // No address of ours that the connection would be lost with.
    let ends = Ends { remote: Remote::Ip(address), local: None, carrier };
    Ok(Connection { stream: Box::new(QuicStream::new(connection, send, receive, path)), ends })
}
