//! A network in a box: many nodes, one virtual clock, one seed.
//!
//! The simulator drives the very [`Node`] of the daemon; it only replaces the shell. A run depends on its seed and its calls alone:
//! events at the same instant happen in the order in which they were scheduled, so a trace repeats byte for byte.
//!
//! - `queue`, `net`: what happens when, and what links do to frames;
//! - [`Sim`]: nodes, peerings, time; `deliver`: how frames and packets move between them;
//! - [`probe`]: single frames followed hop by hop; [`flow`]: packets from host to host, as applications send them;
//! - [`adversary`]: nodes that do not play by the rules;
//! - [`graph`], [`generate`], [`mobility`]: what networks look like; [`world`]: a network over time;
//! - [`metrics`]: what is measured; [`scenario`], [`play`]: what users write down, and what comes of it.

pub mod adversary;
mod deliver;
pub mod flow;
pub mod generate;
pub mod graph;
pub mod metrics;
pub mod mobility;
pub mod net;
pub mod play;
pub mod probe;
mod queue;
pub mod scenario;
pub mod stats;
pub mod world;

use std::sync::Arc;

use crate::addr::Address;
use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Scheme, Seed};
use crate::node::{Event, Node, NodeConfig, PeerInfo, PeerKind, Port};
use crate::rng::Rng;
use crate::sim::adversary::{Adversary, Plan};
use crate::sim::deliver::Happening;
use crate::sim::flow::Flows;
use crate::sim::net::{End, LinkId, LinkModel, Net};
use crate::sim::probe::Probes;
use crate::sim::queue::Queue;
use crate::sim::stats::{Counters, Observer, Trace};
use crate::time::{Duration, Instant, UnixMillis};

/// A node of the simulation: its index.
pub type NodeId = usize;

/// What the wall clock shows when a simulation begins: 2026-01-01.
const BEGIN: UnixMillis = UnixMillis(1_767_225_600_000);
/// When nothing is due.
const NEVER: Instant = Instant::from_micros(u64::MAX);

/// A running simulation.
#[derive(Debug)]
pub struct Sim {
    now: Instant,
    rng: Rng,
    scheme: Scheme,
    nodes: Vec<Member>,
    net: Net,
    queue: Queue<Happening>,
    probes: Probes,
    flows: Flows,
    trace: Trace,
    violations: Vec<String>,
    happened: u64,
}

#[derive(Debug)]
struct Member {
    keypair: Arc<Keypair>,
    config: NodeConfig,
    /// Absent while it is stopped.
    node: Option<Node>,
    /// Which end of which link each of its ports is; index = port.
    ends: Vec<Option<End>>,
    /// For when its timer is in the queue; [`NEVER`] if it is not.
    timer_at: Instant,
    adversary: Option<Box<Adversary>>,
    counters: Counters,
    /// What its host received and has not been asked for.
    received: Vec<PacketBuf>,
    events: Vec<Event>,
}

impl Sim {
    /// An empty network with real signatures.
    pub fn new(seed: u64) -> Self {
        Self::with_scheme(seed, Scheme::Ed25519)
    }

    /// An empty network whose nodes sign by `scheme`.
    pub fn with_scheme(seed: u64, scheme: Scheme) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::new(bytes);
        Self {
            now: Instant::from_micros(1_000_000),
            net: Net::new(rng.fork()),
            rng,
            scheme,
            nodes: Vec::new(),
            queue: Queue::new(),
            probes: Probes::default(),
            flows: Flows::default(),
            trace: Trace::default(),
            violations: Vec::new(),
            happened: 0,
        }
    }

    /// Adds a node with a random key and starts it.
    pub fn add_node(&mut self, config: NodeConfig) -> NodeId {
        let keypair = self.random_keypair();
        self.add_node_with_key(config, keypair)
    }

    /// Adds a node with this key and starts it.
    pub fn add_node_with_key(&mut self, config: NodeConfig, keypair: Arc<Keypair>) -> NodeId {
        let id = self.add_stopped_node(config, keypair);
        self.start(id);
        id
    }

    /// Adds a node that is not running yet.
    pub fn add_stopped_node(&mut self, config: NodeConfig, keypair: Arc<Keypair>) -> NodeId {
        self.nodes.push(Member {
            keypair,
            config,
            node: None,
            ends: Vec::new(),
            timer_at: NEVER,
            adversary: None,
            counters: Counters::default(),
            received: Vec::new(),
            events: Vec::new(),
        });
        self.nodes.len() - 1
    }

    /// A key pair of this simulation's scheme.
    pub fn random_keypair(&mut self) -> Arc<Keypair> {
        Arc::new(Keypair::from_seed(&Seed(self.rng.bytes())).with_scheme(self.scheme))
    }

    /// Starts a node that was stopped: the same key, nothing remembered.
    pub fn start(&mut self, id: NodeId) {
        let unix = UnixMillis(BEGIN.0 + self.now.as_micros() / 1000);
        let seed = self.rng.bytes();
        let member = &mut self.nodes[id];
        member.node = Some(Node::new(member.config.clone(), member.keypair.clone(), seed, self.now, unix));
        self.flush(id);
    }

    /// Stops a node at once. Its links go down.
    pub fn stop(&mut self, id: NodeId) {
        let links: Vec<LinkId> = self.nodes[id].ends.iter().flatten().map(|end| end.link).collect();
        for link in links {
            self.drop_link(link);
        }
        self.nodes[id].node = None;
        self.nodes[id].timer_at = NEVER;
    }

    /// Makes a peering between two running nodes.
    pub fn connect(&mut self, a: NodeId, b: NodeId, model: LinkModel) {
        let Some(port_a) = self.add_peer(a, b) else { return };
        let Some(port_b) = self.add_peer(b, a) else {
            let now = self.now;
            self.with_node(a, |node, _| node.remove_peer(port_a, now));
            return;
        };
        let link = self.net.connect([(a, port_a), (b, port_b)], model);
        for (side, (id, port)) in [(0, (a, port_a)), (1, (b, port_b))] {
            let ends = &mut self.nodes[id].ends;
            if ends.len() <= usize::from(port) {
                ends.resize(usize::from(port) + 1, None);
            }
            ends[usize::from(port)] = Some(End { link, side });
        }
        self.flush(a);
        self.flush(b);
    }

    /// Ends a peering between two nodes; both notice at once, and what is on the way is lost.
    pub fn disconnect(&mut self, a: NodeId, b: NodeId) {
        if let Some(link) = self.net.between(a, b) {
            self.drop_link(link);
        }
    }

    /// Changes how the link between two nodes behaves from now on.
    pub fn set_link(&mut self, a: NodeId, b: NodeId, model: LinkModel) {
        if let Some(link) = self.net.between(a, b) {
            self.net.set_model(link, model);
        }
    }

    /// Whether two nodes have a peering.
    pub fn are_connected(&self, a: NodeId, b: NodeId) -> bool {
        self.net.between(a, b).is_some()
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Number of nodes, stopped ones included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of links.
    pub fn link_count(&self) -> usize {
        self.net.len()
    }

    /// Events that happened so far: arrivals, timers, hops of probes.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// A running node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes[id].node.as_ref()
    }

    /// Does something to a running node as its daemon would, and carries on with what it wants to send.
    pub fn with_node<T>(&mut self, id: NodeId, act: impl FnOnce(&mut Node, Instant) -> T) -> Option<T> {
        let now = self.now;
        let result = self.nodes[id].node.as_mut().map(|node| act(node, now));
        self.flush(id);
        result
    }

    /// A node's key.
    pub fn key(&self, id: NodeId) -> PublicKey {
        self.nodes[id].keypair.public()
    }

    /// A node's overlay address.
    pub fn address(&self, id: NodeId) -> Address {
        Address::of(&self.key(id))
    }

    /// Nodes that have a peering with `id`.
    pub fn neighbours(&self, id: NodeId) -> Vec<NodeId> {
        let ends = self.nodes[id].ends.iter().flatten();
        ends.filter_map(|end| self.net.at(end.opposite())).map(|(other, _)| other).collect()
    }

    /// Takes the packets that a node's host received.
    pub fn take_received(&mut self, id: NodeId) -> Vec<PacketBuf> {
        std::mem::take(&mut self.nodes[id].received)
    }

    /// Takes the events of a node.
    pub fn take_events(&mut self, id: NodeId) -> Vec<Event> {
        std::mem::take(&mut self.nodes[id].events)
    }

    /// What a node sent so far.
    pub fn counters(&self, id: NodeId) -> &Counters {
        &self.nodes[id].counters
    }

    /// What no honest node may do and one did: frames that another closed its peering for.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// A number that two runs share exactly if the same things happened at the same times to the same nodes.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// Shows every frame that arrives to `observer`.
    pub fn observe(&mut self, observer: Observer) {
        self.trace.observe(observer);
    }

    /// Turns a node into an adversary, or with `None` back into an honest one.
    pub fn corrupt(&mut self, id: NodeId, plan: Option<Plan>) {
        self.nodes[id].adversary = plan.map(|plan| Box::new(Adversary::new(plan)));
        if self.nodes[id].adversary.is_some() {
            self.queue.push(self.now, Happening::Plot(id));
        }
    }

    /// Whether a node is an adversary.
    pub fn is_corrupt(&self, id: NodeId) -> bool {
        self.nodes[id].adversary.is_some()
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_to(self.now + span);
    }

    /// Lets time pass until `end`.
    pub fn run_to(&mut self, end: Instant) {
        while self.step(end) {}
    }

    /// Runs until `done`, at most for `limit`; says whether it came true.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return done(self);
            }
        }
    }

    fn drop_link(&mut self, link: LinkId) {
        let Some(ends) = self.net.disconnect(link) else { return };
        for (id, port) in ends {
            self.nodes[id].ends[usize::from(port)] = None;
            let now = self.now;
            if let Some(node) = self.nodes[id].node.as_mut() {
                node.remove_peer(port, now);
                self.flush(id);
            }
        }
    }

    fn add_peer(&mut self, at: NodeId, other: NodeId) -> Option<Port> {
        let key = self.key(other);
        let uri = format!("sim://{other}");
        let extensions = self.nodes[other].config.extensions();
        let (kind, inbound) = (PeerKind::Remote, at > other);
        let peer = PeerInfo { key, kind, uri, inbound, authenticated: true, extensions };
        self.nodes[at].node.as_mut()?.add_peer(peer, self.now).ok()
    }
}
