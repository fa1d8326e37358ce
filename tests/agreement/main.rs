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
mod table;

use lab::Lab;
use real::Daemons;
use sandbox::in_lab;
use scenario::Scenario;
use simulated::replay;
use table::compare;

/// Networks that run side by side. More, and 64 processes each would be in each other's way on two processors.
const NETWORKS: u64 = 3;
/// Rounds of each. One merge is a random draw with a spread of a third; the mean of all is what can be compared.
const ROUNDS: u64 = 7;
/// Replays of each round.
const DRAWS: usize = 6;
/// Disturbed rounds that each network may repeat.
const SPARE_ROUNDS: usize = 2;

#[test]
fn sixty_four_real_nodes_and_sixty_four_simulated_ones_agree_on_convergence_and_stretch() {
    in_lab(&[], |_| {
        let scenario = Scenario::draw(1);
        let record = |network: u64| {
            let lab = Lab::new();
            let daemons = Daemons::prepare(&lab, &lab.host(&format!("net{network}")));
            let recordings = daemons.record(&scenario, network * ROUNDS..(network + 1) * ROUNDS, SPARE_ROUNDS);
            lab.finish();
            recordings
        };
        let recordings: Vec<_> = std::thread::scope(|scope| {
            let record = &record;
            let networks: Vec<_> = (0..NETWORKS).map(|network| scope.spawn(move || record(network))).collect();
            networks.into_iter().flat_map(|network| network.join().expect("it panicked")).collect()
        });
        let real: Vec<_> = recordings.iter().map(|recording| recording.outcome).collect();
        let simulated = replay(&scenario, &recordings, DRAWS);
        compare(&real, &simulated);
    });
}
