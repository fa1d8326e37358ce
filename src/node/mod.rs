//! The node: router, sessions and resolver put together; the object that the daemon, the simulator and the fuzzers drive.
//!
//! ```text
//! host ─ handle_tun_packet ─► outbound: address → key → session (sealed in place) ─► Router::originate ─► outbox
//! peer ─ handle_frame ──────► Router::forward ─┬─► another peering: outbox ─ poll_ready_port, poll_transmit ─► peer
//!                                              └─► ours: inbound: session (opened in place) ─ poll_tun_packet ─► host
//! ```
//!
//! After every `handle_*` call the caller drains, in this order: [`Node::poll_ready_port`] with [`Node::poll_transmit`],
//! [`Node::poll_tun_packet`], [`Node::poll_event`]; then it reads [`Node::poll_timeout`] and calls
//! [`Node::handle_timeout`] when that time has come. Nothing here blocks, reads a clock or fails on input: what cannot be handled is
//! counted by [`DropReason`].

mod config;
pub mod counters;
mod flow;
pub mod fuzz_body;
mod inbound;
pub mod measures;
mod outbound;
pub mod outbox;
pub mod pacer;
mod peering;
mod questions;
mod reconfigure;
mod report;
pub mod requests;
pub mod resolver;
pub mod routes;
pub mod status;
mod transmit;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::addr::{Address, Destination, Subnet};
use crate::bounded::TokenBucket;
use crate::buf::PacketBuf;
use crate::drops::{DropCounters, DropReason};
use crate::ip::firewall::Firewall;
use crate::keys::{Keypair, PublicKey};
use crate::node::counters::Counters;
use crate::node::peering::Peering;
use crate::node::requests::Requests;
use crate::node::resolver::Resolver;
use crate::node::routes::Routes;
use crate::node::waiting::Waiting;
use crate::rng::Rng;
use crate::router::{PortsExhausted, Router, RouterConfig, RouterEvent, Verdict};
use crate::session::{SessionConfig, SessionEvent, Sessions};
use crate::time::{Instant, UnixClock, UnixMillis};
use crate::wire::coords::Coords;

pub use crate::node::config::NodeConfig;
pub use crate::node::peering::PeerInfo;
pub use crate::node::requests::RequestId;
pub use crate::node::routes::RouteConfig;
pub use crate::node::transmit::PeerPolicy;
pub use crate::router::{PeerKind, PeerMisbehaved, Port};

/// Packets for the host that the caller has not taken yet: one batch of the core loop.
const MAX_TUN_BACKLOG: usize = 1024;
/// ICMPv6 errors per second, and at once: enough for any number of applications, useless for a flood (RFC 4443 §2.4 f).
const ICMP_RATE: u32 = 100;
/// Answers to lookups per second: each costs one signature (about 15 µs).
const ANSWER_RATE: u32 = 200;

/// Whom to look up or ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node by its key.
    Key(PublicKey),
    /// An address or a host behind a routed prefix.
    Address(Destination),
}

/// What happened that the caller may want to act on or tell people.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer turned out to have broken the protocol: close the peering and call [`Node::remove_peer`].
    ClosePeer {
        /// Which peering.
        port: Port,
        /// What it did.
        why: PeerMisbehaved,
    },
    /// We follow another root now.
    RootChanged(PublicKey),
    /// Our coordinates are others now.
    CoordinatesChanged,
    /// A session came up.
    SessionUp(PublicKey),
    /// A session ended.
    SessionDown(PublicKey),
    /// The answer to [`Node::lookup`]; `None` if nobody answered in time.
    Lookup(RequestId, Option<status::LookupAnswer>),
    /// The answer to [`Node::ping`]; `None` if nobody answered in time.
    Ping(RequestId, Option<status::PingAnswer>),
    /// The answer to [`Node::trace`]; `None` if the target's key is not known.
    Trace(RequestId, Option<status::TraceAnswer>),
    /// The answer to [`Node::path`]; `None` if there is no session.
    Path(RequestId, Option<status::PathStatus>),
}

/// One node of the overlay, without I/O.
#[derive(Debug)]
pub struct Node {
    keypair: Arc<Keypair>,
    address: Address,
    subnet: Subnet,
    started_at: Instant,
    rng: Rng,

    router: Router,
    sessions: Sessions,
    resolver: Resolver,
    waiting: Waiting,
    firewall: Firewall,
    requests: Requests,
    routes: Routes,

    peerings: BTreeMap<Port, Peering>,
    /// How many of them should have short frames.
    slow_peerings: usize,
    /// Ports with something to send that the caller has not been told of.
    ready: BTreeSet<Port>,
    /// Ports that wait for their cap, and until when.
    paced: BTreeSet<(Instant, Port)>,
    tun_packets: VecDeque<PacketBuf>,
    events: VecDeque<Event>,

    icmp_budget: TokenBucket,
    answer_budget: TokenBucket,
    drops: DropCounters,
    packets_sent: u64,
    packets_delivered: u64,
    frames_forwarded: u64,
    counters: Counters,
    max_routes: usize,
    max_sessions: usize,
}

impl Node {
    /// A node without peers. `seed` is its only randomness; `unix` is what the wall clock says at `now`.
    pub fn new(config: NodeConfig, keypair: Arc<Keypair>, seed: [u8; 32], now: Instant, unix: UnixMillis) -> Self {
        let clock = UnixClock::new(unix, now);
        let mut rng = Rng::new(seed);
        // The sequence starts from the clock so that a restarted root is not taken for its own past (pitfall 10).
        let router_config = RouterConfig {
            initial_sequence: unix.0,
            max_routes: config.max_routes,
            rules: config.rules(),
            transit: config.transit,
            timings: config.profile.timings,
            ..RouterConfig::default()
        };
        let session_config =
            SessionConfig { psk: config.psk, mtu: config.mtu, max_sessions: config.max_sessions, aes: config.aes };
        let router = Router::new(router_config, keypair.clone(), clock, now);
        let sessions = Sessions::new(session_config, keypair.clone(), rng.fork(), clock, now);
        let public = keypair.public();
        let mut node = Self {
            firewall: Firewall::new(config.firewall, now),
            keypair,
            address: Address::of(&public),
            subnet: Subnet::of(&public),
            started_at: now,
            rng,
            router,
            sessions,
            resolver: Resolver::default(),
            waiting: Waiting::default(),
            requests: Requests::default(),
            routes: Routes::new(config.routes, now),
            peerings: BTreeMap::new(),
            slow_peerings: 0,
            ready: BTreeSet::new(),
            paced: BTreeSet::new(),
            tun_packets: VecDeque::new(),
            events: VecDeque::new(),
            icmp_budget: TokenBucket::new(ICMP_RATE, ICMP_RATE, now),
            answer_budget: TokenBucket::new(ANSWER_RATE, ANSWER_RATE, now),
            drops: DropCounters::default(),
            packets_sent: 0,
            packets_delivered: 0,
            frames_forwarded: 0,
            counters: Counters::default(),
            max_routes: config.max_routes,
            max_sessions: config.max_sessions,
        };
        node.tell_coordinates(now);
        node.settle(now);
        node
    }

    /// Our public key.
    pub fn public_key(&self) -> PublicKey {
        self.keypair.public()
    }

    /// The router, to look at.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Where a traffic frame that came from a peering would go: the routing half of [`Node::handle_frame`], which queues and counts
    /// nothing. The frame is rewritten for its next hop.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn route_frame(&mut self, from: Port, frame: &mut PacketBuf, now: Instant) -> Result<Verdict, PeerMisbehaved> {
        self.router.forward(from, frame, now)
    }

    /// Where a new frame with this payload would go, by the given coordinates if there are any: the routing half of sending one.
    pub fn route_new(
        &mut self,
        to: &PublicKey,
        coords: Option<&Coords>,
        payload: &mut PacketBuf,
        now: Instant,
    ) -> Verdict {
        self.router.originate(to, coords, payload, now)
    }

    /// Takes in a peering that came up and gives it the lowest free port.
    ///
    /// # Errors
    /// If all [`MAX_PORT`](crate::router::MAX_PORT) ports are in use.
    pub fn add_peer(&mut self, peer: PeerInfo, now: Instant) -> Result<Port, PortsExhausted> {
        let port = self.router.add_peer(peer.key, peer.kind, peer.extensions, now)?;
        self.peerings.insert(port, Peering::new(peer, now));
        self.counters.peerings_up += 1;
        self.settle(now);
        Ok(port)
    }

    /// Forgets a peering. What waits for it is dropped and counted.
    pub fn remove_peer(&mut self, port: Port, now: Instant) {
        let Some(peering) = self.peerings.remove(&port) else { return };
        self.slow_peerings -= usize::from(peering.is_slow());
        self.ready.remove(&port);
        self.paced.retain(|(_, paced)| *paced != port);
        self.counters.peerings_down += 1;
        self.drops.add(DropReason::PeeringClosed, peering.outbox.len() as u64);
        let hop = self.router.hop(port);
        self.router.remove_peer(port, now);
        hop.iter().for_each(|hop| self.routes.lose_peering(*hop, now));
        self.settle(now);
    }

    /// Acts on every deadline that has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.router.handle_timeout(now);
        self.sessions.handle_timeout(now);
        self.wake_paced(now);
        while let Some(destination) = self.resolver.poll_given_up(now) {
            self.give_up(&destination, now);
        }
        for packet in self.waiting.take_expired(now) {
            self.drops.count(DropReason::WaitingRoom);
            self.reject(&packet, outbound::Rejection::AddressUnreachable, now);
        }
        self.routes.handle_timeout(now);
        self.answer_later(now);
        self.expire_traces(now);
        for (id, request) in self.requests.take_expired(now) {
            self.give_up_question(id, request.asked, now);
        }
        self.settle(now);
    }

    /// The next packet for the host.
    #[must_use]
    pub fn poll_tun_packet(&mut self) -> Option<PacketBuf> {
        self.tun_packets.pop_front()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Node::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.router.poll_timeout().map(|(at, _)| at),
            self.sessions.poll_timeout().map(|(at, _)| at),
            self.resolver.poll_timeout(),
            self.waiting.poll_timeout(),
            self.requests.poll_timeout(),
            self.routes.poll_timeout(),
            self.paced.first().map(|(at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Counts a packet that the caller had to drop.
    pub fn count_drop(&mut self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    /// Counts what the caller had to drop.
    pub fn count_drops(&mut self, reason: DropReason, count: u64) {
        self.drops.add(reason, count);
    }

    /// Lets the parts react to one another until nothing is left to do: the router's frames into the outboxes, the sessions'
    /// messages to the router, their events to whoever waits for them.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut busy = false;
            while let Some(event) = self.router.poll_event() {
                busy = true;
                self.on_router_event(&event, now);
            }
            while let Some(event) = self.sessions.poll_event() {
                busy = true;
                self.on_session_event(event, now);
            }
            while let Some((to, message)) = self.sessions.poll_transmit() {
                busy = true;
                self.send_control(&to, message, now);
            }
            busy |= self.run_errands(now);
            while let Some(question) = self.resolver.poll_question(now) {
                busy = true;
                self.send_question(&question, now);
            }
            while let Some(port) = self.router.poll_ready_port() {
                self.wake(port);
            }
            if !busy {
                return;
            }
        }
    }

    fn on_router_event(&mut self, event: &RouterEvent, now: Instant) {
        match event {
            RouterEvent::RootChanged(root) => {
                self.counters.root_changes += 1;
                self.events.push_back(Event::RootChanged(root.key));
                self.tell_coordinates(now);
            }
            RouterEvent::CoordinatesChanged => {
                self.counters.coordinate_changes += 1;
                self.events.push_back(Event::CoordinatesChanged);
                self.tell_coordinates(now);
            }
            RouterEvent::PeerMisbehaved { port, why } => {
                self.events.push_back(Event::ClosePeer { port: *port, why: *why });
            }
            RouterEvent::WakeupBroadcast(key) => self.on_wakeup(*key, now),
        }
    }

    /// A node not far from here came up, or says once a minute that it is there. Its broadcast is signed, so it also says whose its
    /// addresses are.
    fn on_wakeup(&mut self, key: PublicKey, now: Instant) {
        self.sessions.heard_of(&key, now);
        self.learn(key, now);
    }

    /// A key has proven to exist: whoever waits for one of its addresses goes on.
    fn learn(&mut self, key: PublicKey, now: Instant) {
        self.resolver.learn(key);
        for destination in [Destination::Node(Address::of(&key)), Destination::Routed(Subnet::of(&key))] {
            self.resolver.settle(&destination);
            self.resolved(&destination, key, now);
        }
    }

    fn on_session_event(&mut self, event: SessionEvent, now: Instant) {
        match event {
            SessionEvent::Up(key) => {
                self.counters.sessions_up += 1;
                self.events.push_back(Event::SessionUp(key));
                self.learn(key, now);
            }
            SessionEvent::Down(key) => {
                self.counters.sessions_down += 1;
                self.routes.forget(&key);
                self.events.push_back(Event::SessionDown(key));
            }
            SessionEvent::Silent(key) => self.routes.silent(&key, now),
            SessionEvent::Pong { key, id, rtt } => self.on_pong(key, RequestId(id), rtt, now),
            SessionEvent::CoordinatesChanged(_) => {}
        }
    }

    fn tell_coordinates(&mut self, now: Instant) {
        self.sessions.set_own_coordinates(self.router.root().key, self.router.coords().clone(), now);
    }

    fn owner_of(&self, destination: &Destination) -> Option<PublicKey> {
        let own = self.keypair.public();
        if destination.belongs_to(&own) { Some(own) } else { self.resolver.owner(destination) }
    }
}
