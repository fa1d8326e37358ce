//! The experiment, written once and carried out in both worlds.

use std::time::Duration;

use pinecone::keys::PublicKey;

use crate::scenario::{Edge, NODES, Plan, Scenario};

/// How often the network is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// No network of this size takes a quarter of this.
const DEADLINE: Duration = Duration::from_secs(30);
/// Attempts to measure the same number of hops twice: last words of sessions or of the snake may come in between.
const ATTEMPTS: usize = 10;

/// A network that something can be tried with.
pub(crate) trait Network {
    /// Time since the experiment began.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn pass(&mut self, span: Duration);
    /// Makes peerings, one after the other. All are up, or about to be, when this returns.
    fn join(&mut self, links: &[Edge]);
    /// When the last of these peerings came up.
    fn last_up(&mut self, links: &[Edge]) -> Duration;
    /// What a node takes for root and for its predecessor.
    fn place(&mut self, node: usize) -> Place;
    /// Pings once from each pair's first node to its second. Returns how many were answered.
    fn ping(&mut self, pairs: &[Edge]) -> usize;
    /// Whether the sessions of this pair know the way by the tree, as far as there is one: a root has no coordinates.
    fn knows_way(&mut self, pair: Edge) -> bool;
    /// Frames that all nodes together have forwarded.
    fn forwarded(&mut self) -> u64;
}

/// The root that a node follows, and the node whose bootstraps end at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) root: PublicKey,
    pub(crate) descending: Option<PublicKey>,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// From the last link-up within a half until it was right, for each half.
    pub(crate) formed: [Duration; 2],
    /// From the last link-up between the halves until all was right.
    pub(crate) merged: Duration,
    /// Hops taken over shortest hops, of all pairs together.
    pub(crate) stretch: f64,
}

/// Two halves form, rest and are joined; then the ways are measured.
pub(crate) fn carry_out(network: &mut impl Network, scenario: &Scenario, plan: &Plan) -> Outcome {
    network.join(&plan.links);
    let mut halves = scenario.halves.each_ref().map(|half| Watch::new(scenario, half));
    let right = wait_until_right(network, &mut halves);
    let mut formed = [Duration::ZERO; 2];
    for (n, half) in scenario.halves.iter().enumerate() {
        let links: Vec<_> = plan.links.iter().copied().filter(|(a, _)| half.contains(a)).collect();
        formed[n] = right[n].saturating_sub(network.last_up(&links));
    }
    network.pass(plan.rest);
    network.join(&scenario.bridges);
    let all: Vec<_> = (0..NODES).collect();
    let right = wait_until_right(network, &mut [Watch::new(scenario, &all)]);
    let merged = right[0].saturating_sub(network.last_up(&scenario.bridges));
    let stretch = hops_taken(network, scenario) as f64 / scenario.shortest_hops() as f64;
    Outcome { formed, merged, stretch }
}

/// Looks at the network until all that is watched is right. Returns when each was for the first time.
fn wait_until_right<const N: usize>(network: &mut impl Network, watched: &mut [Watch; N]) -> [Duration; N] {
    let begin = network.now();
    let mut right = [None; N];
    loop {
        for (watch, right) in watched.iter_mut().zip(&mut right) {
            if right.is_none() && watch.is_right(network) {
                *right = Some(network.now());
            }
        }
        if right.iter().all(Option::is_some) {
            return right.map(Option::unwrap_or_default);
        }
        let waited = network.now() - begin;
        assert!(waited < DEADLINE, "not right after {waited:?}: {watched:?}");
        network.pass(LOOK);
    }
}

/// What part of the network has to look like.
struct Watch {
    expected: Vec<(usize, Place)>,
    /// The one that was wrong last; likely the one to wait for, and looked at first, so that a look costs little.
    wrong: usize,
}

impl Watch {
    /// These nodes, connected with one another and nobody else.
    fn new(scenario: &Scenario, nodes: &[usize]) -> Self {
        let mut by_key: Vec<_> = nodes.iter().map(|node| (scenario.key(*node), *node)).collect();
        by_key.sort_unstable();
        let root = by_key[by_key.len() - 1].0;
        let below = std::iter::once(None).chain(by_key.iter().map(|(key, _)| Some(*key)));
        let expected = by_key.iter().zip(below).map(|((_, node), descending)| (*node, Place { root, descending }));
        Self { expected: expected.collect(), wrong: 0 }
    }

    fn is_right(&mut self, network: &mut impl Network) -> bool {
        let count = self.expected.len();
        for n in (0..count).map(|n| (n + self.wrong) % count) {
            let (node, place) = self.expected[n];
            if network.place(node) != place {
                self.wrong = n;
                return false;
            }
        }
        true
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} is to have {:?}", self.expected[self.wrong].0, self.expected[self.wrong].1)
    }
}

/// Hops that pings and answers of all pairs take. Each frame is forwarded once less than it takes hops; that a ping is two frames and
/// nothing else shows with neighbours, whose pings nobody forwards.
fn hops_taken(network: &mut impl Network, scenario: &Scenario) -> u64 {
    let (pairs, bridges) = (&scenario.pairs[..], &scenario.bridges[..]);
    let begin = network.now();
    for pair in pairs.iter().chain(bridges) {
        while network.ping(&[*pair]) == 0 || !network.knows_way(*pair) {
            assert!(network.now() - begin < DEADLINE, "{pair:?}: no session that knows the way");
            network.pass(LOOK);
        }
    }
    assert_eq!(forwarded_twice(network, bridges), 0, "pings between neighbours are forwarded by others");
    forwarded_twice(network, pairs) + 2 * pairs.len() as u64
}

/// How many frames are forwarded for one ping of each pair, once that is the same twice in a row.
fn forwarded_twice(network: &mut impl Network, pairs: &[Edge]) -> u64 {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let before = network.forwarded();
        let answered = network.ping(pairs);
        let forwarded = network.forwarded() - before;
        if answered == pairs.len() && last.replace(forwarded) == Some(forwarded) {
            return forwarded;
        }
    }
    panic!("the number of forwarded frames was never the same twice in {ATTEMPTS} attempts; last {last:?}");
}
