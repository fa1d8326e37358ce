//! Ways to connect hosts. Each file knows one: how it is built, configured and started, and nothing about what is measured. Another one
//! is a file here, a line in [`by_kind`] and a row in `docs/performance.md`.

mod mycelium;
mod ours;
mod plain;
mod pump;
mod yggdrasil;

use std::net::Ipv6Addr;
use std::process::Command;

use crate::args::Args;
use crate::bed::Bed;

/// Where programs are put that are built for this benchmark.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-peers");

/// A way to connect the hosts of a bed.
pub(crate) trait Peer {
    /// What the tables call it.
    fn name(&self) -> &str;

    /// Makes sure that its program is there. Called outside the sandbox, where there is a network to fetch it from. An error is why
    /// this peer cannot be measured here.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    /// Writes keys and configurations, and says how to start it on each host of the line. The connections go along the cables: each
    /// host's peers are its neighbours.
    fn nodes(&self, bed: &Bed) -> Vec<Node>;

    /// Whether this is one of ours, which ratios are made for.
    fn is_ours(&self) -> bool {
        false
    }

    /// Whether its connections go over the cables; otherwise nothing that happens to those concerns it.
    fn uses_cables(&self) -> bool {
        true
    }
}

/// A peer on one host.
pub(crate) struct Node {
    /// Its program, if it needs one here.
    pub(crate) command: Option<Command>,
    /// How the others reach the host.
    pub(crate) address: Ipv6Addr,
    /// The /64 that the host may route for those behind it.
    pub(crate) subnet: Option<Ipv6Addr>,
}

/// The peers that the command line names.
pub(crate) fn all(args: &Args) -> Result<Vec<Box<dyn Peer>>, String> {
    let peers: Vec<Box<dyn Peer>> = args.peers.iter().map(|text| parse(text, args)).collect::<Result<_, _>>()?;
    let mut names = std::collections::BTreeSet::new();
    match peers.iter().find(|peer| !names.insert(peer.name())) {
        Some(twice) => Err(format!("two peers are called {}: give one a LABEL=", twice.name())),
        None => Ok(peers),
    }
}

/// Reads `[LABEL=]KIND[:PATH][@CONFIG]`.
fn parse(text: &str, args: &Args) -> Result<Box<dyn Peer>, String> {
    let (label, rest) = text.split_once('=').unwrap_or((text, text));
    let (rest, config) = rest.rsplit_once('@').map_or((rest, None), |(rest, config)| (rest, Some(config)));
    let (kind, path) = rest.split_once(':').map_or((rest, None), |(kind, path)| (kind, Some(path)));
    if kind != "ours" && (config.is_some() || path.is_some()) {
        return Err(format!("{text}: only `ours` takes a path and a configuration"));
    }
    by_kind(kind, label, path, config, args)
}

fn by_kind(
    kind: &str,
    label: &str,
    path: Option<&str>,
    config: Option<&str>,
    args: &Args,
) -> Result<Box<dyn Peer>, String> {
    let label = label.to_owned();
    Ok(match kind {
        "plain" => Box::new(plain::Plain { label }),
        "pump" => Box::new(pump::Pump { label, kind: pump::Kind::Large }),
        "pump-vnet" => Box::new(pump::Pump { label, kind: pump::Kind::Offload }),
        "pump-relay" => Box::new(pump::Pump { label, kind: pump::Kind::Relay }),
        "ours" => Box::new(ours::Ours::new(label, path, config, &args.ours_config)?),
        "yggdrasil" => Box::new(yggdrasil::Yggdrasil { label }),
        "mycelium" => Box::new(mycelium::Mycelium { label }),
        _ => return Err(format!("there is no peer {kind}; see --help")),
    })
}

/// Prepares all peers; returns those that cannot be measured, as lines `NAME: REASON`.
pub(crate) fn prepare(peers: &[Box<dyn Peer>]) -> Vec<String> {
    let mut missing = Vec::new();
    for peer in peers {
        if let Err(reason) = peer.prepare() {
            eprintln!("\n!!! SKIPPED {}: {reason}\n", peer.name());
            missing.push(format!("{}: {}", peer.name(), reason.replace('\n', " ")));
        }
    }
    missing
}
