//! Proxies to dial peers through: `socks5://[user:password@]host:port` and `http://[user:password@]host:port`.
//!
//! They stand in the `?proxy=` of a peer's URI and in `peering.proxy`. User and password are percent-encoded; nothing else in the value
//! is, so it ends at the next `&`. `Display` and `Debug` hide the login: whoever needs it asks for [`ProxyUri::with_login`].

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::parts::split_port;
use super::{Host, UriError, is_overlay, percent};
use crate::config::values::deserialize_from_str;

/// Longest user name and password, in bytes (RFC 1929 §2).
const MAX_CREDENTIAL: usize = 255;
/// Stands for a login where it is not to be seen.
const HIDDEN: &str = "***";

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyKind {
    /// SOCKS version 5 (RFC 1928), with a user name and password if there are any (RFC 1929).
    Socks5,
    /// HTTP's CONNECT (RFC 9110 §9.3.6).
    Http,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyUri {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is.
    pub host: Host,
    /// Its port, never 0.
    pub port: u16,
    /// Who we are for it.
    pub login: Option<Login>,
}

/// A user name and password, 1 to 255 bytes each (the password may be empty). Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// The user name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    fn parse(text: &str, kind: ProxyKind) -> Option<Self> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let clean = |text: &str| percent::decode(text).filter(|text| text.len() <= MAX_CREDENTIAL);
        let (user, password) = (clean(user)?, clean(password)?);
        // In HTTP's Basic scheme the first colon ends the user name (RFC 7617 §2).
        let is_cut = kind == ProxyKind::Http && user.contains(':');
        (!user.is_empty() && !is_cut).then_some(Self { user, password })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl ProxyUri {
    /// The text with the login in it, for those who may see it.
    pub fn with_login(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write(f, true))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, with_login: bool) -> fmt::Result {
        f.write_str(match self.kind {
            ProxyKind::Socks5 => "socks5://",
            ProxyKind::Http => "http://",
        })?;
        match &self.login {
            Some(login) if with_login => {
                percent::encode(f, &login.user, b"")?;
                f.write_str(":")?;
                percent::encode(f, &login.password, b"")?;
                f.write_str("@")?;
            }
            Some(_) => write!(f, "{HIDDEN}@")?,
            None => {}
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for ProxyUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::BadProxy)?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "socks5" => ProxyKind::Socks5,
            "http" => ProxyKind::Http,
            _ => return Err(UriError::BadProxy),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(Login::parse(login, kind).ok_or(UriError::BadProxyLogin)?), rest),
            None => (None, rest),
        };
        let (host, port) = split_port(rest).map_err(|_| UriError::BadProxy)?;
        let host = Host::parse(host).map_err(|_| UriError::BadProxy)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(UriError::BadProxy)?;
        match host {
            Host::Ip(ip) if is_overlay(ip) => Err(UriError::Overlay),
            Host::Ip(ip) if ip.is_unspecified() => Err(UriError::BadProxy),
            host => Ok(Self { kind, host, port, login }),
        }
    }
}

impl fmt::Display for ProxyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

deserialize_from_str!(ProxyUri, "a proxy such as \"socks5://127.0.0.1:9050\"");

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Result<ProxyUri, UriError> {
        text.parse()
    }

    #[test]
    fn a_proxy_is_a_kind_a_place_and_perhaps_a_login() {
        let tor = proxy("SOCKS5://127.0.0.1:9050").unwrap();
        assert_eq!((tor.kind, tor.port, tor.login.is_none()), (ProxyKind::Socks5, 9050, true));
        assert_eq!(tor.to_string(), "socks5://127.0.0.1:9050");
        let web = proxy("http://me:p%40ss%26%25%3A:x@[2001:db8::1]:3128").unwrap();
        let login = web.login.as_ref().unwrap();
        assert_eq!((login.user(), login.password()), ("me", "p@ss&%::x"));
        assert_eq!(web.with_login().to_string(), "http://me:p%40ss%26%25%3A%3Ax@[2001:db8::1]:3128");
        let text = web.with_login().to_string();
        assert_eq!(proxy(&text), Ok(web));
        assert_eq!(proxy("socks5://me@proxy.example:1").unwrap().login.unwrap().password(), "");
    }

    #[test]
    fn a_login_is_never_printed() {
        let proxy = proxy("socks5://joshua:hunter2@proxy.example:1080").unwrap();
        for shown in [proxy.to_string(), format!("{proxy:?}"), format!("{proxy:#?}")] {
            assert!(!shown.contains("hunter2") && !shown.contains("joshua"), "{shown}");
        }
        assert_eq!(proxy.to_string(), "socks5://***@proxy.example:1080");
    }

    #[test]
    fn what_is_wrong_with_a_proxy_is_told_without_repeating_it() {
        for wrong in ["", "127.0.0.1:9050", "socks4://h:1", "socks5://h", "socks5://h:0", "socks5://h:1/", "http://:1"]
        {
            assert_eq!(proxy(wrong), Err(UriError::BadProxy), "{wrong}");
        }
        let long = format!("socks5://me:{}@h:1", "x".repeat(256));
        for wrong in ["socks5://@h:1", "socks5://:x@h:1", "socks5://a%zz@h:1", "http://a%3Ab:c@h:1", &long] {
            assert_eq!(proxy(wrong), Err(UriError::BadProxyLogin), "{wrong}");
        }
        assert_eq!(proxy("socks5://[600::1]:1"), Err(UriError::Overlay));
        assert_eq!(proxy("socks5://0.0.0.0:1"), Err(UriError::BadProxy));
    }
}
