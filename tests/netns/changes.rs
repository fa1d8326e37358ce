//! The network changes under the traffic: links are cut, nodes restart, halves part and meet.

use nix::sys::signal::Signal;

use crate::daemon::public_key;
use crate::lab::Cut;
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, first_reply, wait_reachable};
use crate::wait::{seconds, wait_until};

/// The most that a node may take from its start to its first answered ping.
const REACHABLE_AGAIN: std::time::Duration = seconds(2);

#[test]
fn a_transfer_survives_that_a_link_of_its_ring_goes_down() {
    in_lab(&[], |lab| cut_in_the_middle_of_a_transfer(&ring(lab), Cut::Down));
}

#[test]
fn a_transfer_survives_that_a_link_of_its_ring_falls_silent() {
    in_lab(&[], |lab| cut_in_the_middle_of_a_transfer(&ring(lab), Cut::Silent));
}

fn ring(lab: &crate::lab::Lab) -> Mesh {
    Mesh::build(lab, 5, &[(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
}

/// Sends a file from node 0 to node 2 and cuts the one of node 0's links that carries it.
fn cut_in_the_middle_of_a_transfer(mesh: &Mesh, how: Cut) {
    const FILE: u64 = 64 << 20;
    mesh.wait_reachable(0, 2);
    // Sends no more than half before the cut, however fast it is.
    let transfer = Transfer::start(&mesh.hosts[0], &mesh.hosts[2], mesh.address(2), FILE, FILE / 2);
    wait_until("an eighth has arrived", seconds(30), || transfer.received() > FILE / 8);
    let peers = mesh.nodes[0].peers();
    let carrier = peers.iter().max_by_key(|peer| peer["sent_bytes"].as_u64()).unwrap();
    assert!(carrier["sent_bytes"].as_u64().unwrap() > FILE / 16, "neither link carries the transfer: {peers:?}");
    let is = |n: usize| mesh.nodes[n].ctl("status")["public_key"] == carrier["key"];
    let link = if is(1) { &mesh.links[0] } else { &mesh.links[4] };
    link.cut(how);
    let cut = std::time::Instant::now();
    transfer.go_on();
    let before = transfer.received();
    wait_until("the transfer goes on", seconds(60), || transfer.received() > before + FILE / 8);
    println!("{how:?}: going on {:.2} s after the cut", cut.elapsed().as_secs_f64());
    transfer.finish();
}

#[test]
fn a_restarted_leaf_is_reachable_within_two_seconds() {
    in_lab(&[], |lab| restart_repeatedly(&star(lab), 0, 2));
}

#[test]
fn a_restarted_root_is_reachable_within_two_seconds() {
    in_lab(&[], |lab| restart_repeatedly(&star(lab), 2, 0));
}

#[test]
fn a_node_that_was_down_for_ten_seconds_is_reachable_within_two() {
    in_lab(&[], |lab| {
        let mesh = star(lab);
        mesh.wait_reachable(2, 0);
        mesh.nodes[0].stop(Signal::SIGKILL);
        assert_eq!(first_reply(&mesh.hosts[2], mesh.address(0), seconds(10)), None);
        start_and_measure(&mesh, 0, 2);
    });
}

/// Nodes 0 and 2 dial node 1. Node 0 has the lowest key, node 2 is the root.
fn star(lab: &crate::lab::Lab) -> Mesh {
    Mesh::build(lab, 3, &[(1, 0), (1, 2)])
}

fn restart_repeatedly(mesh: &Mesh, restarted: usize, other: usize) {
    mesh.wait_reachable(other, restarted);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        mesh.nodes[restarted].stop(signal);
        start_and_measure(mesh, restarted, other);
    }
}

fn start_and_measure(mesh: &Mesh, restarted: usize, other: usize) {
    mesh.nodes[restarted].spawn();
    let reply = first_reply(&mesh.hosts[other], mesh.address(restarted), seconds(20));
    println!("first reply after {reply:?}");
    assert!(reply.is_some_and(|after| after < REACHABLE_AGAIN), "first reply after {reply:?}");
}

#[test]
fn a_restarted_relay_is_dialled_again_and_relays() {
    in_lab(&[], |lab| {
        let mesh = star(lab);
        mesh.wait_reachable(0, 2);
        for signal in [Signal::SIGKILL, Signal::SIGTERM] {
            mesh.nodes[1].stop(signal);
            mesh.nodes[1].spawn();
            let reply = first_reply(&mesh.hosts[0], mesh.address(2), seconds(15));
            println!("through the restarted relay after {reply:?}");
            assert!(reply.is_some());
        }
    });
}

#[test]
fn two_halves_with_roots_of_their_own_merge_part_and_merge_again() {
    in_lab(&[], |lab| {
        // 0 — 1 ┊ 2 — 3: the second half has the higher keys, so its root wins.
        let edges = [(0, 1), (1, 2), (2, 3)];
        let mesh = Mesh::build_with(lab, 4, &edges, |_, _| ());
        mesh.wait_reachable(0, 3);
        for how in [Cut::Down, Cut::Silent] {
            mesh.links[1].cut(how);
            wait_until("each half has a root of its own", seconds(20), || {
                mesh.nodes[0].root() == mesh.nodes[1].root() && mesh.nodes[0].root() != mesh.nodes[3].root()
            });
            wait_reachable(&mesh.hosts[0], mesh.address(1), seconds(15));
            wait_reachable(&mesh.hosts[3], mesh.address(2), seconds(15));
            assert_eq!(first_reply(&mesh.hosts[0], mesh.address(3), seconds(1)), None);
            mesh.links[1].mend(how);
            let reply = first_reply(&mesh.hosts[0], mesh.address(3), seconds(15));
            println!("{how:?}: merged after {reply:?}");
            assert!(reply.is_some(), "{how:?}: the halves do not reach each other again");
            wait_reachable(&mesh.hosts[3], mesh.address(1), seconds(15));
            assert!(mesh.nodes.iter().all(|node| node.root() == mesh.nodes[3].root()));
        }
    });
}

#[test]
fn halves_that_never_met_merge_when_they_are_joined() {
    in_lab(&[], |lab| {
        // The winning root is in the first half here: seeds are mirrored.
        let edges = [(0, 1), (1, 2), (2, 3)];
        let seeds = crate::daemon::seeds_by_key(4);
        let mesh = Mesh::build_unlinked(lab, 4, &edges, &[1], |n, config| config.seed = seeds[3 - n]);
        wait_reachable(&mesh.hosts[0], mesh.address(1), seconds(15));
        wait_reachable(&mesh.hosts[3], mesh.address(2), seconds(15));
        assert_eq!(mesh.nodes[1].root(), public_key(seeds[3]).to_string());
        assert_eq!(mesh.nodes[2].root(), public_key(seeds[1]).to_string());
        mesh.links[1].mend(Cut::Silent);
        for (from, to) in [(0, 3), (3, 0), (1, 2), (3, 1)] {
            mesh.wait_reachable(from, to);
        }
        assert!(mesh.nodes.iter().all(|node| node.root() == public_key(seeds[3]).to_string()));
    });
}

#[test]
fn a_transfer_arrives_intact_over_a_lossy_link() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        mesh.wait_reachable(0, 2);
        mesh.links[0].lose(1);
        Transfer::complete(&mesh.hosts[0], &mesh.hosts[2], mesh.address(2), 8 << 20);
    });
}
