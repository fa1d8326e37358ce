//! Daemons between nodes that send bare Pinecone traffic: what a relay has to do for strangers.

use std::time::Duration;

use pinecone::keys::{Keypair, PublicKey, Seed};

use crate::daemon::Daemon;
use crate::inspector::Kind;
use crate::network::{CONVERGENCE, Member, Network, assert_delivers};
use crate::test_node::TestNode;
use crate::wait::{seconds, wait_until};

/// Four times the silence after which either side hangs up.
pub(crate) const LONG_ENOUGH: Duration = seconds(20);

#[test]
fn a_peering_holds_in_both_directions_and_everything_sent_on_it_is_lawful() {
    let dialled = TestNode::start([41; 32]);
    let daemon = Daemon::start([42; 32], &[dialled.address]);
    let dialling = TestNode::start([43; 32]);
    dialling.connect(daemon.address);
    for node in [&dialled, &dialling] {
        wait_until("the peering has held", LONG_ENOUGH + seconds(15), || {
            node.peerings().iter().any(|peering| peering.key == daemon.key && peering.up_for >= LONG_ENOUGH)
        });
        assert_eq!(node.complaints(), &[] as &[String]);
        assert_eq!(node.peerings().len(), 1, "it never broke");
        let count = |kind| node.with(move |core| core.count(kind));
        assert!(count(Kind::Announcement) >= 1 && count(Kind::Keepalive) >= 1 && count(Kind::Broadcast) >= 1);
        // Every node but the root bootstraps every 5 s; all are adjacent to or behind the daemon here.
        assert!(count(Kind::Bootstrap) >= 3 || node.key < daemon.key, "{} bootstraps", count(Kind::Bootstrap));
    }
}

#[test]
fn extension_bytes_that_the_daemon_does_not_know_are_ignored() {
    let daemon = Daemon::start([44; 32], &[]);
    let stranger = TestNode::start_with_extensions([45; 32], 0xfe, 0x7f84);
    stranger.connect(daemon.address);
    let plain = TestNode::start([46; 32]);
    plain.connect(daemon.address);
    assert_delivers(&plain, &stranger, None);
    assert_delivers(&stranger, &plain, None);
    assert_eq!((plain.complaints(), stranger.complaints()), (vec![], vec![]));
}

/// The harness alone: whatever else fails is the daemon's doing.
#[test]
fn a_ring_of_test_nodes_agrees() {
    check("NNNNN", &[(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]);
}

#[test]
fn a_daemon_relays_for_two_nodes_that_meet_only_there() {
    check("NDN", &[(0, 1), (1, 2)]);
}

#[test]
fn nodes_relay_for_daemons_and_daemons_for_nodes_in_a_line() {
    check("NDNDDN", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
}

#[test]
fn a_ring_of_both_agrees() {
    check("NDNDND", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)]);
}

#[test]
fn a_tree_of_both_agrees() {
    check("DNDNDNN", &[(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)]);
}

#[test]
fn the_largest_payload_that_is_safe_crosses_relays_unchanged() {
    let network = Network::build("NDDN", &[(0, 1), (1, 2), (2, 3)]);
    network.wait_agreed();
    let nodes = network.nodes();
    let payload: Vec<u8> = (0..65_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    for (from, to) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
        wait_until("it arrives", CONVERGENCE, || {
            from.send(to.key, None, &payload);
            std::thread::sleep(Duration::from_millis(50));
            to.take_received().iter().any(|received| received.from == from.key && received.payload == payload)
        });
    }
    network.assert_no_complaints();
}

#[test]
fn parallel_peerings_to_one_key_are_kept() {
    let daemon = Daemon::start([47; 32], &[]);
    let node = TestNode::start([48; 32]);
    (0..3).for_each(|_| node.connect(daemon.address));
    wait_until("all three are up", seconds(10), || node.peerings().len() == 3 && daemon.peer_keys() == [node.key; 3]);
    let other = TestNode::start([49; 32]);
    other.connect(daemon.address);
    assert_delivers(&other, &node, None);
    assert_delivers(&node, &other, None);
    assert_eq!(node.complaints(), &[] as &[String]);
}

#[test]
fn a_restarted_root_outranks_its_own_past() {
    let mut seeds = [[54; 32], [55; 32], [56; 32]];
    seeds.sort_by_key(|seed| Keypair::from_seed(&Seed(*seed)).public());
    // The two below keep telling each other of the root that was.
    let below = [TestNode::start(seeds[0]), TestNode::start(seeds[1])];
    below[0].connect(below[1].address);
    let mut root = Daemon::start(seeds[2], &[below[0].address, below[1].address]);
    let followed = |node: &TestNode| node.with(|core| core.router.root());
    let both_follow_after = |sequence: u64, key: PublicKey| {
        below.iter().all(|node| followed(node).key == key && followed(node).sequence > sequence)
    };
    wait_until("both follow the root", CONVERGENCE, || both_follow_after(0, root.key));
    let before = followed(&below[0]).sequence;
    root.restart();
    wait_until("both follow it again", CONVERGENCE, || both_follow_after(before, root.key));
    below.iter().for_each(|node| assert_eq!(node.complaints(), &[] as &[String]));
}

fn check(kinds: &str, edges: &[(usize, usize)]) {
    let mut network = Network::build(kinds, edges);
    network.wait_agreed();
    network.assert_all_pairs();
    network.assert_no_complaints();
    for member in &mut network.members {
        if let Member::Daemon(daemon) = member {
            assert!(daemon.is_running());
        }
    }
}
