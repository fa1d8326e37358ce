//! Segmentation offload on a TUN descriptor: asking the kernel for it, and the header that then stands in front of every packet.
//!
//! With it the kernel hands over what TCP wrote as one packet of up to 64 KiB where it would otherwise cut it to the MTU, takes such packets
//! from us, and computes no checksums for what never touches a wire. What is in the header is in [`crate::ip::offload`]. A host
//! that does not do it (an old kernel, a descriptor that was opened without, `tun.offload = false`) still gets everything that others
//! send: [`Offload::prepare`] cuts it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::libc;

use crate::buf::{self, PacketBuf};
use crate::ip::offload::{self, VIRTIO_LEN};
use crate::ip::segment;

/// Flags of TUNSETOFFLOAD (linux/if_tun.h). The kernel takes those for UDP only together, since Linux 6.2.
const CHECKSUM: libc::c_int = 0x01;
const TCP6: libc::c_int = 0x04;
const TCP_ECN: libc::c_int = 0x08;
const UDP4: libc::c_int = 0x20;
const UDP6: libc::c_int = 0x40;

#[allow(unsafe_code, clippy::missing_docs_in_private_items, missing_docs)]
mod ioctl {
    use nix::libc;

    nix::ioctl_write_int_bad!(tun_set_offload, nix::request_code_write!(b'T', 208, size_of::<libc::c_uint>()));
    nix::ioctl_read_bad!(tun_get_iff, nix::request_code_read!(b'T', 210, size_of::<libc::c_uint>()), libc::ifreq);
    nix::ioctl_write_ptr_bad!(
        tun_set_vnet_hdr_sz,
        nix::request_code_write!(b'T', 216, size_of::<libc::c_int>()),
        libc::c_int
    );
}

/// What the kernel does for us on a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offload {
    /// A virtio-net header stands in front of every packet, in both directions.
    header: bool,
    /// Large packets of UDP too.
    udp: bool,
}

impl Offload {
    /// Asks for all that the kernel knows; of a descriptor that was opened without headers, for nothing.
    pub(super) fn negotiate(fd: &impl AsRawFd, wanted: bool) -> io::Result<Self> {
        let fd = fd.as_raw_fd();
        if !has_header(fd)? {
            // An interface that outlives its users keeps what the last one asked for, and large packets are of no use without a header.
            // SAFETY: the descriptor is open for as long as it is borrowed; the argument is a number.
            #[allow(unsafe_code)]
            let _ = unsafe { ioctl::tun_set_offload(fd, 0) };
            return Ok(Self::default());
        }
        let len = VIRTIO_LEN as libc::c_int;
        // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads one int.
        #[allow(unsafe_code)]
        unsafe { ioctl::tun_set_vnet_hdr_sz(fd, &raw const len) }?;
        let tcp = CHECKSUM | TCP6 | TCP_ECN;
        let choices = if wanted { &[(tcp | UDP4 | UDP6, true), (tcp, false), (0, false)][..] } else { &[(0, false)] };
        for (flags, udp) in choices {
            // SAFETY: the descriptor is open for as long as it is borrowed; the argument is a number.
            #[allow(unsafe_code)]
            if unsafe { ioctl::tun_set_offload(fd, *flags) }.is_ok() {
                return Ok(Self { header: true, udp: *udp });
            }
        }
        Ok(Self { header: true, udp: false })
    }

    /// Bytes in front of every packet that is read.
    pub(super) fn header_len(self) -> usize {
        if self.header { VIRTIO_LEN } else { 0 }
    }

    /// Takes the header off a packet that was read. One that makes no sense leaves nothing of its packet, which is so counted as
    /// malformed.
    pub(super) fn receive(self, packet: &mut PacketBuf) {
        if !self.header {
            return;
        }
        let header = packet.first_chunk().copied();
        packet.advance(VIRTIO_LEN);
        if header.is_none_or(|header| offload::from_host(header, packet).is_err()) {
            packet.truncate(0);
        }
    }

    /// Makes what is to be written of a packet: itself, or all that it stands for.
    pub(super) fn prepare(self, packet: PacketBuf, mut write: impl FnMut(&[u8])) {
        if !self.header {
            return segment::complete(packet, |piece| write(&piece));
        }
        let mut with_header = |mut packet: PacketBuf| {
            let header = offload::to_host(&packet);
            packet.prepend(VIRTIO_LEN).copy_from_slice(&header);
            write(&packet);
        };
        if self.udp || !matches!(packet.offload, buf::Offload::Segments(_)) || offload::is_tcp(&packet) {
            return with_header(packet);
        }
        segment::complete(packet, with_header);
    }
}

/// Whether the descriptor was opened with IFF_VNET_HDR.
fn has_header(fd: RawFd) -> io::Result<bool> {
    // SAFETY: all zeros is a valid `ifreq`, and what the kernel is to fill in.
    #[allow(unsafe_code)]
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for as long as the caller borrows it; the kernel fills in the request, which is of the type that
    // TUNGETIFF writes, and of it always the flags.
    #[allow(unsafe_code)]
    let flags = unsafe {
        ioctl::tun_get_iff(fd, &raw mut request)?;
        request.ifr_ifru.ifru_flags
    };
    Ok(libc::c_int::from(flags) & libc::IFF_VNET_HDR != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(len: usize) -> PacketBuf {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((20 + len) as u16).to_be_bytes());
        bytes.extend([6, 64]);
        bytes.extend([6; 32]);
        bytes.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(vec![1; len]);
        PacketBuf::from(&bytes[..])
    }

    fn written(offload: Offload, packet: PacketBuf) -> Vec<usize> {
        let mut lens = Vec::new();
        offload.prepare(packet, |bytes| lens.push(bytes.len()));
        lens
    }

    #[test]
    fn a_large_packet_goes_to_the_kernel_whole_or_in_pieces_as_it_can() {
        let mut large = tcp(4_000);
        large.offload = buf::Offload::Segments(1_440);
        let with = Offload { header: true, udp: false };
        assert_eq!(written(with, large.clone()), [VIRTIO_LEN + 4_060]);
        assert_eq!(written(Offload::default(), large), [1_500, 1_500, 1_180]);
    }

    #[test]
    fn the_header_comes_off_and_a_senseless_one_takes_its_packet_with_it() {
        let with = Offload { header: true, udp: false };
        for (flags, len) in [(0, 160), (1, 0)] {
            let mut packet = tcp(100);
            packet.prepend(VIRTIO_LEN).copy_from_slice(&[flags, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
            packet[1] = if flags == 0 { 0 } else { 3 };
            with.receive(&mut packet);
            assert_eq!(packet.len(), len);
        }
        let mut short = PacketBuf::from(&[0; 3][..]);
        with.receive(&mut short);
        assert!(short.is_empty());
    }
}
