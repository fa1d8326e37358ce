//! Node keys: ed25519 key pairs whose public half names a node and orders the snake.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A node's ed25519 public key. Ordered as an unsigned 256-bit big-endian number: the order of the snake.
///
/// Any 32 bytes can be one (the snake routes towards keys that nobody owns); whether it is a point on the curve shows when a
/// signature is checked against it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PublicKey(pub [u8; 32]);

/// Compares eight bytes at a time: keys mostly differ in the first eight, and every look-up in a routing table is a chain of
/// such comparisons.
impl Ord for PublicKey {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (words, _) = self.0.as_chunks::<8>();
        let (others, _) = other.0.as_chunks::<8>();
        words.iter().map(|word| u64::from_be_bytes(*word)).cmp(others.iter().map(|word| u64::from_be_bytes(*word)))
    }
}

impl PartialOrd for PublicKey {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// An ed25519 signature (RFC 8032).
pub type Signature = [u8; 64];

/// Why bytes or text are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hexadecimal digits.
    #[error("a key is 64 hexadecimal digits")]
    NotHex,
    /// Not the encoding of a point, so no one can hold its private half.
    #[error("these 32 bytes are not an ed25519 public key")]
    NotAPoint,
}

impl PublicKey {
    /// Length in bytes.
    pub const LEN: usize = 32;
    /// The lowest key.
    pub const ZERO: Self = Self([0; 32]);
    /// 32 × `ff`: Pinecone's "no watermark yet".
    pub const FULL: Self = Self([0xff; 32]);

    /// Whether `signature` over `message` was made by this key's owner. Plain RFC 8032 verification, as the reference does it.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        use ed25519_dalek::Verifier;
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
    }

    /// The X25519 public key of the same owner (RFC 7748 §4.1 birational map), for session handshakes.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] if the bytes are not on the curve.
    pub fn to_x25519(&self) -> Result<[u8; 32], KeyError> {
        let point = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotAPoint)?;
        Ok(point.to_montgomery().to_bytes())
    }

    /// The first eight hexadecimal digits, for logs.
    pub fn short(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0[..4])
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| KeyError::NotHex)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::NotHex)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The 32-byte private seed (RFC 8032 §5.1.5). Wiped from memory when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// How the signatures of a network are made and checked.
///
/// Every daemon uses [`Scheme::Ed25519`]; nothing in a configuration or on the wire selects another one. The scheme belongs to the
/// [`Keypair`] that a node is made with, and the node checks the others' signatures by its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Plain RFC 8032, as the reference does it.
    #[default]
    Ed25519,
    /// **Proves nothing.** The simulator's fast mode: a keyed hash in the place of the signature, with the public key as its key, so
    /// that honest signatures pass, and damaged ones and those made with another key do not. It costs some 50 ns where a real check
    /// costs 30 µs. Sizes and decisions stay the same.
    Simulated,
}

impl Scheme {
    /// Whether `signature` over `message` was made by the owner of `key`.
    pub fn verifies(self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Ed25519 => key.verifies(message, signature),
            Self::Simulated => simulated_signature(key, message) == *signature,
        }
    }
}

/// SipHash keyed with the public key, repeated to the length of a signature.
fn simulated_signature(key: &PublicKey, message: &[u8]) -> Signature {
    use std::hash::Hasher;
    #[expect(
        deprecated,
        reason = "std's successor leaves its algorithm open; this one is SipHash-2-4 in every version"
    )]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(&key.0);
    hasher.write(message);
    let digest = hasher.finish().to_le_bytes();
    std::array::from_fn(|i| digest[i % 8])
}

/// A node's key pair. The private half is wiped from memory when dropped and never printed.
pub struct Keypair {
    signing: SigningKey,
    public: PublicKey,
    scheme: Scheme,
}

impl Keypair {
    /// The key pair of a private seed.
    pub fn from_seed(seed: &Seed) -> Self {
        let signing = SigningKey::from_bytes(&seed.0);
        let public = PublicKey(signing.verifying_key().to_bytes());
        Self { signing, public, scheme: Scheme::Ed25519 }
    }

    /// The same key pair for a network whose signatures are of `scheme`: for simulations.
    #[must_use]
    pub fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// How this key pair signs, and its node checks what others signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message` (RFC 8032, deterministic).
    pub fn sign(&self, message: &[u8]) -> Signature {
        match self.scheme {
            Scheme::Ed25519 => self.signing.sign(message).to_bytes(),
            Scheme::Simulated => simulated_signature(&self.public, message),
        }
    }

    /// The X25519 private key that belongs to [`PublicKey::to_x25519`].
    pub fn to_x25519(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_scalar_bytes())
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_only_for_its_message_and_key() {
        let (a, b) = (Keypair::from_seed(&Seed([1; 32])), Keypair::from_seed(&Seed([2; 32])));
        let signature = a.sign(b"hello");
        assert!(a.public().verifies(b"hello", &signature));
        assert!(!a.public().verifies(b"hellO", &signature));
        assert!(!b.public().verifies(b"hello", &signature));
        assert!(!PublicKey::FULL.verifies(b"hello", &signature));
    }

    #[test]
    fn a_simulated_signature_passes_for_its_message_and_key_and_never_for_a_real_one() {
        let pair = |n: u8| Keypair::from_seed(&Seed([n; 32])).with_scheme(Scheme::Simulated);
        let signature = pair(1).sign(b"hello");
        assert!(Scheme::Simulated.verifies(&pair(1).public(), b"hello", &signature));
        assert!(!Scheme::Simulated.verifies(&pair(1).public(), b"hellO", &signature));
        assert!(!Scheme::Simulated.verifies(&pair(2).public(), b"hello", &signature));
        assert!(!Scheme::Ed25519.verifies(&pair(1).public(), b"hello", &signature));
        assert_eq!(Keypair::from_seed(&Seed([1; 32])).scheme(), Scheme::Ed25519);
    }

    #[test]
    fn the_x25519_halves_belong_together() {
        let pair = Keypair::from_seed(&Seed([3; 32]));
        let secret = x25519_dalek::StaticSecret::from(*pair.to_x25519());
        assert_eq!(x25519_dalek::PublicKey::from(&secret).to_bytes(), pair.public().to_x25519().unwrap());
    }

    #[test]
    fn keys_are_ordered_as_the_bytes_that_they_are() {
        let mut rng = crate::rng::Rng::new([5; 32]);
        for _ in 0..2_000 {
            let a: [u8; 32] = rng.bytes();
            let mut b = a;
            b[rng.below(32) as usize] = rng.bytes::<1>()[0];
            assert_eq!(PublicKey(a).cmp(&PublicKey(b)), a.cmp(&b));
        }
    }

    #[test]
    fn keys_round_trip_through_text_and_are_shortened_in_logs() {
        let key = Keypair::from_seed(&Seed([4; 32])).public();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_string().to_uppercase().parse(), Ok(key));
        assert_eq!("xyz".parse::<PublicKey>(), Err(KeyError::NotHex));
        assert_eq!(format!("{key:?}").len(), 8);
        assert_eq!(format!("{:?}", Seed([9; 32])), "Seed(..)");
    }
}
