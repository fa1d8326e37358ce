//! The interface in another network namespace than the peerings' sockets (`tun.netns`): programs there have the overlay and nothing else.
//!
//! Only three things are done over there: the interface is made, a netlink socket is opened to set it up, and IPv6 is switched on for it.
//! Descriptors stay where they were opened, so everything else, and every other task, is at home. Nothing here waits: the runtime has one
//! thread, and it must never run a task while it is away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

/// Where `ip netns` keeps namespaces.
const NAMED: &str = "/run/netns";

/// A network namespace, and the way home.
#[derive(Debug)]
pub(crate) struct Namespace {
    home: File,
    there: File,
    path: PathBuf,
}

/// Why there is no interface in the namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// It does not exist, or may not be looked at.
    #[error("there is no network namespace {path}: {source}; `ip netns add NAME` makes one", path = .path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It may not be entered.
    #[error("cannot enter the network namespace {path}: {source}{}", advice(*.source), path = .path.display())]
    Enter {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
}

fn advice(source: Errno) -> &'static str {
    match source {
        Errno::EPERM => {
            "; it needs CAP_SYS_ADMIN at the start (and for systemd RestrictNamespaces=net): docs/operations.md has the lines"
        }
        Errno::EINVAL => "; that is something else than a network namespace",
        _ => "",
    }
}

impl Namespace {
    /// The namespace at a path, or of a name that `ip netns` knows.
    pub(crate) fn open(named: &Path) -> Result<Self, NamespaceError> {
        let is_name = named.components().count() == 1 && named.is_relative();
        let path = if is_name { Path::new(NAMED).join(named) } else { named.to_owned() };
        let open =
            |path: &Path| File::open(path).map_err(|source| NamespaceError::Open { path: path.to_owned(), source });
        Ok(Self { home: open(Path::new("/proc/thread-self/ns/net"))?, there: open(&path)?, path })
    }

    /// Does something there, and comes back.
    pub(crate) fn within<T>(&self, act: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let enter = |which: &File| {
            let failed = |source| NamespaceError::Enter { path: self.path.clone(), source };
            setns(which, CloneFlags::CLONE_NEWNET).map_err(failed)
        };
        enter(&self.there)?;
        let result = act();
        // Where this fails the daemon ends: the caller passes the error on.
        enter(&self.home)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_not_there_is_named_with_what_to_do() {
        let error = Namespace::open(Path::new("no-such-namespace")).unwrap_err().to_string();
        assert!(error.contains("/run/netns/no-such-namespace") && error.contains("ip netns add"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_namespace_is_not_entered() {
        let namespace = Namespace::open(Path::new("/dev/null")).unwrap();
        let error = namespace.within(|| ()).unwrap_err().to_string();
        assert!(error.contains("something else than a network namespace"), "{error}");
    }
}
