//! Nodes move: metric 6.

use super::summary::Distribution;
use super::{Conditions, Measured, REST};
use crate::sim::flow::FlowPlan;
use crate::sim::graph::Graph;
use crate::sim::world::{World, percent};
use crate::time::Duration;

/// Pings at the end of each step, as the published runs had.
const PINGS: usize = 200;
const PING_WITHIN: Duration = Duration::from_secs(1);
/// Flows that go on all the time, five packets a second.
const FLOWS: usize = 40;
const PERIOD: Duration = Duration::from_millis(200);

/// `arrival_pct`: pings between hosts answered within a second, sent at the end of each step between pairs that are connected then;
/// `flow_arrival_pct`, `outage_p95_s`, `outage_max_s`: of continuous flows, those between pairs that are connected in every step;
/// `bytes_per_s`: protocol bytes a node sends.
pub(super) fn run(steps: &[Graph], conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let mut world = conditions.start(&steps[0]);
    world.sim.run_for(REST);
    let flows = start_flows(&mut world, steps, conditions.step);
    let sent_before: u64 = (0..world.sim.len()).map(|id| world.sim.counters(id).protocol().bytes).sum();
    let (begin, mut answered, mut asked, mut series) = (world.seconds(), 0, 0, Vec::new());
    for step in &steps[1..] {
        world.become_graph(step.clone());
        world.sim.run_for(conditions.step);
        let plan = |(from, to)| FlowPlan { from, to, period: PERIOD, count: 1, size: 100, echo: true };
        let pairs = world.pairs(PINGS);
        let pings: Vec<_> = pairs.into_iter().map(|pair| world.sim.start_flow(plan(pair))).collect();
        world.sim.run_for(PING_WITHIN);
        let good = pings.iter().filter(|flow| world.sim.flow(**flow).in_time(PING_WITHIN) == 1).count();
        (answered, asked) = (answered + good, asked + pings.len());
        series.push((world.seconds() - begin, percent(good, pings.len())));
    }
    let seconds = world.seconds() - begin;
    let sent: u64 = (0..world.sim.len()).map(|id| world.sim.counters(id).protocol().bytes).sum();
    measured.set("arrival_pct", percent(answered, asked));
    measured.set("bytes_per_s", (sent - sent_before) as f64 / seconds / world.sim.len() as f64);
    let flows: Vec<_> = flows.iter().map(|flow| world.sim.flow(*flow)).collect();
    let packets: usize = flows.iter().map(|flow| flow.sent.len()).sum();
    let lost: usize = flows.iter().map(|flow| flow.lost()).sum();
    let outage = Distribution::of(flows.iter().map(|flow| flow.longest_outage().as_secs_f64()));
    measured.set("flow_arrival_pct", percent(packets - lost, packets));
    measured.set("outage_p95_s", outage.p95);
    measured.set("outage_max_s", outage.max);
    measured.series.insert("moving".to_owned(), series);
    measured
}

/// Flows between pairs that are connected in every step, with their sessions set up.
fn start_flows(world: &mut World, steps: &[Graph], step: Duration) -> Vec<usize> {
    let always = |a: usize, b: usize| steps.iter().all(|graph| graph.distances(a)[b].is_some());
    let pairs = world.pairs_where(FLOWS, always);
    let plan = |from, to, count| FlowPlan { from, to, period: PERIOD, count, size: 100, echo: false };
    for (a, b) in &pairs {
        world.sim.start_flow(plan(*a, *b, 5));
    }
    world.sim.run_for(Duration::from_secs(5));
    let total = (step + PING_WITHIN) * (steps.len() as u32 - 1);
    let count = (total.as_millis() / PERIOD.as_millis()) as u32;
    pairs.into_iter().map(|(a, b)| world.sim.start_flow(plan(a, b, count.saturating_sub(5)))).collect()
}
