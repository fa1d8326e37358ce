//! The kernel's interfaces, addresses and routes: asked for and changed through rtnetlink, and watched for changes.
//!
//! Nothing is run (`ip` may not be installed) and nothing is guessed from `/sys` (which may show another network namespace).
//! Change events are only a trigger: what counts is the snapshot that is taken after them, so lost events do no harm and a
//! renewed lease, which the kernel reports like a new address, is no change.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, LinkUnspec, MulticastGroup, RouteMessageBuilder};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::time::Duration;

/// Changes come in flurries (link, address, route); one snapshot is taken this long after the first of them.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// Looks without having been told, in case the kernel had to drop what it wanted to tell.
const RESCAN: Duration = Duration::from_secs(10);

/// A network interface at the time of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The kernel's number for it; IPv6 scope.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// Set up by the administrator.
    pub(crate) up: bool,
    /// Up, and with a carrier.
    pub(crate) running: bool,
    /// `lo` and its like.
    pub(crate) loopback: bool,
    /// A tunnel or another link without neighbours to discover.
    pub(crate) point_to_point: bool,
    /// Whether multicast can be sent on it.
    pub(crate) multicast: bool,
    /// Its MTU in bytes.
    pub(crate) mtu: u32,
    /// Whether it is a port of a bridge or a member of a bond: its frames belong to that.
    pub(crate) bridged: bool,
    /// Its addresses that can be used (not those still being checked for duplicates), with the lengths of their prefixes.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Whether it has this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }
}

/// The network as far as peerings depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// All interfaces, by index.
    pub(crate) interfaces: Vec<Interface>,
}

impl Snapshot {
    /// The interface with this index.
    pub(crate) fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.index == index)
    }

    /// The running interface that has this address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.running && interface.has_address(address))
    }
}

/// A route to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The interface's index.
    pub(crate) index: u32,
    /// What is routed there: a prefix and its length.
    pub(crate) to: (Ipv6Addr, u8),
    /// For packets from these addresses alone: a prefix and its length. More specific than any route without.
    pub(crate) from: Option<(Ipv6Addr, u8)>,
    /// Of routes to the same prefix the one with the lowest metric is used.
    pub(crate) metric: u32,
}

impl Route {
    fn message(&self) -> RouteMessage {
        let builder = RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(self.to.0, self.to.1)
            .output_interface(self.index)
            .priority(self.metric);
        match self.from {
            Some((prefix, len)) => builder.source_prefix(prefix, len).build(),
            None => builder.build(),
        }
    }
}

/// A connection to the kernel's rtnetlink. Closed when dropped.
#[derive(Debug)]
pub(crate) struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    /// Opens a connection and serves it in the background.
    pub(crate) fn connect() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The index of the interface with this name, if there is one.
    pub(crate) async fn index_of(&self, name: &str) -> io::Result<Option<u32>> {
        match self.handle.link().get().match_name(name).execute().try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) => match to_io(error) {
                error if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// All interfaces with their addresses.
    pub(crate) async fn snapshot(&self) -> io::Result<Snapshot> {
        let mut interfaces: Vec<_> = self
            .handle
            .link()
            .get()
            .execute()
            .try_filter_map(|link| std::future::ready(Ok(interface(&link))))
            .try_collect()
            .await
            .map_err(to_io)?;
        interfaces.sort_by_key(|interface| interface.index);
        let mut addresses = std::pin::pin!(self.handle.address().get().execute());
        while let Some(message) = addresses.try_next().await.map_err(to_io)? {
            let owner = interfaces.iter_mut().find(|interface| interface.index == message.header.index);
            if let (Some(owner), Some(address)) = (owner, usable_address(&message)) {
                owner.addresses.push((address, message.header.prefix_len));
            }
        }
        for interface in &mut interfaces {
            interface.addresses.sort();
        }
        Ok(Snapshot { interfaces })
    }

    /// Sets MTU and queue length, keeps the kernel from making a link-local address (there is no neighbour to use it
    /// with), and sets the interface up.
    pub(crate) async fn set_up(&self, index: u32, mtu: u16, queue: u32) -> io::Result<()> {
        let no_link_local = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
            In6AddrGenMode::None,
        )])]);
        let quiet = LinkUnspec::new_with_index(index).append_extra_attribute(no_link_local).build();
        if let Err(error) = self.handle.link().set(quiet).execute().await {
            tracing::debug!(error = %to_io(error), "the kernel will make a link-local address for our interface");
        }
        let up = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).txqueuelen(queue).up().build();
        self.handle.link().set(up).execute().await.map_err(to_io)
    }

    /// Adds `address`/128 without duplicate address detection. `AlreadyExists` if it is there.
    pub(crate) async fn add_address(&self, index: u32, address: Ipv6Addr) -> io::Result<()> {
        let mut request = self.handle.address().add(index, address.into(), 128);
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        request.execute().await.map_err(to_io)
    }

    /// Removes `address`/128.
    pub(crate) async fn remove_address(&self, index: u32, address: Ipv6Addr) -> io::Result<()> {
        let message = self.handle.address().add(index, address.into(), 128).message_mut().clone();
        self.handle.address().del(message).execute().await.map_err(to_io)
    }

    /// Adds a route. `AlreadyExists` if there is one with the same prefixes and metric, wherever it leads.
    pub(crate) async fn add_route(&self, route: &Route) -> io::Result<()> {
        self.handle.route().add(route.message()).execute().await.map_err(to_io)
    }

    /// Removes what [`Netlink::add_route`] added.
    pub(crate) async fn remove_route(&self, route: &Route) -> io::Result<()> {
        self.handle.route().del(route.message()).execute().await.map_err(to_io)
    }

    /// The interfaces that exactly this prefix is routed to.
    pub(crate) async fn routed_to(&self, prefix: Ipv6Addr, len: u8) -> io::Result<Vec<u32>> {
        let any = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let routes: Vec<RouteMessage> = self.handle.route().get(any).execute().try_collect().await.map_err(to_io)?;
        let to_prefix = routes.iter().filter(|route| {
            let destination = RouteAttribute::Destination(RouteAddress::Inet6(prefix));
            route.header.destination_prefix_length == len && route.attributes.contains(&destination)
        });
        Ok(to_prefix.filter_map(output_interface).collect())
    }
}

/// The network as it is, and as it is after each change of links, addresses or default routes. If nobody takes the changes, only their
/// sender waits. The watch ends when the receiver is dropped.
pub(crate) async fn watch() -> io::Result<(Arc<Snapshot>, mpsc::Receiver<Arc<Snapshot>>)> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, _handle, mut events) = rtnetlink::new_multicast_connection(&groups)?;
    let netlink = Netlink::connect()?;
    let (sender, receiver) = mpsc::channel(1);
    // Whatever changes from here on waits in the socket.
    let first = Arc::new(netlink.snapshot().await?);
    let connection = tokio::spawn(connection);
    let mut known = Arc::clone(&first);
    tokio::spawn(async move {
        let mut default_routes = BTreeSet::new();
        loop {
            let event = tokio::select! {
                event = tokio::time::timeout(RESCAN, events.next()) => event,
                () = sender.closed() => break,
            };
            let mut rerouted = match event {
                Ok(Some((event, _))) => note_default_route(&mut default_routes, &event.payload),
                // Nothing will be told any more; then asking has to do.
                Ok(None) => {
                    tokio::time::sleep(RESCAN).await;
                    false
                }
                Err(_) => false,
            };
            tokio::time::sleep(DEBOUNCE).await;
            while let Ok((event, _)) = events.try_recv() {
                rerouted |= note_default_route(&mut default_routes, &event.payload);
            }
            let Ok(snapshot) = netlink.snapshot().await.map(Arc::new) else { continue };
            if (rerouted || snapshot != known) && sender.send(Arc::clone(&snapshot)).await.is_err() {
                break;
            }
            known = snapshot;
        }
        connection.abort();
    });
    Ok((first, receiver))
}

/// Default routes that were announced, so that a refreshed one is no change: family, interface, gateway (as text: it has many forms).
type DefaultRoutes = BTreeSet<(u8, u32, String)>;

fn note_default_route(known: &mut DefaultRoutes, event: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    let NetlinkPayload::InnerMessage(event) = event else { return false };
    let (route, added) = match event {
        RouteNetlinkMessage::NewRoute(route) => (route, true),
        RouteNetlinkMessage::DelRoute(route) => (route, false),
        _ => return false,
    };
    if route.header.destination_prefix_length != 0 {
        return false;
    }
    let gateway = route.attributes.iter().find(|attribute| matches!(attribute, RouteAttribute::Gateway(_)));
    let key = (route.header.address_family.into(), output_interface(route).unwrap_or(0), format!("{gateway:?}"));
    if added { known.insert(key) } else { known.remove(&key) }
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    let (mut name, mut mtu, mut carrier, mut bridged) = (None, 0, true, false);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            // Drivers that do not track it say "unknown": then being up is all there is to know.
            LinkAttribute::OperState(state) => carrier = matches!(state, State::Up | State::Unknown),
            // Members of a VRF have the VRF for a controller and are links of their own all the same.
            LinkAttribute::LinkInfo(infos) => {
                bridged =
                    infos.iter().any(|info| matches!(info, LinkInfo::PortKind(kind) if *kind != InfoPortKind::Vrf));
            }
            _ => {}
        }
    }
    let flags = link.header.flags;
    Some(Interface {
        index: link.header.index,
        name: name?,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up) && carrier,
        loopback: flags.contains(LinkFlags::Loopback),
        point_to_point: flags.contains(LinkFlags::Pointopoint),
        multicast: flags.contains(LinkFlags::Multicast),
        mtu,
        bridged,
        addresses: Vec::new(),
    })
}

/// The interface's own address of an address message, unless it is tentative or known to be a duplicate.
fn usable_address(message: &AddressMessage) -> Option<IpAddr> {
    let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    let optimistic = message.header.flags.contains(AddressHeaderFlags::Optimistic);
    if message.header.flags.intersects(unusable) && !optimistic {
        return None;
    }
    // On point-to-point links `Address` is the other end's and `Local` is ours.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

fn output_interface(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// The kernel's error number where it gave one.
fn to_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    type Payload = NetlinkPayload<RouteNetlinkMessage>;

    fn route(to: u8, gateway: Ipv4Addr, kind: fn(RouteMessage) -> RouteNetlinkMessage) -> Payload {
        let builder = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix([10, 0, 0, 0].into(), to);
        NetlinkPayload::InnerMessage(kind(builder.gateway(gateway).output_interface(2).build()))
    }

    #[test]
    fn a_default_route_is_a_change_when_it_comes_and_when_it_goes_and_not_when_it_is_refreshed() {
        let mut known = DefaultRoutes::new();
        let mut is_change = |event: &Payload| note_default_route(&mut known, event);
        let [one, other] = [1, 2].map(|last| Ipv4Addr::new(192, 0, 2, last));
        assert!(!is_change(&route(8, one, RouteNetlinkMessage::NewRoute)), "not a default route");
        assert!(is_change(&route(0, one, RouteNetlinkMessage::NewRoute)));
        assert!(!is_change(&route(0, one, RouteNetlinkMessage::NewRoute)));
        assert!(is_change(&route(0, other, RouteNetlinkMessage::NewRoute)));
        assert!(is_change(&route(0, one, RouteNetlinkMessage::DelRoute)));
        assert!(!is_change(&NetlinkPayload::Noop));
    }
}
