//! Tree announcements: a chain of signatures from the root to the peer that sent it (specification §4.1).
//!
//! Decoding and verifying are separate: a router looks first whether an announcement is of any use, and signatures that were
//! checked before need no second check ([`Announcement::verify_from`]). Integers are canonical or refused, so encoding a
//! decoded announcement gives the received bytes again. (The reference accepts others but re-encodes them when it passes them
//! on, which breaks the signature for the node behind it: pitfall 2.)

use super::coords::Coords;
use super::frame::{ANNOUNCEMENT_OVERHEAD, MAX_FRAME_LEN};
use super::{DecodeError, Reader, varint};
use crate::keys::{Keypair, PublicKey, Scheme, Signature};

/// The node that a tree hangs from, and the number of its latest announcement. Ordered by key, then sequence: the greater
/// is the one to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The root's key.
    pub key: PublicKey,
    /// Counted up by the root.
    pub sequence: u64,
}

impl Root {
    /// Appends key and sequence to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.key.0);
        varint::write(self.sequence, out);
    }
}

/// One node's entry in an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The signer's own port towards the next node. Its own signature does not cover it, the next one does (pitfall 8).
    pub port: u64,
    /// Who signed.
    pub key: PublicKey,
    /// Over root key, root sequence and all entries before this one.
    pub signature: Signature,
}

/// A tree announcement.
///
/// ```text
/// 32      root key
/// varu64  root sequence
/// n ×     varu64 port, 32 key, 64 signature    the root first, the sending peer last
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The tree it is about.
    pub root: Root,
    /// From the root to the node that sent it. Never empty in a received one.
    pub hops: Vec<Hop>,
}

/// Why a payload is not an announcement. Only the peer that sent it can have made it so: close the peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementError {
    /// A field is missing or not canonical.
    #[error("malformed announcement: {0}")]
    Decode(#[from] DecodeError),
    /// There is no entry.
    #[error("an announcement that nobody signed")]
    NoHops,
    /// The first entry is not the root's.
    #[error("an announcement that does not start with its root's entry")]
    FirstIsNotRoot,
    /// An entry names port 0, which is the node itself.
    #[error("an announcement over port 0")]
    PortZero,
    /// A node signed twice.
    #[error("an announcement that went in a circle")]
    DuplicateKey,
    /// There is no room for our own entry (pitfall 9).
    #[error("an announcement of {0} entries leaves no room for another")]
    TooLong(usize),
}

/// The shortest entry: a port of one byte, key, signature.
const HOP_MIN: usize = 1 + PublicKey::LEN + 64;
/// Our own entry at its longest: our port numbers, up to 4,095, take two bytes.
const OWN_HOP_MAX: usize = HOP_MIN + 1;

impl Announcement {
    /// Decodes a payload and checks what costs nothing: at least one entry, the root's first, no port 0, no key twice, room
    /// for our own entry (which leaves at most 674). Up to 96 bytes behind the last entry are ignored, and not passed on.
    /// Signatures are **not** checked, nor whether the last entry is the peer's.
    ///
    /// # Errors
    /// [`AnnouncementError`]; each one means that the peering is to be closed.
    pub fn parse(payload: &[u8]) -> Result<Self, AnnouncementError> {
        let mut reader = Reader::new(payload);
        let root = Root { key: reader.key("root key")?, sequence: reader.varu64("root sequence")? };
        let mut hops = Vec::with_capacity(reader.rest().len() / HOP_MIN);
        while reader.rest().len() >= HOP_MIN {
            hops.push(Hop {
                port: reader.varu64("port of an announcement entry")?,
                key: reader.key("key of an announcement entry")?,
                signature: reader.signature("signature of an announcement entry")?,
            });
        }
        let announcement = Self { root, hops };
        announcement.check_sanity(payload.len() - reader.rest().len())?;
        Ok(announcement)
    }

    /// An announcement before anyone signed it: what a root extends. Has no entry, so it is not to be sent.
    pub const fn as_root(root: Root) -> Self {
        Self { root, hops: Vec::new() }
    }

    /// The payload's bytes; for a received announcement the very ones that came.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PublicKey::LEN + varint::MAX_LEN + self.hops.len() * OWN_HOP_MAX);
        self.root.write(&mut out);
        for hop in &self.hops {
            hop.write(&mut out);
        }
        out
    }

    /// Whether the signatures of `hops[first_unverified..]` are good. One signature check per entry, nothing else is costly.
    #[must_use]
    pub fn verify_from(&self, first_unverified: usize, scheme: Scheme) -> bool {
        let mut signed = Vec::with_capacity(PublicKey::LEN + varint::MAX_LEN + self.hops.len() * OWN_HOP_MAX);
        self.root.write(&mut signed);
        self.hops.iter().enumerate().all(|(i, hop)| {
            let good = i < first_unverified || scheme.verifies(&hop.key, &signed, &hop.signature);
            hop.write(&mut signed);
            good
        })
    }

    /// What `signer`'s entry has to carry. The same for every peer: the signature does not cover the port.
    pub fn sign_next(&self, signer: &Keypair) -> Signature {
        signer.sign(&self.encode())
    }

    /// A copy with `signer`'s entry for its own `port` appended, to be sent through that port. `signature` is what
    /// [`Announcement::sign_next`] said, if the caller has it; otherwise it is made here.
    #[must_use]
    pub fn extend(&self, port: u64, signer: &Keypair, signature: Option<Signature>) -> Self {
        let signature = signature.unwrap_or_else(|| self.sign_next(signer));
        let mut hops = Vec::with_capacity(self.hops.len() + 1);
        hops.extend_from_slice(&self.hops);
        hops.push(Hop { port, key: signer.public(), signature });
        Self { root: self.root, hops }
    }

    /// The position that this announcement gives its receiver: all ports.
    pub fn coords(&self) -> Coords {
        Coords::new(self.hops.iter().map(|hop| hop.port).collect())
    }

    /// The position of the peer that sent it: all ports but the last, which leads from that peer to its receiver.
    pub fn peer_coords(&self) -> Coords {
        let (_, before) = self.hops.split_last().unzip();
        Coords::new(before.unwrap_or_default().iter().map(|hop| hop.port).collect())
    }

    /// Whether `key` signed it.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.signers().any(|signer| signer == key)
    }

    /// Who signed, the root first.
    pub fn signers(&self) -> impl DoubleEndedIterator<Item = &PublicKey> + ExactSizeIterator {
        self.hops.iter().map(|hop| &hop.key)
    }

    fn check_sanity(&self, encoded_len: usize) -> Result<(), AnnouncementError> {
        let first = self.hops.first().ok_or(AnnouncementError::NoHops)?;
        if first.key != self.root.key {
            return Err(AnnouncementError::FirstIsNotRoot);
        }
        if ANNOUNCEMENT_OVERHEAD + encoded_len + OWN_HOP_MAX > MAX_FRAME_LEN {
            return Err(AnnouncementError::TooLong(self.hops.len()));
        }
        if self.hops.iter().any(|hop| hop.port == 0) {
            return Err(AnnouncementError::PortZero);
        }
        let mut keys: Vec<_> = self.signers().collect();
        keys.sort_unstable();
        if keys.array_windows().any(|[a, b]| a == b) {
            return Err(AnnouncementError::DuplicateKey);
        }
        Ok(())
    }
}

impl Hop {
    fn write(&self, out: &mut Vec<u8>) {
        varint::write(self.port, out);
        out.extend(self.key.0);
        out.extend(self.signature);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Seed;

    fn pair(n: u8) -> Keypair {
        Keypair::from_seed(&Seed([n; 32]))
    }

    fn chain(ports: &[u64]) -> Announcement {
        let root = Root { key: pair(1).public(), sequence: 5 };
        ports.iter().zip(1..).fold(Announcement::as_root(root), |chain, (port, n)| chain.extend(*port, &pair(n), None))
    }

    /// A chain of `hops` entries with distinct keys and no valid signature: as long as it gets, without the cost.
    fn unsigned(hops: u32, port: u64) -> Announcement {
        let hop = |i: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_be_bytes());
            Hop { port, key: PublicKey(key), signature: [0; 64] }
        };
        Announcement { root: Root { key: PublicKey::ZERO, sequence: 1 }, hops: (0..hops).map(hop).collect() }
    }

    #[test]
    fn every_signer_covers_all_that_stands_before_it() {
        let announcement = chain(&[3, 200, 1]);
        assert!(announcement.verify_from(0, Scheme::Ed25519));
        for damaged in 0..2 {
            let mut announcement = announcement.clone();
            announcement.hops[damaged].port += 1;
            assert!(!announcement.verify_from(0, Scheme::Ed25519));
        }
        let mut last_port = announcement.clone();
        last_port.hops[2].port += 1;
        assert!(last_port.verify_from(0, Scheme::Ed25519), "the sender's own port is covered by nobody yet");
    }

    #[test]
    fn verified_entries_are_not_verified_again() {
        let mut announcement = chain(&[3, 200, 1]);
        announcement.hops[0].signature[0] ^= 1;
        announcement = announcement.extend(4, &pair(9), None);
        assert!(!announcement.verify_from(0, Scheme::Ed25519));
        assert!(!announcement.verify_from(1, Scheme::Ed25519), "the second entry covers the damaged one");
        assert!(announcement.verify_from(3, Scheme::Ed25519));
        assert!(announcement.verify_from(usize::MAX, Scheme::Ed25519));
    }

    #[test]
    fn encoding_gives_the_received_bytes_and_drops_what_trails() {
        let announcement = chain(&[3, 200, 1]);
        let mut bytes = announcement.encode();
        assert_eq!(Announcement::parse(&bytes), Ok(announcement.clone()));
        bytes.extend([7; 96]);
        assert_eq!(Announcement::parse(&bytes), Ok(announcement));
    }

    #[test]
    fn one_signature_serves_all_peers() {
        let base = chain(&[3]);
        let signature = base.sign_next(&pair(2));
        assert_eq!(base.extend(7, &pair(2), Some(signature)), base.extend(7, &pair(2), None));
        assert!(base.extend(8, &pair(2), Some(signature)).verify_from(0, Scheme::Ed25519));
    }

    #[test]
    fn coordinates_are_the_ports_on_the_way() {
        let announcement = chain(&[3, 200, 1]);
        assert_eq!(announcement.coords(), Coords::new(vec![3, 200, 1]));
        assert_eq!(announcement.peer_coords(), Coords::new(vec![3, 200]));
        assert_eq!(chain(&[]).peer_coords(), Coords::default());
        assert!(announcement.contains(&pair(2).public()));
        assert!(!announcement.contains(&pair(4).public()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_any_signature_is_looked_at() {
        let parse = |announcement: &Announcement| Announcement::parse(&announcement.encode()).unwrap_err();
        assert_eq!(parse(&chain(&[])), AnnouncementError::NoHops);
        assert_eq!(parse(&chain(&[3, 0])), AnnouncementError::PortZero);
        assert_eq!(parse(&chain(&[3, 4]).extend(5, &pair(1), None)), AnnouncementError::DuplicateKey);
        let mut other_root = chain(&[3]);
        other_root.root.key = pair(2).public();
        assert_eq!(parse(&other_root), AnnouncementError::FirstIsNotRoot);
    }

    #[test]
    fn there_is_always_room_for_our_own_entry() {
        let longest = unsigned(674, 1);
        assert!(Announcement::parse(&longest.encode()).is_ok());
        let extended = longest.extend(4_095, &pair(1), None);
        assert!(crate::wire::frame::announcement(&extended.encode()).is_ok());
        assert_eq!(Announcement::parse(&unsigned(675, 1).encode()), Err(AnnouncementError::TooLong(675)));
        assert_eq!(Announcement::parse(&unsigned(674, 200).encode()), Err(AnnouncementError::TooLong(674)));
    }
}
