//! The options of a URI: what stands behind its `?`.

use super::{ProxyUri, Rate, UriError};
use crate::config::values::InterfaceName;
use crate::discovery::MAX_PRIORITY;
use crate::keys::PublicKey;
use crate::link::PeerPassword;
use crate::node::PeerPolicy;
use crate::time::Duration;

/// Longest waiting time between attempts that can be asked for; beyond a day one would remove the peer.
const MAX_BACKOFF: Duration = Duration::from_secs(24 * 3600);

/// The options that one kind of URI takes, as errors list them.
pub(super) type OptionNames = &'static str;
pub(super) const PEER_OPTIONS: OptionNames = "key, password, max_backoff, interface, proxy, priority, max_rate";
pub(super) const LISTEN_OPTIONS: OptionNames = "password, interface, group, priority, max_rate";

#[derive(Default)]
pub(super) struct Options {
    pub(super) key: Option<PublicKey>,
    pub(super) password: Option<PeerPassword>,
    pub(super) max_backoff: Option<Duration>,
    pub(super) interface: Option<InterfaceName>,
    pub(super) proxy: Option<ProxyUri>,
    pub(super) group: Option<String>,
    pub(super) priority: Option<u8>,
    pub(super) max_rate: Option<Rate>,
}

impl Options {
    pub(super) fn parse(&mut self, text: Option<&str>, names: OptionNames) -> Result<(), UriError> {
        let Some(text) = text else { return Ok(()) };
        for (index, option) in text.split('&').enumerate() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "key" if names == PEER_OPTIONS => {
                    once(&mut self.key, "key", value.parse().map_err(|_| UriError::BadKey)?)?;
                }
                "password" => once(&mut self.password, "password", value.parse().map_err(UriError::BadPassword)?)?,
                "max_backoff" if names == PEER_OPTIONS => {
                    once(&mut self.max_backoff, "max_backoff", parse_span(value).ok_or(UriError::BadBackoff)?)?;
                }
                "interface" => {
                    once(&mut self.interface, "interface", value.parse().map_err(UriError::BadInterface)?)?;
                }
                "proxy" if names == PEER_OPTIONS => once(&mut self.proxy, "proxy", value.parse()?)?,
                "group" if names == LISTEN_OPTIONS => {
                    once(&mut self.group, "group", parse_group(value).ok_or(UriError::BadGroup)?)?;
                }
                "priority" => {
                    once(&mut self.priority, "priority", parse_priority(value).ok_or(UriError::BadPriority)?)?
                }
                "max_rate" => once(&mut self.max_rate, "max_rate", value.parse().map_err(|()| UriError::BadRate)?)?,
                _ => return Err(UriError::UnknownOption(index + 1, names)),
            }
        }
        Ok(())
    }
}

impl Options {
    /// What is wanted of the peering.
    pub(super) fn policy(&self) -> PeerPolicy {
        PeerPolicy { priority: self.priority.unwrap_or(0), max_rate: self.max_rate.map(|rate| rate.0) }
    }
}

/// A group by name or number.
fn parse_group(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
    (!text.is_empty() && text.bytes().all(allowed)).then(|| text.to_owned())
}

fn parse_priority(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|priority| is_number && *priority <= MAX_PRIORITY)
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    if slot.replace(value).is_some() { Err(UriError::RepeatedOption(name)) } else { Ok(()) }
}

/// A whole number and its unit: `s`, `m` or `h`.
fn parse_span(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let span = Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?);
    (Duration::from_secs(1)..=MAX_BACKOFF).contains(&span).then_some(span)
}
