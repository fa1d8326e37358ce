//! Ways by time instead of hops, where links differ: metric 7.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::summary::Distribution;
use super::{Conditions, Measured, REST};
use crate::rng::Rng;
use crate::sim::NodeId;
use crate::sim::graph::Graph;
use crate::sim::net::LinkModel;
use crate::sim::probe::{Outcome, Way};
use crate::sim::world::World;
use crate::time::Duration;

/// `latency_stretch_*`: with links of 1 to 50 ms (uniform, no jitter), the time a frame by coordinates takes over the least possible.
pub(super) fn run(graph: &Graph, conditions: &Conditions) -> Measured {
    let (mut world, delays) = uneven(graph, conditions);
    let delay = |a: NodeId, b: NodeId| delay_of(&delays, a, b);
    let graph = world.present();
    let mut ratios = Vec::new();
    for (a, b) in world.pairs(conditions.pairs) {
        let probe = world.sim.walk(a, b, Way::Coordinates);
        if probe.outcome == Outcome::Delivered {
            let taken: u64 = probe.path.windows(2).map(|hop| delay(hop[0], hop[1])).sum();
            ratios.push(taken as f64 / quickest(&graph, a, b, delay) as f64);
        }
    }
    let stretch = Distribution::of(ratios);
    let mut measured = Measured::default();
    for (name, value) in [("mean", stretch.mean), ("p95", stretch.p95), ("p99", stretch.p99)] {
        measured.set(&format!("latency_stretch_{name}"), value);
    }
    measured
}

/// Links and how long they take, in microseconds; the lower node first.
pub(super) type Delays = BTreeMap<(NodeId, NodeId), u64>;

/// A network at rest whose links take 1 to 50 ms, and what each takes.
pub(super) fn uneven(graph: &Graph, conditions: &Conditions) -> (World, Delays) {
    let mut rng = Rng::new([conditions.seed as u8; 32]);
    let delays: Delays = graph.edges().into_iter().map(|edge| (edge, 1_000 + rng.below(49_001))).collect();
    let setup = conditions.setup();
    let mut world = World::new(graph.clone(), &setup);
    for ((a, b), delay) in &delays {
        let latency = Duration::from_micros(*delay);
        world.set_link(*a, *b, LinkModel { latency, jitter: Duration::ZERO, ..LinkModel::default() });
    }
    world.start_all(setup.start_within);
    world.sim.run_for(REST);
    (world, delays)
}

pub(super) fn delay_of(delays: &Delays, a: NodeId, b: NodeId) -> u64 {
    delays.get(&(a.min(b), a.max(b))).copied().unwrap_or(0)
}

/// Dijkstra's least sum of delays, in microseconds.
pub(super) fn quickest(graph: &Graph, from: NodeId, to: NodeId, delay: impl Fn(NodeId, NodeId) -> u64) -> u64 {
    let mut best = vec![u64::MAX; graph.len()];
    let mut heap = BinaryHeap::from([Reverse((0, from))]);
    best[from] = 0;
    while let Some(Reverse((so_far, node))) = heap.pop() {
        if node == to {
            return so_far.max(1);
        }
        for other in graph.neighbours(node) {
            let there = so_far + delay(node, other);
            if there < best[other] {
                best[other] = there;
                heap.push(Reverse((there, other)));
            }
        }
    }
    1
}
