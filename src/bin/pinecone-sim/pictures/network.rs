//! What a picture of a network needs to know of it: plain values, taken from a simulation or made up by a test.

use std::collections::BTreeMap;

use pinecone::keys::PublicKey;
use pinecone::sim::NodeId;
use pinecone::sim::world::World;

/// A network at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// What it is called.
    pub(crate) name: String,
    /// The seed of its simulation.
    pub(crate) seed: u64,
    /// The moment, in seconds since the beginning.
    pub(crate) seconds: f64,
    /// The nodes, by number.
    pub(crate) nodes: Vec<Place>,
    /// The links: two nodes, and whether it is up.
    pub(crate) links: Vec<(NodeId, NodeId, bool)>,
}

/// A node, and its place in the tree and the snake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Its key.
    pub(crate) key: PublicKey,
    /// Whether it runs.
    pub(crate) is_running: bool,
    /// Its parent in the tree; none if it is the root or does not run.
    pub(crate) parent: Option<NodeId>,
    /// Whose bootstraps end at it: the next lower key that it knows.
    pub(crate) lower: Option<NodeId>,
    /// Links between it and its root.
    pub(crate) depth: usize,
}

impl Network {
    /// A simulated network as it is now.
    pub(crate) fn of(world: &World, name: &str, seed: u64) -> Self {
        let sim = &world.sim;
        let by_key: BTreeMap<PublicKey, NodeId> = (0..sim.len()).map(|id| (sim.key(id), id)).collect();
        let place = |id| {
            let stopped = Place { key: sim.key(id), ..Place::default() };
            let Some(node) = sim.node(id) else { return stopped };
            let find = |key: PublicKey| by_key.get(&key).copied();
            let tree = node.tree();
            Place {
                is_running: true,
                parent: tree.parent.and_then(find),
                lower: node.snake(sim.now()).descending.and_then(find),
                depth: tree.coordinates.len(),
                ..stopped
            }
        };
        let links = world.graph().edges().into_iter().map(|(a, b)| (a, b, sim.are_connected(a, b)));
        Self {
            name: name.to_owned(),
            seed,
            seconds: world.seconds(),
            nodes: (0..sim.len()).map(place).collect(),
            links: links.collect(),
        }
    }

    /// Of each node its place among all keys: 0 is the lowest, 1 the highest.
    pub(crate) fn ranks(&self) -> Vec<f64> {
        let mut order: Vec<NodeId> = (0..self.nodes.len()).collect();
        order.sort_by_key(|id| self.nodes[*id].key);
        let mut ranks = vec![0.0; self.nodes.len()];
        let last = self.nodes.len().saturating_sub(1).max(1) as f64;
        for (rank, id) in order.into_iter().enumerate() {
            ranks[id] = rank as f64 / last;
        }
        ranks
    }

    /// Of each node how many there are below it in the tree, itself included.
    pub(crate) fn weights(&self) -> Vec<usize> {
        let mut weights = vec![0; self.nodes.len()];
        for id in 0..self.nodes.len() {
            let mut at = Some(id);
            // While a tree changes, parents can form a circle for a moment.
            for _ in 0..self.nodes.len() {
                let Some(here) = at else { break };
                weights[here] += 1;
                at = self.nodes[here].parent;
            }
        }
        weights
    }

    /// Running nodes without a parent, with others below them or alone.
    pub(crate) fn roots(&self) -> Vec<NodeId> {
        let is_root = |id: &NodeId| self.nodes[*id].is_running && self.nodes[*id].parent.is_none();
        (0..self.nodes.len()).filter(is_root).collect()
    }
}
