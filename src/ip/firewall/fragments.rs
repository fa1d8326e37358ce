//! Which later fragments may follow a first one that was let in.
//!
//! Only the first fragment shows ports, so it decides for the rest: later fragments of the same packet pass for a minute (the
//! time a host waits for them, RFC 8200 §4.5), and one whose first was refused or is yet to come does not. Other nodes fill
//! this table; hence each sender has its own small share and displaces only its own packets in it.

use std::net::Ipv6Addr;

use crate::bounded::BoundedMap;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// Senders remembered: together with the share below at most some 1 MiB.
const SENDERS: usize = 256;
/// Fragmented packets under way per sender. At 64 kB each that is two megabytes in flight.
const PACKETS_PER_SENDER: usize = 32;
const LIFETIME: Duration = Duration::from_secs(60);

/// Source, destination and identification: what names a fragmented packet (RFC 8200 §4.5).
pub(super) type FragmentedPacket = (Ipv6Addr, Ipv6Addr, u32);

/// First fragments that were let in, by the node they came from.
#[derive(Debug)]
pub(super) struct FragmentTable(BoundedMap<PublicKey, BoundedMap<FragmentedPacket, Instant>>);

impl FragmentTable {
    pub(super) fn new() -> Self {
        Self(BoundedMap::new(SENDERS))
    }

    /// The first fragment of `packet` was let in.
    pub(super) fn first_allowed(&mut self, sender: &PublicKey, packet: FragmentedPacket, now: Instant) {
        if self.0.get(sender).is_none() {
            self.0.insert(*sender, BoundedMap::new(PACKETS_PER_SENDER));
        }
        self.0.refresh(sender);
        if let Some(packets) = self.0.get_mut(sender) {
            packets.insert(packet, now);
        }
    }

    /// Whether a later fragment of `packet` may pass.
    pub(super) fn allows_later(&self, sender: &PublicKey, packet: &FragmentedPacket, now: Instant) -> bool {
        let first = self.0.get(sender).and_then(|packets| packets.get(packet));
        first.is_some_and(|at| !at.has_passed(LIFETIME, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(id: u32) -> FragmentedPacket {
        (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, id)
    }

    #[test]
    fn later_fragments_pass_for_a_minute_after_their_first() {
        let (mut table, sender) = (FragmentTable::new(), PublicKey([1; 32]));
        assert!(!table.allows_later(&sender, &packet(7), Instant::ZERO));
        table.first_allowed(&sender, packet(7), Instant::ZERO);
        assert!(table.allows_later(&sender, &packet(7), Instant::from_micros(59_999_999)));
        assert!(!table.allows_later(&sender, &packet(7), Instant::from_micros(60_000_000)));
        assert!(!table.allows_later(&sender, &packet(8), Instant::ZERO));
        assert!(!table.allows_later(&PublicKey([2; 32]), &packet(7), Instant::ZERO));
    }

    #[test]
    fn a_sender_of_many_fragments_displaces_only_its_own() {
        let (mut table, quiet, busy) = (FragmentTable::new(), PublicKey([1; 32]), PublicKey([2; 32]));
        table.first_allowed(&quiet, packet(1), Instant::ZERO);
        for id in 0..10_000 {
            table.first_allowed(&busy, packet(id), Instant::ZERO);
        }
        assert!(table.allows_later(&quiet, &packet(1), Instant::ZERO));
        assert!(table.allows_later(&busy, &packet(9_999), Instant::ZERO));
        assert!(!table.allows_later(&busy, &packet(9_999 - PACKETS_PER_SENDER as u32), Instant::ZERO));
    }

    #[test]
    fn the_table_is_bounded_in_senders() {
        let mut table = FragmentTable::new();
        for n in 0..1000u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            table.first_allowed(&PublicKey(key), packet(1), Instant::ZERO);
        }
        assert_eq!(table.0.len(), SENDERS);
    }
}
