//! Key-derived names: `<key>.pinecone.internal`, where the key is written in base32 (RFC 4648 §6), in lower case and without padding.
//!
//! A public key has 256 bits, so that is always 52 letters and digits: it fits a DNS label (63 octets), which the 64 hexadecimal digits of a
//! key do not. Such a name is the key, so it can neither be taken nor spoofed, and nobody has to be asked what it means.

use data_encoding::BASE32_NOPAD;

use super::SUFFIX;
use crate::keys::PublicKey;

/// Length of a key as a label.
pub const KEY_LABEL_LEN: usize = 52;

/// A key as a DNS label.
pub fn key_label(key: &PublicKey) -> String {
    BASE32_NOPAD.encode(&key.0).to_ascii_lowercase()
}

/// The key that a label stands for; letters in any case, as DNS wants it.
pub fn key_of_label(label: &str) -> Option<PublicKey> {
    if label.len() != KEY_LABEL_LEN {
        return None;
    }
    // Strict: the four bits that are left over have to be zero, so that each key has one name.
    let bytes = BASE32_NOPAD.decode(label.to_ascii_uppercase().as_bytes()).ok()?;
    Some(PublicKey(bytes.try_into().ok()?))
}

/// The name of the node with this key.
pub fn name_of(key: &PublicKey) -> String {
    format!("{}.{SUFFIX}", key_label(key))
}

/// The key in a key-derived name; a dot at its end is allowed.
pub fn key_of_name(name: &str) -> Option<PublicKey> {
    key_of_label(label_of(name)?)
}

/// What stands in front of our suffix, if the name ends in that; a dot at its end is allowed. May itself have dots.
pub fn label_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let at = name.len().checked_sub(SUFFIX.len())?;
    let (front, suffix) = (name.get(..at)?, name.get(at..)?);
    front.strip_suffix('.').filter(|_| suffix.eq_ignore_ascii_case(SUFFIX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_its_key(bytes: [u8; 32]) {
            let key = PublicKey(bytes);
            let name = name_of(&key);
            prop_assert_eq!(name.len(), KEY_LABEL_LEN + 1 + SUFFIX.len());
            prop_assert_eq!(key_of_name(&name), Some(key));
            prop_assert_eq!(key_of_name(&(name.to_ascii_uppercase() + ".")), Some(key));
        }

        #[test]
        fn any_text_is_a_name_or_not(text: String) {
            if let Some(key) = key_of_name(&text) {
                prop_assert!(text.trim_end_matches('.').eq_ignore_ascii_case(&name_of(&key)));
            }
        }
    }

    #[test]
    fn each_key_has_one_name() {
        let name = name_of(&PublicKey([0xff; 32]));
        assert!(name.starts_with("77777777") && name.contains("q.pinecone"), "{name}");
        // The same with bits set that stand for nothing.
        assert_eq!(key_of_name(&name.replace("q.", "r.")), None);
    }

    #[test]
    fn what_is_not_under_our_suffix_is_no_name_of_ours() {
        assert_eq!(label_of("a.b.Pinecone.Internal."), Some("a.b"));
        for other in
            ["pinecone.internal", "xpinecone.internal", "a.pinecone.internal.org", "", ".", "ä.pinecone.internä"]
        {
            assert_eq!(label_of(other), None, "{other}");
        }
    }
}
