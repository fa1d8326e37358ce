//! The text of a URI cut into its parts, and each part but the options understood.

use std::net::{IpAddr, Ipv4Addr};

use super::error::MAX_LEN;
use super::{Host, Scheme, UriError};

/// Longest DNS name in bytes (RFC 1035 §2.3.4, without the root's dot).
const MAX_NAME: usize = 253;
/// Longest DNS label in bytes (RFC 1035 §2.3.4).
pub(super) const MAX_LABEL: usize = 63;

/// A URI cut up, with nothing but the scheme understood.
pub(super) struct Parts<'a> {
    pub(super) scheme: Scheme,
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    /// With its slash, if there is one. All that `unix://` has.
    pub(super) path: &'a str,
    pub(super) options: Option<&'a str>,
}

impl<'a> Parts<'a> {
    pub(super) fn split(text: &'a str) -> Result<Self, UriError> {
        if text.len() > MAX_LEN {
            return Err(UriError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UriError::NoScheme)?;
        let scheme = Scheme::parse(scheme)?;
        let (rest, options) = match rest.split_once('?') {
            Some((rest, options)) => (rest, Some(options)),
            None => (rest, None),
        };
        if rest.contains('#') {
            return Err(UriError::Path);
        }
        if scheme == Scheme::Unix {
            return Ok(Self { scheme, host: "", port: "", path: rest, options });
        }
        let (rest, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if rest.contains('@') {
            return Err(UriError::UserInfo);
        }
        let (host, port) = split_port(rest)?;
        Ok(Self { scheme, host, port, path, options })
    }
}

/// `host:port` in two. An IPv6 address keeps its opening bracket, and the port is not empty and all digits.
pub(super) fn split_port(text: &str) -> Result<(&str, &str), UriError> {
    let (host, port) = if text.starts_with('[') {
        let (host, after) = text.split_once(']').ok_or(UriError::BadIpv6)?;
        let port = after.strip_prefix(':').ok_or(UriError::NoPort)?;
        (host, port)
    } else {
        if text.matches(':').count() > 1 {
            return Err(UriError::NoBrackets);
        }
        text.split_once(':').ok_or(if text.is_empty() { UriError::NoHost } else { UriError::NoPort })?
    };
    // `u16::from_str` takes a leading plus sign.
    if port.is_empty() {
        return Err(UriError::NoPort);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UriError::BadPort);
    }
    Ok((host, port))
}

impl Scheme {
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        if text.is_empty() {
            return Err(UriError::NoScheme);
        }
        let schemes = [
            ("tcp", Self::Tcp),
            ("ws", Self::Ws),
            ("tls", Self::Tls),
            ("wss", Self::Wss),
            ("quic", Self::Quic),
            ("unix", Self::Unix),
        ];
        for (name, scheme) in schemes {
            if text.eq_ignore_ascii_case(name) {
                return Ok(scheme);
            }
        }
        Err(UriError::UnknownScheme)
    }
}

impl Host {
    /// `text` keeps the opening bracket of an IPv6 address, so that one without brackets is told from a name.
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        if text.is_empty() || text == "[" {
            return Err(UriError::NoHost);
        }
        if text.contains('%') {
            return Err(UriError::Zone);
        }
        if let Some(text) = text.strip_prefix('[') {
            return text.parse().map(|ip| Self::Ip(IpAddr::V6(ip))).map_err(|_| UriError::BadIpv6);
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        // A name whose last label is a number would be taken for an IPv4 address by resolvers (WHATWG URL, "ends in a number").
        let name = text.to_ascii_lowercase();
        let ends_in_number =
            name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() > MAX_NAME || ends_in_number || !name.split('.').all(is_label) {
            return Err(UriError::BadHost);
        }
        Ok(Self::Name(name))
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(allowed) && !label.starts_with('-')
}

/// The path of a peer's URI. The root alone says no more than no path.
pub(super) fn parse_path(scheme: Scheme, path: &str) -> Result<String, UriError> {
    match scheme {
        Scheme::Tcp | Scheme::Tls | Scheme::Quic if path.is_empty() => Ok(String::new()),
        Scheme::Tcp | Scheme::Tls | Scheme::Quic | Scheme::Unix => Err(UriError::Path),
        Scheme::Ws | Scheme::Wss if path == "/" => Ok(String::new()),
        Scheme::Ws | Scheme::Wss if is_path(path) => Ok(path.to_owned()),
        Scheme::Ws | Scheme::Wss => Err(UriError::BadPath),
    }
}

/// Whether all of `path` may stand in the path of a URI (RFC 3986 §3.3).
fn is_path(path: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    let mut escapes = path.split('%');
    let plain = escapes.next().unwrap_or_default();
    plain.bytes().all(allowed)
        && escapes.all(|after| {
            let (digits, rest) = after.as_bytes().split_at(after.len().min(2));
            digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit) && rest.iter().all(|byte| allowed(*byte))
        })
}
