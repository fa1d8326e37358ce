//! Lines of the control protocol to requests and answers. Whatever stands in a line, the result is a value or a typed error.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Answer, DEFAULT_TIMEOUT, Failure, FailureKind, MAX_TIMEOUT, Reply, Request, VERSION, parse_target};
use crate::ip::firewall::Protocol;
use crate::time::Duration;

/// Why a line is not an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a line of this protocol.
    #[error("the answer is not one of the control protocol: {0}")]
    Garbage(String),
    /// Of a version that this program does not speak.
    #[error("the daemon speaks version {0} of the control protocol and this program version {VERSION}")]
    Version(u64),
}

/// Reads a request.
///
/// # Errors
/// The [`Failure`] to answer with.
pub fn decode_request(line: &[u8]) -> Result<Request, Failure> {
    let bad = |message: String| Failure::new(FailureKind::BadRequest, message);
    let document: Value = serde_json::from_slice(line).map_err(|error| bad(format!("not a line of JSON: {error}")))?;
    let Value::Object(mut fields) = document else { return Err(bad("a request is a JSON object".to_owned())) };
    match fields.remove("version").map(|version| version.as_u64()) {
        Some(Some(VERSION)) => {}
        Some(Some(other)) => {
            let message = format!("this daemon speaks version {VERSION} of the control protocol, not {other}");
            return Err(Failure::new(FailureKind::UnsupportedVersion, message));
        }
        _ => return Err(bad(format!("a request has a version: \"version\":{VERSION}"))),
    }
    let Some(Value::String(command)) = fields.remove("command") else {
        return Err(bad("a request has a command: \"command\":\"status\"".to_owned()));
    };
    let arguments = Value::Object(fields);
    read_command(&command, arguments).map_err(|wrong| match wrong {
        Wrong::Command => Failure::new(FailureKind::UnknownCommand, "there is no such command".to_owned()),
        Wrong::Arguments(message) => bad(format!("{command}: {message}")),
    })
}

/// Reads the answer to `request`.
///
/// # Errors
/// [`AnswerError`] if the line is something else.
pub fn decode_reply(line: &[u8], request: &Request) -> Result<Reply, AnswerError> {
    #[derive(Deserialize)]
    struct Line {
        version: u64,
        #[serde(default, deserialize_with = "present")]
        ok: Option<Value>,
        error: Option<Value>,
    }
    let garbage = |error: serde_json::Error| AnswerError::Garbage(error.to_string());
    let Line { version, ok, error } = serde_json::from_slice(line).map_err(garbage)?;
    match (version, ok, error) {
        (VERSION, Some(ok), None) => answer_to(request, ok).map(Ok).map_err(garbage),
        (VERSION, None, Some(error)) => serde_json::from_value(error).map(Err).map_err(garbage),
        (VERSION, ..) => Err(AnswerError::Garbage("it has not exactly one of `ok` and `error`".to_owned())),
        (other, ..) => Err(AnswerError::Version(other)),
    }
}

fn answer_to(request: &Request, ok: Value) -> Result<Answer, serde_json::Error> {
    fn read<T: DeserializeOwned>(ok: Value, answer: fn(T) -> Answer) -> Result<Answer, serde_json::Error> {
        serde_json::from_value(ok).map(answer)
    }
    match request {
        Request::Status => read(ok, Answer::Status),
        Request::Peers => read(ok, Answer::Peers),
        Request::Tree => read(ok, Answer::Tree),
        Request::Snake => read(ok, Answer::Snake),
        Request::Sessions => read(ok, Answer::Sessions),
        Request::Lookup { .. } => read(ok, Answer::Lookup),
        Request::Ping { .. } => read(ok, Answer::Ping),
        Request::Trace { .. } => read(ok, Answer::Trace),
        Request::Path { .. } => read(ok, Answer::Path),
        Request::Watch => read(ok, Answer::Event),
        Request::Metrics => read(ok, |snapshot| Answer::Metrics(Box::new(snapshot))),
        Request::Firewall => read(ok, Answer::Firewall),
        Request::FirewallExplain { .. } => read(ok, Answer::Explanation),
        Request::PeerAdd { .. } | Request::PeerRemove { .. } => read(ok, |()| Answer::Done),
        Request::Reload { .. } => read(ok, Answer::Reload),
    }
}

enum Wrong {
    Command,
    Arguments(String),
}

fn read_command(command: &str, arguments: Value) -> Result<Request, Wrong> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoArguments {}
    let bare = |request: Request| read(arguments.clone()).map(|NoArguments {}| request);
    match command {
        "status" => bare(Request::Status),
        "peers" => bare(Request::Peers),
        "tree" => bare(Request::Tree),
        "snake" => bare(Request::Snake),
        "sessions" => bare(Request::Sessions),
        "lookup" => Question::read(arguments).map(|(target, timeout)| Request::Lookup { target, timeout }),
        "ping" => Question::read(arguments).map(|(target, timeout)| Request::Ping { target, timeout }),
        "trace" => Question::read(arguments).map(|(target, timeout)| Request::Trace { target, timeout }),
        "path" => Question::read(arguments).map(|(target, timeout)| Request::Path { target, timeout }),
        "watch" => bare(Request::Watch),
        "metrics" => bare(Request::Metrics),
        "firewall" => bare(Request::Firewall),
        "firewall_explain" => FirewallArguments::read(arguments),
        "peer_add" => PeerArgument::read(arguments).map(|uri| Request::PeerAdd { uri }),
        "peer_remove" => PeerArgument::read(arguments).map(|uri| Request::PeerRemove { uri }),
        "reload" => read(arguments).map(|ReloadArguments { dry_run }| Request::Reload { dry_run }),
        _ => Err(Wrong::Command),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadArguments {
    #[serde(default)]
    dry_run: bool,
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, Wrong> {
    serde_json::from_value(arguments).map_err(|error| Wrong::Arguments(error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    target: String,
    timeout_seconds: Option<f64>,
}

impl Question {
    fn read(arguments: Value) -> Result<(crate::node::Target, Duration), Wrong> {
        let Self { target, timeout_seconds } = read(arguments)?;
        let target = parse_target(&target).map_err(|error| Wrong::Arguments(error.to_string()))?;
        let timeout = match timeout_seconds {
            None => Some(DEFAULT_TIMEOUT),
            Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        };
        let in_bounds = |timeout: &Duration| !timeout.is_zero() && *timeout <= MAX_TIMEOUT;
        let Some(timeout) = timeout.filter(in_bounds) else {
            let most = MAX_TIMEOUT.as_secs();
            return Err(Wrong::Arguments(format!("timeout_seconds is more than 0 and at most {most}")));
        };
        Ok((target, timeout))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerArgument {
    uri: crate::config::PeerUri,
}

impl PeerArgument {
    fn read(arguments: Value) -> Result<crate::config::PeerUri, Wrong> {
        read(arguments).map(|Self { uri }| uri)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirewallArguments {
    target: String,
    protocol: Protocol,
    port: Option<u16>,
}

impl FirewallArguments {
    fn read(arguments: Value) -> Result<Request, Wrong> {
        let Self { target, protocol, port } = read(arguments)?;
        let source = parse_target(&target).map_err(|error| Wrong::Arguments(error.to_string()))?;
        let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp);
        match (has_ports, port) {
            (true, None) => Err(Wrong::Arguments("tcp and udp have a port".to_owned())),
            (false, Some(_)) => Err(Wrong::Arguments("only tcp and udp have a port".to_owned())),
            _ => Ok(Request::FirewallExplain { source, protocol, port }),
        }
    }
}

/// Tells `"ok":null`, which is an answer, from no `ok` at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
