//! The network of these tests: three hosts in a row, of which the ends meet only through the middle.

use std::rc::Rc;

use pinecone::addr::Address;
use serde_json::{Value, json};

use crate::daemon::{Config, Running, public_key};
use crate::homeserver::Homeserver;
use crate::lab::{Cut, Host, Lab, Link};
use crate::traffic::wait_reachable;
use crate::wait::seconds;

/// The seeds of the nodes' keys.
const SEEDS: [u8; 3] = [1, 2, 3];

/// A, B and C. Each end has two cables to the middle, of which only the first is plugged in.
pub(crate) struct Line {
    pub(crate) hosts: [Host; 3],
    pub(crate) nodes: [Rc<Running>; 3],
    /// Those of A, then those of C.
    pub(crate) cables: [[Link; 2]; 2],
}

impl Line {
    pub(crate) fn build(lab: &Lab) -> Self {
        let hosts = ["a", "b", "c"].map(|name| lab.host(name));
        let middle = &hosts[1];
        let cables = [&hosts[0], &hosts[2]].map(|end| [lab.link(middle, end), lab.link(middle, end)]);
        cables.iter().for_each(|pair| pair[1].cut(Cut::Down));
        let mut configs = SEEDS.map(|seed| Config { inbound: Some(FIREWALL.to_owned()), ..Config::new(seed) });
        for (end, pair) in [0, 2].into_iter().zip(&cables) {
            configs[end].peers = pair.iter().map(|cable| cable.ends[0].uri()).collect();
        }
        let mut configs = configs.into_iter();
        let nodes = hosts.each_ref().map(|host| Running::start(lab, host, configs.next().expect("three")));
        let line = Self { hosts, nodes, cables };
        for (from, to) in [(0, 1), (2, 1), (0, 2), (2, 0)] {
            wait_reachable(&line.hosts[from], line.nodes[to].address(), seconds(20));
        }
        line
    }

    /// One Synapse on each host, named after its node's address.
    pub(crate) fn synapses(&self) -> [Homeserver; 3] {
        let name = |n: usize| format!("[{}]:8448", Address::of(&public_key(SEEDS[n])));
        let servers = [0, 1, 2].map(|n| Homeserver::synapse(&self.hosts[n], &name(n), &federation(&self.nodes[n])));
        servers.iter().for_each(Homeserver::wait_ready);
        servers
    }
}

/// What a homeserver behind the default firewall has to let in.
const FIREWALL: &str = r#"[{ from = "any", protocol = "tcp", port = 8448 }]"#;

/// What a Synapse needs for the mesh.
fn federation(node: &Running) -> Value {
    let subject = vec![node.address().to_string()];
    let certified = rcgen::generate_simple_self_signed(subject).expect("a certificate");
    let path = |file: &str| node.directory.join(file);
    std::fs::write(path("tls.crt"), certified.cert.pem()).expect("/run is ours");
    std::fs::write(path("tls.key"), certified.signing_key.serialize_pem()).expect("/run is ours");
    json!({
        "listeners": [{"port": 8448, "type": "http", "tls": true, "bind_addresses": ["::"],
                       "resources": [{"names": ["client", "federation"]}]}],
        "tls_certificate_path": path("tls.crt"), "tls_private_key_path": path("tls.key"),
        "trusted_key_servers": [],
        "federation_certificate_verification_whitelist": ["6??:*"],
        "federation": {"client_timeout": "10s", "max_long_retry_delay": "5s", "destination_min_retry_interval": "5s"},
    })
}
