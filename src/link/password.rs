//! The password of a peering: in `?password=` of a URI, and in the rules of LAN discovery.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::PasswordKey;

/// Shortest password in characters. Who is dialled without a pinned key gets something to test guesses against, so what people can remember is
/// not enough; 16 random characters are.
const MIN_LENGTH: usize = 16;
/// Longest password in characters, so that URIs keep their bound.
const MAX_LENGTH: usize = 128;

/// A password that both sides of a peering have to know. Never printed but by [`Self::reveal`], wiped with its last copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerPassword(Arc<Text>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
struct Text(String);

/// The text is no password of a peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a peering password has {MIN_LENGTH} to {MAX_LENGTH} characters of A-Z, a-z, 0-9 and - . _ ~; make one with `openssl rand -hex 16`"
)]
pub struct BadPassword;

impl PeerPassword {
    /// What the proof of a link checks.
    pub fn key(&self) -> PasswordKey {
        PasswordKey::of(self.reveal())
    }

    /// The password itself, for those who may see it.
    pub fn reveal(&self) -> &str {
        &self.0.0
    }
}

impl FromStr for PeerPassword {
    type Err = BadPassword;

    fn from_str(text: &str) -> Result<Self, BadPassword> {
        // What RFC 3986 calls unreserved: it needs no escapes in a URI.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let good = (MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed);
        if good { Ok(Self(Arc::new(Text(text.to_owned())))) } else { Err(BadPassword) }
    }
}

impl fmt::Debug for PeerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerPassword(..)")
    }
}

impl Serialize for PeerPassword {
    /// Not the password: who shows a configuration shows that there is one.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for PeerPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not as text that the error would repeat.
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_guessed_or_would_need_escapes_is_no_password() {
        for bad in
            ["", "0123456789abcde", "0123456789abcde&", "0123456789abcde%20", "0123456789abcd\u{e9}", &"a".repeat(129)]
        {
            assert_eq!(bad.parse::<PeerPassword>(), Err(BadPassword), "{bad}");
        }
        for good in ["0123456789abcdef", "A-z.0_9~A-z.0_9~", &"a".repeat(128)] {
            assert_eq!(good.parse::<PeerPassword>().unwrap().reveal(), good);
        }
    }

    #[test]
    fn it_is_not_printed() {
        let password: PeerPassword = "0123456789abcdef".parse().unwrap();
        assert_eq!(format!("{password:?}"), "PeerPassword(..)");
    }
}
