//! The listeners of the configuration: opened together, replaced together.
//!
//! Opening ([`Listening::open`]) is apart from using ([`Listening::replace`]), so that a reload that cannot open one of them changes none.

use std::net::Ipv6Addr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::config::{ListenUri, Scheme};
use crate::link::PasswordKey;
use crate::node::PeerPolicy;
use crate::shell::core_loop::Accepted;
use crate::shell::peerings::password_key;
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Underlay;
use crate::shell::transport::{self, ListenError, Listener};
use crate::time::Duration;

/// The pause after a failed accept: out of descriptors, most likely, which no retry at full speed mends.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// All listeners that take connections. They end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    uri: ListenUri,
    accepting: Accepting,
}

/// A listener whose connections go to the core. Dropped, it takes no more; connections that it took stay.
#[derive(Debug)]
pub(crate) struct Accepting(AbortHandle, Arc<Listener>);

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{uri}: {error}")]
pub(crate) struct NotOpened {
    pub(crate) uri: String,
    pub(crate) error: ListenError,
}

/// Listeners that are open and not used.
pub(crate) struct Opened(Vec<(ListenUri, Listener)>);

impl Listening {
    /// Opens those of `wanted` that are not open here. Must be called within the runtime.
    pub(crate) fn open(
        &self,
        wanted: &[ListenUri],
        tls: &Arc<NodeTls>,
        underlay: &Underlay,
    ) -> Result<Opened, NotOpened> {
        let mut opened = Vec::new();
        for uri in wanted.iter().filter(|uri| !self.open.iter().any(|open| same_socket(&open.uri, uri))) {
            let listener =
                transport::listen(uri, tls, underlay).map_err(|error| NotOpened { uri: uri.to_string(), error })?;
            opened.push((uri.clone(), listener));
        }
        Ok(Opened(opened))
    }

    /// Listens on these and on those of `wanted` that are open, and on nothing else.
    pub(crate) fn replace(&mut self, wanted: &[ListenUri], Opened(opened): Opened, to: &mpsc::Sender<Accepted>) {
        let stay = std::mem::take(&mut self.open);
        for Open { uri, accepting } in stay {
            match wanted.iter().find(|wanted| same_socket(wanted, &uri)) {
                None => tracing::info!("no longer listening on {}", accepting.1.uri()),
                Some(same) if *same == uri => self.open.push(Open { uri, accepting }),
                // The same socket, and something else is wanted of those who come to it.
                Some(other) => {
                    let accepting = accepting.again(terms(other), to);
                    self.open.push(Open { uri: other.clone(), accepting });
                }
            }
        }
        for (uri, listener) in opened {
            tracing::info!("listening on {}", listener.uri());
            let accepting = start(Arc::new(listener), false, terms(&uri), to);
            self.open.push(Open { uri, accepting });
        }
    }
}

/// Whether both need the same socket.
fn same_socket(one: &ListenUri, other: &ListenUri) -> bool {
    let ListenUri { scheme, address, interface, password: _, policy: _ } = one;
    (scheme, address, interface) == (&other.scheme, &other.address, &other.interface)
}

/// Listens for neighbours, on a port of the system's choice that our beacons announce. `None` if that is impossible: a node with configured
/// peers can do without.
pub(crate) fn for_neighbours(
    tls: &Arc<NodeTls>,
    underlay: &Underlay,
    to: &mpsc::Sender<Accepted>,
) -> Option<Accepting> {
    let anywhere = ListenUri {
        scheme: Scheme::Tcp,
        address: (Ipv6Addr::UNSPECIFIED, 0).into(),
        password: None,
        interface: None,
        policy: PeerPolicy::default(),
    };
    match transport::listen(&anywhere, tls, underlay) {
        Ok(listener) => Some(start(Arc::new(listener), true, Terms::default(), to)),
        Err(error) => {
            tracing::warn!("no LAN discovery: {error}");
            None
        }
    }
}

/// What who connects has to know, and what is wanted of the peering.
type Terms = (PasswordKey, PeerPolicy);

fn terms(uri: &ListenUri) -> Terms {
    (password_key(uri.password.as_ref()), uri.policy)
}

/// Hands all connections of a listener to the core, for as long as it takes them.
fn start(listener: Arc<Listener>, lan: bool, terms: Terms, to: &mpsc::Sender<Accepted>) -> Accepting {
    let task = tokio::spawn(accept_all(Arc::clone(&listener), lan, terms, to.clone()));
    Accepting(task.abort_handle(), listener)
}

async fn accept_all(listener: Arc<Listener>, lan: bool, (password, policy): Terms, accepted: mpsc::Sender<Accepted>) {
    loop {
        match listener.accept().await {
            Ok(incoming) => {
                if accepted.send(Accepted { incoming, lan, password: password.clone(), policy }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!("cannot accept peers on {}: {error}", listener.uri());
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Accepting {
    /// The same listener, on other terms.
    fn again(self, terms: Terms, to: &mpsc::Sender<Accepted>) -> Self {
        start(Arc::clone(&self.1), false, terms, to)
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> Option<u16> {
        self.1.port()
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
