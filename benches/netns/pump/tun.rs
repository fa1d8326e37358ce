//! The pump's end of a TUN interface that exists already. Opened here and not by a crate because of the offloads.
#![allow(unsafe_code, reason = "two ioctls that no safe interface has")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::libc::{IFF_NO_PI, IFF_TUN, IFF_VNET_HDR, O_NONBLOCK, c_int, c_ulong};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Checksums, and segmentation of TCP over IPv4 and IPv6 (linux/if_tun.h): the kernel leaves them to us, and we to the other side's
/// kernel.
const OFFLOADS: c_ulong = 0x01 | 0x02 | 0x04;

/// The part of `struct ifreq` that TUNSETIFF reads, with its true size.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

nix::ioctl_write_ptr_bad!(tun_set_interface, nix::request_code_write!(b'T', 202, size_of::<c_int>()), Request);
nix::ioctl_write_int!(tun_set_offload, b'T', 208);

/// An open TUN interface, not blocking.
pub(super) struct Tun(File);

impl Tun {
    /// Opens the interface `name`; with `offload`, packets have virtio headers.
    pub(super) fn open(name: &str, offload: bool) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).custom_flags(O_NONBLOCK).open("/dev/net/tun")?;
        let flags = IFF_TUN | IFF_NO_PI | if offload { IFF_VNET_HDR } else { 0 };
        let mut request = Request { name: [0; 16], flags: flags as i16, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads an ifreq, which `request` is laid out as and as long as, and keeps no pointer to it.
        unsafe { tun_set_interface(file.as_raw_fd(), &raw const request) }?;
        if offload {
            // SAFETY: TUNSETOFFLOAD takes its argument by value.
            unsafe { tun_set_offload(file.as_raw_fd(), OFFLOADS) }?;
        }
        Ok(Self(file))
    }

    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Reads one packet, or fails with `WouldBlock`.
    pub(super) fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Writes one packet.
    pub(super) fn write(&self, packet: &[u8]) -> std::io::Result<usize> {
        (&self.0).write(packet)
    }

    /// Waits for a packet.
    pub(super) fn wait_readable(&self) -> std::io::Result<()> {
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        Ok(())
    }
}
