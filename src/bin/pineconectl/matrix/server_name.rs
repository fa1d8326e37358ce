//! Matrix server names (Matrix specification, appendix "Server Name"): a host, and mostly a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The port of a server name that names none (specification, "Server discovery").
pub(crate) const DEFAULT_PORT: u16 = 8448;
/// Longest server name in bytes.
const MAX_LEN: usize = 230;

/// A server name, in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

/// What stands before the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
}

/// What is wrong with a server name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerNameError {
    #[error("an IPv6 address in a server name stands in brackets: [{0}]:8448")]
    Brackets(Ipv6Addr),
    #[error("{0:?} is no port; those are 1 to 65535")]
    Port(String),
    #[error(
        "{0:?} is no server name: that is a host and a port, such as [600:1234:5678:9abc:def0:1234:5678:9abc]:8448 or \
         example.org:8448, without a scheme, user or path"
    )]
    Form(String),
}

impl std::str::FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        if let Ok(address) = text.parse() {
            return Err(ServerNameError::Brackets(address));
        }
        let form = || ServerNameError::Form(text.chars().take(MAX_LEN).collect());
        if text.len() > MAX_LEN {
            return Err(form());
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or_else(form)?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(form)?) };
                (Host::Ip(IpAddr::V6(address.parse().map_err(|_| form())?)), port)
            }
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                if host.is_empty() || !host.bytes().all(allowed) {
                    return Err(form());
                }
                (host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip), port)
            }
        };
        let number = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let port = port.map(|port| number(port).ok_or_else(|| ServerNameError::Port(port.to_owned()))).transpose()?;
        Ok(Self { host, port })
    }
}

impl ServerName {
    /// The port to connect to.
    pub(crate) fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// The same with the address in the one form that everybody writes alike (RFC 5952).
    pub(crate) fn canonical(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Ip(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Name(name) => write!(f, "{name}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_a_host_and_maybe_a_port() {
        for text in ["[600::1]:8448", "[600::1]", "example.org", "example.org:443", "192.0.2.1:8448"] {
            assert_eq!(text.parse::<ServerName>().map(|name| name.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("[0600:0:0::1]:8448".parse::<ServerName>().unwrap().canonical(), "[600::1]:8448");
    }

    #[test]
    fn what_people_type_instead_is_explained() {
        let error = |text: &str| text.parse::<ServerName>().unwrap_err().to_string();
        assert!(error("600::1").contains("[600::1]:8448"));
        assert!(error("[600::1]:0").contains("no port"));
        for text in ["https://example.org", "@alice:example.org", "", "[600::1", "[600::1]8448", "a b", ":8448"] {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }
}
