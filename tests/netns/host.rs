//! The daemon and the host it runs on: what it sets up, what it needs, what it leaves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use pinecone::addr::Address;

use crate::daemon::{Config, Running, public_key, seeds_by_key};
use crate::lab::Host;
use crate::mesh::Mesh;
use crate::sandbox::{in_lab, in_user_namespace, mount_tmpfs};
use crate::traffic::{assert_pings, first_reply, wait_reachable};
use crate::wait::{seconds, wait_until};

#[test]
fn the_interface_has_the_address_and_only_the_overlay_is_routed_to_it() {
    in_lab(&[], |lab| {
        let host = lab.host("a");
        let mut config = Config::new(1);
        config.mtu = 1400;
        let daemon = Running::start(lab, &host, config);
        let shown = host.ip(&["address", "show", "dev", "pine0"]);
        assert!(shown.contains(&daemon.address().to_string()) && shown.contains("mtu 1400"), "{shown}");
        assert!(!shown.contains("tentative"), "{shown}");
        let routes = host.ip(&["-6", "route", "show", "dev", "pine0"]);
        let beyond: Vec<_> =
            routes.lines().filter(|line| !line.starts_with("6") && !line.starts_with("fe80")).collect();
        assert!(routes.contains("600::/7") && beyond.is_empty(), "{routes}");
    });
}

#[test]
fn a_stopped_daemon_leaves_nothing_behind() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        mesh.wait_reachable(0, 1);
        let (host, daemon) = (&mesh.hosts[0], &mesh.nodes[0]);
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            assert!(host.has_interface("pine0") && daemon.socket().exists());
            let start = std::time::Instant::now();
            let status = daemon.stop(signal);
            let took = start.elapsed();
            assert!(status.code() == Some(0) && took < seconds(2), "{signal}: {status} after {took:?}");
            assert!(!host.has_interface("pine0"), "{signal}: the interface is still there");
            assert!(!daemon.socket().exists(), "{signal}: the control socket is still there");
            assert!(!host.ip(&["-6", "route"]).contains("600::/7"), "{signal}: the route is still there");
            daemon.spawn();
            daemon.wait_ready();
        }
        // A killed daemon cannot tidy up; the next one must start all the same.
        daemon.stop(Signal::SIGKILL);
        assert!(daemon.socket().exists());
        daemon.spawn();
        daemon.wait_ready();
        mesh.wait_reachable(0, 1);
    });
}

#[test]
fn by_default_a_host_answers_pings_and_opens_connections_but_accepts_none() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 2, |n, config| {
            if n == 0 {
                config.inbound = None;
            }
        });
        let (closed, other) = (&mesh.hosts[0], &mesh.hosts[1]);
        let (here, there) = (mesh.address(0), mesh.address(1));
        mesh.wait_reachable(1, 0);
        assert_pings(other, mesh.address(0));
        let listener = closed.within(|| TcpListener::bind((here, 8000))).unwrap();
        let refused = other.within(|| TcpStream::connect_timeout(&(here, 8000).into(), seconds(3)));
        assert!(refused.is_err(), "a connection was let in");
        assert!(mesh.nodes[0].drops(&["firewall_inbound"]) > 0, "the refusal was not counted");
        drop(listener);
        let listener = other.within(|| TcpListener::bind((there, 8000))).unwrap();
        let mut outbound = closed.within(|| TcpStream::connect_timeout(&(there, 8000).into(), seconds(5))).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        outbound.write_all(b"question").unwrap();
        let mut heard = [0; 8];
        accepted.read_exact(&mut heard).unwrap();
        accepted.write_all(b"response").unwrap();
        outbound.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"response");
    });
}

#[test]
fn a_firewall_rule_lets_in_what_it_names_and_nothing_else() {
    in_lab(&[], |lab| {
        let friend = seeds_by_key(3)[1];
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 0 {
                let rule = format!("from = \"{}\", protocol = \"tcp\", port = 8000", public_key(friend));
                config.inbound = Some(format!("[{{ {rule} }}]"));
            }
        });
        let here = mesh.address(0);
        let listeners = [8000, 8001].map(|port| mesh.hosts[0].within(|| TcpListener::bind((here, port))).unwrap());
        for (from, port, comes_in) in [(1, 8000, true), (1, 8001, false), (2, 8000, false)] {
            mesh.wait_reachable(from, 0);
            let connected = mesh.hosts[from].within(|| TcpStream::connect_timeout(&(here, port).into(), seconds(3)));
            assert_eq!(connected.is_ok(), comes_in, "node {from}, port {port}");
        }
        drop(listeners);
    });
}

#[test]
fn two_daemons_on_one_host_peer_with_each_other_and_both_are_reached_from_elsewhere() {
    in_lab(&[], |lab| {
        let (host, elsewhere) = (lab.host("both"), lab.host("elsewhere"));
        let link = lab.link(&host, &elsewhere);
        let first = Running::start(lab, &host, Config::new(1));
        let mut config = Config::new(2);
        config.tun = "pine1".to_owned();
        config.listen = vec!["tcp://[::]:7473".to_owned()];
        config.peers = vec!["tcp://127.0.0.1:7463".to_owned()];
        let second = Running::start(lab, &host, config);
        let mut config = Config::new(3);
        config.peers = vec![link.ends[0].uri()];
        let third = Running::start(lab, &elsewhere, config);
        for daemon in [&first, &second] {
            wait_reachable(&elsewhere, daemon.address(), seconds(15));
            assert_pings(&elsewhere, daemon.address());
        }
        assert_pings(&host, third.address());
        // Without the first, its routes are gone; the second's serve programs that choose no source address.
        first.stop(Signal::SIGTERM);
        assert!(host.ip(&["-6", "route", "get", &third.address().to_string()]).contains("dev pine1"));
        assert!(host.has_interface("pine1") && second.is_running());
    });
}

#[test]
fn a_premade_interface_needs_no_privileges() {
    in_lab(&["setpriv"], |lab| {
        let (privileged, host) = (lab.host("privileged"), lab.host("premade"));
        let link = lab.link(&privileged, &host);
        let far = Running::start(lab, &privileged, Config::new(1));
        let mut config = Config::new(2);
        config.unprivileged = true;
        config.peers = vec![link.ends[0].uri()];
        let address = format!("{}/128", Address::of(&public_key(2)).ip());
        let user = if in_user_namespace() { "0" } else { "65534" };
        allow_everybody_the_tun();
        host.ip(&["tuntap", "add", "dev", "pine0", "mode", "tun", "user", user]);
        host.ip(&["address", "add", &address, "dev", "pine0", "nodad"]);
        host.ip(&["link", "set", "pine0", "mtu", "65000", "up"]);
        host.ip(&["route", "add", "600::/7", "dev", "pine0"]);
        let daemon = Running::start(lab, &host, config);
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let effective = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
        assert!(effective.ends_with("0000000000000000"), "the daemon has capabilities: {effective}");
        wait_reachable(&host, far.address(), seconds(15));
        assert_pings(&privileged, daemon.address());
        assert_eq!(daemon.stop(Signal::SIGTERM).code(), Some(0));
        assert!(host.has_interface("pine0"), "the interface is not the daemon's to remove");
    });
}

/// Whatever the host's policy for /dev/net/tun is: here it is 0666, as most distributions have it.
fn allow_everybody_the_tun() {
    if in_user_namespace() {
        // We could open it to come this far, and the daemon runs with our user id.
        return;
    }
    mount_tmpfs(Path::new("/dev/net"));
    let made = Command::new("mknod").args(["-m", "666", "/dev/net/tun", "c", "10", "200"]).status();
    assert!(made.is_ok_and(|status| status.success()), "cannot make /dev/net/tun");
}

#[test]
fn without_a_configuration_the_daemon_makes_a_key_and_an_interface_and_keeps_the_key() {
    in_lab(&["nsenter"], |lab| {
        let host = lab.host("fresh");
        let daemon = Running::start_on_defaults(lab, &host);
        let key = PathBuf::from(format!("/proc/{}/root/var/lib/pinecone/node.key", daemon.pid()));
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = std::fs::read_to_string(&key).unwrap();
        assert!(!daemon.log_text().contains(secret.trim()), "the private key is in the log");
        assert!(host.ip(&["address", "show", "dev", "pine0"]).contains(&daemon.address().to_string()));
        let status = daemon.ctl("status");
        for field in
            ["public_key", "address", "subnet", "coordinates", "root", "peers", "sessions", "uptime_seconds", "version"]
        {
            assert!(!status[field].is_null(), "the status has no {field}: {status}");
        }
        assert_eq!(status["root"], status["public_key"]);
    });
}

#[test]
fn two_machines_without_configuration_find_each_other_on_their_link() {
    in_lab(&["nsenter"], |lab| {
        let hosts: [Host; 2] = ["left", "right"].map(|name| lab.host(name));
        lab.link(&hosts[0], &hosts[1]);
        let daemons = [0, 1].map(|n| Running::start_on_defaults(lab, &hosts[n]));
        let addresses = [0, 1].map(|n| daemons[n].address());
        assert_ne!(addresses[0], addresses[1]);
        for (from, to) in [(0, 1), (1, 0)] {
            assert!(first_reply(&hosts[from], addresses[to], seconds(15)).is_some());
            assert_eq!(daemons[from].peers().len(), 1, "one peering, though both hear each other over IPv4 and IPv6");
        }
    });
}

#[test]
fn two_machines_without_discovery_meet_when_one_is_told_of_the_other() {
    in_lab(&[], |lab| {
        let hosts: [Host; 2] = ["left", "right"].map(|name| lab.host(name));
        let link = lab.link(&hosts[0], &hosts[1]);
        let daemons = [0, 1].map(|n| Running::start(lab, &hosts[usize::from(n)], Config::new(n + 1)));
        let uri = link.ends[0].uri();
        daemons[1].ctl(&format!("peer add {uri}"));
        wait_reachable(&hosts[0], daemons[1].address(), seconds(10));
        assert_eq!(daemons[0].peers().len(), 1);
        daemons[1].ctl(&format!("peer remove {uri}"));
        wait_until("the peering is gone", seconds(5), || daemons[0].peers().is_empty());
    });
}

#[test]
fn pineconectl_asks_the_network_and_its_exit_codes_tell_what_went_wrong() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        mesh.wait_reachable(0, 2);
        let (daemon, far) = (&mesh.nodes[0], mesh.address(2));
        let key = mesh.nodes[2].ctl("status")["public_key"].clone();
        assert_eq!(daemon.ctl(&format!("lookup {far}"))["key"], key);
        let answer = &daemon.ctl(&format!("ping --count 1 {far}"))["results"][0];
        assert!(answer["key"] == key && answer["rtt_seconds"].as_f64().is_some_and(|rtt| rtt > 0.0), "{answer}");
        let nobody = Address::of(&public_key(200)).ip();
        assert_eq!(daemon.ctl_exit_code(&format!("lookup --timeout 2 {nobody}")), Some(5));
        assert_eq!(daemon.ctl_exit_code("no-such-command"), Some(2));
        daemon.stop(Signal::SIGTERM);
        assert_eq!(daemon.ctl_exit_code("status"), Some(3));
    });
}
