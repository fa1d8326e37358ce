//! Go nodes and daemons that are killed and started again, in an order drawn from a seed.

use std::time::{Duration, Instant};

use pinecone::rng::Rng;

use crate::network::{CONVERGENCE, Network, delivers};
use crate::program;
use crate::wait::{seconds, wait_until};

/// How long it goes on, in seconds; for long runs by hand.
const LENGTH: &str = "PINECONE_CHURN_SECONDS";
/// The seed, as a decimal number.
const SEED: &str = "PINECONE_CHURN_SEED";
/// How soon after the last event everybody reaches everybody.
const QUIET: Duration = seconds(15);

#[test]
fn a_mixed_network_under_churn_heals_within_fifteen_seconds() {
    if !program::is_there("churn") {
        return;
    }
    let length = Duration::from_secs(variable(LENGTH).unwrap_or(45));
    let seed = variable(SEED).unwrap_or(1);
    println!("{SEED}={seed} {LENGTH}={}", length.as_secs());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut rng = Rng::new(bytes);
    let root = usize::try_from(rng.below(5)).unwrap();
    println!("the root is member {root} of GDGDG");
    // A ring with a chord between the daemons. Whoever dialled dials again, so nothing here needs a hand.
    let edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3)];
    let mut network = Network::build("GDGDG", &edges, root);
    network.wait_agreed(CONVERGENCE);
    let start = Instant::now();
    let mut quiet = start;
    while start.elapsed() < length {
        std::thread::sleep(Duration::from_millis(rng.below(3_000)) + seconds(1));
        let chosen = usize::try_from(rng.below(5)).unwrap();
        network.members[chosen].restart();
        quiet = Instant::now();
    }
    for (from, to) in [(0, 2), (2, 0), (0, 4), (4, 0), (2, 4), (4, 2)] {
        wait_until(&format!("member {from} reaches member {to}"), QUIET.saturating_sub(quiet.elapsed()), || {
            delivers(&network.members[from], &network.members[to], b"after the churn")
        });
    }
    println!("all Go nodes reach each other {:.1} s after the last event", quiet.elapsed().as_secs_f64());
    network.wait_agreed(CONVERGENCE);
    println!("all agree {:.1} s after it", quiet.elapsed().as_secs_f64());
    network.assert_all_pairs();
    network.assert_well();
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
