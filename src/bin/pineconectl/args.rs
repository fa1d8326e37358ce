//! The command line.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use pinecone::config::{DEFAULT_KEY_FILE, DEFAULT_SOCKET, PeerUri};
use pinecone::control::MAX_TIMEOUT;
use pinecone::ip::firewall::Protocol;

use crate::matrix::MatrixCommand;
use crate::names::{Whom, parse_whom};

const EXIT_CODES: &str =
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon not running, 4 permission, 5 timeout or unreachable.";

/// Controls a running pineconed
#[derive(Debug, Parser)]
#[command(name = "pineconectl", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "PINECONE_SOCKET", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Seconds to wait for an answer, at most 300
    #[arg(long, global = true, value_name = "S", default_value = "10", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The node at a glance
    Status,
    /// Peerings, and peers that are to be dialled and are not connected
    Peers,
    /// This node's place in the spanning tree
    Tree,
    /// This node's place in the snake, and its routing table
    Snake,
    /// Encrypted sessions with other nodes
    Sessions,
    /// Find out which node owns an overlay address or a name
    Lookup {
        /// An overlay address, a public key, or a name under pinecone.internal
        #[arg(value_parser = parse_whom)]
        target: Whom,
    },
    /// Measure the round-trip time to a node, inside a session
    Ping(PingOptions),
    /// Show which nodes a packet to a node passes, and why each forwards as it does
    Trace {
        /// An overlay address, a public key or a name
        #[arg(value_parser = parse_whom)]
        target: Whom,
    },
    /// Show the ways to a node that are known, how long they take, and why the present one was chosen
    Path {
        /// An overlay address, a public key or a name
        #[arg(value_parser = parse_whom)]
        target: Whom,
    },
    /// Add or remove peers while the daemon runs
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Read the configuration file again and follow it; a file with a mistake changes nothing
    Reload {
        /// Only show what would change, and what needs a restart
        #[arg(long)]
        dry_run: bool,
    },
    /// Wait for --timeout seconds until the daemon runs, has peers, reaches a node; exit code 5 if it does not
    Wait(WaitOptions),
    /// Set up, test and nudge Matrix homeservers on the mesh
    #[command(subcommand)]
    Matrix(MatrixCommand),
    /// The metrics as Prometheus text, for example for a textfile collector
    Metrics,
    /// The firewall's rules with the packets each let in, and what it would do with a packet
    Firewall {
        #[command(subcommand)]
        command: Option<FirewallCommand>,
    },
    /// The node live: peers, sessions, rates, its place in the tree; q quits
    #[cfg(feature = "tui")]
    Top(TopOptions),
    /// Print what happens, as it happens: peers, sessions, the root, our coordinates
    Watch,
    /// Draw what this node knows of the tree and of the snake
    Map(MapOptions),
    /// Look at everything that usually goes wrong, and say what is wrong and what to type
    Doctor(DoctorOptions),
    /// Look at the configuration as the daemon reads it; needs no daemon
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make and look at private key files; needs no daemon
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Args)]
pub(crate) struct PingOptions {
    /// An overlay address, a public key, or a name under pinecone.internal
    #[arg(value_parser = parse_whom)]
    pub(crate) target: Whom,

    /// How many to send
    #[arg(short, long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// Seconds between an answer and the next ping, 0.01 to 3600
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct WaitOptions {
    /// Wait until there are so many peerings
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) peers: usize,

    /// Wait until this node answers: an overlay address, a public key or a name
    #[arg(long, value_name = "TARGET", value_parser = parse_whom)]
    pub(crate) route: Option<Whom>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// Dial a peer until the daemon stops (to keep it, name it in peering.peers)
    Add {
        /// For example tcp://192.0.2.1:7463 or ws://node.example.org:80/path
        #[arg(value_parser = PeerUriParser)]
        uri: Box<PeerUri>,
    },
    /// Stop dialling a peer and close the peering
    Remove {
        /// As it was added
        #[arg(value_parser = PeerUriParser)]
        uri: Box<PeerUri>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FirewallCommand {
    /// Say whether a packet that opens something would be let in, and which rule decides
    Explain(ExplainOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// Who sends it: a public key, an overlay address or a name
    #[arg(value_name = "KEY|ADDRESS|NAME", value_parser = parse_whom)]
    pub(crate) source: Whom,

    /// To which port of this host; tcp and udp need one
    #[arg(value_name = "PORT", required_unless_present = "protocol")]
    pub(crate) port: Option<u16>,

    /// tcp, udp, icmp, or any for one that is none of these
    #[arg(long, default_value = "tcp", value_parser = parse_protocol)]
    pub(crate) protocol: Protocol,
}

#[cfg(feature = "tui")]
#[derive(Debug, Args)]
pub(crate) struct TopOptions {
    /// Seconds between looks, 0.01 to 3600
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct MapOptions {
    /// The file to write: an SVG picture, or a page if its name ends in .html; without it standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Make a page of HTML, whatever the file is called
    #[arg(long)]
    pub(crate) html: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// The daemon's configuration; without it the one that the daemon looks for
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what the file sets, or with --effective every key; secrets are masked
    Show(ConfigShow),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    /// The file; without it the one that the daemon looks for
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Every key, also those that the file leaves at their defaults
    #[arg(long)]
    pub(crate) effective: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a private key, in FILE (never overwritten) or else on standard output
    Generate {
        /// The file to make
        file: Option<PathBuf>,
    },
    /// Show the public key, address and subnet of a private key file
    Show {
        /// The private key file
        #[arg(default_value = DEFAULT_KEY_FILE)]
        file: PathBuf,
    },
    /// Show only the overlay address of a private key file
    Address {
        /// The private key file
        #[arg(default_value = DEFAULT_KEY_FILE)]
        file: PathBuf,
    },
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    seconds_within(text, Duration::from_millis(1), MAX_TIMEOUT)
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "icmp" => Ok(Protocol::Icmp),
        "any" => Ok(Protocol::Any),
        _ => Err("tcp, udp, icmp or any".to_owned()),
    }
}

/// More often than every 10 ms would measure the control socket.
fn parse_interval(text: &str) -> Result<Duration, String> {
    seconds_within(text, Duration::from_millis(10), Duration::from_secs(3600))
}

/// Parses a peer's URI. clap's own way would repeat a wrong one in the error, and there may be a password in it.
#[derive(Clone, Copy, Debug)]
struct PeerUriParser;

impl TypedValueParser for PeerUriParser {
    type Value = Box<PeerUri>;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Box<PeerUri>, clap::Error> {
        let wrong = |what: &dyn std::fmt::Display| {
            cmd.clone().error(ErrorKind::ValueValidation, format!("the peer's URI is wrong: {what}"))
        };
        let text = value.to_str().ok_or_else(|| wrong(&"it is not UTF-8"))?;
        text.parse::<PeerUri>().map(Box::new).map_err(|error| wrong(&error))
    }
}

pub(crate) fn seconds_within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let (low, high) = (least.as_secs_f64(), most.as_secs_f64());
    span.filter(|span| (least..=most).contains(span)).ok_or_else(|| format!("seconds from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn spans_are_seconds_within_bounds() {
        assert_eq!(parse_timeout("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_timeout("300"), Ok(Duration::from_secs(300)));
        for wrong in ["0", "-1", "301", "nan", "inf", "5s", "", "1e99"] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
        assert!(parse_interval("0.001").is_err());
    }
}
