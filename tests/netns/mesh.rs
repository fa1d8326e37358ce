//! Ready-made networks: hosts, links and daemons in one call.

use std::net::Ipv6Addr;
use std::rc::Rc;

use crate::daemon::{Config, Running, seeds_by_key};
use crate::lab::{Cut, Host, Lab, Link};
use crate::traffic::wait_reachable;
use crate::wait::seconds;

/// Hosts with one daemon each. Of every link, the first end's daemon is dialled by the second's.
pub(crate) struct Mesh {
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Vec<Link>,
    pub(crate) nodes: Vec<Rc<Running>>,
}

impl Mesh {
    /// `count` hosts named n0, n1, … with keys in ascending order (the last one is the root), linked as `edges` say.
    pub(crate) fn build(lab: &Lab, count: u8, edges: &[(usize, usize)]) -> Self {
        Self::build_with(lab, count, edges, |_, _| ())
    }

    /// As [`Mesh::build`]; `adjust` may change each node's configuration.
    pub(crate) fn build_with(
        lab: &Lab,
        count: u8,
        edges: &[(usize, usize)],
        adjust: impl Fn(usize, &mut Config),
    ) -> Self {
        Self::build_unlinked(lab, count, edges, &[], adjust)
    }

    /// As [`Mesh::build_with`], but the links of the edges number `silent` are cut silently before any daemon runs.
    pub(crate) fn build_unlinked(
        lab: &Lab,
        count: u8,
        edges: &[(usize, usize)],
        silent: &[usize],
        adjust: impl Fn(usize, &mut Config),
    ) -> Self {
        let hosts: Vec<_> = (0..count).map(|n| lab.host(&format!("n{n}"))).collect();
        let links: Vec<_> = edges.iter().map(|(a, b)| lab.link(&hosts[*a], &hosts[*b])).collect();
        silent.iter().for_each(|edge| links[*edge].cut(Cut::Silent));
        let mut configs: Vec<_> = seeds_by_key(count).into_iter().map(Config::new).collect();
        for ((_, dialler), link) in edges.iter().zip(&links) {
            configs[*dialler].peers.push(link.ends[0].uri());
        }
        for (n, config) in configs.iter_mut().enumerate() {
            adjust(n, config);
        }
        let nodes: Vec<_> =
            hosts.iter().zip(configs).map(|(host, config)| Running::prepare(lab, host, config)).collect();
        nodes.iter().for_each(|node| node.spawn());
        nodes.iter().for_each(|node| node.wait_ready());
        Self { hosts, links, nodes }
    }

    /// Nodes 0 to `count` - 1 in a row.
    pub(crate) fn line(lab: &Lab, count: u8) -> Self {
        Self::line_with(lab, count, |_, _| ())
    }

    /// As [`Mesh::line`]; `adjust` may change each node's configuration.
    pub(crate) fn line_with(lab: &Lab, count: u8, adjust: impl Fn(usize, &mut Config)) -> Self {
        let edges: Vec<_> = (1..usize::from(count)).map(|n| (n - 1, n)).collect();
        Self::build_with(lab, count, &edges, adjust)
    }

    /// The overlay address of node `n`.
    pub(crate) fn address(&self, n: usize) -> Ipv6Addr {
        self.nodes[n].address()
    }

    /// Waits until node `from` gets answers from node `to`.
    pub(crate) fn wait_reachable(&self, from: usize, to: usize) {
        wait_reachable(&self.hosts[from], self.address(to), seconds(15));
    }
}
