//! Nodes that do not carry for others, in simulated networks: they reach everybody, everybody reaches them, and nothing goes through them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be is a failed test")]
mod common;

use std::time::Duration;

use common::graphs::{build, delivers, edges, line};
use pinecone::drops::DropReason;
use pinecone::ip::firewall::Policy;
use pinecone::node::NodeConfig;
use pinecone::router::Transit;
use pinecone::sim::net::LinkModel;
use pinecone::sim::{NodeId, Sim};

const SEC: Duration = Duration::from_secs(1);

fn config(transit: Transit) -> NodeConfig {
    NodeConfig { firewall: Policy::Open, transit, ..NodeConfig::default() }
}

/// A graph of ordinary nodes, and leaves that hang on some of them each.
fn with_leaves(seed: u64, graph: &[(NodeId, NodeId)], leaves: &[&[NodeId]]) -> (Sim, Vec<NodeId>) {
    let mut sim = build(seed, graph, &config(Transit::Full));
    let leaves = leaves.iter().map(|peers| {
        let leaf = sim.add_node(config(Transit::Never));
        for peer in *peers {
            sim.connect(leaf, *peer, LinkModel::default());
        }
        leaf
    });
    let leaves = leaves.collect();
    (sim, leaves)
}

fn carried(sim: &Sim, id: NodeId) -> u64 {
    sim.node(id).unwrap().status(sim.now()).frames_forwarded
}

fn assert_reach(sim: &mut Sim, pairs: &[(NodeId, NodeId)], seed: u64) {
    for (a, b) in pairs {
        assert!(delivers(sim, *a, *b, 3 * SEC), "seed {seed}: {a} does not reach {b}");
    }
}

#[test]
fn a_node_that_never_carries_is_reached_from_everywhere_and_carries_nothing() {
    for seed in 1..=10 {
        // Leaves with one peering, with two far apart, and with three; their keys are anywhere among those of the others.
        let graph = edges("grid4-00049");
        let (mut sim, leaves) = with_leaves(seed, &graph, &[&[0], &[48], &[0, 48], &[6, 42, 24], &[3, 45], &[21, 27]]);
        sim.run_for(20 * SEC);
        let all: Vec<NodeId> = (0..49).step_by(5).chain(leaves.clone()).collect();
        let pairs: Vec<_> = all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b).collect();
        assert_reach(&mut sim, &pairs, seed);
        for leaf in &leaves {
            assert_eq!(carried(&sim, *leaf), 0, "seed {seed}: leaf {leaf} carried for others");
            let status = sim.node(*leaf).unwrap().status(sim.now());
            assert_ne!(status.root, sim.key(*leaf), "seed {seed}: leaf {leaf} is root");
            let refused = status.drops.get(DropReason::TransitRefused.label()).copied().unwrap_or(0);
            assert_eq!(refused, 0, "seed {seed}: leaf {leaf} was sent what is for others");
        }
        assert_eq!(sim.violations(), &[] as &[String], "seed {seed}");
    }
}

#[test]
fn what_only_a_leaf_could_join_stays_apart() {
    // Two halves, and a leaf with a peering in both.
    let graph: Vec<_> = line(3).into_iter().chain([(3, 4), (4, 5)]).collect();
    let (mut sim, leaves) = with_leaves(5, &graph, &[&[2, 3]]);
    sim.run_for(20 * SEC);
    assert!(!delivers(&mut sim, 0, 5, 5 * SEC));
    assert_eq!(carried(&sim, leaves[0]), 0);
    assert!(delivers(&mut sim, 2, leaves[0], 3 * SEC) && delivers(&mut sim, 3, leaves[0], 3 * SEC));
}

#[test]
fn two_leaves_alone_reach_each_other() {
    let mut sim = build(6, &line(2), &config(Transit::Never));
    sim.run_for(5 * SEC);
    let reached = [delivers(&mut sim, 0, 1, 3 * SEC), delivers(&mut sim, 1, 0, 3 * SEC)];
    assert_eq!(
        reached,
        [true; 2],
        "{:?} {:?}",
        sim.node(0).unwrap().status(sim.now()),
        sim.node(1).unwrap().status(sim.now())
    );
}

#[test]
fn a_leaf_finds_another_home_when_it_loses_its_first() {
    for seed in 1..=6 {
        let (mut sim, leaves) = with_leaves(seed, &edges("grid4-00049"), &[&[0, 48]]);
        sim.run_for(20 * SEC);
        sim.stop(0);
        sim.run_for(5 * SEC);
        assert_reach(&mut sim, &[(24, leaves[0]), (leaves[0], 24), (45, leaves[0]), (6, leaves[0])], seed);
        assert_eq!(carried(&sim, leaves[0]), 0, "seed {seed}");
    }
}

#[test]
fn a_node_that_avoids_carrying_is_parent_only_where_there_is_no_other() {
    for seed in 1..=12 {
        // 0 and 2 have 1 between them, which avoids, and a way around over 3 that is as long.
        let mut sim = build(seed, &[], &config(Transit::Full));
        let ids = [
            0,
            sim.add_node(config(Transit::Avoid)),
            sim.add_node(config(Transit::Full)),
            sim.add_node(config(Transit::Full)),
        ];
        for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
            sim.connect(ids[a], ids[b], LinkModel::default());
        }
        // Only 1 leads to 4.
        let behind = sim.add_node(config(Transit::Full));
        sim.connect(ids[1], behind, LinkModel::default());
        sim.run_for(20 * SEC);
        for id in [0, 2] {
            let root = sim.node(id).unwrap().status(sim.now()).root;
            let parent = sim.node(id).unwrap().peers(sim.now()).into_iter().find(|peer| peer.parent);
            let has_choice = root != sim.key(1) && root != sim.key(behind) && root != sim.key(id);
            // Where 1 or what is behind it is root there is no other parent, or it is the root itself.
            if has_choice {
                assert_ne!(parent.unwrap().key, sim.key(1), "seed {seed}: {id}");
            }
        }
        assert_reach(&mut sim, &[(0, 2), (2, 0), (0, behind), (behind, 3)], seed);
    }
}
