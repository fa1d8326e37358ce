//! The interface's twin in memory: what the core sends comes out at the other end, and the other way round.

use std::io;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::buf::PacketBuf;

/// Packets that wait in either direction; like the kernel's queue, it drops what is more.
const QUEUE: usize = 500;

/// The node's end.
pub(crate) struct MemoryTun {
    from_host: mpsc::Receiver<PacketBuf>,
    to_host: mpsc::Sender<PacketBuf>,
}

/// The host's end: what an application would send and receive.
pub(crate) struct MemoryHost {
    /// Packets to the node.
    pub(crate) send: mpsc::Sender<PacketBuf>,
    /// Packets from the node.
    pub(crate) recv: mpsc::Receiver<PacketBuf>,
}

/// Both ends of an interface.
pub(crate) fn pair() -> (MemoryTun, MemoryHost) {
    let (send, from_host) = mpsc::channel(QUEUE);
    let (to_host, recv) = mpsc::channel(QUEUE);
    (MemoryTun { from_host, to_host }, MemoryHost { send, recv })
}

impl MemoryTun {
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<PacketBuf>> {
        self.from_host.poll_recv(cx).map(|packet| packet.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    pub(crate) fn send(&mut self, packet: PacketBuf) -> io::Result<()> {
        self.to_host.try_send(packet).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}
