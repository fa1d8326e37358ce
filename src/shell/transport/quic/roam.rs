//! Following the host from network to network: the dialling side of a connection goes on from another address when its own is gone.
//!
//! The socket is bound to no address, so the kernel chooses one for each packet; what is to be done is to tell the peer at once, from a new socket and under
//! another connection ID, instead of when a lost packet is sent again (RFC 9000 §9.2, §9.5). The accepting side needs nothing: it sees packets of the
//! connection come from a new address, checks that somebody is there, and answers to it. It cannot move itself (RFC 9000 §9); if its address changes, the
//! peering is dialled anew.

use std::net::IpAddr;

use quinn::{Connection, Endpoint};
use tokio::sync::watch;

use super::socket;
use crate::config::InterfaceName;
use crate::shell::transport::is_overlay;

/// Moves the connection to a new socket whenever its packets would begin at another address than before, until it ends.
pub(super) fn follow(
    endpoint: Endpoint,
    connection: Connection,
    interface: Option<InterfaceName>,
    mut source: IpAddr,
    mut network: watch::Receiver<u64>,
) {
    // Changes from before are known: the connection came up after them.
    network.mark_unchanged();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = connection.closed() => return,
                changed = network.changed() => if changed.is_err() { return },
            }
            source = move_if_needed(&endpoint, &connection, interface.as_ref(), source);
        }
    });
}

/// Moves to a new socket if that is needed and possible. Returns where packets begin now.
fn move_if_needed(
    endpoint: &Endpoint,
    connection: &Connection,
    interface: Option<&InterfaceName>,
    before: IpAddr,
) -> IpAddr {
    let remote = connection.remote_address();
    // Without a way there is nothing to do; the next change may bring one.
    let Ok(source) = socket::source(remote, interface) else { return before };
    if source == before || is_overlay(source) {
        return before;
    }
    let moved = socket::ephemeral(remote, interface).and_then(|socket| endpoint.rebind(socket));
    match moved {
        Ok(()) => {
            tracing::info!("the peering with {remote} goes on from {source}; it was at {before}");
            source
        }
        Err(error) => {
            tracing::warn!("the peering with {remote} cannot move to {source}: {error}");
            before
        }
    }
}
