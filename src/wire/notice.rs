//! Route notices: what a node tells those who count on a peering that it lost. An extension; see [`super::extensions`].

use super::{DecodeError, Reader};
use crate::keys::PublicKey;

/// Most keys in one notice. More keys take more notices.
pub const MAX_KEYS: usize = 64;

/// What is the matter with the routes that a notice names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTrouble {
    /// Bootstraps of these keys do not get further than here: goes towards the keys, which bootstrap again.
    Broken,
    /// These keys cannot be reached by way of here any more: goes where their bootstraps went, and routes are forgotten.
    Withdrawn,
}

/// The body of a route notice; what it says of the keys is in the frame's type.
///
/// ```text
/// 32 × n  keys, n = 1 to 64
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNotice {
    /// Whose routes. At least one, at most [`MAX_KEYS`]; the same key may be named twice.
    keys: Vec<PublicKey>,
}

impl RouteNotice {
    /// Decodes a body.
    ///
    /// # Errors
    /// [`DecodeError::BelowMinimum`] if it does not hold a key, [`DecodeError::Truncated`] if its last key is cut off,
    /// [`DecodeError::Leftover`] if there are more than [`MAX_KEYS`]. The peer is at fault: every hop writes its own.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let what = "route notice";
        if body.len() < PublicKey::LEN {
            return Err(DecodeError::BelowMinimum { what, len: body.len(), minimum: PublicKey::LEN });
        }
        let mut reader = Reader::new(body);
        let mut keys = Vec::with_capacity(MAX_KEYS.min(body.len() / PublicKey::LEN));
        while keys.len() < MAX_KEYS && !reader.rest().is_empty() {
            keys.push(reader.key(what)?);
        }
        reader.finish(what)?;
        Ok(Self { keys })
    }

    /// As few notices as name all of `keys`.
    pub fn about(keys: &[PublicKey]) -> impl Iterator<Item = Self> {
        keys.chunks(MAX_KEYS).map(|keys| Self { keys: keys.to_vec() })
    }

    /// Whose routes.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.keys.iter().flat_map(|key| key.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(keys: u8) -> Vec<u8> {
        (1..=keys).flat_map(|n| [n; 32]).collect()
    }

    #[test]
    fn a_notice_is_its_keys_one_after_the_other() {
        let notice = RouteNotice::parse(&body(3)).unwrap();
        assert_eq!(notice.keys(), [PublicKey([1; 32]), PublicKey([2; 32]), PublicKey([3; 32])]);
        assert_eq!(notice.encode(), body(3));
        assert_eq!(RouteNotice::parse(&body(64)).map(|notice| notice.keys().len()), Ok(64));
    }

    #[test]
    fn no_key_part_of_a_key_and_too_many_keys_are_refused() {
        let what = "route notice";
        let below = |len| DecodeError::BelowMinimum { what, len, minimum: 32 };
        assert_eq!(RouteNotice::parse(&[]), Err(below(0)));
        assert_eq!(RouteNotice::parse(&[0; 31]), Err(below(31)));
        assert_eq!(RouteNotice::parse(&[0; 33]), Err(DecodeError::Truncated { what }));
        assert_eq!(RouteNotice::parse(&body(65)), Err(DecodeError::Leftover { what }));
    }

    #[test]
    fn many_keys_take_several_notices() {
        let keys: Vec<_> = (0..130).map(|n| PublicKey([n; 32])).collect();
        let notices: Vec<_> = RouteNotice::about(&keys).collect();
        assert_eq!(notices.iter().map(|it| it.keys().len()).collect::<Vec<_>>(), [64, 64, 2]);
        assert_eq!(notices.iter().flat_map(|it| it.keys().to_vec()).collect::<Vec<_>>(), keys);
        assert_eq!(RouteNotice::about(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_would_be_written(bytes in prop::collection::vec(any::<u8>(), 0..2_200)) {
            // Mostly whole keys: other lengths are hardly ever accepted.
            for bytes in [&bytes[..], &bytes[..bytes.len() / 32 * 32]] {
                match RouteNotice::parse(bytes) {
                    Ok(notice) => prop_assert_eq!(notice.encode(), bytes),
                    Err(_) => prop_assert!(bytes.len() % 32 != 0 || bytes.is_empty() || bytes.len() > 64 * 32),
                }
            }
        }
    }
}
