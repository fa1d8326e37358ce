//! Peerings over TCP between Go nodes and ours.

use std::net::TcpStream;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::go_node::{GoNode, LISTEN};
use crate::network::CONVERGENCE;
use crate::program;
use crate::test_node::TestNode;
use crate::wait::{seconds, wait_until};

/// Four times the silence after which either side hangs up.
const LONG_ENOUGH: Duration = seconds(20);

#[test]
fn go_nodes_and_the_daemon_dial_each_other_and_stay_and_a_go_node_ignores_our_extension_bytes() {
    if !program::is_there("peering") {
        return;
    }
    let mut dialled = GoNode::start([11; 32], LISTEN);
    let mut daemon = Daemon::start([12; 32], &[dialled.tcp()]);
    let mut dialling = GoNode::start([13; 32], &["-connect", &daemon.address.to_string()]);
    let extended = TestNode::start_with_extensions([14; 32], 1, 0x7ffe);
    extended.connect(dialled.tcp());

    let uptimes = || -> Vec<f64> {
        let peers = daemon.ctl("peers");
        peers["peers"].as_array().unwrap().iter().map(|peer| peer["uptime_seconds"].as_f64().unwrap()).collect()
    };
    let held = |uptime: &f64| *uptime >= LONG_ENOUGH.as_secs_f64();
    wait_until("both peerings have held", LONG_ENOUGH + CONVERGENCE, || {
        uptimes().len() == 2 && uptimes().iter().all(held)
    });
    wait_until("the one with the extensions has held", CONVERGENCE, || {
        extended.peerings().iter().any(|peering| peering.key == dialled.key && peering.up_for >= LONG_ENOUGH)
    });
    assert_eq!(extended.complaints(), &[] as &[String]);
    assert_eq!((dialled.peerings_lost(), dialling.peerings_lost()), (0, 0), "none ever broke");
    assert_eq!((dialled.peers().len(), dialling.peers().len()), (2, 1));

    let root = [dialled.key, daemon.key, dialling.key, extended.key].into_iter().max().unwrap();
    for follows in [dialled.place().0, daemon.place().0, dialling.place().0, extended.place().0] {
        assert_eq!(follows, root);
    }
    dialled.assert_runs();
    dialling.assert_runs();
    assert!(daemon.is_running());
}

#[test]
fn the_daemon_gets_through_to_a_go_node_that_waits_for_silent_clients() {
    if !program::is_there("peering") {
        return;
    }
    let mut busy = GoNode::start([15; 32], LISTEN);
    // The reference takes clients one at a time and gives each ten seconds for its handshake.
    let silent = [(); 2].map(|()| TcpStream::connect(busy.tcp()).unwrap());
    let mut daemon = Daemon::start([16; 32], &[busy.tcp()]);
    assert_eq!(busy.peers(), [], "the silent ones come first");
    let up = || daemon.peer_keys() == [busy.key] && busy.peers().iter().map(|(_, key)| *key).eq([daemon.key]);
    wait_until("they are peers", seconds(50), up);
    // What we gave up while we waited is accepted later, and found to be closed.
    wait_until("the peering holds", seconds(30), || {
        up() && daemon.ctl("peers")["peers"][0]["uptime_seconds"].as_f64().unwrap() > 6.0
    });
    drop(silent);
    busy.assert_runs();
    assert!(daemon.is_running());
}
