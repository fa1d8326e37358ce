//! One HTTP request to a homeserver on its own host's loopback interface. HTTP/1.0, so that the answer simply ends with the connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::lab::Host;

/// The port for clients, which every homeserver here has on its loopback interface.
const CLIENTS: (&str, u16) = ("127.0.0.1", 8008);

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) token: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// Status and body; `None` if there was no whole answer within `timeout`.
pub(crate) fn ask(host: &Host, request: &Request<'_>, timeout: Duration) -> Option<(u16, Vec<u8>)> {
    let mut stream = host.within(|| TcpStream::connect(CLIENTS)).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    stream.set_nodelay(true).ok()?;
    let Request { method, path, token, content_type, body } = request;
    let length = body.len();
    let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let mut message = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{token}\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    message.extend_from_slice(body);
    stream.write_all(&message).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    let status = String::from_utf8(answer).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

/// A path segment or query value with everything escaped that is not plain.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
