//! How a session agrees on keys: our initiations and their repetition, the answers to the other side's, cookies and resets.
//!
//! Both sides may initiate at any time, also at the same time; the slots of [`keys`](super::keys) sort that out. A new
//! attempt is a new initiation with a new stamp: nothing is ever sent twice, so a duplicate is recognised by its stamp.

use zeroize::Zeroizing;

use super::SessionEvent;
use super::entry::{HINT_WANTED_FOR, Session};
use super::gate::{self, COOKIE_LIFETIME, Cookie};
use super::handshake::{Initiation, Received};
use super::keys::Keys;
use super::payload::{Control, Offer};
use super::shared::Shared;
use crate::drops::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::session::{self as wire, CookieMessage, DataHeader, HandshakeMessage, MAC_LEN};

/// Pause before the first repetition, a quarter longer for each further one…
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// … up to this, if the round trip is not known: a network of a few seconds' delay still gets an answer in.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// … up to four known round trips, but no less than this: a node that was away is called within a second of its return.
const RETRY_KNOWN: Duration = Duration::from_secs(1);
/// Shortest time between two initiations that somebody else's messages (a reset, a stale initiation) make us send.
const HINT_INTERVAL: Duration = Duration::from_secs(1);
/// A cookie is not used in its last seconds: it would be too old when it arrives.
const COOKIE_MARGIN: Duration = Duration::from_secs(5);

/// Our initiation, waiting for its response.
pub(super) struct Handshake {
    state: Initiation,
    /// The index that the response is addressed to.
    pub(super) index: u32,
    stamp: u64,
    sent: Instant,
    mac1: [u8; MAC_LEN],
    had_cookie: bool,
    /// How many were sent in a row.
    tries: u32,
    pub(super) retry_at: Instant,
}

/// What we learnt and said in an initiation that we answered; true when its keys are confirmed.
pub(super) struct Answered {
    offer: Offer,
    /// The stamp of our response.
    stamp: u64,
    sent: Instant,
}

impl Session {
    /// Sends a first initiation. Returns `false` if nobody can own the other side's key.
    pub(super) fn initiate(&mut self, shared: &mut Shared, now: Instant) -> bool {
        self.send_initiation(shared, 1, now)
    }

    /// Repeats the initiation, or gives up if nobody waits for it any longer. Returns `false` in the latter case.
    pub(super) fn retry(&mut self, shared: &mut Shared, now: Instant) -> bool {
        let tries = self.handshake.as_ref().map_or(0, |handshake| handshake.tries);
        if now < self.wanted_until {
            return self.send_initiation(shared, tries.saturating_add(1), now);
        }
        self.handshake = None;
        self.unsettled = true;
        false
    }

    /// Something suggests that the other side has no keys of this session, or that it can be reached again.
    pub(super) fn hint(&mut self, shared: &mut Shared, now: Instant) {
        self.wanted_until = self.wanted_until.max(now + HINT_WANTED_FOR);
        let earliest = self.initiated_at.map_or(now, |at| at + HINT_INTERVAL);
        if earliest <= now {
            self.initiate(shared, now);
        } else if let Some(handshake) = &mut self.handshake {
            handshake.retry_at = handshake.retry_at.min(earliest);
            self.arm(Some(earliest));
        }
    }

    fn send_initiation(&mut self, shared: &mut Shared, tries: u32, now: Instant) -> bool {
        self.unsettled = true;
        let stamp = shared.stamps.next(now);
        let offer = Offer::new(stamp, shared.config.aes, shared.config.mtu, shared.own.place.clone()).encode();
        let ephemeral = Zeroizing::new(shared.rng.bytes());
        let Ok((state, noise)) = Initiation::start(&shared.identity, &self.peer, ephemeral, &offer) else {
            self.handshake = None;
            return false;
        };
        let index = self.allocate_index(shared);
        let mut message = wire::init(index, &noise);
        let cookie = self.usable_cookie(now);
        let mac1 = gate::append_macs(&mut message, &self.peer.key, cookie.as_ref());
        shared.out.send(&self.peer.key, message);
        self.initiated_at = Some(now);
        let retry_at = now + pause(tries, self.life.round_trip(), &mut shared.rng);
        let had_cookie = cookie.is_some();
        let handshake = Handshake { state, index, stamp, sent: now, mac1, had_cookie, tries, retry_at };
        self.handshake = Some(Box::new(handshake));
        true
    }

    /// Reads the response to our initiation. Its mac1 is right.
    pub(super) fn handle_response(
        &mut self,
        shared: &mut Shared,
        receiver: u32,
        message: &HandshakeMessage<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let handshake = self.handshake.as_ref().filter(|handshake| handshake.index == receiver);
        let handshake = handshake.ok_or(DropReason::UnknownSession)?;
        let (answer, transport) =
            handshake.state.finish(&shared.identity, message.noise).map_err(|_| DropReason::Forged)?;
        let answer = Offer::parse(&answer).map_err(|_| DropReason::MalformedMessage)?;
        let cipher = answer.chosen(shared.config.aes).ok_or(DropReason::MalformedMessage)?;
        let keys = Keys::new(cipher, &transport, true, receiver, message.sender, now);
        let keys = keys.ok_or(DropReason::SessionLimit)?;
        let (stamp, sent) = (handshake.stamp, handshake.sent);
        self.keys.install_initiated(keys, shared.identity.key > self.peer.key);
        self.handshake = None;
        self.agreed(shared, answer, stamp, sent, now);
        self.note_heard(shared, now);
        // At once, so that the other side may use the keys too.
        self.send(shared, &Control::Keepalive, now);
        self.tell_place(shared, now);
        Ok(())
    }

    /// Answers an initiation that was read, unless it is not newer than the last one.
    pub(super) fn handle_initiation(
        &mut self,
        shared: &mut Shared,
        sender: u32,
        received: Received,
        offer: Offer,
        now: Instant,
    ) -> Result<(), DropReason> {
        if offer.stamp <= self.newest_initiation {
            self.doubt(shared, now);
            return Err(DropReason::Stale);
        }
        let cipher = offer.choose(shared.config.aes).ok_or(DropReason::MalformedMessage)?;
        self.newest_initiation = offer.stamp;
        self.created = now;
        let stamp = shared.stamps.next(now);
        let answer = Offer::answer(stamp, cipher, shared.config.mtu, shared.own.place.clone()).encode();
        let ephemeral = Zeroizing::new(shared.rng.bytes());
        let answered = received.answer(&shared.identity, ephemeral, &answer);
        let (noise, transport) = answered.map_err(|_| DropReason::Forged)?;
        let index = self.allocate_index(shared);
        let keys = Keys::new(cipher, &transport, false, index, sender, now).ok_or(DropReason::SessionLimit)?;
        self.keys.install_answered(keys);
        self.answered = Some(Box::new(Answered { offer, stamp, sent: now }));
        self.unsettled = true;
        let mut message = wire::response(index, sender, &noise);
        gate::append_macs(&mut message, &self.peer.key, None);
        shared.out.send(&self.peer.key, message);
        Ok(())
    }

    /// A stale initiation came: a replay, or the other side restarted with its clock set back and only we can start over.
    /// A ping under the keys that we have shows which; it costs no curve operation.
    fn doubt(&mut self, shared: &mut Shared, now: Instant) {
        if !self.up {
            self.hint(shared, now);
        } else if !self.life.is_fresh(now) && !self.life.waits_for_answer() {
            self.send(shared, &Control::Ping(0), now);
        }
    }

    /// Something authentic came under the keys of an initiation that we answered.
    pub(super) fn confirm(&mut self, shared: &mut Shared, now: Instant) {
        self.keys.confirm_next();
        // The other side has keys with us: an initiation of our own is not needed any more.
        self.handshake = None;
        if let Some(answered) = self.answered.take() {
            let Answered { offer, stamp, sent } = *answered;
            self.agreed(shared, offer, stamp, sent, now);
        }
    }

    /// Keys were agreed: what the other side said in its handshake message counts, and so does that it read ours, of `stamp`.
    fn agreed(&mut self, shared: &mut Shared, offer: Offer, stamp: u64, sent: Instant, now: Instant) {
        self.unsettled = true;
        self.confirmed = true;
        self.mtu = Some(offer.mtu);
        self.life.set_round_trip(now.saturating_since(sent));
        self.telling.restart(stamp);
        if self.told.restart(offer.stamp, offer.place, now) {
            shared.out.event(SessionEvent::CoordinatesChanged(self.peer.key));
        }
    }

    /// The other side is busy and wants to see that we receive what is sent to us.
    pub(super) fn handle_cookie(
        &mut self,
        shared: &mut Shared,
        message: &CookieMessage<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let handshake = self.handshake.as_ref().filter(|handshake| handshake.index == message.receiver);
        let handshake = handshake.ok_or(DropReason::UnknownSession)?;
        let cookie = gate::open_cookie(&self.peer.key, &handshake.mac1, message).ok_or(DropReason::Forged)?;
        self.cookie = Some((cookie, now));
        // Once: who lets our cookie go stale while we use it makes us wait for the next repetition.
        if !handshake.had_cookie {
            let tries = handshake.tries;
            self.send_initiation(shared, tries, now);
        }
        Ok(())
    }

    /// The other side does not know the keys that we use.
    pub(super) fn handle_reset(
        &mut self,
        shared: &mut Shared,
        reset: &DataHeader,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.keys.match_reset(reset) {
            return Err(DropReason::Forged);
        }
        self.hint(shared, now);
        Ok(())
    }

    fn usable_cookie(&self, now: Instant) -> Option<Cookie> {
        let (cookie, at) = self.cookie?;
        (!at.has_passed(COOKIE_LIFETIME.saturating_sub(COOKIE_MARGIN), now)).then_some(cookie)
    }

    fn allocate_index(&mut self, shared: &mut Shared) -> u32 {
        let index = shared.indexes.allocate(self.slot, &mut shared.rng);
        self.indexes.push(index);
        index
    }

    /// Releases the indexes that no keys and no handshake use.
    pub(super) fn release_indexes(&mut self, shared: &mut Shared) {
        let waiting = self.handshake.as_ref().map(|handshake| handshake.index);
        let keys = &self.keys;
        self.indexes.retain(|index| {
            let used = waiting == Some(*index) || keys.all().any(|keys| keys.local == *index);
            if !used {
                shared.indexes.release(*index);
            }
            used
        });
    }
}

/// How long to wait for the answer to the initiation number `tries`, with up to a fifth more: two nodes that call each other
/// do not stay in step.
fn pause(tries: u32, round_trip: Option<Duration>, rng: &mut Rng) -> Duration {
    let longest = round_trip.map_or(RETRY_LAST, |time| time.saturating_mul(4).clamp(RETRY_KNOWN, RETRY_LAST));
    let repetitions = i32::try_from(tries.saturating_sub(1).min(16)).unwrap_or(16);
    let base = RETRY_FIRST.mul_f64(1.25_f64.powi(repetitions)).min(longest);
    let jitter = Duration::from_micros(rng.below(u64::try_from(base.as_micros() / 5).unwrap_or(0)));
    (base + jitter).min(RETRY_LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_half_a_second_to_five() {
        let mut rng = Rng::new([1; 32]);
        for (tries, low, high) in
            [(1, 500, 600), (2, 625, 750), (3, 781, 938), (6, 1525, 1831), (12, 5000, 5000), (99, 5000, 5000)]
        {
            let pause = pause(tries, None, &mut rng);
            assert!((Duration::from_millis(low)..=Duration::from_millis(high)).contains(&pause), "{tries}: {pause:?}");
        }
    }

    #[test]
    fn a_known_round_trip_bounds_the_pauses() {
        let mut rng = Rng::new([2; 32]);
        for (tries, round_trip, low, high) in
            [(1, 1, 500, 600), (99, 1, 1000, 1200), (99, 600, 2400, 2880), (99, 2500, 5000, 5000)]
        {
            let pause = pause(tries, Some(Duration::from_millis(round_trip)), &mut rng);
            let expected = Duration::from_millis(low)..=Duration::from_millis(high);
            assert!(expected.contains(&pause), "{tries}, {round_trip} ms: {pause:?}");
        }
    }
}
