//! The simulator against real daemons: the same scenario in both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

#[path = "../netns/daemon.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod daemon;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod lab;
#[path = "../netns/sandbox.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod sandbox;
#[path = "../netns/wait.rs"]
mod wait;

mod control;
mod experiment;
mod real;
mod scenario;
mod simulated;

use std::time::{Duration, Instant};

use experiment::carry_out;

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn sixty_four_real_nodes_and_simulated_ones_agree() {
    sandbox::in_lab(&[], |lab| {
        let scenario = scenario::Scenario::draw(env("SCEN", 1));
        let host = lab.host("all");
        let daemons = real::Daemons::prepare(lab, &host);
        let mut delays = Vec::new();
        for n in 0..env("ROUNDS", 3) {
            let start = Instant::now();
            let mut round = daemons.start(&scenario);
            let up = start.elapsed();
            let outcome = carry_out(&mut round, &scenario, Duration::from_millis(n * 37));
            delays = round.delays();
            println!("real {outcome:?} delay {:?} start {up:?} last up {:?}", round.longest_delay(), delays.iter().map(|d| d.1).max());
            drop(round);
            println!("took {:?}", start.elapsed());
        for seed in 0..env("DRAWS", 4) {
            let start = Instant::now();
            let mut replay = simulated::Replay::new(&scenario, &delays, seed + 100 * n);
            let outcome = carry_out(&mut replay, &scenario, Duration::from_millis(seed * 60));
            println!("sim {outcome:?} took {:?}", start.elapsed());
        }
        }
    });
}
