//! Wakeup broadcasts: "this node is up", flooded over a few hops (specification §8).

use super::DecodeError;
use super::snake::{read_signed, signed_bytes};
use super::tree::Root;
use crate::keys::{Keypair, PublicKey, Scheme, Signature};

/// The payload of a wakeup broadcast. The layout is that of [`Bootstrap`](super::snake::Bootstrap), signed by the key that
/// the frame names as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeupBroadcast {
    /// Unix time in milliseconds when it was made.
    pub sequence: u64,
    /// The root that the node follows.
    pub root: Root,
    /// By the broadcasting node.
    pub signature: Signature,
}

impl WakeupBroadcast {
    /// Decodes a payload. Bytes behind the signature are ignored; they travel on with the payload.
    ///
    /// # Errors
    /// [`DecodeError::BelowMinimum`] under 98 bytes: no node passes such a payload on, so the peer itself is at fault and is
    /// to be cut off. With any other error the broadcast is only to be dropped: the reference decodes and floods payloads
    /// with padded integers, so closing would let a distant node cut us off from peers that did nothing wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let (sequence, root, signature) = read_signed(payload, "wakeup broadcast")?;
        Ok(Self { sequence, root, signature })
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&signed_bytes(self.sequence, &self.root)[..], &self.signature].concat()
    }

    /// Whether `signer` made it.
    pub fn verify(&self, signer: &PublicKey, scheme: Scheme) -> bool {
        scheme.verifies(signer, &signed_bytes(self.sequence, &self.root), &self.signature)
    }

    /// Makes one.
    pub fn sign(sequence: u64, root: Root, signer: &Keypair) -> Self {
        Self { sequence, root, signature: signer.sign(&signed_bytes(sequence, &root)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Seed;

    #[test]
    fn a_broadcast_round_trips_and_names_its_maker() {
        let (maker, other) = (Keypair::from_seed(&Seed([1; 32])), Keypair::from_seed(&Seed([2; 32])));
        let broadcast = WakeupBroadcast::sign(7, Root { key: other.public(), sequence: 1 }, &maker);
        assert_eq!(WakeupBroadcast::parse(&broadcast.encode()), Ok(broadcast));
        assert!(broadcast.verify(&maker.public(), Scheme::Ed25519));
        assert!(!broadcast.verify(&other.public(), Scheme::Ed25519));
    }

    #[test]
    fn what_only_the_peer_itself_can_have_made_is_told_apart_from_what_it_may_have_relayed() {
        let signer = Keypair::from_seed(&Seed([1; 32]));
        let bytes = WakeupBroadcast::sign(1, Root { key: signer.public(), sequence: 1 }, &signer).encode();
        let fault = WakeupBroadcast::parse(&bytes[..97]);
        assert_eq!(fault, Err(DecodeError::BelowMinimum { what: "wakeup broadcast", len: 97, minimum: 98 }));
        let relayed = WakeupBroadcast::parse(&[&[0x80][..], &bytes].concat());
        assert_eq!(relayed, Err(DecodeError::NonCanonical { what: "wakeup broadcast" }));
    }
}
