//! UDP sockets for QUIC.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, SndBufForce};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::shell::transport::underlay::{Binding, BindingError};

/// Bytes that the kernel keeps for us while we do something else: a burst at 1 Gbit/s of 15 ms. It counts twice what it needs for bookkeeping.
const BUFFER: usize = 4 << 20;

/// A socket at this address: the unspecified IPv6 address takes IPv4 too.
///
/// # Errors
/// The address, the interface or the mark is refused.
pub(super) fn bind(address: SocketAddr, binding: Binding<'_>) -> Result<UdpSocket, BindingError> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    binding.apply(SockRef::from(&socket))?;
    // Beyond the system's limit if we may, up to it otherwise.
    if setsockopt(&socket, RcvBufForce, &BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(BUFFER);
    }
    if setsockopt(&socket, SndBufForce, &BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(BUFFER);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket to dial from: whichever address the kernel finds best for each packet.
pub(super) fn ephemeral(remote: SocketAddr, binding: Binding<'_>) -> Result<UdpSocket, BindingError> {
    bind(SocketAddr::new(unspecified(remote), 0), binding)
}

/// The address that stands for all of ours in the family of `remote`.
fn unspecified(remote: SocketAddr) -> IpAddr {
    if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// The address of ours from which the kernel would send to `remote` now.
pub(super) fn source(remote: SocketAddr, binding: Binding<'_>) -> Result<IpAddr, BindingError> {
    let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
    binding.apply(SockRef::from(&socket))?;
    // Sends nothing.
    SockRef::from(&socket).connect(&remote.into())?;
    let local = socket.local_addr()?.as_socket().ok_or(io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    Ok(local.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_towards_loopback_is_loopback() {
        for remote in ["127.0.0.1:9", "[::1]:9"] {
            let remote: SocketAddr = remote.parse().unwrap();
            assert_eq!(source(remote, Binding::default()).unwrap(), remote.ip());
        }
    }

    #[test]
    fn a_socket_on_every_address_takes_both_families_and_another_only_its_own() {
        let all = bind("[::]:0".parse().unwrap(), Binding::default()).unwrap();
        let sender = bind("127.0.0.1:0".parse().unwrap(), Binding::default()).unwrap();
        sender.send_to(b"x", ("127.0.0.1", all.local_addr().unwrap().port())).unwrap();
        assert_eq!(all.recv_from(&mut [0; 4]).unwrap().1.ip().to_canonical(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let taken = sender.local_addr().unwrap();
        let error = bind(taken, Binding::default()).unwrap_err();
        assert!(matches!(error, BindingError::Socket(error) if error.kind() == io::ErrorKind::AddrInUse));
    }
}
