//! LAN discovery, the sockets around [`Discovery`]: hears and sends beacons on every link that takes part.
//!
//! A pair of UDP sockets per link, bound to it (`SO_BINDTODEVICE`, which needs no privilege): so a datagram's link is known without
//! asking, and beacons leave by the right interface whatever the routes say. Other programs that share the port on this host (a plain
//! Pinecone node) hear the same beacons. Which links take part is told by the snapshots of the network.

mod sockets;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::discovery::{
    BeaconIgnored, Dial, Discovery, DiscoveryConfig, Family, Interface, PeeringId as NeighbourId, PeeringUp,
    PeeringVerdict,
};
use crate::keys::PublicKey;
use crate::link::{PasswordKey, PeerPassword};
use crate::node::PeerInfo;
use crate::rng::Rng;
use crate::shell::lan::sockets::{Heard, LinkSockets};
use crate::shell::netlink::{self, Snapshot};
use crate::shell::peer_task::PeeringId;
use crate::shell::transport::{Ends, Remote};
use crate::time::Instant;

/// Datagrams that wait for the core, and how many it takes per turn. More are dropped by the kernel; beacons come again.
const QUEUE: usize = 16;

/// LAN discovery.
pub(crate) struct Lan {
    discovery: Discovery,
    links: BTreeMap<u32, Link>,
    heard_sender: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
}

/// A link that takes part.
struct Link {
    name: String,
    sockets: LinkSockets,
    /// What went wrong when its sockets were made, said once.
    error: Option<String>,
}

/// A neighbour to dial.
#[derive(Clone, Debug)]
pub(crate) struct LanDial {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// Through which interface, by number and name.
    pub(crate) interface: (u32, String),
    /// The key that it announced.
    pub(crate) key: PublicKey,
    /// What it has to know.
    pub(crate) password: PasswordKey,
}

impl Lan {
    /// Discovery on no links; [`Lan::network_changed`] tells it which there are.
    pub(crate) fn new(config: DiscoveryConfig, rng: Rng, now: Instant) -> Self {
        let (heard_sender, heard) = mpsc::channel(QUEUE);
        Self { discovery: Discovery::new(config, rng, now), links: BTreeMap::new(), heard_sender, heard }
    }

    /// Other rules for the same node. Must be called within the runtime.
    pub(crate) fn set_rules(&mut self, config: DiscoveryConfig, network: &Snapshot, now: Instant) {
        self.discovery.handle_rules(config.interfaces, config.rules, config.allowed);
        self.network_changed(network, now);
    }

    /// Whether peers are looked for on this interface.
    pub(crate) fn takes_part(&self, interface: u32) -> bool {
        self.discovery.conduct(interface).is_some()
    }

    /// The network as it is now. Must be called within the runtime.
    pub(crate) fn network_changed(&mut self, network: &Snapshot, now: Instant) {
        let gone: Vec<u32> =
            self.links.keys().copied().filter(|index| !network.interface(*index).is_some_and(can_take_part)).collect();
        for index in gone {
            self.leave(index);
        }
        for interface in network.interfaces.iter().filter(|interface| can_take_part(interface)) {
            let told = told(interface);
            if !self.discovery.handle_interface_up(told.clone(), now) {
                self.leave(interface.index);
                continue;
            }
            self.join(&told);
        }
        self.send();
    }

    /// The index of the interface that a LAN connection runs over, if we announce ourselves there.
    pub(crate) fn interface_of(&self, ends: Ends, network: &Snapshot) -> Option<u32> {
        let Remote::Ip(remote) = ends.remote else { return None };
        let index = match remote {
            // The same link-local address may be used on several links; the kernel says which it was.
            SocketAddr::V6(remote) if remote.scope_id() != 0 => remote.scope_id(),
            _ => network.owner(ends.local?)?.index,
        };
        self.discovery.conduct(index).is_some_and(|conduct| conduct.beacon).then_some(index)
    }

    /// The priority of peerings over an interface.
    pub(crate) fn priority(&self, interface: u32) -> u8 {
        self.discovery.conduct(interface).map_or(0, |conduct| conduct.priority)
    }

    /// The password of peerings over an interface.
    pub(crate) fn password(&self, interface: u32) -> PasswordKey {
        self.discovery.password(interface).map(PeerPassword::key).unwrap_or_default()
    }

    /// Beacons that came. True if there may be more.
    pub(crate) fn poll_heard(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..QUEUE {
            let Poll::Ready(Some(heard)) = self.heard.poll_recv(cx) else { return false };
            let Heard { interface, from, datagram } = heard;
            match self.discovery.handle_beacon(interface, from, &datagram, now) {
                Ok(()) => {}
                // One that was on its way while its link went down.
                Err(BeaconIgnored::OtherInterface(_) | BeaconIgnored::NotListening(_)) => {}
                Err(reason) => tracing::debug!("ignored a beacon from {from}: {reason}"),
            }
        }
        true
    }

    /// Sends what is due, and says whom to dial.
    pub(crate) fn poll_dial(&mut self) -> Option<LanDial> {
        self.send();
        loop {
            let Dial { address, interface, key } = self.discovery.poll_dial()?;
            if let Some(link) = self.links.get(&interface) {
                let password = self.password(interface);
                return Some(LanDial { address, interface: (interface, link.name.clone()), key, password });
            }
            tracing::debug!("no link to dial {address} on");
        }
    }

    /// A peering with a neighbour is up. Says which to keep if there are two.
    pub(crate) fn peering_up(
        &mut self,
        id: PeeringId,
        interface: u32,
        ends: Ends,
        peer: &PeerInfo,
        now: Instant,
    ) -> PeeringVerdict {
        let PeerInfo { key, inbound, authenticated, .. } = *peer;
        let family = match ends.remote {
            Remote::Ip(remote) => Family::of(remote),
            // No neighbour is ever there.
            Remote::Unix { .. } => Family::V6,
        };
        let up = PeeringUp { id: NeighbourId(id.0), key, interface, family, inbound, authenticated };
        self.discovery.handle_peering_up(up, now)
    }

    /// A peering is down, or never came up.
    pub(crate) fn peering_down(&mut self, id: PeeringId, now: Instant) {
        self.discovery.handle_peering_down(NeighbourId(id.0), now);
    }

    /// A dial came to nothing.
    pub(crate) fn dial_failed(&mut self, key: &PublicKey, interface: u32, now: Instant) {
        self.discovery.handle_dial_failed(key, interface, now);
    }

    /// When to call [`Lan::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.discovery.poll_timeout()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.discovery.handle_timeout(now);
    }

    /// Opens the sockets that the link should have and has not.
    fn join(&mut self, interface: &Interface) {
        let link = self.links.entry(interface.index).or_insert_with(|| {
            tracing::info!("looking for peers on {}", interface.name);
            Link { name: interface.name.clone(), sockets: LinkSockets::default(), error: None }
        });
        let error = link.sockets.open(interface, &self.heard_sender).err().map(|error| error.to_string());
        if let Some(error) = error.as_ref().filter(|error| link.error.as_ref() != Some(*error)) {
            tracing::warn!(
                "cannot look for peers on {} in full: {error}{}",
                interface.name,
                if error.contains("in use") {
                    " (udp port 60606 can only be shared with programs of the same user)"
                } else {
                    ""
                }
            );
        }
        link.error = error;
    }

    fn leave(&mut self, index: u32) {
        self.discovery.handle_interface_down(index);
        if let Some(link) = self.links.remove(&index) {
            tracing::info!("no longer looking for peers on {}", link.name);
        }
    }

    fn send(&mut self) {
        while let Some(transmit) = self.discovery.poll_transmit() {
            let Some(link) = self.links.get(&transmit.interface) else { continue };
            if let Err(error) = link.sockets.send(transmit.family, transmit.interface, &transmit.datagram) {
                tracing::debug!("cannot send a beacon on {}: {error}", link.name);
            }
        }
    }
}

/// Whether there can be neighbours on the interface that are not better met elsewhere: a bridge's ports hear nothing that the bridge does not.
fn can_take_part(interface: &netlink::Interface) -> bool {
    interface.running && !interface.loopback && !interface.bridged
}

fn told(interface: &netlink::Interface) -> Interface {
    let v4 = interface.addresses.iter().filter_map(|(address, len)| match address {
        IpAddr::V4(address) => Some((*address, *len)),
        IpAddr::V6(_) => None,
    });
    let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    Interface {
        index: interface.index,
        name: interface.name.clone(),
        multicast: interface.multicast,
        point_to_point: interface.point_to_point,
        v4: v4.collect(),
        v6_link_local: interface.addresses.iter().any(|(address, _)| link_local(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::KeyList;
    use crate::discovery::{InterfacePatterns, InterfaceRules};

    fn lan(own_interface: Option<&str>) -> Lan {
        let config = DiscoveryConfig {
            own_key: PublicKey([1; 32]),
            port: 4_000,
            interfaces: InterfacePatterns::default(),
            rules: InterfaceRules::default(),
            allowed: KeyList::default(),
            own_interface: own_interface.map(Into::into),
        };
        Lan::new(config, Rng::new([1; 32]), Instant::ZERO)
    }

    fn network(change: impl FnOnce(&mut netlink::Interface)) -> Snapshot {
        let mut eth0 = netlink::Interface {
            index: 7,
            name: "eth0".into(),
            up: true,
            running: true,
            multicast: true,
            addresses: vec![("192.0.2.1".parse().unwrap(), 24), ("fe80::1".parse().unwrap(), 64)],
            ..Default::default()
        };
        change(&mut eth0);
        Snapshot { interfaces: vec![eth0] }
    }

    #[tokio::test]
    async fn links_without_neighbours_of_their_own_do_not_take_part() {
        let takes_part = |network: &Snapshot, own: Option<&str>| {
            let mut lan = lan(own);
            lan.network_changed(network, Instant::ZERO);
            lan.links.contains_key(&7)
        };
        assert!(takes_part(&network(|_| {}), None));
        assert!(!takes_part(&network(|_| {}), Some("eth0")), "our own TUN");
        for change in [
            (|eth0| eth0.running = false) as fn(&mut netlink::Interface),
            |eth0| eth0.loopback = true,
            |eth0| eth0.bridged = true,
            |eth0| eth0.point_to_point = true,
            |eth0| eth0.multicast = false,
            |eth0| eth0.addresses.clear(),
        ] {
            assert!(!takes_part(&network(change), None));
        }
    }

    #[tokio::test]
    async fn a_link_that_goes_down_is_left() {
        let mut lan = lan(None);
        lan.network_changed(&network(|_| {}), Instant::ZERO);
        assert!(lan.poll_timeout().is_some(), "beacons are due");
        lan.network_changed(&network(|eth0| eth0.running = false), Instant::ZERO);
        assert!(lan.links.is_empty() && lan.poll_timeout().is_none());
        lan.network_changed(&network(|_| {}), Instant::ZERO);
        lan.network_changed(&Snapshot::default(), Instant::ZERO);
        assert!(lan.links.is_empty());
    }

    #[tokio::test]
    async fn a_connection_belongs_to_the_link_that_it_came_over() {
        let mut lan = lan(None);
        let network = network(|_| {});
        lan.network_changed(&network, Instant::ZERO);
        let over = |remote: &str, local: &str| {
            let ends = Ends {
                remote: Remote::Ip(remote.parse().unwrap()),
                local: local.parse().ok(),
                carrier: crate::link::Carrier::Tcp,
            };
            lan.interface_of(ends, &network)
        };
        assert_eq!(over("192.0.2.9:1", "192.0.2.1"), Some(7));
        assert_eq!(over("[fe80::9%7]:1", "fe80::1"), Some(7));
        assert_eq!(over("[fe80::9%8]:1", "fe80::1"), None, "a link that takes no part");
        assert_eq!(over("192.0.2.9:1", "198.51.100.1"), None, "an address of no link");
    }
}
