//! IP traffic of our daemons through a Go relay.

use crate::daemon::{Config, Running, seeds_by_key};
use crate::go_node::GoNode;
use crate::program;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, iperf, ping, wait_reachable};
use crate::wait::seconds;

#[test]
fn pings_and_bulk_at_the_largest_mtu_cross_a_go_relay() {
    if !program::is_there("tunnel") {
        return;
    }
    in_lab(&["iperf3"], |lab| {
        let (left, middle, right) = (lab.host("left"), lab.host("middle"), lab.host("right"));
        let links = [lab.link(&middle, &left), lab.link(&middle, &right)];
        // The relay is the root: so both others have coordinates, and frames can go by the tree.
        let seeds = seeds_by_key(3);
        let mut relay = GoNode::start_on(&middle, [seeds[2]; 32], &["-listen", "0.0.0.0:7463"]);
        let start = |host, seed: u8, link: &crate::lab::Link| {
            let config = Config { peers: vec![link.ends[0].uri()], ..Config::new(seed) };
            Running::start(lab, host, config)
        };
        let (a, b) = (start(&left, seeds[0], &links[0]), start(&right, seeds[1], &links[1]));
        wait_reachable(&left, b.address(), seconds(30));
        assert_pings(&left, b.address());
        assert_pings(&right, a.address());
        // With 48 bytes of headers a packet of 65,000 bytes, the MTU.
        let large = ping(&left, b.address(), "-c 5 -i 0.2 -W 5 -s 64952 -M do");
        assert_eq!(large.received, 5, "{}", large.text);
        Transfer::complete(&left, &right, b.address(), 20_000_000);
        for reverse in [false, true] {
            let rate = iperf(&left, &right, b.address(), 3, reverse);
            println!("iperf3 through a Go relay, {}: {rate:.0} Mbit/s", if reverse { "back" } else { "there" });
            // Far below what any machine does; a relay that loses most frames does not get there.
            assert!(rate > 20.0, "{rate} Mbit/s");
        }
        let (by_tree, by_snake) = relay.relayed();
        println!("the Go node relayed {by_tree} frames by tree, {by_snake} by snake");
        assert!(by_tree > 20 * by_snake, "our sessions know each other's coordinates");
        assert_eq!(relay.peerings_lost(), 0);
        relay.assert_runs();
    });
}
