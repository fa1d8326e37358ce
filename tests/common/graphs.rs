//! Edge lists of `tests/topologies`.

use std::time::Duration;

use pinecone::node::NodeConfig;
use pinecone::sim::net::LinkModel;
use pinecone::sim::{NodeId, Sim};

/// The edges of a graph file.
pub fn edges(name: &str) -> Vec<(usize, usize)> {
    let path = format!("{}/tests/topologies/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut ends = line.split_whitespace().map(|end| end.parse().unwrap());
            (ends.next().unwrap(), ends.next().unwrap())
        })
        .collect()
}

/// A line of `n` nodes.
pub fn line(n: usize) -> Vec<(usize, usize)> {
    (1..n).map(|i| (i - 1, i)).collect()
}

/// A simulation of a graph, all nodes started at once.
pub fn build(seed: u64, edges: &[(usize, usize)], config: &NodeConfig) -> Sim {
    let nodes = edges.iter().map(|(a, b)| a.max(b) + 1).max().unwrap_or(1);
    let mut sim = Sim::new(seed);
    for _ in 0..nodes {
        sim.add_node(config.clone());
    }
    for (a, b) in edges {
        sim.connect(*a, *b, LinkModel::default());
    }
    sim
}

/// Sends one UDP packet and says whether exactly it reaches the other host in time.
pub fn delivers(sim: &mut Sim, from: NodeId, to: NodeId, limit: Duration) -> bool {
    sim.take_received(to);
    let packet = super::packets::udp(sim.address(from).ip(), sim.address(to).ip(), (4000, 5000), b"across the mesh");
    let expected = packet.to_vec();
    sim.with_node(from, |node, now| node.handle_tun_packet(packet, now));
    sim.run_until(limit, |sim| sim.take_received(to).iter().any(|packet| **packet == expected[..]))
}

/// How long it takes until one of the packets sent every 100 ms reaches the other host; `None` if none does in time. Packets may be lost
/// while the network changes, as anywhere; what counts is when they get through again.
pub fn reaches(sim: &mut Sim, from: NodeId, to: NodeId, limit: Duration) -> Option<Duration> {
    sim.take_received(to);
    let begin = sim.now();
    while sim.now().saturating_since(begin) < limit {
        let packet = super::packets::udp(sim.address(from).ip(), sim.address(to).ip(), (4000, 5000), b"again");
        let expected = packet.to_vec();
        sim.with_node(from, |node, now| node.handle_tun_packet(packet, now));
        let arrived = |sim: &mut Sim| sim.take_received(to).iter().any(|packet| **packet == expected[..]);
        if sim.run_until(Duration::from_millis(100), arrived) {
            return Some(sim.now().saturating_since(begin));
        }
    }
    None
}
