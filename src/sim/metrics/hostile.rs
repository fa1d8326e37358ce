//! Nodes that mean harm: metric 13.

use std::sync::Arc;

use super::summary::Distribution;
use super::{Conditions, Measured};
use crate::keys::Keypair;
use crate::sim::NodeId;
use crate::sim::adversary::Plan;
use crate::sim::graph::Graph;
use crate::sim::probe::Way;
use crate::sim::world::World;
use crate::time::Duration;

/// How an attack goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Random nodes drop all traffic of others.
    Droppers,
    /// A hundred nodes with keys around a victim's, all behind one of its neighbours' neighbours, drop all traffic of others.
    Sybil,
    /// The root comes and goes once a second.
    Flapper,
    /// Random nodes flood, replay and forge bootstraps.
    Flood,
}

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long the attack has been going on when it is looked at.
const SETTLES: Duration = Duration::from_secs(10);
const SYBILS: usize = 100;

/// `*_first_pct`, `*_steady_pct`: pairs of honest nodes with a way through honest nodes that answer ten seconds into the attack, by key
/// and by coordinates; for the flapper sampled over a minute, for the Sybil keys `victim_*`: pairs with the victim. `*_routes_max`: the
/// largest table; `*_checks_per_s_max`: signatures checked by the busiest honest node.
pub(super) fn run(graph: &Graph, conditions: &Conditions, attack: Attack) -> Measured {
    let mut measured = Measured::default();
    match attack {
        Attack::Droppers => {
            for share in [1, 5, 10] {
                let mut world = conditions.settled(graph);
                corrupt_some(&mut world, share, &Plan::dropper());
                world.sim.run_for(SETTLES);
                look(&mut world, conditions, &format!("droppers_{share}"), &mut measured);
            }
        }
        Attack::Flood => {
            let mut world = conditions.settled(graph);
            let plan = Plan { flood: 20, replay: 20, forge: 20, ..Plan::default() };
            corrupt_some(&mut world, 1, &plan);
            world.sim.run_for(SETTLES);
            under_load(&mut world, "flood", &mut measured);
            look(&mut world, conditions, "flood", &mut measured);
        }
        Attack::Flapper => flapper(graph, conditions, &mut measured),
        Attack::Sybil => sybil(graph, conditions, &mut measured),
    }
    measured
}

fn corrupt_some(world: &mut World, share: usize, plan: &Plan) {
    let root = world.highest();
    let candidates: Vec<_> = world.running().into_iter().filter(|id| Some(*id) != root).collect();
    let count = (world.sim.len() * share).div_ceil(100);
    for id in world.choose(candidates, count) {
        world.sim.corrupt(id, Some(plan.clone()));
    }
}

fn look(world: &mut World, conditions: &Conditions, name: &str, measured: &mut Measured) {
    for (way, suffix) in [(Way::Key, "first"), (Way::Coordinates, "steady")] {
        let pairs = world.pairs(conditions.pairs);
        measured.set(&format!("{name}_{suffix}_pct"), world.answering(&pairs, way, ANSWER_WITHIN));
    }
    let routes = world.running().into_iter().filter_map(|id| Some(world.sim.node(id)?.router().route_count() as f64));
    measured.set(&format!("{name}_routes_max"), Distribution::of(routes).max);
}

/// Signatures that honest nodes check per second while the attack goes on.
fn under_load(world: &mut World, name: &str, measured: &mut Measured) {
    let honest: Vec<_> = world.running().into_iter().filter(|id| !world.sim.is_corrupt(*id)).collect();
    let before: Vec<_> = honest.iter().map(|id| super::lifecycle::checks(world, *id)).collect();
    world.sim.run_for(SETTLES);
    let rates = honest
        .iter()
        .zip(before)
        .map(|(id, before)| super::lifecycle::checks(world, *id).saturating_sub(before) as f64 / SETTLES.as_secs_f64());
    measured.set(&format!("{name}_checks_per_s_max"), Distribution::of(rates.collect::<Vec<_>>()).max);
}

fn flapper(graph: &Graph, conditions: &Conditions, measured: &mut Measured) {
    let mut world = conditions.settled(graph);
    let Some(root) = world.highest() else { return };
    world.sim.corrupt(root, Some(Plan { flap: true, every_ms: 500, ..Plan::default() }));
    let (mut shares, mut steady) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        world.sim.run_for(Duration::from_millis(310));
        for (way, into) in [(Way::Key, &mut shares), (Way::Coordinates, &mut steady)] {
            let pairs = world.pairs(conditions.pairs / 10);
            into.push(world.answering(&pairs, way, ANSWER_WITHIN));
        }
    }
    measured.set("flapper_first_pct", Distribution::of(shares).mean);
    measured.set("flapper_steady_pct", Distribution::of(steady).mean);
    under_load(&mut world, "flapper", measured);
}

fn sybil(graph: &Graph, conditions: &Conditions, measured: &mut Measured) {
    let mut world = conditions.settled(graph);
    let root = world.highest();
    let candidates: Vec<_> = world.running().into_iter().filter(|id| Some(*id) != root).collect();
    let Some(victim) = world.choose(candidates, 1).first().copied() else { return };
    let Some(gate) = world.choose((0..graph.len()).filter(|id| *id != victim).collect(), 1).first().copied() else {
        return;
    };
    let keypairs = nearest_keys(&mut world, victim, graph.len());
    for keypair in keypairs {
        let id = world.join(keypair, conditions.setup().config, &[gate]);
        world.sim.corrupt(id, Some(Plan::dropper()));
    }
    world.sim.run_for(SETTLES);
    look(&mut world, conditions, "sybil", measured);
    let with_victim: Vec<(NodeId, NodeId)> =
        world.pairs(conditions.pairs / 4).into_iter().filter(|(a, _)| *a != victim).map(|(a, _)| (a, victim)).collect();
    for (way, suffix) in [(Way::Key, "first"), (Way::Coordinates, "steady")] {
        let there = world.answering(&with_victim, way, ANSWER_WITHIN);
        measured.set(&format!("victim_{suffix}_pct"), there);
    }
}

/// The keys nearest to the victim's, half of them above it, out of as many as it takes for all to be between its honest neighbours.
fn nearest_keys(world: &mut World, victim: NodeId, nodes: usize) -> Vec<Arc<Keypair>> {
    let own = world.sim.key(victim);
    let mut mined: Vec<Arc<Keypair>> = (0..SYBILS * nodes / 2).map(|_| world.sim.random_keypair()).collect();
    mined.sort_by_key(|keypair| keypair.public());
    let above = mined.partition_point(|keypair| keypair.public() < own);
    let from = above.saturating_sub(SYBILS / 2);
    let to = (above + SYBILS / 2).min(mined.len());
    mined.drain(from..to).collect()
}
