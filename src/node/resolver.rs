//! From an overlay address to the key that owns it.
//!
//! An address names an interval of key space, and the snake delivers a frame for a key that nobody owns to the next higher one. So
//! the question is sent to the lowest key that has the address; whoever receives it answers if the address is its own, with a
//! signature over the asker's nonce. What a valid answer says stays true for ever (the address is a function of the key), so answers
//! are kept until the bounded cache needs the room.
//!
//! A question is repeated with growing distance while somebody waits: the snake may still be converging. It is never larger than its
//! answer, so nobody is flooded through us.

use std::collections::BTreeMap;

use crate::addr::{Address, Destination, Subnet};
use crate::bounded::BoundedMap;
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Until a destination that nobody answered for is given up: three repetitions, and a moment for the last answer.
pub const TIMEOUT: Duration = Duration::from_secs(4);
/// Distance to the first repetition; doubles up to [`MAX_DISTANCE`].
const FIRST_DISTANCE: Duration = Duration::from_millis(250);
const MAX_DISTANCE: Duration = Duration::from_secs(2);
/// Owners remembered: 64 bytes each.
const CACHE_SIZE: usize = 65_536;
/// Questions under way at a time; a scan of address space by the host displaces the oldest.
const MAX_QUESTIONS: usize = 1024;

/// A question to send: which destination, to which key, with which nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub destination: Destination,
    /// The key the question is sent to.
    pub to: PublicKey,
    /// Ties the answer to this question.
    pub nonce: [u8; 16],
}

/// Answers known and questions under way.
#[derive(Debug)]
pub struct Resolver {
    owners: BoundedMap<Destination, PublicKey>,
    questions: BTreeMap<Destination, Asking>,
}

#[derive(Debug)]
struct Asking {
    nonce: [u8; 16],
    since: Instant,
    give_up_at: Instant,
    ask_at: Instant,
    distance: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { owners: BoundedMap::new(CACHE_SIZE), questions: BTreeMap::new() }
    }
}

impl Resolver {
    /// The owner of a destination, if known.
    pub fn owner(&self, destination: &Destination) -> Option<PublicKey> {
        self.owners.get(destination).copied()
    }

    /// Remembers what a key that has proven itself owns.
    pub fn learn(&mut self, key: PublicKey) {
        for destination in [Destination::Node(Address::of(&key)), Destination::Routed(Subnet::of(&key))] {
            if self.owners.get(&destination) == Some(&key) {
                self.owners.refresh(&destination);
            } else {
                self.owners.insert(destination, key);
            }
        }
    }

    /// Asks for a destination, until `give_up_at` at least: a question that is under way is prolonged.
    pub fn ask(&mut self, destination: Destination, give_up_at: Instant, rng: &mut Rng, now: Instant) {
        if self.questions.len() >= MAX_QUESTIONS && !self.questions.contains_key(&destination) {
            let oldest = self.questions.iter().min_by_key(|(_, asking)| asking.since).map(|(to, _)| *to);
            oldest.map(|oldest| self.questions.remove(&oldest));
        }
        let asking = self.questions.entry(destination).or_insert_with(|| Asking {
            nonce: rng.bytes(),
            since: now,
            give_up_at,
            ask_at: now,
            distance: FIRST_DISTANCE,
        });
        asking.give_up_at = asking.give_up_at.max(give_up_at);
    }

    /// Which destination the question with this nonce is about, if one is under way. Says nothing about who answers.
    pub fn asked(&self, nonce: &[u8; 16]) -> Option<Destination> {
        self.questions.iter().find(|(_, asking)| asking.nonce == *nonce).map(|(destination, _)| *destination)
    }

    /// Ends the question about `destination` with a verified answer.
    pub fn handle_answer(&mut self, destination: &Destination, owner: PublicKey) {
        self.questions.remove(destination);
        self.learn(owner);
    }

    /// Ends the question about `destination` because its owner became known otherwise.
    pub fn settle(&mut self, destination: &Destination) {
        self.questions.remove(destination);
    }

    /// The next question whose time has come.
    #[must_use]
    pub fn poll_question(&mut self, now: Instant) -> Option<Question> {
        let (destination, asking) = self.questions.iter_mut().find(|(_, asking)| asking.ask_at <= now)?;
        asking.ask_at = now + asking.distance;
        asking.distance = (asking.distance * 2).min(MAX_DISTANCE);
        Some(Question { destination: *destination, to: destination.lowest_key(), nonce: asking.nonce })
    }

    /// The next destination that nobody answered for in time; it is given up.
    #[must_use]
    pub fn poll_given_up(&mut self, now: Instant) -> Option<Destination> {
        let destination = *self.questions.iter().find(|(_, asking)| asking.give_up_at <= now)?.0;
        self.questions.remove(&destination);
        Some(destination)
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.questions.values().map(|asking| asking.ask_at.min(asking.give_up_at)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keypair, Seed};

    fn key(n: u8) -> PublicKey {
        Keypair::from_seed(&Seed([n; 32])).public()
    }

    fn destination(n: u8) -> Destination {
        Destination::Node(Address::of(&key(n)))
    }

    #[test]
    fn repeats_its_question_until_it_gives_up() {
        let (mut resolver, mut rng) = (Resolver::default(), Rng::new([1; 32]));
        resolver.ask(destination(1), Instant::ZERO + TIMEOUT, &mut rng, Instant::ZERO);
        let (mut asked, mut now) = (Vec::new(), Instant::ZERO);
        let given_up = loop {
            while let Some(question) = resolver.poll_question(now) {
                assert_eq!(question.to, Address::of(&key(1)).lowest_key());
                asked.push(now.as_micros() / 1000);
            }
            if let Some(destination) = resolver.poll_given_up(now) {
                break destination;
            }
            now = resolver.poll_timeout().unwrap();
        };
        assert_eq!(asked, [0, 250, 750, 1750, 3750]);
        assert_eq!((given_up, now), (destination(1), Instant::ZERO + TIMEOUT));
        assert_eq!(resolver.poll_timeout(), None);
    }

    #[test]
    fn an_answer_must_carry_the_nonce_of_its_question() {
        let (mut resolver, mut rng) = (Resolver::default(), Rng::new([1; 32]));
        assert_eq!(resolver.asked(&[0; 16]), None);
        resolver.ask(destination(1), Instant::ZERO + TIMEOUT, &mut rng, Instant::ZERO);
        let nonce = resolver.poll_question(Instant::ZERO).unwrap().nonce;
        assert_eq!(resolver.asked(&nonce), Some(destination(1)));
        assert_eq!(resolver.asked(&[0; 16]), None);
        resolver.handle_answer(&destination(1), key(1));
        assert_eq!(resolver.owner(&destination(1)), Some(key(1)));
        assert_eq!(resolver.owner(&Destination::Routed(Subnet::of(&key(1)))), Some(key(1)));
        assert_eq!(resolver.asked(&nonce), None);
    }

    #[test]
    fn questions_are_bounded() {
        let (mut resolver, mut rng) = (Resolver::default(), Rng::new([1; 32]));
        for n in 0..2 * MAX_QUESTIONS as u16 {
            let mut bytes = [0x90; 32];
            bytes[1..3].copy_from_slice(&n.to_be_bytes());
            let destination = Destination::Node(Address::of(&PublicKey(bytes)));
            resolver.ask(destination, Instant::ZERO + TIMEOUT, &mut rng, Instant::from_micros(u64::from(n)));
        }
        assert_eq!(resolver.questions.len(), MAX_QUESTIONS);
    }
}
