//! One network of Go nodes and ours: the same tree, the same snake, traffic between all.

use crate::network::{CONVERGENCE, Network, assert_delivers_bytes};
use crate::program;

/// The largest payload that is safe whatever route it takes (§3.2).
const LARGE: usize = 65_000;

fn check(kinds: &str, edges: &[(usize, usize)], root: usize) -> Option<Network> {
    if !program::is_there("networks") {
        return None;
    }
    let mut network = Network::build(kinds, edges, root);
    network.wait_agreed(CONVERGENCE);
    network.assert_all_pairs();
    network.assert_well();
    Some(network)
}

#[test]
fn our_daemon_relays_between_two_go_nodes() {
    let Some(network) = check("GDG", &[(0, 1), (1, 2)], 2) else { return };
    assert_delivers_bytes(&network.members[0], &network.members[2], LARGE);
    assert_delivers_bytes(&network.members[2], &network.members[0], LARGE);
}

#[test]
fn a_go_node_relays_between_two_of_ours() {
    let Some(network) = check("NGN", &[(0, 1), (1, 2)], 0) else { return };
    assert_delivers_bytes(&network.members[0], &network.members[2], LARGE);
    assert_delivers_bytes(&network.members[2], &network.members[0], LARGE);
}

#[test]
fn a_line_of_both_below_a_go_root_agrees() {
    check("NGDGDN", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], 3);
}

#[test]
fn a_ring_of_both_below_our_root_agrees() {
    check("DGNGDG", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)], 4);
}

#[test]
fn a_tree_of_both_agrees() {
    check("GDGNGDG", &[(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)], 5);
}
