//! What two nodes tell each other about the routes between them, inside the encryption. How routes are used is not a session's affair: see
//! `node::routes`.
//!
//! ```text
//! request      04 | id 8 | label 8 | mask 4                     travels in a path request; the label is for frames back to its sender
//! reply        05 | id 8 | label 8 | mask 4 | n 1 | hops 6n     n = 255: the request came without a path
//! probe        06 | id 8 | token 8                              by the route that the reply with this id told; id 0: without a route
//! probed       07 | id 8 | token 8 | received 4                 its answer, the same way back
//! broken       08 | mark 1                                      an open frame with this mark came without its route
//! ```
//!
//! A *label* stands for both ends in sealed frames, which have the index of the session masked by the *mask*: relays have seen that index
//! together with both keys. A label of zero: none, frames are to be sent open. *received* counts the messages that came by the route.

use crate::wire::route::{Hop, MAX_HOPS};
use crate::wire::{DecodeError, Reader};

pub(super) const REQUEST: u8 = 0x04;
const REPLY: u8 = 0x05;
const PROBE: u8 = 0x06;
const PROBED: u8 = 0x07;
pub(super) const BROKEN: u8 = 0x08;
/// Instead of a number of hops: no path.
const NO_PATH: u8 = 0xff;

/// By which a node knows sealed frames that are for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// What stands in the frames; even, as the next odd number is the same for messages that are no packets. 0: none.
    pub label: u64,
    /// What the session's index is combined with, so that it is none that a relay has seen.
    pub mask: u32,
}

/// Something about routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMessage {
    /// "By which path did this come?"
    Request {
        /// Chosen by the sender, above zero.
        id: u64,
        /// For frames back to the sender.
        label: Label,
    },
    /// The answer to a request.
    Reply {
        /// Which request.
        id: u64,
        /// For frames by this path.
        label: Label,
        /// The hops behind the first; `None` if the request came without a path.
        hops: Option<Vec<Hop>>,
    },
    /// "Say this back."
    Probe {
        /// By which route; 0 for none.
        id: u64,
        /// Names the probe.
        token: u64,
    },
    /// The answer to a probe.
    Probed {
        /// By which route.
        id: u64,
        /// Which probe.
        token: u64,
        /// How many messages came by the route, modulo 2³².
        received: u32,
    },
    /// A frame came without the route that its sender had put around it.
    Broken {
        /// The mark of its route.
        mark: u8,
    },
}

impl RouteMessage {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Request { id, label } => [&[REQUEST][..], &id.to_be_bytes(), &label.encode()].concat(),
            Self::Reply { id, label, hops } => {
                let mut out = [&[REPLY][..], &id.to_be_bytes(), &label.encode()].concat();
                let hops = hops.as_ref().filter(|hops| hops.len() <= MAX_HOPS);
                out.push(hops.and_then(|hops| u8::try_from(hops.len()).ok()).unwrap_or(NO_PATH));
                out.extend(hops.into_iter().flatten().flat_map(|hop| hop.encode()));
                out
            }
            Self::Probe { id, token } => [&[PROBE][..], &id.to_be_bytes(), &token.to_be_bytes()].concat(),
            Self::Probed { id, token, received } => {
                [&[PROBED][..], &id.to_be_bytes(), &token.to_be_bytes(), &received.to_be_bytes()].concat()
            }
            Self::Broken { mark } => vec![BROKEN, *mark],
        }
    }

    /// Reads what is behind the first byte. Bytes behind the last field are ignored.
    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let what = "message about a route";
        if kind == BROKEN {
            return Ok(Self::Broken { mark: reader.u8(what)? });
        }
        let id = reader.u64(what)?;
        Ok(match kind {
            REQUEST => Self::Request { id, label: Label::read(reader)? },
            REPLY => Self::Reply { id, label: Label::read(reader)?, hops: read_hops(reader)? },
            PROBE => Self::Probe { id, token: reader.u64(what)? },
            PROBED => Self::Probed { id, token: reader.u64(what)?, received: reader.u32(what)? },
            _ => return Err(DecodeError::Leftover { what }),
        })
    }
}

impl Label {
    fn encode(self) -> [u8; 12] {
        let mut out = [0; 12];
        out[..8].copy_from_slice(&self.label.to_be_bytes());
        out[8..].copy_from_slice(&self.mask.to_be_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { label: reader.u64("label of a route")?, mask: reader.u32("mask of a route")? })
    }
}

fn read_hops(reader: &mut Reader<'_>) -> Result<Option<Vec<Hop>>, DecodeError> {
    let what = "hops of a route";
    let count = reader.u8(what)?;
    if count == NO_PATH {
        return Ok(None);
    }
    if usize::from(count) > MAX_HOPS {
        return Err(DecodeError::Leftover { what });
    }
    (0..count).map(|_| Ok(Hop::decode(reader.array(what)?))).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::payload::{Contents, Control};

    fn messages() -> impl Strategy<Value = RouteMessage> {
        let label = || (any::<u64>(), any::<u32>()).prop_map(|(label, mask)| Label { label, mask });
        let hop = (any::<u16>(), any::<u32>()).prop_map(|(port, epoch)| Hop { port, epoch });
        let hops = prop::option::of(prop::collection::vec(hop, 0..=MAX_HOPS));
        prop_oneof![
            (any::<u64>(), label()).prop_map(|(id, label)| RouteMessage::Request { id, label }),
            (any::<u64>(), label(), hops).prop_map(|(id, label, hops)| RouteMessage::Reply { id, label, hops }),
            any::<(u64, u64)>().prop_map(|(id, token)| RouteMessage::Probe { id, token }),
            any::<(u64, u64, u32)>().prop_map(|(id, token, received)| RouteMessage::Probed { id, token, received }),
            any::<u8>().prop_map(|mark| RouteMessage::Broken { mark }),
        ]
    }

    proptest! {
        #[test]
        fn messages_are_read_as_written_whatever_follows(message in messages(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = message.encode();
            bytes.extend(behind);
            prop_assert_eq!(Contents::parse(&bytes), Ok(Contents::Control(Control::Route(message))));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500), kind in REQUEST..=BROKEN) {
            let _ = RouteMessage::read(kind, &mut Reader::new(&bytes));
        }
    }

    #[test]
    fn more_hops_than_a_route_has_are_neither_written_nor_read() {
        let reply =
            |count| RouteMessage::Reply { id: 1, label: Label::default(), hops: Some(vec![Hop::default(); count]) };
        let mut long = reply(MAX_HOPS).encode();
        long[21] = 65;
        long.extend([0; 6]);
        assert!(Contents::parse(&long).is_err());
        let too_many = Contents::parse(&reply(MAX_HOPS + 1).encode());
        let none = RouteMessage::Reply { id: 1, label: Label::default(), hops: None };
        assert_eq!(too_many, Ok(Contents::Control(Control::Route(none))));
    }
}
