//! Names of the underlay: an `/etc/hosts` of the sandbox's own, which can be changed while daemons run.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::Command;

/// Covers `/etc/hosts`; seen only by this sandbox.
pub(crate) struct HostsFile {
    path: PathBuf,
}

impl HostsFile {
    /// Where nobody has a name.
    pub(crate) fn new() -> Self {
        let path = PathBuf::from("/run/lab-hosts");
        std::fs::write(&path, "").expect("/run is ours");
        let done = Command::new("mount").arg("--bind").arg(&path).arg("/etc/hosts").status();
        assert!(done.is_ok_and(|status| status.success()), "cannot cover /etc/hosts");
        Self { path }
    }

    /// `name` has these addresses from now on, and no others; nobody else has a name.
    pub(crate) fn set(&self, name: &str, addresses: &[&dyn Display]) {
        let lines: String = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
        // In place: the file is mounted.
        std::fs::write(&self.path, lines).expect("/run is ours");
    }
}
