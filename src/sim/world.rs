//! A network over time: a graph of nodes that start, crash, come back and move, on top of [`Sim`].

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::Scheme;
use crate::node::NodeConfig;
use crate::rng::Rng;
use crate::sim::graph::Graph;
use crate::sim::net::LinkModel;
use crate::sim::probe::Way;
use crate::sim::{NodeId, Sim};
use crate::time::{Duration, Instant};

/// What a network is made of, besides its graph.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything random follows from it.
    pub seed: u64,
    /// Real signatures, or the fast mode.
    pub scheme: Scheme,
    /// What every node is told.
    pub config: NodeConfig,
    /// How links behave.
    pub link: LinkModel,
    /// Nodes start at a random time within this.
    pub start_within: Duration,
}

impl Default for Setup {
    /// What the metrics are defined for: links of 5 ms ± 10 %, daemons that start within a second.
    fn default() -> Self {
        Self {
            seed: 1,
            scheme: Scheme::Ed25519,
            config: NodeConfig { firewall: crate::ip::firewall::Policy::Open, ..NodeConfig::default() },
            link: LinkModel::default(),
            start_within: Duration::from_secs(1),
        }
    }
}

/// A network.
#[derive(Debug)]
pub struct World {
    /// Its nodes and links.
    pub sim: Sim,
    /// The links that there would be if all nodes ran.
    graph: Graph,
    link: LinkModel,
    /// Links that are not like the others.
    links: BTreeMap<(NodeId, NodeId), LinkModel>,
    rng: Rng,
    begun: Instant,
}

impl World {
    /// A network whose nodes are all stopped.
    pub fn new(graph: Graph, setup: &Setup) -> Self {
        let mut sim = Sim::with_scheme(setup.seed, setup.scheme);
        for _ in 0..graph.len() {
            let keypair = sim.random_keypair();
            sim.add_stopped_node(setup.config.clone(), keypair);
        }
        let mut seed = [0xa5; 32];
        seed[..8].copy_from_slice(&setup.seed.to_be_bytes());
        let begun = sim.now();
        Self { sim, graph, link: setup.link, links: BTreeMap::new(), rng: Rng::new(seed), begun }
    }

    /// A network whose nodes start within the setup's time; returns at once, with none started: see [`World::start_all`].
    pub fn started(graph: Graph, setup: &Setup) -> Self {
        let mut world = Self::new(graph, setup);
        world.start_all(setup.start_within);
        world
    }

    /// Starts all stopped nodes, each at a random time within `span`, and lets that time pass.
    pub fn start_all(&mut self, span: Duration) {
        let begin = self.sim.now();
        let mut plan: Vec<(u64, NodeId)> = (0..self.sim.len())
            .filter(|id| self.sim.node(*id).is_none())
            .map(|id| (self.rng.below(span.as_micros().max(1) as u64), id))
            .collect();
        plan.sort_unstable();
        for (after, id) in plan {
            self.sim.run_to(begin + Duration::from_micros(after));
            self.start(id);
        }
        self.sim.run_to(begin + span);
    }

    /// Starts a node and its links to those that run.
    pub fn start(&mut self, id: NodeId) {
        if self.sim.node(id).is_none() {
            self.sim.start(id);
        }
        let others: Vec<_> = self.graph.neighbours(id).filter(|other| self.sim.node(*other).is_some()).collect();
        for other in others {
            self.link_up(id, other);
        }
    }

    /// Stops a node; its links go down at once.
    pub fn crash(&mut self, id: NodeId) {
        self.sim.stop(id);
    }

    /// Adds a node with its links, and starts it.
    pub fn join(
        &mut self,
        keypair: std::sync::Arc<crate::keys::Keypair>,
        config: NodeConfig,
        links: &[NodeId],
    ) -> NodeId {
        let id = self.sim.add_stopped_node(config, keypair);
        for other in links {
            self.graph.add(id, *other);
        }
        self.start(id);
        id
    }

    /// Makes the links those of `graph`: what is not in it goes down, what is new comes up.
    pub fn become_graph(&mut self, graph: Graph) {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) =
            (self.graph.edges().into_iter().collect(), graph.edges().into_iter().collect());
        for (a, b) in old.difference(&new) {
            self.sim.disconnect(*a, *b);
        }
        self.graph = graph;
        for (a, b) in new.difference(&old) {
            self.link_up(*a, *b);
        }
    }

    /// Adds a link.
    pub fn add_link(&mut self, a: NodeId, b: NodeId) {
        self.graph.add(a, b);
        self.link_up(a, b);
    }

    /// Brings up a link of the graph.
    pub fn link_up(&mut self, a: NodeId, b: NodeId) {
        if self.sim.node(a).is_some() && self.sim.node(b).is_some() && !self.sim.are_connected(a, b) {
            let model = self.links.get(&(a.min(b), a.max(b))).copied().unwrap_or(self.link);
            self.sim.connect(a, b, model);
        }
    }

    /// Makes one link different from the others, now and whenever it comes up.
    pub fn set_link(&mut self, a: NodeId, b: NodeId, model: LinkModel) {
        self.links.insert((a.min(b), a.max(b)), model);
        self.sim.set_link(a, b, model);
    }

    /// Takes a link down, for as long as nobody brings it up.
    pub fn link_down(&mut self, a: NodeId, b: NodeId) {
        self.sim.disconnect(a, b);
    }

    /// The links as they are now, running nodes only.
    pub fn present(&self) -> Graph {
        let edges = self.graph.edges();
        Graph::new(self.sim.len(), edges.into_iter().filter(|(a, b)| self.sim.are_connected(*a, *b)))
    }

    /// The links that there would be if all ran.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.sim.now().saturating_since(self.begun).as_secs_f64()
    }

    /// Running nodes.
    pub fn running(&self) -> Vec<NodeId> {
        (0..self.sim.len()).filter(|id| self.sim.node(*id).is_some()).collect()
    }

    /// The running node with the highest key: the root, where all are connected.
    pub fn highest(&self) -> Option<NodeId> {
        self.running().into_iter().max_by_key(|id| self.sim.key(*id))
    }

    /// Pairs of different running honest nodes with a way between them through honest nodes; fewer than `count` if few are
    /// connected.
    pub fn pairs(&mut self, count: usize) -> Vec<(NodeId, NodeId)> {
        self.pairs_where(count, |_, _| true)
    }

    /// Those of [`World::pairs`] that `wanted` takes.
    pub fn pairs_where(&mut self, count: usize, wanted: impl Fn(NodeId, NodeId) -> bool) -> Vec<(NodeId, NodeId)> {
        let nodes: Vec<_> = self.running().into_iter().filter(|id| !self.sim.is_corrupt(*id)).collect();
        if nodes.len() < 2 {
            return Vec::new();
        }
        let parts = parts(&self.present(), |id| !self.sim.is_corrupt(id));
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..20 * count {
            let mut any = || nodes[self.rng.below(nodes.len() as u64) as usize];
            let (a, b) = (any(), any());
            if a != b && parts[a] == parts[b] && wanted(a, b) {
                pairs.push((a, b));
                if pairs.len() == count {
                    break;
                }
            }
        }
        pairs
    }

    /// Sends a probe between each pair.
    pub fn probe_all(&mut self, pairs: &[(NodeId, NodeId)], way: Way) {
        for (a, b) in pairs {
            self.sim.probe(*a, *b, way);
        }
    }

    /// Share of pairs that answer within `limit`, in percent; that time passes.
    pub fn answering(&mut self, pairs: &[(NodeId, NodeId)], way: Way, limit: Duration) -> f64 {
        self.sim.take_probes();
        self.probe_all(pairs, way);
        let deadline = self.sim.now() + limit;
        self.sim.run_to(deadline);
        let answered = self.sim.take_probes().iter().filter(|probe| probe.answered_by(deadline)).count();
        percent(answered, pairs.len())
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// `count` different ones of `from`.
    pub fn choose<T: Copy>(&mut self, mut from: Vec<T>, count: usize) -> Vec<T> {
        let mut chosen = Vec::with_capacity(count.min(from.len()));
        while chosen.len() < count && !from.is_empty() {
            let at = self.below(from.len());
            chosen.push(from.swap_remove(at));
        }
        chosen
    }
}

/// `part` of `whole` in percent; all of nothing is everything.
pub fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// For each node a number that it shares with those that it is connected to through nodes that `passes` lets through.
fn parts(graph: &Graph, passes: impl Fn(NodeId) -> bool) -> Vec<usize> {
    let mut parts = vec![usize::MAX; graph.len()];
    for node in 0..graph.len() {
        if parts[node] != usize::MAX || !passes(node) {
            continue;
        }
        let mut stack = vec![node];
        parts[node] = node;
        while let Some(at) = stack.pop() {
            for other in graph.neighbours(at) {
                if parts[other] == usize::MAX && passes(other) {
                    parts[other] = node;
                    stack.push(other);
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::generate::{Shape, generate};

    fn grid(seed: u64, scheme: Scheme) -> World {
        let graph = generate(Shape::Grid { nodes: 25 }, &mut Rng::new([1; 32]));
        World::started(graph, &Setup { seed, scheme, ..Setup::default() })
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_byte_for_byte_and_another_one_does_not() {
        let trace = |seed| {
            let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            let graph = generate(Shape::Grid { nodes: 25 }, &mut Rng::new([1; 32]));
            let mut world = World::new(graph, &Setup { seed, ..Setup::default() });
            let into = log.clone();
            world.sim.observe(Box::new(move |arrival| {
                into.borrow_mut().push((arrival.at, arrival.node, arrival.port, arrival.frame.to_vec()));
            }));
            world.start_all(Duration::from_secs(1));
            world.crash(7);
            world.sim.run_for(Duration::from_secs(3));
            drop(world);
            log.take()
        };
        let first = trace(1);
        assert!(first.len() > 1_000);
        assert_eq!(first, trace(1));
        assert_ne!(first, trace(2));
    }

    #[test]
    fn simulated_signatures_change_no_decision() {
        let digest = |scheme| {
            let mut world = grid(5, scheme);
            world.sim.run_for(Duration::from_secs(10));
            (world.sim.digest(), world.sim.happened())
        };
        assert_eq!(digest(Scheme::Ed25519), digest(Scheme::Simulated));
    }

    #[test]
    fn every_pair_answers_once_the_network_has_settled_by_either_way() {
        let mut world = grid(2, Scheme::Simulated);
        world.sim.run_for(Duration::from_secs(30));
        let pairs = world.pairs(300);
        for way in [Way::Key, Way::Coordinates] {
            assert_eq!(world.answering(&pairs, way, Duration::from_secs(1)), 100.0, "{way:?}");
        }
    }

    #[test]
    fn a_graph_that_changes_takes_links_down_and_up_and_pairs_are_connected() {
        let mut world = World::started(Graph::new(4, [(0, 1), (2, 3)]), &Setup::default());
        assert!(world.pairs(50).iter().all(|(a, b)| a / 2 == b / 2));
        world.become_graph(Graph::new(4, [(0, 1), (1, 2)]));
        assert!(world.sim.are_connected(1, 2) && !world.sim.are_connected(2, 3));
        world.crash(0);
        assert!(world.pairs(50).iter().all(|pair| [(1, 2), (2, 1)].contains(pair)));
        world.start(0);
        assert!(world.sim.are_connected(0, 1));
    }
}
