//! The data plane end to end: what two programs on two hosts get out of the overlay, beside what other overlays and no overlay at all
//! give them, on the same machine in the same minutes.
//!
//! `docs/performance.md` says what is measured, why, and how to run it. Everything happens in network namespaces of a sandbox (`inside`)
//! that ends with this program. A **peer** (`peers`) is a way to connect hosts: pineconed, another overlay, a pump that does nothing but
//! carry packets, or a bare cable. A **case** (`cases`) is a network and what is measured in it. Rounds are interleaved: each case is
//! measured with all peers, one right after the other, before the next one, and all of that again in the next round, so that a machine
//! that gets slower or busier does so for everybody. What is reported is medians, and the median of the rounds' own ratios.
//!
//! Support: `bed` (hosts in a line), `overlay` (the processes of a peer), `tools` (iperf3, ping, datagrams), `account` (processor time
//! and memory), `readings`, `parse`, `stats`, `table` and `transport` (pure; tested by `tests/bench_netns.rs`), `report` (files). The namespaces and cables are
//! those of the tests (`tests/netns`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "what is measured is the real clock")]

#[path = "../../tests/netns/daemon.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod daemon;
#[path = "../../tests/netns/lab.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod lab;
#[path = "../../tests/netns/sandbox.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod sandbox;
#[path = "../../tests/netns/traffic.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod traffic;
#[path = "../../tests/netns/wait.rs"]
mod wait;

mod account;
mod args;
mod bed;
mod cases;
mod inside;
mod overlay;
mod parse;
mod peers;
mod pump;
mod readings;
mod report;
mod rounds;
mod stats;
mod table;
mod tools;
mod transport;

use std::process::ExitCode;

use args::Args;
use clap::Parser as _;

fn main() -> ExitCode {
    let raw: Vec<String> = std::env::args().collect();
    if raw.get(1).is_some_and(|argument| argument == pump::COMMAND) {
        return pump::main(&raw[2..]);
    }
    if let Some(reason) = reason_to_do_nothing(&raw[1..]) {
        println!("netns: nothing measured: {reason}");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let cases = match args.cases() {
        Ok(cases) => cases,
        Err(error) => return usage(&error),
    };
    let peers = match peers::all(&args) {
        Ok(peers) => peers,
        Err(error) => return usage(&error),
    };
    if inside::is_inside() {
        sandbox::prepare();
        return rounds::run(&args, &cases, &peers);
    }
    let missing = peers::prepare(&peers);
    inside::run_again(&missing)
}

/// `cargo test --benches` and a plain `cargo bench` run every bench there is; this one takes many minutes and root, so it wants to be
/// asked for. Cargo itself passes `--bench`.
fn reason_to_do_nothing(arguments: &[String]) -> Option<&'static str> {
    if !arguments.iter().any(|argument| argument == "--bench") || arguments.iter().any(|argument| argument == "--test")
    {
        return Some("run as a test");
    }
    if arguments.len() == 1 {
        return Some("it takes minutes and wants at least one option, e.g. cargo bench --bench netns -- --rounds 3");
    }
    // Help and the list of cases and peers need no privilege.
    let only_asks = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    (!nix::unistd::Uid::effective().is_root() && !only_asks).then_some("it needs root, for network namespaces")
}

fn usage(error: &str) -> ExitCode {
    eprintln!("netns: {error}");
    ExitCode::from(2)
}
