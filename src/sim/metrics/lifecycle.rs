//! A network starts, settles and idles: metrics 1, 2, 7, 8, 9, 10 and 12.

use super::summary::{Distribution, spread};
use super::{Conditions, Measured, REST};
use crate::sim::NodeId;
use crate::sim::graph::Graph;
use crate::sim::probe::{Outcome, Probe, Way};
use crate::sim::world::{World, percent};
use crate::time::{Duration, Instant};

/// Between two samples while a network settles.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// A pair answers if it does within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// A network has settled when this many samples in a row were perfect.
const PERFECT: usize = 10;

pub(super) fn run(graph: &Graph, conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let mut world = conditions.start(graph);
    settle(&mut world, conditions, &mut measured);
    world.sim.run_for(REST);
    ways(&mut world, conditions, &mut measured);
    state(&world, &mut measured);
    idle(&mut world, conditions.idle, &mut measured);
    measured.set("violations", world.sim.violations().len() as f64);
    measured
}

/// Metric 2: lets a network settle. `t99_s` and `t100_s`: the first time from which at least 99 % (100 %) of the pairs answer within a
/// second, in seconds since the beginning; absent if the patience was not enough. `settling`: percent over time.
pub(super) fn settle(world: &mut World, conditions: &Conditions, measured: &mut Measured) {
    let samples = sample_until_perfect(world, conditions, ANSWER_WITHIN, |world| world.pairs(conditions.pairs));
    measured.set("t99_s", holds_from(&samples, 99.0));
    measured.set("t100_s", holds_from(&samples, 100.0));
    measured.series.insert("settling".to_owned(), samples);
}

/// Samples until ten samples in a row are perfect or the patience is at its end: seconds since the beginning, percent that answered within
/// the given time.
pub(super) fn sample_until_perfect(
    world: &mut World,
    conditions: &Conditions,
    within: Duration,
    mut pairs: impl FnMut(&mut World) -> Vec<(NodeId, NodeId)>,
) -> Vec<(f64, f64)> {
    let end = world.sim.now() + conditions.patience;
    let (mut samples, mut pending) = (Vec::new(), Vec::<(f64, Instant)>::new());
    let mut probes: Vec<Probe> = Vec::new();
    world.sim.take_probes();
    while world.sim.now() < end {
        let sent = world.sim.now();
        let chosen = pairs(world);
        pending.push((world.seconds(), sent));
        for (a, b) in chosen {
            world.sim.probe(a, b, Way::Key);
        }
        world.sim.run_for(SAMPLE_EVERY);
        // Probes stay with the simulation until they had their time.
        let now = world.sim.now();
        if pending.first().is_some_and(|(_, sent)| sent.has_passed(within, now)) {
            let (seconds, sent) = pending.remove(0);
            probes.extend(world.sim.take_probes_sent_by(sent));
            let answered = probes.iter().filter(|probe| probe.answered_by(sent + within)).count();
            samples.push((seconds, percent(answered, probes.len())));
            probes.clear();
        }
        if samples.len() >= PERFECT && samples[samples.len() - PERFECT..].iter().all(|(_, share)| *share == 100.0) {
            break;
        }
    }
    world.sim.take_probes();
    samples
}

/// The time of the first sample from which on all are at least `share`; infinite if the last is not.
pub(super) fn holds_from(samples: &[(f64, f64)], share: f64) -> f64 {
    let good = samples.iter().rev().take_while(|(_, found)| *found >= share);
    good.last().map_or(f64::INFINITY, |(seconds, _)| *seconds)
}

/// Metrics 1, 7 and 8. `delivered_first_pct`, `delivered_steady_pct`: of frames that go by key alone, and by coordinates; `loops`: frames
/// that came through a node twice; `first_stretch_*`, `stretch_*`: hops taken over the fewest possible; `*_sum`: the ratio of the sums.
fn ways(world: &mut World, conditions: &Conditions, measured: &mut Measured) {
    let graph = world.present();
    let pairs = world.pairs(2 * conditions.pairs);
    let shortest: Vec<u32> = pairs.iter().map(|(a, b)| graph.distances(*a)[*b].unwrap_or(0)).collect();
    let mut loops = 0;
    for (way, prefix, delivered) in
        [(Way::Key, "first_stretch", "delivered_first_pct"), (Way::Coordinates, "stretch", "delivered_steady_pct")]
    {
        let (mut ratios, mut taken, mut fewest, mut arrived) = (Vec::new(), 0, 0, 0);
        for ((a, b), shortest) in pairs.iter().zip(&shortest) {
            let probe = world.sim.walk(*a, *b, way);
            loops += usize::from(probe.looped());
            if probe.outcome == Outcome::Delivered {
                arrived += 1;
                taken += probe.hops();
                fewest += *shortest as usize;
                ratios.push(probe.hops() as f64 / f64::from(*shortest));
            }
        }
        let stretch = Distribution::of(ratios.iter().copied());
        let over_3 = ratios.iter().filter(|ratio| **ratio > 3.0).count();
        measured.set(delivered, percent(arrived, pairs.len()));
        measured.set(&format!("{prefix}_mean"), stretch.mean);
        measured.set(&format!("{prefix}_p95"), stretch.p95);
        measured.set(&format!("{prefix}_p99"), stretch.p99);
        measured.set(&format!("{prefix}_sum"), taken as f64 / f64::from(fewest.max(1) as u32));
        measured.set(&format!("{prefix}_over_3_pct"), percent(over_3, ratios.len().max(1)));
        measured.series.insert(prefix.to_owned(), spread(ratios));
    }
    measured.set("loops", loops as f64);
}

/// Metric 9. `entries_*`: what a node remembers of others (routes, signers of its peers' announcements, broadcasts seen);
/// `state_bytes_*`: the same in bytes.
fn state(world: &World, measured: &mut Measured) {
    let footprints: Vec<_> =
        world.running().into_iter().filter_map(|id| Some(world.sim.node(id)?.router().footprint())).collect();
    measured.set_all("entries", &Distribution::of(footprints.iter().map(|print| print.entries() as f64)));
    measured.set_all("routes", &Distribution::of(footprints.iter().map(|print| print.routes as f64)));
    measured.set_all("state_bytes", &Distribution::of(footprints.iter().map(|print| print.bytes as f64)));
}

/// Metrics 10 and 12. `idle_bytes_per_s_*`, `idle_frames_per_s_*`: protocol frames sent by a node; `checks_per_s_*`: signatures it
/// checked.
fn idle(world: &mut World, time: Duration, measured: &mut Measured) {
    let nodes = world.running();
    let snapshot = |world: &World| -> Vec<_> {
        let of = |id: &NodeId| (world.sim.counters(*id).protocol(), checks(world, *id));
        nodes.iter().map(of).collect()
    };
    let before = snapshot(world);
    world.sim.run_for(time);
    let after = snapshot(world);
    let seconds = time.as_secs_f64();
    let sent: Vec<_> = before.iter().zip(&after).map(|((before, _), (after, _))| *after - *before).collect();
    measured.set_all("idle_bytes_per_s", &Distribution::of(sent.iter().map(|sent| sent.bytes as f64 / seconds)));
    measured.set_all("idle_frames_per_s", &Distribution::of(sent.iter().map(|sent| sent.frames as f64 / seconds)));
    let checked = before.iter().zip(&after).map(|((_, before), (_, after))| (after - before) as f64 / seconds);
    measured.set_all("checks_per_s", &Distribution::of(checked));
}

/// Signatures that a node checked so far.
pub(super) fn checks(world: &World, id: NodeId) -> u64 {
    world.sim.node(id).map_or(0, |node| node.router().checks().total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_holds_from_the_first_sample_after_the_last_bad_one() {
        let samples = [(0.0, 99.5), (0.5, 90.0), (1.0, 99.0), (1.5, 100.0)];
        assert_eq!(holds_from(&samples, 99.0), 1.0);
        assert_eq!(holds_from(&samples, 100.0), 1.5);
        assert_eq!(holds_from(&samples[..2], 99.0), f64::INFINITY);
    }
}
