//! Whose peerings are wanted: lists of keys, one for each way in which a peering comes about.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::admission::Refusal;
use crate::keys::PublicKey;

/// Keys that are allowed. An empty list allows everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct KeyList(BTreeSet<PublicKey>);

impl KeyList {
    /// Whether a peering with this key is wanted.
    pub fn allows(&self, key: &PublicKey) -> bool {
        self.0.is_empty() || self.0.contains(key)
    }

    /// Whether there are keys that are not allowed.
    pub fn is_restricted(&self) -> bool {
        !self.0.is_empty()
    }
}

/// `peering.allowed_keys`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllowedKeys {
    /// Who may connect to us, except over LAN discovery.
    pub inbound: KeyList,
    /// Whom we stay connected to of those that we dial without `?key=`.
    pub outbound: KeyList,
    /// Who may be a neighbour, whoever dials.
    pub lan: KeyList,
}

/// How a peering came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It dialled us.
    Inbound,
    /// We dialled it because of the configuration or a command; `pinned` if they name the key.
    Outbound {
        /// Whether the key is the one that was asked for.
        pinned: bool,
    },
    /// One of us found the other on the LAN.
    Lan,
}

impl AllowedKeys {
    /// Whether a peering with `key` may stay.
    ///
    /// # Errors
    /// Which list it is not in.
    pub fn check(&self, key: &PublicKey, direction: Direction) -> Result<(), Refusal> {
        let (list, refusal) = match direction {
            Direction::Inbound => (&self.inbound, Refusal::KeyInbound),
            // Whoever writes a key into a URI allows it.
            Direction::Outbound { pinned: true } => return Ok(()),
            Direction::Outbound { pinned: false } => (&self.outbound, Refusal::KeyOutbound),
            Direction::Lan => (&self.lan, Refusal::KeyLan),
        };
        if list.allows(key) { Ok(()) } else { Err(refusal) }
    }

    /// Whether any list restricts anything.
    pub fn is_restricted(&self) -> bool {
        self.inbound.is_restricted() || self.outbound.is_restricted() || self.lan.is_restricted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRIEND: PublicKey = PublicKey([1; 32]);
    const STRANGER: PublicKey = PublicKey([2; 32]);

    #[test]
    fn each_list_is_for_its_own_direction_and_an_empty_one_allows_everybody() {
        let directions = [Direction::Inbound, Direction::Outbound { pinned: false }, Direction::Lan];
        for restricted in directions {
            let list = KeyList([FRIEND].into());
            let mut allowed = AllowedKeys::default();
            match restricted {
                Direction::Inbound => allowed.inbound = list,
                Direction::Outbound { .. } => allowed.outbound = list,
                Direction::Lan => allowed.lan = list,
            }
            for direction in directions {
                assert!(allowed.check(&FRIEND, direction).is_ok());
                assert_eq!(allowed.check(&STRANGER, direction).is_err(), direction == restricted, "{direction:?}");
            }
            assert!(allowed.check(&STRANGER, Direction::Outbound { pinned: true }).is_ok(), "its URI names it");
        }
        assert!(!AllowedKeys::default().is_restricted());
    }
}
