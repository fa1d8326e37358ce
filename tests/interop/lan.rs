//! LAN discovery between Go nodes and our daemon, by the reference's multicast.

use std::time::Duration;

use crate::daemon::{Config, Running, seeds_by_key};
use crate::go_node::GoNode;
use crate::lab::Lab;
use crate::program;
use crate::sandbox::in_lab;
use crate::wait::{seconds, wait_until};

/// A Go node looks at its interfaces every ten seconds, and our daemon's beacons may be ten seconds apart.
const DISCOVERY: Duration = seconds(30);
/// More than any interval of either side: beacons, keepalives, silence.
const LONG_ENOUGH: f64 = 30.0;

/// A daemon and a Go node on an Ethernet of their own, without any configuration of peers.
struct Pair {
    daemon: std::rc::Rc<Running>,
    go: GoNode,
}

impl Pair {
    fn start(lab: &Lab, name: &str, daemon: u8, go: u8) -> Self {
        let (ours, theirs) = (lab.host(&format!("{name}-ours")), lab.host(&format!("{name}-theirs")));
        lab.link(&ours, &theirs);
        let config = Config { discovery: true, listen: vec![], ..Config::new(daemon) };
        Self { daemon: Running::start(lab, &ours, config), go: GoNode::start_on(&theirs, [go; 32], &["-multicast"]) }
    }

    /// Whether both list the same peerings, and all have lasted that long.
    fn have_held(&self, seconds: f64) -> bool {
        let (ours, theirs) = (self.daemon.peers(), self.go.peers());
        !ours.is_empty()
            && ours.len() == theirs.len()
            && ours.iter().all(|peer| peer["uptime_seconds"].as_f64().unwrap() >= seconds)
    }
}

#[test]
fn go_nodes_and_the_daemon_find_each_other_by_multicast_and_stay_peers() {
    if !program::is_there("lan") {
        return;
    }
    in_lab(&[], |lab| {
        // Who of two of ours dials, and which of two peerings stays, depends on the order of their keys.
        let seeds = seeds_by_key(2);
        let mut pairs = [Pair::start(lab, "lower", seeds[0], seeds[1]), Pair::start(lab, "higher", seeds[1], seeds[0])];
        for pair in &pairs {
            wait_until("they are peers", DISCOVERY, || pair.have_held(5.0));
        }
        let lost: Vec<_> = pairs.iter().map(|pair| pair.go.peerings_lost()).collect();
        for pair in &pairs {
            wait_until("the peerings last", seconds(45), || pair.have_held(LONG_ENOUGH));
        }
        for (pair, lost) in pairs.iter_mut().zip(lost) {
            assert_eq!(pair.go.peerings_lost(), lost, "no peering comes and goes");
            println!("{} peerings, {lost} others at the start", pair.go.peers().len());
            pair.go.assert_runs();
        }
    });
}
