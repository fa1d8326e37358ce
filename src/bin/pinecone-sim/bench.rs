//! `pinecone-sim bench`: all measurements on all graphs, for two routers each, and the report.
//!
//! Each result goes into a file as soon as it is there, and what is there is not measured again: a bench of hours can be interrupted, and
//! a set of graphs be added later.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use pinecone::shell::clock::Clock;
use pinecone::sim::graph::Graph;
use pinecone::sim::metrics::{self, Experiment, Measured};
use pinecone::sim::scenario::Mode;
use pinecone::time::Duration;
use serde::{Deserialize, Serialize};

use crate::args::BenchArgs;
use crate::{input, jobs, report};

/// Graphs that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Set {
    /// Fifty nodes: a line, a grid, a tree.
    Small,
    /// A thousand nodes: six shapes.
    Mid,
    /// Five thousand nodes: five shapes.
    Big,
    /// Twenty thousand nodes.
    Huge,
    /// Every file of the directory `real`.
    Real,
    /// Every trace of the directory `mobility`.
    Mobility,
    /// What flows see with source routes and without: small graphs, real ones of some hundred nodes, and the traces of `mobility`.
    Routes,
}

const SMALL: &[&str] = &["line-00050", "grid4-00049", "mnl-rtree-0050"];
const MID: &[&str] = &["grid4-01024", "er-01000-s1", "ba-01000-s1", "rgg-01000-s1", "isp-01000-s1", "cluster-01000-s1"];
const BIG: &[&str] = &["grid4-04900", "er-05000-s1", "ba-05000-s1", "rgg-05000-s1", "isp-05000-s1"];
const HUGE: &[&str] = &["ba-20000-s1"];
/// Where source routes are compared with none, besides the small graphs and the traces.
const ROUTES: &[&str] = &["freifunk-leipzig", "freifunk-bielefeld"];
/// The set of that comparison, as results name it: they are in tables of their own.
pub(crate) const ROUTES_SET: &str = "routes";

/// Seconds that the steps of a mobility trace last.
const STEPS: [u64; 2] = [10, 1];

impl Set {
    /// The files, by name.
    fn files(self, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let synthetic = |names: &[&str]| -> anyhow::Result<Vec<PathBuf>> {
            let path = |name: &&str| directory.join("synthetic").join(format!("{name}.txt"));
            Ok(names.iter().map(path).collect())
        };
        match self {
            Self::Small => synthetic(SMALL),
            Self::Mid => synthetic(MID),
            Self::Big => synthetic(BIG),
            Self::Huge => synthetic(HUGE),
            Self::Real => all_files(&directory.join("real")),
            Self::Mobility => all_files(&directory.join("mobility")),
            Self::Routes => {
                let real = ROUTES.iter().map(|name| directory.join("real").join(format!("{name}.txt")));
                let moving = all_files(&directory.join("mobility"))?;
                Ok(synthetic(SMALL)?.into_iter().chain(real).chain(moving).collect())
            }
        }
    }

    /// Which routers are compared on them.
    fn modes(self) -> [Mode; 2] {
        if self == Self::Routes { [Mode::NoRoutes, Mode::Improved] } else { [Mode::Strict, Mode::Improved] }
    }

    /// What is measured on one of them, which is a trace or a graph.
    fn experiments(self, is_trace: bool) -> &'static [Experiment] {
        use Experiment as E;
        match self {
            Self::Small | Self::Mid | Self::Real => &[
                E::Lifecycle,
                E::Latency,
                E::Merge,
                E::Crash,
                E::RootLoss,
                E::BusiestLoss,
                E::Change,
                E::Droppers,
                E::Sybil,
                E::Flapper,
                E::Flood,
            ],
            Self::Big => &[E::Lifecycle, E::Crash],
            Self::Huge => &[E::Lifecycle],
            Self::Routes if !is_trace => &[E::Routes, E::RootLoss, E::BusiestLoss, E::Crash, E::Latency, E::Lifecycle],
            Self::Mobility | Self::Routes => &[E::Mobility],
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) set: String,
    pub(crate) experiment: Experiment,
    pub(crate) graph: String,
    pub(crate) mode: Mode,
    pub(crate) seed: u64,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    step: u64,
}

/// A line of the results file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) job: Job,
    pub(crate) nodes: usize,
    /// Seconds that the measurement took.
    pub(crate) took: f64,
    pub(crate) measured: Measured,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let mut done = args.results.as_deref().map(read_results).transpose()?.unwrap_or_default();
    let sets = if args.set.is_empty() { default_sets() } else { args.set.clone() };
    let (mut wanted, mut graphs) = (Vec::new(), BTreeMap::new());
    for set in sets {
        for path in set.files(&args.graphs)? {
            if !args.graph.is_empty() && !args.graph.contains(&stem(&path)) {
                continue;
            }
            let steps = input::read(&path)?;
            if args.max_nodes.is_some_and(|most| steps[0].len() > most) {
                eprintln!("{}: left out, more than {} nodes", path.display(), args.max_nodes.unwrap_or_default());
                continue;
            }
            wanted.extend(jobs_for(set, &path, steps.len() > 1, args.seeds));
            graphs.insert(path, steps);
        }
    }
    wanted.retain(|job| !done.iter().any(|line| line.job == stored(job)));
    if !args.only.is_empty() {
        wanted.retain(|job| args.only.contains(&job.experiment));
    }
    if let Some(mode) = args.mode {
        wanted.retain(|job| job.mode == mode);
    }
    // Long ones first, so that the end is not one of them alone.
    wanted.sort_by_key(|job| (job.seed, std::cmp::Reverse(graphs[&job.path][0].len())));
    let file = args.results.as_deref().map(open_results).transpose()?.map(Mutex::new);
    let lines = jobs::run(&wanted, args.jobs, name, |job| {
        let line = measure(args, job, &graphs[&job.path]);
        keep(file.as_ref(), &line)?;
        anyhow::Ok(line)
    });
    done.extend(lines.into_iter().collect::<anyhow::Result<Vec<_>>>()?);
    if args.common.json {
        println!("{}", serde_json::to_string(&done)?);
    }
    if let Some(path) = &args.report {
        report::write(path, &done)?;
    }
    Ok(())
}

fn default_sets() -> Vec<Set> {
    vec![Set::Small, Set::Mid, Set::Big, Set::Real, Set::Mobility]
}

fn jobs_for(set: Set, path: &Path, is_trace: bool, seeds: u64) -> Vec<Job> {
    let graph = stem(path);
    let steps: &[u64] = if is_trace { &STEPS } else { &[0] };
    let mut jobs = Vec::new();
    for experiment in set.experiments(is_trace) {
        for mode in set.modes() {
            for step in steps {
                let graph = if *step > 0 { format!("{graph}, {step} s steps") } else { graph.clone() };
                jobs.extend((1..=seeds).map(|seed| Job {
                    set: format!("{set:?}").to_lowercase(),
                    experiment: *experiment,
                    graph: graph.clone(),
                    mode,
                    seed,
                    path: path.to_owned(),
                    step: *step,
                }));
            }
        }
    }
    jobs
}

/// What a graph is called.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A job as it comes out of a file.
fn stored(job: &Job) -> Job {
    Job { path: PathBuf::new(), step: 0, ..job.clone() }
}

fn name(job: &Job) -> String {
    format!("{:?} {} {} {}", job.experiment, job.graph, job.mode, job.seed)
}

fn measure(args: &BenchArgs, job: &Job, steps: &[Graph]) -> Line {
    let mut conditions = args.common.conditions(job.mode, job.seed);
    if job.step > 0 {
        conditions.step = Duration::from_secs(job.step);
    }
    let clock = Clock::new();
    let began = clock.now();
    let measured = metrics::run(job.experiment, steps, &conditions);
    Line { job: stored(job), nodes: steps[0].len(), took: clock.now().saturating_since(began).as_secs_f64(), measured }
}

fn keep(file: Option<&Mutex<fs::File>>, line: &Line) -> anyhow::Result<()> {
    let Some(Ok(mut file)) = file.map(Mutex::lock) else { return Ok(()) };
    writeln!(file, "{}", serde_json::to_string(line)?).context("cannot write a result")
}

fn open_results(path: &Path) -> anyhow::Result<fs::File> {
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

fn read_results(path: &Path) -> anyhow::Result<Vec<Line>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |(number, text): (usize, &str)| {
        serde_json::from_str(text).with_context(|| format!("{}, line {}", path.display(), number + 1))
    };
    text.lines().enumerate().map(line).collect()
}

fn all_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} has no .txt files", directory.display());
    files.sort();
    Ok(files)
}
