//! The rounds: every case with every peer, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::args::Args;
use crate::cases::{Case, Settings};
use crate::inside::missing_peers;
use crate::peers::Peer;
use crate::readings::Results;
use crate::report;

/// Measures, prints and writes. A measurement that fails is reported, and the others go on.
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
    let began = Instant::now();
    let (case_name, peer_name) = (case.name, peer.name());
    let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(peer, settings)));
    let took = began.elapsed().as_secs_f64();
    match outcome {
        Ok(readings) => {
            let numbers: Vec<_> =
                readings.iter().map(|r| format!("{} {:.3} {}", r.what, r.value, r.unit.name())).collect();
            eprintln!("round {} {case_name:8} {peer_name:10} {took:5.1} s: {}", round + 1, numbers.join("; "));
            results.add(case_name, number, round, &readings);
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            let failure = format!("round {}, {case_name}, {peer_name}: {text}", round + 1);
            eprintln!("!!! FAILED {failure}");
            results.failures.push(failure);
        }
    }
}
