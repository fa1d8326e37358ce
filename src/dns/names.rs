//! Pet names: what the people of this host call nodes. Nobody else hears of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::name::{key_of_label, key_of_name};
use crate::addr::Address;
use crate::keys::PublicKey;

/// Longest DNS label in bytes (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;
/// Most names; a file with more was not written by a person.
const MAX_NAMES: usize = 4096;

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PetNameError {
    /// Not a label of a host name.
    #[error(
        "{0:?} is no name for a node: that is 1 to {MAX_LABEL} letters a to z, digits and hyphens, without a hyphen at either end"
    )]
    Label(String),
    /// It looks like a key.
    #[error("{0} is the name that a node has by its key; a name of yours has to be another")]
    Key(String),
    /// Somebody else has it.
    #[error("{0} is there twice; letters in upper and lower case are the same in names")]
    Twice(String),
    /// Too many.
    #[error("there are more than {MAX_NAMES} names")]
    TooMany,
}

/// Names for keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PetNames {
    keys: BTreeMap<String, PublicKey>,
    /// The first name, in alphabetical order, that an address has.
    labels: BTreeMap<Ipv6Addr, String>,
}

impl PetNames {
    /// Gives the node with this key a name.
    ///
    /// # Errors
    /// The name cannot be one, or is taken.
    pub fn add(&mut self, label: &str, key: PublicKey) -> Result<(), PetNameError> {
        if !is_label(label) {
            return Err(PetNameError::Label(label.chars().take(2 * MAX_LABEL).collect()));
        }
        let label = label.to_ascii_lowercase();
        if key_of_label(&label).is_some() {
            return Err(PetNameError::Key(label));
        }
        if self.keys.contains_key(&label) {
            return Err(PetNameError::Twice(label));
        }
        if self.keys.len() >= MAX_NAMES {
            return Err(PetNameError::TooMany);
        }
        self.keys.insert(label.clone(), key);
        let shown = self.labels.entry(Address::of(&key).ip()).or_insert_with(|| label.clone());
        if label < *shown {
            *shown = label;
        }
        Ok(())
    }

    /// The key that a name stands for; letters in any case.
    pub fn key(&self, label: &str) -> Option<PublicKey> {
        self.keys.get(&label.to_ascii_lowercase()).copied()
    }

    /// The name that is shown for an address.
    pub fn label(&self, address: Ipv6Addr) -> Option<&str> {
        self.labels.get(&address).map(String::as_str)
    }
}

/// Whether this can be a part of a host name (RFC 1123 §2.1).
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let ends = text.starts_with('-') || text.ends_with('-');
    (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(allowed) && !ends
}

impl<'de> Deserialize<'de> for PetNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = PetNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names and keys, such as { homeserver = \"<64 hexadecimal digits>\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PetNames, A::Error> {
                let mut names = PetNames::default();
                while let Some((label, key)) = map.next_entry::<String, String>()? {
                    let key = key.parse().ok().or_else(|| key_of_name(&key)).or_else(|| key_of_label(&key));
                    let key = key.ok_or_else(|| {
                        A::Error::custom(format!(
                            "{label}: a node's public key is 64 hexadecimal digits, as `pineconectl status` shows it"
                        ))
                    })?;
                    names.add(&label, key).map_err(A::Error::custom)?;
                }
                Ok(names)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::key_label;

    const A: PublicKey = PublicKey([0xaa; 32]);

    #[test]
    fn a_name_stands_for_its_key_in_any_case() {
        let mut names = PetNames::default();
        names.add("Zoo", A).unwrap();
        names.add("home-server", A).unwrap();
        assert_eq!((names.key("zOO"), names.key("other")), (Some(A), None));
        assert_eq!(names.label(Address::of(&A).ip()), Some("home-server"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let mut names = PetNames::default();
        for wrong in ["", "a.b", "-a", "a-", "a_b", "ä", &"a".repeat(64)] {
            assert!(matches!(names.add(wrong, A), Err(PetNameError::Label(_))), "{wrong}");
        }
        assert_eq!(names.add(&key_label(&A), A), Err(PetNameError::Key(key_label(&A))));
        names.add("a", A).unwrap();
        assert_eq!(names.add("A", A), Err(PetNameError::Twice("a".to_owned())));
    }
}
