//! Link messages: the two frames by which both sides of a peering prove their keys. An extension; see [`super::extensions`].
//!
//! They are the first frames after the hellos, and never come again: later their types mean nothing.

use super::frame::{FrameKind, Header};
use super::{DecodeError, Reader, frame};
use crate::buf::PacketBuf;
use crate::keys::Signature;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 32;
/// Bytes of a password check.
pub const CHECK_LEN: usize = 32;
/// Frame type of a challenge.
const CHALLENGE: u8 = 0x12;
/// Frame type of a proof.
const PROOF: u8 = 0x13;

/// What a node does to prove its key, and to have the other side do so.
///
/// ```text
/// challenge, type 0x12         proof, type 0x13
/// 0   10  frame header         0   10  frame header
/// 10  32  nonce                10  64  signature       over the transcript (see the link's proof)
///                              74  32  password check  BLAKE2s of the transcript, keyed with the password's hash
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMessage {
    /// "Sign this." A nonce that was never used before.
    Challenge([u8; NONCE_LEN]),
    /// The answer to a challenge.
    Proof {
        /// Of the transcript, by the node key.
        signature: Signature,
        /// Of the transcript, by the peering's password.
        check: [u8; CHECK_LEN],
    },
}

impl LinkMessage {
    /// Decodes a whole frame; `None` if it is of another type.
    ///
    /// # Errors
    /// [`DecodeError`] if the frame is not exactly as long as its type asks for. The peer is at fault.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let what = "link message";
        let header = Header::parse(bytes)?;
        let mut reader = Reader::new(bytes);
        let mut body = Reader::new(reader.take(header.len, what)?);
        reader.finish(what)?;
        body.take(frame::HEADER_LEN, what)?;
        let message = match header.kind {
            FrameKind::Unknown(CHALLENGE) => Self::Challenge(body.array(what)?),
            FrameKind::Unknown(PROOF) => Self::Proof { signature: body.array(what)?, check: body.array(what)? },
            _ => return Ok(None),
        };
        body.finish(what)?;
        Ok(Some(message))
    }

    /// The frame.
    pub fn encode(&self) -> PacketBuf {
        match self {
            Self::Challenge(nonce) => frame::extension(CHALLENGE, nonce),
            Self::Proof { signature, check } => {
                let mut body = [0; 64 + CHECK_LEN];
                body[..64].copy_from_slice(signature);
                body[64..].copy_from_slice(check);
                frame::extension(PROOF, &body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layouts_are_as_documented() {
        let challenge = LinkMessage::Challenge([7; 32]).encode();
        assert_eq!(challenge[..11], *b"pine\x00\x12\x00\x00\x00\x2a\x07");
        let proof = LinkMessage::Proof { signature: [8; 64], check: [9; 32] }.encode();
        assert_eq!(proof[..11], *b"pine\x00\x13\x00\x00\x00\x6a\x08");
        assert_eq!((proof[73], proof[74], proof.len()), (8, 9, 106));
    }

    #[test]
    fn other_frames_are_none_and_wrong_lengths_are_errors() {
        assert_eq!(LinkMessage::parse(&frame::keepalive()), Ok(None));
        let what = "link message";
        for message in [LinkMessage::Challenge([7; 32]), LinkMessage::Proof { signature: [8; 64], check: [9; 32] }] {
            let good = message.encode().to_vec();
            assert_eq!(LinkMessage::parse(&good), Ok(Some(message)));
            let short = [&good[..9], &[good[9] - 1], &good[10..good.len() - 1]].concat();
            assert_eq!(LinkMessage::parse(&short), Err(DecodeError::Truncated { what }));
            let long = [&good[..9], &[good[9] + 1], &good[10..], &[0]].concat();
            assert_eq!(LinkMessage::parse(&long), Err(DecodeError::Leftover { what }));
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_would_be_written(kind in 0x10u8..0x15, body in prop::collection::vec(any::<u8>(), 0..120)) {
            let frame = [b"pine\x00", &[kind][..], &[0, 0, 0, 10 + body.len() as u8], &body].concat();
            if let Ok(Some(message)) = LinkMessage::parse(&frame) {
                prop_assert_eq!(message.encode().to_vec(), frame);
            }
        }
    }
}
