//! Wakeup broadcasts: a node tells those near it that it is there, so that they can try it again at once (specification
//! §8).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::fair::FairTable;
use super::peers::{Peer, Peers};
use super::timers::RouterTimer;
use super::{PeerMisbehaved, Port, Router, Transit};
use crate::bounded::TokenBucket;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::DecodeError;
use crate::wire::broadcast::WakeupBroadcast;
use crate::wire::frame::{self, BroadcastFrame};

/// The hop limit that a broadcast starts with, and the most we believe of one that comes in (pitfall 19).
const HOP_LIMIT: u8 = 5;
/// A broadcast goes to all peers if it may still go this many hops further, otherwise along the tree only: two hops to
/// everybody, then up to three to parents and children.
const FLOOD_FROM: u8 = 4;
/// Nodes whose last broadcast is remembered. Five hops reach a few thousand nodes in a dense network; in memory these
/// are about 2 MiB. A forgotten node's broadcast is merely passed on once more.
const REMEMBERED: usize = 16_384;

/// Broadcasts per second, and at once, that are taken in where hints are few. When a network of thousands starts, everybody announces
/// itself to nearly everybody; who comes up later is heard by all that are near.
const HINT_RATE: u32 = 20;
const HINT_BURST: u32 = 200;

/// A node's last accepted broadcast.
#[derive(Clone, Copy, Debug)]
struct Seen {
    sequence: u64,
    at: Instant,
}

/// What we remember of broadcasts.
#[derive(Debug)]
pub(super) struct Broadcasts {
    seen: FairTable<Seen>,
    /// When our next one is due.
    due: Instant,
    /// How many more may be taken in, where that is limited.
    budget: TokenBucket,
}

impl Broadcasts {
    /// Nothing remembered, and our first broadcast to all peers due at `due`.
    pub(super) fn new(due: Instant, now: Instant) -> Self {
        Self { seen: FairTable::new(REMEMBERED), due, budget: TokenBucket::new(HINT_RATE, HINT_BURST, now) }
    }

    /// Bytes of what is remembered of one node.
    pub(super) const ENTRY_LEN: usize = FairTable::<Seen>::ENTRY_LEN;

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    #[cfg(test)]
    pub(super) fn knows(&self, source: &PublicKey) -> bool {
        self.seen.get(source).is_some()
    }

    pub(super) fn remember(&mut self, source: PublicKey, from: Port, sequence: u64, at: Instant) {
        self.seen.insert(source, from, Seen { sequence, at });
    }
}

impl Router {
    /// Takes a broadcast: reports it and passes it on.
    pub(super) fn handle_broadcast(
        &mut self,
        from: Port,
        frame: &BroadcastFrame<'_>,
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        match self.check_broadcast(from, frame, now)? {
            Err(reason) => self.drops.count(reason),
            Ok(broadcast) => {
                self.broadcasts.remember(frame.source, from, broadcast.sequence, now);
                self.events.awake(frame.source);
                if self.config.transit != Transit::Never {
                    self.pass_on(from, frame);
                }
            }
        }
        Ok(())
    }

    /// Everything that can be wrong with a broadcast, the costly check last: one that is of no use is dropped whatever
    /// its signature, where the reference would close the peering for a wrong one.
    fn check_broadcast(
        &mut self,
        from: Port,
        frame: &BroadcastFrame<'_>,
        now: Instant,
    ) -> Result<Result<WakeupBroadcast, DropReason>, PeerMisbehaved> {
        let source = frame.source;
        let broadcast = match WakeupBroadcast::parse(frame.payload) {
            Ok(broadcast) => broadcast,
            Err(too_short @ DecodeError::BelowMinimum { .. }) => return Err(too_short.into()),
            // The reference reads integers loosely and passes such a broadcast on, so the peer may be innocent.
            Err(_) => return Ok(Err(DropReason::MalformedFrame)),
        };
        if source == self.own {
            return Ok(Err(DropReason::OwnReturned));
        }
        if broadcast.root.key != self.tree.root.key {
            return Ok(Err(DropReason::OtherRoot));
        }
        let gap = self.config.timings.broadcast_gap;
        let is_stale = |seen: &Seen| !seen.at.has_passed(gap, now) || broadcast.sequence <= seen.sequence;
        if self.broadcasts.seen.get(&source).is_some_and(is_stale) {
            return Ok(Err(DropReason::Stale));
        }
        let peerings = self.peers.len();
        if self.config.rules.few_hints && !self.broadcasts.budget.take(1, now) {
            return Ok(Err(DropReason::CheckBudget));
        }
        let Some(peer) = self.peers.get_mut(from) else { return Ok(Err(DropReason::PeeringClosed)) };
        if !peer.snake_checks.take(1, &mut self.snake_pool, peerings, now) {
            return Ok(Err(DropReason::CheckBudget));
        }
        self.checks.broadcasts += 1;
        if broadcast.verify(&source, self.keypair.scheme()) {
            Ok(Ok(broadcast))
        } else {
            Err(PeerMisbehaved::BadSignature)
        }
    }

    fn pass_on(&mut self, from: Port, frame: &BroadcastFrame<'_>) {
        let hop_limit = frame.hop_limit.min(HOP_LIMIT).saturating_sub(1);
        if hop_limit == 0 {
            return;
        }
        let coords = &self.tree.coords;
        let is_tree_neighbour = |peer: &Peer| peer.heard.as_ref().is_some_and(|it| it.coords.distance(coords) == 1);
        let goes_to = |port, peer: &Peer| port != from && (hop_limit >= FLOOD_FROM || is_tree_neighbour(peer));
        for port in one_per_key(&self.peers, goes_to) {
            self.send_broadcast(port, &BroadcastFrame { hop_limit, ..*frame });
        }
    }

    /// Tells one peer that we are there, after its first announcement.
    pub(super) fn greet(&mut self, port: Port, now: Instant) {
        let payload = self.sign_broadcast(now);
        self.send_broadcast(port, &own_broadcast(self.own, &payload));
    }

    /// The broadcast timer: tells all peers that we are there, and forgets what is too old to matter.
    pub(super) fn maintain_broadcasts(&mut self, now: Instant) {
        let timings = self.config.timings;
        self.broadcasts.seen.expire(|seen| seen.at.has_passed(timings.broadcast_memory, now));
        let is_due = self.broadcasts.due <= now;
        if is_due {
            self.broadcasts.due = now + timings.broadcast;
        }
        self.timers.set(RouterTimer::Broadcast, self.broadcasts.due.min(now + timings.broadcast_memory));
        if !is_due || self.peers.is_empty() {
            return;
        }
        let payload = self.sign_broadcast(now);
        for port in one_per_key(&self.peers, |_, _| true) {
            self.send_broadcast(port, &own_broadcast(self.own, &payload));
        }
    }

    fn sign_broadcast(&mut self, now: Instant) -> Vec<u8> {
        WakeupBroadcast::sign(self.next_sequence(now), self.tree.root, &self.keypair).encode()
    }

    fn send_broadcast(&mut self, port: Port, frame: &BroadcastFrame<'_>) {
        match frame::broadcast(frame) {
            Ok(frame) => self.send(port, frame),
            Err(_) => self.drops.count(DropReason::FrameOverflow),
        }
    }
}

fn own_broadcast(source: PublicKey, payload: &[u8]) -> BroadcastFrame<'_> {
    BroadcastFrame { version: 0, extra: 0, hop_limit: HOP_LIMIT, source, payload }
}

/// Among the peerings that are wanted one for each key: of parallel ones the later if it is of a faster kind or
/// announced earlier than the one before it (the reference's rule, to the letter).
fn one_per_key(peers: &Peers, is_wanted: impl Fn(Port, &Peer) -> bool) -> Vec<Port> {
    let order = |peer: &Peer| peer.heard.as_ref().map_or(0, |heard| heard.order);
    let mut chosen: BTreeMap<PublicKey, (Port, &Peer)> = BTreeMap::new();
    for (port, peer) in peers.iter().filter(|(port, peer)| is_wanted(*port, peer)) {
        match chosen.entry(peer.key) {
            Entry::Vacant(vacant) => {
                vacant.insert((port, peer));
            }
            Entry::Occupied(mut occupied) => {
                let (_, before) = *occupied.get();
                if peer.kind < before.kind || order(peer) < order(before) {
                    occupied.insert((port, peer));
                }
            }
        }
    }
    chosen.into_values().map(|(port, _)| port).collect()
}
