//! Hosts behind a node that know nothing of the overlay: they get an address and a route by router advertisement, as `contrib/radvd.conf` has it.
//! (What packets of all sizes do on such ways is in `offload`.)

use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::lab::{Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{assert_pings, wait_reachable};
use crate::wait::{eventually, seconds};

/// What people start from.
const EXAMPLE: &str = include_str!("../../contrib/radvd.conf");

/// A host on an Ethernet behind node `n`, which advertises its prefix there; the host is only switched on.
fn host_behind(lab: &Lab, mesh: &Mesh, n: usize) -> (Host, Ipv6Addr, std::process::Child) {
    let (node, host) = (&mesh.hosts[n], lab.host("behind"));
    let link = lab.link(node, &host);
    let [near, far] = &link.ends;
    let subnet = mesh.nodes[n].ctl("status")["subnet"].as_str().unwrap().to_owned();
    let prefix: Ipv6Addr = subnet.trim_end_matches("/64").parse().unwrap();
    node.ip(&[
        "-6",
        "addr",
        "add",
        &format!("{}/64", Ipv6Addr::from(u128::from(prefix) | 1)),
        "dev",
        &near.interface,
        "nodad",
    ]);
    node.within(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap());
    let takes = format!("/proc/sys/net/ipv6/conf/{}/accept_ra_rt_info_max_plen", far.interface);
    host.within(|| std::fs::write(takes, "64").unwrap());

    let config = EXAMPLE.replace("lan0", &near.interface).replace("700:1a2b:3c4d:5e6f::/64", &subnet);
    assert!(config.contains(&subnet) && config.contains(&near.interface));
    let directory = &mesh.nodes[n].directory;
    std::fs::write(directory.join("radvd.conf"), config).unwrap();
    let mut radvd = Command::new("radvd");
    radvd.args(["--nodaemon", "--logmethod=stderr", "--config"]).arg(directory.join("radvd.conf"));
    radvd.arg("--pidfile").arg(directory.join("radvd.pid"));
    let radvd = node.spawn(radvd.stdin(Stdio::null()));

    let address = eventually("the host has an address and a route of the advertisement", seconds(30), || {
        let shown = host.ip(&["-6", "-o", "addr", "show", "dev", &far.interface, "dynamic", "-tentative"]);
        let addresses = shown.split_whitespace().filter_map(|word| word.strip_suffix("/64")?.parse::<Ipv6Addr>().ok());
        let address = addresses.into_iter().find(|address| address.segments()[..4] == prefix.segments()[..4])?;
        host.ip(&["-6", "route"]).contains("600::/7").then_some(address)
    });
    assert!(!host.ip(&["-6", "route"]).contains("default"), "the node is no way to the Internet");
    (host, address, radvd)
}

#[test]
fn a_host_behind_a_node_gets_its_address_by_advertisement_and_is_as_guarded_as_the_node() {
    in_lab(&["radvd"], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 2 {
                config.inbound = None;
            }
        });
        let (behind, address, mut radvd) = host_behind(lab, &mesh, 2);
        let (far, there) = (&mesh.hosts[0], mesh.address(0));
        wait_reachable(far, address, seconds(15));
        assert_pings(far, address);
        assert_pings(&behind, there);
        // What it starts gets its answers; what others start does not come in.
        let listener = far.within(|| TcpListener::bind((there, 8000))).unwrap();
        let outbound = behind.within(|| TcpStream::connect_timeout(&(there, 8000).into(), seconds(5))).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), outbound.local_addr().unwrap().ip());
        let listener = behind.within(|| TcpListener::bind((address, 8000))).unwrap();
        let inbound = far.within(|| TcpStream::connect_timeout(&(address, 8000).into(), seconds(3)));
        assert!(inbound.is_err(), "a connection was let in");
        assert!(mesh.nodes[2].drops(&["firewall_inbound"]) > 0, "the refusal was not counted");
        drop(listener);
        radvd.kill().unwrap();
        radvd.wait().unwrap();
    });
}
