//! Which of two peerings with one neighbour over one interface and IP version stays.

use super::beacon::Family;
use crate::keys::PublicKey;
use crate::time::Instant;

/// Names a peering; the caller chooses, each number once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeeringId(pub u64);

/// A peering with a neighbour came up.
#[derive(Clone, Copy, Debug)]
pub struct PeeringUp {
    /// Its name.
    pub id: PeeringId,
    /// The neighbour's key.
    pub key: PublicKey,
    /// Index of the interface that it runs over.
    pub interface: u32,
    /// With which IP version.
    pub family: Family,
    /// Whether the neighbour dialled.
    pub inbound: bool,
    /// Whether the link proved the key.
    pub authenticated: bool,
}

/// What to do with a peering that came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeeringVerdict {
    /// Keep it: it is the only one.
    Keep,
    /// Close it: there is a better one with this neighbour over this interface and IP version.
    Close,
    /// Keep it and close the named one, which it replaces.
    Replace(PeeringId),
}

/// A peering that is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peering {
    pub(super) id: PeeringId,
    inbound: bool,
    authenticated: bool,
    pub(super) since: Instant,
}

impl Peering {
    pub(super) fn of(up: &PeeringUp, now: Instant) -> Self {
        Self { id: up.id, inbound: up.inbound, authenticated: up.authenticated, since: now }
    }

    /// Whether `up`, which came up later with the same neighbour, is the one to keep. Both sides come to the same answer.
    pub(super) fn yields_to(&self, up: &PeeringUp, own_key: &PublicKey) -> bool {
        if up.authenticated != self.authenticated {
            up.authenticated
        } else if up.inbound != self.inbound {
            let we_dialled = !up.inbound;
            we_dialled == (*own_key > up.key)
        } else {
            up.authenticated
        }
    }
}
