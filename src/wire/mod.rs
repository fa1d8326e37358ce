//! Pinecone's wire format: bytes to values and back, and nothing else.
//!
//! Rules of this module: a decoder never panics, never allocates more than its input justifies, and never checks a signature
//! (verifying is a separate step that callers budget). What a decoder accepts is exactly what the encoder writes, except
//! where the specification wants tolerance; each such place says so. `docs/protocol.md` has the layouts.
//!
//! Errors say which field was wrong and how, because that is what a log line about a broken peer needs.

pub mod varint;
pub mod coords;
pub mod snake;
pub mod broadcast;
pub mod tree;
pub mod notice;
pub mod route;
pub mod frame;
pub mod extensions;
pub mod hello;
pub mod proof;
pub mod session;

use crate::keys::{PublicKey, Signature};

/// Why bytes from outside cannot be decoded. `what` names the field or message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the field does.
    #[error("{what} is cut off")]
    Truncated {
        /// The field or message.
        what: &'static str,
    },
    /// There are bytes behind the last field.
    #[error("{what} is followed by bytes that do not belong to it")]
    Leftover {
        /// The field or message.
        what: &'static str,
    },
    /// An integer is not written in its shortest form.
    #[error("{what} is not written in its shortest form")]
    NonCanonical {
        /// The field or message.
        what: &'static str,
    },
    /// An integer needs more than 64 bits.
    #[error("{what} does not fit 64 bits")]
    TooLarge {
        /// The field or message.
        what: &'static str,
    },
    /// Shorter than the shortest of its kind.
    #[error("{what} of {len} bytes; the shortest possible has {minimum}")]
    BelowMinimum {
        /// The field or message.
        what: &'static str,
        /// How long it is, in bytes.
        len: usize,
        /// How long it would have to be, in bytes.
        minimum: usize,
    },
    /// Where a frame should start are not the four bytes `pine`.
    #[error("a frame does not start with the magic bytes")]
    Magic,
}

/// The frame that was to be built or rewritten would be longer than its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame would be {len} bytes long, {} is the limit", frame::MAX_FRAME_LEN)]
pub struct FrameOverflow {
    /// How long the frame would be, in bytes.
    pub len: usize,
}

/// A checked cursor over received bytes. Every read says what it reads, for the error.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that were not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the bytes.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(u8::from_be_bytes)
    }

    /// A 16-bit big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 2 bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// A 32-bit big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 4 bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// A 64-bit big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 8 bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A 32-byte public key. Any bytes are one.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 32 bytes are left.
    pub fn key(&mut self, what: &'static str) -> Result<PublicKey, DecodeError> {
        self.array(what).map(PublicKey)
    }

    /// A 64-byte signature, unchecked.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 64 bytes are left.
    pub fn signature(&mut self, what: &'static str) -> Result<Signature, DecodeError> {
        self.array(what)
    }

    /// Ends the reading of a message that has to end here.
    ///
    /// # Errors
    /// [`DecodeError::Leftover`] if bytes are left.
    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Leftover { what }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_hands_out_fields_in_order_and_refuses_leftovers() {
        let mut reader = Reader::new(&[1, 0, 2, 9, 9]);
        assert_eq!(reader.u8("a"), Ok(1));
        assert_eq!(reader.u16("b"), Ok(2));
        assert_eq!(reader.finish("m"), Err(DecodeError::Leftover { what: "m" }));
        assert_eq!(reader.take(2, "c"), Ok(&[9, 9][..]));
        assert_eq!(reader.finish("m"), Ok(()));
    }

    #[test]
    fn a_read_past_the_end_names_the_field_and_takes_nothing() {
        let mut reader = Reader::new(&[1]);
        assert_eq!(reader.u16("port"), Err(DecodeError::Truncated { what: "port" }));
        assert_eq!(reader.take(usize::MAX, "all"), Err(DecodeError::Truncated { what: "all" }));
        assert_eq!(reader.u8("byte"), Ok(1));
    }
}
