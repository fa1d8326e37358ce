//! The peerings that are up: a port number and one record each.
//!
//! State belongs to a peering, never to a key: two peerings with one node are normal (pitfall 4), and nothing says that
//! they tell the same story.

use super::budget::Allowance;
use super::next_hop::Rank;
use super::{MAX_PORT, PeerKind, Port, notices, routes};
use crate::bounded::TokenBucket;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};
use crate::wire::coords::Coords;
use crate::wire::extensions::Extensions;
use crate::wire::tree::{Announcement, Hop, Root};

/// All port numbers are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {MAX_PORT} ports are in use")]
pub struct PortsExhausted;

/// The last announcement of a peer.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) announcement: Announcement,
    /// The peer's own coordinates, made from it.
    pub(super) coords: Coords,
    pub(super) at: Instant,
    /// Its number among all announcements that we accepted.
    pub(super) order: u64,
    /// Whether we signed it ourselves: the peer is below us in the tree.
    pub(super) has_loop: bool,
}

/// One peering.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PublicKey,
    pub(super) kind: PeerKind,
    /// Its place among the peerings with the same node.
    pub(super) priority: u8,
    /// The time of a round trip over it without queueing, once known.
    pub(super) round_trip: Option<Duration>,
    pub(super) heard: Option<Heard>,
    /// An announcement that waits until its signatures may be checked; only the latest.
    pub(super) unchecked: Option<Announcement>,
    /// Checks of announcements.
    pub(super) tree_checks: Allowance,
    /// Checks of bootstraps and broadcasts.
    pub(super) snake_checks: Allowance,
    /// What it understands beyond plain Pinecone.
    pub(super) extensions: Extensions,
    /// Keys in its route notices.
    pub(super) notices: TokenBucket,
    /// Its number among all peerings; [`routes::NO_EPOCH`] if the peer does not understand source routes.
    pub(super) epoch: u32,
    /// Its path requests.
    pub(super) path_requests: TokenBucket,
}

impl Peer {
    pub(super) fn new(key: PublicKey, kind: PeerKind, extensions: Extensions, now: Instant) -> Self {
        let (rate, burst) = routes::REQUESTS_OF_PEER;
        Self {
            key,
            kind,
            priority: 0,
            round_trip: None,
            heard: None,
            unchecked: None,
            tree_checks: Allowance::for_announcements(now),
            snake_checks: Allowance::for_single_checks(now),
            extensions,
            notices: TokenBucket::new(notices::RATE, notices::BURST, now),
            epoch: routes::NO_EPOCH,
            path_requests: TokenBucket::new(rate, burst, now),
        }
    }

    /// The root that it announced.
    pub(super) fn root(&self) -> Option<Root> {
        self.heard.as_ref().map(|heard| heard.announcement.root)
    }

    /// How it ranks among peerings that lead to the same key, once it has announced.
    pub(super) fn rank(&self, port: Port) -> Option<Rank> {
        self.heard.as_ref().map(|heard| Rank::new(self.kind, heard.order, port))
    }

    /// How many leading entries of `announcement` need no check because this peer's verified announcement has them too.
    /// A signature covers everything before its entry but not the entry's own port, so the first entry that differs in
    /// nothing but the port counts as well.
    fn verified_hops(&self, announcement: &Announcement) -> usize {
        let Some(heard) = self.heard.as_ref().filter(|heard| heard.announcement.root == announcement.root) else {
            return 0;
        };
        let same_signature =
            |(known, given): &(&Hop, &Hop)| known.key == given.key && known.signature == given.signature;
        let mut pairs = heard.announcement.hops.iter().zip(&announcement.hops);
        let mut verified = 0;
        for pair in pairs.by_ref().take_while(same_signature) {
            verified += 1;
            if pair.0.port != pair.1.port {
                break;
            }
        }
        verified
    }
}

/// All peerings, by port.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Index = port. Slot 0, ourselves, stays empty.
    slots: Vec<Option<Peer>>,
    count: usize,
}

impl Peers {
    /// The lowest port without a peering. A look at every slot, once per connection.
    pub(super) fn free_port(&self) -> Result<Port, PortsExhausted> {
        (1..=MAX_PORT).find(|port| self.get(*port).is_none()).ok_or(PortsExhausted)
    }

    /// Gives `peer` a free port.
    pub(super) fn insert(&mut self, port: Port, peer: Peer) {
        let index = usize::from(port);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.count += usize::from(self.slots[index].replace(peer).is_none());
    }

    pub(super) fn remove(&mut self, port: Port) -> Option<Peer> {
        let peer = self.slots.get_mut(usize::from(port))?.take()?;
        self.count -= 1;
        Some(peer)
    }

    pub(super) fn get(&self, port: Port) -> Option<&Peer> {
        self.slots.get(usize::from(port))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, port: Port) -> Option<&mut Peer> {
        self.slots.get_mut(usize::from(port))?.as_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of peerings.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All peerings in the order of their ports.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Port, &Peer)> {
        (0..=MAX_PORT).zip(&self.slots).filter_map(|(port, slot)| Some((port, slot.as_ref()?)))
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = Port> {
        self.iter().map(|(port, _)| port)
    }

    /// How many leading entries of `announcement` were verified already, as part of any peer's announcement. Peers
    /// share ancestors, so after a root's refresh most of each announcement is known from the first one that came.
    pub(super) fn verified_hops(&self, announcement: &Announcement) -> usize {
        self.iter().map(|(_, peer)| peer.verified_hops(announcement)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keypair, Seed};

    fn peer(n: u8) -> Peer {
        Peer::new(PublicKey([n; 32]), PeerKind::Remote, Extensions::NONE, Instant::ZERO)
    }

    #[test]
    fn the_lowest_free_port_is_given_and_reused_until_none_is_left() {
        let mut peers = Peers::default();
        for port in 1..=MAX_PORT {
            assert_eq!(peers.free_port(), Ok(port));
            peers.insert(port, peer(0));
        }
        assert_eq!(peers.free_port(), Err(PortsExhausted));
        assert!(peers.remove(7).is_some() && peers.remove(7).is_none());
        assert_eq!(peers.free_port(), Ok(7));
        peers.insert(7, peer(0));
        assert_eq!(peers.ports().collect::<Vec<_>>(), (1..=MAX_PORT).collect::<Vec<_>>());
    }

    #[test]
    fn only_entries_that_differ_from_verified_ones_need_a_check() {
        let keys: Vec<_> = (1..6).map(|n| Keypair::from_seed(&Seed([n; 32]))).collect();
        let chain = |ports: &[u64], sequence| {
            let root = Announcement::as_root(Root { key: keys[0].public(), sequence });
            ports.iter().zip(&keys).fold(root, |chain, (port, key)| chain.extend(*port, key, None))
        };
        let mut peers = Peers::default();
        let mut known = peer(1);
        let announcement = chain(&[1, 2, 3], 9);
        let coords = announcement.peer_coords();
        known.heard = Some(Heard { announcement, coords, at: Instant::ZERO, order: 1, has_loop: false });
        peers.insert(1, known);
        let verified = |ports: &[u64], sequence| peers.verified_hops(&chain(ports, sequence));
        assert_eq!(verified(&[1, 2, 3], 9), 3);
        assert_eq!(verified(&[1, 2, 3, 4], 9), 3);
        assert_eq!(verified(&[1, 2, 7, 4], 9), 3, "the last known entry has another port, which it does not sign");
        assert_eq!(verified(&[1, 8, 3], 9), 2, "the third signature covers the second port");
        assert_eq!(verified(&[1, 2, 3], 10), 0, "all signatures cover the root's sequence");
        let mut forged = chain(&[1, 2, 3], 9);
        forged.hops[1].port = 8;
        assert_eq!(peers.verified_hops(&forged), 2, "a known signature over something else proves nothing");
        let mut forged = chain(&[1, 2, 3], 9);
        forged.root.sequence = 10;
        assert_eq!(peers.verified_hops(&forged), 0);
    }
}
