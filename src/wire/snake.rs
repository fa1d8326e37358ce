//! Bootstraps and watermarks: what keeps the snake together (specification §6.1, §6.3).

use super::tree::Root;
use super::{DecodeError, Reader, varint};
use crate::keys::{Keypair, PublicKey, Scheme, Signature};

/// How good a frame's way along the snake is so far; it may never get worse, which is what prevents loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The best key that was found on the way.
    pub key: PublicKey,
    /// The sequence of the bootstrap that told us of it; 0 for a key known from the tree or a direct peer.
    pub sequence: u64,
}

impl Watermark {
    /// What a frame starts with: any key is better.
    pub const NONE: Self = Self { key: PublicKey::FULL, sequence: 0 };

    /// Whether going from `other` to `self` would be a step back (§6.3): a higher key, or an older bootstrap of the same key.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        self.key > other.key || (self.key == other.key && self.sequence != 0 && self.sequence < other.sequence)
    }

    /// Bytes on the wire: 33 to 42.
    pub const fn encoded_len(&self) -> usize {
        PublicKey::LEN + varint::encoded_len(self.sequence)
    }
}

/// The payload of a bootstrap: a node tells its successor on the snake that it is there.
///
/// ```text
/// varu64  sequence        Unix time in ms
/// 32      root key
/// varu64  root sequence
/// 64      signature       by the bootstrapping key, which the frame names, over the three fields above
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Unix time in milliseconds when it was made.
    pub sequence: u64,
    /// The root that the node follows.
    pub root: Root,
    /// By the bootstrapping node.
    pub signature: Signature,
}

impl Bootstrap {
    /// Decodes a payload. Bytes behind the signature are ignored; they travel on with the payload.
    ///
    /// # Errors
    /// [`DecodeError::BelowMinimum`] under 98 bytes, otherwise what [`Reader::varu64`] says. All of them mean: drop it. A
    /// relay may have passed it on in good faith.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let (sequence, root, signature) = read_signed(payload, "bootstrap")?;
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

/// One byte per integer, a key, a signature: the test by which the reference tells what it can decode.
const SIGNED_MIN: usize = 1 + PublicKey::LEN + 1 + 64;

/// Decodes the layout that bootstraps and wakeup broadcasts share.
pub(super) fn read_signed(payload: &[u8], what: &'static str) -> Result<(u64, Root, Signature), DecodeError> {
    if payload.len() < SIGNED_MIN {
        return Err(DecodeError::BelowMinimum { what, len: payload.len(), minimum: SIGNED_MIN });
    }
    let mut reader = Reader::new(payload);
    let sequence = reader.varu64(what)?;
    let root = Root { key: reader.key(what)?, sequence: reader.varu64(what)? };
    Ok((sequence, root, reader.signature(what)?))
}

/// What the signature of a bootstrap or wakeup broadcast covers.
pub(super) fn signed_bytes(sequence: u64, root: &Root) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * varint::MAX_LEN + PublicKey::LEN + 64);
    varint::write(sequence, &mut out);
    root.write(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Seed;

    #[test]
    fn a_watermark_gets_worse_with_a_higher_key_or_an_older_bootstrap() {
        let mark = |key, sequence| Watermark { key: PublicKey([key; 32]), sequence };
        assert!(mark(2, 0).is_worse_than(&mark(1, 0)));
        assert!(!mark(1, 0).is_worse_than(&mark(2, 9)));
        assert!(mark(1, 3).is_worse_than(&mark(1, 4)));
        assert!(!mark(1, 0).is_worse_than(&mark(1, 4)), "sequence 0 means: known from the tree, always fresh");
        assert!(!Watermark::NONE.is_worse_than(&Watermark::NONE));
    }

    #[test]
    fn a_bootstrap_round_trips_and_names_its_maker() {
        let (maker, other) = (Keypair::from_seed(&Seed([1; 32])), Keypair::from_seed(&Seed([2; 32])));
        let root = Root { key: other.public(), sequence: 300 };
        let bootstrap = Bootstrap::sign(1_795_330_260_774, root, &maker);
        assert!(bootstrap.verify(&maker.public(), Scheme::Ed25519));
        assert!(!bootstrap.verify(&other.public(), Scheme::Ed25519));
        let mut bytes = bootstrap.encode();
        assert_eq!(Bootstrap::parse(&bytes), Ok(bootstrap));
        bytes.extend([1, 2, 3]);
        assert_eq!(Bootstrap::parse(&bytes), Ok(bootstrap), "trailing bytes are ignored");
    }

    #[test]
    fn a_short_or_padded_bootstrap_is_refused() {
        let signer = Keypair::from_seed(&Seed([1; 32]));
        let bytes = Bootstrap::sign(1, Root { key: signer.public(), sequence: 1 }, &signer).encode();
        assert_eq!(
            Bootstrap::parse(&bytes[..97]),
            Err(DecodeError::BelowMinimum { what: "bootstrap", len: 97, minimum: 98 })
        );
        let padded = [&[0x80][..], &bytes].concat();
        assert_eq!(Bootstrap::parse(&padded), Err(DecodeError::NonCanonical { what: "bootstrap" }));
    }
}
