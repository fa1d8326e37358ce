//! Graphs to measure on, made from a few numbers: the same numbers, the same graph.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::sim::graph::Graph;

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    /// One after the other.
    Line {
        /// Nodes.
        nodes: usize,
    },
    /// A circle.
    Ring {
        /// Nodes.
        nodes: usize,
    },
    /// All around one.
    Star {
        /// Nodes.
        nodes: usize,
    },
    /// A square lattice, as square as `nodes` allows.
    Grid {
        /// Nodes.
        nodes: usize,
    },
    /// Every node hangs below a random earlier one.
    Tree {
        /// Nodes.
        nodes: usize,
    },
    /// Random links (Erdős–Rényi), on top of a random tree that keeps it connected.
    Random {
        /// Nodes.
        nodes: usize,
        /// Mean number of links of a node.
        degree: usize,
    },
    /// New nodes prefer nodes that have many links (Barabási–Albert): few hubs, as overlays grow.
    Hubs {
        /// Nodes.
        nodes: usize,
        /// Links that each new node makes.
        links: usize,
    },
    /// Radios in a square, each linked to those in reach (random geometric graph), and to the nearest if there is none.
    Radio {
        /// Nodes.
        nodes: usize,
        /// Mean number of links of a node.
        degree: usize,
    },
}

/// Makes a connected graph.
pub fn generate(shape: Shape, rng: &mut Rng) -> Graph {
    match shape {
        Shape::Line { nodes } => Graph::new(nodes, (1..nodes).map(|n| (n - 1, n))),
        Shape::Ring { nodes } => Graph::new(nodes, (0..nodes).map(|n| (n, (n + 1) % nodes.max(1)))),
        Shape::Star { nodes } => Graph::new(nodes, (1..nodes).map(|n| (0, n))),
        Shape::Grid { nodes } => {
            let width = (1..).find(|width| width * width >= nodes).unwrap_or(1);
            let right = (0..nodes).filter(|n| (n + 1) % width != 0 && n + 1 < nodes).map(|n| (n, n + 1));
            Graph::new(nodes, right.chain((width..nodes).map(|n| (n - width, n))))
        }
        Shape::Tree { nodes } => Graph::new(nodes, (1..nodes).map(|n| (rng.below(n as u64) as usize, n))),
        Shape::Random { nodes, degree } => {
            let mut graph = generate(Shape::Tree { nodes }, rng);
            for _ in nodes..(nodes * degree / 2).max(nodes) {
                let mut any = || rng.below(nodes as u64) as usize;
                graph.add(any(), any());
            }
            graph
        }
        Shape::Hubs { nodes, links } => hubs(nodes, links, rng),
        Shape::Radio { nodes, degree } => radio(nodes, degree, rng),
    }
}

fn hubs(nodes: usize, links: usize, rng: &mut Rng) -> Graph {
    let mut graph = Graph::new(nodes, []);
    // Every node as often as it has links.
    let mut ends = Vec::new();
    for node in 1..nodes {
        for _ in 0..links.min(node) {
            let other = match ends.len() {
                0 => 0,
                len => ends[rng.below(len as u64) as usize],
            };
            let other = if other == node { node - 1 } else { other };
            graph.add(node, other);
            ends.extend([node, other]);
        }
    }
    graph
}

fn radio(nodes: usize, degree: usize, rng: &mut Rng) -> Graph {
    const SIDE: u64 = 1 << 20;
    let places: Vec<(i64, i64)> = (0..nodes).map(|_| (rng.below(SIDE) as i64, rng.below(SIDE) as i64)).collect();
    let apart = |a: usize, b: usize| {
        let ((x, y), (u, v)) = (places[a], places[b]);
        (x - u).pow(2) + (y - v).pow(2)
    };
    // As many in reach, on average, as there are in a circle of that area.
    let reach = (SIDE as f64).powi(2) * degree as f64 / (nodes.max(1) as f64 * std::f64::consts::PI);
    let mut graph = Graph::new(nodes, []);
    for a in 0..nodes {
        for b in a + 1..nodes {
            if apart(a, b) as f64 <= reach {
                graph.add(a, b);
            }
        }
    }
    loop {
        let part = graph.largest_component();
        let outside = (0..nodes).filter(|node| !part.contains(node));
        let nearest =
            outside.flat_map(|a| part.iter().map(move |b| (a, *b))).min_by_key(|(a, b)| (apart(*a, *b), *a, *b));
        let Some((a, b)) = nearest else { return graph };
        graph.add(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_connected_has_its_size_and_is_the_same_each_time() {
        let nodes = 60;
        for shape in [
            Shape::Line { nodes },
            Shape::Ring { nodes },
            Shape::Star { nodes },
            Shape::Grid { nodes },
            Shape::Tree { nodes },
            Shape::Random { nodes, degree: 4 },
            Shape::Hubs { nodes, links: 3 },
            Shape::Radio { nodes, degree: 6 },
        ] {
            let graph = generate(shape, &mut Rng::new([3; 32]));
            assert_eq!((graph.len(), graph.largest_component().len()), (nodes, nodes), "{shape:?}");
            assert_eq!(graph, generate(shape, &mut Rng::new([3; 32])), "{shape:?}");
        }
    }

    #[test]
    fn a_grid_has_rows_and_columns() {
        let grid = generate(Shape::Grid { nodes: 49 }, &mut Rng::new([0; 32]));
        assert_eq!((grid.edges().len(), grid.degree(0), grid.degree(24), grid.distances(0)[48]), (84, 2, 4, Some(12)));
    }
}
