//! Graphs: what a network looks like, and how far its nodes are from each other.

use std::collections::{BTreeSet, VecDeque};

use crate::sim::NodeId;

/// An undirected graph without loops and parallel links; nodes are 0 to `len` − 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    neighbours: Vec<Vec<u32>>,
}

/// A line of a graph file that is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}: a line is a comment that starts with #, or two node numbers: {text:?}")]
pub struct GraphError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
    /// The line.
    pub text: String,
}

/// Highest node number that a file may name: a slip of the keyboard is no network of four billion.
const MAX_NODES: usize = 10_000_000;

impl Graph {
    /// A graph of `len` nodes.
    pub fn new(len: usize, edges: impl IntoIterator<Item = (NodeId, NodeId)>) -> Self {
        let mut graph = Self { neighbours: vec![Vec::new(); len] };
        for (a, b) in edges {
            graph.add(a, b);
        }
        graph
    }

    /// Reads a list of links, one `a b` a line; what follows on a line is ignored.
    ///
    /// # Errors
    /// [`GraphError`] names the line.
    pub fn parse(text: &str) -> Result<Self, GraphError> {
        let mut edges = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if let Some(edge) = parse_edge(text).map_err(|what| GraphError { line, what, text: text.to_owned() })? {
                edges.push(edge);
            }
        }
        let len = edges.iter().map(|(a, b)| a.max(b) + 1).max().unwrap_or(0);
        Ok(Self::new(len, edges))
    }

    /// Adds a link, if it is not there.
    pub fn add(&mut self, a: NodeId, b: NodeId) {
        let len = a.max(b) + 1;
        if self.neighbours.len() < len {
            self.neighbours.resize(len, Vec::new());
        }
        if a != b && !self.neighbours[a].contains(&(b as u32)) {
            self.neighbours[a].push(b as u32);
            self.neighbours[b].push(a as u32);
        }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.neighbours.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.neighbours.is_empty()
    }

    /// Whom a node has links to.
    pub fn neighbours(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.neighbours.get(node).into_iter().flatten().map(|other| *other as NodeId)
    }

    /// Number of links of a node.
    pub fn degree(&self, node: NodeId) -> usize {
        self.neighbours.get(node).map_or(0, Vec::len)
    }

    /// All links, the lower number first, in order.
    pub fn edges(&self) -> Vec<(NodeId, NodeId)> {
        let of = |a: NodeId| self.neighbours(a).filter(move |b| a < *b).map(move |b| (a, b));
        let mut edges: Vec<_> = (0..self.len()).flat_map(of).collect();
        edges.sort_unstable();
        edges
    }

    /// Hops from `from` to each node through nodes that `passes` lets through; `None`: not reachable. The ends need not pass.
    pub fn distances_through(&self, from: NodeId, passes: impl Fn(NodeId) -> bool) -> Vec<Option<u32>> {
        let mut distances = vec![None; self.len()];
        let mut queue = VecDeque::from([from]);
        distances[from] = Some(0);
        while let Some(node) = queue.pop_front() {
            if node != from && !passes(node) {
                continue;
            }
            let next = distances[node].map(|distance| distance + 1);
            for other in self.neighbours(node) {
                if distances[other].is_none() {
                    distances[other] = next;
                    queue.push_back(other);
                }
            }
        }
        distances
    }

    /// Hops from `from` to each node.
    pub fn distances(&self, from: NodeId) -> Vec<Option<u32>> {
        self.distances_through(from, |_| true)
    }

    /// The node that lies on the most shortest ways, of a sample of them: where much traffic would pass.
    pub fn busiest(&self, sources: impl IntoIterator<Item = NodeId>) -> Option<NodeId> {
        let mut load = vec![0u64; self.len()];
        for source in sources {
            let distances = self.distances(source);
            let mut order: Vec<_> = (0..self.len()).filter(|node| distances[*node].is_some()).collect();
            order.sort_by_key(|node| std::cmp::Reverse(distances[*node]));
            let mut through = vec![1u64; self.len()];
            for node in order {
                let closer = |other: &NodeId| distances[*other] < distances[node];
                if let Some(before) = self.neighbours(node).find(closer).filter(|_| node != source) {
                    through[before] += through[node];
                    load[node] += through[node] - 1;
                }
            }
        }
        (0..self.len()).max_by_key(|node| (load[*node], std::cmp::Reverse(*node)))
    }

    /// Two copies side by side: the second one's nodes are numbered from `len` on.
    #[must_use]
    pub fn doubled(&self) -> Self {
        let len = self.len();
        let edges = self.edges();
        let copies = edges.iter().copied().chain(edges.iter().map(|(a, b)| (a + len, b + len)));
        Self::new(2 * len, copies)
    }

    /// The nodes of the largest part in which all are connected.
    pub fn largest_component(&self) -> BTreeSet<NodeId> {
        let mut seen = BTreeSet::new();
        let mut largest = BTreeSet::new();
        for node in 0..self.len() {
            if seen.contains(&node) {
                continue;
            }
            let part: BTreeSet<_> =
                self.distances(node).iter().enumerate().filter(|(_, d)| d.is_some()).map(|(n, _)| n).collect();
            seen.extend(part.iter().copied());
            if part.len() > largest.len() {
                largest = part;
            }
        }
        largest
    }
}

/// A link, nothing for a comment or an empty line, or what is wrong.
pub(super) fn parse_edge(line: &str) -> Result<Option<(NodeId, NodeId)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut numbers = line.split_whitespace().map(str::parse::<usize>);
    let (Some(Ok(a)), Some(Ok(b))) = (numbers.next(), numbers.next()) else { return Err("not two numbers") };
    if a.max(b) >= MAX_NODES {
        return Err("a node number that large is an error");
    }
    Ok(Some((a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_links_is_read_and_a_bad_line_is_named() {
        let graph = Graph::parse("# a line\n0 1\n1 2 radio 0.9\n\n2 1\n1 1\n").unwrap();
        assert_eq!((graph.len(), graph.edges()), (3, vec![(0, 1), (1, 2)]));
        let error = Graph::parse("0 1\n1 x\n").unwrap_err();
        assert!(error.to_string().starts_with("line 2: not two numbers"), "{error}");
        assert!(Graph::parse("0 99999999999\n").is_err());
    }

    #[test]
    fn distances_are_shortest_and_may_avoid_nodes() {
        let ring = Graph::new(6, (0..6).map(|n| (n, (n + 1) % 6)));
        assert_eq!(ring.distances(0), [0, 1, 2, 3, 2, 1].map(Some));
        assert_eq!(ring.distances_through(0, |node| node != 1)[2], Some(4));
        assert_eq!(ring.distances_through(0, |node| node != 1)[1], Some(1), "an end need not pass");
    }

    #[test]
    fn the_hub_of_a_star_is_its_busiest_node_and_copies_are_apart() {
        let star = Graph::new(9, (1..9).map(|leaf| (0, leaf)));
        assert_eq!(star.busiest(1..9), Some(0));
        let two = star.doubled();
        assert_eq!((two.len(), two.distances(0)[9], two.largest_component().len()), (18, None, 9));
    }
}
