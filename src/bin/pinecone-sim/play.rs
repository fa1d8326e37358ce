//! `pinecone-sim run`: a scenario, played and told.

use std::cell::RefCell;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use pinecone::shell::clock::Clock;
use pinecone::sim::graph::Graph;
use pinecone::sim::play::{Played, generated, play};
use pinecone::sim::scenario::Scenario;
use pinecone::sim::stats::Observer;

use crate::args::RunArgs;
use crate::{album, input};

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let text =
        fs::read_to_string(&args.scenario).with_context(|| format!("cannot read {}", args.scenario.display()))?;
    let mut scenario = Scenario::parse(&text).with_context(|| args.scenario.display().to_string())?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let steps = steps(&scenario, &args.scenario)?;
    // Before the scenario is played: a path that cannot be is better known at once than after minutes.
    args.pictures.as_deref().map(album::create).transpose()?;
    let failed = Rc::new(RefCell::new(None));
    let observer = args.trace.as_deref().map(|path| tracer(path, failed.clone())).transpose()?;
    let bar = bar(&scenario);
    let clock = Clock::new();
    let began = clock.now();
    let played = play(&scenario, &steps, observer, |seconds| bar.set_position(seconds as u64))
        .with_context(|| args.scenario.display().to_string())?;
    bar.finish_and_clear();
    let took = clock.now().saturating_since(began).as_secs_f64();
    if let Some(error) = failed.take() {
        return Err(error).context("cannot write the trace");
    }
    if let Some(directory) = &args.pictures {
        let name = args.scenario.file_stem().unwrap_or_default().to_string_lossy();
        album::scenario(directory, &name, &scenario, &played)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&played)?);
    } else {
        tell(&played, took);
    }
    Ok(())
}

/// The graph, or the steps of a trace, that the scenario names; files are looked for beside it.
fn steps(scenario: &Scenario, path: &Path) -> anyhow::Result<Vec<Graph>> {
    match &scenario.topology.file {
        Some(file) => input::read(&path.parent().unwrap_or(Path::new(".")).join(file)),
        None => Ok(generated(scenario).into_iter().collect()),
    }
}

/// Writes every arrival into a file; the first error is left in `failed`.
fn tracer(path: &Path, failed: Rc<RefCell<Option<std::io::Error>>>) -> anyhow::Result<Observer> {
    let file = fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    Ok(Box::new(move |arrival| {
        let hex = data_encoding::HEXLOWER.encode(arrival.frame);
        let written = writeln!(file, "{} {} {} {hex}", arrival.at.as_micros(), arrival.node, arrival.port);
        if let Err(error) = written {
            failed.borrow_mut().get_or_insert(error);
        }
    }))
}

fn bar(scenario: &Scenario) -> ProgressBar {
    let bar = ProgressBar::new(scenario.duration as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos} of {len} simulated seconds [{elapsed}, {eta} to go]")
    {
        bar.set_style(style);
    }
    bar
}

fn tell(played: &Played, took: f64) {
    println!("   seconds  nodes  roots  first contact  with coordinates  B/s a node");
    let mut events = played.events.iter().peekable();
    for sample in &played.samples {
        while let Some((at, what)) = events.next_if(|(at, _)| *at <= sample.seconds) {
            println!("{at:>10.1}  -- {what}");
        }
        println!(
            "{:>10.1}  {:>5}  {:>5}  {:>11.1} %  {:>14.1} %  {:>10.0}",
            sample.seconds, sample.running, sample.roots, sample.first_pct, sample.steady_pct, sample.bytes_per_s
        );
    }
    for flow in &played.flows {
        let (from, to, sent, lost) = (flow.from, flow.to, flow.sent, flow.lost);
        println!("flow {from} -> {to}: {sent} packets, {lost} lost, longest outage {:.1} s", flow.longest_outage_s);
    }
    let end = &played.end;
    println!("hops over the fewest possible: {:.2} at first contact, {:.2} after", end.first_stretch, end.stretch);
    println!("routes a node: {:.0} on average, {:.0} at most", end.routes.0, end.routes.1);
    println!("routing state a node, bytes: {:.0} on average, {:.0} at most", end.state_bytes.0, end.state_bytes.1);
    for violation in &end.violations {
        println!("violation: {violation}");
    }
    let rate = played.happened as f64 / took.max(1e-9);
    println!("{} events in {took:.1} s ({rate:.0} per second), trace {}", played.happened, played.digest);
    if let Some(bytes) = peak_memory() {
        println!("memory at most: {} MB, {} bytes a node", bytes / 1_000_000, bytes / played.nodes.max(1) as u64);
    }
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
