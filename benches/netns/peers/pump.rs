//! The pump (`crate::pump`) on a line: TUN interfaces made beforehand, one TCP connection per cable.

use std::net::Ipv6Addr;
use std::process::Command;

use super::{Node, Peer};
use crate::bed::{Bed, forward};
use crate::lab::Host;

const PORT: u16 = 7000;
/// The largest that a TUN interface takes.
const LARGE_MTU: &str = "65535";
/// Where segmentation offload makes packets large, the MTU is an ordinary one.
const OFFLOAD_MTU: &str = "1500";

/// What the pump does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// 64 KB MTU; in the middle, out of one interface and into the next, as at both ends.
    Large,
    /// 1500 byte MTU and virtio headers: the kernel hands over whole segments of up to 64 KB.
    Offload,
    /// As `Large`, but from connection to connection in the middle: for relays that need not look into packets.
    Relay,
}

/// The pass-through pump.
pub(crate) struct Pump {
    pub(crate) label: String,
    pub(crate) kind: Kind,
}

impl Peer for Pump {
    fn name(&self) -> &str {
        &self.label
    }

    fn nodes(&self, bed: &Bed) -> Vec<Node> {
        let last = bed.hosts.len() - 1;
        let node = |n: usize| {
            let is_relay = self.kind == Kind::Relay && n > 0 && n < last;
            let mut command = Command::new(std::env::current_exe().expect("our own path"));
            command.arg(crate::pump::COMMAND);
            command.args((self.kind == Kind::Offload).then_some(crate::pump::OFFLOAD));
            if n > 0 {
                command.args((!is_relay).then(|| self.interface(&bed.hosts[n], n - 1, 2)));
                command.arg(format!("connect={}:{PORT}", bed.links[n - 1].ends[0].v4));
            }
            if n < last {
                command.args((!is_relay).then(|| self.interface(&bed.hosts[n], n, 1)));
                command.arg(format!("listen={}:{PORT}", bed.links[n].ends[0].v4));
            }
            if n > 0 {
                forward(&bed.hosts[n]);
            }
            let subnet = (n == last).then(|| "fd01:0:0:ffff::".parse().expect("an address"));
            let address = if n == 0 { address(0, 1) } else { address(n - 1, 2) };
            Node { command: Some(command), address, subnet }
        };
        (0..=last).map(node).collect()
    }
}

impl Pump {
    /// Makes the interface for one end of link `link`; returns the pump's argument for it.
    fn interface(&self, host: &Host, link: usize, last: u16) -> String {
        let name = format!("t{link}");
        let offload = self.kind == Kind::Offload;
        let mut add = vec!["tuntap", "add", "dev", &name, "mode", "tun"];
        add.extend(offload.then_some("vnet_hdr"));
        host.ip(&add);
        host.ip(&["link", "set", &name, "mtu", if offload { OFFLOAD_MTU } else { LARGE_MTU }, "up"]);
        host.ip(&["addr", "add", &format!("{}/64", address(link, last)), "dev", &name, "nodad"]);
        // In the middle there are two such routes and both are wrong for half of it; the /64 of either link comes first there.
        host.ip(&["route", "append", "fd01::/16", "dev", &name]);
        format!("tun={name}")
    }
}

fn address(link: usize, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd01, 0, 0, link as u16, 0, 0, 0, last)
}
