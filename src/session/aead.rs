//! The ciphers of data messages, hidden behind two calls: seal and open, in place, by an explicit counter.
//!
//! `&self` and the explicit counter allow workers to seal and open messages of one session at the same time. The
//! implementation is aws-lc's, which is two to four times as fast per packet as portable Rust; a test checks it against an
//! independent one. The keys live in aws-lc's own memory, which it overwrites when it frees it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::wire::session::{DATA_HEADER_LEN, TAG_LEN};

/// The ciphers that a session can agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// What every node speaks.
    ChaCha20Poly1305,
    /// Three to eight times as fast where both CPUs have instructions for it, and slow and leaky in software: so it is agreed
    /// only if both sides offer it.
    Aes256Gcm,
}

impl Cipher {
    /// The name that status shows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::Aes256Gcm => "AES-256-GCM",
        }
    }
}

/// The message was not sealed with this key, counter and header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// A key for one direction of a session.
pub(super) enum DataKey {
    ChaCha(LessSafeKey),
    Aes(LessSafeKey),
}

impl DataKey {
    /// `None` only if the library cannot allocate.
    pub(super) fn new(cipher: Cipher, key: &[u8; 32]) -> Option<Self> {
        match cipher {
            Cipher::ChaCha20Poly1305 => {
                UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(|key| Self::ChaCha(LessSafeKey::new(key)))
            }
            Cipher::Aes256Gcm => UnboundKey::new(&AES_256_GCM, key).ok().map(|key| Self::Aes(LessSafeKey::new(key))),
        }
    }

    pub(super) fn cipher(&self) -> Cipher {
        match self {
            Self::ChaCha(_) => Cipher::ChaCha20Poly1305,
            Self::Aes(_) => Cipher::Aes256Gcm,
        }
    }

    /// Encrypts `text` in place and returns its tag, which covers `header` too. `None` only beyond the ciphers' limit of
    /// 2³⁶ bytes. **A counter must not be used twice.**
    pub(super) fn seal(&self, counter: u64, header: &[u8; DATA_HEADER_LEN], text: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (key, nonce) = self.key_and_nonce(counter);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), text).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Checks and decrypts `text`, whose last bytes are the tag, in place. What was decrypted is all but these last bytes.
    pub(super) fn open(&self, counter: u64, header: &[u8; DATA_HEADER_LEN], text: &mut [u8]) -> Result<(), Forged> {
        let (key, nonce) = self.key_and_nonce(counter);
        key.open_in_place(nonce, Aad::from(header), text).map(|_| ()).map_err(|_| Forged)
    }

    /// Nonces as Noise builds them (§12.3 and §12.4): 32 zero bits, then the counter, whose byte order differs by cipher.
    fn key_and_nonce(&self, counter: u64) -> (&LessSafeKey, Nonce) {
        let (key, counter) = match self {
            Self::ChaCha(key) => (key, counter.to_le_bytes()),
            Self::Aes(key) => (key, counter.to_be_bytes()),
        };
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter);
        (key, Nonce::assume_unique_for_key(nonce))
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.cipher().name())
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use proptest::prelude::*;

    use super::*;

    fn sealed(key: &DataKey, counter: u64, header: &[u8; 16], text: &[u8]) -> Vec<u8> {
        let mut out = text.to_vec();
        let tag = key.seal(counter, header, &mut out).unwrap();
        out.extend(tag);
        out
    }

    proptest! {
        #[test]
        fn seals_exactly_like_an_independent_implementation(
            key in any::<[u8; 32]>(), counter in any::<u64>(), header in any::<[u8; 16]>(), text in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let ours = sealed(&DataKey::new(Cipher::ChaCha20Poly1305, &key).unwrap(), counter, &header, &text);
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_le_bytes());
            let theirs = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
            let theirs = theirs.encrypt(&nonce.into(), Payload { msg: &text, aad: &header }).unwrap();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn opens_what_it_sealed_and_nothing_else(
            aes in any::<bool>(), counter in any::<u64>(), text in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let cipher = if aes { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
            let key = DataKey::new(cipher, &[7; 32]).unwrap();
            let message = sealed(&key, counter, &[1; 16], &text);
            let mut opened = message.clone();
            prop_assert_eq!(key.open(counter, &[1; 16], &mut opened), Ok(()));
            prop_assert_eq!(&opened[..text.len()], &text[..]);

            let mut flipped = message.clone();
            flipped[at.index(message.len())] ^= 1 << bit;
            prop_assert_eq!(key.open(counter, &[1; 16], &mut flipped), Err(Forged));
            prop_assert_eq!(key.open(counter ^ 1, &[1; 16], &mut message.clone()), Err(Forged));
            prop_assert_eq!(key.open(counter, &[2; 16], &mut message.clone()), Err(Forged));
        }
    }

    #[test]
    fn the_two_ciphers_do_not_open_each_others_messages() {
        let chacha = DataKey::new(Cipher::ChaCha20Poly1305, &[7; 32]).unwrap();
        let aes = DataKey::new(Cipher::Aes256Gcm, &[7; 32]).unwrap();
        let mut message = sealed(&chacha, 0, &[0; 16], b"text");
        assert_eq!(aes.open(0, &[0; 16], &mut message), Err(Forged));
    }

    #[test]
    fn aes_counters_are_big_endian_as_noise_wants_them() {
        // GCM with an all-zero nonce and with counter 1 in the last byte: checked against the library's own random-access
        // nonce, so a swapped byte order would show.
        let key = DataKey::new(Cipher::Aes256Gcm, &[9; 32]).unwrap();
        let plain = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[9; 32]).unwrap());
        let mut nonce = [0; 12];
        nonce[11] = 1;
        let mut expected = b"text".to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        plain.seal_in_place_append_tag(nonce, Aad::from(&[3; 16]), &mut expected).unwrap();
        assert_eq!(sealed(&key, 1, &[3; 16], b"text"), expected);
    }
}
