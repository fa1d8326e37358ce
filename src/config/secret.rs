//! The group password: never printed, wiped when dropped.

use std::fmt;

use blake2::{Blake2s256, Digest};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Shortest group password in characters. A node that talks to a stranger's handshake gives him something to test guesses
/// against without asking again, so a password that people pick is not enough; 16 random characters are.
const MIN_LENGTH: usize = 16;

/// Separates this use of the hash from every other.
const DOMAIN: &[u8] = b"pinecone group password v1\0";

/// A group password. Only nodes with the same one have sessions with each other.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

/// The password is too short to withstand guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group password has at least {MIN_LENGTH} characters; make one with `openssl rand -hex 16`")]
pub struct WeakSecret;

impl Secret {
    /// Takes what a password file holds. A line break at the end does not count.
    ///
    /// # Errors
    /// [`WeakSecret`] if it is shorter than 16 characters.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.chars().count() < MIN_LENGTH { Err(WeakSecret) } else { Ok(Self(text.to_owned())) }
    }

    /// The pre-shared key of session handshakes: BLAKE2s-256 of a fixed prefix and the password.
    pub fn to_psk(&self) -> [u8; 32] {
        Blake2s256::new().chain_update(DOMAIN).chain_update(self.0.as_bytes()).finalize().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_at_the_end_of_a_password_file_does_not_count() {
        let password = Secret::new("0123456789abcdef").unwrap();
        assert_eq!(Secret::new("0123456789abcdef\n").unwrap().to_psk(), password.to_psk());
        assert_eq!(Secret::new("0123456789abcdef\r\n").unwrap().to_psk(), password.to_psk());
        assert_ne!(Secret::new("0123456789abcdeF").unwrap().to_psk(), password.to_psk());
    }

    #[test]
    fn short_passwords_are_refused_and_passwords_are_not_printed() {
        assert_eq!(Secret::new("0123456789abcde\n"), Err(WeakSecret));
        assert_eq!(format!("{:?}", Secret::new("0123456789abcdef").unwrap()), "Secret(..)");
    }
}
