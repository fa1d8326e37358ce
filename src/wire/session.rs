//! Session messages: what the payload of a traffic frame is when two nodes talk to each other end to end.
//!
//! The first byte is the type. Its two top bits are zero, so that no message can be taken for QUIC (bit 0x40 is set in every
//! QUIC packet), which Pinecone's own sessions put there, nor for a bare IPv6 packet (0x6…). Integers are big-endian, like
//! everywhere in Pinecone's frames; reserved bytes are sent as zeros and anything else there is an error.
//!
//! ```text
//! Init      01 000000 | sender 4 | noise e 32, sealed key 48, sealed offer n + 16 | mac1 16 | mac2 16
//! Response  02 000000 | sender 4 | receiver 4 | noise e 32, sealed offer n + 16   | mac1 16 | mac2 16
//! Cookie    03 000000 | receiver 4 | nonce 24 | sealed cookie 16 + 16
//! Data      04 000000 | receiver 4 | counter 8 | sealed packet or control message n + 16
//! Reset     05 000000 | index 4 | counter 8
//! ```
//!
//! A *sender* index is chosen at random by whoever sends the handshake message, and comes back as the *receiver* index of
//! what is sent to him under that handshake's keys. What is inside the sealed parts is in `session::payload`; lookups,
//! which need no session, are in [`lookup`]. No cryptography here except in the signatures of lookup answers.

pub mod lookup;

use super::{DecodeError, Reader};
use crate::buf::PacketBuf;

/// Type byte of an initiation.
pub const INIT: u8 = 0x01;
/// Type byte of the answer to an initiation.
pub const RESPONSE: u8 = 0x02;
/// Type byte of a cookie: "busy; say it again and prove that you receive what is sent to you".
pub const COOKIE: u8 = 0x03;
/// Type byte of a data message.
pub const DATA: u8 = 0x04;
/// Type byte of the answer to a data message for an index that the receiver does not know.
pub const RESET: u8 = 0x05;
/// Type byte of a lookup question.
pub const LOOKUP_QUESTION: u8 = 0x06;
/// Type byte of a lookup answer.
pub const LOOKUP_ANSWER: u8 = 0x07;

/// Bytes of a data message's header, which is also what its tag authenticates besides the contents.
pub const DATA_HEADER_LEN: usize = 16;
/// Bytes of an AEAD tag.
pub const TAG_LEN: usize = 16;
/// What a session adds to a packet: header and tag.
pub const DATA_OVERHEAD: usize = DATA_HEADER_LEN + TAG_LEN;
/// Bytes of either MAC at the end of a handshake message.
pub const MAC_LEN: usize = 16;
/// Bytes of a cookie message.
pub const COOKIE_LEN: usize = 64;
/// Bytes of a reset.
pub const RESET_LEN: usize = 16;
/// Longest handshake message that is read, in bytes: twice of what is sent today with the largest coordinates, so that later
/// versions can add to it, and little enough to bound the work that one message causes.
pub const MAX_HANDSHAKE_LEN: usize = 2048;

/// Bytes before the Noise message of an initiation.
const INIT_HEADER_LEN: usize = 8;
/// Bytes before the Noise message of a response.
const RESPONSE_HEADER_LEN: usize = 12;
/// Shortest Noise message of an initiation: ephemeral key, sealed static key, tag of the offer.
const INIT_NOISE_MIN: usize = 32 + 32 + TAG_LEN + TAG_LEN;
/// Shortest Noise message of a response: ephemeral key, tag of the offer.
const RESPONSE_NOISE_MIN: usize = 32 + TAG_LEN;

/// Why a payload is not a session message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not a type that we know.
    #[error("message type {0:#04x} is unknown")]
    UnknownType(u8),
    /// The bytes after the type, or padding, are not zero.
    #[error("reserved bytes of {what} are not zero")]
    Reserved {
        /// The message.
        what: &'static str,
    },
    /// A handshake message beyond [`MAX_HANDSHAKE_LEN`].
    #[error("{what} of {len} bytes; at most {MAX_HANDSHAKE_LEN} are read")]
    TooLong {
        /// The message.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// Too short, or followed by something.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One session message, borrowed from the payload that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The first handshake message.
    Init(HandshakeMessage<'a>),
    /// The second handshake message, for the sender of the initiation with the index `.0`.
    Response(u32, HandshakeMessage<'a>),
    /// A cookie.
    Cookie(CookieMessage<'a>),
    /// A data message. Its contents start [`DATA_HEADER_LEN`] bytes into the payload and end with the tag.
    Data(DataHeader),
    /// The receiver has no session with this index.
    Reset(DataHeader),
}

/// An initiation or a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeMessage<'a> {
    /// The index by which the sender wants to be addressed.
    pub sender: u32,
    /// The Noise message.
    pub noise: &'a [u8],
    /// Everything before mac1: what mac1 covers.
    pub before_mac1: &'a [u8],
    /// Shows that the sender knows whom he talks to.
    pub mac1: &'a [u8; MAC_LEN],
    /// Everything before mac2: what mac2 covers.
    pub before_mac2: &'a [u8],
    /// Shows that the sender holds a cookie of ours; zeros if he holds none.
    pub mac2: &'a [u8; MAC_LEN],
}

/// A cookie: 64 bytes, less than any initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieMessage<'a> {
    /// The sender index of the initiation that it answers.
    pub receiver: u32,
    /// Nonce of the sealing.
    pub nonce: &'a [u8; 24],
    /// The cookie, sealed.
    pub sealed: &'a [u8; MAC_LEN + TAG_LEN],
}

/// The header of a data message; a reset repeats that of the message that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The index that the receiver chose in the handshake.
    pub receiver: u32,
    /// Number of the message under its keys.
    pub counter: u64,
}

impl DataHeader {
    /// The 16 bytes in front of a data message.
    pub fn encode(&self) -> [u8; DATA_HEADER_LEN] {
        self.encode_as(DATA)
    }

    /// The reset that answers a data message with this header.
    pub fn reset(&self) -> PacketBuf {
        PacketBuf::from(&self.encode_as(RESET)[..])
    }

    fn encode_as(&self, kind: u8) -> [u8; DATA_HEADER_LEN] {
        let mut out = [0; DATA_HEADER_LEN];
        out[0] = kind;
        out[4..8].copy_from_slice(&self.receiver.to_be_bytes());
        out[8..].copy_from_slice(&self.counter.to_be_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        Ok(Self { receiver: reader.u32(what)?, counter: reader.u64(what)? })
    }
}

/// Whether the type byte of a payload is that of a session message (and not of a lookup, or unknown).
pub const fn is_session_message(kind: u8) -> bool {
    matches!(kind, INIT..=RESET)
}

/// Reads a session message.
///
/// # Errors
/// [`MessageError`]; a lookup is an unknown type here.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, MessageError> {
    let mut reader = Reader::new(payload);
    let kind = reader.u8("message type")?;
    let what = match kind {
        INIT => "initiation",
        RESPONSE => "response",
        COOKIE => "cookie",
        DATA => "data message",
        RESET => "reset",
        other => return Err(MessageError::UnknownType(other)),
    };
    check_reserved(&mut reader, what)?;
    match kind {
        INIT => Ok(Message::Init(handshake(payload, reader, INIT_NOISE_MIN, what)?)),
        RESPONSE => {
            let message = handshake(payload, reader, 4 + RESPONSE_NOISE_MIN, what)?;
            let mut noise = Reader::new(message.noise);
            let receiver = noise.u32(what)?;
            Ok(Message::Response(receiver, HandshakeMessage { noise: noise.rest(), ..message }))
        }
        COOKIE => cookie(reader, what).map(Message::Cookie),
        DATA => {
            let header = DataHeader::read(&mut reader, what)?;
            reader.take(TAG_LEN, what)?;
            Ok(Message::Data(header))
        }
        _ => {
            let header = DataHeader::read(&mut reader, what)?;
            reader.finish(what)?;
            Ok(Message::Reset(header))
        }
    }
}

/// An initiation without its MACs.
pub fn init(sender: u32, noise: &[u8]) -> PacketBuf {
    let mut header = [0; INIT_HEADER_LEN];
    header[0] = INIT;
    header[4..].copy_from_slice(&sender.to_be_bytes());
    with_noise(&header, noise)
}

/// A response without its MACs.
pub fn response(sender: u32, receiver: u32, noise: &[u8]) -> PacketBuf {
    let mut header = [0; RESPONSE_HEADER_LEN];
    header[0] = RESPONSE;
    header[4..8].copy_from_slice(&sender.to_be_bytes());
    header[8..].copy_from_slice(&receiver.to_be_bytes());
    with_noise(&header, noise)
}

/// A cookie message.
pub fn cookie_message(receiver: u32, nonce: &[u8; 24], sealed: &[u8; MAC_LEN + TAG_LEN]) -> PacketBuf {
    let mut out = [0; COOKIE_LEN];
    out[0] = COOKIE;
    out[4..8].copy_from_slice(&receiver.to_be_bytes());
    out[8..32].copy_from_slice(nonce);
    out[32..].copy_from_slice(sealed);
    PacketBuf::from(&out[..])
}

fn with_noise(header: &[u8], noise: &[u8]) -> PacketBuf {
    let mut packet = PacketBuf::with_capacity(header.len() + noise.len() + 2 * MAC_LEN);
    packet.append(header);
    packet.append(noise);
    packet
}

fn check_reserved(reader: &mut Reader<'_>, what: &'static str) -> Result<(), MessageError> {
    if reader.array(what)? == [0; 3] { Ok(()) } else { Err(MessageError::Reserved { what }) }
}

/// The rest of a handshake message after its reserved bytes; `noise` still includes a response's receiver index.
fn handshake<'a>(
    payload: &'a [u8],
    mut reader: Reader<'a>,
    noise_min: usize,
    what: &'static str,
) -> Result<HandshakeMessage<'a>, MessageError> {
    if payload.len() > MAX_HANDSHAKE_LEN {
        return Err(MessageError::TooLong { what, len: payload.len() });
    }
    let truncated = DecodeError::Truncated { what };
    let sender = reader.u32(what)?;
    let (noise, _) = reader.rest().split_last_chunk::<{ 2 * MAC_LEN }>().ok_or(truncated)?;
    let (before_mac2, mac2) = payload.split_last_chunk().ok_or(truncated)?;
    let (before_mac1, mac1) = before_mac2.split_last_chunk().ok_or(truncated)?;
    if noise.len() < noise_min {
        return Err(truncated.into());
    }
    Ok(HandshakeMessage { sender, noise, before_mac1, mac1, before_mac2, mac2 })
}

fn cookie<'a>(mut reader: Reader<'a>, what: &'static str) -> Result<CookieMessage<'a>, MessageError> {
    let receiver = reader.u32(what)?;
    let truncated = DecodeError::Truncated { what };
    let (nonce, rest) = reader.rest().split_first_chunk().ok_or(truncated)?;
    let (sealed, rest) = rest.split_first_chunk().ok_or(truncated)?;
    Reader::new(rest).finish(what)?;
    Ok(CookieMessage { receiver, nonce, sealed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_macs(mut packet: PacketBuf) -> PacketBuf {
        packet.append(&[1; MAC_LEN]);
        packet.append(&[2; MAC_LEN]);
        packet
    }

    #[test]
    fn handshake_messages_have_their_fields_where_the_layout_says() {
        let init = with_macs(init(0x0102_0304, &[9; INIT_NOISE_MIN]));
        assert_eq!(init[..8], [INIT, 0, 0, 0, 1, 2, 3, 4]);
        let Ok(Message::Init(message)) = parse(&init) else { panic!("not an initiation") };
        assert_eq!((message.sender, message.noise), (0x0102_0304, &[9; INIT_NOISE_MIN][..]));
        assert_eq!((message.mac1, message.mac2), (&[1; MAC_LEN], &[2; MAC_LEN]));
        assert_eq!((message.before_mac1.len(), message.before_mac2.len()), (init.len() - 32, init.len() - 16));

        let response = with_macs(response(5, 6, &[8; RESPONSE_NOISE_MIN]));
        assert_eq!(response[..12], [RESPONSE, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6]);
        let Ok(Message::Response(receiver, message)) = parse(&response) else { panic!("not a response") };
        assert_eq!((receiver, message.sender, message.noise), (6, 5, &[8; RESPONSE_NOISE_MIN][..]));
    }

    #[test]
    fn a_data_message_and_the_reset_that_answers_it_differ_in_the_type_alone() {
        let header = DataHeader { receiver: 7, counter: 8 };
        let mut data = PacketBuf::from(&header.encode()[..]);
        data.append(&[0; TAG_LEN]);
        assert_eq!(parse(&data), Ok(Message::Data(header)));
        let reset = header.reset();
        assert_eq!((reset.len(), parse(&reset)), (RESET_LEN, Ok(Message::Reset(header))));
        assert_eq!(data[1..16], reset[1..16]);
    }

    #[test]
    fn cookies_are_read_as_written_and_smaller_than_any_initiation() {
        let message = cookie_message(3, &[4; 24], &[5; 32]);
        assert_eq!(message.len(), COOKIE_LEN);
        let expected = CookieMessage { receiver: 3, nonce: &[4; 24], sealed: &[5; 32] };
        assert_eq!(parse(&message), Ok(Message::Cookie(expected)));
        const { assert!(COOKIE_LEN < INIT_HEADER_LEN + INIT_NOISE_MIN + 2 * MAC_LEN) };
    }

    #[test]
    fn unknown_types_reserved_bytes_and_wrong_lengths_are_errors() {
        assert_eq!(parse(&[]), Err(DecodeError::Truncated { what: "message type" }.into()));
        assert_eq!(parse(&[0x60, 0, 0, 0]), Err(MessageError::UnknownType(0x60)));
        assert_eq!(parse(&[LOOKUP_ANSWER, 0, 0, 0]), Err(MessageError::UnknownType(LOOKUP_ANSWER)));
        assert_eq!(parse(&[DATA, 0, 1, 0]), Err(MessageError::Reserved { what: "data message" }));
        let mut reset = DataHeader { receiver: 0, counter: 0 }.reset();
        reset.append(&[0]);
        assert_eq!(parse(&reset), Err(DecodeError::Leftover { what: "reset" }.into()));
        let long = with_macs(init(0, &[0; MAX_HANDSHAKE_LEN]));
        assert!(matches!(parse(&long), Err(MessageError::TooLong { .. })));
    }

    #[test]
    fn every_message_that_is_cut_off_is_refused() {
        let header = DataHeader { receiver: 1, counter: 2 };
        let mut data = PacketBuf::from(&header.encode()[..]);
        data.append(&[0; TAG_LEN]);
        let messages = [
            with_macs(init(1, &[0; INIT_NOISE_MIN])),
            with_macs(response(1, 2, &[0; RESPONSE_NOISE_MIN])),
            cookie_message(1, &[0; 24], &[0; 32]),
            data,
            header.reset(),
        ];
        for message in messages {
            assert!(parse(&message).is_ok());
            for len in 0..message.len() {
                assert!(parse(&message[..len]).is_err(), "type {} cut to {len}", message[0]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_within_their_bounds(kind in 0u8..9, rest in prop::collection::vec(any::<u8>(), 0..300), zero in any::<bool>()) {
            let mut bytes = vec![kind];
            if zero {
                bytes.extend([0; 3]);
            }
            bytes.extend(rest);
            if let Ok(Message::Init(message) | Message::Response(_, message)) = parse(&bytes) {
                prop_assert_eq!(message.before_mac1.len() + 2 * MAC_LEN, bytes.len());
                prop_assert!(message.noise.len() < message.before_mac1.len());
            }
        }
    }
}
