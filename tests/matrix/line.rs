//! The network of these tests: three hosts in a row, of which the ends meet only through the middle.

use std::process::Command;
use std::rc::Rc;

use serde_json::Value;

use crate::daemon::{Config, Running};
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
        Self::build_with(lab, FIREWALL)
    }

    /// As [`Line::build`], with another `firewall.inbound`.
    pub(crate) fn build_with(lab: &Lab, inbound: &str) -> Self {
        let hosts = ["a", "b", "c"].map(|name| lab.host(name));
        let middle = &hosts[1];
        let cables = [&hosts[0], &hosts[2]].map(|end| [lab.link(middle, end), lab.link(middle, end)]);
        cables.iter().for_each(|pair| pair[1].cut(Cut::Down));
        let mut configs = SEEDS.map(|seed| Config { inbound: Some(inbound.to_owned()), ..Config::new(seed) });
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

    /// One Synapse on each of these hosts, with what `pineconectl matrix init` writes for it and `settings` above that.
    pub(crate) fn synapses<const N: usize>(&self, places: [usize; N], settings: &Value) -> [Homeserver; N] {
        self.synapses_named("address", places, settings)
    }

    /// As [`Line::synapses`], with the other kind of server names.
    pub(crate) fn synapses_named<const N: usize>(
        &self,
        kind: &str,
        places: [usize; N],
        settings: &Value,
    ) -> [Homeserver; N] {
        let servers = places.map(|n| {
            let node = &self.nodes[n];
            let directory = node.directory.join("matrix");
            let made = node.ctl(&format!("matrix init --server synapse --name {kind} --dir {}", directory.display()));
            let name = made["server_name"].as_str().expect("a server name");
            Homeserver::synapse(&self.hosts[n], name, &directory.join("synapse.yaml"), settings)
        });
        servers.iter().for_each(Homeserver::wait_ready);
        servers
    }

    /// Dendrite on host `n`, with what `pineconectl matrix init` writes for it.
    pub(crate) fn dendrite(&self, n: usize) -> Homeserver {
        let directory = self.nodes[n].directory.join("matrix");
        let made = self.nodes[n].ctl(&format!("matrix init --server dendrite --dir {}", directory.display()));
        let name = made["server_name"].as_str().expect("a server name");
        let server = Homeserver::dendrite(&self.hosts[n], name, &directory);
        server.wait_ready();
        server
    }

    /// `pineconectl` on host `n`, with its daemon's socket and `arguments`.
    pub(crate) fn ctl(&self, n: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
        command.arg("--socket").arg(self.nodes[n].socket()).args(arguments);
        command
    }

    /// Runs [`Line::ctl`] on its host: exit code and the JSON that it printed.
    pub(crate) fn ask(&self, n: usize, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = self.ctl(n, arguments);
        command.arg("--json");
        let output = self.hosts[n].within(|| command.output()).expect("pineconectl starts");
        let answer = serde_json::from_slice(&output.stdout);
        (output.status.code(), answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }
}

/// What a homeserver behind the default firewall has to let in.
const FIREWALL: &str = r#"[{ from = "any", protocol = "tcp", port = 8448 }]"#;
