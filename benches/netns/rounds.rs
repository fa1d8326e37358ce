//! The rounds: every case with every peer, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::args::Args;
use crate::cases::{Case, Settings};
use crate::inside::missing_peers;
use crate::peers::Peer;
use crate::readings::{Reading, Results};
use crate::report;

/// Measures, prints and writes. A measurement that fails is repeated once, and reported either way; the others go on.
pub(crate) fn run(args: &Args, cases: &[&Case], peers: &[Box<dyn Peer>]) -> ExitCode {
    let missing = missing_peers();
    let is_there = |peer: &&dyn Peer| !missing.iter().any(|line| line.starts_with(&format!("{}: ", peer.name())));
    let peers: Vec<&dyn Peer> = peers.iter().map(AsRef::as_ref).filter(is_there).collect();
    let settings = Settings {
        seconds: args.seconds(),
        underlay_cc: args.underlay_cc.clone(),
        overlay_cc: args.overlay_cc.clone(),
        linger: std::time::Duration::from_secs(args.linger),
    };
    let mut results = Results::new(peers.iter().map(|peer| peer.name().to_owned()).collect(), args.rounds());
    for round in 0..args.rounds() {
        eprintln!("── round {} of {}", round + 1, args.rounds());
        results.loads.push(load_average());
        for case in cases {
            for turn in 0..peers.len() {
                // Another order in each round: whoever comes after a heavy one should not always do so.
                let number = (turn + round) % peers.len();
                measure(case, peers[number], number, round, &settings, &mut results);
            }
        }
    }
    let ours: Vec<_> = (0..peers.len()).filter(|number| peers[*number].is_ours()).collect();
    let written = report::write(args, &results, &ours, &missing);
    if let Err(error) = &written {
        eprintln!("netns: {error}");
    }
    if results.failures.is_empty() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Of the last minute, which says whether others were at work on this machine: at the first round of nobody but them, later of us too.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn measure(case: &Case, peer: &dyn Peer, number: usize, round: usize, settings: &Settings, results: &mut Results) {
    let what = format!("round {}, {}, {}", round + 1, case.name, peer.name());
    match attempt(case, peer, settings) {
        Ok(readings) => return results.add(case.name, number, round, &readings),
        Err(error) => {
            eprintln!("!!! FAILED, once more: {what}: {error}");
            results.repeated.push(format!("{what}: {error}"));
        }
    }
    match attempt(case, peer, settings) {
        Ok(readings) => results.add(case.name, number, round, &readings),
        Err(error) => {
            eprintln!("!!! FAILED AGAIN: {what}: {error}");
            results.failures.push(format!("{what}: {error}"));
        }
    }
}

/// One measurement, or why it failed.
fn attempt(case: &Case, peer: &dyn Peer, settings: &Settings) -> Result<Vec<Reading>, String> {
    let began = Instant::now();
    let readings = catch_unwind(AssertUnwindSafe(|| (case.run)(peer, settings))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
    })?;
    let numbers: Vec<_> = readings.iter().map(|r| format!("{} {:.3} {}", r.what, r.value, r.unit.name())).collect();
    let took = began.elapsed().as_secs_f64();
    eprintln!("{:8} {:10} {took:5.1} s: {}", case.name, peer.name(), numbers.join("; "));
    Ok(readings)
}
