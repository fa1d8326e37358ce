//! Following the host from network to network: the dialling side of a connection goes on from another address when its own is gone.
//!
//! The socket is bound to no address, so the kernel chooses one for each packet; what is to be done is to tell the peer at once, from a new socket and under
//! another connection ID, instead of when a lost packet is sent again (RFC 9000 §9.2, §9.5). The accepting side needs nothing: it sees packets of the
//! connection come from a new address, checks that somebody is there, and answers to it. It cannot move itself (RFC 9000 §9); if its address changes, the
//! peering is dialled anew.

use std::net::IpAddr;
use std::sync::Arc;

use quinn::{Connection, Endpoint};
use tokio::sync::watch;

use super::socket;
use crate::config::InterfaceName;
use crate::shell::transport::is_overlay;
use crate::shell::transport::underlay::{BindingError, Underlay};

/// How a connection's packets leave this host.
pub(super) struct Way {
    /// The only interface to use.
    pub(super) interface: Option<InterfaceName>,
    /// What all sockets have in common.
    pub(super) underlay: Arc<Underlay>,
    /// Where they begin.
    pub(super) source: IpAddr,
}

/// Moves the connection to a new socket whenever its packets would begin at another address than before, until it ends.
pub(super) fn follow(endpoint: Endpoint, connection: Connection, mut way: Way, mut network: watch::Receiver<u64>) {
    // Changes from before are known: the connection came up after them.
    network.mark_unchanged();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = connection.closed() => return,
                changed = network.changed() => if changed.is_err() { return },
            }
            way.move_if_needed(&endpoint, &connection);
        }
    });
}

impl Way {
    /// Moves to a new socket if that is needed and possible.
    fn move_if_needed(&mut self, endpoint: &Endpoint, connection: &Connection) {
        let remote = connection.remote_address();
        let binding = self.underlay.binding(self.interface.as_ref().map(InterfaceName::as_str));
        // Without a way there is nothing to do; the next change may bring one.
        let Ok(source) = socket::source(remote, binding) else { return };
        let before = self.source;
        if source == before || is_overlay(source) {
            return;
        }
        let moved =
            socket::ephemeral(remote, binding).and_then(|socket| endpoint.rebind(socket).map_err(BindingError::Socket));
        match moved {
            Ok(()) => {
                tracing::info!("the peering with {remote} goes on from {source}; it was at {before}");
                self.source = source;
            }
            Err(error) => tracing::warn!("the peering with {remote} cannot move to {source}: {error}"),
        }
    }
}
