//! Large units and small ones: segmentation offload, hosts and links with other MTUs, and the way back that tells of them.

use std::net::Ipv6Addr;

use crate::daemon::{Config, Running};
use crate::lab::{Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, echo_datagrams, ping, wait_reachable};
use crate::wait::seconds;

/// Size of the files that are sent: some hundred of the largest packets.
const FILE: u64 = 8 << 20;

#[test]
fn nodes_with_and_without_offload_understand_each_other() {
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        println!("offload at one end: {a}, at the other: {b}");
        in_lab(&[], |lab| {
            let mesh = Mesh::line_with(lab, 2, |n, config| {
                config.offload = [a, b][n];
                config.mtu = 1_400;
            });
            mesh.wait_reachable(0, 1);
            exchange(&mesh, 0, 1);
        });
    }
}

#[test]
fn offload_crosses_a_relay_that_has_none() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            config.offload = n != 1;
            config.mtu = [1_400, 9_000, 1_400][n];
        });
        mesh.wait_reachable(0, 2);
        exchange(&mesh, 0, 2);
    });
}

#[test]
fn an_interface_that_had_offload_works_without_it() {
    in_lab(&[], |lab| {
        let hosts = [lab.host("a"), lab.host("b")];
        let link = lab.link(&hosts[0], &hosts[1]);
        let far = Running::start(lab, &hosts[0], Config::new(1));
        // Made beforehand, it outlives the daemon, with what that asked the kernel for.
        hosts[1].ip(&["tuntap", "add", "dev", "pine0", "mode", "tun"]);
        for offload in [true, false] {
            let mut config = Config::new(2);
            config.peers.push(link.ends[0].uri());
            (config.offload, config.mtu) = (offload, 1_400);
            let daemon = Running::start(lab, &hosts[1], config);
            wait_reachable(&hosts[1], far.address(), seconds(15));
            Transfer::complete(&hosts[1], &hosts[0], far.address(), FILE);
            Transfer::complete(&hosts[0], &hosts[1], daemon.address(), FILE);
            assert_eq!(daemon.stop(nix::sys::signal::Signal::SIGTERM).code(), Some(0));
        }
    });
}

/// Files, datagrams and pings both ways.
fn exchange(mesh: &Mesh, a: usize, b: usize) {
    for (from, to) in [(a, b), (b, a)] {
        let (host, other, address) = (&mesh.hosts[from], &mesh.hosts[to], mesh.address(to));
        Transfer::complete(host, other, address, FILE);
        echo_datagrams(host, other, address, 20, 1_200);
        // In fragments, where the MTU is smaller.
        echo_datagrams(host, other, address, 1, 40_000);
        assert_pings(host, address);
    }
}

#[test]
fn hosts_with_a_small_mtu_behind_a_node_are_reached_by_its_prefix() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        let (behind, address) = host_behind(lab, &mesh, 1, "behind");
        wait_reachable(&mesh.hosts[0], address, seconds(15));
        Transfer::complete(&mesh.hosts[0], &behind, address, FILE);
        Transfer::complete(&behind, &mesh.hosts[0], mesh.address(0), FILE);
        echo_datagrams(&mesh.hosts[0], &behind, address, 20, 1_200);
    });
}

#[test]
fn hosts_behind_two_nodes_reach_each_other() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        let (left, left_address) = host_behind(lab, &mesh, 0, "left");
        let (right, right_address) = host_behind(lab, &mesh, 2, "right");
        wait_reachable(&left, right_address, seconds(15));
        Transfer::complete(&left, &right, right_address, FILE);
        Transfer::complete(&right, &left, left_address, FILE);
    });
}

#[test]
fn a_narrow_link_behind_a_node_is_told_through_the_mesh() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        let (router, _) = host_behind(lab, &mesh, 1, "router");
        // Behind the router of the prefix there is a link with the smallest MTU, and a host that does not know it: its own
        // interface takes 1500.
        let link = lab.link(&router, &lab.host("far"));
        let [near, far] = &link.ends;
        let prefix = prefix_of(&mesh, 1);
        let host = Ipv6Addr::from(u128::from(prefix) | 0x77);
        router.ip(&["link", "set", &near.interface, "mtu", "1280"]);
        router.ip(&["-6", "route", "add", &format!("{host}/128"), "dev", &near.interface]);
        far.host.ip(&["-6", "addr", "add", &format!("{host}/128"), "dev", &far.interface, "nodad"]);
        far.host.ip(&["-6", "route", "add", "default", "via", &near.v6.to_string()]);
        mesh.hosts[1].ip(&["-6", "route", "add", &format!("{host}/128"), "via", &router_address(prefix), "dev", "e2"]);
        wait_reachable(&mesh.hosts[0], host, seconds(15));
        let told = ping(&mesh.hosts[0], host, "-c 3 -i 0.2 -W 5 -M do -s 1400");
        assert!(told.received == 0 && told.text.contains("mtu"), "{}", told.text);
        Transfer::complete(&mesh.hosts[0], &far.host, host, FILE / 4);
        Transfer::complete(&far.host, &mesh.hosts[0], mesh.address(0), FILE / 4);
    });
}

fn prefix_of(mesh: &Mesh, n: usize) -> Ipv6Addr {
    let subnet = mesh.nodes[n].ctl("status")["subnet"].as_str().unwrap().to_owned();
    subnet.split('/').next().unwrap().parse().unwrap()
}

fn router_address(prefix: Ipv6Addr) -> String {
    Ipv6Addr::from(u128::from(prefix) | 2).to_string()
}

/// A host on an Ethernet behind node `n`, with the second address of the node's prefix. Both forward.
fn host_behind(lab: &Lab, mesh: &Mesh, n: usize, name: &str) -> (Host, Ipv6Addr) {
    let (node, host) = (&mesh.hosts[n], lab.host(name));
    let link = lab.link(node, &host);
    let prefix = prefix_of(mesh, n);
    for (last, end) in [(1, &link.ends[0]), (2, &link.ends[1])] {
        let address = format!("{}/64", Ipv6Addr::from(u128::from(prefix) | last));
        end.host.ip(&["-6", "addr", "add", &address, "dev", &end.interface, "nodad"]);
        end.host.within(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("the namespace is ours");
        });
    }
    let gateway = Ipv6Addr::from(u128::from(prefix) | 1).to_string();
    host.ip(&["-6", "route", "add", "default", "via", &gateway]);
    (host, Ipv6Addr::from(u128::from(prefix) | 2))
}
