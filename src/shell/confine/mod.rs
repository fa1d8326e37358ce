//! Confinement: what the process gives up as soon as it has started, so that whoever takes it over has little of it.
//!
//! In this order: files ([`files`], Landlock), capabilities ([`capabilities`]), system calls ([`syscalls`], seccomp, last because the others
//! need some). All three hold for the thread that asks for them and for threads that it makes, so this is done before there are others: the
//! daemon's only thread is the runtime's, and those that look up names are made when the first name is.
//!
//! None of it is a condition for running: a kernel that lacks one of them leaves the others. `pineconectl status` shows what holds.
//! `docs/security.md` tells people what is left, and why.

mod capabilities;
mod files;
mod syscalls;

use std::path::PathBuf;

use crate::config::{Config, ListenAddress, ListenUri, MetricsListen};
use crate::node::status::Confinement;
use crate::shell::files::directory_of;

/// Gives up what this configuration has no more use for. `undoes` is whether something is to be undone on the interface at the end.
pub(crate) fn confine(config: &Config, named: Option<&std::path::Path>, undoes: bool) -> Confinement {
    if !config.service.confine {
        return Confinement { capabilities: capabilities::held(), ..not_wanted() };
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        tracing::warn!(
            "{threads} threads are not confined as the others are; this is a bug in pineconed, please report it"
        );
    }
    let files = files::restrict(&readable(config, named), &socket_directories(config));
    let capabilities = capabilities::drop_all_but(&capabilities::needed(config, undoes));
    let system_calls = syscalls::filter();
    let confinement = Confinement { wanted: true, capabilities, files, system_calls };
    let kept =
        if confinement.capabilities.is_empty() { "none".to_owned() } else { confinement.capabilities.join(", ") };
    tracing::info!(
        "confined: files {}, system calls {}, capabilities {kept}",
        confinement.files,
        confinement.system_calls
    );
    confinement
}

fn not_wanted() -> Confinement {
    let off = || "off (service.confine = false)".to_owned();
    Confinement { wanted: false, capabilities: Vec::new(), files: off(), system_calls: off() }
}

/// What to think of, if a confined daemon was refused something. `error` is the text of the refusal.
pub(crate) fn hint(error: &str) -> &'static str {
    let is_any_of = |codes: &[&str]| codes.iter().any(|code| error.contains(code));
    if is_any_of(&["os error 38"]) {
        return "; the daemon is confined to the system calls that it is known to need, and this may be another: please report it, and \
                set service.confine = false until then";
    }
    if is_any_of(&["os error 13", "os error 1)"]) {
        return "; a confined daemon reaches only files and rights that its configuration named when it started: restart it if that changed";
    }
    ""
}

/// Directories that are read after the start: those of files that a reload reads again. Directories, because files are replaced.
fn readable(config: &Config, named: Option<&std::path::Path>) -> Vec<PathBuf> {
    let default = PathBuf::from(crate::config::DEFAULT_FILE);
    let files = [
        Some(named.map_or(default, PathBuf::from)),
        config.session.password_file.clone(),
        config.peering.tls_ca_file.clone(),
    ];
    let mut directories = Vec::new();
    for file in files.into_iter().flatten() {
        directories.push(directory_of(&file).to_owned());
        // And where it lies really, if it is a symbolic link.
        directories.extend(file.canonicalize().ok().map(|file| directory_of(&file).to_owned()));
    }
    // Where the CAs of the host are, if somebody says so.
    directories.extend(["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os).map(PathBuf::from));
    directories
}

/// Directories that sockets of ours lie in, or will lie in after a reload: they are removed at the end.
fn socket_directories(config: &Config) -> Vec<PathBuf> {
    let unix = config.peering.listen.iter().filter_map(|ListenUri { address, .. }| match address {
        ListenAddress::Unix { path, .. } => Some(directory_of(path.as_path()).to_owned()),
        ListenAddress::Ip(_) => None,
    });
    let metrics = match &config.metrics.listen {
        MetricsListen::Unix { path, .. } => Some(directory_of(path.as_path()).to_owned()),
        _ => None,
    };
    std::iter::once(directory_of(&config.control.socket).to_owned()).chain(unix).chain(metrics).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_a_reload_needs_stay_readable_and_those_of_sockets_writable() {
        let text = "session.password_file = '/a/password'\ncontrol.socket = '/b/sock'\n\
                    peering.listen = ['unix:///c/peers.sock', 'tcp://[::]:1']\nmetrics.listen = 'unix:///d/metrics.sock'";
        let config = Config::parse(text, "test").unwrap();
        // What the environment says of CAs comes behind.
        assert_eq!(readable(&config, None)[..2], [PathBuf::from("/etc/pinecone"), PathBuf::from("/a")]);
        assert_eq!(readable(&config, Some("here.toml".as_ref()))[0], PathBuf::from("."));
        assert_eq!(socket_directories(&config), ["/b", "/c", "/d"].map(PathBuf::from));
    }

    #[test]
    fn a_refusal_that_confinement_may_cause_says_so() {
        let told = |code: i32| hint(&std::io::Error::from_raw_os_error(code).to_string());
        assert!(told(38).contains("service.confine = false"));
        assert!(told(13).contains("restart it") && told(1).contains("restart it"));
        assert_eq!(told(111), "");
    }
}
