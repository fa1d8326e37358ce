//! The simulator against real daemons: the same 64 nodes, with the same keys, in both, and the same experiment.
//!
//! Two halves of a grid form, rest, and are joined (`experiment`). Measured are the time from the last link-up until every node follows
//! the right root and has its true predecessor in the snake, for each half and for the whole, and the hops that pings take over the hops
//! of the shortest ways. The real network (`real`) is 64 processes that peer over TCP on the loopback interface of a network namespace;
//! they are asked over their control sockets. The simulation (`simulated`) replays when each link came up. Both are carried out by the
//! same code, so that they are looked at alike.
//!
//! **Means are compared.** What happens depends on the phases of the nodes' ticks (250 ms), which nobody controls: the time of one merge
//! spreads by a third from run to run, in both worlds. So there are many rounds, each with links in another order, and the table says how
//! far each mean can be trusted. If means differ by more than they may, as many rounds again are carried out and all of them count.
//! A round in which the machine kept this program waiting for longer than half a tick is done again.
//!
//! **What differs between the worlds**, and what became of it:
//! - Processors. A simulated node computes in no time. 64 processes that get all their links at once queue for two processors, a frame
//!   takes milliseconds instead of 0.1 ms, and the order in which processes run decides who becomes whose parent: real trees are deeper
//!   then (stretch 1.24 to 1.31 against 1.18 to 1.20), and the halves take longer to form. Links of random delay do not reproduce that,
//!   most likely because a process that runs late takes all its frames at once and answers them once. So links are made 10 ms apart,
//!   which keeps the processors out.
//! - Looking. Both are looked at every 20 ms, and a look costs real daemons time: up to 30 ms of a time of convergence.
//! - Timers. A real tick comes up to a millisecond or two late and starts the next one from there, so phases drift; replays are averaged
//!   over links that come up up to 2 ms later than recorded, and over the simulator's seeds.
//! - TCP and the hello. They come before a link-up, which is what is replayed; afterwards the loopback interface loses nothing.
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

use std::time::Duration;

use lab::Lab;
use real::{Daemons, Recording};
use sandbox::in_lab_for;
use scenario::Scenario;
use simulated::replay;
use table::compare;
use wait::seconds;

/// Networks that run side by side. More, and 64 processes each would be in each other's way on two processors.
const NETWORKS: u64 = 3;
/// Rounds of each.
const ROUNDS: u64 = 7;
/// Replays of each round.
const DRAWS: usize = 6;
/// Times that all of this may be done: the mean of few rounds can be wrong by chance, that of twice as many hardly.
const CAMPAIGNS: u64 = 2;
/// Disturbed rounds that each network may repeat in a campaign.
const SPARE_ROUNDS: usize = 2;
/// One campaign takes two minutes; a second one, disturbed rounds and a busy machine need more.
const DEADLINE: Duration = seconds(400);

#[test]
fn sixty_four_real_nodes_and_sixty_four_simulated_ones_agree_on_convergence_and_stretch() {
    in_lab_for(DEADLINE, &[], |_| {
        let scenario = Scenario::draw(1);
        let (mut real, mut simulated) = (Vec::new(), Vec::new());
        let mut disagreements = Vec::new();
        for campaign in 0..CAMPAIGNS {
            let recordings = record(&scenario, campaign);
            real.extend(recordings.iter().map(|recording| recording.outcome));
            simulated.extend(replay(&scenario, &recordings, DRAWS, campaign));
            disagreements = compare(&real, &simulated);
            if disagreements.is_empty() {
                return;
            }
            println!("the worlds disagree after {} rounds", real.len());
        }
        panic!("the simulator disagrees with real daemons on: {}", disagreements.join("; "));
    });
}

/// Carries the rounds of a campaign out with real daemons.
fn record(scenario: &Scenario, campaign: u64) -> Vec<Recording> {
    let record = |network: u64| {
        let lab = Lab::new();
        let daemons = Daemons::prepare(&lab, &lab.host(&format!("net{campaign}x{network}")));
        let first = (campaign * NETWORKS + network) * ROUNDS;
        let recordings = daemons.record(scenario, first..first + ROUNDS, SPARE_ROUNDS);
        lab.finish();
        recordings
    };
    std::thread::scope(|scope| {
        let record = &record;
        let networks: Vec<_> = (0..NETWORKS).map(|network| scope.spawn(move || record(network))).collect();
        networks.into_iter().flat_map(|network| network.join().expect("it panicked")).collect()
    })
}
