//! The symmetric half of a Noise handshake (specification revision 34, §5.2 and §5.3): BLAKE2s, its HKDF, ChaCha20-Poly1305.
//!
//! Only what `IKpsk2` needs. Every state overwrites its secrets when it is dropped.

use blake2::digest::{Digest, FixedOutput, KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut;
use zeroize::{Zeroize, Zeroizing};

/// A secret of 32 bytes that is overwritten when dropped.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// BLAKE2s-256 of the concatenation of `parts`.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Blake2s256::new();
    for part in parts {
        Digest::update(&mut state, part);
    }
    state.finalize_fixed().into()
}

/// BLAKE2s in its own keyed mode with 16 bytes of output, as mac1, mac2 and cookies use it.
pub(super) fn keyed_mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    type Mac16 = Blake2sMac<blake2::digest::consts::U16>;
    let mut state = <Mac16 as KeyInit>::new(key.into());
    for part in parts {
        Mac::update(&mut state, part);
    }
    state.finalize_fixed().into()
}

/// HMAC (RFC 2104) over BLAKE2s, whose block is 64 bytes. Noise asks for HMAC, not for BLAKE2's keyed mode.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    let pad = |fill: u8| {
        let mut block = Zeroizing::new([fill; 64]);
        for (out, byte) in block.iter_mut().zip(key) {
            *out ^= byte;
        }
        block
    };
    let mut inner = Blake2s256::new();
    Digest::update(&mut inner, *pad(0x36));
    for part in parts {
        Digest::update(&mut inner, part);
    }
    let mut digest: [u8; 32] = inner.finalize_fixed().into();
    let out = Zeroizing::new(hash(&[&*pad(0x5c), &digest]));
    digest.zeroize();
    out
}

/// Noise's HKDF with three outputs; callers that need two leave the third.
fn hkdf(chaining_key: &[u8; 32], input: &[u8]) -> (Secret, Secret, Secret) {
    let temporary = hmac(chaining_key, &[input]);
    let first = hmac(&temporary, &[&[1]]);
    let second = hmac(&temporary, &[&*first, &[2]]);
    let third = hmac(&temporary, &[&*second, &[3]]);
    (first, second, third)
}

/// A sealed part of a handshake message was not sealed with our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAuthentic;

/// `SymmetricState` and its `CipherState`: chaining key, transcript hash, key and message number under it.
#[derive(Clone)]
pub(super) struct Symmetric {
    chaining_key: Secret,
    hash: [u8; 32],
    key: Secret,
    nonce: u64,
}

impl Symmetric {
    /// `InitializeSymmetric` for a name that is longer than 32 bytes, then the prologue.
    pub(super) fn new(protocol_name: &[u8], prologue: &[&[u8]]) -> Self {
        let start = hash(&[protocol_name]);
        let mut state =
            Self { chaining_key: Zeroizing::new(start), hash: start, key: Zeroizing::new([0; 32]), nonce: 0 };
        state.mix_hash(&prologue.concat());
        state
    }

    /// `MixHash`.
    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// `MixKey`.
    pub(super) fn mix_key(&mut self, input: &[u8]) {
        let (chaining_key, key, _) = hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.key = key;
        self.nonce = 0;
    }

    /// `MixKeyAndHash`, for the pre-shared key.
    pub(super) fn mix_key_and_hash(&mut self, input: &[u8; 32]) {
        let (chaining_key, data, key) = hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.mix_hash(&*data);
        self.key = key;
        self.nonce = 0;
    }

    /// `EncryptAndHash`: appends the sealed `text` to `out`.
    pub(super) fn seal(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), NotAuthentic> {
        let mut sealed = text.to_vec();
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        // Fails only beyond 256 GiB.
        cipher.encrypt_in_place(&self.next_nonce().into(), &self.hash, &mut sealed).map_err(|_| NotAuthentic)?;
        self.mix_hash(&sealed);
        out.extend(sealed);
        Ok(())
    }

    /// `DecryptAndHash`.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        let mut text = sealed.to_vec();
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        cipher.decrypt_in_place(&self.next_nonce().into(), &self.hash, &mut text).map_err(|_| NotAuthentic)?;
        self.mix_hash(sealed);
        Ok(text)
    }

    /// `Split`: the initiator's sending key and the responder's.
    pub(super) fn split(&self) -> (Secret, Secret) {
        let (initiator, responder, _) = hkdf(&self.chaining_key, &[]);
        (initiator, responder)
    }

    fn next_nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.nonce.to_le_bytes());
        self.nonce += 1;
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    #[test]
    fn the_hash_is_that_of_rfc_7693() {
        let expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
        assert_eq!(hex(&hash(&[b"ab", b"c"])), expected);
    }

    #[test]
    fn hkdf_outputs_differ_and_depend_on_key_and_input() {
        let (a, b, c) = hkdf(&[1; 32], b"input");
        assert!(a != b && b != c && a != c);
        assert!(hkdf(&[2; 32], b"input").0 != a && hkdf(&[1; 32], b"other").0 != a);
    }

    #[test]
    fn a_mac_depends_on_every_part_and_on_the_key() {
        let mac = keyed_mac(&[1; 32], &[b"a", b"b"]);
        assert_eq!(mac, keyed_mac(&[1; 32], &[b"ab"]));
        assert_ne!(mac, keyed_mac(&[1; 32], &[b"ac"]));
        assert_ne!(mac, keyed_mac(&[2; 32], &[b"ab"]));
    }
}
