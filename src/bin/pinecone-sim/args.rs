//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use pinecone::keys::Scheme;
use pinecone::sim::metrics::{Conditions, Experiment};
use pinecone::sim::scenario::Mode;
use pinecone::time::Duration;

/// Simulate networks of Pinecone nodes: the daemon's own code on a virtual clock.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a scenario and say what came of it.
    Run(RunArgs),
    /// Take one measurement on one graph.
    Measure(MeasureArgs),
    /// Take all measurements and write the report on routing quality.
    Bench(BenchArgs),
}

/// What all measurements have in common.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Common {
    /// Replace signatures by a cheap keyed hash: the same decisions, many times faster.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Pairs of nodes per sample.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) pairs: usize,
    /// Simulated seconds that a network may take to settle.
    #[arg(long, default_value_t = 300)]
    pub(crate) patience: u64,
    /// Simulated seconds over which traffic at rest is counted.
    #[arg(long, default_value_t = 60)]
    pub(crate) idle: u64,
    /// Changes of each kind (a node joins, leaves, a link flaps), where the cost of one is measured.
    #[arg(long, default_value_t = 10)]
    pub(crate) changes: usize,
    /// Print the results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    pub(crate) fn conditions(&self, mode: Mode, seed: u64) -> Conditions {
        Conditions {
            seed,
            scheme: if self.fast { Scheme::Simulated } else { Scheme::Ed25519 },
            profile: mode.profile(),
            pairs: self.pairs,
            patience: Duration::from_secs(self.patience),
            idle: Duration::from_secs(self.idle),
            changes: self.changes,
            ..Conditions::default()
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The scenario, a TOML file.
    pub(crate) scenario: PathBuf,
    /// Another seed than the scenario's.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Print the results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write pictures (SVG) into this directory: the network, delivery over time, stretch.
    #[arg(long)]
    pub(crate) pictures: Option<PathBuf>,
    /// Write a line for every frame that arrives into this file: microseconds, node, port, bytes in hexadecimal.
    #[arg(long)]
    pub(crate) trace: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MeasureArgs {
    /// What to measure.
    #[arg(value_parser = experiment)]
    pub(crate) experiment: Experiment,
    /// File with a link `a b` on each line; for `mobility` with a line `# step K` before each step's links.
    pub(crate) graph: PathBuf,
    /// Which router: `strict`, `improved`, or `no-routes`: improved without source routes.
    #[arg(long, default_value_t = Mode::Improved)]
    pub(crate) mode: Mode,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds, from the first one on.
    #[arg(long, default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Seconds that each step of a mobility trace lasts.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) step: f64,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    /// Directory with the graphs: `synthetic/`, `real/` and `mobility/` are looked for in it.
    #[arg(long)]
    pub(crate) graphs: PathBuf,
    /// Seeds per measurement.
    #[arg(long, default_value_t = 5)]
    pub(crate) seeds: u64,
    /// Sets of graphs: small, mid, real, big, huge, mobility, routes (with source routes and without). Repeat for several; default: all but huge and
    /// routes.
    #[arg(long, value_enum)]
    pub(crate) set: Vec<crate::bench::Set>,
    /// Where to write the report (Markdown), with its pictures in a directory of its name beside it.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
    /// Where to keep each result as it is found; what is there already is not measured again.
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
    /// Take these measurements only. Repeat for several.
    #[arg(long, value_parser = experiment)]
    pub(crate) only: Vec<Experiment>,
    /// Take measurements on these graphs only: file names without `.txt`. Repeat for several.
    #[arg(long)]
    pub(crate) graph: Vec<String>,
    /// Take the measurements of this router only: `strict`, `improved` or `no-routes`.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Leave out graphs with more nodes than this.
    #[arg(long)]
    pub(crate) max_nodes: Option<usize>,
    /// Measurements at a time.
    #[arg(long, default_value_t = 2)]
    pub(crate) jobs: usize,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn experiment(text: &str) -> Result<Experiment, String> {
    let known =
        || Experiment::ALL.iter().filter_map(|known| Some(serde_json::to_value(known).ok()?.as_str()?.to_owned()));
    serde_json::from_value(text.into()).map_err(|_| format!("one of: {}", known().collect::<Vec<_>>().join(", ")))
}
