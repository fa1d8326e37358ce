//! Lookups: which key owns an address? One question, one signed answer, no session needed.
//!
//! ```text
//! question  06 000000 | nonce 16 | target 16 | zeros 92     128 bytes
//! answer    07 000000 | nonce 16 | signature 64              84 bytes
//! ```
//!
//! The question is a traffic frame to the lowest key that has the address; the snake hands it to the next higher key, which
//! is the owner if there is one. Asker and owner are not in the messages: they are the source keys of the frames, and the
//! signature covers both, so that an answer fits one asker, one question and one owner. The zeros make the question's
//! frame larger than the answer's even if the owner's coordinates are 44 bytes longer than the asker's: an answer to a
//! forged source never amplifies.

use super::{LOOKUP_ANSWER, LOOKUP_QUESTION, MessageError, check_reserved};
use crate::addr::Destination;
use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Scheme, Signature};
use crate::wire::Reader;

/// Bytes of a question.
pub const QUESTION_LEN: usize = 128;
/// Bytes of an answer.
pub const ANSWER_LEN: usize = 84;

/// What keeps signatures of answers apart from all other signatures of node keys. Pinecone's own cover a 32-byte key among
/// their first bytes, and nobody can make a key pair whose public half reads like this.
const CONTEXT: &[u8] = b"pineconed lookup answer v1";

/// Who has this address?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupQuestion {
    /// Random; the answer repeats it.
    pub nonce: [u8; 16],
    /// The IPv6 address, or a routed prefix with a host part of zeros.
    pub target: [u8; 16],
}

/// I have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupAnswer {
    /// That of the question.
    pub nonce: [u8; 16],
    /// The owner's signature over context, nonce, asker's key, target and owner's key.
    pub signature: Signature,
}

impl LookupQuestion {
    /// The payload of a traffic frame.
    pub fn encode(&self) -> PacketBuf {
        let mut out = [0; QUESTION_LEN];
        out[0] = LOOKUP_QUESTION;
        out[4..20].copy_from_slice(&self.nonce);
        out[20..36].copy_from_slice(&self.target);
        PacketBuf::from(&out[..])
    }

    /// Reads the payload of a traffic frame.
    ///
    /// # Errors
    /// [`MessageError`], also for a question that is not padded to its full length.
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let what = "lookup question";
        let mut reader = reader_of(LOOKUP_QUESTION, payload, what)?;
        let question = Self { nonce: reader.array(what)?, target: reader.array(what)? };
        let padding = reader.take(QUESTION_LEN - 36, what)?;
        reader.finish(what)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(MessageError::Reserved { what });
        }
        Ok(question)
    }

    /// What the target means in the overlay, if anything.
    pub fn destination(&self) -> Option<Destination> {
        Destination::of(self.target.into())
    }

    fn signed_bytes(&self, asker: &PublicKey, owner: &PublicKey) -> Vec<u8> {
        [CONTEXT, &self.nonce, &asker.0, &self.target, &owner.0].concat()
    }
}

impl LookupAnswer {
    /// The answer of `owner` to a question that came from `asker`. Whether the target is the owner's is for the caller to
    /// check: a wrong answer is refused by every asker.
    pub fn sign(question: &LookupQuestion, asker: &PublicKey, owner: &Keypair) -> Self {
        let signature = owner.sign(&question.signed_bytes(asker, &owner.public()));
        Self { nonce: question.nonce, signature }
    }

    /// Whether this answers `question` for `asker`, the target belongs to `owner` (the source key of the frame that it came
    /// in), and `owner` signed it. The signature is checked last.
    pub fn verify(&self, question: &LookupQuestion, asker: &PublicKey, owner: &PublicKey, scheme: Scheme) -> bool {
        self.nonce == question.nonce
            && question.destination().is_some_and(|destination| destination.belongs_to(owner))
            && scheme.verifies(owner, &question.signed_bytes(asker, owner), &self.signature)
    }

    /// The payload of a traffic frame.
    pub fn encode(&self) -> PacketBuf {
        let mut out = [0; ANSWER_LEN];
        out[0] = LOOKUP_ANSWER;
        out[4..20].copy_from_slice(&self.nonce);
        out[20..].copy_from_slice(&self.signature);
        PacketBuf::from(&out[..])
    }

    /// Reads the payload of a traffic frame. The signature is not checked.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let what = "lookup answer";
        let mut reader = reader_of(LOOKUP_ANSWER, payload, what)?;
        let answer = Self { nonce: reader.array(what)?, signature: reader.signature(what)? };
        reader.finish(what)?;
        Ok(answer)
    }
}

/// A reader behind the reserved bytes of a message of type `kind`.
fn reader_of<'a>(kind: u8, payload: &'a [u8], what: &'static str) -> Result<Reader<'a>, MessageError> {
    let mut reader = Reader::new(payload);
    let found = reader.u8(what)?;
    if found != kind {
        return Err(MessageError::UnknownType(found));
    }
    check_reserved(&mut reader, what)?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::addr::{Address, Subnet};
    use crate::keys::Seed;

    fn pair(n: u8) -> Keypair {
        Keypair::from_seed(&Seed([n; 32]))
    }

    fn question_for(owner: &Keypair) -> LookupQuestion {
        LookupQuestion { nonce: [7; 16], target: Address::of(&owner.public()).ip().octets() }
    }

    #[test]
    fn an_answer_holds_for_its_question_asker_and_owner_only() {
        let (asker, owner, other) = (pair(1), pair(2), pair(3));
        let question = question_for(&owner);
        let answer = LookupAnswer::sign(&question, &asker.public(), &owner);
        assert!(answer.verify(&question, &asker.public(), &owner.public(), Scheme::Ed25519));
        assert!(!answer.verify(&question, &other.public(), &owner.public(), Scheme::Ed25519));
        assert!(!answer.verify(&question, &asker.public(), &other.public(), Scheme::Ed25519));
        let later = LookupQuestion { nonce: [8; 16], ..question };
        assert!(!answer.verify(&later, &asker.public(), &owner.public(), Scheme::Ed25519));
        let subnet = LookupQuestion { target: Subnet::of(&owner.public()).ip().octets(), ..question };
        assert!(!answer.verify(&subnet, &asker.public(), &owner.public(), Scheme::Ed25519));
    }

    #[test]
    fn nobody_can_answer_for_an_address_that_is_not_his() {
        let (asker, owner, thief) = (pair(1), pair(2), pair(3));
        let question = question_for(&owner);
        let answer = LookupAnswer::sign(&question, &asker.public(), &thief);
        assert!(!answer.verify(&question, &asker.public(), &thief.public(), Scheme::Ed25519));
    }

    #[test]
    fn questions_and_answers_are_read_as_written_and_an_answer_is_smaller() {
        let (asker, owner) = (pair(1), pair(2));
        let question = question_for(&owner);
        let answer = LookupAnswer::sign(&question, &asker.public(), &owner);
        assert_eq!(LookupQuestion::parse(&question.encode()), Ok(question));
        assert_eq!(LookupAnswer::parse(&answer.encode()), Ok(answer));
        assert!(answer.encode().len() + 44 <= question.encode().len());
        assert_eq!(LookupAnswer::parse(&question.encode()), Err(MessageError::UnknownType(LOOKUP_QUESTION)));
    }

    #[test]
    fn a_question_without_its_padding_is_refused() {
        let mut bytes = question_for(&pair(1)).encode();
        bytes[QUESTION_LEN - 1] = 1;
        assert_eq!(LookupQuestion::parse(&bytes), Err(MessageError::Reserved { what: "lookup question" }));
        let whole = question_for(&pair(1)).encode();
        for len in 0..QUESTION_LEN {
            assert!(LookupQuestion::parse(&whole[..len]).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back_the_same(kind in 5u8..9, body in prop::collection::vec(any::<u8>(), 0..140), zero in any::<bool>()) {
            let mut bytes = vec![kind, 0, 0, 0];
            bytes.extend(body);
            if zero {
                bytes.resize(QUESTION_LEN, 0);
                bytes[36..].fill(0);
            }
            if let Ok(question) = LookupQuestion::parse(&bytes) {
                prop_assert_eq!(&*question.encode(), &bytes[..]);
            }
            if let Ok(answer) = LookupAnswer::parse(&bytes) {
                prop_assert_eq!(&*answer.encode(), &bytes[..]);
            }
        }
    }
}
