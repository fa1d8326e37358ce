//! Packet buffers: one allocation per packet from the TUN to the socket, with room in front for the headers that are added on
//! the way and room behind for the authentication tag.
//!
//! A packet is encrypted and framed in place and written once; nothing on the packet path copies a payload. Storage is
//! always initialised memory of one of two sizes, kept on a bounded free list of the thread that drops it, so in the steady
//! state buffers are not allocated anew. A buffer owns its storage alone: what waits in a queue pins no neighbour's memory, and
//! [`PacketBuf::footprint`] is exactly what a byte limit has to count.

use std::cell::RefCell;

/// Bytes in front of a packet for everything that is put there: session header (16), frame header (10), traffic fields (at
/// most 2 + 3 × 32 + 10) and two coordinate lists (2 × (2 + 126)).
pub const HEADROOM: usize = 384;
/// Bytes behind a packet: the AEAD tag.
pub const TAILROOM: usize = 16;

/// Storage for packets of an ordinary MTU.
const SMALL: usize = 2048;
/// Storage for the largest frame with room around it.
const LARGE: usize = HEADROOM + 65_535 + TAILROOM;
/// Free buffers kept per thread: 2 MiB of small ones and 4 MiB of large ones at the most.
const KEPT_SMALL: usize = 1024;
const KEPT_LARGE: usize = 64;

thread_local! {
    static FREE: RefCell<FreeLists> = const { RefCell::new(FreeLists { small: Vec::new(), large: Vec::new() }) };
}

struct FreeLists {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

fn take_storage(len: usize) -> Box<[u8]> {
    let (size, kept) = match len {
        0..=SMALL => (SMALL, FREE.try_with(|free| free.borrow_mut().small.pop())),
        _ if len <= LARGE => (LARGE, FREE.try_with(|free| free.borrow_mut().large.pop())),
        _ => (len, Ok(None)),
    };
    kept.ok().flatten().unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

fn give_back(storage: Box<[u8]>) {
    // The thread's list may be gone already while the thread ends; then the storage is simply freed.
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        match storage.len() {
            SMALL if free.small.len() < KEPT_SMALL => free.small.push(storage),
            LARGE if free.large.len() < KEPT_LARGE => free.large.push(storage),
            _ => {}
        }
    });
}

/// What a host left undone in a packet, for whoever hands it on: as with a network card that computes checksums and cuts segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Nothing: the packet is complete.
    #[default]
    None,
    /// The transport checksum: its field holds the sum of the pseudo header only.
    Checksum,
    /// The checksum, and the packet stands for several, each with the headers of this one and so many bytes of its payload (the last
    /// may have fewer).
    Segments(u16),
}

/// A packet or frame in the middle of a larger buffer. Dereferences to its bytes.
pub struct PacketBuf {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
    /// What is left undone in the packet.
    pub offload: Offload,
}

impl PacketBuf {
    /// An empty packet with [`HEADROOM`] in front and space for at least `capacity` bytes and [`TAILROOM`] behind.
    pub fn with_capacity(capacity: usize) -> Self {
        let storage = take_storage(HEADROOM + capacity + TAILROOM);
        Self { storage, start: HEADROOM, end: HEADROOM, offload: Offload::None }
    }

    /// A packet of `len` bytes to be overwritten by the caller. **Its contents are those of an earlier packet**: for
    /// reading into, never for sending before all of it is written.
    pub fn for_reading(len: usize) -> Self {
        let mut packet = Self::with_capacity(len);
        packet.end += len;
        packet
    }

    /// Bytes in front that [`PacketBuf::prepend`] can use without copying.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes behind that [`PacketBuf::append`] can use without copying.
    pub fn tailroom(&self) -> usize {
        self.storage.len() - self.end
    }

    /// Memory this packet occupies, whatever its length. Byte limits count this.
    pub fn footprint(&self) -> usize {
        self.storage.len()
    }

    /// Grows the packet by `len` bytes at its front and returns them, to be overwritten. Copies only if the headroom is used up.
    pub fn prepend(&mut self, len: usize) -> &mut [u8] {
        if len > self.start {
            self.regrow(len + HEADROOM, 0);
        }
        self.start -= len;
        &mut self.storage[self.start..self.start + len]
    }

    /// Adds `bytes` at the end. Copies the packet only if the tailroom is used up.
    pub fn append(&mut self, bytes: &[u8]) {
        if bytes.len() > self.tailroom() {
            self.regrow(self.start, bytes.len() + TAILROOM);
        }
        self.storage[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Drops the first `len` bytes (all, if there are fewer): they become headroom.
    pub fn advance(&mut self, len: usize) {
        self.start += len.min(self.len());
    }

    /// Keeps the first `len` bytes (all, if there are fewer).
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Moves the packet to storage with at least the given room around it.
    fn regrow(&mut self, front: usize, back: usize) {
        let len = self.end - self.start;
        let mut storage = take_storage(front + len + back);
        storage[front..front + len].copy_from_slice(&self.storage[self.start..self.end]);
        give_back(std::mem::replace(&mut self.storage, storage));
        self.start = front;
        self.end = front + len;
    }
}

impl From<&[u8]> for PacketBuf {
    fn from(bytes: &[u8]) -> Self {
        let mut packet = Self::with_capacity(bytes.len());
        packet.append(bytes);
        packet
    }
}

impl std::ops::Deref for PacketBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }
}

impl std::ops::DerefMut for PacketBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }
}

impl Clone for PacketBuf {
    fn clone(&self) -> Self {
        let mut copy = Self::from(&**self);
        copy.offload = self.offload;
        copy
    }
}

impl std::fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketBuf({} bytes)", self.len())
    }
}

impl Drop for PacketBuf {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.storage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_in_front_without_moving_the_payload() {
        let mut packet = PacketBuf::from(&b"payload"[..]);
        let payload_at = packet.as_ptr();
        packet.prepend(4).copy_from_slice(b"head");
        assert_eq!(&*packet, b"headpayload");
        packet.advance(4);
        assert_eq!(packet.as_ptr(), payload_at);
    }

    #[test]
    fn grows_by_copying_when_the_room_is_used_up() {
        let mut packet = PacketBuf::from(&[1; 10][..]);
        packet.prepend(HEADROOM + 100).fill(2);
        packet.append(&[3; 70_000]);
        assert_eq!(packet.len(), HEADROOM + 100 + 10 + 70_000);
        assert_eq!((packet[0], packet[HEADROOM + 100], packet[packet.len() - 1]), (2, 1, 3));
    }

    #[test]
    fn storage_is_reused_by_the_thread_that_dropped_it() {
        let first = PacketBuf::with_capacity(100);
        let at = first.as_ptr();
        drop(first);
        assert_eq!(PacketBuf::with_capacity(200).as_ptr(), at);
    }

    #[test]
    fn truncate_and_advance_never_go_past_the_ends() {
        let mut packet = PacketBuf::from(&b"abc"[..]);
        packet.truncate(10);
        packet.advance(10);
        assert!(packet.is_empty());
    }
}
