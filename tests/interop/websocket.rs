//! Peerings over WebSocket between Go nodes and our daemon.

use crate::daemon::Daemon;
use crate::go_node::{GoNode, LISTEN};
use crate::network::{CONVERGENCE, Member, assert_delivers_bytes};
use crate::program;
use crate::wait::{seconds, wait_until};

#[test]
fn go_nodes_and_the_daemon_dial_each_other_over_websocket_and_frames_of_any_size_pass() {
    if !program::is_there("websocket") {
        return;
    }
    let listening = GoNode::start([31; 32], LISTEN);
    let mut daemon = Daemon::start_with_peers([32; 32], &[format!("ws://{}/", listening.websocket())]);
    let dialling = GoNode::start([33; 32], &["-connect", &format!("ws://{}/pinecone", daemon.websocket)]);
    for node in [&listening, &dialling] {
        wait_until("the peering is up", CONVERGENCE, || node.peers().iter().any(|(_, key)| *key == daemon.key));
    }
    let held = || {
        let peers = daemon.ctl("peers");
        let peers = peers["peers"].as_array().unwrap();
        peers.len() == 2 && peers.iter().all(|peer| peer["uptime_seconds"].as_f64().unwrap() > 12.0)
    };
    let [mut listening, mut dialling] = [listening, dialling].map(Member::Go);
    while !held() {
        for length in [1, 32_768, 65_000] {
            assert_delivers_bytes(&listening, &dialling, length);
            assert_delivers_bytes(&dialling, &listening, length);
        }
        // Long enough for keepalives in both directions.
        std::thread::sleep(seconds(4));
    }
    for member in [&mut listening, &mut dialling] {
        let Member::Go(node) = member else { unreachable!("made above") };
        node.assert_runs();
        assert_eq!(node.peerings_lost(), 0, "it never broke");
    }
    assert!(daemon.is_running());
}
