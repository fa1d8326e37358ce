//! What source routes are worth to flows: metrics 4, 5 and 7 seen by packets from host to host, instead of single frames. To be measured with
//! routes and without.

use super::latency::{delay_of, quickest, uneven};
use super::summary::Distribution;
use super::{Conditions, Measured};
use crate::sim::NodeId;
use crate::sim::flow::FlowPlan;
use crate::sim::graph::Graph;
use crate::sim::world::{World, percent};
use crate::time::{Duration, Instant};

/// Flows, and their pace.
const FLOWS: usize = 40;
const PERIOD: Duration = Duration::from_millis(100);
/// How long they go on before they are looked at, for how long then, and after the crash.
const BEFORE: Duration = Duration::from_secs(20);
const STEADY: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(15);
/// One of so many nodes crashes, of those that are no end of a flow.
const CRASHES: usize = 20;

/// With links of 1 to 50 ms and flows of ten packets a second that have gone on for 20 s: `flow_stretch_*`: the time that a packet takes, over the
/// least possible; `on_route_pct`: flows that take a source route; `lost_steady_pct`: of their packets. Then 5 % of the nodes crash that are no end of a
/// flow: `crash_lost_mean`, `crash_lost_max`: packets lost of flows whose ends are still connected; `crash_outage_*_s`: their longest outages.
/// `traffic_bytes_per_s`: what a node sends of frames that carry something, before the crash.
pub(super) fn run(graph: &Graph, conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let (mut world, delays) = uneven(graph, conditions);
    let pairs = world.pairs(FLOWS);
    let count = ((BEFORE + STEADY + AFTER).as_millis() / PERIOD.as_millis()) as u32;
    let plan = |from, to| FlowPlan { from, to, period: PERIOD, count, size: 100, echo: false };
    let flows: Vec<usize> = pairs.iter().map(|(a, b)| world.sim.start_flow(plan(*a, *b))).collect();
    let sent = |world: &World| (0..world.sim.len()).map(|id| world.sim.counters(id).traffic.bytes).sum::<u64>();
    world.sim.run_for(BEFORE);
    let (steady, bytes) = (world.sim.now(), sent(&world));
    world.sim.run_for(STEADY);
    let crashed = world.sim.now();
    let rate = (sent(&world) - bytes) as f64 / STEADY.as_secs_f64() / world.sim.len() as f64;
    measured.set("traffic_bytes_per_s", rate);
    let on_route = pairs.iter().filter(|(a, b)| is_on_route(&world, *a, *b)).count();
    measured.set("on_route_pct", percent(on_route, pairs.len()));

    let ends: Vec<NodeId> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let others: Vec<NodeId> = world.running().into_iter().filter(|id| !ends.contains(id)).collect();
    let victims = world.choose(others, graph.len().div_ceil(CRASHES));
    victims.iter().for_each(|id| world.crash(*id));
    world.sim.run_for(AFTER + Duration::from_secs(2));
    stretch(
        &world,
        &pairs,
        &flows,
        (steady, crashed),
        |graph, a, b| quickest(graph, a, b, |a, b| delay_of(&delays, a, b)),
        &mut measured,
    );
    losses(&world, &pairs, &flows, crashed, &mut measured);
    measured
}

fn is_on_route(world: &World, a: NodeId, b: NodeId) -> bool {
    let sim = &world.sim;
    sim.node(a).is_some_and(|node| node.paths(&sim.key(b), sim.now()).stage == "route")
}

/// Of the packets that were sent in a span of time.
fn stretch(
    world: &World,
    pairs: &[(NodeId, NodeId)],
    flows: &[usize],
    (from, to): (Instant, Instant),
    quickest: impl Fn(&Graph, NodeId, NodeId) -> u64,
    measured: &mut Measured,
) {
    let (mut ratios, mut sent, mut lost) = (Vec::new(), 0, 0);
    for ((a, b), flow) in pairs.iter().zip(flows) {
        let (flow, least) = (world.sim.flow(*flow), quickest(world.graph(), *a, *b));
        for (at, arrived) in flow.sent.iter().zip(&flow.arrived).filter(|(at, _)| (from..to).contains(*at)) {
            sent += 1;
            match arrived {
                Some(arrived) => ratios.push(arrived.saturating_since(*at).as_micros() as f64 / least as f64),
                None => lost += 1,
            }
        }
    }
    let stretch = Distribution::of(ratios);
    for (name, value) in [("mean", stretch.mean), ("p95", stretch.p95), ("p99", stretch.p99)] {
        measured.set(&format!("flow_stretch_{name}"), value);
    }
    measured.set("lost_steady_pct", percent(lost, sent));
}

/// Of flows whose ends are connected after the crash.
fn losses(world: &World, pairs: &[(NodeId, NodeId)], flows: &[usize], crashed: Instant, measured: &mut Measured) {
    let present = world.present();
    let still = pairs.iter().zip(flows).filter(|((a, b), _)| present.distances(*a)[*b].is_some());
    let reports: Vec<_> = still.map(|(_, flow)| world.sim.flow(*flow)).collect();
    let lost = Distribution::of(reports.iter().map(|flow| {
        let times = flow.sent.iter().zip(&flow.arrived);
        // Some were on their way when it happened.
        times.filter(|(at, arrived)| **at + Duration::from_secs(1) > crashed && arrived.is_none()).count() as f64
    }));
    measured.set("crash_lost_mean", lost.mean);
    measured.set("crash_lost_max", lost.max);
    let outage = Distribution::of(reports.iter().map(|flow| flow.longest_outage().as_secs_f64()));
    measured.set("crash_outage_p95_s", outage.p95);
    measured.set("crash_outage_max_s", outage.max);
    let duplicates: u32 = reports.iter().map(|flow| flow.duplicates).sum();
    measured.set("duplicates", f64::from(duplicates));
}
