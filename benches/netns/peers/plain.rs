//! No overlay: the cables themselves, and the kernel's forwarding in the middle.

use super::{Node, Peer};
use crate::bed::{Bed, forward};

/// The cables alone.
pub(crate) struct Plain {
    pub(crate) label: String,
}

impl Peer for Plain {
    fn name(&self) -> &str {
        &self.label
    }

    fn nodes(&self, bed: &Bed) -> Vec<Node> {
        let last = bed.hosts.len() - 1;
        let node = |n: usize| {
            // All cables have addresses in fd00::/16. Only the hosts at the ends need to be told the way; those between have two cables.
            let (own, other) = if n == 0 { (0, 1) } else { (1, 0) };
            let link = &bed.links[n.saturating_sub(1)];
            if n == 0 || n == last {
                let gateway = link.ends[other].v6.to_string();
                let interface = &link.ends[own].interface;
                bed.hosts[n].ip(&["route", "add", "fd00::/16", "via", &gateway, "dev", interface]);
            }
            if n > 0 {
                forward(&bed.hosts[n]);
            }
            let subnet = (n == last).then(|| "fd00:0:0:ffff::".parse().expect("an address"));
            Node { command: None, address: link.ends[own].v6, subnet }
        };
        (0..=last).map(node).collect()
    }
}
