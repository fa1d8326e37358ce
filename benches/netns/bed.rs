//! Hosts in a line, cables between neighbours, and nothing else yet: what a peer is put on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lab::{Host, Lab, Link};

/// The first host is where measurements begin, the last one where they lead.
pub(crate) struct Bed {
    lab: Lab,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Vec<Link>,
    /// For keys, configurations and logs.
    pub(crate) directory: PathBuf,
    /// Of hosts that are not in the line.
    others: Vec<Host>,
}

impl Bed {
    /// `count` hosts. TCP connections over their cables use `congestion_control`, whatever the kernel's default is: namespaces inherit
    /// that, and a namespace can change it for a route only.
    pub(crate) fn line(count: usize, congestion_control: &str) -> Self {
        // Names are never used twice, so that a namespace that the kernel is still taking apart is in nobody's way.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let lab = Lab::new();
        let hosts: Vec<_> = (0..count).map(|n| lab.host(&format!("b{number}n{n}"))).collect();
        let links: Vec<_> = hosts.windows(2).map(|pair| lab.link(&pair[0], &pair[1])).collect();
        for end in links.iter().flat_map(|link| &link.ends) {
            let [a, b, c, _] = end.v4.octets();
            let (network, source) = (format!("{a}.{b}.{c}.0/24"), end.v4.to_string());
            let route =
                ["route", "replace", &network, "dev", &end.interface, "proto", "kernel", "scope", "link", "src"];
            end.host.ip(&[&route[..], &[&source, "congctl", congestion_control]].concat());
        }
        let directory = PathBuf::from(format!("/run/bench/{number}"));
        std::fs::create_dir_all(&directory).expect("/run is ours");
        Self { lab, hosts, links, directory, others: Vec::new() }
    }

    pub(crate) fn first(&self) -> &Host {
        &self.hosts[0]
    }

    pub(crate) fn last(&self) -> &Host {
        self.hosts.last().expect("a line has hosts")
    }

    /// Where host `n` has its files.
    pub(crate) fn directory_of(&self, n: usize) -> PathBuf {
        let directory = self.directory.join(n.to_string());
        std::fs::create_dir_all(&directory).expect("/run is ours");
        directory
    }

    /// A host behind the last one, which is its router: only connected, without addresses.
    pub(crate) fn host_behind(&mut self, mtu: u16) -> Link {
        let host = self.lab.host(&format!("{}h", self.last().name()));
        let link = self.lab.link(self.last(), &host);
        for end in &link.ends {
            end.host.ip(&["link", "set", &end.interface, "mtu", &mtu.to_string()]);
        }
        self.others.push(host);
        link
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for host in self.hosts.iter().chain(&self.others) {
            let _ = Command::new("ip").args(["netns", "del", host.name()]).status();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Lets a host pass packets on.
pub(crate) fn forward(host: &Host) {
    host.within(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).expect("the namespace is ours");
}

/// Writes a file that only we read: daemons insist on that for keys.
pub(crate) fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("/run is ours");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
}
