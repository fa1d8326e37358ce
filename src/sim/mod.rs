//! A network in a box: many nodes, one virtual clock, one seed.
//!
//! The simulator drives the very [`Node`] of the daemon; it only replaces the shell. A run depends on its seed and its calls alone:
//! events at the same instant happen in the order in which they were scheduled, so a trace repeats byte for byte.

pub mod net;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::addr::Address;
use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Seed};
use crate::node::{Event, Node, NodeConfig, PeerInfo, PeerKind, PeerMisbehaved, Port};
use crate::rng::Rng;
use crate::sim::net::{Link, LinkModel, Net};
use crate::time::{Duration, Instant, UnixMillis};

/// A node of the simulation: its index.
pub type NodeId = usize;

/// What the wall clock shows when a simulation begins: 2026-01-01.
const BEGIN: UnixMillis = UnixMillis(1_767_225_600_000);

/// A running simulation.
#[derive(Debug)]
pub struct Sim {
    now: Instant,
    rng: Rng,
    nodes: Vec<Option<Member>>,
    keypairs: Vec<Arc<Keypair>>,
    configs: Vec<NodeConfig>,
    net: Net,
    /// What each node's host received and has not been asked for.
    received: Vec<Vec<PacketBuf>>,
    events: Vec<Vec<Event>>,
    violations: Vec<String>,
}

#[derive(Debug)]
struct Member {
    node: Node,
    /// The other end of each peering.
    ports: BTreeMap<Port, NodeId>,
}

impl Sim {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::new(bytes);
        Self {
            now: Instant::from_micros(1_000_000),
            net: Net::new(rng.fork()),
            rng,
            nodes: Vec::new(),
            keypairs: Vec::new(),
            configs: Vec::new(),
            received: Vec::new(),
            events: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Adds a node with a random key.
    pub fn add_node(&mut self, config: NodeConfig) -> NodeId {
        let seed = Seed(self.rng.bytes());
        self.add_node_with_key(config, Arc::new(Keypair::from_seed(&seed)))
    }

    /// Adds a node with this key, for runs that are compared with others of the same keys.
    pub fn add_node_with_key(&mut self, config: NodeConfig, keypair: Arc<Keypair>) -> NodeId {
        self.keypairs.push(keypair);
        self.configs.push(config);
        self.received.push(Vec::new());
        self.events.push(Vec::new());
        self.nodes.push(None);
        let id = self.nodes.len() - 1;
        self.start(id);
        id
    }

    /// Starts a node that was stopped: the same key, nothing remembered.
    pub fn start(&mut self, id: NodeId) {
        let unix = UnixMillis(BEGIN.0 + self.now.as_micros() / 1000);
        let node = Node::new(self.configs[id].clone(), self.keypairs[id].clone(), self.rng.bytes(), self.now, unix);
        self.nodes[id] = Some(Member { node, ports: BTreeMap::new() });
    }

    /// Stops a node at once. Its links go down.
    pub fn stop(&mut self, id: NodeId) {
        for other in self.neighbours(id) {
            self.disconnect(id, other);
        }
        self.nodes[id] = None;
    }

    /// Makes a peering between two running nodes.
    pub fn connect(&mut self, a: NodeId, b: NodeId, model: LinkModel) {
        let (Some(port_a), Some(port_b)) = (self.add_peer(a, b), self.add_peer(b, a)) else { return };
        self.net.connect(Link { ends: [(a, port_a), (b, port_b)], model });
        self.flush(a);
        self.flush(b);
    }

    /// Ends the peering between two nodes; both notice at once, and what is on the way is lost.
    pub fn disconnect(&mut self, a: NodeId, b: NodeId) {
        let Some(link) = self.net.disconnect(a, b) else { return };
        for (id, port) in link.ends {
            if let Some(member) = self.nodes[id].as_mut() {
                member.ports.remove(&port);
                member.node.remove_peer(port, self.now);
                self.flush(id);
            }
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A running node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes[id].as_ref().map(|member| &member.node)
    }

    /// Does something to a running node as its daemon would, and carries on with what it wants to send.
    pub fn with_node<T>(&mut self, id: NodeId, act: impl FnOnce(&mut Node, Instant) -> T) -> Option<T> {
        let now = self.now;
        let result = self.nodes[id].as_mut().map(|member| act(&mut member.node, now));
        self.flush(id);
        result
    }

    /// A node's key.
    pub fn key(&self, id: NodeId) -> PublicKey {
        self.keypairs[id].public()
    }

    /// A node's overlay address.
    pub fn address(&self, id: NodeId) -> Address {
        Address::of(&self.key(id))
    }

    /// Nodes that have a peering with `id`.
    pub fn neighbours(&self, id: NodeId) -> Vec<NodeId> {
        self.nodes[id].as_ref().map(|member| member.ports.values().copied().collect()).unwrap_or_default()
    }

    /// Takes the packets that a node's host received.
    pub fn take_received(&mut self, id: NodeId) -> Vec<PacketBuf> {
        std::mem::take(&mut self.received[id])
    }

    /// Takes the events of a node.
    pub fn take_events(&mut self, id: NodeId) -> Vec<Event> {
        std::mem::take(&mut self.events[id])
    }

    /// What no honest node may do and one did: frames that another closed its peering for.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
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

    /// Advances to the next thing that happens and lets it happen; if there is none before `end`, goes to `end` and returns false.
    fn step(&mut self, end: Instant) -> bool {
        let due = |(id, member): (NodeId, &Option<Member>)| Some((member.as_ref()?.node.poll_timeout()?, id));
        let timer = self.nodes.iter().enumerate().filter_map(due).min();
        let arrival = self.net.next_arrival();
        let next = timer.map(|(at, _)| at).into_iter().chain(arrival).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            if let Some((to, port, frame)) = self.net.pop_arrival() {
                self.arrive(to, port, frame);
            }
        } else if let Some((_, id)) = timer {
            self.with_node(id, |node, now| node.handle_timeout(now));
        }
        true
    }

    fn arrive(&mut self, to: NodeId, port: Port, frame: PacketBuf) {
        let outcome = self.with_node(to, |node, now| node.handle_frame(port, frame, now));
        if let Some(Err(misbehaved)) = outcome {
            self.close(to, port, misbehaved);
        }
    }

    /// Closes a peering whose other end broke the protocol.
    fn close(&mut self, at: NodeId, port: Port, why: PeerMisbehaved) {
        self.violations.push(format!("node {at}, port {port}: {why}"));
        if let Some(other) = self.nodes[at].as_ref().and_then(|member| member.ports.get(&port).copied()) {
            self.disconnect(at, other);
        }
    }

    fn add_peer(&mut self, at: NodeId, other: NodeId) -> Option<Port> {
        let key = self.key(other);
        let member = self.nodes[at].as_mut()?;
        let uri = format!("sim://{other}");
        let peer = PeerInfo { key, kind: PeerKind::Remote, uri, inbound: at > other, authenticated: true };
        let port = member.node.add_peer(peer, self.now).ok()?;
        member.ports.insert(port, other);
        Some(port)
    }

    /// Moves everything a node wants to say to where it belongs.
    fn flush(&mut self, id: NodeId) {
        let Some(member) = self.nodes[id].as_mut() else { return };
        while let Some(port) = member.node.poll_ready_port() {
            while let Some(frame) = member.node.poll_transmit(port, self.now) {
                self.net.send(id, port, frame, self.now);
            }
        }
        while let Some(packet) = member.node.poll_tun_packet() {
            self.received[id].push(packet);
        }
        let mut broken = Vec::new();
        while let Some(event) = member.node.poll_event() {
            if let Event::ClosePeer { port, why } = event {
                broken.push((port, why));
            } else {
                self.events[id].push(event);
            }
        }
        for (port, why) in broken {
            self.close(id, port, why);
        }
    }
}
