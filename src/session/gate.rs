//! What keeps strangers from costing us: MACs that show whom a message is meant for, cookies, and budgets.
//!
//! A handshake costs its responder four curve operations, about 180 µs. So before any of them:
//!
//! 1. mac1 must be right. Its key is the hash of our public key: whoever does not know whom he talks to gets nothing.
//! 2. While handshakes are few, they are answered. Beyond [`FREE`] a second, or beyond [`PER_SOURCE`] from one claimed source,
//!    the answer is a cookie: a MAC over the *claimed source key* under a secret of ours, sealed so that only somebody who
//!    saw the initiation can read it. It costs two hashes and a stream cipher, keeps no state, and is smaller than what it answers.
//! 3. Who comes back with the cookie (as key of mac2) has shown that he receives what is sent to the key that he claims.
//!    He is let in within [`PROVEN`] a second over all, and [`PER_SOURCE`] for himself.
//!
//! The construction is WireGuard's (whitepaper §5.4.7), with node keys in the place of IP addresses.
//!
//! Answers to data for unknown sessions have budgets here too: they are the other thing that strangers can make us send.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::noise::{Secret, hash, keyed_mac};
use crate::bounded::{BoundedMap, TokenBucket};
use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::session::{self as wire, CookieMessage, HandshakeMessage, MAC_LEN, TAG_LEN};

/// Handshakes a second, and saved up, that are answered without a cookie: 4 % of a core.
const FREE: (u32, u32) = (200, 200);
/// Handshakes a second, and saved up, that are answered with a right cookie: 20 % of a core at most.
const PROVEN: (u32, u32) = (1000, 1000);
/// The same for one source, with and without cookie each. A node that restarts starts over with one handshake, and repeats
/// it twice in the first two seconds if they are lost.
const PER_SOURCE: (u32, u32) = (5, 10);
/// Cookies a second, and saved up: 1 % of a core.
const COOKIES: (u32, u32) = (2000, 2000);
/// Responses read in a second: those to our own initiations, so that forged ones do not buy curve operations without limit.
const RESPONSES: (u32, u32) = (1000, 1000);
/// Resets a second, and saved up, over all.
const RESETS: (u32, u32) = (200, 200);
/// Resets for one source. One is enough for a peer that hears it.
const RESETS_PER_SOURCE: (u32, u32) = (2, 4);
/// Sources that are remembered, for each kind of budget. Who has more keys than that meets the budgets over all.
const SOURCES: usize = 1024;
/// How long the secret behind our cookies is used, and how long a cookie of others is.
pub(super) const COOKIE_LIFETIME: Duration = Duration::from_secs(120);

const MAC1_LABEL: &[u8] = b"pineconed mac1 v1";
const COOKIE_LABEL: &[u8] = b"pineconed cookie v1";

/// A proof of having received something: 16 bytes.
pub(super) type Cookie = [u8; MAC_LEN];

/// What to do with an initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Read and answer it.
    Enter,
    /// Send a cookie.
    Challenge,
    /// Drop it.
    Refuse,
}

/// The responder's side: budgets, and the secret behind the cookies.
pub(super) struct Gate {
    key: PublicKey,
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    secret: Secret,
    secret_from: Option<Instant>,
    free: TokenBucket,
    proven: TokenBucket,
    cookies: TokenBucket,
    responses: TokenBucket,
    resets: TokenBucket,
    sources: BoundedMap<PublicKey, TokenBucket>,
    proven_sources: BoundedMap<PublicKey, TokenBucket>,
    reset_sources: BoundedMap<PublicKey, TokenBucket>,
}

impl Gate {
    pub(super) fn new(key: PublicKey, now: Instant) -> Self {
        let bucket = |(rate, burst)| TokenBucket::new(rate, burst, now);
        Self {
            key,
            mac1_key: mac1_key(&key),
            cookie_key: cookie_key(&key),
            secret: Zeroizing::new([0; 32]),
            secret_from: None,
            free: bucket(FREE),
            proven: bucket(PROVEN),
            cookies: bucket(COOKIES),
            responses: bucket(RESPONSES),
            resets: bucket(RESETS),
            sources: BoundedMap::new(SOURCES),
            proven_sources: BoundedMap::new(SOURCES),
            reset_sources: BoundedMap::new(SOURCES),
        }
    }

    /// Whether whoever made this message knew that it was for us.
    pub(super) fn mac1_is_right(&self, message: &HandshakeMessage<'_>) -> bool {
        keyed_mac(&self.mac1_key, &[message.before_mac1]).ct_eq(message.mac1).into()
    }

    /// Decides on an initiation whose mac1 is right.
    pub(super) fn admit(
        &mut self,
        from: &PublicKey,
        message: &HandshakeMessage<'_>,
        rng: &mut Rng,
        now: Instant,
    ) -> Admission {
        // The budget of a source first: a source beyond its own must not use up that of all.
        if take(&mut self.sources, from, PER_SOURCE, now) && self.free.take(1, now) {
            return Admission::Enter;
        }
        if *message.mac2 != [0; MAC_LEN] && self.mac2_is_right(from, message, rng, now) {
            let enters = take(&mut self.proven_sources, from, PER_SOURCE, now) && self.proven.take(1, now);
            return if enters { Admission::Enter } else { Admission::Refuse };
        }
        if self.cookies.take(1, now) { Admission::Challenge } else { Admission::Refuse }
    }

    /// The cookie that answers an initiation.
    pub(super) fn challenge(
        &mut self,
        from: &PublicKey,
        message: &HandshakeMessage<'_>,
        rng: &mut Rng,
        now: Instant,
    ) -> Option<PacketBuf> {
        let mut cookie = self.cookie_for(from, rng, now);
        let nonce = rng.bytes::<24>();
        let cipher = XChaCha20Poly1305::new((&self.cookie_key).into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), message.mac1, cookie.as_mut_slice().into()).ok()?;
        let mut sealed = [0; MAC_LEN + TAG_LEN];
        sealed[..MAC_LEN].copy_from_slice(&cookie);
        sealed[MAC_LEN..].copy_from_slice(&tag);
        Some(wire::cookie_message(message.sender, &nonce, &sealed))
    }

    /// Whether another response may be read.
    pub(super) fn admit_response(&mut self, now: Instant) -> bool {
        self.responses.take(1, now)
    }

    /// Whether a data message for an unknown session may be answered.
    pub(super) fn admit_reset(&mut self, from: &PublicKey, now: Instant) -> bool {
        take(&mut self.reset_sources, from, RESETS_PER_SOURCE, now) && self.resets.take(1, now)
    }

    fn mac2_is_right(&mut self, from: &PublicKey, message: &HandshakeMessage<'_>, rng: &mut Rng, now: Instant) -> bool {
        mac2(&self.cookie_for(from, rng, now), message.before_mac2).ct_eq(message.mac2).into()
    }

    fn cookie_for(&mut self, from: &PublicKey, rng: &mut Rng, now: Instant) -> Cookie {
        if self.secret_from.is_none_or(|from| from.has_passed(COOKIE_LIFETIME, now)) {
            rng.fill(&mut *self.secret);
            self.secret_from = Some(now);
        }
        keyed_mac(&self.secret, &[&self.key.0, &from.0])
    }
}

/// Appends both MACs to a handshake message for the node with the key `to`. Returns mac1, which a cookie refers to.
pub(super) fn append_macs(message: &mut PacketBuf, to: &PublicKey, cookie: Option<&Cookie>) -> [u8; MAC_LEN] {
    let mac1 = keyed_mac(&mac1_key(to), &[message]);
    message.append(&mac1);
    let mac2 = cookie.map_or([0; MAC_LEN], |cookie| mac2(cookie, message));
    message.append(&mac2);
    mac1
}

/// The cookie in a message from the node with the key `from` that answers our initiation with this `mac1`; `None` if it is forged.
pub(super) fn open_cookie(from: &PublicKey, mac1: &[u8; MAC_LEN], message: &CookieMessage<'_>) -> Option<Cookie> {
    let (cookie, tag) = message.sealed.split_first_chunk::<MAC_LEN>()?;
    let mut cookie = *cookie;
    let cipher = XChaCha20Poly1305::new((&cookie_key(from)).into());
    let tag = Tag::try_from(tag).ok()?;
    cipher.decrypt_inout_detached(&(*message.nonce).into(), mac1, cookie.as_mut_slice().into(), &tag).ok()?;
    Some(cookie)
}

/// BLAKE2s keyed with a 16-byte cookie, which zeros bring to the length of a key.
fn mac2(cookie: &Cookie, covered: &[u8]) -> [u8; MAC_LEN] {
    let mut key = [0; 32];
    key[..MAC_LEN].copy_from_slice(cookie);
    keyed_mac(&key, &[covered])
}

fn mac1_key(key: &PublicKey) -> [u8; 32] {
    hash(&[MAC1_LABEL, &key.0])
}

fn cookie_key(key: &PublicKey) -> [u8; 32] {
    hash(&[COOKIE_LABEL, &key.0])
}

/// Takes a token from the bucket of `source`, which starts full.
fn take(
    sources: &mut BoundedMap<PublicKey, TokenBucket>,
    source: &PublicKey,
    (rate, burst): (u32, u32),
    now: Instant,
) -> bool {
    if let Some(bucket) = sources.get_mut(source) {
        let taken = bucket.take(1, now);
        sources.refresh(source);
        return taken;
    }
    let mut bucket = TokenBucket::new(rate, burst, now);
    let taken = bucket.take(1, now);
    sources.insert(*source, bucket);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::session::Message;

    const US: PublicKey = PublicKey([1; 32]);
    const THEM: PublicKey = PublicKey([2; 32]);

    fn initiation(cookie: Option<&Cookie>) -> (PacketBuf, [u8; MAC_LEN]) {
        let mut message = wire::init(7, &[9; 150]);
        let mac1 = append_macs(&mut message, &US, cookie);
        (message, mac1)
    }

    fn handshake(message: &PacketBuf) -> HandshakeMessage<'_> {
        let Ok(Message::Init(message)) = wire::parse(message) else { panic!("not an initiation") };
        message
    }

    fn gate() -> (Gate, Rng) {
        (Gate::new(US, Instant::ZERO), Rng::new([3; 32]))
    }

    fn admit(gate: &mut Gate, rng: &mut Rng, from: &PublicKey, message: &PacketBuf, now: Instant) -> Admission {
        gate.admit(from, &handshake(message), rng, now)
    }

    fn cookie_from(gate: &mut Gate, rng: &mut Rng, from: &PublicKey, now: Instant) -> Cookie {
        let (message, mac1) = initiation(None);
        let answer = gate.challenge(from, &handshake(&message), rng, now).unwrap();
        let Ok(Message::Cookie(answer)) = wire::parse(&answer) else { panic!("not a cookie") };
        assert_eq!(answer.receiver, 7);
        assert_eq!(open_cookie(&US, &[0; 16], &answer), None, "a cookie opens only for who knows mac1");
        assert_eq!(open_cookie(&THEM, &mac1, &answer), None);
        open_cookie(&US, &mac1, &answer).unwrap()
    }

    #[test]
    fn mac1_is_right_only_in_messages_for_us() {
        let (gate, _) = gate();
        let (message, _) = initiation(None);
        assert!(gate.mac1_is_right(&handshake(&message)));
        assert!(!Gate::new(THEM, Instant::ZERO).mac1_is_right(&handshake(&message)));
        let mut changed = message.clone();
        changed[20] ^= 1;
        assert!(!gate.mac1_is_right(&handshake(&changed)));
    }

    #[test]
    fn a_source_beyond_its_budget_is_challenged_and_leaves_that_of_others_alone() {
        let (mut gate, mut rng) = gate();
        let (message, _) = initiation(None);
        for _ in 0..PER_SOURCE.1 {
            assert_eq!(admit(&mut gate, &mut rng, &THEM, &message, Instant::ZERO), Admission::Enter);
        }
        for _ in 0..500 {
            assert_eq!(admit(&mut gate, &mut rng, &THEM, &message, Instant::ZERO), Admission::Challenge);
        }
        assert_eq!(admit(&mut gate, &mut rng, &PublicKey([9; 32]), &message, Instant::ZERO), Admission::Enter);
    }

    #[test]
    fn under_load_a_right_cookie_lets_its_source_in_and_nobody_else() {
        let (mut gate, mut rng) = gate();
        let (message, _) = initiation(None);
        let sources = (0..FREE.1).map(|n| PublicKey([n.to_le_bytes(); 8].concat().try_into().unwrap()));
        for source in sources {
            assert_eq!(admit(&mut gate, &mut rng, &source, &message, Instant::ZERO), Admission::Enter);
        }
        assert_eq!(admit(&mut gate, &mut rng, &THEM, &message, Instant::ZERO), Admission::Challenge);
        let cookie = cookie_from(&mut gate, &mut rng, &THEM, Instant::ZERO);
        let (with_cookie, _) = initiation(Some(&cookie));
        assert_eq!(admit(&mut gate, &mut rng, &THEM, &with_cookie, Instant::ZERO), Admission::Enter);
        assert_eq!(admit(&mut gate, &mut rng, &PublicKey([9; 32]), &with_cookie, Instant::ZERO), Admission::Challenge);
        for _ in 1..PER_SOURCE.1 {
            assert_eq!(admit(&mut gate, &mut rng, &THEM, &with_cookie, Instant::ZERO), Admission::Enter);
        }
        assert_eq!(admit(&mut gate, &mut rng, &THEM, &with_cookie, Instant::ZERO), Admission::Refuse);
    }

    #[test]
    fn a_cookie_is_worth_nothing_after_the_secret_changed() {
        let (mut gate, mut rng) = gate();
        let (now, later) = (Instant::ZERO, Instant::ZERO + COOKIE_LIFETIME);
        let cookie = cookie_from(&mut gate, &mut rng, &THEM, now);
        let (with_cookie, _) = initiation(Some(&cookie));
        assert!(gate.mac2_is_right(&THEM, &handshake(&with_cookie), &mut rng, now));
        assert!(!gate.mac2_is_right(&THEM, &handshake(&with_cookie), &mut rng, later));
    }

    #[test]
    fn resets_are_limited_for_each_source_and_over_all() {
        let (mut gate, _) = gate();
        let admitted = (0..50).filter(|_| gate.admit_reset(&THEM, Instant::ZERO)).count();
        assert_eq!(admitted, RESETS_PER_SOURCE.1 as usize);
        let others = (0..1000u32).map(|n| PublicKey([n.to_le_bytes(); 8].concat().try_into().unwrap()));
        let admitted = others.filter(|source| gate.admit_reset(source, Instant::ZERO)).count();
        assert_eq!(admitted, (RESETS.1 - RESETS_PER_SOURCE.1) as usize);
    }
}
