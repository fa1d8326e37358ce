//! Nodes disappear: metrics 4 and 5.

use super::lifecycle::{holds_from, sample_until_perfect};
use super::summary::Distribution;
use super::{Conditions, Measured};
use crate::sim::NodeId;
use crate::sim::flow::FlowPlan;
use crate::sim::graph::Graph;
use crate::sim::probe::Way;
use crate::sim::world::{World, percent};
use crate::time::Duration;

/// When, after the shock, it is looked at.
const LOOKS: [(&str, Duration); 4] = [
    ("0.2s", Duration::from_millis(200)),
    ("1s", Duration::from_secs(1)),
    ("5s", Duration::from_secs(5)),
    ("30s", Duration::from_secs(30)),
];
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Flows under way when the root or the busiest node goes, their pace, and how long they are watched from before it to after it.
const FLOWS: usize = 60;
const PERIOD: Duration = Duration::from_millis(100);
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(20);

/// Metric 4. `first_*_pct`: of pairs that know nothing of each other, those that answer within a second when asked this long after 5 % of
/// the nodes (not the root) crashed; `steady_*_pct`: the same for pairs that know each other's coordinates of that moment.
pub(super) fn crash(graph: &Graph, conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let mut world = conditions.settled(graph);
    let root = world.highest();
    let candidates: Vec<_> = world.running().into_iter().filter(|id| Some(*id) != root).collect();
    let victims = world.choose(candidates, graph.len().div_ceil(20));
    for victim in victims {
        world.crash(victim);
    }
    look(&mut world, conditions, &mut measured);
    measured
}

/// Asks at the times of [`LOOKS`].
fn look(world: &mut World, conditions: &Conditions, measured: &mut Measured) {
    let begin = world.sim.now();
    world.sim.take_probes();
    let mut sent = Vec::new();
    for (_, after) in LOOKS {
        world.sim.run_to(begin + after);
        let pairs = world.pairs(conditions.pairs);
        world.probe_all(&pairs, Way::Key);
        world.probe_all(&pairs, Way::Coordinates);
        sent.push(world.sim.now());
    }
    world.sim.run_for(ANSWER_WITHIN);
    for ((name, _), sent) in LOOKS.iter().zip(sent) {
        let probes = world.sim.take_probes_sent_by(sent);
        for (way, prefix) in [(Way::Key, "first"), (Way::Coordinates, "steady")] {
            let of_this_way: Vec<_> = probes.iter().filter(|probe| probe.way() == way).collect();
            let answered = of_this_way.iter().filter(|probe| probe.answered_by(sent + ANSWER_WITHIN)).count();
            measured.set(&format!("{prefix}_{name}_pct"), percent(answered, of_this_way.len()));
        }
    }
}

/// Who goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Root,
    Busiest,
}

/// Metric 5: as metric 4, and `lost_other_mean`, `lost_other_max`: packets lost by flows of ten packets a second that did not go through
/// the victim; `lost_through_*`: by those that did; `outage_through_s`: their longest outage; `t100_s`: when all pairs answer again.
pub(super) fn loss(graph: &Graph, conditions: &Conditions, victim: Victim) -> Measured {
    let mut measured = Measured::default();
    let mut world = conditions.settled(graph);
    let victim = match victim {
        Victim::Root => world.highest(),
        Victim::Busiest => {
            let sources = (0..50).map(|_| world.below(graph.len())).collect::<Vec<_>>();
            graph.busiest(sources)
        }
    };
    let Some(victim) = victim else { return measured };
    let flows = start_flows(&mut world, victim);
    world.sim.run_for(BEFORE);
    let through: Vec<bool> = flows
        .iter()
        .map(|(a, b, _)| {
            [(*a, *b), (*b, *a)].iter().any(|(a, b)| world.sim.walk(*a, *b, Way::Coordinates).path.contains(&victim))
        })
        .collect();
    let went = world.seconds();
    world.crash(victim);
    let samples = sample_until_perfect(&mut world, conditions, ANSWER_WITHIN, |world| world.pairs(conditions.pairs));
    measured.set("t100_s", holds_from(&samples, 100.0) - went);
    let rest = (went + AFTER.as_secs_f64() - world.seconds()).max(0.0);
    world.sim.run_for(Duration::from_secs_f64(rest));
    let present = world.present();
    for (passes, name) in [(false, "other"), (true, "through")] {
        let of_this_kind = flows
            .iter()
            .zip(&through)
            .filter(|((a, b, _), through)| **through == passes && present.distances(*a)[*b].is_some());
        let reports: Vec<_> = of_this_kind.map(|((_, _, flow), _)| world.sim.flow(*flow)).collect();
        let lost = Distribution::of(reports.iter().map(|flow| flow.lost() as f64));
        measured.set(&format!("lost_{name}_mean"), lost.mean);
        measured.set(&format!("lost_{name}_max"), lost.max);
        let outage = Distribution::of(reports.iter().map(|flow| flow.longest_outage().as_secs_f64()));
        measured.set(&format!("outage_{name}_max_s"), outage.max);
        measured.set(&format!("flows_{name}"), reports.len() as f64);
    }
    measured
        .series
        .insert("recovering".to_owned(), samples.into_iter().map(|(at, share)| (at - went, share)).collect());
    measured
}

/// Flows that have had time to set up their sessions before they count.
fn start_flows(world: &mut World, victim: NodeId) -> Vec<(NodeId, NodeId, usize)> {
    let pairs = world.pairs_where(FLOWS, |a, b| a != victim && b != victim);
    let plan = |from, to, count| FlowPlan { from, to, period: PERIOD, count, size: 100, echo: false };
    for (a, b) in &pairs {
        world.sim.start_flow(plan(*a, *b, 5));
    }
    world.sim.run_for(Duration::from_secs(10));
    let count = ((BEFORE + AFTER).as_millis() / PERIOD.as_millis()) as u32 - 20;
    pairs.into_iter().map(|(a, b)| (a, b, world.sim.start_flow(plan(a, b, count)))).collect()
}
