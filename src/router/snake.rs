//! The snake: routes that bootstraps leave behind, the descending neighbour, and our own bootstraps (specification §6).

use super::fair::FairTable;
use super::next_hop::{self, NextHop, SnakeQuery, SnakeView};
use super::timers::{RouterTimer, Timings};
use super::{Port, Router};
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};
use crate::wire::frame::{self, BootstrapFrame};
use crate::wire::snake::{Bootstrap, Watermark};
use crate::wire::tree::Root;

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
}

impl Route {
    pub(super) fn is_live(&self, now: Instant) -> bool {
        now < self.live_until
    }
}

/// Our place in the snake.
#[derive(Debug)]
pub(super) struct Snake {
    pub(super) routes: Routes,
    /// The next lower node that we know of, and the route to it. Its bootstraps end here.
    pub(super) descending: Option<(PublicKey, Route)>,
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

    /// Forgets the routes through a peering that ended.
    pub(super) fn forget_port(&mut self, port: Port, now: Instant) {
        self.routes.retain(|route| route.via != port && route.next != Some(port));
        if self.descending.is_some_and(|(_, route)| route.via == port) {
            self.descending = None;
            self.schedule_bootstrap(now);
        }
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

impl Router {
    /// A look at what decides about the next hop by key.
    pub(super) fn snake_view(&self, now: Instant) -> SnakeView<'_> {
        let parent = self.tree.parent.and_then(|port| self.peers.get(port)?.rank(port));
        SnakeView {
            own: self.own,
            root: self.tree.root.key,
            parent,
            signers: &self.signers,
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
            Some(NextHop::Port(port)) => Some(port),
            Some(NextHop::Local) | None => None,
        };
        let live_until = now + self.config.timings.route_lifetime;
        let route = Route { via: from, next, live_until, root: bootstrap.root, sequence: bootstrap.sequence };
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
            Some(port) => self.send_bootstrap(port, &BootstrapFrame { watermark, ..*frame }),
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
        if bootstrap.root != self.tree.root {
            return Err(DropReason::OtherRoot);
        }
        let known = self.snake.routes.get(&key);
        if known.is_some_and(|route| route.root == bootstrap.root && route.sequence >= bootstrap.sequence) {
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
        let root = self.tree.root;
        if self.snake.descending.is_some_and(|(_, route)| !route.is_live(now) || route.root != root) {
            self.snake.descending = None;
            self.snake.schedule_bootstrap(now);
        }
        self.snake.routes.expire(|route| !route.is_live(now));
        let Timings { settling, bootstrap, maintenance, .. } = self.config.timings;
        if std::mem::take(&mut self.snake.unsettled) {
            self.snake.pause = settling;
            self.snake.bootstrap_due = self.snake.bootstrap_due.min(now + settling);
        }
        if self.tree.parent.is_some() && self.snake.bootstrap_due <= now {
            self.snake.bootstrap_due = now + self.snake.pause;
            self.snake.pause = (self.snake.pause + settling).min(bootstrap);
            self.bootstrap(now);
        }
        self.timers.set(RouterTimer::Maintenance, now + maintenance);
    }

    /// Sends a bootstrap of our own towards our successor. A root has none.
    fn bootstrap(&mut self, now: Instant) {
        let query = SnakeQuery { destination: self.own, bootstrap: true, watermark: Watermark::NONE };
        let (Some(NextHop::Port(port)), watermark) = next_hop::by_key(&self.snake_view(now), &query) else { return };
        let payload = Bootstrap::sign(self.next_sequence(now), self.tree.root, &self.keypair).encode();
        let (destination, payload) = (self.own, &payload[..]);
        self.send_bootstrap(
            port,
            &BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload },
        );
    }
}
