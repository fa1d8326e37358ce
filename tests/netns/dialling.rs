//! How peers are dialled: by names with several addresses, through the interface that is asked for, over links that come and go.

use crate::daemon::{Config, Running, public_key};
use crate::hosts_file::HostsFile;
use crate::lab::{Cut, Lab, Link};
use crate::sandbox::in_lab;
use crate::traffic::{assert_pings, wait_reachable};
use crate::wait::{seconds, wait_until};

const NAME: &str = "listener.test";

/// A listener for both kinds of sockets, and a host that is linked to it.
fn listener(lab: &Lab) -> (Link, std::rc::Rc<Running>) {
    let link = lab.link(&lab.host("listener"), &lab.host("dialler"));
    let listen = vec!["tcp://[::]:7463".to_owned(), "quic://[::]:7463".to_owned()];
    let listener = Running::start(lab, &link.ends[0].host, Config { listen, ..Config::new(1) });
    (link, listener)
}

#[test]
fn of_a_name_s_addresses_one_that_answers_is_found_while_another_swallows_everything() {
    in_lab(&[], |lab| {
        let (link, listener) = listener(lab);
        let names = HostsFile::new();
        let [there, here] = &link.ends;
        names.set(NAME, &[&there.v6, &there.v4]);
        let mut seed = 2;
        // Which family is tried first is the system's choice: so each is the dead one once.
        for (dead, is_v6) in [("ipv6", false), ("ipv4", true)] {
            there.host.nft(&format!(
                "add table inet dead; add chain inet dead in {{ type filter hook prerouting priority -500; }}; \
                 add rule inet dead in meta nfproto {dead} meta l4proto {{ tcp, udp }} drop"
            ));
            for scheme in ["tcp", "quic"] {
                let peers = vec![format!("{scheme}://{NAME}:7463")];
                let node = Running::start(lab, &here.host, Config { listen: vec![], peers, ..Config::new(seed) });
                // Ten seconds are what a whole attempt has: the first one has to find it.
                wait_until("the address that answers is found", seconds(8), || !node.peers().is_empty());
                assert!(!node.log_text().contains("no peering with"), "an attempt failed");
                let from = listener.peers()[0]["uri"].as_str().unwrap().to_owned();
                assert_eq!(from.contains('['), is_v6, "{from}");
                node.stop(nix::sys::signal::Signal::SIGTERM);
                wait_until("it has left", seconds(10), || listener.peers().is_empty());
                seed += 1;
            }
            there.host.nft("delete table inet dead");
        }
    });
}

#[test]
fn a_peer_is_dialled_through_the_interface_that_its_uri_names() {
    in_lab(&[], |lab| {
        let (link, listener) = listener(lab);
        let [there, here] = &link.ends;
        let other = lab.link(&there.host, &here.host);
        let [other_there, other_here] = &other.ends;
        here.host.within(|| {
            for of in ["all", &here.interface, &other_here.interface] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter"), "0").expect("the namespace is ours");
            }
        });
        // The listener's address is on the first link, and is reached over the second as well, which nobody would choose.
        let (network, via) = (format!("{}/32", there.v4), other_there.v4.to_string());
        here.host.ip(&["route", "add", &network, "via", &via, "dev", &other_here.interface, "metric", "999"]);
        here.host.ip(&["route", "add", &network, "dev", &here.interface, "metric", "1"]);
        for (seed, scheme) in [(2, "tcp"), (3, "quic")] {
            for (interface, source) in [(&here.interface, here.v4), (&other_here.interface, other_here.v4)] {
                let peers = vec![format!("{scheme}://{}:7463?interface={interface}", there.v4)];
                let node = Running::start(lab, &here.host, Config { listen: vec![], peers, ..Config::new(seed) });
                let source = format!("{scheme}://{source}:");
                wait_until("it comes over that interface", seconds(10), || {
                    listener.peers().iter().any(|peer| peer["uri"].as_str().unwrap().starts_with(&source))
                });
                node.stop(nix::sys::signal::Signal::SIGTERM);
                wait_until("it has left", seconds(10), || listener.peers().is_empty());
            }
        }
    });
}

#[test]
fn neighbours_are_looked_for_on_links_that_come_and_go_and_on_no_other() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let interfaces = "interfaces = [\"*\", \"!e2\"]".to_owned();
        let start = |host, seed| {
            let config = Config { discovery: true, more_discovery: interfaces.clone(), ..Config::new(seed) };
            Running::start(lab, host, config)
        };
        let nodes = [start(&a, 1), start(&b, 2)];
        assert!(nodes.iter().all(|node| node.peers().is_empty()));
        let are_peers = |what: &str| {
            let keys = [public_key(2), public_key(1)].map(|key| vec![key.to_string()]);
            wait_until(what, seconds(20), || nodes.iter().zip(&keys).all(|(node, key)| node.peer_keys() == *key));
        };
        let link = lab.link(&a, &b);
        are_peers("a cable that is plugged in is noticed");
        assert!(nodes.iter().all(|node| node.peers()[0]["authenticated"] == true));
        assert_pings(&a, nodes[1].address());
        link.cut(Cut::Down);
        // Well within the five seconds that silence would take.
        wait_until("a cable that is pulled is noticed", seconds(3), || {
            nodes.iter().all(|node| node.peers().is_empty())
        });
        link.mend(Cut::Down);
        are_peers("the cable is back");
        wait_reachable(&b, nodes[0].address(), seconds(10));
        // One that is excluded; and the daemon's own interface was there all the time.
        lab.link(&a, &b);
        link.cut(Cut::Down);
        wait_until("there is no way left", seconds(3), || nodes.iter().all(|node| node.peers().is_empty()));
        link.mend(Cut::Down);
        are_peers("the first link is all that is used");
        for node in &nodes {
            let log = node.log_text();
            assert!(log.contains("looking for peers on e1") && log.contains("no longer looking for peers on e1"));
            assert!(!log.contains("looking for peers on e2") && !log.contains("looking for peers on pine0"), "{log}");
        }
    });
}

#[test]
fn links_addresses_and_default_routes_that_change_are_noticed_at_once() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let link = lab.link(&a, &b);
        let end = &link.ends[0];
        let config =
            Config { listen: vec![], more: "\n[log]\nlevel = \"pinecone=debug\"\n".to_owned(), ..Config::new(1) };
        let node = Running::start(lab, &a, config);
        let changes = || node.log_text().matches("the network changed").count();
        let is_noticed = |what: &str, command: &[&str]| {
            let before = changes();
            a.ip(command);
            // It looks by itself every ten seconds; this is for what it is told.
            wait_until(what, seconds(5), || changes() > before);
        };
        let via = link.ends[1].v4.to_string();
        is_noticed("a new address", &["addr", "add", "10.0.1.77/24", "dev", &end.interface]);
        is_noticed("a default route", &["route", "add", "default", "via", &via]);
        is_noticed("the end of a default route", &["route", "del", "default"]);
        is_noticed("a link that goes down", &["link", "set", &end.interface, "down"]);
        is_noticed("a link that comes up", &["link", "set", &end.interface, "up"]);
    });
}
