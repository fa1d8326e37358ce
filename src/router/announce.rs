//! Announcements in and out: the tree's decisions carried out.

use super::neighbours::Neighbours;
use super::next_hop::Rank;
use super::peers::{Heard, Peer};
use super::timers::RouterTimer;
use super::tree::{self, Action, Candidate, Update};
use super::{PeerMisbehaved, Port, Router, Transit};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::coords::Coords;
use crate::wire::frame;
use crate::wire::tree::{Announcement, Root};

impl Router {
    /// Takes the payload of an announcement frame: cheap checks, then the signatures that we have not seen before, if
    /// the peer's allowance covers them. Otherwise the announcement waits for the next tick; a later one takes its
    /// place.
    pub(super) fn handle_announcement(
        &mut self,
        from: Port,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        let announcement = Announcement::parse(payload)?;
        let Some(peer) = self.peers.get_mut(from) else { return Ok(()) };
        if announcement.signers().next_back() != Some(&peer.key) {
            return Err(PeerMisbehaved::ForeignAnnouncement);
        }
        if is_replay(peer, announcement.root) {
            return Err(PeerMisbehaved::ReplayedAnnouncement);
        }
        let is_repeated = || peer.heard.as_ref().is_some_and(|heard| heard.announcement == announcement);
        if self.config.rules.no_repeats && is_repeated() {
            peer.unchecked = None;
            return Ok(());
        }
        peer.unchecked = Some(announcement);
        self.check_announcement(from, now)
    }

    /// Tries again those announcements that had to wait.
    pub(super) fn check_waiting_announcements(&mut self, now: Instant) {
        let waiting: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.unchecked.is_some()).map(|(port, _)| port).collect();
        for port in waiting {
            if let Err(why) = self.check_announcement(port, now) {
                self.events.misbehaved(port, why);
            }
        }
    }

    fn check_announcement(&mut self, from: Port, now: Instant) -> Result<(), PeerMisbehaved> {
        let Some(announcement) = self.peers.get_mut(from).and_then(|peer| peer.unchecked.take()) else { return Ok(()) };
        let verified = self.peers.verified_hops(&announcement);
        let peerings = self.peers.len();
        let Some(peer) = self.peers.get_mut(from) else { return Ok(()) };
        if !peer.tree_checks.take(announcement.hops.len() - verified, &mut self.tree_pool, peerings, now) {
            peer.unchecked = Some(announcement);
            return Ok(());
        }
        self.checks.announcements += (announcement.hops.len() - verified) as u64;
        if !announcement.verify_from(verified, self.keypair.scheme()) {
            return Err(PeerMisbehaved::BadSignature);
        }
        self.accept_announcement(from, announcement, now);
        Ok(())
    }

    /// Stores a verified announcement and acts on it (§4.3).
    pub(super) fn accept_announcement(&mut self, from: Port, announcement: Announcement, now: Instant) {
        let Some(key) = self.peers.get(from).map(|peer| peer.key) else { return };
        let followed = self.tree.root;
        let update = Update {
            from_parent: self.tree.parent == Some(from),
            has_loop: announcement.contains(&self.own),
            root: announcement.root.key.cmp(&if self.tree.parent.is_none() {
                self.key_as_root()
            } else {
                followed.key
            }),
            sequence: announcement.root.sequence.cmp(&followed.sequence),
        };
        let root = announcement.root;
        let is_first = self.store_announcement(from, announcement, now);
        let may_lead = !self.is_leaf(from);
        let has_to_wait = may_lead && self.turn_up(root, now);
        if is_first {
            self.choose_carrier(key);
        }
        let key_is_known =
            self.peers.iter().any(|(port, peer)| port != from && peer.key == key && peer.heard.is_some());
        if self.is_waiting() {
            self.update_tree();
        } else {
            let action = if has_to_wait || !may_lead { without(&update) } else { tree::decide(&update) };
            self.carry_out(self.amended(action, &update, now), from, is_first, now);
        }
        if has_to_wait {
            self.await_returns(now);
        }
        if is_first && !key_is_known {
            self.greet(from, now);
        }
    }

    /// Puts `announcement` into the peer's record and the index of signers; says whether it is the peering's first.
    pub(super) fn store_announcement(&mut self, from: Port, announcement: Announcement, now: Instant) -> bool {
        self.forget_signers(from);
        let is_leaf = self.is_leaf(from);
        let Some(peer) = self.peers.get_mut(from) else { return false };
        self.tree.accepted += 1;
        let is_first = peer.heard.is_none();
        let coords = announcement.peer_coords();
        let has_loop = announcement.contains(&self.own);
        let heard = peer.heard.insert(Heard { announcement, coords, at: now, order: self.tree.accepted, has_loop });
        // Nobody is reached through a leaf, and it itself is in an index of its own.
        if !is_leaf {
            self.signers.insert(heard.announcement.signers(), peer.key, Rank::new(peer.kind, heard.order, from));
        }
        is_first
    }

    /// Takes a peer's announcement out of the index of signers.
    pub(super) fn forget_signers(&mut self, port: Port) {
        let Some(peer) = self.peers.get(port) else { return };
        if let (Some(heard), Some(rank)) = (&peer.heard, peer.rank(port))
            && self.transit_of(peer) != Transit::Never
        {
            self.signers.remove(heard.announcement.signers(), peer.key, rank);
        }
    }

    /// What to do instead of leaving the tree, where a second parent is allowed.
    fn amended(&self, action: Action, update: &Update, now: Instant) -> Action {
        if action != Action::BecomeRootAndWait || !self.config.rules.second_parent {
            return action;
        }
        let moved = update.from_parent && !update.has_loop && update.root.is_eq() && update.sequence.is_eq();
        let parent = self.tree.parent.and_then(|port| self.peers.get(port)).and_then(|peer| peer.heard.as_ref());
        if moved && parent.is_some_and(|parent| self.is_feasible(parent, now)) {
            return Action::AcceptUpdate;
        }
        Action::ReplaceParent
    }

    /// Whether following a peer cannot make a loop, whatever it has not heard of yet: it is in our tree, less deep than we ever were under
    /// this sequence of the root, and what it announced does not come from us. (Nodes below us are deeper than we are; this is Babel's
    /// feasibility condition, RFC 8966 §2.4.)
    fn is_feasible(&self, heard: &Heard, now: Instant) -> bool {
        let (root, depth) = self.tree.shallowest;
        root == self.tree.root && heard.coords.len() < depth && self.is_sound(heard, now)
    }

    /// The parent is lost: takes the least deep of those peers that are safe to follow, or does without one for a while.
    ///
    /// If it is `gone`, every way that does not lead through it is as good as it was, so any peer that has one will do. A parent that is
    /// still there left for a reason that we do not know, and which may hold for the ways of others too.
    pub(super) fn replace_parent(&mut self, gone: Option<PublicKey>, now: Instant) {
        let candidates = self.peers.iter().filter_map(|(port, peer)| {
            let heard = peer.heard.as_ref().filter(|_| self.may_lead(peer))?;
            let avoids = |key: &PublicKey| self.is_sound(heard, now) && !heard.announcement.contains(key);
            let is_feasible = self.is_feasible(heard, now);
            let is_wanted = is_feasible || gone.as_ref().is_some_and(avoids);
            is_wanted.then_some((!is_feasible, self.is_reluctant(peer), heard.coords.len(), heard.order, port))
        });
        match candidates.min() {
            Some((.., port)) => {
                self.follow(port, now);
                self.snake.schedule_bootstrap(now);
            }
            None => self.leave_tree(now),
        }
    }

    /// Whether what a peer announced is of the root that we follow, young enough, and not from us.
    fn is_sound(&self, heard: &Heard, now: Instant) -> bool {
        heard.announcement.root == self.tree.root
            && !heard.has_loop
            && !heard.at.has_passed(self.config.timings.announcement_lifetime, now)
    }

    /// Whether the parent is as good as another peer: both are of the same root. The reference prefers whoever told of it first, which
    /// after a change of the parent is merely somebody, perhaps below us.
    fn keeps_parent_over(&self, port: Port, now: Instant) -> bool {
        let is_reluctant = |port| self.peers.get(port).is_some_and(|peer| self.is_reluctant(peer));
        let is_relief = self.tree.parent.is_some_and(is_reluctant) && !is_reluctant(port);
        let heard = |port| self.peers.get(port).and_then(|peer| peer.heard.as_ref());
        let parent = self.tree.parent.and_then(heard);
        self.config.rules.second_parent
            && parent.is_some_and(|parent| {
                self.is_sound(parent, now)
                    && heard(port).is_some_and(|it| {
                        it.announcement.root == parent.announcement.root && !(is_relief && self.is_feasible(it, now))
                    })
            })
    }

    /// Becomes root and lets that spread before choosing again.
    fn leave_tree(&mut self, now: Instant) {
        self.become_root(now);
        self.timers.set(RouterTimer::Reparent, now + self.config.timings.reparent_wait);
    }

    /// Notes that a peer announced `root`; says whether we may not follow it yet.
    fn turn_up(&mut self, root: Root, now: Instant) -> bool {
        if !self.config.rules.damping || root.key == self.tree.root.key {
            return false;
        }
        self.lost_roots.turned_up(&root, now);
        self.has_to_wait(&root, now)
    }

    /// Whether `root` is one that came and went so often that we may not follow it yet.
    fn has_to_wait(&self, root: &Root, now: Instant) -> bool {
        self.config.rules.damping && root.key != self.tree.root.key && self.lost_roots.waits_until(root, now).is_some()
    }

    /// Sets the timer for the first of the roots that peers follow and we may not.
    fn await_returns(&mut self, now: Instant) {
        let leaders = self.peers.iter().filter(|(_, peer)| self.may_lead(peer));
        let roots = leaders.filter_map(|(_, peer)| peer.root());
        let waiting = roots.filter(|root| root.key != self.tree.root.key);
        match waiting.filter_map(|root| self.lost_roots.waits_until(&root, now)).min() {
            Some(until) => self.timers.set(RouterTimer::Return, until),
            None => self.timers.clear(RouterTimer::Return),
        }
    }

    /// A root has waited long enough.
    pub(super) fn let_roots_return(&mut self, now: Instant) {
        // Whoever waits to choose a parent will look at all of them then.
        if !self.is_waiting() {
            self.select_parent(self.tree.root, now);
        }
        self.await_returns(now);
    }

    fn carry_out(&mut self, action: Action, from: Port, is_first: bool, now: Instant) {
        match action {
            Action::Ignore => self.update_tree(),
            Action::AcceptUpdate => {
                self.update_tree();
                self.announce_to_all(now);
            }
            Action::AcceptParent => self.follow(from, now),
            Action::SelectParent => {
                self.update_tree();
                self.select_parent(self.tree.root, now);
            }
            Action::BecomeRootAndWait => self.leave_tree(now),
            Action::ReplaceParent => self.replace_parent(None, now),
            Action::InformPeer => {
                self.update_tree();
                // The first announcement of a peer may have crossed ours, which went out when the peering came up.
                if !is_first {
                    self.outgoing.announce(from);
                }
            }
        }
    }

    /// Chooses a parent among all peers (§4.4).
    pub(super) fn select_parent(&mut self, current: Root, now: Instant) {
        let lifetime = self.config.timings.announcement_lifetime;
        let candidates = self.peers.iter().filter_map(|(port, peer)| {
            let heard = peer.heard.as_ref().filter(|_| self.may_lead(peer))?;
            let is_reluctant = self.is_reluctant(peer);
            let is_fresh = !heard.at.has_passed(lifetime, now) && !self.has_to_wait(&heard.announcement.root, now);
            let (root, order, has_loop) = (heard.announcement.root, heard.order, heard.has_loop);
            Some((port, Candidate { root, order, is_fresh, has_loop, is_reluctant }))
        });
        let own = self.key_as_root();
        let current = if current.key == self.own && own != self.own { Root { key: own, sequence: 0 } } else { current };
        match tree::select(own, current, candidates) {
            None if self.tree.parent.is_some() => self.become_root(now),
            Some(port) if self.tree.parent != Some(port) && !self.keeps_parent_over(port, now) => {
                self.follow(port, now);
                self.snake.schedule_bootstrap(now);
            }
            _ => {}
        }
    }

    /// Chooses a parent as if we were root: the present one is lost, or the wait is over.
    pub(super) fn select_parent_anew(&mut self, now: Instant) {
        let ourselves = Root { key: self.own, sequence: self.tree.own_sequence };
        self.tree.shallowest = (ourselves, 0);
        self.select_parent(ourselves, now);
    }

    /// Makes `port` the parent.
    fn follow(&mut self, port: Port, now: Instant) {
        self.tree.parent = Some(port);
        self.update_tree();
        self.announce_to_all(now);
    }

    /// Leaves the parent, if there is one, and announces ourselves.
    pub(super) fn become_root(&mut self, now: Instant) {
        if self.config.rules.damping && self.tree.root.key != self.own {
            self.lost_roots.lost(self.tree.root, now);
        }
        self.tree.parent = None;
        self.tree.own_sequence = self.tree.own_sequence.saturating_add(1);
        self.timers.set(RouterTimer::RootRefresh, now + self.config.timings.root_refresh);
        self.update_tree();
        self.announce_to_all(now);
    }

    /// Owes all peers our announcement, or if there were too many lately, puts that off until the next tick. That we left the tree is never
    /// put off: who waits for a parent counts on hearing of it in time, or would follow us, and ghosts of lost roots would walk the network.
    fn announce_to_all(&mut self, now: Instant) {
        self.tree.is_untold = true;
        let leaves_tree = self.tree.parent.is_none();
        if leaves_tree || !self.config.rules.damping || self.haste.announcements.take(1, now) {
            self.catch_up_announcing();
        }
    }

    /// Owes all peers our announcement if that was put off.
    pub(super) fn catch_up_announcing(&mut self) {
        if !std::mem::take(&mut self.tree.is_untold) {
            return;
        }
        for port in self.peers.ports() {
            self.outgoing.announce(port);
        }
    }

    /// Makes anew what follows from the parent and the peers' announcements. To be called whenever one of them changed.
    pub(super) fn update_tree(&mut self) {
        let parent = self.tree.parent.and_then(|port| self.peers.get(port)).and_then(|peer| peer.heard.as_ref());
        let (root, coords) = match parent {
            Some(heard) => (heard.announcement.root, heard.announcement.coords()),
            None => (Root { key: self.own, sequence: self.tree.own_sequence }, Coords::default()),
        };
        match parent {
            Some(heard) => {
                self.timers.set(RouterTimer::ParentExpiry, heard.at + self.config.timings.announcement_lifetime);
                self.timers.clear(RouterTimer::RootRefresh);
            }
            None => self.timers.clear(RouterTimer::ParentExpiry),
        }
        if root.key != self.tree.root.key {
            self.events.root_changed();
        }
        if coords != self.tree.coords {
            self.events.coordinates_changed();
        }
        let same_root =
            if self.config.rules.one_root { root.key == self.tree.root.key } else { root == self.tree.root };
        if !same_root || coords != self.tree.coords {
            self.snake.unsettle();
        }
        (self.tree.root, self.tree.coords, self.tree.signature) = (root, coords, None);
        let depth = self.tree.coords.len();
        self.tree.shallowest = match self.tree.shallowest {
            (same, before) if same == root => (root, before.min(depth)),
            _ => (root, depth),
        };
        let mut neighbours: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(port, peer)| Some((peer.rank(port)?, port, peer.heard.as_ref()?)))
            .filter(|(_, _, heard)| self.is_our_root(&heard.announcement.root))
            .collect();
        neighbours.sort_unstable_by_key(|(rank, ..)| *rank);
        let neighbours = neighbours.into_iter().map(|(_, port, heard)| (port, heard.coords.clone()));
        let (leaves, others): (Vec<_>, Vec<_>) = neighbours.partition(|(port, _)| self.is_leaf(*port));
        (self.tree.leaves, self.tree.neighbours) = (Neighbours::new(leaves), Neighbours::new(others));
    }

    /// Our present announcement, signed for `port`.
    pub(super) fn announcement_for(&mut self, port: Port) -> Option<PacketBuf> {
        if !self.peers.get(port).is_some_and(|peer| self.is_told(peer)) {
            return None;
        }
        let parent = self.tree.parent.and_then(|parent| self.peers.get(parent)).and_then(|peer| peer.heard.as_ref());
        let root = Announcement::as_root(self.tree.root);
        let base = parent.map_or(&root, |heard| &heard.announcement);
        let signature = *self.tree.signature.get_or_insert_with(|| base.sign_next(&self.keypair));
        let extended = base.extend(u64::from(port), &self.keypair, Some(signature));
        // What `parse` accepts leaves room for our entry.
        frame::announcement(&extended.encode()).inspect_err(|_| self.drops.count(DropReason::FrameOverflow)).ok()
    }
}

/// What to do about an announcement of a root that we may not follow yet.
fn without(update: &Update) -> Action {
    if update.from_parent { Action::BecomeRootAndWait } else { Action::Ignore }
}

/// Whether the peering already told of a later sequence of the same root (§4.1).
fn is_replay(peer: &Peer, root: Root) -> bool {
    peer.root().is_some_and(|known| known.key == root.key && known.sequence > root.sequence)
}
