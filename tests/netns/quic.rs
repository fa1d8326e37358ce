//! Peerings over QUIC: on paths that lose, that are narrow, behind NAT, and that change while they are used.

use std::rc::Rc;
use std::time::Instant;

use crate::daemon::{Config, Running};
use crate::lab::{Cut, Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, echo_datagrams, first_reply, median_ms, ping, wait_reachable};
use crate::wait::{seconds, wait_until};

/// A line of nodes that peer over QUIC alone.
fn line(lab: &Lab, count: u8) -> Mesh {
    Mesh::line_with(lab, count, |_, config| over_quic(config))
}

fn over_quic(config: &mut Config) {
    for uri in config.listen.iter_mut().chain(&mut config.peers) {
        *uri = uri.replace("tcp://", "quic://");
    }
}

/// A node that dials `to`.
fn dialler(lab: &Lab, host: &Host, seed: u8, to: &str) -> Rc<Running> {
    let mut config = Config::new(seed);
    config.peers = vec![to.replace("tcp://", "quic://")];
    over_quic(&mut config);
    Running::start(lab, host, config)
}

#[test]
fn nodes_reach_each_other_and_know_that_the_keys_are_proven() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 3);
        mesh.wait_reachable(0, 2);
        assert_pings(&mesh.hosts[0], mesh.address(2));
        for size in [10, 1_200, 1_452, 5_000, 60_000] {
            echo_datagrams(&mesh.hosts[0], &mesh.hosts[2], mesh.address(2), 20, size);
        }
        Transfer::complete(&mesh.hosts[0], &mesh.hosts[2], mesh.address(2), 64 << 20);
        for node in &mesh.nodes {
            for peer in node.peers() {
                assert_eq!(peer["authenticated"], true, "{peer}");
                assert!(peer["uri"].as_str().unwrap().starts_with("quic://"), "{peer}");
            }
            assert_eq!(node.drops(&["bad_fragment", "malformed_frame"]), 0);
        }
    });
}

#[test]
fn a_transfer_arrives_intact_where_two_and_where_five_of_a_hundred_packets_are_lost() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 2);
        mesh.wait_reachable(0, 1);
        for percent in [2, 5] {
            mesh.links[0].lose(percent);
            Transfer::complete(&mesh.hosts[0], &mesh.hosts[1], mesh.address(1), 4 << 20);
            mesh.links[0].mend(Cut::Silent);
        }
        assert_eq!(mesh.nodes[0].log_text().matches("is down").count(), 0, "the peering was lost");
    });
}

#[test]
fn a_path_of_1280_bytes_carries_packets_of_every_size() {
    in_lab(&[], |lab| {
        // 0 — router — 1, with the narrow part behind the router, so that no end knows of it by itself.
        let (a, router, b) = (lab.host("a"), lab.host("router"), lab.host("b"));
        let (wide, narrow) = (lab.link(&a, &router), lab.link(&router, &b));
        routed(&a, &router, &b, &wide, &narrow);
        for end in &narrow.ends {
            end.host.ip(&["link", "set", &end.interface, "mtu", "1280"]);
        }
        let listening = dialler(lab, &b, 1, "tcp://192.0.2.1:9");
        let dialling = dialler(lab, &a, 2, &narrow.ends[1].uri());
        wait_reachable(&a, listening.address(), seconds(15));
        for size in [10, 1_000, 1_232, 1_400, 20_000] {
            echo_datagrams(&a, &b, listening.address(), 20, size);
        }
        Transfer::complete(&a, &b, listening.address(), 8 << 20);
        Transfer::complete(&b, &a, dialling.address(), 8 << 20);
    });
}

/// `a` and `b` reach each other through `router`.
fn routed(a: &Host, router: &Host, b: &Host, left: &crate::lab::Link, right: &crate::lab::Link) {
    router.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace is ours"));
    let via = |link: &crate::lab::Link| link.end_at(router).v4.to_string();
    a.ip(&["route", "add", "default", "via", &via(left)]);
    b.ip(&["route", "add", "default", "via", &via(right)]);
}

#[test]
fn a_node_behind_nat_is_reached_through_the_peering_that_it_dialled() {
    in_lab(&[], |lab| {
        let (inside, nat, outside) = (lab.host("inside"), lab.host("nat"), lab.host("outside"));
        let (lan, wan) = (lab.link(&inside, &nat), lab.link(&nat, &outside));
        nat.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace is ours"));
        inside.ip(&["route", "add", "default", "via", &lan.ends[1].v4.to_string()]);
        masquerade(&nat, &wan.ends[0].interface);
        let public = dialler(lab, &outside, 1, "tcp://192.0.2.1:9");
        let hidden = dialler(lab, &inside, 2, &wan.ends[1].uri());
        wait_reachable(&outside, hidden.address(), seconds(15));
        Transfer::complete(&outside, &inside, hidden.address(), 8 << 20);
        // The NAT gets another address: to the listener, the peer has moved, and the peer does not know.
        let transfer = Transfer::start(&inside, &outside, public.address(), 16 << 20, 8 << 20);
        wait_until("a part has arrived", seconds(30), || transfer.received() > 1 << 20);
        let (gone, new) = (format!("{}/24", wan.ends[0].v4), "10.0.2.77/24");
        nat.ip(&["addr", "add", new, "dev", &wan.ends[0].interface]);
        nat.ip(&["addr", "del", &gone, "dev", &wan.ends[0].interface]);
        nat.ip(&["addr", "replace", new, "dev", &wan.ends[0].interface]);
        transfer.go_on();
        transfer.finish();
        assert_eq!(public.log_text().matches("is down").count(), 0, "the peering was lost");
    });
}

fn masquerade(nat: &Host, out: &str) {
    nat.nft(&format!(
        "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
         add rule ip nat out oifname {out} masquerade"
    ));
}

#[test]
fn a_transfer_goes_on_when_the_dialling_side_changes_its_address() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 2);
        mesh.wait_reachable(0, 1);
        // Node 1 dialled. Once it sends and once it receives while it moves.
        for (from, to, old, new) in [(1, 0, 2, 77), (0, 1, 77, 78)] {
            let transfer = Transfer::start(&mesh.hosts[from], &mesh.hosts[to], mesh.address(to), 64 << 20, 32 << 20);
            wait_until("an eighth has arrived", seconds(30), || transfer.received() > 8 << 20);
            let (host, interface) = (&mesh.hosts[1], &mesh.links[0].ends[1].interface);
            host.ip(&["addr", "del", &format!("10.0.1.{old}/24"), "dev", interface]);
            host.ip(&["addr", "add", &format!("10.0.1.{new}/24"), "dev", interface]);
            let moved = Instant::now();
            transfer.go_on();
            let before = transfer.received();
            wait_until("the transfer goes on", seconds(30), || transfer.received() > before + (8 << 20));
            println!("going on {:.2} s after the move", moved.elapsed().as_secs_f64());
            transfer.finish();
        }
        for node in &mesh.nodes {
            assert_eq!(node.log_text().matches("is down").count(), 0, "the peering was lost");
        }
        // It looks at its addresses a moment after the network says that they changed.
        wait_until("the log says so", seconds(10), || mesh.nodes[1].log_text().contains("goes on from 10.0.1.78"));
    });
}

#[test]
fn a_link_that_falls_silent_is_noticed_within_seconds_and_dialled_again_when_it_is_back() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 2);
        mesh.wait_reachable(0, 1);
        mesh.links[0].cut(Cut::Silent);
        // The silence that is allowed is five seconds; a machine that is busy may need some more.
        for node in &mesh.nodes {
            wait_until("the peering is down", seconds(9), || node.peers().is_empty());
        }
        mesh.links[0].mend(Cut::Silent);
        assert!(first_reply(&mesh.hosts[0], mesh.address(1), seconds(30)).is_some());
    });
}

#[test]
fn a_stopped_node_says_so() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 2);
        mesh.wait_reachable(0, 1);
        mesh.nodes[1].stop(nix::sys::signal::Signal::SIGTERM);
        // Well within the five seconds that silence would take.
        wait_until("the other one knows", seconds(3), || mesh.nodes[0].peers().is_empty());
    });
}

#[test]
fn a_bulk_flow_on_a_path_that_loses_does_not_hold_up_a_ping() {
    in_lab(&[], |lab| {
        let mesh = line(lab, 2);
        mesh.wait_reachable(0, 1);
        mesh.links[0].lose(2);
        let (host, address) = (&mesh.hosts[0], mesh.address(1));
        let transfer = Transfer::start(host, &mesh.hosts[1], address, 256 << 20, 256 << 20);
        wait_until("it is under way", seconds(30), || transfer.received() > 1 << 20);
        let pings = ping(host, address, "-c 100 -i 0.02 -W 2");
        assert!(transfer.received() < 256 << 20, "the transfer was over before the pings were");
        // An echo needs two packets to come through.
        assert!(pings.received >= 80, "{}", pings.text);
        // What waits for a packet that is sent again takes a round trip more, and TCP's recovery some hundred milliseconds. The median tells: half of all
        // pings would have to wait, each behind some packet.
        let median = median_ms(&pings.text);
        println!("median {median} ms");
        assert!(median < 50.0, "{}", pings.text);
    });
}
