//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::cases::{CASES, Case};

/// End-to-end benchmark of the data plane, in network namespaces. See docs/performance.md.
#[derive(Debug, Parser)]
#[command(name = "netns")]
pub(crate) struct Args {
    /// Peers to compare, in this order: plain, pump, pump-vnet, pump-relay, ours, yggdrasil, mycelium. `ours:PATH` is a pineconed built
    /// elsewhere, `ours@NAME` one with the lines of --ours-config NAME, `LABEL=ours:PATH@NAME` both, under a name of your choice. `ours@tcp`,
    /// `ours@tls`, `ours@ws`, `ours@wss`, `ours@quic` and `ours@unix` need no --ours-config: their peerings take that transport.
    #[arg(long, value_delimiter = ',', default_value = "plain,pump,pump-vnet,ours,yggdrasil,mycelium")]
    pub(crate) peers: Vec<String>,
    /// Cases to measure (default: all).
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// How often everything is measured; medians are reported.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Length of each transfer.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// One round of one second each: whether it works, not how fast.
    #[arg(long)]
    pub(crate) quick: bool,
    /// NAME=TOML: settings of `ours@NAME`, as dotted keys separated by `;`, e.g. `small=tun.mtu = 1400`, or
    /// `tls=peering.listen = ["tls://[::]:7464"]`, whose first place is dialled too. May be repeated.
    #[arg(long, value_name = "NAME=TOML")]
    pub(crate) ours_config: Vec<String>,
    /// Congestion control of the peers' own TCP connections: the kernel's default here may be anything.
    #[arg(long, default_value = "cubic")]
    pub(crate) underlay_cc: String,
    /// Congestion control of the TCP connections that are measured.
    #[arg(long, default_value = "cubic")]
    pub(crate) overlay_cc: String,
    /// Write all readings to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Put the tables between the marks in this file.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
    /// Keep the peers of each case running for so many seconds before the case is torn down, e.g. to profile them.
    #[arg(long, default_value_t = 0)]
    pub(crate) linger: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// The cases to measure, in the order of [`CASES`].
    pub(crate) fn cases(&self) -> Result<Vec<&'static Case>, String> {
        let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
        if let Some(unknown) = self.cases.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("there is no case {unknown}; there are {}", known.join(", ")));
        }
        let is_wanted = |case: &&Case| self.cases.is_empty() || self.cases.iter().any(|name| name == case.name);
        Ok(CASES.iter().filter(is_wanted).collect())
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    pub(crate) fn seconds(&self) -> u64 {
        if self.quick { 1 } else { self.seconds.max(1) }
    }
}
