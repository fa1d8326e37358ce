//! Source routes, an extension: frames that say themselves which peerings they take.
//!
//! The router only follows what a frame says, one look-up in the array of peerings for each hop, and knows no routes. Which ones are used is
//! [`node::routes`](crate::node)'s affair, and what they look like is in [`wire::route`](crate::wire::route).
//!
//! - `forward`: frames with a route around them;
//! - `request`: path requests and traces, which write down the path that they take.
//!
//! A peering is named by its port and its epoch: the number of the peering among all that this node ever had. The count goes on from the wall
//! clock's milliseconds, so that a node that restarts does not use the numbers of its former life again, and is another one for each key, so that a
//! node knows its own peerings in a list from those of others.

mod forward;
mod request;

pub use forward::RoutedVerdict;
pub use request::{PathVerdict, TraceStep};

use super::forward::HOP_LIMIT;
use super::peers::Peer;
use super::{Port, Router};
use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::wire::FrameOverflow;
use crate::wire::coords::Coords;
use crate::wire::extensions::Extensions;
use crate::wire::frame::{self, TrafficHeader};
use crate::wire::route::Hop;
use crate::wire::snake::Watermark;

/// Path requests and traces of one peering, each second, and saved up. A trace of 64 hops begins with 64.
pub(super) const REQUESTS_OF_PEER: (u32, u32) = (200, 400);
/// The same of all peerings together: at a few microseconds each, a hundredth of a core.
pub(super) const REQUESTS_OF_ALL: (u32, u32) = (2_000, 4_000);

/// The epoch of a peering that no route can lead through.
pub(super) const NO_EPOCH: u32 = 0;

/// Where a node begins to count.
pub(super) fn first_epoch(sequence: u64, own: &PublicKey) -> u32 {
    let of_key = own.0.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    of_key.wrapping_add(sequence as u32)
}

impl Router {
    /// The name of a peering in routes; `None` if its peer does not understand them, or there is no such peering.
    pub fn hop(&self, port: Port) -> Option<Hop> {
        let epoch = self.peers.get(port)?.epoch;
        (epoch != NO_EPOCH).then_some(Hop { port, epoch })
    }

    /// The peering that a hop names, if it is still there.
    pub fn port_of(&self, hop: Hop) -> Option<Port> {
        self.peers.get(hop.port).filter(|peer| peer.epoch == hop.epoch && hop.epoch != NO_EPOCH).map(|_| hop.port)
    }

    /// The peerings that routes can lead through and that carry, with their peers' keys.
    pub fn routable(&self) -> impl Iterator<Item = (Hop, &PublicKey)> {
        let peers = self.peers.iter().filter(|(port, peer)| peer.epoch != NO_EPOCH && self.carries(*port));
        peers.map(|(port, peer)| (Hop { port, epoch: peer.epoch }, &peer.key))
    }

    /// Whether there are such peerings.
    pub fn has_routable(&self) -> bool {
        self.routable > 0
    }

    /// The key of the peer at a port.
    pub fn peer_key(&self, port: Port) -> Option<&PublicKey> {
        self.peers.get(port).map(|peer| &peer.key)
    }

    /// Makes `payload` a traffic frame to the node `to`, for whoever takes it on: it goes by coordinates, if there are some, or else by key.
    /// `mark` is a byte that nobody on the way looks at.
    ///
    /// # Errors
    /// [`FrameOverflow`] if it would not fit; the payload is unchanged.
    pub fn address(
        &self,
        to: &PublicKey,
        coords: Option<&Coords>,
        mark: u8,
        payload: &mut PacketBuf,
    ) -> Result<(), FrameOverflow> {
        let nowhere = Coords::default();
        let header = TrafficHeader {
            version: 0,
            extra: mark,
            hop_limit: HOP_LIMIT,
            destination: coords.unwrap_or(&nowhere),
            source: &self.tree.coords,
            destination_key: to,
            source_key: &self.own,
            watermark: Watermark::NONE,
        };
        frame::emit_traffic(payload, &header)
    }

    /// Gives a new peering its epoch, if its peer understands routes.
    pub(super) fn number(&mut self, peer: &mut Peer) {
        if self.config.rules.source_routes && peer.extensions.contain(Extensions::SOURCE_ROUTES) {
            self.last_epoch = self.last_epoch.wrapping_add(1).max(NO_EPOCH + 1);
            peer.epoch = self.last_epoch;
            self.routable += 1;
        }
    }

    /// A peering is gone.
    pub(super) fn strike(&mut self, peer: &Peer) {
        self.routable -= usize::from(peer.epoch != NO_EPOCH);
    }
}
