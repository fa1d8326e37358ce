//! A DNS message in, the message that answers it out.
//!
//! We are the authority for `pinecone.internal` and for the reverse zones of the overlay's prefix, and for nothing else. There are no
//! delegations and no aliases, and every answer is known at once:
//!
//! | question | answer |
//! |---|---|
//! | `AAAA` of a node's name, by key or by pet name | its address |
//! | anything else of such a name (`A`, `SRV`, `HTTPS`, …) | nothing of that kind (NODATA), so that nobody waits for it |
//! | another name under our suffix | there is none (NXDOMAIN) |
//! | `PTR` of an overlay address | its pet name, or its name by key if the key is known |
//! | everything else | refused, so that a resolver that has other servers asks those |

use std::net::Ipv6Addr;

use simple_dns::rdata::{AAAA, OPT, PTR, RData, SOA};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use super::SUFFIX;
use super::name::{key_of_label, label_of, name_of};
use super::names::PetNames;
use crate::addr::{Address, Destination};
use crate::keys::PublicKey;

/// Length of a message's header (RFC 1035 §4.1.1).
const HEADER_LEN: usize = 12;
/// How long others may remember what a name means: what a key means never changes, pet names may at the next restart.
const KEY_TTL: u32 = 86_400;
const PET_TTL: u32 = 60;
/// And that there is nothing.
const NEGATIVE_TTL: u32 = 60;
/// What we take over UDP (RFC 6891 §6.2.5); no answer of ours has half of it.
const UDP_SIZE: u16 = 1232;
/// Most records that a question brings along: one for EDNS, one that signs it.
const MAX_ADDITIONAL: u16 = 2;
/// Digits in the reverse name of an address.
const NIBBLES: usize = 32;

/// What is known of a name.
enum Found {
    /// It is a node's.
    Node(Address, u32),
    /// It is an address whose node has this name.
    Reverse(String, u32),
    /// It is there and has no records but those of the zone.
    Empty,
    /// There is no such name.
    Nothing,
    /// It is not ours.
    Foreign,
}

/// The answer to `message`; `None` if it is no question at all, and would be answered by nobody. `owner` tells whose an address is.
pub fn answer(message: &[u8], names: &PetNames, owner: impl Fn(Ipv6Addr) -> Option<PublicKey>) -> Option<Vec<u8>> {
    let header: &[u8; HEADER_LEN] = message.first_chunk()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if field(2) & PacketFlag::RESPONSE.bits() != 0 {
        return None;
    }
    let id = field(0);
    // Before anything is reserved for what the header merely announces.
    let one_question = field(4) == 1 && field(6) == 0 && field(8) == 0 && field(10) <= MAX_ADDITIONAL;
    let question = if one_question { Packet::parse(message).ok() } else { None };
    let Some(question) = question else { return failure(id, RCODE::FormatError) };
    if question.opcode() != OPCODE::StandardQuery {
        return failure(id, RCODE::NotImplemented);
    }
    reply(&question, names, owner)?.build_bytes_vec().ok()
}

fn failure(id: u16, code: RCODE) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(id);
    *reply.rcode_mut() = code;
    reply.build_bytes_vec().ok()
}

fn reply<'a>(
    question: &'a Packet<'a>,
    names: &PetNames,
    owner: impl Fn(Ipv6Addr) -> Option<PublicKey>,
) -> Option<Packet<'a>> {
    let asked = question.questions.first()?;
    let mut reply = Packet::new_reply(question.id());
    if question.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    if question.opt().is_some() {
        *reply.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_SIZE, version: 0 });
    }
    reply.questions.push(asked.clone());
    let is_internet = matches!(asked.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    let text = asked.qname.to_string().to_ascii_lowercase();
    let found = if is_internet { find(&text, names, owner) } else { Found::Foreign };
    if matches!(found, Found::Foreign) {
        *reply.rcode_mut() = RCODE::Refused;
        return Some(reply);
    }
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let wants = |kind: TYPE| asked.qtype == QTYPE::TYPE(kind) || asked.qtype == QTYPE::ANY;
    let data = match &found {
        Found::Node(address, ttl) if wants(TYPE::AAAA) => {
            Some((RData::AAAA(AAAA { address: address.ip().into() }), *ttl))
        }
        Found::Reverse(name, ttl) if wants(TYPE::PTR) => {
            Some((RData::PTR(PTR(Name::new(name).ok()?.into_owned())), *ttl))
        }
        _ => None,
    };
    match data {
        Some((data, ttl)) => reply.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, ttl, data)),
        // RFC 2308 §2: with the zone's SOA, a resolver remembers for a while that there is nothing.
        None => reply.name_servers.push(soa(&text)?),
    }
    if matches!(found, Found::Nothing) {
        *reply.rcode_mut() = RCODE::NameError;
    }
    Some(reply)
}

fn find(text: &str, names: &PetNames, owner: impl Fn(Ipv6Addr) -> Option<PublicKey>) -> Found {
    if text == SUFFIX {
        return Found::Empty;
    }
    if let Some(label) = label_of(text) {
        return match (key_of_label(label), names.key(label)) {
            (Some(key), _) => Found::Node(Address::of(&key), KEY_TTL),
            (None, Some(key)) => Found::Node(Address::of(&key), PET_TTL),
            (None, None) => Found::Nothing,
        };
    }
    let Some(nibbles) = reverse_nibbles(text) else { return Found::Foreign };
    if nibbles.len() < NIBBLES {
        return Found::Empty;
    }
    let address = nibbles.iter().fold(0_u128, |address, nibble| (address << 4) | u128::from(*nibble));
    let address = Ipv6Addr::from(address);
    if let Some(label) = names.label(address) {
        return Found::Reverse(format!("{label}.{SUFFIX}"), PET_TTL);
    }
    // A host behind a node has no name, only the node has.
    let node = |_: &PublicKey| matches!(Destination::of(address), Some(Destination::Node(_)));
    owner(address).filter(node).map_or(Found::Nothing, |key| Found::Reverse(name_of(&key), PET_TTL))
}

/// The digits of a reverse name in the order of the address, if they are within the overlay's prefix; at least the two that say so.
fn reverse_nibbles(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(".ip6.arpa")?;
    let mut nibbles = Vec::with_capacity(NIBBLES);
    for digit in digits.split('.').rev() {
        let value = digit.chars().next().and_then(|letter| letter.to_digit(16)).filter(|_| digit.len() == 1)?;
        nibbles.push(u8::try_from(value).ok()?);
    }
    (nibbles.len() <= NIBBLES && matches!(nibbles[..], [0, 6 | 7, ..])).then_some(nibbles)
}

/// The record that says which zone a name is in.
fn soa(text: &str) -> Option<ResourceRecord<'static>> {
    let zone = match text {
        _ if text.ends_with("6.0.ip6.arpa") => "6.0.ip6.arpa",
        _ if text.ends_with("7.0.ip6.arpa") => "7.0.ip6.arpa",
        _ => SUFFIX,
    };
    let name = |text| Name::new(text).ok();
    let soa = SOA {
        mname: name(SUFFIX)?,
        // Nobody reads mail there.
        rname: name("nobody.invalid")?,
        serial: 1,
        refresh: 86_400,
        retry: 7_200,
        expire: 3_600_000,
        minimum: NEGATIVE_TTL,
    };
    Some(ResourceRecord::new(name(zone)?, CLASS::IN, NEGATIVE_TTL, RData::SOA(soa)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::Question;

    use super::*;

    const A: PublicKey = PublicKey([0xaa; 32]);
    const B: PublicKey = PublicKey([0xbb; 32]);

    /// Asks a responder that calls A `home` and knows B's key: code, answers, whether the zone is named.
    fn ask(name: &str, kind: TYPE) -> (RCODE, Vec<RData<'static>>, bool) {
        let mut names = PetNames::default();
        names.add("home", A).unwrap();
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false));
        let owner = |address| Some(B).filter(|key| Address::of(key).ip() == address);
        let bytes = answer(&packet.build_bytes_vec().unwrap(), &names, owner).unwrap();
        let reply = Packet::parse(&bytes).unwrap();
        assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED) && reply.id() == 7);
        assert_eq!(reply.questions[0].qname.to_string(), name);
        let answers = reply.answers.iter().map(|record| record.rdata.clone().into_owned()).collect();
        let zone = reply.name_servers.iter().any(|record| matches!(record.rdata, RData::SOA(_)));
        (reply.rcode(), answers, zone)
    }

    fn reverse(address: Ipv6Addr) -> String {
        let digits: Vec<_> = format!("{:032x}", u128::from(address)).chars().rev().map(String::from).collect();
        digits.join(".") + ".ip6.arpa"
    }

    #[test]
    fn a_nodes_name_has_its_address_and_at_once_nothing_else() {
        let aaaa = |key| vec![RData::AAAA(AAAA { address: Address::of(key).ip().into() })];
        for (name, key) in [(name_of(&B), &B), (name_of(&A).to_uppercase(), &A), ("Home.pinecone.internal".into(), &A)]
        {
            assert_eq!(ask(&name, TYPE::AAAA), (RCODE::NoError, aaaa(key), false), "{name}");
            for kind in [TYPE::A, TYPE::SRV, TYPE::HTTPS, TYPE::MX] {
                assert_eq!(ask(&name, kind), (RCODE::NoError, vec![], true), "{name} {kind:?}");
            }
        }
        assert_eq!(ask(SUFFIX, TYPE::AAAA), (RCODE::NoError, vec![], true));
    }

    #[test]
    fn other_names_under_our_suffix_do_not_exist_and_all_others_are_refused() {
        let below = format!("_matrix-fed._tcp.{}", name_of(&A));
        for name in ["other.pinecone.internal", "a.home.pinecone.internal", &below] {
            assert_eq!(ask(name, TYPE::SRV), (RCODE::NameError, vec![], true), "{name}");
        }
        for name in ["example.org", "internal", "notpinecone.internal", "1.0.0.2.ip6.arpa", "8.0.ip6.arpa"] {
            assert_eq!(ask(name, TYPE::AAAA), (RCODE::Refused, vec![], false), "{name}");
        }
    }

    #[test]
    fn an_address_has_a_pet_name_or_that_of_its_key_if_that_is_known() {
        let ptr = |name: &str| vec![RData::PTR(PTR(Name::new(name).unwrap().into_owned()))];
        let of = |key| reverse(Address::of(key).ip());
        assert_eq!(ask(&of(&A), TYPE::PTR), (RCODE::NoError, ptr("home.pinecone.internal"), false));
        assert_eq!(ask(&of(&B), TYPE::PTR), (RCODE::NoError, ptr(&name_of(&B)), false));
        assert_eq!(ask(&of(&B), TYPE::AAAA), (RCODE::NoError, vec![], true));
        assert_eq!(ask(&of(&PublicKey([0xcc; 32])), TYPE::PTR), (RCODE::NameError, vec![], true));
        assert_eq!(ask("0.6.0.ip6.arpa", TYPE::PTR), (RCODE::NoError, vec![], true));
    }

    #[test]
    fn what_is_no_question_gets_an_error_or_silence() {
        let code = |bytes: &[u8]| answer(bytes, &PetNames::default(), |_| None).map(|bytes| bytes[3] & 0xf);
        let good = crate::dns::datagram::tests::question("example.org");
        assert_eq!(code(&good), Some(5));
        assert_eq!(code(&good[..11]), None);
        assert_eq!(code(&good[..20]), Some(1));
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(code(&with(2, 0x80)), None, "a response");
        assert_eq!(code(&with(2, 0x20)), Some(4), "a notification");
        assert_eq!(code(&with(5, 2)), Some(1), "two questions");
        assert_eq!(code(&with(10, 0xff)), Some(1), "more records than there are");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            crate::dns::fuzz_body::fuzz_dns(&bytes);
        }

        #[test]
        fn a_question_with_wrong_bytes_is_answered_or_not(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            length: proptest::sample::Index,
        ) {
            let mut bytes = crate::dns::datagram::tests::question("some.home.pinecone.internal");
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(12 + length.index(bytes.len()));
            crate::dns::fuzz_body::fuzz_dns(&bytes);
        }
    }
}
