//! Where the interface is, and who opens it: in another namespace, or by somebody else.

use nix::sys::signal::Signal;
use pinecone::addr::Address;

use crate::daemon::{Config, Running, public_key};
use crate::sandbox::{in_lab, in_user_namespace};
use crate::traffic::{assert_pings, ping, wait_reachable};
use crate::wait::{seconds, wait_until};

#[test]
fn a_namespace_with_nothing_but_the_interface_reaches_the_overlay_and_not_the_underlay() {
    in_lab(&[], |lab| {
        let (host, far_host, inner) = (lab.host("host"), lab.host("far"), lab.host("inner"));
        let link = lab.link(&far_host, &host);
        let far = Running::start(lab, &far_host, Config::new(1));
        let config =
            Config { more_tun: "netns = \"inner\"".to_owned(), peers: vec![link.ends[0].uri()], ..Config::new(2) };
        let daemon = Running::start(lab, &host, config);
        assert!(inner.has_interface("pine0") && !host.has_interface("pine0"));
        wait_reachable(&inner, far.address(), seconds(15));
        assert_pings(&far_host, daemon.address());
        assert!(!inner.has_interface(&link.ends[1].interface), "it has no other way out");
        assert_eq!(
            ping(&host, far.address(), "-c 1 -W 1").received,
            0,
            "the overlay is not routed in the host's namespace"
        );
        assert_eq!(daemon.stop(Signal::SIGTERM).code(), Some(0));
        wait_until("the interface goes with its daemon", seconds(5), || !inner.has_interface("pine0"));
    });
}

#[test]
fn two_daemons_of_one_host_serve_a_namespace_each() {
    in_lab(&[], |lab| {
        let host = lab.host("host");
        let inner = [lab.host("one"), lab.host("two")];
        let config = |seed: u8, name: &str| Config { more_tun: format!("netns = {name:?}"), ..Config::new(seed) };
        let one = Running::start(lab, &host, config(1, "one"));
        let dialling = Config {
            listen: vec![],
            peers: vec!["tcp://127.0.0.1:7463".to_owned()],
            more_tun: "netns = \"/run/netns/two\"".to_owned(),
            ..Config::new(2)
        };
        let two = Running::start(lab, &host, dialling);
        wait_reachable(&inner[0], two.address(), seconds(15));
        assert_pings(&inner[1], one.address());
    });
}

#[test]
fn a_namespace_that_is_not_there_is_named_and_nothing_is_started() {
    in_lab(&[], |lab| {
        let host = lab.host("host");
        let config = Config { more_tun: "netns = \"nowhere\"".to_owned(), ..Config::new(1) };
        let daemon = Running::prepare(lab, &host, config);
        daemon.spawn();
        wait_until("it ends", seconds(5), || !daemon.is_running());
        assert!(
            daemon.log_text().contains("tun.netns: there is no network namespace /run/netns/nowhere"),
            "{}",
            daemon.log_text()
        );
        daemon.ended();
    });
}

/// The descriptor is opened by root and passed to a daemon that has no capability from the beginning.
#[test]
fn a_passed_descriptor_needs_no_capability_at_all() {
    in_lab(&["python3", "setpriv"], |lab| {
        let (far_host, host) = (lab.host("far"), lab.host("host"));
        let link = lab.link(&far_host, &host);
        let far = Running::start(lab, &far_host, Config::new(1));
        host.ip(&["tuntap", "add", "dev", "pine0", "mode", "tun"]);
        host.ip(&["address", "add", &format!("{}/128", Address::of(&public_key(2)).ip()), "dev", "pine0", "nodad"]);
        host.ip(&["link", "set", "pine0", "mtu", "65000", "up"]);
        host.ip(&["route", "add", "600::/7", "dev", "pine0"]);
        let config = Config {
            unprivileged: true,
            passed: Some(9),
            more_tun: "fd = 9".to_owned(),
            peers: vec![link.ends[0].uri()],
            ..Config::new(2)
        };
        let daemon = Running::start(lab, &host, config);
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!(field("CapEff:"), "0000000000000000");
        assert_eq!(field("CapBnd:"), "0000000000000000");
        if !in_user_namespace() {
            assert!(field("Uid:").starts_with("65534"), "{}", field("Uid:"));
        }
        wait_reachable(&host, far.address(), seconds(15));
        assert_pings(&far_host, daemon.address());
        assert_eq!(daemon.stop(Signal::SIGTERM).code(), Some(0));
        assert!(host.has_interface("pine0"), "the interface is not the daemon's to remove");
    });
}
