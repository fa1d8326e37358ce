//! The kernel's TUN interface: opening it, giving it our address and route, and undoing that.
//!
//! Three ways to one: we make it (needs CAP_NET_ADMIN; it vanishes when we close it), it was made for us beforehand and belongs to
//! our user (`ip tuntap add dev pine0 mode tun user pinecone`), or its descriptor was passed to us. In the latter two we may
//! not be allowed more than to use it: then what we would have set up has to be there, and what is missing is said as commands.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::addr;
use crate::buf::PacketBuf;
use crate::shell::netlink::{Interface, Netlink, Route};
use crate::shell::tun::netns::{Namespace, NamespaceError};
use crate::shell::tun::offload::Offload;

/// The largest IP packet there is on a TUN, whatever MTU somebody sets on it later.
const LARGEST: usize = 65_535;
/// Packets up to this are copied to a buffer of their own size (some 30 ns): read in place, each acknowledgement that waits in some queue
/// would hold 64 KiB.
const COPY_UP_TO: usize = 1_600;
/// Bytes that the kernel's queue in front of us should hold: 8 MiB is about 6 ms at 10 Gbit/s.
const QUEUE_BYTES: u32 = 8 << 20;
/// The queue in packets: the kernel's default, below which bursts are lost, and what 1,400-byte packets need (measured: no loss).
const QUEUE_PACKETS: std::ops::RangeInclusive<u32> = 500..=5_000;
/// Metrics for the route to the overlay, of which the first free one is taken: the kernel's default and enough more for all the
/// daemons that one may want to run on a host.
const ROUTE_METRICS: std::ops::RangeInclusive<u32> = 1_024..=1_055;

/// The overlay in two halves, for routes by source: the kernel does not look at the routes without a source to exactly the same
/// prefix (Linux 6.18), only at those to a shorter one.
const HALVES: [(Ipv6Addr, u8); 2] = [
    (Ipv6Addr::new(0x0600, 0, 0, 0, 0, 0, 0, 0), addr::PREFIX_LEN + 1),
    (Ipv6Addr::new(0x0700, 0, 0, 0, 0, 0, 0, 0), addr::PREFIX_LEN + 1),
];

/// Which interface to open.
#[derive(Clone, Debug)]
pub(crate) struct TunParams {
    /// Its name; ignored with a descriptor.
    pub(crate) name: String,
    /// A descriptor of an open TUN that was passed to us.
    pub(crate) fd: Option<RawFd>,
    /// Its MTU in bytes.
    pub(crate) mtu: u16,
    /// Whether the kernel is asked for segmentation offload.
    pub(crate) offload: bool,
    /// Our overlay address.
    pub(crate) address: Ipv6Addr,
    /// Our routed /64.
    pub(crate) subnet: Ipv6Addr,
    /// The namespace that it is in, if that is another one than ours.
    pub(crate) netns: Option<Arc<Namespace>>,
}

impl TunParams {
    /// Does something where the interface is.
    fn within<T>(&self, act: impl FnOnce() -> T) -> Result<T, TunError> {
        match &self.netns {
            Some(netns) => Ok(netns.within(act)?),
            None => Ok(act()),
        }
    }
}

/// Why there is no interface. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunError {
    /// No TUN driver.
    #[error("/dev/net/tun does not exist: load the driver (modprobe tun), or pass the device to the container")]
    NoDriver,
    /// The driver's device file is closed to us.
    #[error("no permission to open /dev/net/tun: most systems let everybody (chmod 0666 /dev/net/tun), or run as root")]
    DeviceFile,
    /// Not allowed to make or use it.
    #[error(
        "not allowed to open {name}: run with CAP_NET_ADMIN, or make the interface beforehand for this user \
         (ip tuntap add dev {name} mode tun user {user})"
    )]
    NotAllowed {
        /// The interface.
        name: String,
        /// Our user, by number.
        user: u32,
    },
    /// Somebody else has it open.
    #[error("{name} is in use by another process (is pineconed running already?): stop that, or set another tun.name")]
    Busy {
        /// The interface.
        name: String,
    },
    /// There is an interface of that name, but it is no TUN.
    #[error("{name} exists and is not a TUN interface: set another tun.name, or remove it (ip link delete {name})")]
    NotATun {
        /// The interface.
        name: String,
    },
    /// tun.fd is not one.
    #[error("tun.fd = {fd} is not an open TUN interface: pass a descriptor on which TUNSETIFF was called")]
    BadDescriptor {
        /// The number given.
        fd: RawFd,
    },
    /// IPv6 is switched off.
    #[error(
        "IPv6 is disabled on {name}: sysctl -w net.ipv6.conf.{name}.disable_ipv6=0 \
         (and net.ipv6.conf.default.disable_ipv6=0; the kernel must not run with ipv6.disable=1)"
    )]
    Ipv6Disabled {
        /// The interface.
        name: String,
    },
    /// The namespace that it should be in.
    #[error("tun.netns: {0}")]
    Namespace(#[from] NamespaceError),
    /// Anything else.
    #[error("cannot {what} {name}: {source}")]
    Os {
        /// What failed.
        what: &'static str,
        /// The interface.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// An open TUN interface.
pub(crate) struct KernelTun {
    fd: AsyncFd<OwnedFd>,
    offload: Offload,
    /// Where the next packet is read to, with what the kernel puts in front of it.
    buffer: PacketBuf,
}

/// What has to be undone on an interface that outlives us.
#[derive(Debug, Default)]
pub(crate) struct Added {
    index: u32,
    address: Option<Ipv6Addr>,
    routes: Vec<Route>,
}

impl Added {
    /// Whether there is anything to undo.
    pub(crate) fn is_something(&self) -> bool {
        self.address.is_some() || !self.routes.is_empty()
    }
}

/// Opens the interface and sets it up. Returns it with its name and what to undo.
pub(crate) async fn open(params: &TunParams, netlink: &Netlink) -> Result<(KernelTun, String, Added), TunError> {
    let (fd, name, ours) = match params.fd {
        Some(fd) => {
            let name = name_of(fd).ok_or(TunError::BadDescriptor { fd })?;
            // SAFETY: `name_of` saw that the descriptor is open, and the configuration says that it is ours to use. `pineconed` opens
            // no descriptor by number anywhere else, so nobody else closes it.
            #[allow(unsafe_code)]
            (unsafe { OwnedFd::from_raw_fd(fd) }, name, false)
        }
        None => {
            let existed = netlink.index_of(&params.name).await.map_err(os("look for", &params.name))?.is_some();
            let fd = params.within(|| attach(&params.name, params.offload))??;
            (fd, params.name.clone(), !existed)
        }
    };
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .map_err(|error| os("use", &name)(error.into()))?;
    let offload = Offload::negotiate(&fd, params.offload).map_err(os("ask for segmentation offload on", &name))?;
    let added = set_up(&name, ours, params, netlink).await?;
    // SAFETY: an `OwnedFd` is open, and the same one, until it is dropped; the `AsyncFd` owns it and nothing takes it out.
    #[allow(unsafe_code)]
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| os("wait on", &name)(error.into()))?;
    Ok((KernelTun { fd, offload, buffer: reading_buffer(offload) }, name, added))
}

/// Takes our address and route off an interface that outlives us.
pub(crate) async fn undo(added: &Added, netlink: &Netlink) {
    let mut results = Vec::new();
    for route in &added.routes {
        results.push(netlink.remove_route(route).await);
    }
    if let Some(address) = added.address {
        results.push(netlink.remove_address(added.index, address).await);
    }
    for error in results.into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "could not take our address and route off the interface");
    }
}

impl KernelTun {
    /// The next packet from the host.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<PacketBuf>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match nix::unistd::read(self.fd.get_ref(), &mut self.buffer) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => return Poll::Ready(Ok(self.take(len))),
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Whether the interface was deleted. Asked now and then: when it happens the kernel wakes us before it can say so, and never
    /// again.
    pub(crate) fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.get_ref().as_fd(), PollFlags::empty())];
        let _ = nix::poll::poll(&mut fds, PollTimeout::ZERO);
        fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
    }

    /// Hands a packet to the host.
    pub(crate) fn send(&mut self, packet: PacketBuf) -> io::Result<()> {
        let mut result = Ok(());
        self.offload.prepare(packet, |bytes| {
            if let Err(error) = nix::unistd::write(self.fd.get_ref(), bytes) {
                result = Err(error.into());
            }
        });
        result
    }

    /// The `len` bytes that were read, in a buffer that fits.
    fn take(&mut self, len: usize) -> PacketBuf {
        let mut packet = if len <= COPY_UP_TO {
            PacketBuf::from(&self.buffer[..len])
        } else {
            let mut packet = std::mem::replace(&mut self.buffer, reading_buffer(self.offload));
            packet.truncate(len);
            packet
        };
        self.offload.receive(&mut packet);
        packet
    }
}

/// Room for the largest packet, and for what the kernel puts in front of it in the headroom.
fn reading_buffer(offload: Offload) -> PacketBuf {
    let mut buffer = PacketBuf::for_reading(LARGEST);
    buffer.prepend(offload.header_len());
    buffer
}

/// Makes the interface, or attaches to the one that was made for us.
fn attach(name: &str, offload: bool) -> Result<OwnedFd, TunError> {
    let mut config = tun::Configuration::default();
    // The crate shall only open: it sets addresses by IPv4 ioctls.
    config.tun_name(name).platform_config(|platform| {
        platform.ensure_root_privileges(false).vnet_hdr(offload);
    });
    let device = tun::create(&config).map_err(|error| open_error(name, error.into()))?;
    let fd = device.into_raw_fd();
    // SAFETY: `into_raw_fd` gave us the only owner of an open descriptor.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open_error(name: &str, error: io::Error) -> TunError {
    let name = name.to_owned();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => TunError::NoDriver,
        Some(Errno::EACCES) => TunError::DeviceFile,
        Some(Errno::EPERM) => TunError::NotAllowed { name, user: nix::unistd::geteuid().as_raw() },
        Some(Errno::EBUSY) => TunError::Busy { name },
        Some(Errno::EINVAL) => TunError::NotATun { name },
        _ => os("open", &name)(error),
    }
}

/// The name of the interface behind a TUN descriptor: the kernel shows it among what it tells about our descriptors.
fn name_of(fd: RawFd) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let name = info.lines().find_map(|line| line.strip_prefix("iff:"))?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// MTU, address, route, up. On an interface that is not `ours`, being refused is no error if everything is there already.
async fn set_up(name: &str, ours: bool, params: &TunParams, netlink: &Netlink) -> Result<Added, TunError> {
    let index = netlink.index_of(name).await.map_err(os("look for", name))?;
    let index = index.ok_or_else(|| os("look for", name)(io::ErrorKind::NotFound.into()))?;
    if ours {
        // Containers often switch IPv6 off for every interface to come. This one has no other purpose; if we may not, the
        // next step says so.
        let _ = params.within(|| std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "0"))?;
    }
    let mut added = Added { index, ..Added::default() };
    match configure(params, netlink, &mut added).await {
        Ok(()) => {}
        Err((_, error)) if error.raw_os_error() == Some(Errno::EPERM as i32) && !ours => {
            verify(name, params, netlink, index).await?;
        }
        Err((what, error)) => return Err(set_up_error(what, name, error)),
    }
    if ours {
        // Nothing to undo: it all goes with the interface.
        added = Added::default();
    }
    Ok(added)
}

async fn configure(params: &TunParams, netlink: &Netlink, added: &mut Added) -> Result<(), (&'static str, io::Error)> {
    let queue = (QUEUE_BYTES / u32::from(params.mtu.max(1))).clamp(*QUEUE_PACKETS.start(), *QUEUE_PACKETS.end());
    netlink.set_up(added.index, params.mtu, queue).await.map_err(|error| ("set up", error))?;
    if did(netlink.add_address(added.index, params.address).await).map_err(|error| ("add our address to", error))? {
        added.address = Some(params.address);
    }
    add_routes(params, netlink, added).await.map_err(|error| ("route the overlay to", error))
}

/// Routes the overlay to the interface. If it is routed elsewhere already, to another daemon of this host, our route gets a higher
/// metric, so that it takes over when that one goes, and what comes from our addresses is routed here all the same.
async fn add_routes(params: &TunParams, netlink: &Netlink, added: &mut Added) -> io::Result<()> {
    if netlink.routed_to(addr::PREFIX, addr::PREFIX_LEN).await?.contains(&added.index) {
        return Ok(());
    }
    for metric in ROUTE_METRICS {
        let route = Route { index: added.index, to: (addr::PREFIX, addr::PREFIX_LEN), from: None, metric };
        if did(netlink.add_route(&route).await)? {
            added.routes.push(route);
            break;
        }
    }
    if added.routes.first().is_some_and(|route| route.metric == *ROUTE_METRICS.start()) {
        return Ok(());
    }
    tracing::info!("the overlay is routed to another interface too: see ip -6 route show {}", overlay());
    for to in HALVES {
        for from in [(params.address, 128), (params.subnet, 64)] {
            let route = Route { index: added.index, to, from: Some(from), metric: *ROUTE_METRICS.start() };
            if did(netlink.add_route(&route).await)? {
                added.routes.push(route);
            }
        }
    }
    Ok(())
}

/// Whether something was done, rather than done before.
fn did(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn set_up_error(what: &'static str, name: &str, error: io::Error) -> TunError {
    match error.raw_os_error().map(Errno::from_raw) {
        // The kernel refuses an IPv6 address with EACCES where IPv6 is switched off, and with EOPNOTSUPP where it has none.
        Some(Errno::EACCES | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) => {
            TunError::Ipv6Disabled { name: name.to_owned() }
        }
        Some(Errno::EPERM) => TunError::NotAllowed { name: name.to_owned(), user: nix::unistd::geteuid().as_raw() },
        _ => os(what, name)(error),
    }
}

/// Says what is missing on an interface that we may use but not set up. It is no error: whoever may can still type it.
async fn verify(name: &str, params: &TunParams, netlink: &Netlink, index: u32) -> Result<(), TunError> {
    let snapshot = netlink.snapshot().await.map_err(os("look at", name))?;
    let routed_to =
        netlink.routed_to(addr::PREFIX, addr::PREFIX_LEN).await.map_err(os("look at the routes of", name))?;
    let missing = missing(name, params, snapshot.interface(index), routed_to.contains(&index));
    if !missing.is_empty() {
        tracing::warn!("{name} is not set up and we may not do it; type as root: {}", missing.join("; "));
    }
    Ok(())
}

/// The commands that would set up what is missing.
fn missing(name: &str, params: &TunParams, interface: Option<&Interface>, routed: bool) -> Vec<String> {
    let mut commands = Vec::new();
    if !interface.is_some_and(|interface| interface.up && interface.mtu == u32::from(params.mtu)) {
        commands.push(format!("ip link set {name} mtu {} up", params.mtu));
    }
    if !interface.is_some_and(|interface| interface.has_address(params.address.into())) {
        commands.push(format!("ip addr add {}/128 dev {name} nodad", params.address));
    }
    if !routed {
        commands.push(format!("ip -6 route add {} dev {name}", overlay()));
    }
    commands
}

fn overlay() -> String {
    format!("{}/{}", addr::PREFIX, addr::PREFIX_LEN)
}

fn os(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> TunError {
    let name = name.to_owned();
    move |source| TunError::Os { what, name, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> TunParams {
        TunParams {
            name: "pine0".into(),
            fd: None,
            mtu: 65_000,
            offload: true,
            address: "600::1".parse().unwrap(),
            subnet: "700::".parse().unwrap(),
            netns: None,
        }
    }

    #[test]
    fn says_as_commands_what_is_missing_on_an_interface_that_it_may_not_set_up() {
        let mut interface = Interface { name: "pine0".into(), mtu: 1_500, up: true, ..Interface::default() };
        assert_eq!(
            missing("pine0", &params(), Some(&interface), false),
            [
                "ip link set pine0 mtu 65000 up",
                "ip addr add 600::1/128 dev pine0 nodad",
                "ip -6 route add 600::/7 dev pine0"
            ]
        );
        interface.mtu = 65_000;
        interface.addresses.push(("600::1".parse().unwrap(), 128));
        assert_eq!(missing("pine0", &params(), Some(&interface), true), Vec::<String>::new());
    }

    #[test]
    fn every_refusal_of_the_kernel_says_what_to_do() {
        let said = |errno: Errno| open_error("pine0", errno.into()).to_string();
        assert!(said(Errno::ENOENT).contains("modprobe tun"));
        assert!(said(Errno::EACCES).contains("chmod 0666 /dev/net/tun"));
        assert!(said(Errno::EPERM).contains("ip tuntap add dev pine0"));
        assert!(said(Errno::EBUSY).contains("another process"));
        assert!(said(Errno::EINVAL).contains("not a TUN"));
        let disabled = set_up_error("add our address to", "pine0", Errno::EACCES.into()).to_string();
        assert!(disabled.contains("net.ipv6.conf.pine0.disable_ipv6=0"), "{disabled}");
    }

    #[test]
    fn a_descriptor_that_is_no_tun_has_no_name() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(name_of(std::os::fd::AsRawFd::as_raw_fd(&file)), None);
        assert_eq!(name_of(-1), None);
    }
}
