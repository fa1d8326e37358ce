//! Looks at the daemon, its interface, its peers and their names.

use std::fs;
use std::net::ToSocketAddrs;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use pinecone::config::{Config, Endpoint, Host, TunName};
use pinecone::control::{Answer, Peers, Request};
use pinecone::node::status::Status;

use super::{Finding, Patient, Progress};
use crate::client::Client;
use crate::error::Kind;

/// For the answers that the daemon has at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// Drops of one kind that are worth a word.
const MANY: u64 = 100;

pub(super) fn examine(patient: &Patient<'_>, progress: &Progress) -> Vec<Finding> {
    let mut findings = names(&patient.config, progress);
    let patience = PATIENCE.min(patient.arguments.timeout);
    let asked = Client::connect(&patient.socket, patience).and_then(|mut client| {
        let status = client.ask(&Request::Status)?;
        Ok((status, client.ask(&Request::Peers)?))
    });
    match asked {
        Ok((Answer::Status(status), Answer::Peers(peers))) => {
            findings.push(daemon(&status));
            findings.extend(interface(&patient.config, &status));
            findings.push(tree(&status, &peers));
            findings.extend(connected(&peers));
            findings.extend(drops(&status));
        }
        Ok(_) => findings.push(Finding::error(
            "daemon",
            "it answers something else than was asked",
            "restart it: systemctl restart pineconed",
        )),
        Err(error) => {
            let fix = match error.kind {
                Kind::NotRunning => "systemctl start pineconed; then look at: journalctl -u pineconed -n 50",
                Kind::Permission => "sudo pineconectl doctor",
                _ => "journalctl -u pineconed -n 50",
            };
            findings.push(Finding::error("daemon", error.message(), fix));
        }
    }
    findings
}

/// The names in the configured peers' URIs.
fn names(config: &Config, progress: &Progress) -> Vec<Finding> {
    const CHECK: &str = "peer names";
    let mut findings = Vec::new();
    for uri in &config.peering.peers {
        // A proxy looks names up itself.
        let by_proxy = uri.proxy.is_some() || config.peering.proxy.is_some();
        let Endpoint::Net(net) = &uri.endpoint else { continue };
        let Host::Name(name) = &net.host else { continue };
        if by_proxy {
            continue;
        }
        progress.say(&format!("the name {name}"));
        match (name.as_str(), net.port).to_socket_addrs().map(Iterator::count) {
            Ok(count) if count > 0 => findings.push(Finding::ok(CHECK, format!("{name} has {count} addresses"))),
            Ok(_) => findings.push(Finding::error(
                CHECK,
                format!("{name} has no address"),
                "look at the spelling in peering.peers",
            )),
            Err(error) => {
                let fix = format!("getent ahosts {name}; if other names fail too, look at /etc/resolv.conf");
                findings.push(Finding::error(CHECK, format!("{name} cannot be looked up: {error}"), fix));
            }
        }
    }
    findings
}

fn daemon(status: &Status) -> Finding {
    const CHECK: &str = "daemon";
    let own = env!("CARGO_PKG_VERSION");
    if status.version != own {
        let what = format!("version {} runs, and this is {own}", status.version);
        return Finding::warning(CHECK, what, "systemctl restart pineconed");
    }
    Finding::ok(CHECK, format!("version {own} is {}", status.address))
}

/// The interface, its address and its MTU. Only where it is to be in this network namespace.
fn interface(config: &Config, status: &Status) -> Vec<Finding> {
    const CHECK: &str = "interface";
    let TunName::Named(name) = &config.tun.name else { return Vec::new() };
    let name = name.to_string();
    let Ok(addresses) = getifaddrs() else { return vec![Finding::unknown(CHECK, "the interfaces cannot be listed")] };
    let ours: Vec<String> = addresses
        .filter(|found| found.interface_name == name)
        .filter_map(|found| found.address?.as_sockaddr_in6().map(|address| address.ip().to_string()))
        .collect();
    let mut findings = vec![if ours.contains(&status.address) {
        Finding::ok(CHECK, format!("{name} has {}", status.address))
    } else {
        let what = format!("there is no {name} with {} in this network namespace", status.address);
        let fix =
            format!("ip -6 address add {}/128 dev {name} (pre-made interface), or restart the daemon", status.address);
        Finding::warning(CHECK, what, fix)
    }];
    let mtu =
        fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    findings.extend(mtu.map(|mtu| judge_mtu(&name, mtu, config.tun.mtu.into())));
    findings
}

fn judge_mtu(name: &str, mtu: u32, wanted: u32) -> Finding {
    const CHECK: &str = "MTU";
    let fix = format!("ip link set dev {name} mtu {wanted}");
    if mtu < 1280 {
        return Finding::error(CHECK, format!("{mtu} on {name}: IPv6 needs 1280"), fix);
    }
    if mtu != wanted {
        return Finding::warning(
            CHECK,
            format!("{mtu} on {name}, and tun.mtu is {wanted}: other nodes are told the latter"),
            fix,
        );
    }
    Finding::ok(CHECK, mtu.to_string())
}

fn tree(status: &Status, peers: &Peers) -> Finding {
    const CHECK: &str = "tree";
    let other = peers.peers.iter().filter(|peer| peer.root.is_some_and(|root| root != status.root)).count();
    if other > 0 && status.uptime_seconds > 60.0 {
        let what = format!("{other} of {} peers follow another root", peers.peers.len());
        return Finding::warning(
            CHECK,
            what,
            "pineconectl watch (a change takes seconds; if it stays, a peering carries nothing)",
        );
    }
    Finding::ok(CHECK, format!("{} hops to the root {}", status.coordinates.len(), status.root.short()))
}

fn connected(peers: &Peers) -> Vec<Finding> {
    const CHECK: &str = "peers";
    let mut findings = Vec::new();
    for peer in &peers.waiting {
        let why = peer.last_error.as_deref().unwrap_or("the first attempt is under way");
        let what = format!("{} is not connected: {why}", peer.uri);
        findings.push(Finding::warning(CHECK, what, dial_fix(why)));
    }
    let claimed = peers.peers.iter().filter(|peer| !peer.authenticated).count();
    if peers.peers.is_empty() {
        let fix = "pineconectl peer add tls://HOST:7464 (and name it in peering.peers)";
        findings.push(Finding::error(CHECK, "no peers: this node is alone", fix));
    } else {
        let note =
            if claimed == 0 { String::new() } else { format!(", {claimed} of them with a key that is only claimed") };
        findings.push(Finding::ok(CHECK, format!("{} connected{note}", peers.peers.len())));
    }
    findings
}

/// What to do about an attempt that failed for this reason.
fn dial_fix(why: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| why.to_lowercase().contains(word));
    if has(&["refused"]) {
        "is a daemon running there, and does it listen on that port?"
    } else if has(&["timed out", "time out", "in time", "unreachable", "no route"]) {
        "is the host up, and does a firewall on the way let that port through?"
    } else if has(&["look up", "name", "resolve"]) {
        "look at the name in the URI and at /etc/resolv.conf"
    } else if has(&["key"]) {
        "compare ?key= with what `pineconectl status` shows as public key there"
    } else {
        "pineconectl peers; journalctl -u pineconed -n 50"
    }
}

/// Drops that people can do something about.
fn drops(status: &Status) -> Vec<Finding> {
    const CHECK: &str = "drops";
    let many = |reason: &str| status.drops.get(reason).copied().filter(|count| *count >= MANY);
    let mut findings = Vec::new();
    if let Some(count) = many("firewall_inbound") {
        let what = format!("the firewall refused {count} packets of other nodes");
        findings.push(Finding::ok(CHECK, what + "; `pineconectl firewall` shows its rules"));
    }
    for (reason, what, fix) in [
        (
            "foreign_source",
            "packets came from the host with addresses that are not this node's",
            "ip -6 route show table all | grep 600::/7",
        ),
        ("tun_write", "the interface did not take packets", "ip -s link show"),
        (
            "forged",
            "messages were not what they claim to be",
            "if it goes on: pineconectl peers, and remove the peer they come from",
        ),
    ] {
        if let Some(count) = many(reason) {
            findings.push(Finding::warning(CHECK, format!("{count} × {reason}: {what}"), fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use pinecone::control::WaitingPeer;

    use super::super::Level;
    use super::*;

    #[test]
    fn an_mtu_that_ipv6_cannot_live_with_is_an_error_and_another_than_the_configured_a_warning() {
        assert_eq!(judge_mtu("pine0", 1279, 65_000).level, Level::Error);
        assert_eq!(judge_mtu("pine0", 1500, 65_000).level, Level::Warning);
        assert_eq!(judge_mtu("pine0", 65_000, 65_000).level, Level::Ok);
    }

    #[test]
    fn a_node_alone_is_an_error_and_each_missing_peer_a_warning_with_its_reason() {
        let waiting = |why: &str| WaitingPeer {
            uri: "tcp://192.0.2.1:7463".to_owned(),
            failures: 1,
            last_error: Some(why.to_owned()),
            next_attempt_seconds: None,
        };
        let peers = Peers {
            peers: Vec::new(),
            waiting: vec![waiting("Connection refused"), waiting("the peer has another key")],
        };
        let findings = connected(&peers);
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Warning, Level::Error]);
        assert!(findings[0].fix.as_ref().unwrap().contains("listen on that port"));
        assert!(findings[1].fix.as_ref().unwrap().contains("?key="));
    }
}
