//! Networks, and where their nodes go.

use pinecone::rng::Rng;
use pinecone::shell::clock::Clock;
use pinecone::sim::generate::{Shape, generate};
use pinecone::sim::graph::Graph;
use pinecone::sim::world::{Setup, World};
use pinecone::time::Duration;

use super::{assert_well_formed, count, star};
use crate::pictures::network::{Network, Place};
use crate::pictures::{PictureError, layout, topology};

#[test]
fn every_node_and_link_of_the_graph_is_drawn_and_of_the_tree_and_the_snake() {
    let svg = topology::draw(&star(9)).unwrap();
    assert_well_formed(&svg);
    assert_eq!(count(&svg, "nodes", "circle"), 9);
    assert_eq!(count(&svg, "links", "line"), 8);
    assert_eq!(count(&svg, "tree", "line"), 8);
    assert_eq!(count(&svg, "snake", "path"), 8);
    // One around the root, one in the legend, of two circles each.
    assert_eq!(count(&svg, "root", "circle"), 4);
    assert!(
        svg.contains("a &lt;star&gt; &amp; more")
            && svg.contains("9 nodes; 8 links; tree of depth 1, seed 7, after 60 s")
    );
}

#[test]
fn what_is_down_is_drawn_as_such() {
    let mut network = star(4);
    network.nodes[3] = Place { key: network.nodes[3].key, ..Place::default() };
    network.links[2].2 = false;
    let svg = topology::draw(&network).unwrap();
    assert!(svg.contains("4 nodes, 3 of them up; 3 links, 2 of them up"));
    assert_eq!(svg.matches("stopped</title>").count(), 1);
    let down = svg.split("stroke-dasharray").nth(1).unwrap().split("</g>").next().unwrap();
    assert_eq!(down.matches("<line ").count(), 1);
}

#[test]
fn a_simulated_network_has_one_root_a_parent_for_all_others_and_a_whole_snake() {
    let graph = generate(Shape::Grid { nodes: 16 }, &mut Rng::new([1; 32]));
    let mut world = World::started(graph, &Setup::default());
    world.sim.run_for(Duration::from_secs(30));
    world.crash((world.highest().unwrap() + 5) % 16);
    let network = Network::of(&world, "grid", 1);
    assert_eq!(network.roots(), [world.highest().unwrap()]);
    assert_eq!(network.nodes.iter().filter(|node| node.is_running).count(), 15);
    assert_eq!(network.links.len(), 24);
    assert!(network.links.iter().any(|(_, _, is_up)| !is_up));
    let with_lower = network.nodes.iter().filter(|node| node.lower.is_some()).count();
    assert!(with_lower >= 13, "all that run but the lowest, and perhaps the one above the crashed: {with_lower}");
    assert_well_formed(&topology::draw(&network).unwrap());
}

#[test]
fn neighbours_lie_closer_than_strangers_and_no_two_nodes_on_each_other() {
    let graph = generate(Shape::Grid { nodes: 100 }, &mut Rng::new([1; 32]));
    let places = layout::place(&graph);
    let distance = |a: usize, b: usize| (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
    let all = || (0..100).flat_map(|a| (0..a).map(move |b| (a, b)));
    let mean =
        |pairs: Vec<(usize, usize)>| pairs.iter().map(|(a, b)| distance(*a, *b)).sum::<f64>() / pairs.len() as f64;
    let linked: std::collections::BTreeSet<_> = graph.edges().into_iter().map(|(a, b)| (b, a)).collect();
    assert!(mean(linked.iter().copied().collect()) * 3.0 < mean(all().collect()));
    assert!(all().all(|(a, b)| distance(a, b) > 0.3));
    // A whole that is unfolded: opposite corners are farther apart than any link is long, by far.
    let longest = linked.iter().map(|(a, b)| distance(*a, *b)).fold(0.0, f64::max);
    assert!(distance(0, 99) > 5.0 * longest, "{} {longest}", distance(0, 99));
}

#[test]
fn parts_that_are_not_connected_stand_apart() {
    let places = layout::place(&Graph::new(7, [(0, 1), (1, 2), (3, 4)]));
    let apart = |a: usize, b: usize| (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
    assert!(apart(0, 3).min(apart(2, 4)).min(apart(1, 5)).min(apart(5, 6)) > 0.5, "{places:?}");
}

#[test]
fn two_thousand_nodes_are_drawn_in_seconds_and_too_many_are_an_error() {
    let graph = generate(Shape::Hubs { nodes: 2_000, links: 2 }, &mut Rng::new([1; 32]));
    let mut network = Network { nodes: vec![Place::default(); 2_000], ..Network::default() };
    network.links = graph.edges().into_iter().map(|(a, b)| (a, b, true)).collect();
    let clock = Clock::new();
    let began = clock.now();
    let svg = topology::draw(&network).unwrap();
    let took = clock.now().saturating_since(began).as_secs();
    assert!(took < 30, "{took} s");
    assert_eq!(count(&svg, "nodes", "circle"), 2_000);
    network.nodes.resize(topology::MOST_NODES + 1, Place::default());
    assert_eq!(topology::draw(&network), Err(PictureError::TooMany { nodes: topology::MOST_NODES + 1 }));
}
