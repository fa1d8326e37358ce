//! pineconed: this build of it, another build, or with other settings.

use std::path::PathBuf;
use std::process::Command;

use pinecone::addr::{Address, Subnet};
use toml::{Table, Value};

use super::{Node, Peer};
use crate::bed::{Bed, forward, write_private};
use crate::daemon::{public_key, seeds_by_key};
use crate::transport;

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
            let text = text.map(str::to_owned).or_else(|| transport::settings(name));
            let text = text.ok_or_else(|| format!("{label}: no --ours-config {name}=…"))?;
            settings = text.replace(';', "\n").parse().map_err(|error| format!("--ours-config {name}: {error}"))?;
        }
        Ok(Self { label, binary, settings })
    }

    /// The first place where the settings say to listen, so that they can choose another transport.
    fn listen(&self) -> Option<&str> {
        self.settings.get("peering").and_then(|peering| peering.get("listen")?.get(0)?.as_str())
    }

    /// How the host before host `n` is dialled, over the cable between them if the transport takes it.
    fn dials(&self, bed: &Bed, seeds: &[u8], n: usize) -> Option<String> {
        let other = n.checked_sub(1)?;
        let (end, key) = (&bed.links[other].ends[0], public_key(seeds[other]).to_string());
        let uri = transport::dial(self.listen()?, &bed.directory_of(other), end.v4, &key);
        Some(uri.unwrap_or_else(|| end.uri()))
    }

    fn configuration(&self, bed: &Bed, seeds: &[u8], n: usize) -> Table {
        let directory = bed.directory_of(n);
        let listen = self.listen().map(|uri| transport::listen_at(uri, &directory));
        let directory = directory.display();
        let default = || Some(bed.links[n.checked_sub(1)?].ends[0].uri());
        let peers: Vec<_> = self.dials(bed, seeds, n).or_else(default).into_iter().collect();
        let text = format!(
            "node.private_key_file = \"{directory}/node.key\"\npeering.peers = {peers:?}\ndiscovery.enabled = false\n\
             control.socket = \"{directory}/control.sock\"\nfirewall.inbound = \"open\"\n"
        );
        let mut table = text.parse().expect("our own text");
        merge(&mut table, &self.settings);
        let peering = table.get_mut("peering").and_then(Value::as_table_mut).expect("our own text");
        if let (Some(Value::Array(all)), Some(uri)) = (peering.get_mut("listen"), listen) {
            all[0] = uri.into();
        }
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
        let node = |(n, &seed): (usize, &u8)| {
            let directory = bed.directory_of(n);
            write_private(&directory.join("node.key"), &format!("{seed:02x}").repeat(32));
            let file = directory.join("pineconed.toml");
            let text = toml::to_string(&self.configuration(bed, &seeds, n)).expect("a table is TOML");
            std::fs::write(&file, text).expect("/run is ours");
            let mut command = Command::new(&self.binary);
            command.arg("--config").arg(file);
            forward(&bed.hosts[n]);
            let key = public_key(seed);
            Node { command: Some(command), address: Address::of(&key).ip(), subnet: Some(Subnet::of(&key).ip()) }
        };
        seeds.iter().enumerate().map(node).collect()
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn uses_cables(&self) -> bool {
        self.listen().is_none_or(transport::uses_cables)
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
