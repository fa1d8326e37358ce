//! Neighbours on one LAN: who finds whom, over how many connections, and who is let in.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::daemon::{Config, Running, public_key, seeds_by_key};
use crate::lab::{Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::wait::{seconds, wait_until};

/// Hosts on a switch with a daemon each, that know of nobody.
fn lan(lab: &Lab, count: u8, adjust: impl Fn(u8, &mut Config)) -> (Vec<Host>, Vec<Rc<Running>>) {
    let hosts: Vec<_> = (0..count).map(|n| lab.host(&format!("n{n}"))).collect();
    lab.switch(&hosts);
    let prepare = |n: u8| {
        let mut config = Config::new(n + 1);
        (config.discovery, config.tun) = (true, "none".to_owned());
        adjust(n, &mut config);
        Running::prepare(lab, &hosts[usize::from(n)], config)
    };
    let nodes: Vec<_> = (0..count).map(prepare).collect();
    nodes.iter().for_each(|node| node.spawn());
    nodes.iter().for_each(|node| node.wait_ready());
    (hosts, nodes)
}

/// TCP connections of a host over the LAN.
fn connections(host: &Host) -> usize {
    let shown = host.output("ss", &["-Htn", "state", "established"]);
    String::from_utf8_lossy(&shown.stdout).lines().count()
}

#[test]
fn ten_hosts_on_one_lan_have_one_connection_for_each_pair() {
    const HOSTS: u8 = 10;
    let others = usize::from(HOSTS) - 1;
    in_lab(&[], |lab| {
        let (hosts, nodes) = lan(lab, HOSTS, |_, _| ());
        let keys = |node: &Running| node.peer_keys().into_iter().collect::<BTreeSet<_>>().len();
        wait_until("everybody is everybody's peer", seconds(30), || nodes.iter().all(|node| keys(node) == others));
        wait_until("each pair has one connection", seconds(10), || {
            hosts.iter().map(connections).sum::<usize>() == usize::from(HOSTS) * others
        });
        let peerings: usize = nodes.iter().map(|node| node.peers().len()).sum();
        println!("{peerings} ends of peerings, {} of connections", hosts.iter().map(connections).sum::<usize>());
        assert_eq!(peerings, usize::from(HOSTS) * others);
        let attempts: usize = nodes.iter().map(|node| node.log_text().matches("is up: tcp").count()).sum();
        assert!(attempts <= peerings + peerings / 3, "{attempts} peerings were made for {peerings}");
    });
}

#[test]
fn a_neighbour_is_found_only_where_the_rules_allow_it() {
    in_lab(&[], |lab| {
        let rule = |text: &str| format!("interface = [{{ pattern = \"lan*\", {text} }}]");
        // 0 and 1 are ordinary; 2 keeps silent, so it finds others; 3 takes no part; 4 is not allowed by 0.
        let (_, nodes) = lan(lab, 5, |n, config| match n {
            0 => {
                let allowed: Vec<_> = [2, 3, 4].map(|seed| public_key(seed).to_string()).into();
                config.more_peering = format!("allowed_keys = {{ lan = {allowed:?} }}");
            }
            2 => config.more_discovery = rule("beacon = false"),
            3 => config.more_discovery = rule("beacon = false, listen = false"),
            _ => {}
        });
        let keys = |seeds: &[u8]| {
            let mut keys: Vec<_> = seeds.iter().map(|seed| public_key(*seed).to_string()).collect();
            keys.sort();
            keys
        };
        wait_until("those who may have found each other", seconds(30), || {
            nodes[0].peer_keys() == keys(&[2, 3]) && nodes[1].peer_keys() == keys(&[1, 3, 5])
        });
        wait_until("the fourth tried and was refused", seconds(30), || {
            nodes[0].ctl("status")["refused"]["key_not_allowed_lan"].as_u64() >= Some(1)
        });
        assert!(nodes[0].log_text().contains(&format!("turned {}", public_key(5))), "the log names the key");
        wait_until("the others have found each other", seconds(30), || {
            nodes[2].peer_keys() == keys(&[1, 2, 5]) && nodes[4].peer_keys() == keys(&[2, 3])
        });
        assert!(nodes[3].peer_keys().is_empty());
    });
}

#[test]
fn a_peer_whose_key_is_not_allowed_is_refused_and_the_log_says_what_to_write() {
    in_lab(&[], |lab| {
        let seeds = seeds_by_key(3);
        // Node 0 is dialled by 1, and 1 by 2; only the former is allowed.
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n < 2 {
                let allowed = public_key(seeds[1]).to_string();
                config.more_peering = format!("allowed_keys = {{ inbound = [\"{allowed}\"] }}");
            }
        });
        wait_until("the allowed one is a peer", seconds(15), || mesh.nodes[0].peers().len() == 1);
        wait_until("the other one is refused again and again", seconds(15), || {
            mesh.nodes[1].ctl("status")["refused"]["key_not_allowed_inbound"].as_u64() >= Some(3)
        });
        let log = mesh.nodes[1].log_text();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("turned ")).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let key = public_key(seeds[2]).to_string();
        assert!(lines[0].contains(&key) && lines[0].contains("add it there to let it in"), "{lines:?}");
        assert!(mesh.nodes[2].peers().is_empty());
    });
}

#[test]
fn neighbours_with_different_passwords_stay_apart() {
    in_lab(&[], |lab| {
        // 0 and 1 share one, 2 has another, 3 none.
        let rule = |word: &str| format!("interface = [{{ pattern = \"*\", password = \"{word}-horse-battery\" }}]");
        let (_, nodes) = lan(lab, 4, |n, config| match n {
            0 | 1 => config.more_discovery = rule("correct"),
            2 => config.more_discovery = rule("another"),
            _ => {}
        });
        let key = |seed: u8| vec![public_key(seed).to_string()];
        wait_until("those with the same password are peers", seconds(30), || {
            nodes[0].peer_keys() == key(2) && nodes[1].peer_keys() == key(1)
        });
        // Who dials whom is decided by who hears a beacon first.
        let refused = |node: &Running| node.ctl("status")["refused"]["wrong_password"].as_u64().unwrap_or(0);
        wait_until("the others tried and were refused", seconds(30), || {
            nodes[..3].iter().map(|node| refused(node)).sum::<u64>() >= 5
        });
        assert!(nodes[2].peer_keys().is_empty() && nodes[3].peer_keys().is_empty());
    });
}
