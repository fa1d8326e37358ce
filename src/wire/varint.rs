//! `varu64`: integers of seven bits a byte, the most significant group first, bit 7 set on every byte but the last
//! (specification §1).
//!
//! The reference's decoder never fails: it takes leading `80` bytes, stops at the end of the buffer and drops bits beyond
//! 64. Ours accepts only what the encoder writes. Signatures are checked over bytes in one place and over a re-encoding in
//! another (pitfall 2); with one form per number these are the same.

use super::{DecodeError, Reader};

/// Most bytes that a 64-bit integer takes: ten groups of seven bits.
pub const MAX_LEN: usize = 10;

/// Continuation bit: another group follows.
const MORE: u8 = 0x80;

/// How many bytes `v` takes: 1 to [`MAX_LEN`].
pub const fn encoded_len(v: u64) -> usize {
    // One group for zero: `| 1` gives it one significant bit.
    (u64::BITS - (v | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends `v` to `out`.
pub fn write(v: u64, out: &mut Vec<u8>) {
    out.extend(groups(v));
}

/// Writes `v` to the front of `out` and returns how many bytes that took; writes what fits if `out` is too short.
pub fn write_to(v: u64, out: &mut [u8]) -> usize {
    out.iter_mut().zip(groups(v)).map(|(byte, group)| *byte = group).count()
}

/// The bytes of `v`, first to last.
fn groups(v: u64) -> impl Iterator<Item = u8> {
    (0..encoded_len(v)).rev().map(move |group| {
        let bits = ((v >> (7 * group)) & 0x7f) as u8;
        if group > 0 { bits | MORE } else { bits }
    })
}

impl Reader<'_> {
    /// An integer in its one canonical form.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if the last byte is missing, [`DecodeError::NonCanonical`] if it starts with an empty group
    /// and [`DecodeError::TooLarge`] if it needs more than 64 bits.
    pub fn varu64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        if self.rest().first() == Some(&MORE) {
            return Err(DecodeError::NonCanonical { what });
        }
        self.varu64_padded(what)
    }

    /// An integer that may start with empty groups (`80 00` for 0), up to [`MAX_LEN`] bytes in all. Only for numbers that no
    /// signature covers and that are written anew when they are passed on.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if the last byte is missing and [`DecodeError::TooLarge`] if it needs more than 64 bits or
    /// [`MAX_LEN`] bytes.
    pub fn varu64_padded(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for _ in 0..MAX_LEN {
            let byte = self.u8(what)?;
            if value > u64::MAX >> 7 {
                return Err(DecodeError::TooLarge { what });
            }
            value = value << 7 | u64::from(byte & !MORE);
            if byte & MORE == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::TooLarge { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(v: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write(v, &mut out);
        out
    }

    #[test]
    fn every_length_round_trips_and_is_announced() {
        for v in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX, 4000]) {
            let bytes = encoded(v);
            assert_eq!(bytes.len(), encoded_len(v), "{v}");
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varu64("v"), Ok(v));
            assert_eq!(reader.finish("v"), Ok(()));
            let mut array = [0; MAX_LEN];
            assert_eq!(write_to(v, &mut array), bytes.len());
            assert!(array.starts_with(&bytes));
        }
        assert_eq!(encoded(4000), [0x9f, 0x20]);
    }

    #[test]
    fn only_the_shortest_form_is_canonical() {
        let read = |bytes: &[u8]| Reader::new(bytes).varu64("v");
        assert_eq!(read(&[0x80, 0x00]), Err(DecodeError::NonCanonical { what: "v" }));
        assert_eq!(read(&[0x81]), Err(DecodeError::Truncated { what: "v" }));
        assert_eq!(read(&[]), Err(DecodeError::Truncated { what: "v" }));
        let mut too_large = encoded(u64::MAX);
        too_large[0] = 0x83;
        assert_eq!(read(&too_large), Err(DecodeError::TooLarge { what: "v" }));
    }

    #[test]
    fn padding_is_read_where_it_is_asked_for_but_not_without_end() {
        let read = |bytes: &[u8]| Reader::new(bytes).varu64_padded("v");
        assert_eq!(read(&[0x80, 0x00]), Ok(0));
        assert_eq!(read(&[0x80, 0x80, 0x81, 0x00]), Ok(128));
        assert_eq!(read(&[&[0x80; 9][..], &[1]].concat()), Ok(1));
        assert_eq!(read(&[&[0x80; 10][..], &[1]].concat()), Err(DecodeError::TooLarge { what: "v" }));
    }
}
