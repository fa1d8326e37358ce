//! The spanning tree: what an announcement makes us do, and which peer becomes our parent.
//!
//! The decisions ([`decide`], [`is_better`], [`select`]) are pure functions over a few facts, tables of the
//! specification (§4.3, §4.4). [`Tree`] is our own position; [`super::announce`] carries decisions out.

use std::cmp::Ordering;

use super::Port;
use super::neighbours::Neighbours;
use crate::keys::{PublicKey, Signature};
use crate::wire::coords::Coords;
use crate::wire::tree::Root;

/// What matters about an announcement that was just accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// The sender is our parent.
    pub(super) from_parent: bool,
    /// We are among its signers.
    pub(super) has_loop: bool,
    /// Its root's key compared with that of the root we follow.
    pub(super) root: Ordering,
    /// Its root's sequence compared with that of the root we follow.
    pub(super) sequence: Ordering,
}

/// What to do about an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Ignore,
    /// Our parent has news of the root: pass them on.
    AcceptUpdate,
    /// The sender becomes our parent.
    AcceptParent,
    /// Compare all peers.
    SelectParent,
    /// Our parent may hang below us: become root, and let that spread before choosing again.
    BecomeRootAndWait,
    /// The sender follows a weaker root: tell it of ours.
    InformPeer,
    /// Our parent is none any more: take another one that is certainly not below us, or do without for a while. Not the reference's.
    ReplaceParent,
}

/// The table of §4.3.
pub(super) fn decide(update: &Update) -> Action {
    match (update.from_parent, update.has_loop, update.root, update.sequence) {
        (true, true, _, _) | (true, false, Ordering::Less, _) => Action::BecomeRootAndWait,
        // The same root again can only mean that the parent changed its own position.
        (true, false, Ordering::Equal, Ordering::Equal) => Action::BecomeRootAndWait,
        (true, false, Ordering::Equal, Ordering::Less) => Action::Ignore,
        (true, false, Ordering::Equal, Ordering::Greater) | (true, false, Ordering::Greater, _) => Action::AcceptUpdate,
        (false, true, _, _) => Action::Ignore,
        (false, false, Ordering::Greater, _) => Action::AcceptParent,
        (false, false, Ordering::Less, _) => Action::InformPeer,
        (false, false, Ordering::Equal, _) => Action::SelectParent,
    }
}

/// What matters about a peer's last announcement when a parent is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) root: Root,
    /// Its number among all announcements that we accepted.
    pub(super) order: u64,
    /// It is young enough to be followed.
    pub(super) is_fresh: bool,
    /// We are among its signers.
    pub(super) has_loop: bool,
    /// It carries for those only who have no other parent.
    pub(super) is_reluctant: bool,
}

/// Whether `candidate` is to be preferred over the best one so far, with its root, and its reluctance and order.
pub(super) fn is_better(candidate: &Candidate, best: Root, best_order: (bool, u64)) -> bool {
    candidate.is_fresh
        && !candidate.has_loop
        && (candidate.root > best || (candidate.root == best && (candidate.is_reluctant, candidate.order) < best_order))
}

/// The parent to have (§4.4), or `None` to be root. `current` is the root that we follow.
pub(super) fn select(
    own: PublicKey,
    current: Root,
    candidates: impl Iterator<Item = (Port, Candidate)>,
) -> Option<Port> {
    let start = if current.key < own { Root { key: own, sequence: 0 } } else { current };
    let best = candidates.fold((start, (true, u64::MAX), None), |best, (port, candidate)| {
        if is_better(&candidate, best.0, best.1) {
            (candidate.root, (candidate.is_reluctant, candidate.order), Some(port))
        } else {
            best
        }
    });
    best.2
}

/// Our position in the tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// None: we are root.
    pub(super) parent: Option<Port>,
    /// Raised whenever we become root or announce ourselves anew.
    pub(super) own_sequence: u64,
    /// Announcements accepted so far.
    pub(super) accepted: u64,
    /// The root that we follow: made from the parent's announcement, as are the next three.
    pub(super) root: Root,
    pub(super) coords: Coords,
    /// The least depth that we had under a root's sequence.
    pub(super) shallowest: (Root, usize),
    /// Peers that follow the same root and sequence.
    pub(super) neighbours: Neighbours,
    /// Those that take frames for nobody but themselves.
    pub(super) leaves: Neighbours,
    /// Our peers have not been told of our place yet: there were too many changes.
    pub(super) is_untold: bool,
    /// What we sign announcements with, made when the first one is sent. It is the same for all peers.
    pub(super) signature: Option<Signature>,
}

impl Tree {
    /// Alone and root.
    pub(super) fn new(own: PublicKey, own_sequence: u64) -> Self {
        Self {
            parent: None,
            own_sequence,
            accepted: 0,
            root: Root { key: own, sequence: own_sequence },
            coords: Coords::default(),
            shallowest: (Root { key: own, sequence: own_sequence }, 0),
            neighbours: Neighbours::default(),
            leaves: Neighbours::default(),
            is_untold: false,
            signature: None,
        }
    }
}
