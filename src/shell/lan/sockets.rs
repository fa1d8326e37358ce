//! The UDP sockets of one link.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::discovery::{BEACON_PORT, Family, GROUP_V4, GROUP_V6, Interface};
use crate::time::Duration;

/// Beacons have 34 bytes; whatever is behind them in a datagram is cut off.
const DATAGRAM: usize = 64;
/// Receive errors are about the interface, which is about to be reported down; until then there is no hurry.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// A datagram that came.
pub(super) struct Heard {
    /// The link's index.
    pub(super) interface: u32,
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// What it says.
    pub(super) datagram: Vec<u8>,
}

/// The sockets of one link, one per family that it has addresses of.
#[derive(Default)]
pub(super) struct LinkSockets {
    v4: Option<Listening>,
    v6: Option<Listening>,
}

/// A socket and the task that listens on it, which ends with this.
struct Listening {
    socket: Arc<UdpSocket>,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LinkSockets {
    /// Opens the sockets that the interface needs and that are not open, and closes those that it needs no more. What comes on
    /// them goes to `heard`. Must be called within the runtime.
    pub(super) fn open(&mut self, interface: &Interface, heard: &mpsc::Sender<Heard>) -> io::Result<()> {
        let v4 = open_if(&mut self.v4, !interface.v4.is_empty(), Family::V4, interface, heard);
        let v6 = open_if(&mut self.v6, interface.v6_link_local, Family::V6, interface, heard);
        v4.and(v6)
    }

    /// Sends a beacon to the group of `family`.
    pub(super) fn send(&self, family: Family, interface: u32, datagram: &[u8]) -> io::Result<()> {
        let slot = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let Some(Listening { socket, .. }) = slot else { return Ok(()) };
        // A datagram goes at once or not at all: waiting for the socket would only make the beacon late.
        SockRef::from(&**socket).send_to(datagram, &family.group(interface).into())?;
        Ok(())
    }
}

fn open_if(
    slot: &mut Option<Listening>,
    needed: bool,
    family: Family,
    interface: &Interface,
    heard: &mpsc::Sender<Heard>,
) -> io::Result<()> {
    if !needed {
        *slot = None;
    } else if slot.is_none() {
        let socket = Arc::new(socket(family, interface)?);
        let task = tokio::spawn(listen(Arc::clone(&socket), interface.index, heard.clone())).abort_handle();
        *slot = Some(Listening { socket, task });
    }
    Ok(())
}

fn socket(family: Family, interface: &Interface) -> io::Result<UdpSocket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // Shared with other nodes on this host, as the reference shares it.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    match family {
        Family::V4 => {
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, BEACON_PORT)).into())?;
            socket.set_multicast_ttl_v4(1)?;
            // Other nodes on this host hear us through it.
            socket.set_multicast_loop_v4(true)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.index))?;
        }
        Family::V6 => {
            socket.set_only_v6(true)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, BEACON_PORT)).into())?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_if_v6(interface.index)?;
            socket.join_multicast_v6(&GROUP_V6, interface.index)?;
        }
    }
    UdpSocket::from_std(socket.into())
}

/// Hands on what comes, for as long as somebody takes it.
async fn listen(socket: Arc<UdpSocket>, interface: u32, heard: mpsc::Sender<Heard>) {
    let mut buffer = [0; DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => {
                let datagram = buffer[..len].to_vec();
                if heard.send(Heard { interface, from, datagram }).await.is_err() {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
        }
    }
}
