//! The host's side of the node: an interface that packets come from and go to.
//!
//! [`Tun`] is what the core loop sees: packets one at a time, never waiting. Opening and setting up the kernel's interface is in
//! [`linux`], its in-memory twin for tests in [`memory`].

pub(crate) mod linux;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod netns;
mod offload;

use std::io;
use std::task::{Context, Poll};

use crate::buf::PacketBuf;

/// An open interface, or the lack of one.
pub(crate) enum Tun {
    /// The kernel's.
    Kernel(linux::KernelTun),
    /// A pair of queues.
    #[cfg(test)]
    Memory(memory::MemoryTun),
    /// `tun.name = "none"`: the node routes for others only.
    None,
}

impl Tun {
    /// The next packet from the host.
    ///
    /// # Errors
    /// The interface is gone, for good.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<PacketBuf>> {
        match self {
            Self::Kernel(tun) => tun.poll_recv(cx),
            #[cfg(test)]
            Self::Memory(tun) => tun.poll_recv(cx),
            Self::None => Poll::Pending,
        }
    }

    /// Whether the interface is gone, for good. To be asked every second or so: not every way of going wakes [`Tun::poll_recv`].
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Kernel(tun) => tun.is_gone(),
            #[cfg(test)]
            Self::Memory(_) => false,
            Self::None => false,
        }
    }

    /// Hands a packet to the host at once.
    ///
    /// # Errors
    /// The host did not take it; the packet is to be dropped.
    pub(crate) fn send(&mut self, packet: PacketBuf) -> io::Result<()> {
        match self {
            Self::Kernel(tun) => tun.send(packet),
            #[cfg(test)]
            Self::Memory(tun) => tun.send(packet),
            Self::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
