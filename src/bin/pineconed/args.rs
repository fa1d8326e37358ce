//! The command line of the daemon.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use pinecone::config::LogFilter;

/// An IPv6 overlay network over Pinecone routes, encrypted end to end
#[derive(Debug, Parser)]
#[command(name = "pineconed", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// The configuration; without this option and without a file at /etc/pinecone/pineconed.toml, the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What to log: off, error, warn, info, debug or trace, or levels of modules; goes before log.level
    #[arg(long, global = true, value_name = "LEVEL", env = "PINECONE_LOG")]
    pub(crate) log_level: Option<LogFilter>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell whether the daemon would start with this configuration, without making or changing anything
    Check,
}
