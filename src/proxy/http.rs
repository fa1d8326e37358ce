//! HTTP's CONNECT (RFC 9110 §9.3.6) with a Basic login (RFC 7617).
//!
//! Of the answer only the status counts. The tunnel begins behind the empty line, whatever a 2xx answer says of its length.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::{MAX_ANSWER, ProxyError, target};
use crate::config::{Host, Login};

pub(super) struct Connect {
    target: String,
    has_login: bool,
    out: Option<Vec<u8>>,
    /// The line that is being read, without its end.
    line: Vec<u8>,
    status: Option<u16>,
    taken: usize,
    open: bool,
}

impl Connect {
    pub(super) fn new(login: Option<&Login>, host: &Host, port: u16) -> Self {
        let target = target(host, port);
        let login_line = login.map_or_else(Zeroizing::default, |login| {
            let text = Zeroizing::new(format!("{}:{}", login.user(), login.password()));
            Zeroizing::new(format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(text.as_bytes())))
        });
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", *login_line);
        Self {
            target,
            has_login: login.is_some(),
            out: Some(request.into_bytes()),
            line: Vec::new(),
            status: None,
            taken: 0,
            open: false,
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.take()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn handle_byte(&mut self, byte: u8) -> Result<(), ProxyError> {
        self.taken += 1;
        if self.taken > MAX_ANSWER {
            return Err(ProxyError::TooLong);
        }
        if byte != b'\n' {
            self.line.push(byte);
            // Not to wait for the end of a line that never comes from something else.
            let start = &self.line[..self.line.len().min(5)];
            let is_http = self.status.is_some() || b"HTTP/".starts_with(start);
            return if is_http { Ok(()) } else { Err(ProxyError::NotHttp) };
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.status {
            None => self.status = Some(status(line).ok_or(ProxyError::NotHttp)?),
            Some(status) if line.is_empty() => self.handle_status(status)?,
            Some(_) => {}
        }
        Ok(())
    }

    fn handle_status(&mut self, status: u16) -> Result<(), ProxyError> {
        let target = self.target.clone();
        let reason = match status {
            // Something is under way; the answer follows.
            100..200 => {
                self.status = None;
                return Ok(());
            }
            200..300 => {
                self.open = true;
                return Ok(());
            }
            407 if self.has_login => return Err(ProxyError::LoginRefused),
            407 => return Err(ProxyError::NeedsLogin),
            502..=504 => {
                return Err(ProxyError::CannotReach { target, reason: format!("HTTP status {status}") });
            }
            403 => "its rules forbid it (HTTP status 403); many allow port 443 only".to_owned(),
            405 | 501 => format!("it does not connect others (HTTP status {status})"),
            _ => format!("HTTP status {status}"),
        };
        Err(ProxyError::Refused { target, reason })
    }
}

/// The status of `HTTP/1.x nnn reason`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [version, b' ', digits @ ..] = rest else { return None };
    let (digits, reason) = digits.split_at_checked(3)?;
    let is_status =
        version.is_ascii_digit() && digits.iter().all(u8::is_ascii_digit) && matches!(reason, [] | [b' ', ..]);
    if !is_status {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
