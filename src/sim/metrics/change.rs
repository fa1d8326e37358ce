//! What one change costs everybody else: metric 11.

use super::lifecycle::checks;
use super::summary::Distribution;
use super::{Conditions, Measured};
use crate::sim::graph::Graph;
use crate::sim::world::{World, percent};
use crate::time::Duration;

/// How long the messages that a change causes are counted.
const WATCH: Duration = Duration::from_secs(5);
/// Between a change and the next look at the network at rest, so that the one is not counted with the other.
const PAUSE: Duration = Duration::from_secs(35);
/// How long the network is watched at rest before each change: it may become quieter all the time.
const AT_REST: Duration = Duration::from_secs(20);

/// What a change caused.
struct Cost {
    announcements: f64,
    announcers_pct: f64,
    extra_bootstraps: f64,
    extra_bytes: f64,
    extra_checks: f64,
}

/// For each kind of change (`join`, `leave`: a node with one link comes and goes; `flap`: a random link goes down and up): medians over
/// them of `*_announcements`, `*_announcers_pct` (nodes that announce anything), and what is sent and checked beyond what the
/// network sends at rest: `*_bootstraps`, `*_bytes`, `*_checks`.
pub(super) fn run(graph: &Graph, conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let mut world = conditions.settled(graph);
    let (mut joins, mut leaves, mut flaps) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..conditions.changes {
        let (keypair, at) = (world.sim.random_keypair(), world.below(graph.len()));
        let config = conditions.setup().config;
        let newcomer = cost(&mut world, &mut joins, |world| world.join(keypair, config, &[at]));
        cost(&mut world, &mut leaves, |world| world.crash(newcomer));
        let edges = graph.edges();
        let (a, b) = edges[world.below(edges.len())];
        cost(&mut world, &mut flaps, |world| {
            world.link_down(a, b);
            world.sim.run_for(Duration::from_secs(1));
            world.link_up(a, b);
        });
    }
    for (kind, costs) in [("join", joins), ("leave", leaves), ("flap", flaps)] {
        let median = |of: &dyn Fn(&Cost) -> f64| Distribution::of(costs.iter().map(of)).median;
        measured.set(&format!("{kind}_announcements"), median(&|cost| cost.announcements));
        measured.set(&format!("{kind}_announcers_pct"), median(&|cost| cost.announcers_pct));
        measured.set(&format!("{kind}_bootstraps"), median(&|cost| cost.extra_bootstraps));
        measured.set(&format!("{kind}_bytes"), median(&|cost| cost.extra_bytes));
        measured.set(&format!("{kind}_checks"), median(&|cost| cost.extra_checks));
    }
    measured
}

/// What all nodes together sent in a while.
#[derive(Clone, Debug, Default)]
struct Totals {
    announcements: f64,
    announcers: f64,
    bootstraps: f64,
    bytes: f64,
    checks: f64,
    seconds: f64,
}

/// A network at rest.
fn watch(world: &mut World) -> Totals {
    let before = totals(world);
    world.sim.run_for(AT_REST);
    difference(&before, &totals(world), AT_REST.as_secs_f64())
}

fn cost<T>(world: &mut World, costs: &mut Vec<Cost>, change: impl FnOnce(&mut World) -> T) -> T {
    let at_rest = watch(world);
    let (begin, before) = (world.sim.now(), totals(world));
    let result = change(world);
    world.sim.run_for(WATCH);
    let found = difference(&before, &totals(world), world.sim.now().saturating_since(begin).as_secs_f64());
    let usual = found.seconds / at_rest.seconds;
    costs.push(Cost {
        announcements: found.announcements,
        announcers_pct: percent(found.announcers as usize, world.running().len()),
        extra_bootstraps: found.bootstraps - at_rest.bootstraps * usual,
        extra_bytes: found.bytes - at_rest.bytes * usual,
        extra_checks: found.checks - at_rest.checks * usual,
    });
    world.sim.run_for(PAUSE);
    result
}

/// Of each node since the beginning: announcements, bootstraps, bytes of both, signatures checked.
fn totals(world: &World) -> Vec<(u64, u64, u64, u64)> {
    (0..world.sim.len())
        .map(|id| {
            let sent = world.sim.counters(id);
            (
                sent.announcements.frames,
                sent.bootstraps.frames,
                sent.announcements.bytes + sent.bootstraps.bytes,
                checks(world, id),
            )
        })
        .collect()
}

fn difference(before: &[(u64, u64, u64, u64)], after: &[(u64, u64, u64, u64)], seconds: f64) -> Totals {
    let mut totals = Totals { seconds, ..Totals::default() };
    for (id, after) in after.iter().enumerate() {
        let before = before.get(id).copied().unwrap_or_default();
        let announced = after.0 - before.0;
        totals.announcements += announced as f64;
        totals.announcers += f64::from(u8::from(announced > 0));
        totals.bootstraps += (after.1 - before.1) as f64;
        totals.bytes += (after.2 - before.2) as f64;
        totals.checks += after.3.saturating_sub(before.3) as f64;
    }
    totals
}
