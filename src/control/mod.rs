//! The control protocol: what `pineconectl` asks and what the daemon answers. Shared by both, so they cannot disagree.
//!
//! One JSON document per line in each direction, over the control socket; a connection may carry any number of requests, one
//! after the other. Every line has the protocol's version.
//!
//! ```text
//! → {"version":1,"command":"status"}
//! ← {"version":1,"ok":{"public_key":"…","address":"…",…}}
//! → {"version":1,"command":"lookup","target":"640:…","timeout_seconds":5.0}
//! ← {"version":1,"error":{"kind":"unreachable","message":"nobody answered …"}}
//! ```
//!
//! Commands: `status`, `peers`, `tree`, `snake`, `sessions`, `lookup`, `ping`, `trace` and `path` (`target`, optional `timeout_seconds`),
//! `firewall`, `firewall_explain` (`target`, `protocol`, `port`), `peer_add` and `peer_remove` (`uri`), `reload` (optional `dry_run`). What stands
//! after `ok` are the types of [`node::status`](crate::node::status), a [`Peers`] for `peers`, a [`ReloadReport`] for `reload`, and `null` for
//! `peer_add` and `peer_remove`. `docs/control-protocol.md` tells it to other programs.

mod decode;
mod reload;
pub mod events;

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

pub use decode::{AnswerError, decode_reply, decode_request};
pub use reload::ReloadReport;

use crate::addr::Destination;
use crate::config::PeerUri;
use crate::dns::name::key_of_name;
use crate::ip::firewall::Protocol;
use crate::metrics::Snapshot;
use crate::node::Target;
use crate::node::status::{Explanation, FirewallStatus, LookupAnswer, PathStatus, PeerStatus, PingAnswer};
use crate::node::status::{SessionStatus, SnakeStatus, Status, TraceAnswer, TreeStatus};
use crate::time::Duration;

/// The version that every line carries.
pub const VERSION: u64 = 1;
/// Longest request in bytes, with its line break. A request is a command and a URI or two: a thousandth of this would do.
pub const MAX_REQUEST_LEN: usize = 64 * 1024;
/// Longest answer in bytes that a client should take: a full snake table of 65,536 routes at about 200 bytes.
pub const MAX_ANSWER_LEN: usize = 16 * 1024 * 1024;
/// How long a `lookup` or `ping` waits if the request does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a `lookup` or `ping` may wait at most; each holds a place in the daemon's tables while it does.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The node at a glance.
    Status,
    /// All peerings.
    Peers,
    /// Our place in the tree.
    Tree,
    /// Our place in the snake.
    Snake,
    /// All sessions.
    Sessions,
    /// Who owns an address.
    Lookup {
        /// The address; a key stands for its node's address.
        target: Target,
        /// When to give up.
        timeout: Duration,
    },
    /// One overlay ping, answered inside a session.
    Ping {
        /// Whom.
        target: Target,
        /// When to give up.
        timeout: Duration,
    },
    /// Which way packets to a node go, hop by hop.
    Trace {
        /// To whom.
        target: Target,
        /// When to give up.
        timeout: Duration,
    },
    /// Which ways to a node there are.
    Path {
        /// To whom.
        target: Target,
        /// When to give up.
        timeout: Duration,
    },
    /// The firewall's rules and what it has done.
    Firewall,
    /// What the firewall would do with a packet.
    FirewallExplain {
        /// Where it comes from.
        source: Target,
        /// Of which protocol it is.
        protocol: Protocol,
        /// To which port, with TCP and UDP.
        port: Option<u16>,
    },
    /// Whatever happens from now on, until the connection ends.
    Watch,
    /// The numbers that metrics are made of.
    Metrics,
    /// Dial a peer from now on, until the daemon stops.
    PeerAdd {
        /// Where.
        uri: PeerUri,
    },
    /// Stop dialling a peer, and close the peering with it.
    PeerRemove {
        /// Where; options but `interface` do not matter.
        uri: PeerUri,
    },
    /// Read the configuration file again, and do what it says.
    Reload {
        /// Only tell what that would change.
        dry_run: bool,
    },
}

/// What the daemon answers if all is well.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Peers`].
    Peers(Peers),
    /// To [`Request::Tree`].
    Tree(TreeStatus),
    /// To [`Request::Snake`].
    Snake(SnakeStatus),
    /// To [`Request::Sessions`].
    Sessions(Vec<SessionStatus>),
    /// To [`Request::Lookup`].
    Lookup(LookupAnswer),
    /// To [`Request::Ping`].
    Ping(PingAnswer),
    /// To [`Request::Trace`].
    Trace(TraceAnswer),
    /// To [`Request::Path`].
    Path(PathStatus),
    /// To [`Request::Reload`].
    Reload(ReloadReport),
    /// To [`Request::Firewall`].
    Firewall(FirewallStatus),
    /// To [`Request::FirewallExplain`].
    Explanation(Explanation),
    /// To [`Request::Watch`], again and again.
    Event(events::Happened),
    /// To [`Request::Metrics`].
    Metrics(Box<Snapshot>),
    /// To [`Request::PeerAdd`] and [`Request::PeerRemove`].
    Done,
}

/// All peerings, and the peers that we want one with and have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Peerings that are up.
    pub peers: Vec<PeerStatus>,
    /// Peers that are to be dialled and are not connected.
    pub waiting: Vec<WaitingPeer>,
}

/// A peer that is to be dialled and is not connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingPeer {
    /// Where it is dialled.
    pub uri: String,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Why the last attempt failed, for people.
    pub last_error: Option<String>,
    /// Seconds until the next attempt; none while one is under way.
    pub next_attempt_seconds: Option<f64>,
}

/// The answer to one request.
pub type Reply = Result<Answer, Failure>;

/// Why a request was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people: what happened and what to do.
    pub message: String,
}

/// Kinds of failures, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request cannot be understood.
    BadRequest,
    /// The request's version is not ours.
    UnsupportedVersion,
    /// No such command.
    UnknownCommand,
    /// The request is longer than [`MAX_REQUEST_LEN`].
    TooLarge,
    /// Too many clients at a time.
    Busy,
    /// Nobody answered in time.
    Unreachable,
    /// What is to be added is there already.
    AlreadyThere,
    /// What is to be removed is not there.
    NotThere,
    /// The configuration file cannot be used; nothing was changed.
    BadConfig,
    /// The daemon is about to stop.
    Stopping,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

impl Failure {
    /// A failure of `kind`, in a sentence for people.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Request {
    /// The line that asks this, with its line break.
    pub fn to_line(&self) -> String {
        #[derive(Serialize)]
        struct Line {
            version: u64,
            command: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            target: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            timeout_seconds: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            uri: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            dry_run: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            protocol: Option<Protocol>,
            #[serde(skip_serializing_if = "Option::is_none")]
            port: Option<u16>,
        }
        let dry_run = if let Self::Reload { dry_run } = self { Some(*dry_run) } else { None };
        let (target, timeout_seconds) = match self {
            Self::Lookup { target, timeout }
            | Self::Ping { target, timeout }
            | Self::Trace { target, timeout }
            | Self::Path { target, timeout } => (Some(TargetText(*target).to_string()), Some(timeout.as_secs_f64())),
            Self::FirewallExplain { source, .. } => (Some(TargetText(*source).to_string()), None),
            _ => (None, None),
        };
        let (protocol, port) = match self {
            Self::FirewallExplain { protocol, port, .. } => (Some(*protocol), *port),
            _ => (None, None),
        };
        let uri = match self {
            // For the daemon, which is to dial: with the secrets.
            Self::PeerAdd { uri } | Self::PeerRemove { uri } => Some(uri.with_secrets().to_string()),
            _ => None,
        };
        let (version, command) = (VERSION, self.command());
        to_line(&Line { version, command, target, timeout_seconds, uri, dry_run, protocol, port })
    }

    /// The command's name in the protocol.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Peers => "peers",
            Self::Tree => "tree",
            Self::Snake => "snake",
            Self::Sessions => "sessions",
            Self::Lookup { .. } => "lookup",
            Self::Ping { .. } => "ping",
            Self::Trace { .. } => "trace",
            Self::Path { .. } => "path",
            Self::Watch => "watch",
            Self::Metrics => "metrics",
            Self::Firewall => "firewall",
            Self::FirewallExplain { .. } => "firewall_explain",
            Self::PeerAdd { .. } => "peer_add",
            Self::PeerRemove { .. } => "peer_remove",
            Self::Reload { .. } => "reload",
        }
    }
}

/// The line that answers a request, with its line break.
pub fn reply_line(reply: &Reply) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        version: u64,
        #[serde(flatten)]
        reply: Body<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Body<'a> {
        Ok(&'a Answer),
        Error(&'a Failure),
    }
    let reply = match reply {
        Ok(answer) => Body::Ok(answer),
        Err(failure) => Body::Error(failure),
    };
    to_line(&Line { version: VERSION, reply })
}

/// Neither map keys that are no strings nor failing `Serialize` implementations occur in our types, and nothing else can fail.
fn to_line(document: &impl Serialize) -> String {
    let mut line = serde_json::to_string(document).unwrap_or_default();
    line.push('\n');
    line
}

/// What is neither an overlay address nor a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither form.
    #[error(
        "a target is an overlay address, a public key of 64 hexadecimal digits, or a node's name under pinecone.internal"
    )]
    Neither,
    /// An IPv6 address of another network.
    #[error("{0} is not an overlay address; those are in 0600::/7")]
    Elsewhere(Ipv6Addr),
}

/// Reads an overlay address, a routed prefix (`…/64`), a public key or the name that a node has by its key.
///
/// # Errors
/// [`TargetError`] if it is none of these.
pub fn parse_target(text: &str) -> Result<Target, TargetError> {
    if let Some(key) = text.parse().ok().or_else(|| key_of_name(text)) {
        return Ok(Target::Key(key));
    }
    let (address, is_prefix) = text.strip_suffix("/64").map_or((text, false), |address| (address, true));
    let address: Ipv6Addr = address.parse().map_err(|_| TargetError::Neither)?;
    match Destination::of(address).ok_or(TargetError::Elsewhere(address))? {
        Destination::Node(_) if is_prefix => Err(TargetError::Neither),
        destination => Ok(Target::Address(destination)),
    }
}

/// A target as [`parse_target`] reads it.
#[derive(Clone, Copy, Debug)]
pub struct TargetText(pub Target);

impl fmt::Display for TargetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Key(key) => key.fmt(f),
            Target::Address(destination) => destination.ip().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
