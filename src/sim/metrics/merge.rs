//! Two settled networks meet: metric 3.

use super::lifecycle::{holds_from, sample_until_perfect, settle};
use super::{Conditions, Measured, REST};
use crate::sim::graph::Graph;
use crate::time::Duration;

/// Ways through both halves and the one link between them are long; of an answer only its coming counts here.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// `merge_t99_s`, `merge_t100_s`: after two settled copies of the graph were joined by one link, the first time from which 99 % (100 %)
/// of the pairs with one end in each get an answer.
pub(super) fn run(graph: &Graph, conditions: &Conditions) -> Measured {
    let mut measured = Measured::default();
    let half = graph.len();
    let mut world = conditions.start(&graph.doubled());
    settle(&mut world, conditions, &mut Measured::default());
    world.sim.run_for(REST);
    let (a, b) = (world.below(half), half + world.below(half));
    let joined = world.seconds();
    world.add_link(a, b);
    let across = |a: usize, b: usize| (a < half) != (b < half);
    let samples = sample_until_perfect(&mut world, conditions, ANSWER_WITHIN, |world| {
        world.pairs_where(conditions.pairs, across)
    });
    let samples: Vec<_> = samples.into_iter().map(|(seconds, share)| (seconds - joined, share)).collect();
    measured.set("merge_t99_s", holds_from(&samples, 99.0));
    measured.set("merge_t100_s", holds_from(&samples, 100.0));
    measured.series.insert("merging".to_owned(), samples);
    measured
}
