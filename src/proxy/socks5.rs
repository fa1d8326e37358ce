//! SOCKS version 5 (RFC 1928) with user name and password (RFC 1929).
//!
//! ```text
//! us    05 | count | methods                             00: none, 02: user name and password
//! proxy 05 | method
//! us    01 | length | user | length | password           if the method is 02
//! proxy 01 | status                                      00: welcome
//! us    05 | 01 | 00 | type | address | port             type 01: IPv4, 03: length and name, 04: IPv6
//! proxy 05 | reply | 00 | type | address | port          reply 00: connected; the address says nothing to us
//! ```

use std::net::IpAddr;

use zeroize::Zeroize;

use super::{ProxyError, target};
use crate::config::{Host, Login};

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const NO_LOGIN: u8 = 0;
const PASSWORD_LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) struct Socks5 {
    login: Option<Login>,
    host: Host,
    port: u16,
    state: State,
    answer: Vec<u8>,
    out: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Login,
    Reply,
    Open,
}

impl Socks5 {
    pub(super) fn new(login: Option<Login>, host: Host, port: u16) -> Self {
        // Both, because a proxy may need no login; Tor takes ours where it is offered, and keeps circuits of different logins apart.
        let greeting = match login {
            Some(_) => vec![VERSION, 2, NO_LOGIN, PASSWORD_LOGIN],
            None => vec![VERSION, 1, NO_LOGIN],
        };
        Self { login, host, port, state: State::Method, answer: Vec::new(), out: Some(greeting) }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.take()
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn handle_byte(&mut self, byte: u8) -> Result<(), ProxyError> {
        self.answer.push(byte);
        let version = if self.state == State::Login { LOGIN_VERSION } else { VERSION };
        if self.answer.first() != Some(&version) {
            return Err(ProxyError::NotSocks5);
        }
        match (self.state, self.answer.as_slice()) {
            (State::Method, [_, method]) => self.handle_method(*method)?,
            (State::Login, [_, 0]) => self.request(),
            (State::Login, [_, _]) => return Err(ProxyError::LoginRefused),
            // An error is told by its first bytes; some proxies close the connection behind them.
            (State::Reply, [_, reply]) if *reply != 0 => return Err(self.failure(*reply)),
            (State::Reply, [_, _, _, kind, address @ ..]) => {
                // Never more than 5 + 255 + 2 bytes.
                let len = match (*kind, address.first()) {
                    (IPV4, _) => 4,
                    (IPV6, _) => 16,
                    (NAME, None) => return Ok(()),
                    (NAME, Some(len)) => 1 + usize::from(*len),
                    _ => return Err(ProxyError::NotSocks5),
                };
                if address.len() == len + 2 {
                    self.state = State::Open;
                    self.answer.clear();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_method(&mut self, method: u8) -> Result<(), ProxyError> {
        match (method, &self.login) {
            (NO_LOGIN, _) => self.request(),
            (PASSWORD_LOGIN, Some(login)) => {
                let mut message = vec![LOGIN_VERSION];
                for part in [login.user(), login.password()] {
                    // Checked when the URI was read.
                    message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                    message.extend(part.bytes().take(usize::from(u8::MAX)));
                }
                self.out = Some(message);
                self.state = State::Login;
                self.answer.clear();
            }
            (PASSWORD_LOGIN | NO_METHOD, None) => return Err(ProxyError::NeedsLogin),
            _ => return Err(ProxyError::NoCommonLogin),
        }
        Ok(())
    }

    fn request(&mut self) {
        let mut message = vec![VERSION, CONNECT, 0];
        match &self.host {
            Host::Ip(IpAddr::V4(ip)) => {
                message.push(IPV4);
                message.extend(ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                message.push(IPV6);
                message.extend(ip.octets());
            }
            Host::Name(name) => {
                // At most 253 bytes, as every name.
                message.extend([NAME, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
                message.extend(name.bytes().take(usize::from(u8::MAX)));
            }
        }
        message.extend(self.port.to_be_bytes());
        self.out = Some(message);
        self.state = State::Reply;
        self.answer.clear();
    }

    /// RFC 1928 §6; from F0 on Tor's own (proposal 304).
    fn failure(&self, reply: u8) -> ProxyError {
        let target = target(&self.host, self.port);
        let refused = |reason: &str| ProxyError::Refused { target: target.clone(), reason: reason.to_owned() };
        let unreached = |reason: &str| ProxyError::CannotReach { target: target.clone(), reason: reason.to_owned() };
        match reply {
            1 => unreached("it gives no reason"),
            2 => refused("its rules forbid it"),
            3 => unreached("the network is unreachable"),
            4 => unreached("the host is unreachable, or its name is unknown"),
            5 => unreached("the connection was refused"),
            6 => unreached("it took too long"),
            7 => refused("it makes no outgoing connections"),
            8 => refused("it does not take this kind of address"),
            0xf0 => unreached("the onion service is not there"),
            0xf1 => unreached("the onion service's descriptor is not right"),
            0xf2 | 0xf3 | 0xf7 => unreached("the onion service does not answer"),
            0xf4 | 0xf5 => refused("the onion service wants a key of its clients"),
            0xf6 => refused("this is not the address of an onion service"),
            other => unreached(&format!("SOCKS5 reply {other}")),
        }
    }
}

impl Drop for Socks5 {
    fn drop(&mut self) {
        self.out.zeroize();
    }
}
