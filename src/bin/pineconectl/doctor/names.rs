//! Whether programs of this host ask the daemon for its names.
//!
//! Found in settings, and not by asking: where they are wrong, the question would leave the host.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use pinecone::config::TunName;
use pinecone::dns::names::PetNames;
use pinecone::dns::{ADDRESS, SUFFIX};

use super::host::run;
use super::{Finding, Patient};

const CHECK: &str = "names";
/// There while systemd-resolved runs.
const RESOLVED: &str = "/run/systemd/resolve";

pub(super) fn examine(patient: &Patient<'_>) -> Option<Finding> {
    let (dns, tun) = (&patient.config.dns, &patient.config.tun);
    let TunName::Named(interface) = &tun.name else { return None };
    // What programs in another namespace ask is not to be seen from here.
    if !dns.enabled || tun.netns.is_some() {
        return None;
    }
    let interface = interface.to_string();
    if Path::new(RESOLVED).is_dir() {
        let domains = run("resolvectl", &["domain", &interface]);
        let servers = run("resolvectl", &["dns", &interface]);
        return Some(judge_resolved(&interface, domains.as_deref(), servers.as_deref()));
    }
    let path = "/etc/resolv.conf";
    Some(match fs::read_to_string(path) {
        Ok(text) => judge_resolv_conf(&text, dns.names != PetNames::default()),
        Err(error) => Finding::unknown(CHECK, format!("{path}: {error}")),
    })
}

/// What `resolvectl domain` and `resolvectl dns` print of the interface, if they know it.
fn judge_resolved(interface: &str, domains: Option<&str>, servers: Option<&str>) -> Finding {
    let (Some(domains), Some(servers)) = (domains, servers) else {
        return Finding::unknown(CHECK, format!("systemd-resolved does not know {interface}"));
    };
    let has = |text: &str, wanted: &str| text.split_whitespace().any(|word| word == wanted);
    if has(domains, &format!("~{SUFFIX}")) && has(servers, &ADDRESS.to_string()) {
        return Finding::ok(CHECK, format!("systemd-resolved asks the daemon for {SUFFIX}"));
    }
    Finding::warning(
        CHECK,
        format!("systemd-resolved asks others than the daemon for {SUFFIX}; journalctl -u pineconed says why"),
        format!(
            "resolvectl dns {interface} {ADDRESS}; resolvectl domain {interface} '~{SUFFIX}' '~6.0.ip6.arpa' '~7.0.ip6.arpa'; \
             resolvectl default-route {interface} false; resolvectl dnssec {interface} no"
        ),
    )
}

/// Without systemd-resolved. `has_pet_names`: names are meant to be used here.
fn judge_resolv_conf(text: &str, has_pet_names: bool) -> Finding {
    let mut servers =
        text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    let fix = format!("put `nameserver {ADDRESS}` before the other servers in /etc/resolv.conf, or see docs/dns.md");
    let Some(first) = servers.next() else {
        return Finding::ok(CHECK, format!("programs ask no server here, so they do not find {SUFFIX}"));
    };
    if first == ADDRESS {
        return Finding::ok(CHECK, format!("programs ask the daemon for {SUFFIX}"));
    }
    if servers.any(|server| server == ADDRESS) {
        return Finding::warning(CHECK, format!("{first} is asked for {SUFFIX} before the daemon"), fix);
    }
    if first.is_loopback() {
        let what = format!(
            "a resolver of this host ({first}) is asked; whether it asks the daemon for {SUFFIX} is in its settings"
        );
        return Finding::unknown(CHECK, what);
    }
    let what = format!("programs ask {first}, not the daemon, for {SUFFIX}; pineconectl finds names all the same");
    if has_pet_names { Finding::warning(CHECK, what, fix) } else { Finding::ok(CHECK, what) }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn systemd_resolved_has_to_know_zone_and_server() {
        let judge = |domains, servers| judge_resolved("pine0", domains, servers);
        let told = "Link 3 (pine0): ~pinecone.internal ~6.0.ip6.arpa ~7.0.ip6.arpa\n";
        assert_eq!(judge(Some(told), Some("Link 3 (pine0): 6ff::53\n")).level, Level::Ok);
        assert_eq!(judge(None, None).level, Level::Unknown);
        let found = judge(Some("Link 3 (pine0):\n"), Some("Link 3 (pine0):\n"));
        assert_eq!(found.level, Level::Warning);
        assert!(
            found
                .fix
                .unwrap()
                .starts_with("resolvectl dns pine0 6ff::53; resolvectl domain pine0 '~pinecone.internal' ")
        );
    }

    #[test]
    fn without_it_the_daemon_has_to_be_the_first_server_where_names_are_used() {
        let judge = |text: &str, has_pet_names| judge_resolv_conf(text, has_pet_names).level;
        assert_eq!(judge("# mine\nnameserver 6ff::53\nnameserver 192.0.2.53\n", true), Level::Ok);
        assert_eq!(judge("nameserver 192.0.2.53\nnameserver 6ff::53\n", false), Level::Warning);
        assert_eq!(judge("nameserver 127.0.0.1\n", true), Level::Unknown);
        assert_eq!(judge("nameserver 192.0.2.53\n", true), Level::Warning);
        assert_eq!(judge("nameserver 192.0.2.53\n", false), Level::Ok);
        assert_eq!(judge("search example.org\n", true), Level::Ok);
    }
}
