//! Packets that wait for their destination: for its key to be found, or for the session with it to come up.
//!
//! The newest packets are kept, up to a minute: when a partition heals they go out at once, where TCP's next retransmission may be half a
//! minute away. Memory is bounded per destination and in all; what is displaced is counted.

use std::collections::BTreeMap;

use crate::addr::Destination;
use crate::bounded::ByteQueue;
use crate::buf::PacketBuf;
use crate::time::{Duration, Instant};

/// How long a packet is kept: longer than most outages that TCP survives, short enough that nothing meaningless is sent.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// Memory of the packets for one destination: a burst of a few flows at the largest MTU.
const BYTES_PER_DESTINATION: usize = 2 << 20;
/// Memory of all waiting packets.
pub const BYTES_IN_ALL: usize = 32 << 20;
/// Destinations at a time; a scan of address space by the host displaces the longest waiting.
const MAX_DESTINATIONS: usize = 1024;

/// The waiting room.
#[derive(Debug, Default)]
pub struct Waiting {
    queues: BTreeMap<Destination, Queue>,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    packets: ByteQueue,
    since: Instant,
}

impl Waiting {
    /// Keeps `packet`; returns how many others had to go.
    pub fn push(&mut self, to: Destination, packet: PacketBuf, now: Instant) -> usize {
        let mut displaced = 0;
        if !self.queues.contains_key(&to) && self.queues.len() >= MAX_DESTINATIONS {
            displaced += self.drop_longest_waiting();
        }
        let queue = self.queues.entry(to).or_insert_with(|| Queue { packets: ByteQueue::default(), since: now });
        let before = queue.packets.bytes();
        displaced += queue.packets.push(packet, BYTES_PER_DESTINATION, now);
        self.bytes = self.bytes + queue.packets.bytes() - before;
        while self.bytes > BYTES_IN_ALL {
            displaced += self.drop_longest_waiting();
        }
        displaced
    }

    /// Takes all packets for a destination, oldest first.
    pub fn take(&mut self, to: &Destination) -> Vec<PacketBuf> {
        let Some(mut queue) = self.queues.remove(to) else { return Vec::new() };
        self.bytes -= queue.packets.bytes();
        std::iter::from_fn(|| queue.packets.pop().map(|(_, packet)| packet)).collect()
    }

    /// Since when packets have been waiting for this destination without a break.
    pub fn since(&self, to: &Destination) -> Option<Instant> {
        self.queues.get(to).map(|queue| queue.since)
    }

    /// Takes what has waited for longer than [`MAX_AGE`].
    pub fn take_expired(&mut self, now: Instant) -> Vec<PacketBuf> {
        let mut expired = Vec::new();
        let bytes = &mut self.bytes;
        self.queues.retain(|_, queue| {
            while let Some(packet) = queue.packets.pop_older_than(MAX_AGE, now) {
                *bytes -= packet.footprint();
                expired.push(packet);
            }
            !queue.packets.is_empty()
        });
        expired
    }

    /// When the next packet is too old.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.packets.oldest()).min().map(|oldest| oldest + MAX_AGE)
    }

    /// Memory occupied, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_longest_waiting(&mut self) -> usize {
        let longest = self.queues.iter().min_by_key(|(_, queue)| queue.since).map(|(to, _)| *to);
        longest.map_or(0, |to| self.take(&to).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PublicKey;

    fn to(n: u16) -> Destination {
        let mut key = [0x80; 32];
        key[1..3].copy_from_slice(&n.to_be_bytes());
        Destination::Node(crate::addr::Address::of(&PublicKey(key)))
    }

    fn packet(mark: u8) -> PacketBuf {
        PacketBuf::from(&[mark; 100][..])
    }

    #[test]
    fn packets_come_out_in_their_order_and_once() {
        let mut waiting = Waiting::default();
        for mark in 0..3 {
            assert_eq!(waiting.push(to(1), packet(mark), Instant::from_micros(u64::from(mark))), 0);
        }
        assert_eq!(waiting.since(&to(1)), Some(Instant::ZERO));
        assert_eq!(waiting.take(&to(1)).iter().map(|packet| packet[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(waiting.take(&to(1)).is_empty() && waiting.bytes() == 0);
    }

    #[test]
    fn the_newest_packets_are_kept() {
        let mut waiting = Waiting::default();
        let fit = BYTES_PER_DESTINATION / packet(0).footprint();
        let displaced: usize = (0..fit + 5).map(|n| waiting.push(to(1), packet(n as u8), Instant::ZERO)).sum();
        assert_eq!(displaced, 5);
        assert_eq!(waiting.take(&to(1))[0][0], 5);
    }

    #[test]
    fn destinations_and_bytes_are_bounded() {
        let mut waiting = Waiting::default();
        for n in 0..MAX_DESTINATIONS as u16 + 10 {
            waiting.push(to(n), packet(0), Instant::from_micros(u64::from(n)));
        }
        assert_eq!(waiting.queues.len(), MAX_DESTINATIONS);
        assert!(waiting.since(&to(9)).is_none() && waiting.since(&to(10)).is_some());
        for n in 0..40 {
            for _ in 0..BYTES_PER_DESTINATION / packet(0).footprint() {
                waiting.push(to(n), packet(0), Instant::from_micros(5_000));
            }
        }
        assert!(waiting.bytes() <= BYTES_IN_ALL);
    }

    #[test]
    fn old_packets_expire() {
        let mut waiting = Waiting::default();
        waiting.push(to(1), packet(1), Instant::ZERO);
        waiting.push(to(1), packet(2), Instant::ZERO + Duration::from_secs(30));
        assert_eq!(waiting.poll_timeout(), Some(Instant::ZERO + MAX_AGE));
        assert_eq!(waiting.take_expired(Instant::ZERO + MAX_AGE).len(), 1);
        assert_eq!(waiting.take_expired(Instant::ZERO + MAX_AGE * 2).len(), 1);
        assert_eq!((waiting.poll_timeout(), waiting.bytes()), (None, 0));
    }
}
