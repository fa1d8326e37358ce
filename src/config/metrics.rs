//! `metrics.listen`: nowhere, an address, or a socket in the file system.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::uri::{ListenAddress, ListenUri, SocketPath};
use crate::node::PeerPolicy;

/// Where metrics are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetricsListen {
    /// Nowhere.
    #[default]
    Off,
    /// At an address and port.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix {
        /// Its path.
        path: SocketPath,
        /// A group whose members may use it.
        group: Option<String>,
    },
}

/// What is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsListenError {
    /// Neither form.
    #[error(
        "metrics are served at an address and port such as \"127.0.0.1:7465\" or \"[::1]:7465\", or on a socket: \"unix:///PATH\" or \"unix:///PATH?group=NAME\""
    )]
    Neither,
    /// A port that nobody could scrape.
    #[error("the port is 0, which would be another one at each start; name one, such as 7465")]
    NoPort,
    /// Wrong after `unix://`.
    #[error("{0}")]
    Unix(String),
}

impl std::str::FromStr for MetricsListen {
    type Err = MetricsListenError;

    fn from_str(text: &str) -> Result<Self, MetricsListenError> {
        if text.is_empty() {
            return Ok(Self::Off);
        }
        if text.starts_with("unix://") {
            let uri: ListenUri =
                text.parse().map_err(|error: super::UriError| MetricsListenError::Unix(error.to_string()))?;
            return match uri.address {
                ListenAddress::Unix { path, group }
                    if uri.policy == PeerPolicy::default() && uri.password.is_none() =>
                {
                    Ok(Self::Unix { path, group })
                }
                _ => Err(MetricsListenError::Neither),
            };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(MetricsListenError::NoPort),
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => Err(MetricsListenError::Neither),
        }
    }
}

impl fmt::Display for MetricsListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, group: None } => write!(f, "unix://{path}"),
            Self::Unix { path, group: Some(group) } => write!(f, "unix://{path}?group={group}"),
        }
    }
}

impl<'de> Deserialize<'de> for MetricsListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for MetricsListen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_nowhere_at_an_address_or_on_a_socket() {
        for text in [
            "",
            "127.0.0.1:7465",
            "[::1]:7465",
            "0.0.0.0:9100",
            "unix:///run/m.sock",
            "unix:///run/m.sock?group=prometheus",
        ] {
            let listen: MetricsListen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
        }
        for wrong in
            ["localhost:7465", "127.0.0.1", "7465", "tcp://127.0.0.1:7465", "unix://m.sock", "unix:///m?priority=3"]
        {
            assert!(wrong.parse::<MetricsListen>().is_err(), "{wrong}");
        }
        assert_eq!("127.0.0.1:0".parse::<MetricsListen>(), Err(MetricsListenError::NoPort));
    }
}
