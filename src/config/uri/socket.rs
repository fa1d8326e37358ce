//! `unix://`: sockets in the file system, as peers and as listeners.

use std::fmt;
use std::path::Path;

use super::options::{LISTEN_OPTIONS, Options, PEER_OPTIONS};
use super::parts::Parts;
use super::{Endpoint, ListenAddress, ListenUri, PeerUri, UriError, percent};
use crate::config::values::MAX_SOCKET_PATH;

/// An absolute path that a Unix socket can have. `Display` writes it as URIs do, percent-encoded where it has to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketPath(String);

impl SocketPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    fn parse(text: &str) -> Result<Self, UriError> {
        let path = percent::decode(text).ok_or(UriError::BadSocketPath)?;
        let is_file = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
        if is_file && path.len() <= MAX_SOCKET_PATH { Ok(Self(path)) } else { Err(UriError::BadSocketPath) }
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent::encode(f, &self.0, b"/!$&'()*+,;=:@")
    }
}

impl PeerUri {
    pub(super) fn unix(parts: &Parts<'_>) -> Result<Self, UriError> {
        let mut options = Options::default();
        options.parse(parts.options, PEER_OPTIONS)?;
        let wrong = [("interface", options.interface.is_some()), ("proxy", options.proxy.is_some())];
        if let Some((name, _)) = wrong.into_iter().find(|(_, given)| *given) {
            return Err(UriError::WrongOption(name, "for unix://"));
        }
        let endpoint = Endpoint::Unix(SocketPath::parse(parts.path)?);
        let policy = options.policy();
        let Options { key, password, max_backoff, .. } = options;
        Ok(Self { scheme: parts.scheme, endpoint, key, password, max_backoff, interface: None, proxy: None, policy })
    }
}

impl ListenUri {
    pub(super) fn unix(parts: &Parts<'_>) -> Result<Self, UriError> {
        let mut options = Options::default();
        options.parse(parts.options, LISTEN_OPTIONS)?;
        if options.interface.is_some() {
            return Err(UriError::WrongOption("interface", "for unix://"));
        }
        let policy = options.policy();
        let address = ListenAddress::Unix { path: SocketPath::parse(parts.path)?, group: options.group };
        Ok(Self { scheme: parts.scheme, address, password: options.password, interface: None, policy })
    }
}
