//! pineconed: this build of it, another build, or with other settings.

use std::path::PathBuf;
use std::process::Command;

use pinecone::addr::{Address, Subnet};
use toml::{Table, Value};

use super::{Node, Peer};
use crate::bed::{Bed, forward, write_private};
use crate::daemon::{public_key, seeds_by_key};
use crate::lab::End;

/// One pineconed.
pub(crate) struct Ours {
    label: String,
    binary: PathBuf,
    settings: Table,
}

impl Ours {
    /// `path`: another binary than that of this build; `config`: the name of one of `configs`, which are `NAME=TOML`.
    pub(crate) fn new(
        label: String,
        path: Option<&str>,
        config: Option<&str>,
        configs: &[String],
    ) -> Result<Self, String> {
        let binary = std::path::absolute(path.unwrap_or(env!("CARGO_BIN_EXE_pineconed")));
        let binary = binary.map_err(|error| format!("{label}: {error}"))?;
        let mut settings = Table::new();
        if let Some(name) = config {
            let named = configs.iter().filter_map(|text| text.split_once('='));
            let text = named.filter(|(other, _)| *other == name).map(|(_, text)| text).next();
            let text = text.ok_or_else(|| format!("{label}: no --ours-config {name}=…"))?;
            settings = text.replace(';', "\n").parse().map_err(|error| format!("--ours-config {name}: {error}"))?;
        }
        Ok(Self { label, binary, settings })
    }

    /// Where the daemon at this end listens: at the first place that the settings name, so that they can choose another transport.
    fn uri(&self, end: &End) -> String {
        let listen = self.settings.get("peering").and_then(|peering| peering.get("listen")?.get(0)?.as_str());
        let parts = listen.and_then(|uri| Some((uri.split_once("://")?.0, uri.rsplit_once(':')?.1)));
        parts.map_or_else(|| end.uri(), |(scheme, port)| format!("{scheme}://{}:{port}", end.v4))
    }

    fn configuration(&self, bed: &Bed, n: usize) -> Table {
        let directory = bed.directory_of(n);
        let directory = directory.display();
        let peers: Vec<_> = n.checked_sub(1).map(|link| self.uri(&bed.links[link].ends[0])).into_iter().collect();
        let text = format!(
            "node.private_key_file = \"{directory}/node.key\"\npeering.peers = {peers:?}\ndiscovery.enabled = false\n\
             control.socket = \"{directory}/control.sock\"\nfirewall.inbound = \"open\"\n"
        );
        let mut table = text.parse().expect("our own text");
        merge(&mut table, &self.settings);
        table
    }
}

impl Peer for Ours {
    fn name(&self) -> &str {
        &self.label
    }

    fn prepare(&self) -> Result<(), String> {
        if self.binary.is_file() { Ok(()) } else { Err(format!("there is no {}", self.binary.display())) }
    }

    fn nodes(&self, bed: &Bed) -> Vec<Node> {
        let seeds = seeds_by_key(bed.hosts.len() as u8);
        let node = |(n, seed): (usize, u8)| {
            let directory = bed.directory_of(n);
            write_private(&directory.join("node.key"), &format!("{seed:02x}").repeat(32));
            let file = directory.join("pineconed.toml");
            let text = toml::to_string(&self.configuration(bed, n)).expect("a table is TOML");
            std::fs::write(&file, text).expect("/run is ours");
            let mut command = Command::new(&self.binary);
            command.arg("--config").arg(file);
            forward(&bed.hosts[n]);
            let key = public_key(seed);
            Node { command: Some(command), address: Address::of(&key).ip(), subnet: Some(Subnet::of(&key).ip()) }
        };
        seeds.into_iter().enumerate().map(node).collect()
    }

    fn is_ours(&self) -> bool {
        true
    }
}

/// Puts what `from` has over what `into` has, key by key.
fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
