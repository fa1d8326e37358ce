//! What is inside the sealed parts of session messages.
//!
//! ```text
//! offer        stamp 8 | flags 1 | mtu 2 | [place]                    in an initiation and, as the answer, in a response
//! packet       60 … 6f …                                              an IPv6 packet as it is, no byte added
//! unsummed     10 | packet                                            its transport checksum is left to the receiver
//! segments     11 | size 2 | packet                                   the same, and it stands for several, each of so many data bytes
//! keepalive    00
//! coordinates  01 | flags 1 | stamp 8 | known 8 | [place]
//! ping         02 | id 8
//! pong         03 | id 8
//! route        04 … 08                                                see [`route`](super::route)
//! place        root key 32 | length 2 | coordinates
//!
//! flags   1 = ChaCha20-Poly1305   2 = AES-256-GCM     an offer: what the sender speaks; an answer: the one it chose
//!         4 = a place follows     8 = please answer   (in coordinates messages)
//! ```
//!
//! Integers are big-endian. Unknown flags and bytes behind the last field are ignored, and so are the control messages
//! 09 … 0f: later versions may add to all of these. Every other first byte is malformed.
//!
//! A *stamp* is Unix milliseconds × 2¹⁶ + a counter, strictly increasing at each sender. It orders initiations, and what a
//! node says of its place, whichever keys it was said under and however frames overtook each other. `known` is the latest
//! stamp under which the sender heard the other's place: its receipt.

use super::aead::Cipher;
use super::route::{self, RouteMessage};
use crate::buf::{Offload, PacketBuf};
use crate::keys::PublicKey;
use crate::wire::coords::{Coords, CoordsRef};
use crate::wire::{DecodeError, Reader};

/// Longest coordinates told or believed, in bytes on the wire…
const MAX_COORDS_LEN: usize = 1024;
/// … and in ports, which take eight bytes each in memory. A deeper place is not told, and its node is reached by the snake.
pub(super) const MAX_PORTS: usize = 128;

const CHACHA: u8 = 1;
const AES: u8 = 2;
const PLACE: u8 = 4;
const ANSWER: u8 = 8;

const KEEPALIVE: u8 = 0x00;
const COORDINATES: u8 = 0x01;
const PING: u8 = 0x02;
const PONG: u8 = 0x03;
const UNSUMMED: u8 = 0x10;
const SEGMENTS: u8 = 0x11;

/// Most bytes that stand in front of a packet inside the encryption.
pub(super) const MAX_PREFIX: usize = 3;

/// A node's place in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which tree.
    pub(super) root: PublicKey,
    /// Where in it.
    pub(super) coords: Coords,
}

impl Place {
    /// `None` if the place is deeper than what sessions tell.
    pub(super) fn new(root: PublicKey, coords: Coords) -> Option<Self> {
        let fits = coords.len() <= MAX_PORTS && coords.encoded_len() <= MAX_COORDS_LEN;
        fits.then_some(Self { root, coords })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.root.0);
        self.coords.write(out);
    }

    /// The place that `flags` announces. One that is too deep to be kept counts as none.
    fn read(flags: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        if flags & PLACE == 0 {
            return Ok(None);
        }
        let root = reader.key("root of a place")?;
        let coords = CoordsRef::read(reader, "coordinates of a place")?;
        if coords.iter().nth(MAX_PORTS).is_some() {
            return Ok(None);
        }
        Ok(Self::new(root, coords.to_owned()))
    }
}

/// What a handshake message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) stamp: u64,
    /// Flags of ciphers: what the sender speaks or, in the answer, the one chosen.
    ciphers: u8,
    /// The sender's interface MTU.
    pub(super) mtu: u16,
    pub(super) place: Option<Place>,
}

impl Offer {
    /// An offer of all ciphers that we speak.
    pub(super) fn new(stamp: u64, aes: bool, mtu: u16, place: Option<Place>) -> Self {
        Self { stamp, ciphers: CHACHA | if aes { AES } else { 0 }, mtu, place }
    }

    /// The answer to an offer, with the cipher that was chosen from it.
    pub(super) fn answer(stamp: u64, chosen: Cipher, mtu: u16, place: Option<Place>) -> Self {
        let ciphers = match chosen {
            Cipher::ChaCha20Poly1305 => CHACHA,
            Cipher::Aes256Gcm => AES,
        };
        Self { stamp, ciphers, mtu, place }
    }

    /// The best cipher that both speak; `None` if there is none.
    pub(super) fn choose(&self, we_speak_aes: bool) -> Option<Cipher> {
        if we_speak_aes && self.ciphers & AES != 0 {
            Some(Cipher::Aes256Gcm)
        } else {
            (self.ciphers & CHACHA != 0).then_some(Cipher::ChaCha20Poly1305)
        }
    }

    /// The one cipher that this answer chose; `None` if it chose none, several, or one that we did not offer.
    pub(super) fn chosen(&self, we_speak_aes: bool) -> Option<Cipher> {
        match self.ciphers & (CHACHA | AES) {
            CHACHA => Some(Cipher::ChaCha20Poly1305),
            AES if we_speak_aes => Some(Cipher::Aes256Gcm),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend(self.stamp.to_be_bytes());
        out.push(self.ciphers | if self.place.is_some() { PLACE } else { 0 });
        out.extend(self.mtu.to_be_bytes());
        if let Some(place) = &self.place {
            place.write(&mut out);
        }
        out
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let stamp = reader.u64("stamp of an offer")?;
        let flags = reader.u8("flags of an offer")?;
        let mtu = reader.u16("MTU of an offer")?;
        let place = Place::read(flags, &mut reader)?;
        Ok(Self { stamp, ciphers: flags & (CHACHA | AES), mtu, place })
    }
}

/// A message between two sessions, inside the encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// "I am here": sent by who received something and had nothing to say himself.
    Keepalive,
    /// "I am there."
    Coordinates {
        /// Whether the sender waits for a coordinates message in return, as a receipt.
        answer: bool,
        stamp: u64,
        known: u64,
        place: Option<Place>,
    },
    /// "Say this back."
    Ping(u64),
    /// The answer to a ping.
    Pong(u64),
    /// About the routes between the two.
    Route(RouteMessage),
    /// Of a type that a later version may know.
    Unknown,
}

/// What was inside a data message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// A packet, behind so many bytes that say what is left undone in it.
    Packet(usize, Offload),
    Control(Control),
}

/// Whether `packet` may be sealed: only what the receiver will take for a packet.
pub(super) fn is_packet(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6)
}

/// Bytes that say what is left undone in a packet.
pub(super) const fn prefix_len(offload: Offload) -> usize {
    match offload {
        Offload::None => 0,
        Offload::Checksum => 1,
        Offload::Segments(_) => MAX_PREFIX,
    }
}

/// Puts in front of a packet what is left undone in it.
pub(super) fn announce(packet: &mut PacketBuf) {
    match std::mem::take(&mut packet.offload) {
        Offload::None => {}
        Offload::Checksum => packet.prepend(1).fill(UNSUMMED),
        Offload::Segments(size) => {
            let [high, low] = size.to_be_bytes();
            packet.prepend(MAX_PREFIX).copy_from_slice(&[SEGMENTS, high, low]);
        }
    }
}

impl Contents {
    /// Tells packets from control messages and reads the latter.
    pub(super) fn parse(text: &[u8]) -> Result<Self, DecodeError> {
        let what = "contents of a data message";
        let mut reader = Reader::new(text);
        match reader.u8(what)? {
            0x60..=0x6f => Ok(Self::Packet(0, Offload::None)),
            UNSUMMED => Self::packet_behind(text, 1, Offload::Checksum),
            SEGMENTS => {
                let size = reader.u16("segment size of a packet")?;
                Self::packet_behind(text, MAX_PREFIX, Offload::Segments(size))
            }
            kind @ 0x00..=0x0f => Control::read(kind, &mut reader).map(Self::Control),
            _ => Err(DecodeError::Leftover { what }),
        }
    }

    fn packet_behind(text: &[u8], prefix: usize, offload: Offload) -> Result<Self, DecodeError> {
        let found = text.get(prefix..).is_some_and(is_packet);
        found.then_some(Self::Packet(prefix, offload)).ok_or(DecodeError::Leftover { what: "packet with offload" })
    }
}

impl Control {
    /// Whether the other side will say something in return.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Coordinates { answer: true, .. })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Coordinates { answer, stamp, known, place } => {
                let mut out = vec![COORDINATES, flag(*answer, ANSWER) | flag(place.is_some(), PLACE)];
                out.extend(stamp.to_be_bytes());
                out.extend(known.to_be_bytes());
                if let Some(place) = place {
                    place.write(&mut out);
                }
                out
            }
            Self::Ping(id) => [&[PING][..], &id.to_be_bytes()].concat(),
            Self::Pong(id) => [&[PONG][..], &id.to_be_bytes()].concat(),
            Self::Route(message) => message.encode(),
            Self::Keepalive | Self::Unknown => vec![KEEPALIVE],
        }
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            KEEPALIVE => Self::Keepalive,
            COORDINATES => {
                let flags = reader.u8("flags of coordinates")?;
                let stamp = reader.u64("stamp of coordinates")?;
                let known = reader.u64("receipt in coordinates")?;
                let place = Place::read(flags, reader)?;
                Self::Coordinates { answer: flags & ANSWER != 0, stamp, known, place }
            }
            PING => Self::Ping(reader.u64("id of a ping")?),
            PONG => Self::Pong(reader.u64("id of a pong")?),
            route::REQUEST..=route::BROKEN => Self::Route(RouteMessage::read(kind, reader)?),
            _ => Self::Unknown,
        })
    }
}

const fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> impl Strategy<Value = Option<Place>> {
        prop::option::of(
            (any::<[u8; 32]>(), prop::collection::vec(any::<u64>(), 0..20))
                .prop_map(|(root, ports)| Place { root: PublicKey(root), coords: Coords::new(ports) }),
        )
    }

    fn controls() -> impl Strategy<Value = Control> {
        prop_oneof![
            Just(Control::Keepalive),
            (any::<bool>(), any::<u64>(), any::<u64>(), places())
                .prop_map(|(answer, stamp, known, place)| { Control::Coordinates { answer, stamp, known, place } }),
            any::<u64>().prop_map(Control::Ping),
            any::<u64>().prop_map(Control::Pong),
        ]
    }

    proptest! {
        #[test]
        fn controls_are_read_as_written_whatever_follows(control in controls(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = control.encode();
            bytes.extend(behind);
            prop_assert_eq!(Contents::parse(&bytes), Ok(Contents::Control(control)));
        }

        #[test]
        fn offers_are_read_as_written_whatever_follows(stamp in any::<u64>(), aes in any::<bool>(), mtu in any::<u16>(), place in places(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
            let offer = Offer::new(stamp, aes, mtu, place);
            let mut bytes = offer.encode();
            bytes.extend(behind);
            prop_assert_eq!(Offer::parse(&bytes), Ok(offer));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..5) {
            let _ = Offer::parse(&bytes);
            let _ = Contents::parse(&bytes);
            let mut bytes = bytes;
            bytes.insert(0, kind);
            if let Ok(Contents::Control(Control::Coordinates { place: Some(place), .. })) = Contents::parse(&bytes) {
                prop_assert!(place.coords.len() <= MAX_PORTS);
            }
        }
    }

    #[test]
    fn a_packet_is_told_from_a_control_message_by_its_first_byte() {
        for first in 0..=255u8 {
            let text = [&[first][..], &[0; 40]].concat();
            match Contents::parse(&text) {
                Ok(Contents::Packet(at, offload)) => assert_eq!((first >> 4, at, offload), (6, 0, Offload::None)),
                Ok(Contents::Control(_)) => assert_eq!(first >> 4, 0),
                Err(_) => assert!(first >> 4 != 6 && first >> 4 != 0),
            }
            assert_eq!(is_packet(&text), first >> 4 == 6);
        }
        assert!(Contents::parse(&[]).is_err() && !is_packet(&[]));
    }

    #[test]
    fn what_is_left_undone_in_a_packet_is_read_as_written() {
        for (offload, prefix) in [(Offload::None, 0), (Offload::Checksum, 1), (Offload::Segments(1_440), MAX_PREFIX)] {
            let mut packet = PacketBuf::from(&[0x60; 100][..]);
            packet.offload = offload;
            announce(&mut packet);
            assert_eq!((packet.len(), packet.offload), (prefix + 100, Offload::None));
            assert_eq!(prefix_len(offload), prefix);
            assert_eq!(Contents::parse(&packet), Ok(Contents::Packet(prefix, offload)));
        }
        // No packet inside, or none at all.
        for bytes in [&[UNSUMMED, 0x40][..], &[UNSUMMED], &[SEGMENTS, 0x60, 0x60, 0], &[SEGMENTS, 5]] {
            assert!(Contents::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_place_that_is_too_deep_is_neither_told_nor_believed() {
        let deep = Coords::new(vec![1; MAX_PORTS + 1]);
        assert_eq!(Place::new(PublicKey::ZERO, deep.clone()), None);
        assert_eq!(Place::new(PublicKey::ZERO, Coords::new(vec![u64::MAX; MAX_PORTS])), None);
        assert!(Place::new(PublicKey::ZERO, Coords::new(vec![200; MAX_PORTS])).is_some());
        let forced = Offer::new(1, false, 1280, Some(Place { root: PublicKey::ZERO, coords: deep }));
        assert_eq!(Offer::parse(&forced.encode()).map(|offer| offer.place), Ok(None));
    }

    #[test]
    fn aes_is_chosen_only_if_both_offer_it_and_an_answer_must_choose_one_that_was_offered() {
        for (ours, theirs, expected) in [
            (true, true, Cipher::Aes256Gcm),
            (true, false, Cipher::ChaCha20Poly1305),
            (false, true, Cipher::ChaCha20Poly1305),
            (false, false, Cipher::ChaCha20Poly1305),
        ] {
            let chosen = Offer::new(1, theirs, 1280, None).choose(ours);
            assert_eq!(chosen, Some(expected));
            assert_eq!(Offer::answer(1, expected, 1280, None).chosen(theirs), Some(expected));
        }
        assert_eq!(Offer::answer(1, Cipher::Aes256Gcm, 1280, None).chosen(false), None);
        assert_eq!(Offer::new(1, true, 1280, None).chosen(true), None);
        assert_eq!(Offer { stamp: 0, ciphers: 0, mtu: 0, place: None }.choose(true), None);
    }
}
