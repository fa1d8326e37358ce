//! The command line of `pineconectl matrix`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum MatrixCommand {
    /// Write server name, certificate and settings for a homeserver on this node into a directory
    Init(InitOptions),
    /// Print the server name of a homeserver on this node
    Name(NameOptions),
    /// Test a homeserver through the mesh, step by step, and say what is wrong
    Check {
        /// As its owner has it in the settings, with the port
        server_name: String,
    },
    /// Have Synapse try again at once the homeservers that it had set aside and that can be reached
    Nudge(SynapseOptions),
    /// Nudge Synapse whenever a homeserver is back, until stopped
    Watch {
        #[command(flatten)]
        synapse: SynapseOptions,

        /// Seconds between looks, 0.1 to 3600
        #[arg(short, long, value_name = "S", default_value = "2", value_parser = parse_interval)]
        interval: Duration,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// Where to write; the settings name the certificate by this path
    #[arg(long, value_name = "DIR", default_value = "/etc/pinecone/matrix")]
    pub(crate) dir: PathBuf,

    /// What to write settings for; all of them unless given
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1..)]
    pub(crate) server: Vec<Server>,

    #[command(flatten)]
    pub(crate) name: NameOptions,

    /// Replace files that are there already
    #[arg(long)]
    pub(crate) force: bool,
}

/// Whose homeserver, and what it is called.
#[derive(Debug, Args)]
pub(crate) struct NameOptions {
    /// Which of the node's two server names; a homeserver keeps its name for ever
    #[arg(long = "name", value_enum, default_value = "address")]
    pub(crate) kind: NameKind,

    /// The port that other homeservers connect to
    #[arg(long, default_value = "8448", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Take the node's key from this private key file instead of asking the daemon
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What settings are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Server {
    Synapse,
    Dendrite,
    Nginx,
    Caddy,
}

/// The two kinds of server names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NameKind {
    /// The overlay address: needs no DNS anywhere; some homeservers (conduwuit, tuwunel) refuse it
    Address,
    /// The key: all homeservers take it; every host needs pineconed's DNS
    Key,
}

#[derive(Debug, Args)]
pub(crate) struct SynapseOptions {
    /// Where Synapse listens for clients, without TLS
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8008")]
    pub(crate) homeserver: String,

    /// File with the access token of an administrator of this Synapse
    #[arg(long, value_name = "FILE", default_value = "/etc/pinecone/matrix/admin-token")]
    pub(crate) token_file: PathBuf,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    crate::args::seconds_within(text, Duration::from_millis(100), Duration::from_secs(3600))
}
