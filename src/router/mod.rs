//! The Pinecone router: a place in the spanning tree and in the snake, and from these the next hop of every frame.
//!
//! A state machine without side effects. Protocol frames ([`Router::handle_protocol_frame`]), peerings that come and
//! go, and time ([`Router::handle_timeout`]) change the routing state; traffic frames ([`Router::forward`],
//! [`Router::originate`]) only read it. After each call that takes `now`, the caller fetches what there is to send and
//! to know.
//!
//! - `api`: what goes in and comes out;
//! - `peers`: the peerings and what they announced; `tree`, `announce`: the spanning tree;
//! - `snake`: routes that bootstraps left; `notices`: news of their end; `broadcast`: wakeup broadcasts;
//! - `next_hop`, `forward`: from state to verdict; `siblings`: several peerings with one node; `transit`: nodes that do not carry;
//! - `routes`: frames that say themselves where they go;
//! - `profile`: where we may differ from the reference, and by how much;
//! - `fair`, `budget`, `damping`, `outgoing`, `events`, `timers`: what keeps it bounded, and in time.

mod announce;
mod api;
mod broadcast;
mod budget;
mod damping;
mod events;
mod fair;
mod forward;
mod neighbours;
mod next_hop;
mod notices;
mod outgoing;
mod peers;
mod profile;
mod routes;
mod siblings;
mod snake;
pub mod status;
#[cfg(test)]
mod tests;
mod timers;
mod transit;
mod tree;
#[cfg(test)]
mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::api::{
    CheckCounters, Delivery, MAX_PORT, PeerKind, PeerMisbehaved, Port, RouterConfig, RouterEvent, Verdict,
};
pub use self::peers::PortsExhausted;
pub use self::profile::{Profile, Rules};
pub use self::routes::{PathVerdict, RoutedVerdict, TraceStep};
pub use self::timers::{RouterTimer, Timings};
pub use self::transit::Transit;

use self::broadcast::Broadcasts;
use self::budget::Pool;
use self::damping::{Haste, LostRoots};
use self::events::Events;
use self::next_hop::SignerIndex;
use self::outgoing::{Outgoing, Queues};
use self::peers::{Peer, Peers};
use self::snake::Snake;
use self::timers::Timers;
use self::transit::Leaves;
use self::tree::Tree;
use crate::bounded::TokenBucket;
use crate::buf::PacketBuf;
use crate::drops::{DropCounters, DropReason};
use crate::keys::{Keypair, PublicKey};
use crate::time::{Instant, UnixClock};
use crate::wire::coords::Coords;
use crate::wire::extensions::Extensions;
use crate::wire::frame::Frame;
use crate::wire::tree::Root;

/// The router of one node.
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    keypair: Arc<Keypair>,
    own: PublicKey,
    clock: UnixClock,
    /// The last sequence that we signed a bootstrap or broadcast with.
    last_sequence: u64,
    peers: Peers,
    /// For peerings that do not carry: which one with the same node does.
    carriers: BTreeMap<Port, Port>,
    tree: Tree,
    /// Room for the coordinates of a frame.
    destination: Vec<u64>,
    lost_roots: LostRoots,
    haste: Haste,
    signers: SignerIndex,
    leaves: Leaves,
    snake: Snake,
    broadcasts: Broadcasts,
    tree_pool: Pool,
    snake_pool: Pool,
    /// The number of the last peering that routes can lead through, and how many there are.
    last_epoch: u32,
    routable: usize,
    /// Path requests of all peers.
    path_requests: TokenBucket,
    timers: Timers,
    outgoing: Queues,
    events: Events,
    drops: DropCounters,
    checks: CheckCounters,
}

impl Router {
    /// A router without peers, root of its own tree. `clock` dates bootstraps and broadcasts.
    pub fn new(config: RouterConfig, keypair: Arc<Keypair>, clock: UnixClock, now: Instant) -> Self {
        let own = keypair.public();
        let mut timers = Timers::default();
        timers.set(RouterTimer::RootRefresh, now + config.timings.root_refresh);
        timers.set(RouterTimer::Broadcast, now + config.timings.broadcast.min(config.timings.broadcast_memory));
        Self {
            own,
            clock,
            last_sequence: 0,
            peers: Peers::default(),
            carriers: BTreeMap::new(),
            tree: Tree::new(own, config.initial_sequence),
            destination: Vec::new(),
            lost_roots: LostRoots::default(),
            haste: Haste::new(now),
            signers: SignerIndex::default(),
            leaves: Leaves::default(),
            snake: Snake::new(config.max_routes, now),
            broadcasts: Broadcasts::new(now + config.timings.broadcast, now),
            tree_pool: Pool::new(now),
            snake_pool: Pool::new(now),
            last_epoch: routes::first_epoch(config.initial_sequence, &own),
            routable: 0,
            path_requests: TokenBucket::new(routes::REQUESTS_OF_ALL.0, routes::REQUESTS_OF_ALL.1, now),
            timers,
            outgoing: Queues::default(),
            events: Events::default(),
            drops: DropCounters::default(),
            checks: CheckCounters::default(),
            keypair,
            config,
        }
    }

    /// Takes in a peering that came up: it gets the lowest free port, and our announcement as its first frame. `extensions` is what the
    /// peer announced.
    ///
    /// # Errors
    /// [`PortsExhausted`] if there are [`MAX_PORT`] already.
    pub fn add_peer(
        &mut self,
        key: PublicKey,
        kind: PeerKind,
        extensions: Extensions,
        now: Instant,
    ) -> Result<Port, PortsExhausted> {
        let port = self.peers.free_port()?;
        self.add_peer_at(port, Peer::new(key, kind, extensions, now), now);
        Ok(port)
    }

    fn add_peer_at(&mut self, port: Port, mut peer: Peer, now: Instant) {
        if self.transit_of(&peer) == Transit::Never {
            self.leaves.insert(peer.key, port);
        }
        self.number(&mut peer);
        self.peers.insert(port, peer);
        if !self.timers.is_set(RouterTimer::Maintenance) {
            self.timers.set(RouterTimer::Maintenance, now + self.config.timings.maintenance);
        }
        self.outgoing.announce(port);
    }

    /// Forgets a peering that ended (§4.6). Frames that wait for it are dropped.
    pub fn remove_peer(&mut self, port: Port, now: Instant) {
        self.forget_signers(port);
        let Some(peer) = self.peers.remove(port) else { return };
        self.strike(&peer);
        self.drops.add(DropReason::PeeringClosed, self.outgoing.forget(port) as u64);
        self.events.forget(port);
        self.leaves.remove(peer.key, port);
        if self.peers.is_empty() {
            self.carriers.clear();
            return self.start_over(now);
        }
        self.bequeath(port, peer.key, peer.extensions);
        let notices = self.notices_of_loss(port);
        self.forget_routes(port, now);
        if self.tree.parent == Some(port) && self.config.rules.second_parent {
            self.replace_parent(Some(peer.key), now);
        } else if self.tree.parent == Some(port) {
            self.select_parent_anew(now);
        } else {
            self.update_tree();
        }
        self.resend(port, now);
        for (trouble, told) in notices {
            self.tell(trouble, told);
        }
    }

    /// The last peering is gone: nothing that we know is of any use to the next one.
    fn start_over(&mut self, now: Instant) {
        self.snake = Snake::new(self.config.max_routes, now);
        self.broadcasts.clear();
        self.signers.clear();
        self.leaves.clear();
        self.tree.accepted = 0;
        self.timers.clear(RouterTimer::Reparent);
        self.timers.clear(RouterTimer::Maintenance);
        self.timers.clear(RouterTimer::Return);
        self.become_root(now);
    }

    /// Takes a frame of any type but traffic. What is of no use is dropped and counted.
    ///
    /// # Errors
    /// [`PeerMisbehaved`]: close the peering.
    pub fn handle_protocol_frame(&mut self, from: Port, frame: &Frame<'_>, now: Instant) -> Result<(), PeerMisbehaved> {
        if self.peers.get(from).is_none() {
            self.drops.count(DropReason::PeeringClosed);
            return Ok(());
        }
        match frame {
            Frame::Keepalive => Ok(()),
            Frame::Announcement(payload) => self.handle_announcement(from, payload, now),
            Frame::Broadcast(frame) => self.handle_broadcast(from, frame, now),
            Frame::Bootstrap(frame) => {
                self.handle_bootstrap(from, frame, now);
                Ok(())
            }
            Frame::RouteNotice(trouble, body) => self.handle_notice(from, *trouble, body, now),
            Frame::Traffic(_) | Frame::Route(_) | Frame::Unknown(_) => {
                self.drops.count(DropReason::UnknownFrame);
                Ok(())
            }
        }
    }

    /// When [`Router::handle_timeout`] is to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, RouterTimer)> {
        self.timers.next()
    }

    /// Does what is due at `now`. Each timer runs once, however late it is.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                RouterTimer::RootRefresh => self.become_root(now),
                RouterTimer::ParentExpiry | RouterTimer::Reparent => self.select_parent_anew(now),
                RouterTimer::Return => self.let_roots_return(now),
                RouterTimer::Maintenance => {
                    self.check_waiting_announcements(now);
                    self.catch_up_announcing();
                    self.maintain_snake(now);
                }
                RouterTimer::Broadcast => self.maintain_broadcasts(now),
            }
        }
    }

    /// The next protocol frame to send, to whichever port. For callers that take all frames at once; one that can wait
    /// for a slow peer should use [`Router::poll_ready_port`] and [`Router::poll_transmit_to`] instead, because a frame
    /// that stays here can still be superseded.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<(Port, PacketBuf)> {
        while let Some(port) = self.outgoing.first_waiting() {
            if let Some(frame) = self.poll_transmit_to(port) {
                return Some((port, frame));
            }
        }
        None
    }

    /// The next protocol frame for `port`. Announcements are made when they are fetched, so a slow peer gets the
    /// latest.
    #[must_use]
    pub fn poll_transmit_to(&mut self, port: Port) -> Option<PacketBuf> {
        while let Some(next) = self.outgoing.pop(port) {
            match next {
                Outgoing::Frame(frame) => return Some(frame),
                Outgoing::Announcement => {
                    if let Some(frame) = self.announcement_for(port) {
                        return Some(frame);
                    }
                }
            }
        }
        None
    }

    /// A port for which there is something to send since its queue was last empty. Each is named once until then.
    #[must_use]
    pub fn poll_ready_port(&mut self) -> Option<Port> {
        self.outgoing.pop_woken()
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<RouterEvent> {
        self.events.pop(self.tree.root)
    }

    /// Our coordinates: the ports from the root down to us.
    pub fn coords(&self) -> &Coords {
        &self.tree.coords
    }

    /// The root that we follow; ourselves if we have no parent.
    pub fn root(&self) -> Root {
        self.tree.root
    }

    /// Our parent's port.
    pub fn parent(&self) -> Option<Port> {
        self.tree.parent
    }

    /// The coordinates of a peer, if it announced any.
    pub fn peer_coords(&self, port: Port) -> Option<&Coords> {
        self.peers.get(port)?.heard.as_ref().map(|heard| &heard.coords)
    }

    /// The root that a peer follows, if it announced one.
    pub fn peer_root(&self, port: Port) -> Option<Root> {
        self.peers.get(port)?.root()
    }

    /// Number of entries in the snake's routing table.
    pub fn route_count(&self) -> usize {
        self.snake.routes.len()
    }

    /// Protocol frames dropped, by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    /// The counters, for callers that count the drops that [`Router::forward`] and [`Router::originate`] name.
    pub fn drops_mut(&mut self) -> &mut DropCounters {
        &mut self.drops
    }

    /// Signatures checked so far.
    pub fn checks(&self) -> CheckCounters {
        self.checks
    }

    /// Whether we lost trust in our parent and let that spread before choosing another one.
    fn is_waiting(&self) -> bool {
        self.timers.is_set(RouterTimer::Reparent)
    }

    /// The sequence of our next bootstrap or broadcast: the time, and always above the last.
    fn next_sequence(&mut self, now: Instant) -> u64 {
        self.last_sequence = self.clock.at(now).0.max(self.last_sequence.saturating_add(1));
        self.last_sequence
    }

    /// Queues a frame for `port`.
    fn send(&mut self, port: Port, frame: PacketBuf) {
        if self.outgoing.push(port, frame) {
            self.drops.count(DropReason::QueueFull);
        }
    }
}
