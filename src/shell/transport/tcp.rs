//! TCP: dialling, listening, socket options.
//!
//! Queues belong into the node's outbox, where frames have priorities and flows are treated fairly; so the kernel is told to
//! hold little of what is not sent yet (`TCP_NOTSENT_LOWAT`).

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::path::MeasuredTcp;
use super::underlay::Binding;
use super::{Connection, DialError, Ends, ListenError, Remote, is_overlay};
use crate::config::{Host, NetEndpoint};
use crate::link::Carrier;
use crate::time::Duration;

/// How long dialling may take, with resolving the name. A reference node takes its inbound peers one at a time, but that delays
/// the hello, not the connection.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long dialling a neighbour may take: the reference's limit (specification §12).
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(5);
/// How much later the next address of a name is tried (RFC 8305 §5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// How long sent bytes may stay unacknowledged. A peering is silent after 5 s; this ends the connection if the silence is not seen.
const USER_TIMEOUT: Duration = Duration::from_secs(8);
/// Idle time before the kernel probes; only before the hello is a peering ever idle that long.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Unsent bytes that the kernel takes before it asks us to wait: two of the largest frames, some 100 µs at 10 Gbit/s.
const NOTSENT_LOWAT: u32 = 128 << 10;
/// Connections that the kernel completes before we accept them.
const BACKLOG: u32 = 128;

/// Connects to `host`: all its addresses, each a little later than the one before, the first to answer wins.
pub(super) async fn dial(at: &NetEndpoint, binding: Binding<'_>) -> Result<Connected, DialError> {
    let attempt = async {
        let addresses = resolve(&at.host, at.port).await?;
        race(addresses, |address| connect(address, binding)).await
    };
    tokio::time::timeout(DIAL_TIMEOUT, attempt).await.unwrap_or(Err(DialError::TimedOut(DIAL_TIMEOUT)))
}

/// Connects to a neighbour's address through the interface that it was heard on.
pub(crate) async fn connect_in_time(address: SocketAddr, binding: Binding<'_>) -> Result<Connection, DialError> {
    let attempt = connect(address, binding);
    let connected = tokio::time::timeout(NEIGHBOUR_TIMEOUT, attempt).await;
    connected.unwrap_or(Err(DialError::TimedOut(NEIGHBOUR_TIMEOUT))).map(Connected::into_connection)
}

/// A TCP connection with our options set, and its ends.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    remote: SocketAddr,
    local: IpAddr,
}

impl Connected {
    /// What was said on it so far does not count towards the window.
    pub(super) fn into_connection(self) -> Connection {
        let ends = Ends { remote: Remote::Ip(self.remote), local: Some(self.local), carrier: Carrier::Tcp };
        Connection { stream: Box::new(MeasuredTcp::new(self.stream)), ends }
    }
}

/// Connects to one address.
async fn connect(address: SocketAddr, binding: Binding<'_>) -> Result<Connected, DialError> {
    if is_overlay(address.ip().to_canonical()) {
        return Err(DialError::Overlay(address.ip()));
    }
    let failed = |source| DialError::Connect { address, source };
    let address = scoped(address, binding.interface)?;
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.map_err(failed)?;
    binding.apply(SockRef::from(&socket)).map_err(|error| error.of_dialling(address))?;
    let stream = socket.connect(address).await.map_err(failed)?;
    connected(stream, address).map_err(failed)?.ok_or(DialError::Overlay(address.ip()))
}

/// Accepts peers.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// Listens on `address`; the unspecified IPv6 address takes IPv4 too.
pub(super) fn listen(address: SocketAddr, binding: Binding<'_>) -> Result<Listener, ListenError> {
    let failed = |source: io::Error| listen_error(address, source);
    let scoped = scoped(address, binding.interface).map_err(|_| ListenError::NoInterface {
        address,
        interface: binding.interface.unwrap_or_default().to_owned(),
    })?;
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.map_err(failed)?;
    // A restart must not have to wait for connections of the daemon before it.
    socket.set_reuseaddr(true).map_err(failed)?;
    if address.is_ipv6() {
        SockRef::from(&socket).set_only_v6(!address.ip().is_unspecified()).map_err(failed)?;
    }
    binding.apply(SockRef::from(&socket)).map_err(|error| error.of_listening(address))?;
    socket.bind(scoped).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listener { listener, address })
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that does not come over the overlay.
    ///
    /// # Errors
    /// The system is out of something; it may have it again later.
    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        loop {
            let (stream, remote) = self.listener.accept().await?;
            match connected(stream, remote) {
                Ok(Some(connected)) => return Ok(connected.into_connection()),
                Ok(None) => tracing::debug!(%remote, "refused a peering over the overlay itself"),
                // Gone before we looked at it.
                Err(error) => tracing::debug!(%remote, %error, "lost a connection while accepting it"),
            }
        }
    }
}

/// A connected stream with our options set; none if one of its ends is in the overlay.
fn connected(stream: TcpStream, remote: SocketAddr) -> io::Result<Option<Connected>> {
    let (remote, local) = (canonical(remote), stream.local_addr()?.ip().to_canonical());
    if is_overlay(remote.ip()) || is_overlay(local) {
        return Ok(None);
    }
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    Ok(Some(Connected { stream, remote, local }))
}

pub(super) async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name,
    };
    let failed = |source| DialError::Resolve { name: name.clone(), source };
    let found: Vec<_> = tokio::net::lookup_host((name.as_str(), port)).await.map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(interleaved(found))
}

/// The resolver's order, but with the address families taking turns, so that one that does not work here costs one attempt.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in addresses {
        if address.is_ipv6() == first_family { first.push(address) } else { second.push(address) }
    }
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while turns.len() < MAX_ADDRESSES {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            break;
        }
    }
    turns
}

/// Tries the addresses, each a little later than the one before; the first that answers wins.
pub(super) async fn race<T, A>(addresses: Vec<SocketAddr>, attempt: impl Fn(SocketAddr) -> A) -> Result<T, DialError>
where
    A: Future<Output = Result<T, DialError>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut waiting = addresses.into_iter();
    let mut last_error = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(attempt(address)),
            None if attempts.is_empty() => break,
            None => {}
        }
        let patience = if waiting.len() == 0 { DIAL_TIMEOUT } else { NEXT_ADDRESS_AFTER };
        match tokio::time::timeout(patience, attempts.next()).await {
            Ok(Some(Ok(connected))) => return Ok(connected),
            Ok(Some(Err(error))) => last_error = Some(error),
            Ok(None) | Err(_) => {}
        }
    }
    Err(last_error.unwrap_or(DialError::TimedOut(DIAL_TIMEOUT)))
}

/// The address with the interface as its scope, which link-local addresses need.
pub(super) fn scoped(address: SocketAddr, interface: Option<&str>) -> Result<SocketAddr, DialError> {
    match (address, interface) {
        (SocketAddr::V6(v6), Some(name)) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            let index = nix::net::if_::if_nametoindex(name).map_err(|_| DialError::NoInterface(name.to_owned()))?;
            Ok(SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index).into())
        }
        _ => Ok(address),
    }
}

/// IPv4 as IPv4, also where it came through an IPv6 socket.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

pub(super) fn listen_error(address: SocketAddr, source: io::Error) -> ListenError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => ListenError::InUse(address),
        Some(Errno::EADDRNOTAVAIL) => ListenError::NotOurs(address),
        Some(Errno::EACCES) => ListenError::NotAllowed(address),
        _ => ListenError::Os { address, source },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn at(text: &str, port: u16) -> NetEndpoint {
        NetEndpoint { host: Host::Ip(text.parse().unwrap()), port, path: String::new() }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_listener_on_every_address_takes_ipv4_and_ipv6_and_shows_each_as_itself() {
        run(async {
            let listener = listen("[::]:0".parse().unwrap(), Binding::default()).unwrap();
            let port = listener.address().port();
            for address in ["127.0.0.1", "::1"] {
                let at = at(address, port);
                let (dialled, accepted) = tokio::join!(dial(&at, Binding::default()), listener.accept());
                let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
                assert_eq!(dialled.remote.ip().to_string(), address);
                assert!(matches!(accepted.ends.remote, Remote::Ip(remote) if remote.ip().to_string() == address));
                assert_eq!(accepted.ends.carrier, Carrier::Tcp);
                dialled.stream.write_all(b"ping").await.unwrap();
                let mut read = [0; 4];
                accepted.stream.read_exact(&mut read).await.unwrap();
                assert_eq!(&read, b"ping");
            }
        });
    }

    #[test]
    fn a_name_is_tried_at_every_address_it_has() {
        run(async {
            // Nothing listens at the first: the second must be tried without waiting for a timeout.
            let listener = listen("127.0.0.1:0".parse().unwrap(), Binding::default()).unwrap();
            let dead = listen("[::1]:0".parse().unwrap(), Binding::default()).unwrap().address();
            let attempt = |address| connect(address, Binding::default());
            let (dialled, accepted) = tokio::join!(race(vec![dead, listener.address()], attempt), listener.accept());
            assert_eq!(dialled.unwrap().remote, listener.address());
            accepted.unwrap();
        });
    }

    #[test]
    fn an_overlay_address_is_never_dialled() {
        run(async {
            for address in ["612:3456::1", "7ff::1"] {
                let result = dial(&at(address, 7463), Binding::default()).await;
                assert!(matches!(result, Err(DialError::Overlay(_))), "{address}");
            }
        });
    }

    #[test]
    fn a_taken_port_is_said_to_be_taken() {
        run(async {
            let first = listen("127.0.0.1:0".parse().unwrap(), Binding::default()).unwrap();
            let error = listen(first.address(), Binding::default()).err().unwrap();
            assert!(matches!(error, ListenError::InUse(_)), "{error}");
            let error = listen("192.0.2.1:0".parse().unwrap(), Binding::default()).err().unwrap();
            assert!(matches!(error, ListenError::NotOurs(_)), "{error}");
        });
    }

    #[test]
    fn address_families_take_turns() {
        let parse = |text: &str| text.parse().unwrap();
        let found = vec![parse("[2001:db8::1]:1"), parse("[2001:db8::2]:1"), parse("192.0.2.1:1")];
        let turns = vec![parse("[2001:db8::1]:1"), parse("192.0.2.1:1"), parse("[2001:db8::2]:1")];
        assert_eq!(interleaved(found), turns);
    }

    #[test]
    fn a_link_local_address_takes_its_scope_from_the_interface() {
        let address = scoped("[fe80::1]:1".parse().unwrap(), Some("lo")).unwrap();
        assert!(matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0));
        let missing = scoped("[fe80::1]:1".parse().unwrap(), Some("nonesuch"));
        assert!(matches!(missing, Err(DialError::NoInterface(_))));
    }
}
