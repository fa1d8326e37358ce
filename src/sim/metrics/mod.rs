//! What is measured of a network's routing, by rules that anybody can repeat.
//!
//! An [`Experiment`] takes a graph, a seed and a router profile and returns named numbers. The names and what they mean stand at the
//! code that measures them; `docs/routing-quality.md` shows them for many graphs. Unless something else is said: links of
//! 5 ms ± 10 %, nodes that start within the first second, pairs of running nodes that are physically connected at that moment, and link
//! failures that are noticed at once.

mod change;
mod hostile;
mod latency;
mod lifecycle;
mod merge;
mod moving;
mod routes;
mod shock;
mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::keys::Scheme;
use crate::node::NodeConfig;
use crate::router::Profile;
use crate::sim::graph::Graph;
use crate::sim::world::{Setup, World};
use crate::time::Duration;

pub use self::hostile::Attack;
pub use self::summary::{Distribution, spread};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// Metrics 1, 2, 7, 8, 9, 10 and 12: a network starts, settles and idles.
    Lifecycle,
    /// Metric 7, by time: links of 1 to 50 ms.
    Latency,
    /// Metric 3: two settled copies are joined by one link.
    Merge,
    /// Metric 4: five in a hundred nodes crash.
    Crash,
    /// Metric 5: the root disappears under traffic.
    RootLoss,
    /// Metric 5: the busiest node disappears under traffic.
    BusiestLoss,
    /// Metric 6: nodes move.
    Mobility,
    /// Metric 11: what one change costs.
    Change,
    /// Metrics 4, 5 and 7 as flows see them: links of 1 to 50 ms, sessions that go on, a crash.
    Routes,
    /// Metric 13: one, five and ten nodes in a hundred drop all traffic of others.
    Droppers,
    /// Metric 13: a hundred keys around a victim's.
    Sybil,
    /// Metric 13: the root comes and goes.
    Flapper,
    /// Metric 13: one in a hundred nodes floods, replays and forges bootstraps.
    Flood,
}

impl Experiment {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Lifecycle,
        Self::Latency,
        Self::Merge,
        Self::Crash,
        Self::RootLoss,
        Self::BusiestLoss,
        Self::Mobility,
        Self::Change,
        Self::Routes,
        Self::Droppers,
        Self::Sybil,
        Self::Flapper,
        Self::Flood,
    ];
}

/// What an experiment needs to know.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Everything random follows from it.
    pub seed: u64,
    /// Real signatures, or the fast mode.
    pub scheme: Scheme,
    /// How routers decide, and when.
    pub profile: Profile,
    /// Pairs per sample.
    pub pairs: usize,
    /// How long a network may take to settle before the experiment gives up waiting.
    pub patience: Duration,
    /// How long a mobility step lasts.
    pub step: Duration,
    /// How long traffic at rest is counted.
    pub idle: Duration,
    /// Changes of each kind, where the cost of one is measured.
    pub changes: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            seed: 1,
            scheme: Scheme::Ed25519,
            profile: Profile::improved(),
            pairs: 1_000,
            patience: Duration::from_secs(300),
            step: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            changes: 10,
        }
    }
}

impl Conditions {
    fn setup(&self) -> Setup {
        let setup = Setup::default();
        let config = NodeConfig { profile: self.profile, ..setup.config };
        Setup { seed: self.seed, scheme: self.scheme, config, ..setup }
    }

    /// A network that has just started.
    fn start(&self, graph: &Graph) -> World {
        World::started(graph.clone(), &self.setup())
    }

    /// A network that has settled and come to rest.
    fn settled(&self, graph: &Graph) -> World {
        let mut world = self.start(graph);
        lifecycle::settle(&mut world, self, &mut Measured::default());
        world.sim.run_for(REST);
        world
    }
}

/// After this time without a change, nodes send at their steady pace.
const REST: Duration = Duration::from_secs(60);

/// What an experiment found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Numbers by name. A time that never came is not there.
    pub values: BTreeMap<String, f64>,
    /// Curves by name, for pictures.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Measured {
    fn set(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.values.insert(name.to_owned(), value);
        }
    }

    fn set_all(&mut self, name: &str, distribution: &Distribution) {
        for (suffix, value) in [("mean", distribution.mean), ("p99", distribution.p99), ("max", distribution.max)] {
            self.set(&format!("{name}_{suffix}"), value);
        }
    }
}

/// Runs an experiment on a graph, or for [`Experiment::Mobility`] on all steps of a trace.
pub fn run(experiment: Experiment, steps: &[Graph], conditions: &Conditions) -> Measured {
    let Some(graph) = steps.first() else { return Measured::default() };
    match experiment {
        Experiment::Lifecycle => lifecycle::run(graph, conditions),
        Experiment::Latency => latency::run(graph, conditions),
        Experiment::Merge => merge::run(graph, conditions),
        Experiment::Crash => shock::crash(graph, conditions),
        Experiment::RootLoss => shock::loss(graph, conditions, shock::Victim::Root),
        Experiment::BusiestLoss => shock::loss(graph, conditions, shock::Victim::Busiest),
        Experiment::Mobility => moving::run(steps, conditions),
        Experiment::Change => change::run(graph, conditions),
        Experiment::Routes => routes::run(graph, conditions),
        Experiment::Droppers => hostile::run(graph, conditions, Attack::Droppers),
        Experiment::Sybil => hostile::run(graph, conditions, Attack::Sybil),
        Experiment::Flapper => hostile::run(graph, conditions, Attack::Flapper),
        Experiment::Flood => hostile::run(graph, conditions, Attack::Flood),
    }
}
