//! Mycelium, if there is one: the program that MYCELIUM_BIN names, or `mycelium` on the path. It is not on crates.io (the crate of that
//! name is something else), so it is not built here.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{Node, Peer};
use crate::bed::{Bed, forward};
use crate::sandbox::search_path;

const PORT: u16 = 9651;

/// The program from elsewhere.
pub(crate) struct Mycelium {
    pub(crate) label: String,
}

impl Peer for Mycelium {
    fn name(&self) -> &str {
        &self.label
    }

    fn prepare(&self) -> Result<(), String> {
        let binary = binary().ok_or("no mycelium: set MYCELIUM_BIN to a binary, or put one on the path")?;
        let output = Command::new(&binary).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
        if output.status.success() { Ok(()) } else { Err(format!("{} --version fails", binary.display())) }
    }

    fn nodes(&self, bed: &Bed) -> Vec<Node> {
        let binary = binary().expect("it was there");
        let node = |n: usize| {
            let key = bed.directory_of(n).join("mycelium.key");
            // Any 32 bytes are a key.
            crate::bed::write_private(&key, &char::from(b'a' + n as u8).to_string().repeat(32));
            let output = Command::new(&binary).args(["inspect", "--json", "--key-file"]).arg(&key).output();
            let json: Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("--json prints JSON");
            let address = json["address"].as_str().and_then(|text| text.parse().ok()).expect("a key has an address");
            let mut command = Command::new(&binary);
            command.arg("--key-file").arg(&key).args(["--tun-name", "myc0", "--disable-peer-discovery"]);
            command.args(["--disable-quic", "--tcp-listen-port", &PORT.to_string()]);
            if let Some(link) = n.checked_sub(1) {
                command.args(["--peers", &format!("tcp://{}:{PORT}", bed.links[link].ends[0].v4)]);
            }
            forward(&bed.hosts[n]);
            // The /64 around an address is its node's.
            let [a, b, c, d, ..] = std::net::Ipv6Addr::segments(&address);
            let subnet = Some(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
            Node { command: Some(command), address, subnet }
        };
        (0..bed.hosts.len()).map(node).collect()
    }
}

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("MYCELIUM_BIN").map(PathBuf::from);
    named.or_else(|| search_path().into_iter().map(|path| path.join("mycelium")).find(|path| path.is_file()))
}
