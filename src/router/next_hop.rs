//! Where a frame goes next, by coordinates and by key.
//!
//! Both are look-ups in small structures that are kept up to date when routing state changes, so that a frame costs a logarithm of
//! the peers by coordinates and of the routes by key, allocates nothing and never walks a table. The rules are those of the
//! specification, §5 and §6.5; where the reference picks at random (pitfalls 12, 14), the faster kind of link wins,
//! then the peer that announced earlier.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::neighbours::Neighbours;
use super::snake::Routes;
use super::transit::Leaves;
use super::{PeerKind, Port};
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::coords::Coords;
use crate::wire::snake::Watermark;

/// The next station of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NextHop {
    /// It has arrived.
    Local,
    /// Out through this port.
    Port(Port),
}

/// The next hop towards coordinates that are not empty: [`NextHop::Local`] for our own, otherwise the neighbour that is
/// nearest to them and nearer than we are. `neighbours` are the peers on our root, `leaves` those of them that take what is for them
/// alone; `from` is where the frame came from.
pub(super) fn by_coordinates(
    destination: &[u64],
    own: &Coords,
    neighbours: &Neighbours,
    leaves: &Neighbours,
    from: Port,
) -> Option<NextHop> {
    let ours = own.distance_to(destination);
    if ours == 0 {
        return Some(NextHop::Local);
    }
    let nearer =
        || neighbours.nearest(destination, from).filter(|(distance, _)| *distance < ours).map(|(_, port)| port);
    leaves.at(destination, from).or_else(nearer).map(NextHop::Port)
}

/// How a peering ranks among those that lead to a key; the lowest is the best. Packed into one number because there is
/// one for every signer of every peer's announcement; what decides first is at the top:
///
/// ```text
/// 63          whether the key is the peer's ancestor rather than the peer
/// 62 to 60    the peer's kind
/// 59 to 16    the place of its announcement among all that we accepted
/// 15 to 0     its port
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u64);

impl Rank {
    const ANCESTOR: u64 = 1 << 63;
    const KIND_AT: u32 = 60;
    const ORDER_AT: u32 = Port::BITS;
    /// Nobody announces 2⁴⁴ times: 60,000 a second for nine years.
    const ORDER_MAX: u64 = (1 << (Self::KIND_AT - Self::ORDER_AT)) - 1;

    pub(super) fn new(kind: PeerKind, order: u64, port: Port) -> Self {
        Self(((kind as u64) << Self::KIND_AT) | (order.min(Self::ORDER_MAX) << Self::ORDER_AT) | u64::from(port))
    }

    const fn port(self) -> Port {
        let [low, high, ..] = self.0.to_le_bytes();
        Port::from_le_bytes([low, high])
    }

    const fn as_ancestor(self) -> Self {
        Self(self.0 | Self::ANCESTOR)
    }

    const fn is_direct(self) -> bool {
        self.0 & Self::ANCESTOR == 0
    }
}

/// Every key that signed an announcement of a peer, with the peering that leads there.
#[derive(Debug, Default)]
pub(super) struct SignerIndex(BTreeSet<(PublicKey, Rank)>);

impl SignerIndex {
    /// Adds the signers of the announcement of `peer`.
    pub(super) fn insert<'a>(&mut self, signers: impl Iterator<Item = &'a PublicKey>, peer: PublicKey, rank: Rank) {
        self.0.extend(ranked(signers, peer, rank));
    }

    /// Removes what [`SignerIndex::insert`] added for the same arguments.
    pub(super) fn remove<'a>(&mut self, signers: impl Iterator<Item = &'a PublicKey>, peer: PublicKey, rank: Rank) {
        for entry in ranked(signers, peer, rank) {
            self.0.remove(&entry);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The lowest key from `lowest` on, and the peering for it: the peer itself, else the parent, else the best rank.
    fn first_from(&self, lowest: Bound<PublicKey>, parent: Option<Rank>) -> Option<(PublicKey, Port)> {
        let lowest = match lowest {
            Bound::Included(key) => Bound::Included((key, Rank(0))),
            Bound::Excluded(key) => Bound::Excluded((key, Rank(u64::MAX))),
            Bound::Unbounded => Bound::Unbounded,
        };
        let (key, best) = *self.0.range((lowest, Bound::Unbounded)).next()?;
        let parents = parent.map(Rank::as_ancestor).filter(|rank| !best.is_direct() && self.0.contains(&(key, *rank)));
        Some((key, parents.unwrap_or(best).port()))
    }

    /// All entries as (key, rank).
    #[cfg(test)]
    pub(super) fn entries(&self) -> &BTreeSet<(PublicKey, Rank)> {
        &self.0
    }
}

/// The entries of an index for one announcement.
pub(super) fn ranked<'a>(
    signers: impl Iterator<Item = &'a PublicKey>,
    peer: PublicKey,
    rank: Rank,
) -> impl Iterator<Item = (PublicKey, Rank)> {
    signers.map(move |key| (*key, if *key == peer { rank } else { rank.as_ancestor() }))
}

/// What the next hop by key depends on, besides the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnakeView<'a> {
    pub(super) own: PublicKey,
    /// The root that we follow; we ourselves without a parent.
    pub(super) root: PublicKey,
    pub(super) parent: Option<Rank>,
    pub(super) signers: &'a SignerIndex,
    /// Peers that are asked for nobody but themselves.
    pub(super) leaves: &'a Leaves,
    /// Whether there may be nodes above the root, which did not want to be it.
    pub(super) looks_above_root: bool,
    pub(super) routes: &'a Routes,
    pub(super) now: Instant,
}

/// What the next hop by key depends on in the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnakeQuery {
    pub(super) destination: PublicKey,
    /// A bootstrap looks for the key after its own, traffic also for the key itself.
    pub(super) bootstrap: bool,
    pub(super) watermark: Watermark,
}

/// The next hop along the snake and the watermark that the frame is to have from here on. The caller still has to drop
/// the frame if it would go back to where it came from or if its watermark got worse.
///
/// In words: the best key is the destination itself, if anybody on the way to it is known; otherwise the lowest known
/// key above it. A node that knows none above a destination higher than itself sends the frame up to the root.
pub(super) fn by_key(view: &SnakeView<'_>, query: &SnakeQuery) -> (Option<NextHop>, Watermark) {
    let SnakeQuery { destination, bootstrap, watermark } = *query;
    if !bootstrap && destination == view.own {
        return (Some(NextHop::Local), watermark);
    }
    if !bootstrap && let Some((leaf, port)) = view.leaves.owner(&destination) {
        return (Some(NextHop::Port(port)), Watermark { key: leaf, sequence: 0 });
    }
    let (mut best, mut next) = from_tree(view, query);
    let mut sequence = 0;
    for (key, route) in view.routes.range((lowest(query), Bound::Unbounded)) {
        // The destination itself is better than anything else, though it may be above what is best so far.
        let better = *key < best || (*key == destination && best != destination);
        if !better || *key > watermark.key {
            break;
        }
        let candidate = Watermark { key: *key, sequence: route.sequence };
        // Expired routes last until the next tick, and only as many as the budget for signature checks let in.
        if route.is_live(view.now) && !candidate.is_worse_than(&watermark) {
            (best, sequence, next) = (*key, route.sequence, Some(NextHop::Port(route.via)));
            break;
        }
    }
    (next, Watermark { key: best, sequence })
}

/// The best key according to the tree: root, ancestors, peers and their ancestors.
fn from_tree(view: &SnakeView<'_>, query: &SnakeQuery) -> (PublicKey, Option<NextHop>) {
    let SnakeQuery { destination, bootstrap, .. } = *query;
    let is_own_bootstrap = bootstrap && destination == view.own;
    let is_above_us = view.own < destination && destination < view.root;
    let is_above_root = view.looks_above_root && view.root < destination && view.own < destination;
    let upwards = view.parent.filter(|_| is_own_bootstrap || is_above_us || is_above_root);
    let (bound, otherwise) = match upwards {
        // Any key from there on is better than having none.
        Some(parent) if is_above_root => (PublicKey::FULL, Some(NextHop::Port(parent.port()))),
        None if is_above_root => (PublicKey::FULL, if bootstrap { None } else { Some(NextHop::Local) }),
        Some(parent) => (view.root, Some(NextHop::Port(parent.port()))),
        None => (view.own, if bootstrap { None } else { Some(NextHop::Local) }),
    };
    match view.signers.first_from(lowest(query), view.parent) {
        // The root is no better than itself, but there may be a peering straight to it.
        Some((key, port)) if key < bound || key == destination || (key == bound && upwards.is_some()) => {
            (key, Some(NextHop::Port(port)))
        }
        _ => (bound, otherwise),
    }
}

fn lowest(query: &SnakeQuery) -> Bound<PublicKey> {
    if query.bootstrap { Bound::Excluded(query.destination) } else { Bound::Included(query.destination) }
}
