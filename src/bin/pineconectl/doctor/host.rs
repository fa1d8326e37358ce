//! Looks at the host: files, the TUN device, IPv6, the clock, multicast, the host's own firewall.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use pinecone::config::{ListenAddress, TunName};
use pinecone::shell::clock::{Clock, Discipline};
use pinecone::shell::key_file;

use super::{Finding, Patient};

/// A clock before this has not been set: 2026-01-01.
const BUILT_AFTER: u64 = 1_767_225_600;

pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = vec![config_rights(patient), key(&patient.config.node.private_key_file), socket(patient)];
    findings.retain(|finding| !finding.what.is_empty());
    findings.push(tun_device(patient));
    findings.push(ipv6(&fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6")));
    let time = Clock::new();
    findings.push(clock(time.unix_now().0 / 1000, time.discipline()));
    findings.extend(multicast(patient));
    findings.extend(host_firewall(patient));
    findings
}

/// A file with a login in it is not for everybody, and nobody else may write it.
fn config_rights(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "config rights";
    let Some(path) = &patient.file else { return Finding::ok(CHECK, "") };
    let has_login = patient.config.peering.peers.iter().any(|uri| uri.with_secrets().to_string() != uri.to_string());
    let mode = match fs::metadata(path) {
        Ok(found) => found.mode() & 0o7777,
        Err(error) => return Finding::unknown(CHECK, format!("{}: {error}", path.display())),
    };
    let path = path.display();
    if mode & 0o002 != 0 {
        return Finding::error(
            CHECK,
            format!("everybody may write {path} (mode {mode:04o})"),
            format!("chmod 640 {path}"),
        );
    }
    if has_login && mode & 0o004 != 0 {
        let what = format!("everybody may read {path}, and there is a proxy's password in it (mode {mode:04o})");
        return Finding::warning(CHECK, what, format!("chgrp pinecone {path}; chmod 640 {path}"));
    }
    Finding::ok(CHECK, format!("mode {mode:04o}"))
}

fn key(path: &Path) -> Finding {
    const CHECK: &str = "private key";
    match key_file::probe(path) {
        Ok(Some(key)) => Finding::ok(CHECK, format!("{} is that of {}", path.display(), key.short())),
        Ok(None) => Finding::ok(CHECK, format!("none yet; the daemon will make {}", path.display())),
        Err(error) if error.is_foreign_to_root() => {
            Finding::ok(CHECK, format!("{} belongs to another user", path.display()))
        }
        Err(error) => {
            let denied = fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            if denied {
                return Finding::unknown(CHECK, format!("{} is not for you to read; sudo shows more", path.display()));
            }
            Finding::error(CHECK, error.to_string(), format!("chmod 600 {}", path.display()))
        }
    }
}

/// Who may control the daemon.
fn socket(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "socket rights";
    let path = patient.socket.display();
    match fs::metadata(&patient.socket) {
        Ok(found) if found.mode() & 0o002 != 0 => {
            let what = format!("everybody may control the daemon through {path} (mode {:04o})", found.mode() & 0o7777);
            Finding::error(CHECK, what, format!("chmod 660 {path}"))
        }
        Ok(found) => Finding::ok(CHECK, format!("mode {:04o}, group {}", found.mode() & 0o7777, found.gid())),
        // Whether a daemon runs is looked at later.
        Err(_) => Finding::ok(CHECK, ""),
    }
}

fn tun_device(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "TUN device";
    if patient.config.tun.name == TunName::None {
        return Finding::ok(CHECK, "not needed: this node routes for others only");
    }
    match fs::metadata("/dev/net/tun") {
        Ok(_) => Finding::ok(CHECK, "/dev/net/tun is there"),
        Err(_) if patient.config.tun.fd.is_some() => Finding::ok(CHECK, "passed to the daemon as a descriptor"),
        Err(error) => Finding::error(
            CHECK,
            format!("/dev/net/tun: {error}"),
            "modprobe tun (in a container: --device /dev/net/tun), or tun.name = \"none\" to route for others only",
        ),
    }
}

fn ipv6(disabled: &std::io::Result<String>) -> Finding {
    const CHECK: &str = "IPv6";
    match disabled {
        Ok(text) if text.trim() == "0" => Finding::ok(CHECK, "enabled"),
        Ok(_) => {
            Finding::error(CHECK, "the kernel has IPv6 switched off", "sysctl -w net.ipv6.conf.all.disable_ipv6=0")
        }
        Err(_) => Finding::error(CHECK, "the kernel has no IPv6", "boot without ipv6.disable=1"),
    }
}

/// `discipline` is what the kernel says, if it may be asked.
fn clock(now: u64, discipline: Option<Discipline>) -> Finding {
    const CHECK: &str = "clock";
    if now < BUILT_AFTER {
        let what =
            "the clock is years behind: other nodes take what this one signs for old, and sessions do not come up";
        return Finding::error(CHECK, what, clock_fix(|path| Path::new(path).exists()));
    }
    match discipline {
        Some(Discipline::Kept { max_error }) => {
            Finding::ok(CHECK, format!("synchronised, off by {:.3} s at most", max_error.as_secs_f64()))
        }
        Some(Discipline::Free) => Finding::warning(
            CHECK,
            "not synchronised; it has to go forward across restarts for sessions to come up at once",
            clock_fix(|path| Path::new(path).exists()),
        ),
        None => Finding::ok(CHECK, "plausible; whether it is synchronised the kernel does not tell here"),
    }
}

/// How a clock gets somebody who keeps it, on this kind of host.
fn clock_fix(exists: impl Fn(&str) -> bool) -> &'static str {
    if exists("/run/systemd/system") {
        return "timedatectl set-ntp true (with systemd-timesyncd or chrony installed)";
    }
    if exists("/etc/init.d/sysntpd") {
        return "/etc/init.d/sysntpd enable; /etc/init.d/sysntpd start";
    }
    "install an NTP client and start it, such as chrony; in a container or a virtual machine: on its host"
}

/// Whether there is anything to find neighbours on.
fn multicast(patient: &Patient<'_>) -> Option<Finding> {
    const CHECK: &str = "LAN discovery";
    let discovery = &patient.config.discovery;
    if !discovery.enabled {
        return None;
    }
    let own = match &patient.config.tun.name {
        TunName::Named(name) => name.to_string(),
        TunName::None => String::new(),
    };
    let Ok(addresses) = getifaddrs() else { return Some(Finding::unknown(CHECK, "the interfaces cannot be listed")) };
    let fits = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST)
            && !flags.intersects(InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_POINTOPOINT)
    };
    let mut names: Vec<String> = addresses
        .filter(|found| fits(found.flags))
        .map(|found| found.interface_name)
        .filter(|name| *name != own)
        .collect();
    names.sort();
    names.dedup();
    let all = names.len();
    names.retain(|name| discovery.interfaces.matches(name));
    Some(if names.is_empty() {
        let what = format!(
            "no interface to look for neighbours on: {all} have multicast, and discovery.interfaces names none of them"
        );
        Finding::warning(CHECK, what, "name one in discovery.interfaces, or set discovery.enabled = false")
    } else {
        Finding::ok(CHECK, format!("on {}", names.join(", ")))
    })
}

/// Whether nftables drops what comes to the ports that we listen on.
fn host_firewall(patient: &Patient<'_>) -> Option<Finding> {
    const CHECK: &str = "host firewall";
    let ports: Vec<u16> = patient
        .config
        .peering
        .listen
        .iter()
        .filter_map(|uri| match &uri.address {
            ListenAddress::Ip(address) => Some(address.port()),
            ListenAddress::Unix { .. } => None,
        })
        .collect();
    if ports.is_empty() {
        return None;
    }
    let Some(rules) = run("nft", &["list", "ruleset"]) else {
        return Some(Finding::unknown(CHECK, "its rules cannot be listed (nft is not installed, or you are not root)"));
    };
    Some(judge_rules(&rules, &ports))
}

fn judge_rules(rules: &str, ports: &[u16]) -> Finding {
    const CHECK: &str = "host firewall";
    let drops = rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"));
    let is_named = |port: &u16| {
        let port = port.to_string();
        rules.split(|letter: char| !letter.is_ascii_digit()).any(|number| number == port)
    };
    let missing: Vec<String> = ports.iter().filter(|port| !is_named(port)).map(ToString::to_string).collect();
    if drops && !missing.is_empty() {
        let what = format!("it drops what it has no rule for, and port {} is in none", missing.join(" and "));
        let fix = format!(
            "nft add rule inet filter input meta l4proto {{ tcp, udp }} th dport {{ {} }} accept (if others are to dial this node)",
            missing.join(", ")
        );
        return Finding::warning(CHECK, what, fix);
    }
    Finding::ok(CHECK, if drops { "names the ports that we listen on" } else { "lets in what it has no rule for" })
}

/// What a program prints, if it is there and succeeds.
pub(super) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_an_error_and_one_that_drifts_a_warning() {
        let kept = Discipline::Kept { max_error: std::time::Duration::from_millis(20) };
        assert_eq!(clock(0, Some(kept)).level, Level::Error);
        assert_eq!(clock(BUILT_AFTER + 1, Some(Discipline::Free)).level, Level::Warning);
        assert_eq!(clock(BUILT_AFTER + 1, None).level, Level::Ok);
        let fine = clock(BUILT_AFTER + 1, Some(kept));
        assert_eq!((fine.level, fine.what.as_str()), (Level::Ok, "synchronised, off by 0.020 s at most"));
    }

    #[test]
    fn a_clock_is_mended_with_what_the_host_has() {
        assert!(clock_fix(|path| path == "/run/systemd/system").starts_with("timedatectl "));
        assert!(clock_fix(|path| path == "/etc/init.d/sysntpd").starts_with("/etc/init.d/sysntpd "));
        assert!(clock_fix(|_| false).contains("chrony"));
    }

    #[test]
    fn a_firewall_that_drops_is_only_wrong_about_ports_that_it_does_not_name() {
        let rules = "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n  tcp dport { 22, 7463 } accept\n }\n}";
        assert_eq!(judge_rules(rules, &[7463]).level, Level::Ok);
        let found = judge_rules(rules, &[7463, 7464]);
        assert_eq!(found.level, Level::Warning);
        assert!(found.what.contains("port 7464") && found.fix.is_some_and(|fix| fix.contains("dport { 7464 }")));
        assert_eq!(judge_rules(&rules.replace("policy drop", "policy accept"), &[1]).level, Level::Ok);
    }

    #[test]
    fn a_kernel_without_ipv6_is_an_error() {
        assert_eq!(ipv6(&Ok("0\n".to_owned())).level, Level::Ok);
        assert_eq!(ipv6(&Ok("1\n".to_owned())).level, Level::Error);
        assert_eq!(ipv6(&Err(ErrorKind::NotFound.into())).level, Level::Error);
    }
}
