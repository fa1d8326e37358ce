//! Scenarios that people write down: a network, how its links are, what happens to it, and what is looked at.
//!
//! The format is TOML; `docs/simulator.md` describes every key, and `contrib/scenarios` has examples. Unknown keys are errors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::keys::Scheme;
use crate::router::{Profile, Rules};
use crate::sim::NodeId;
use crate::sim::adversary::Plan;
use crate::sim::generate::Shape;
use crate::sim::net::LinkModel;
use crate::time::Duration;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Everything random follows from it.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long it goes on, in seconds.
    pub duration: f64,
    /// Which router.
    #[serde(default)]
    pub mode: Mode,
    /// How nodes sign.
    #[serde(default)]
    pub signatures: Signatures,
    /// Nodes start at random times within this many seconds.
    #[serde(default = "second")]
    pub start_within: f64,
    /// Nodes and links.
    pub topology: Topology,
    /// How links are.
    #[serde(default)]
    pub link: LinkSettings,
    /// What is looked at.
    #[serde(default)]
    pub measure: Measure,
    /// What happens.
    #[serde(default)]
    pub event: Vec<Event>,
    /// Packets from host to host.
    #[serde(default)]
    pub flow: Vec<FlowSettings>,
}

/// Which router is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Exactly the reference's rules and timers.
    Strict,
    /// What the daemon does.
    #[default]
    Improved,
    /// The same without source routes, to see what those are worth.
    #[serde(rename = "no-routes")]
    NoRoutes,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Strict, Self::Improved, Self::NoRoutes];

    /// Its rules and timers.
    pub const fn profile(self) -> Profile {
        match self {
            Self::Strict => Profile::strict(),
            Self::Improved => Profile::improved(),
            Self::NoRoutes => {
                let improved = Profile::improved();
                Profile { rules: Rules { source_routes: false, ..improved.rules }, ..improved }
            }
        }
    }

    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Improved => "improved",
            Self::NoRoutes => "no-routes",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.name() == text);
        mode.ok_or_else(|| format!("one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// How nodes sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// Ed25519.
    #[default]
    Real,
    /// A cheap keyed hash: the same decisions, many times faster.
    Fast,
}

impl Signatures {
    /// The scheme of the keys.
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Real => Scheme::Ed25519,
            Self::Fast => Scheme::Simulated,
        }
    }
}

/// Where the graph comes from: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// A file with a link `a b` on each line, relative to the scenario's own directory; or a mobility trace, with a line `# step K`
    /// before each step's links.
    pub file: Option<String>,
    /// A graph to be made.
    pub generate: Option<Shape>,
    /// Seconds that each step of a mobility trace lasts.
    pub step: Option<f64>,
}

/// How links are.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSettings {
    /// One-way delay, in milliseconds.
    pub latency_ms: f64,
    /// Random extra delay up to this many milliseconds.
    pub jitter_ms: f64,
    /// Frames lost, in percent.
    pub loss_percent: f64,
    /// Megabits per second in each direction; 0: no limit.
    pub rate_mbit: f64,
    /// KiB that a link with a rate takes in before it has sent them.
    pub queue_kib: u32,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self { latency_ms: 4.5, jitter_ms: 1.0, loss_percent: 0.0, rate_mbit: 0.0, queue_kib: 64 }
    }
}

impl LinkSettings {
    /// The link that is meant.
    pub fn model(&self) -> LinkModel {
        let millis = |span: f64| seconds(span / 1000.0);
        LinkModel {
            latency: millis(self.latency_ms),
            jitter: millis(self.jitter_ms),
            loss_ppm: (self.loss_percent.clamp(0.0, 100.0) * 10_000.0) as u32,
            rate: (self.rate_mbit.max(0.0) * 1e6) as u64,
            queue: self.queue_kib.saturating_mul(1024),
        }
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// Pairs of nodes that are asked each time.
    pub pairs: usize,
    /// Seconds between two samples.
    pub every: f64,
    /// Seconds within which an answer has to come.
    pub within: f64,
}

impl Default for Measure {
    fn default() -> Self {
        Self { pairs: 200, every: 1.0, within: 1.0 }
    }
}

/// Something that happens: a time and exactly one of the others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Event {
    /// Seconds since the beginning.
    pub at: f64,
    /// Nodes stop, and their links go down.
    pub crash: Option<Who>,
    /// Nodes that were stopped start again, with nothing remembered.
    pub restart: Option<Who>,
    /// Links go down.
    pub cut: Option<Vec<[NodeId; 2]>>,
    /// Links come up, new ones too.
    pub join: Option<Vec<[NodeId; 2]>>,
    /// This percentage of the nodes, around a random one, loses its links to the rest.
    pub partition: Option<f64>,
    /// All links that were cut come up again.
    pub heal: Option<bool>,
    /// Nodes become adversaries.
    pub corrupt: Option<Corrupt>,
    /// All links become like this.
    pub link: Option<LinkSettings>,
}

/// Which nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Who {
    /// By number.
    pub nodes: Vec<NodeId>,
    /// This percentage of the running ones, at random.
    pub percent: f64,
    /// The root.
    pub root: bool,
    /// All that are stopped.
    pub stopped: bool,
}

/// Which nodes, and what they do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corrupt {
    /// Which.
    pub who: Who,
    /// What.
    pub plan: Plan,
}

/// Packets from host to host.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSettings {
    /// The sending node.
    pub from: NodeId,
    /// The receiving node.
    pub to: NodeId,
    /// Packets per second.
    pub rate: f64,
    /// Seconds since the beginning.
    #[serde(default)]
    pub start: f64,
    /// Bytes of each packet.
    #[serde(default = "hundred")]
    pub size: usize,
    /// Whether the receiver answers each packet, and the answer counts.
    #[serde(default)]
    pub echo: bool,
}

/// What is wrong with a scenario beyond its syntax.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// Syntax, types, unknown keys.
    #[error("{0}")]
    Toml(String),
    /// None or both.
    #[error("topology: name either `file` or `generate`")]
    Topology,
    /// None or several.
    #[error("event {0}, at {1} s: name exactly one of crash, restart, cut, join, partition, heal, corrupt, link")]
    Event(usize, String),
    /// Not a time, or a rate, that a simulation can have.
    #[error("{0}: has to be a number from {1} to {2}")]
    Range(&'static str, f64, f64),
    /// A node that the graph does not have.
    #[error("{what}: there is no node {node}: the graph has nodes 0 to {last}")]
    NoSuchNode {
        /// Where it is named.
        what: String,
        /// Which.
        node: NodeId,
        /// The highest there is.
        last: NodeId,
    },
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`], with line and column where it is the syntax.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::Toml(error.to_string()))?;
        if scenario.topology.file.is_some() == scenario.topology.generate.is_some() {
            return Err(ScenarioError::Topology);
        }
        let within = |what, value: f64, low: f64, high: f64| {
            if value >= low && value <= high { Ok(()) } else { Err(ScenarioError::Range(what, low, high)) }
        };
        within("duration", scenario.duration, 0.001, 1e7)?;
        within("start_within", scenario.start_within, 0.0, 1e6)?;
        within("measure.every", scenario.measure.every, 0.001, 1e7)?;
        within("measure.within", scenario.measure.within, 0.001, 1e4)?;
        within("topology.step", scenario.topology.step.unwrap_or(1.0), 0.001, 1e6)?;
        for flow in &scenario.flow {
            within("flow.rate", flow.rate, 0.001, 1e6)?;
            within("flow.start", flow.start, 0.0, 1e7)?;
        }
        for (number, event) in (1..).zip(&scenario.event) {
            within("event.at", event.at, 0.0, 1e7)?;
            if event.names().len() != 1 {
                return Err(ScenarioError::Event(number, event.at.to_string()));
            }
        }
        Ok(scenario)
    }

    /// Holds the nodes that a scenario names against a graph.
    ///
    /// # Errors
    /// [`ScenarioError::NoSuchNode`].
    pub fn check_nodes(&self, nodes: usize) -> Result<(), ScenarioError> {
        let check = |what: String, node: NodeId| match node < nodes {
            true => Ok(()),
            false => Err(ScenarioError::NoSuchNode { what, node, last: nodes.saturating_sub(1) }),
        };
        for (number, event) in (1..).zip(&self.event) {
            let who =
                [event.crash.as_ref(), event.restart.as_ref(), event.corrupt.as_ref().map(|corrupt| &corrupt.who)];
            let named = who.into_iter().flatten().flat_map(|who| who.nodes.iter().copied());
            let links = [event.cut.as_ref(), event.join.as_ref()];
            for node in named.chain(links.into_iter().flatten().flatten().flatten().copied()) {
                check(format!("event {number}"), node)?;
            }
        }
        for (number, flow) in (1..).zip(&self.flow) {
            check(format!("flow {number}"), flow.from)?;
            check(format!("flow {number}"), flow.to)?;
        }
        Ok(())
    }
}

impl Event {
    /// What happens, in the words of the file.
    pub fn names(&self) -> Vec<&'static str> {
        let there = [
            ("crash", self.crash.is_some()),
            ("restart", self.restart.is_some()),
            ("cut", self.cut.is_some()),
            ("join", self.join.is_some()),
            ("partition", self.partition.is_some()),
            ("heal", self.heal.is_some()),
            ("corrupt", self.corrupt.is_some()),
            ("link", self.link.is_some()),
        ];
        there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
}

/// A span from a number of seconds; zero for what is none.
pub(super) fn seconds(span: f64) -> Duration {
    Duration::try_from_secs_f64(span).unwrap_or_default()
}

const fn one() -> u64 {
    1
}

const fn second() -> f64 {
    1.0
}

const fn hundred() -> usize {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        duration = 60
        [topology]
        generate = { kind = "grid", nodes = 25 }
        [link]
        rate_mbit = 10
        [[event]]
        at = 20
        crash = { percent = 5 }
        [[event]]
        at = 30
        corrupt = { who = { nodes = [3] }, plan = { drop_traffic = true } }
        [[flow]]
        from = 0
        to = 24
        rate = 10
    "#;

    #[test]
    fn a_scenario_is_read_with_its_defaults() {
        let scenario = Scenario::parse(GOOD).unwrap();
        assert_eq!((scenario.seed, scenario.mode, scenario.signatures), (1, Mode::Improved, Signatures::Real));
        assert_eq!(scenario.link.model().rate, 10_000_000);
        assert_eq!(scenario.event[1].names(), ["corrupt"]);
        assert_eq!(scenario.check_nodes(25), Ok(()));
        let error = scenario.check_nodes(24).unwrap_err().to_string();
        assert_eq!(error, "flow 1: there is no node 24: the graph has nodes 0 to 23");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |from: &str, to: &str| Scenario::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(error("rate_mbit", "rate_mbits").contains("unknown field `rate_mbits`"));
        assert!(error("generate =", "# generate =").contains("either `file` or `generate`"));
        assert!(error("crash = { percent = 5 }", "").contains("event 1, at 20 s: name exactly one of"));
        assert!(error("duration = 60", "duration = nan").contains("duration: has to be a number"));
        assert!(error("duration = 60", "").contains("missing field `duration`"));
    }
}
