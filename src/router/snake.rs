//! The snake: routes that bootstraps leave behind, the descending neighbour, and our own bootstraps (specification §6).

use super::fair::FairTable;
use super::next_hop::{self, NextHop, SnakeQuery, SnakeView};
use super::timers::{RouterTimer, Timings};
use super::{Port, Router, Transit};
use crate::bounded::TokenBucket;
use crate::drops::DropReason;
use crate::keys::{PublicKey, Signature};
use crate::time::{Duration, Instant};
use crate::wire::frame::{self, BootstrapFrame};
use crate::wire::snake::{Bootstrap, Watermark};
use crate::wire::tree::Root;

/// What the age of a bootstrap is counted in: longer than a frame takes over most links.
const AGE_UNIT: Duration = Duration::from_millis(40);
/// Each hop makes a bootstrap one unit older. One that was never kept stops at this age, three of the ten seconds that a route lives, so
/// that the longest ways stay open; one that was kept for longer is beyond it and goes on ageing.
const AGED_BY_HOPS: u8 = 75;
/// Between the news that our bootstrap got lost and the next one: what is broken and who is still there should be known nearby by then.
const GATHERING: Duration = Duration::from_millis(20);
/// Seconds for each time that we believe others that our bootstrap got lost, ten times of which can be saved up. A peer that says so of
/// every one makes us bootstrap six times as often as we would; without a limit it were twenty times.
const HEARSAY_COST: u32 = 5;

/// The routing table: one entry per node whose bootstraps pass here, charged to the peering it came from.
pub(super) type Routes = FairTable<Route>;

/// The way to one node, as its last bootstrap showed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Where the bootstrap came from: the way towards the node.
    pub(super) via: Port,
    /// Where it was to go next.
    pub(super) next: Option<Port>,
    /// Used for forwarding before this instant, and removed by the tick after it.
    pub(super) live_until: Instant,
    /// The root that the node followed.
    pub(super) root: Root,
    /// The bootstrap's sequence: Unix time in milliseconds, by the node's clock.
    pub(super) sequence: u64,
    /// The bootstrap itself, to be handed on.
    pub(super) kept: Kept,
    /// Its key has been told that it did not get where it was to go.
    pub(super) is_reported: bool,
}

/// What is needed to send a bootstrap again that went by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) signature: Signature,
    /// The watermark that it came with.
    pub(super) watermark: Watermark,
    /// The key towards which it was sent on: its successor, as far as we knew. [`PublicKey::FULL`] if it got lost on its way there.
    pub(super) successor: PublicKey,
}

impl Default for Kept {
    /// Of a bootstrap whose successor nothing can be nearer than.
    fn default() -> Self {
        Self { signature: [0; 64], watermark: Watermark::NONE, successor: PublicKey::ZERO }
    }
}

impl Route {
    pub(super) fn is_live(&self, now: Instant) -> bool {
        now < self.live_until
    }

    fn hand_to(&mut self, lost: Port, heir: Port) {
        if self.via == lost {
            self.via = heir;
        }
        if self.next == Some(lost) {
            self.next = Some(heir);
        }
    }

    /// The bootstrap did not get where it went. Whoever shows up next is nearer than nobody, even if it is the same successor again.
    pub(super) fn lose_way_on(&mut self) {
        (self.next, self.kept.successor, self.is_reported) = (None, PublicKey::FULL, true);
    }
}

/// Our place in the snake.
#[derive(Debug)]
pub(super) struct Snake {
    pub(super) routes: Routes,
    /// The next lower node that we know of, and the route to it. Its bootstraps end here.
    pub(super) descending: Option<(PublicKey, Route)>,
    /// The next higher node that we knew of when we bootstrapped last, and where that bootstrap went.
    successor: Option<(PublicKey, Port)>,
    /// When that was.
    bootstrapped_at: Option<Instant>,
    /// How often we bootstrap because others say that we should.
    hearsay: TokenBucket,
    /// When our next bootstrap is due; it goes out with the first tick from then on.
    pub(super) bootstrap_due: Instant,
    /// The pause after our next bootstrap.
    pause: Duration,
    /// Whether something changed since the last tick that our bootstraps depend on.
    unsettled: bool,
}

impl Snake {
    pub(super) fn new(max_routes: usize, now: Instant) -> Self {
        Self {
            routes: Routes::new(max_routes),
            descending: None,
            successor: None,
            bootstrapped_at: None,
            hearsay: TokenBucket::new(1, 10 * HEARSAY_COST, now),
            bootstrap_due: now,
            pause: Duration::ZERO,
            unsettled: true,
        }
    }

    /// Makes our next bootstrap due at the next tick.
    pub(super) fn schedule_bootstrap(&mut self, now: Instant) {
        self.bootstrap_due = self.bootstrap_due.min(now);
        self.unsettled = true;
    }

    /// Our place in the tree changed, and with it the ways that bootstraps take.
    pub(super) fn unsettle(&mut self) {
        self.unsettled = true;
    }

    /// Whether our last bootstrap left by `port`, and is not known to be lost.
    fn left_by(&self, port: Port) -> bool {
        self.successor.is_some_and(|(_, left_by)| left_by == port)
    }

    /// Forgets the routes that came from or went to a peering that ended (§4.6).
    fn forget_port(&mut self, port: Port, now: Instant) {
        self.routes.retain(|route| route.via != port && route.next != Some(port));
        self.forget_descending_via(port, now);
    }

    /// Forgets the routes through a peering that ended. Those that merely went on there still lead to their keys.
    fn forget_routes_via(&mut self, port: Port, now: Instant) {
        self.routes.retain(|route| route.via != port);
        self.forget_descending_via(port, now);
    }

    fn forget_descending_via(&mut self, port: Port, now: Instant) {
        match &mut self.descending {
            Some((_, route)) if route.via == port => {
                self.descending = None;
                self.schedule_bootstrap(now);
            }
            Some((_, route)) if route.next == Some(port) => route.next = None,
            _ => {}
        }
    }

    /// A peering ended, and another one with the same node takes its place.
    pub(super) fn hand_to(&mut self, lost: Port, heir: Port) {
        self.routes.hand_to(lost, heir);
        self.routes.update(|route| route.hand_to(lost, heir));
        if let Some((_, route)) = &mut self.descending {
            route.hand_to(lost, heir);
        }
        if let Some((_, port)) = self.successor.as_mut().filter(|(_, port)| *port == lost) {
            *port = heir;
        }
    }

    /// Forgets the route to `key` if it leads through `port`; returns where its bootstrap went.
    pub(super) fn withdraw(&mut self, key: &PublicKey, port: Port, now: Instant) -> Option<Port> {
        if self.descending.is_some_and(|(descending, route)| descending == *key && route.via == port) {
            self.descending = None;
            self.schedule_bootstrap(now);
        }
        let next = self.routes.get(key).filter(|route| route.via == port)?.next;
        self.routes.remove(key);
        next
    }

    /// Step 4 of §6.2: the highest key below ours is our descending neighbour. Says whether it is another one than
    /// before.
    fn note_descending(&mut self, own: PublicKey, key: PublicKey, route: Route, now: Instant) -> bool {
        let before = self.descending.filter(|(_, known)| known.is_live(now));
        if key < own && before.is_none_or(|(known, _)| known <= key) {
            let changed = self.descending.is_none_or(|(known, _)| known != key);
            self.descending = Some((key, route));
            return changed;
        }
        false
    }
}

/// An age as the hop limit of a bootstrap that was kept carries it, rounded up.
fn to_age(age: Duration) -> u8 {
    let units = u8::try_from(age.as_micros().div_ceil(AGE_UNIT.as_micros())).unwrap_or(u8::MAX);
    if units == AGED_BY_HOPS { AGED_BY_HOPS + 1 } else { units }
}

impl Router {
    /// A look at what decides about the next hop by key.
    pub(super) fn snake_view(&self, now: Instant) -> SnakeView<'_> {
        let parent = self.tree.parent.and_then(|port| self.peers.get(port)?.rank(port));
        SnakeView {
            own: self.own,
            root: self.tree.root.key,
            parent,
            signers: &self.signers,
            leaves: &self.leaves,
            looks_above_root: self.config.rules.transit,
            routes: &self.snake.routes,
            now,
        }
    }

    /// Takes a bootstrap: leaves a route and passes it on (§6.2).
    pub(super) fn handle_bootstrap(&mut self, from: Port, frame: &BootstrapFrame<'_>, now: Instant) {
        let bootstrap = match self.check_bootstrap(from, frame, now) {
            Ok(bootstrap) => bootstrap,
            Err(reason) => return self.drops.count(reason),
        };
        let key = frame.destination;
        let query = SnakeQuery { destination: key, bootstrap: true, watermark: frame.watermark };
        let (next, watermark) = next_hop::by_key(&self.snake_view(now), &query);
        let next = match next {
            // What would end at a leaf ends with us.
            Some(NextHop::Port(port)) => Some(port).filter(|port| !self.is_leaf(*port)),
            Some(NextHop::Local) | None => None,
        };
        let live_until = now + self.config.timings.route_lifetime.saturating_sub(self.age_of(frame));
        let Bootstrap { root, sequence, signature } = bootstrap;
        let kept = Kept { signature, watermark: frame.watermark, successor: watermark.key };
        let route = Route { via: from, next, live_until, root, sequence, kept, is_reported: false };
        // The watermark is not asked before the route is stored: a bootstrap that loops ends here, but it was here.
        if self.snake.routes.insert(key, from, route).is_some() {
            self.drops.count(DropReason::TableFull);
        }
        if self.snake.note_descending(self.own, key, route, now) {
            self.snake.schedule_bootstrap(now);
        }
        match next {
            // It ends at its successor, or at the root.
            None => {}
            Some(port) if port == from => self.drops.count(DropReason::BackToSender),
            Some(_) if watermark.is_worse_than(&frame.watermark) => self.drops.count(DropReason::WorseWatermark),
            Some(port) => {
                let hop_limit = self.aged(frame.hop_limit);
                self.send_bootstrap(port, &BootstrapFrame { watermark, hop_limit, ..*frame });
            }
        }
        if self.config.rules.hand_over && route.is_live(now) {
            self.introduce(&key, now);
        }
    }

    /// Whoever is next below `key`, as far as we know, and took a higher one for its successor, learns of it: its last bootstrap is
    /// handed on to `key`, or if we are that node, we bootstrap.
    fn introduce(&mut self, key: &PublicKey, now: Instant) {
        let below = self.snake.routes.range(..*key).next_back().map(|(below, route)| (*below, *route));
        if self.own < *key && below.is_none_or(|(below, _)| below < self.own) {
            if self.snake.successor.is_none_or(|(successor, _)| *key < successor) {
                self.snake.schedule_bootstrap(now);
            }
        } else if let Some((below, route)) = below
            && *key < route.kept.successor
        {
            self.hand_over(&below, &route, now);
        }
    }

    /// Sends a bootstrap that went by where it would go now.
    pub(super) fn hand_over(&mut self, key: &PublicKey, route: &Route, now: Instant) {
        if !route.is_live(now) || !self.is_our_root(&route.root) {
            return;
        }
        let Kept { signature, watermark: given, .. } = route.kept;
        let query = SnakeQuery { destination: *key, bootstrap: true, watermark: given };
        let (next, watermark) = next_hop::by_key(&self.snake_view(now), &query);
        let Some(NextHop::Port(port)) = next else { return };
        if port == route.via || watermark.is_worse_than(&given) {
            return;
        }
        if self.is_leaf(port) {
            if let Some(route) = self.snake.routes.get_mut(key) {
                (route.next, route.kept.successor) = (None, watermark.key);
            }
            return;
        }
        if let Some(route) = self.snake.routes.get_mut(key) {
            (route.next, route.kept.successor) = (Some(port), watermark.key);
        }
        let payload = Bootstrap { sequence: route.sequence, root: route.root, signature }.encode();
        let left = route.live_until.saturating_since(now);
        let hop_limit = self.aged(to_age(self.config.timings.route_lifetime.saturating_sub(left)));
        let (destination, payload) = (*key, &payload[..]);
        self.send_bootstrap(port, &BootstrapFrame { version: 0, extra: 0, hop_limit, destination, watermark, payload });
    }

    /// How old a bootstrap is, by the time that nodes on its way kept it and by its hops. A route has to be forgotten from its far end: one
    /// that outlives those between it and its key leads to a node that knows nothing of it. Bootstraps have no use for the hop limit
    /// themselves, and the reference sends it on as it is.
    fn age_of(&self, frame: &BootstrapFrame<'_>) -> Duration {
        if self.config.rules.hand_over { u32::from(frame.hop_limit) * AGE_UNIT } else { Duration::ZERO }
    }

    /// The hop limit to send a bootstrap on with.
    fn aged(&self, hop_limit: u8) -> u8 {
        match hop_limit {
            AGED_BY_HOPS | u8::MAX => hop_limit,
            _ if self.config.rules.hand_over => hop_limit + 1,
            _ => hop_limit,
        }
    }

    /// Whether something that belongs to `root` belongs to the tree that we are in.
    pub(super) fn is_our_root(&self, root: &Root) -> bool {
        root.key == self.tree.root.key && (self.config.rules.one_root || root.sequence == self.tree.root.sequence)
    }

    /// A peering ended: forgets the routes through it.
    pub(super) fn forget_routes(&mut self, lost: Port, now: Instant) {
        if self.config.rules.hand_over {
            self.snake.forget_routes_via(lost, now);
        } else {
            self.snake.forget_port(lost, now);
        }
    }

    /// Sends the bootstraps that left by a peering that ended another way. To be called when our place in the tree is certain again.
    pub(super) fn resend(&mut self, lost: Port, now: Instant) {
        if !self.config.rules.hand_over {
            return;
        }
        self.bootstrap_got_lost(lost, now);
        let left_by = self.snake.routes.iter().filter(|(_, route)| route.next == Some(lost));
        for key in left_by.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(route) = self.snake.routes.get_mut(&key) else { continue };
            route.lose_way_on();
            let route = *route;
            self.hand_over(&key, &route, now);
        }
    }

    /// A peer says that our bootstrap, which left by `port`, got lost.
    pub(super) fn bootstrap_is_said_to_be_lost(&mut self, port: Port, now: Instant) {
        if self.snake.left_by(port) {
            if self.snake.hearsay.take(HEARSAY_COST, now) {
                self.bootstrap_got_lost(port, now);
            } else {
                self.drops.count(DropReason::RateLimited);
            }
        }
    }

    /// Bootstraps again if the last one left by `port`.
    fn bootstrap_got_lost(&mut self, port: Port, now: Instant) {
        if self.snake.left_by(port) {
            self.snake.successor = None;
            self.snake.schedule_bootstrap(now);
            self.hasten_bootstrap(now);
        }
    }

    /// Brings the next tick forward, to when a bootstrap may follow the last one. Where there is news of one route, there soon is of more.
    fn hasten_bootstrap(&mut self, now: Instant) {
        let settling = self.config.timings.settling;
        let earliest = self.snake.bootstrapped_at.map_or(now, |at| at + settling).max(now + GATHERING);
        if self.config.rules.notices && self.timers.get(RouterTimer::Maintenance).is_some_and(|tick| earliest < tick) {
            self.timers.set(RouterTimer::Maintenance, earliest);
        }
    }

    /// Everything that can be wrong with a bootstrap, the costly check last. None of it is the peer's fault for
    /// certain.
    fn check_bootstrap(
        &mut self,
        from: Port,
        frame: &BootstrapFrame<'_>,
        now: Instant,
    ) -> Result<Bootstrap, DropReason> {
        let key = frame.destination;
        if key == self.own {
            return Err(DropReason::OwnReturned);
        }
        let bootstrap = Bootstrap::parse(frame.payload).map_err(|_| DropReason::MalformedFrame)?;
        if !self.is_our_root(&bootstrap.root) {
            return Err(DropReason::OtherRoot);
        }
        let is_from_leaf = self.is_leaf(from) && self.peers.get(from).is_some_and(|peer| peer.key != key);
        if is_from_leaf || self.config.transit == Transit::Never {
            return Err(DropReason::TransitRefused);
        }
        let known = self.snake.routes.get(&key);
        let one_root = self.config.rules.one_root;
        let is_same = |root: &Root| root.key == bootstrap.root.key && (one_root || *root == bootstrap.root);
        if known.is_some_and(|route| is_same(&route.root) && route.sequence >= bootstrap.sequence) {
            return Err(DropReason::Stale);
        }
        let peerings = self.peers.len();
        let peer = self.peers.get_mut(from).ok_or(DropReason::PeeringClosed)?;
        if !peer.snake_checks.take(1, &mut self.snake_pool, peerings, now) {
            return Err(DropReason::CheckBudget);
        }
        self.checks.bootstraps += 1;
        if bootstrap.verify(&key, self.keypair.scheme()) { Ok(bootstrap) } else { Err(DropReason::BadSignature) }
    }

    fn send_bootstrap(&mut self, port: Port, frame: &BootstrapFrame<'_>) {
        match frame::bootstrap(frame) {
            Ok(frame) => self.send(port, frame),
            Err(_) => self.drops.count(DropReason::FrameOverflow),
        }
    }

    /// The snake's tick (§6.4).
    pub(super) fn maintain_snake(&mut self, now: Instant) {
        if self.snake.descending.is_some_and(|(_, route)| !route.is_live(now) || !self.is_our_root(&route.root)) {
            self.snake.descending = None;
            self.snake.schedule_bootstrap(now);
        }
        self.snake.routes.expire(|route| !route.is_live(now));
        let Timings { settling, bootstrap, maintenance, .. } = self.config.timings;
        if std::mem::take(&mut self.snake.unsettled) {
            self.snake.pause = settling;
            self.snake.bootstrap_due = self.snake.bootstrap_due.min(now + settling);
        }
        if self.tree.parent.is_some() && self.snake.bootstrap_due <= now && self.may_bootstrap(now) {
            self.snake.bootstrap_due = now + self.snake.pause;
            self.snake.pause = (self.snake.pause + settling).min(bootstrap);
            self.bootstrap(now);
        }
        self.timers.set(RouterTimer::Maintenance, now + maintenance);
    }

    /// Whether a bootstrap that is due may go out, or has to wait for its usual time because too many came earlier than that.
    fn may_bootstrap(&mut self, now: Instant) -> bool {
        let usual =
            self.snake.bootstrapped_at.map(|at| at + self.config.timings.bootstrap).filter(|usual| now < *usual);
        let Some(usual) = usual.filter(|_| self.config.rules.damping) else { return true };
        let is_early = self.haste.bootstraps.take(1, now);
        if !is_early {
            self.snake.bootstrap_due = usual;
        }
        is_early
    }

    /// Sends a bootstrap of our own towards our successor. A root has none.
    fn bootstrap(&mut self, now: Instant) {
        let query = SnakeQuery { destination: self.own, bootstrap: true, watermark: Watermark::NONE };
        let (Some(NextHop::Port(mut port)), mut watermark) = next_hop::by_key(&self.snake_view(now), &query) else {
            return;
        };
        if self.config.transit == Transit::Never {
            // Home first, whoever else might be nearer.
            (port, watermark) = (self.tree.parent.unwrap_or(port), Watermark::NONE);
        }
        self.snake.successor = Some((watermark.key, port));
        self.snake.bootstrapped_at = Some(now);
        if self.is_leaf(port) {
            // We are its home.
            return;
        }
        let payload = Bootstrap::sign(self.next_sequence(now), self.tree.root, &self.keypair).encode();
        let (destination, payload) = (self.own, &payload[..]);
        self.send_bootstrap(
            port,
            &BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload },
        );
    }
}
