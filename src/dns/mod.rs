//! Names of nodes under `pinecone.internal`, which mean the same on every host and leave none.
//!
//! `internal` is reserved for private use: no public name server will ever have it. What stands in front of [`SUFFIX`] is a key
//! ([`name`]) or a name of the host's own choice ([`names`]). A [`Responder`] answers for them: it takes a packet that the host
//! sends to [`ADDRESS`], which is no node's and never can be, and makes the packet that answers it ([`datagram`] around [`answer`]). It
//! needs no socket, so no port 53 of the host, and nobody can ask it but this host and those behind it. Whatever it does not know under our suffix
//! does not exist, and what is not under our suffix it refuses: it asks nobody, so no question gets out.

pub mod answer;
pub mod datagram;
pub mod fuzz_body;
pub mod name;
pub mod names;

use std::net::Ipv6Addr;

use crate::addr::may_send_from;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use names::PetNames;

/// What all our names end in, without a dot at either end.
pub const SUFFIX: &str = "pinecone.internal";

/// Where names are asked for: the same on every host.
///
/// Byte 1 of a node's address counts the leading zero bits of its key. With 255 of them a key has one bit left, which is the first one
/// bit, so the rest of its address is zero: an address that begins with `06ff` and does not go on with zeros is nobody's.
pub const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x06ff, 0, 0, 0, 0, 0, 0, 0x53);
/// The port for questions (RFC 1035 §4.2).
pub const PORT: u16 = 53;

/// Answers this host's questions for names.
#[derive(Debug)]
pub struct Responder {
    own: PublicKey,
    names: PetNames,
}

impl Responder {
    /// A responder on the node with the key `own`.
    pub fn new(own: PublicKey, names: PetNames) -> Self {
        Self { own, names }
    }

    /// The packet that answers `packet`, if it is one for us; `None` if it is for somebody else. `owner` tells whose an address is,
    /// as far as that is known without asking anybody.
    ///
    /// # Errors
    /// It is for us and cannot be answered: how it is to be counted.
    pub fn answer(
        &self,
        packet: &[u8],
        owner: impl Fn(Ipv6Addr) -> Option<PublicKey>,
    ) -> Option<Result<PacketBuf, DropReason>> {
        // Looked at for every packet that the host sends.
        if packet.get(24..40) != Some(&ADDRESS.octets()) {
            return None;
        }
        Some(self.answer_ours(packet, owner))
    }

    fn answer_ours(
        &self,
        packet: &[u8],
        owner: impl Fn(Ipv6Addr) -> Option<PublicKey>,
    ) -> Result<PacketBuf, DropReason> {
        let question = datagram::Datagram::parse(packet)?;
        if !may_send_from(&self.own, question.source) {
            return Err(DropReason::ForeignSource);
        }
        let owner = |ip| Some(self.own).filter(|own| may_send_from(own, ip)).or_else(|| owner(ip));
        let message = answer::answer(question.payload, &self.names, owner).ok_or(DropReason::MalformedPacket)?;
        Ok(question.reply(&message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Address, Subnet};

    #[test]
    fn nobody_owns_the_responders_address() {
        let mut last = [0; 32];
        last[31] = 1;
        for key in [PublicKey([0; 32]), PublicKey(last)] {
            assert_ne!(Address::of(&key).ip(), ADDRESS);
        }
        // Every other key has fewer than 255 leading zeros, and byte 1 says so.
        last[31] = 2;
        assert_eq!(Address::of(&PublicKey(last)).ip().octets()[1], 254);
    }

    #[test]
    fn only_packets_to_it_are_taken_and_only_from_this_host_and_those_behind_it() {
        let own = PublicKey([0x91; 32]);
        let responder = Responder::new(own, PetNames::default());
        let ask = |source, destination| {
            let question = datagram::tests::question("a.pinecone.internal");
            responder.answer(&datagram::build(source, destination, (5353, PORT), &question), |_| None)
        };
        let address = Address::of(&own).ip();
        let behind = Ipv6Addr::from(u128::from(Subnet::of(&own).ip()) + 9);
        for source in [address, behind] {
            let answer = ask(source, ADDRESS).unwrap().unwrap();
            assert_eq!((&answer[8..24], &answer[24..40]), (&ADDRESS.octets()[..], &source.octets()[..]));
        }
        assert!(ask(address, "6ff::54".parse().unwrap()).is_none());
        let stranger = Address::of(&PublicKey([0x92; 32])).ip();
        assert_eq!(ask(stranger, ADDRESS).unwrap().err(), Some(DropReason::ForeignSource));
    }
}
