//! Source routes of our daemons in a network with a Go node: around it where there is a way, through it without a route where there is none.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Config, Running, seeds_by_key};
use crate::go_node::GoNode;
use crate::program;
use crate::sandbox::in_lab;
use crate::traffic::{assert_pings, wait_reachable};
use crate::wait::{seconds, wait_until};

#[test]
fn a_route_goes_around_a_go_node_and_packets_go_through_it_when_that_is_the_only_way() {
    if !program::is_there("routes") {
        return;
    }
    in_lab(&[], |lab| {
        let [left, right, go, ours] = ["left", "right", "go", "ours"].map(|name| lab.host(name));
        let seeds = seeds_by_key(4);
        let arms = [&go, &ours].map(|relay| [lab.link(relay, &left), lab.link(relay, &right)]);
        // The Go node is the root, so frames go through it by tree.
        let mut plain = GoNode::start_on(&go, [seeds[3]; 32], &["-listen", "0.0.0.0:7463"]);
        let relay = Running::start(lab, &ours, Config::new(seeds[2]));
        let start = |host, seed: u8, at: usize| {
            let peers = arms.iter().map(|links| links[at].ends[0].uri()).collect();
            Running::start(lab, host, Config { peers, ..Config::new(seed) })
        };
        let (a, b) = (start(&left, seeds[0], 0), start(&right, seeds[1], 1));
        wait_reachable(&left, b.address(), seconds(30));
        let mut pings = Command::new("ping");
        pings.args(["-6", "-n", "-q", "-i", "0.05", "-c", "6000", &b.address().to_string()]).stdout(Stdio::null());
        let mut pings = left.spawn(&mut pings);

        let path = || a.ctl(&format!("path {}", b.address()));
        let relay_key = relay.ctl("status")["public_key"].clone();
        let through = |it: &Value| it["candidates"].as_array().cloned().unwrap_or_default();
        wait_until("a route around the Go node is in use", seconds(30), || path()["stage"] == "route");
        let candidates = through(&path());
        assert!(candidates.iter().all(|it| it["first_peer"] == relay_key), "{candidates:?}");

        relay.stop(Signal::SIGTERM);
        wait_until("there is no route", seconds(10), || path()["stage"] != "route");
        wait_reachable(&left, b.address(), seconds(30));
        assert_pings(&left, b.address());
        let trace = a.ctl(&format!("trace {}", b.address()));
        assert_eq!(
            (&trace["reached"], &trace["hops"][1]["state"]),
            (&Value::from(false), &Value::from("plain")),
            "{trace}"
        );
        pings.kill().and_then(|()| pings.wait()).expect("our own child");
        assert_eq!(plain.peerings_lost(), 0);
        plain.assert_runs();
    });
}
