//! `pineconed check`: whether the daemon would start here with this configuration. Looks, and makes nothing.

use std::path::Path;

use crate::addr::Address;
use crate::config::{Config, TunName};

use super::control_socket::{self, Probe};
use super::transport::tls::check_ca_file;
use super::tun::netns::Namespace;
use super::{key_file, password_file};

/// What the kernel makes TUN interfaces from.
const TUN_DEVICE: &str = "/dev/net/tun";

/// What a check found, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The daemon would not start because of these.
    pub errors: Vec<String>,
    /// It would start, but probably not as it is meant.
    pub warnings: Vec<String>,
    /// What it would do.
    pub notes: Vec<String>,
}

impl Findings {
    /// A file with a secret is not right. If all that is wrong is that root looks at a file of another user, then that is
    /// most likely the user that the daemon runs as.
    fn secret(&mut self, is_foreign_to_root: bool, sentence: String) {
        if is_foreign_to_root { self.warnings.push(sentence) } else { self.errors.push(sentence) }
    }
}

/// Looks at what `config` names on this host.
pub fn check(config: &Config) -> Findings {
    let mut findings = Findings { warnings: config.warnings(), ..Findings::default() };
    let key_path = &config.node.private_key_file;
    match key_file::probe(key_path) {
        Ok(Some(key)) => findings.notes.push(format!("address {} (key {})", Address::of(&key), key_path.display())),
        Ok(None) => findings.notes.push(format!("a new key will be made at {}", key_path.display())),
        Err(error) => findings.secret(error.is_foreign_to_root(), format!("node.private_key_file: {error}")),
    }
    if let Err(error) = password_file::psk(&config.session) {
        findings.secret(error.is_foreign_to_root(), error.to_string());
    }
    // It is read whenever a web server is dialled: no reason not to start.
    if let Some(Err(error)) = config.peering.tls_ca_file.as_deref().map(check_ca_file) {
        findings.warnings.push(error.to_string());
    }
    let control = &config.control;
    match control_socket::probe(&control.socket, control.group.as_deref()) {
        Ok(Probe::Free) => {}
        Ok(Probe::Running) => findings.notes.push(format!("a pineconed runs now, on {}", control.socket.display())),
        Err(error) => findings.errors.push(error.to_string()),
    }
    if let Some(Err(error)) = config.tun.netns.as_deref().map(Namespace::open) {
        findings.errors.push(format!("tun.netns: {error}"));
    }
    if config.tun.name != TunName::None && config.tun.fd.is_none() && !Path::new(TUN_DEVICE).exists() {
        findings.errors.push(format!(
            "tun.name: this host has no {TUN_DEVICE}; load the kernel module with `modprobe tun`, \
             or set tun.name to \"none\" to only route for others"
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config_in(directory: &Path) -> Config {
        let mut config = Config::default();
        config.node.private_key_file = directory.join("state/node.key");
        config.control.socket = directory.join("run/pineconed.sock");
        config.tun.name = TunName::None;
        config
    }

    #[test]
    fn a_fresh_host_is_fine_and_nothing_is_made_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let findings = check(&config_in(directory.path()));
        assert_eq!((findings.errors, findings.warnings), (vec![], vec![]));
        assert!(findings.notes[0].contains("a new key will be made"), "{:?}", findings.notes);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn root_is_only_warned_of_a_key_that_belongs_to_the_daemon_s_user() {
        let directory = tempfile::tempdir().unwrap();
        let config = config_in(directory.path());
        let path = &config.node.private_key_file;
        key_file::load_or_create(path).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(path, Some(4242), None).is_err() {
            return;
        }
        let findings = check(&config);
        assert_eq!(findings.errors, Vec::<String>::new());
        assert!(findings.warnings[0].contains("that is right if pineconed runs as that user"), "{findings:?}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config_in(directory.path());
        fs::create_dir_all(directory.path().join("state/node.key")).unwrap();
        fs::create_dir_all(&config.control.socket).unwrap();
        config.session.password_file = Some(directory.path().join("no-password"));
        config.tun = crate::config::TunSection { name: crate::config::TunName::None, fd: Some(3), ..config.tun };
        config.peering.tls_ca_file = Some(directory.path().join("no-ca"));
        let findings = check(&config);
        assert_eq!((findings.errors.len(), findings.warnings.len()), (3, 2), "{findings:?}");
        assert!(findings.warnings[1].starts_with("peering.tls_ca_file: cannot read"), "{findings:?}");
        for (error, what) in findings.errors.iter().zip(["not a regular file", "is not there", "is not a socket"]) {
            assert!(error.contains(what), "{error}");
        }
    }
}
