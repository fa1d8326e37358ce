//! Asking a proxy for a connection to a peer: SOCKS5 and HTTP CONNECT, as a machine without I/O.
//!
//! Names go to the proxy as names: it resolves them, so nothing of them reaches the name service of this host, and names that only
//! the proxy knows (`.onion`) work. What the proxy may say is bounded by [`MAX_ANSWER`].
//!
//! Written here although there are crates: those for SOCKS5 (tokio-socks, fast-socks5) come with servers or runtimes of their own, know no
//! CONNECT, and give errors that do not tell a person what to do; what is needed of both protocols is less than the glue would be.
//!
//! ```text
//! loop { write all of poll_transmit(); if is_open() { break }; consumed = handle_read(bytes)? }
//! ```

pub(crate) mod fuzz_body;
mod http;
mod socks5;

use crate::config::{Host, ProxyKind, ProxyUri};

/// Most bytes that a proxy may say before the connection is there: what common HTTP servers send as headers at most.
pub const MAX_ANSWER: usize = 8 << 10;

/// Why a proxy gives no connection. The texts follow "the proxy", its address and a colon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The first byte of its answer is not that of SOCKS5.
    #[error("it does not speak SOCKS5; if it is an HTTP proxy, write proxy=http://…")]
    NotSocks5,
    /// What it says is not HTTP.
    #[error("it does not answer as HTTP proxies do; if it is a SOCKS5 proxy, write proxy=socks5://…")]
    NotHttp,
    /// It wants a login and has none from us.
    #[error("it needs a user name and password: write them before its host, as user:password@")]
    NeedsLogin,
    /// It did not take our login.
    #[error("it refused our user name and password")]
    LoginRefused,
    /// It takes none of the ways to say who we are.
    #[error("it wants a way to log in that we do not have (we have user name and password, or none)")]
    NoCommonLogin,
    /// It may not or will not do it.
    #[error("it refused to connect us to {target}: {reason}")]
    Refused {
        /// The peer.
        target: String,
        /// What it said.
        reason: String,
    },
    /// It tried and failed.
    #[error("it cannot connect to {target}: {reason}")]
    CannotReach {
        /// The peer.
        target: String,
        /// What it said.
        reason: String,
    },
    /// It says more than it may.
    #[error("it answered with more than {MAX_ANSWER} bytes")]
    TooLong,
}

/// A conversation with a proxy, from the first byte to the open connection.
pub struct Handshake(Kind);

impl std::fmt::Debug for Handshake {
    /// Without what it is about to send, which may be a login.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handshake(..)")
    }
}

enum Kind {
    Socks5(socks5::Socks5),
    Http(http::Connect),
}

impl Handshake {
    /// Will ask `proxy` for a connection to `host` and `port`.
    pub fn new(proxy: &ProxyUri, host: &Host, port: u16) -> Self {
        let login = proxy.login.clone();
        Self(match proxy.kind {
            ProxyKind::Socks5 => Kind::Socks5(socks5::Socks5::new(login, host.clone(), port)),
            ProxyKind::Http => Kind::Http(http::Connect::new(login.as_ref(), host, port)),
        })
    }

    /// Bytes for the proxy, if there are any now.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match &mut self.0 {
            Kind::Socks5(socks5) => socks5.poll_transmit(),
            Kind::Http(http) => http.poll_transmit(),
        }
    }

    /// Takes bytes of the proxy. Returns how many of them were its own; those behind them are the peer's.
    ///
    /// # Errors
    /// There will be no connection.
    pub fn handle_read(&mut self, bytes: &[u8]) -> Result<usize, ProxyError> {
        for (consumed, byte) in bytes.iter().enumerate() {
            if self.is_open() {
                return Ok(consumed);
            }
            match &mut self.0 {
                Kind::Socks5(socks5) => socks5.handle_byte(*byte)?,
                Kind::Http(http) => http.handle_byte(*byte)?,
            }
        }
        Ok(bytes.len())
    }

    /// Whether what follows is between us and the peer.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Kind::Socks5(socks5) => socks5.is_open(),
            Kind::Http(http) => http.is_open(),
        }
    }
}

fn target(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests;
