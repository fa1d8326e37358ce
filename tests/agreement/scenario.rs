//! What is run in both worlds: the network, the keys, the pairs that are measured.

use std::sync::Arc;
use std::time::Duration;

use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::rng::Rng;

/// Nodes on one side of the grid.
const SIDE: usize = 8;
/// All nodes.
pub(crate) const NODES: usize = SIDE * SIDE;
/// Links of each half's grid that are left out, so that there are detours and no two ways are alike.
const MISSING_PER_HALF: usize = 8;
/// Rows in which the halves are joined: few, so that many shortest ways bend towards them.
const BRIDGE_ROWS: [usize; 2] = [2, 5];
/// Measured partners of each node.
const PARTNERS: usize = 2;
/// How long the halves stay as they are once they are right: bootstraps have become slower by then, as in any network that meets
/// another one. Up to a tick of the snake (250 ms) is added, so that networks meet in all phases of it.
const REST: Duration = Duration::from_secs(2);
const TICK_MILLIS: u64 = 250;

/// A link between two nodes, by their indices.
pub(crate) type Edge = (usize, usize);

/// A network in two halves, and what is measured in it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Keys do not follow the places in the grid, so merging the halves means weaving two snakes together.
    pub(crate) keys: Vec<Arc<Keypair>>,
    pub(crate) halves: [Vec<usize>; 2],
    /// All links within the halves.
    links: Vec<Edge>,
    /// The links that join the halves.
    pub(crate) bridges: Vec<Edge>,
    /// Who pings whom.
    pub(crate) pairs: Vec<Edge>,
}

/// What differs from round to round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The links within the halves, in the order in which they are made: it decides about the tree's shape.
    pub(crate) links: Vec<Edge>,
    /// How long the halves rest before they are joined.
    pub(crate) rest: Duration,
}

impl Scenario {
    /// A grid of [`NODES`] in two halves, without a few links, with what is left out and who pings whom drawn from `seed`. Node `n`
    /// has the private key that [`key_seed`] names.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = rng(seed);
        let keys = (0..NODES).map(|node| Arc::new(Keypair::from_seed(&Seed([key_seed(node); 32])))).collect();
        let halves: [Vec<usize>; 2] = [0, 1].map(|half| (0..NODES).filter(|node| half_of(*node) == half).collect());
        let mut links = grid();
        links.retain(|(a, b)| half_of(*a) == half_of(*b));
        for half in &halves {
            let mut missing = 0;
            while missing < MISSING_PER_HALF {
                let candidate = rng.below(links.len() as u64) as usize;
                if half.contains(&links[candidate].0) {
                    let link = links.remove(candidate);
                    if hops_from(half[0], &links).iter().flatten().count() == half.len() {
                        missing += 1;
                    } else {
                        links.insert(candidate, link);
                    }
                }
            }
        }
        let bridges = BRIDGE_ROWS.map(|row| (row * SIDE + SIDE / 2 - 1, row * SIDE + SIDE / 2)).to_vec();
        let mut pairs = Vec::new();
        for _ in 0..PARTNERS {
            // A step that is not 0: nobody pings itself.
            pairs.extend((0..NODES).map(|node| (node, (node + 1 + rng.below(NODES as u64 - 1) as usize) % NODES)));
        }
        Self { keys, halves, links, bridges, pairs }
    }

    /// The plan of a round.
    pub(crate) fn plan(&self, round: u64) -> Plan {
        let mut rng = rng(round);
        let mut links = self.links.clone();
        for n in (1..links.len()).rev() {
            links.swap(n, rng.below(n as u64 + 1) as usize);
        }
        Plan { links, rest: REST + Duration::from_millis(rng.below(TICK_MILLIS)) }
    }

    pub(crate) fn key(&self, node: usize) -> PublicKey {
        self.keys[node].public()
    }

    /// The sum of the shortest ways of all pairs, there and back, in hops.
    pub(crate) fn shortest_hops(&self) -> u64 {
        let links = [&self.links[..], &self.bridges].concat();
        let way = |(from, to): &Edge| hops_from(*from, &links)[*to].expect("the network is connected") as u64;
        2 * self.pairs.iter().map(way).sum::<u64>()
    }
}

/// A random stream from a small seed.
pub(crate) fn rng(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Rng::new(bytes)
}

/// The byte that is, 32 times, the private key of a node.
pub(crate) fn key_seed(node: usize) -> u8 {
    u8::try_from(node + 1).expect("there are fewer nodes")
}

fn half_of(node: usize) -> usize {
    usize::from(node % SIDE >= SIDE / 2)
}

fn grid() -> Vec<Edge> {
    let right = (0..NODES).filter(|node| node % SIDE != SIDE - 1).map(|node| (node, node + 1));
    let down = (0..NODES - SIDE).map(|node| (node, node + SIDE));
    right.chain(down).collect()
}

/// The shortest ways from one node to all others.
fn hops_from(from: usize, links: &[Edge]) -> Vec<Option<usize>> {
    let mut hops = vec![None; NODES];
    hops[from] = Some(0);
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(node) = reached.get(next).copied() {
        next += 1;
        let others = links.iter().filter_map(|(a, b)| match node {
            _ if *a == node => Some(*b),
            _ if *b == node => Some(*a),
            _ => None,
        });
        for other in others {
            if hops[other].is_none() {
                hops[other] = hops[node].map(|hops| hops + 1);
                reached.push(other);
            }
        }
    }
    hops
}
