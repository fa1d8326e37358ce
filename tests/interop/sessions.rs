//! What runs on top of the reference's router: QUIC between two Go nodes that meet only through our daemon.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::go_node::GoNode;
use crate::program;
use crate::wait::{seconds, wait_until};

/// Large enough that every kind of loss and reordering happens on the way.
const BULK: u64 = 100_000_000;

#[test]
fn an_http_request_and_a_hundred_megabytes_cross_our_relay_between_two_go_sessions() {
    if !program::is_there("sessions") {
        return;
    }
    let daemon = Daemon::start([21; 32], &[]);
    let relay = daemon.address.to_string();
    let mut server = GoNode::start([22; 32], &["-sessions", "-connect", &relay]);
    let mut client = GoNode::start([23; 32], &["-sessions", "-connect", &relay]);
    for node in [&server, &client] {
        wait_until("its only peer is the daemon", seconds(20), || {
            node.peers().iter().map(|(_, key)| *key).eq([daemon.key])
        });
    }
    let root = [daemon.key, server.key, client.key].into_iter().max().unwrap();
    wait_until("all follow one root", seconds(20), || server.place().0 == root && client.place().0 == root);
    server.command("serve");
    server.answer("serving", seconds(5));

    for (length, deadline) in [(1_000, seconds(30)), (BULK, seconds(120))] {
        let start = Instant::now();
        client.command(&format!("get {} /bytes/{length}", server.key));
        let got = client.answer("got", deadline);
        let taken = start.elapsed().as_secs_f64();
        println!("{length} bytes in {taken:.1} s: {:.0} Mbit/s", length as f64 * 8e-6 / taken);
        let served = server.answer("served", seconds(5));
        assert_eq!(got["status"].as_u64(), Some(200));
        assert_eq!((got["length"].as_u64(), &got["sha256"]), (Some(length), &served["sha256"]));
    }
    server.assert_runs();
    client.assert_runs();
}
