//! Nodes that do not carry for others: `node.transit`.
//!
//! ```text
//! never   neither root nor parent, no hop of anybody's traffic: a *leaf*
//! avoid   parent of those only who have no other
//! ```
//!
//! Most of it is done by the leaf's neighbours, which learn of it from the hello ([`Extensions::NEVER_TRANSIT`]): they ignore its
//! announcements when they choose a parent, send it frames by coordinates for exactly its own, and by key
//! for exactly its own key (or that of a look-up of its address).
//!
//! In the snake a node is more than an end: bootstraps of the next lower key end at it, and traffic for lower keys looks for it to find the
//! route that these left. So a leaf bootstraps through its parent alone, its *home*, which all ways to it by key then lead through; and
//! bootstraps that would end at the leaf end at its home, which keeps their routes in its place. What arrives at the leaf is for the leaf, and what it
//! sends to somebody whom it does not know goes home first.
//!
//! A leaf may have the highest key and still is not root, so traffic for keys above the root's goes up to the root, and there, or before, meets
//! the route of the leaf's bootstrap.
//!
//! Plain Pinecone nodes know nothing of this. A leaf announces nothing to them, so that none hangs below it, and drops what they send it for others;
//! they reach it by the route of its bootstrap.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::peers::Peer;
use super::{Port, Router};
use crate::addr::{Address, Subnet};
use crate::keys::PublicKey;
use crate::wire::extensions::Extensions;

/// Whether a node carries what others send to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transit {
    /// As every node does.
    #[default]
    Full,
    /// Where there is no other way.
    Avoid,
    /// Not at all.
    Never,
}

impl Transit {
    /// What peers have to be told: that we know of this, and what we do.
    pub const fn extensions(self) -> Extensions {
        let policy = match self {
            Self::Full => Extensions::NONE,
            Self::Avoid => Extensions::AVOID_TRANSIT,
            Self::Never => Extensions::NEVER_TRANSIT,
        };
        Extensions::TRANSIT.and(policy)
    }

    /// The policy of a peer that announced these extensions.
    pub const fn of(extensions: Extensions) -> Self {
        if extensions.contain(Extensions::TRANSIT.and(Extensions::NEVER_TRANSIT)) {
            Self::Never
        } else if extensions.contain(Extensions::TRANSIT.and(Extensions::AVOID_TRANSIT)) {
            Self::Avoid
        } else {
            Self::Full
        }
    }
}

/// Peers that are leaves, by the keys that frames for them are addressed to.
#[derive(Debug, Default)]
pub(super) struct Leaves(BTreeSet<(PublicKey, Port, PublicKey)>);

impl Leaves {
    /// The leaf that a frame for this key is for, and a peering straight to it.
    pub(super) fn owner(&self, key: &PublicKey) -> Option<(PublicKey, Port)> {
        // Most nodes have none, and this is asked for each frame.
        if self.0.is_empty() {
            return None;
        }
        let (_, port, leaf) = self.0.range((*key, 0, PublicKey::ZERO)..).next().filter(|(name, ..)| name == key)?;
        Some((*leaf, *port))
    }

    pub(super) fn insert(&mut self, key: PublicKey, port: Port) {
        self.0.extend(names(&key).map(|name| (name, port, key)));
    }

    pub(super) fn remove(&mut self, key: PublicKey, port: Port) {
        for name in names(&key) {
            self.0.remove(&(name, port, key));
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The keys that frames for a node may be addressed to: its own, and those that look-ups of its address and of its /64 go to.
fn names(key: &PublicKey) -> [PublicKey; 3] {
    [*key, Address::of(key).lowest_key(), Subnet::of(key).lowest_key()]
}

impl Router {
    /// The policy of a peer, as far as we go by it.
    pub(super) fn transit_of(&self, peer: &Peer) -> Transit {
        if self.config.rules.transit { Transit::of(peer.extensions) } else { Transit::Full }
    }

    /// Whether the peering leads to a leaf.
    pub(super) fn is_leaf(&self, port: Port) -> bool {
        self.peers.get(port).is_some_and(|peer| self.transit_of(peer) == Transit::Never)
    }

    /// Whether a peer can be our parent.
    pub(super) fn may_lead(&self, peer: &Peer) -> bool {
        self.transit_of(peer) != Transit::Never
    }

    /// Whether a peer is parent only of those who have no other.
    pub(super) fn is_reluctant(&self, peer: &Peer) -> bool {
        self.transit_of(peer) == Transit::Avoid
    }

    /// Our key, as far as being root goes: who does not want to be root is below everybody.
    pub(super) fn key_as_root(&self) -> PublicKey {
        if self.config.transit == Transit::Never { PublicKey::ZERO } else { self.own }
    }

    /// Whether a peer is told of our place in the tree.
    pub(super) fn is_told(&self, peer: &Peer) -> bool {
        self.config.transit != Transit::Never || peer.extensions.contain(Extensions::TRANSIT)
    }
}
