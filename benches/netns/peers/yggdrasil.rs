//! Yggdrasil, in the version that `benches/netns/yggdrasil/go.mod` names: TCP peerings, multicast off, the largest MTU it has.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{BUILT, Node, Peer};
use crate::bed::{Bed, forward, write_private};

const PORT: u16 = 9001;
/// Where the list of versions is.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/netns/yggdrasil");
const PACKAGE: &str = "github.com/yggdrasil-network/yggdrasil-go/cmd/yggdrasil";

/// The Go program.
pub(crate) struct Yggdrasil {
    pub(crate) label: String,
}

impl Peer for Yggdrasil {
    fn name(&self) -> &str {
        &self.label
    }

    fn prepare(&self) -> Result<(), String> {
        // Asked each time: go builds again only what has changed.
        let mut build = Command::new("go");
        build.current_dir(MODULE).env("CGO_ENABLED", "0").args(["build", "-o"]).arg(binary()).arg(PACKAGE);
        let output = build.output().map_err(|error| format!("go: {error}"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    fn nodes(&self, bed: &Bed) -> Vec<Node> {
        let node = |n: usize| {
            let mut config: Value = serde_json::from_str(&run(&["-genconf", "-json"])).expect("-json prints JSON");
            let peer = n.checked_sub(1).map(|link| format!("tcp://{}:{PORT}", bed.links[link].ends[0].v4));
            let settings = json!({
                "Listen": [format!("tcp://[::]:{PORT}")],
                "Peers": peer.into_iter().collect::<Vec<_>>(),
                "MulticastInterfaces": [],
                "AdminListen": "none",
                "IfName": "ygg0",
                "IfMTU": 65_535,
            });
            for (key, value) in settings.as_object().expect("it is one") {
                config[key] = value.clone();
            }
            let file = bed.directory_of(n).join("yggdrasil.json");
            write_private(&file, &config.to_string());
            let path = file.to_str().expect("our own path");
            let ask = |what| run(&["-useconffile", path, what]).trim().to_owned();
            let mut command = Command::new(binary());
            command.args(["-useconffile", path]);
            forward(&bed.hosts[n]);
            let subnet = ask("-subnet").split_once('/').and_then(|(base, _)| base.parse().ok());
            Node { command: Some(command), address: ask("-address").parse().expect("it prints an address"), subnet }
        };
        (0..bed.hosts.len()).map(node).collect()
    }
}

fn binary() -> PathBuf {
    PathBuf::from(BUILT).join("yggdrasil")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(binary()).args(arguments).output().expect("it is built");
    assert!(output.status.success(), "yggdrasil {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}
