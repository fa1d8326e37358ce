//! Daemons that are killed and peerings that are cut, in an order drawn from a seed.

use std::time::{Duration, Instant};

use pinecone::rng::Rng;

use crate::network::{Member, Network};
use crate::wait::seconds;

/// How long it goes on, in seconds; for long runs by hand.
const LENGTH: &str = "PINECONE_CHURN_SECONDS";
/// The seed, as a decimal number.
const SEED: &str = "PINECONE_CHURN_SEED";

#[test]
fn a_network_under_churn_breaks_no_rule_and_heals() {
    let length = Duration::from_secs(variable(LENGTH).unwrap_or(30));
    let seed = variable(SEED).unwrap_or(1);
    println!("{SEED}={seed} {LENGTH}={}", length.as_secs());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut rng = Rng::new(bytes);
    // Daemons redial what they dialled, test nodes do not: every edge is dialled by a daemon.
    let mut network = Network::build("NNDDD", &[(0, 2), (1, 2), (0, 3), (1, 4), (2, 3), (3, 4)]);
    network.wait_agreed();
    let start = Instant::now();
    while start.elapsed() < length {
        let chosen = usize::try_from(rng.below(5)).unwrap();
        match &mut network.members[chosen] {
            Member::Daemon(daemon) => {
                assert!(daemon.is_running(), "it did not die by itself");
                daemon.restart();
            }
            Member::Node(node) => node.disconnect_all(),
        }
        std::thread::sleep(Duration::from_millis(rng.below(3_000)) + seconds(1));
    }
    network.wait_agreed();
    network.assert_all_pairs();
    network.assert_no_complaints();
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
