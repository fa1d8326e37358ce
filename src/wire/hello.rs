//! The hello: the 104 bytes that each side of a peering sends at once (specification §2.1).
//!
//! The reference requires version and capabilities to equal its own and ignores three signed bytes. Our extensions are told
//! in those: a plain Pinecone node sends zeros.
//!
//! There is no challenge in it, so a hello can be replayed by anyone who saw it: the key is a claim until the link proves it.

use crate::keys::{Keypair, PublicKey};

/// Length of a hello in bytes.
pub const HELLO_LEN: usize = 104;

/// The protocol version that every compatible node sends.
const VERSION: u8 = 1;
/// Lengthened root interval 1, cryptographic setups 2, deduplicated coordinates 8, soft state 16, hybrid routing 32. Other
/// bits, or fewer, and the reference hangs up.
const CAPABILITIES: u32 = 0x3b;
/// Bytes before the signature: what it covers.
const SIGNED_LEN: usize = HELLO_LEN - 64;

/// What a peer says of itself.
///
/// ```text
/// 0   1   version                 1
/// 1   1   extension version       0 for a plain Pinecone node
/// 2   2   extensions              one bit each
/// 4   4   capabilities            0x0000003b
/// 8   32  public key
/// 40  64  signature               over bytes 0 to 39
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The node's key.
    pub key: PublicKey,
    /// Which set of extensions it speaks; 0 for none.
    pub extension_version: u8,
    /// Its extensions, one bit each.
    pub extensions: u16,
}

/// Why a hello is refused. The other side is at fault, or is no Pinecone node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Another protocol, or another version of this one.
    #[error("the other side does not speak Pinecone version {VERSION} (its first byte is {0:#04x})")]
    WrongVersion(u8),
    /// A Pinecone that does not fit ours.
    #[error(
        "the other side runs a Pinecone with capabilities {0:#x}; {CAPABILITIES:#x} (v0.11) is needed to understand each other"
    )]
    WrongCapabilities(u32),
    /// Not signed by the key that it names.
    #[error("the other side's hello is not signed by the key that it claims")]
    BadSignature,
}

impl Hello {
    /// The bytes to send.
    pub fn encode(&self, signer: &Keypair) -> [u8; HELLO_LEN] {
        let [high, low] = self.extensions.to_be_bytes();
        let signed: Vec<u8> = [VERSION, self.extension_version, high, low]
            .into_iter()
            .chain(CAPABILITIES.to_be_bytes())
            .chain(self.key.0)
            .collect();
        let mut out = [0; HELLO_LEN];
        let bytes = signed.iter().copied().chain(signer.sign(&signed));
        out.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        out
    }

    /// Checks version, capabilities and signature, in this order, and takes the hello apart. One signature check.
    ///
    /// # Errors
    /// [`HelloError`]: hang up.
    pub fn parse_and_verify(bytes: &[u8; HELLO_LEN]) -> Result<Self, HelloError> {
        let [version, extension_version, high, low, c0, c1, c2, c3, rest @ ..] = bytes;
        if *version != VERSION {
            return Err(HelloError::WrongVersion(*version));
        }
        let capabilities = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
        if capabilities != CAPABILITIES {
            return Err(HelloError::WrongCapabilities(capabilities));
        }
        // Both chunks exist in an array of this length; the error stands for what cannot happen.
        let (Some(key), Some(signature)) = (rest.first_chunk(), rest.last_chunk()) else {
            return Err(HelloError::BadSignature);
        };
        let key = PublicKey(*key);
        if !key.verifies(&bytes[..SIGNED_LEN], signature) {
            return Err(HelloError::BadSignature);
        }
        Ok(Self { key, extension_version: *extension_version, extensions: u16::from_be_bytes([*high, *low]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Seed;

    fn signer() -> Keypair {
        Keypair::from_seed(&Seed([1; 32]))
    }

    fn hello() -> Hello {
        Hello { key: signer().public(), extension_version: 1, extensions: 0x0203 }
    }

    #[test]
    fn a_hello_round_trips_with_its_extensions() {
        let bytes = hello().encode(&signer());
        assert_eq!(bytes[..8], [1, 1, 2, 3, 0, 0, 0, 0x3b]);
        assert_eq!(Hello::parse_and_verify(&bytes), Ok(hello()));
    }

    #[test]
    fn version_comes_before_capabilities_before_signature() {
        let mut bytes = hello().encode(&signer());
        bytes[103] ^= 1;
        assert_eq!(Hello::parse_and_verify(&bytes), Err(HelloError::BadSignature));
        bytes[7] = 0x7b;
        assert_eq!(Hello::parse_and_verify(&bytes), Err(HelloError::WrongCapabilities(0x7b)));
        bytes[0] = b'G';
        assert_eq!(Hello::parse_and_verify(&bytes), Err(HelloError::WrongVersion(b'G')));
    }

    #[test]
    fn the_extension_bytes_are_covered_by_the_signature() {
        let mut bytes = hello().encode(&signer());
        bytes[2] ^= 1;
        assert_eq!(Hello::parse_and_verify(&bytes), Err(HelloError::BadSignature));
    }
}
