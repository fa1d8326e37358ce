//! Which keys have proven themselves: of those, a bare claim is not believed any more.
//!
//! A hello that was recorded before its node could prove its key, or by a node that does not, looks like that of a plain Pinecone node. Where
//! its owner has proven the key to us before, whoever comes with the hello alone is somebody else.

use crate::bounded::BoundedMap;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// Keys that are remembered: some 400 KiB. The longest unused is forgotten first; filling the table takes a proof per key.
const MAX_KEYS: usize = 4_096;
/// After this time a node may have gone back to a plain Pinecone.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The keys that have proven themselves, and when they last did.
#[derive(Debug)]
pub struct ProvenKeys(BoundedMap<PublicKey, Instant>);

impl Default for ProvenKeys {
    fn default() -> Self {
        Self(BoundedMap::new(MAX_KEYS))
    }
}

impl ProvenKeys {
    /// The key's owner has proven it.
    pub fn handle_proof(&mut self, key: PublicKey, now: Instant) {
        self.0.insert(key, now);
    }

    /// Whether a claim to have this key is to be believed: not if its owner knows how to prove it.
    pub fn believes_claim(&self, key: &PublicKey, now: Instant) -> bool {
        self.0.get(key).is_none_or(|at| at.has_passed(REMEMBERED, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u16) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        PublicKey(bytes)
    }

    #[test]
    fn a_claim_is_not_believed_once_the_owner_has_proven_the_key() {
        let mut proven = ProvenKeys::default();
        assert!(proven.believes_claim(&key(1), Instant::ZERO));
        proven.handle_proof(key(1), Instant::ZERO);
        assert!(!proven.believes_claim(&key(1), Instant::ZERO));
        assert!(proven.believes_claim(&key(2), Instant::ZERO));
        assert!(proven.believes_claim(&key(1), Instant::ZERO + REMEMBERED), "it may run something else by now");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_comes_again() {
        let mut proven = ProvenKeys::default();
        for n in 0..=MAX_KEYS as u16 {
            proven.handle_proof(key(n), Instant::ZERO);
            proven.handle_proof(key(0), Instant::ZERO);
        }
        assert_eq!(proven.0.len(), MAX_KEYS);
        assert!(!proven.believes_claim(&key(0), Instant::ZERO));
    }
}
