//! The keys of a session: one pair from each handshake, and which of up to three pairs is used for what.
//!
//! Whoever answered an initiation may not use its keys before something authentic came under them: the initiation could be a
//! replay. So they wait as *next*. Keys that were replaced stay as *previous*, to open what is still on its way.

use super::aead::{Cipher, DataKey};
use super::handshake::TransportKeys;
use super::replay::ReplayWindow;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::session::{DATA_HEADER_LEN, DataHeader, TAG_LEN};

/// Age at which who initiated the keys agrees on others when he sends. Numbers as in WireGuard: two minutes bound what a
/// stolen key opens, and a handshake every two minutes is nothing.
pub(super) const REKEY_AFTER: Duration = Duration::from_secs(120);
/// Age at which either side does so on any traffic: only reached if the initiator did not, and leaves 15 s for retries.
pub(super) const REKEY_AT_LATEST: Duration = Duration::from_secs(165);
/// Age at which keys are erased.
pub(super) const REJECT_AFTER: Duration = Duration::from_secs(180);
/// Messages after which who sends agrees on other keys: far below where either cipher weakens.
const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// Messages that keys seal or open at most, short of the counter's end by more than any window.
const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// How far behind our counter the one in a reset may be: messages of a second or so. Who is not on the path has to guess
/// both the index and this.
const RESET_REACH: u64 = 1 << 20;

/// The keys of one handshake.
#[derive(Debug)]
pub(super) struct Keys {
    seal: DataKey,
    open: DataKey,
    /// The index under which the other side addresses us.
    pub(super) local: u32,
    /// The index under which we address it.
    remote: u32,
    created: Instant,
    /// Whether we sent the initiation.
    initiated: bool,
    next_counter: u64,
    window: ReplayWindow,
}

impl Keys {
    /// The keys of a handshake that ended at `now`. `None` only if the cipher's library cannot allocate.
    pub(super) fn new(
        cipher: Cipher,
        transport: &TransportKeys,
        initiated: bool,
        local: u32,
        remote: u32,
        now: Instant,
    ) -> Option<Self> {
        let (seal, open) = if initiated {
            (&transport.initiator, &transport.responder)
        } else {
            (&transport.responder, &transport.initiator)
        };
        Some(Self {
            seal: DataKey::new(cipher, seal)?,
            open: DataKey::new(cipher, open)?,
            local,
            remote,
            created: now,
            initiated,
            next_counter: 0,
            window: ReplayWindow::new(),
        })
    }

    pub(super) fn cipher(&self) -> Cipher {
        self.seal.cipher()
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.created)
    }

    /// When the keys have to be erased.
    pub(super) fn expiry(&self) -> Instant {
        self.created + REJECT_AFTER
    }

    /// Whether they still seal.
    pub(super) fn can_seal(&self, now: Instant) -> bool {
        now < self.expiry() && self.next_counter < REJECT_AFTER_MESSAGES
    }

    /// Whether sending under them is a reason to agree on others.
    pub(super) fn are_old_for_sending(&self, now: Instant) -> bool {
        let limit = if self.initiated { REKEY_AFTER } else { REKEY_AT_LATEST };
        self.age(now) >= limit || self.next_counter >= REKEY_AFTER_MESSAGES
    }

    /// Whether receiving under them is a reason to agree on others.
    pub(super) fn are_old_for_receiving(&self, now: Instant) -> bool {
        self.age(now) >= REKEY_AT_LATEST
    }

    /// Seals `packet` in place: header into its headroom, tag into its tailroom. `false` if the cipher refuses, which it
    /// does only for sizes that no packet has.
    pub(super) fn seal(&mut self, packet: &mut PacketBuf) -> bool {
        let counter = self.next_counter;
        self.next_counter += 1;
        let header = DataHeader { receiver: self.remote, counter }.encode();
        let Some(tag) = self.seal.seal(counter, &header, packet) else { return false };
        packet.prepend(DATA_HEADER_LEN).copy_from_slice(&header);
        packet.append(&tag);
        true
    }

    /// Opens a data message in place: what is left of it is its contents.
    ///
    /// # Errors
    /// The reason why it must be dropped: replayed, forged, or too old.
    pub(super) fn open(
        &mut self,
        header: &DataHeader,
        message: &mut PacketBuf,
        now: Instant,
    ) -> Result<(), DropReason> {
        if now >= self.expiry() || header.counter >= REJECT_AFTER_MESSAGES {
            return Err(DropReason::UnknownSession);
        }
        if !self.window.accepts(header.counter) {
            return Err(DropReason::Replayed);
        }
        message.advance(DATA_HEADER_LEN);
        self.open.open(header.counter, &header.encode(), message).map_err(|_| DropReason::Forged)?;
        self.window.mark(header.counter);
        message.truncate(message.len().saturating_sub(TAG_LEN));
        Ok(())
    }

    /// Whether a reset can be the answer to something that we sent under these keys lately.
    fn matches(&self, reset: &DataHeader) -> bool {
        self.remote == reset.receiver
            && reset.counter < self.next_counter
            && self.next_counter - reset.counter <= RESET_REACH
    }
}

/// What a pair of keys is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Opens what was sent before the current ones were agreed.
    Previous,
    /// Seals and opens.
    Current,
    /// Opens; becomes current when it has opened something.
    Next,
}

/// The keys of a session.
#[derive(Debug, Default)]
pub(super) struct KeySlots {
    previous: Option<Box<Keys>>,
    current: Option<Box<Keys>>,
    next: Option<Box<Keys>>,
    /// Whether the next keys only open, because ours crossed and prevailed.
    next_yields: bool,
}

impl KeySlots {
    /// The keys that seal, if there are any and they are not too old.
    pub(super) fn for_sealing(&mut self, now: Instant) -> Option<&mut Keys> {
        self.current.as_deref_mut().filter(|keys| keys.can_seal(now))
    }

    pub(super) fn current(&self) -> Option<&Keys> {
        self.current.as_deref()
    }

    /// The keys that the other side addresses by this index.
    pub(super) fn find(&mut self, local: u32) -> Option<(Role, &mut Keys)> {
        let next = if self.next_yields { Role::Previous } else { Role::Next };
        let slots = [(Role::Current, &mut self.current), (next, &mut self.next), (Role::Previous, &mut self.previous)];
        slots
            .into_iter()
            .filter_map(|(role, keys)| keys.as_deref_mut().map(|keys| (role, keys)))
            .find(|(_, keys)| keys.local == local)
    }

    /// Whether a reset answers something that we sent.
    pub(super) fn match_reset(&self, reset: &DataHeader) -> bool {
        [&self.current, &self.previous].into_iter().flatten().any(|keys| keys.matches(reset))
    }

    /// Takes the keys of an initiation of ours that was answered.
    ///
    /// If the other side's initiation crossed ours, there are keys in *next*. `ours_prevail` must be true on exactly one of
    /// the two sides: there they will not become current, so that both sides end up sealing with the same keys.
    pub(super) fn install_initiated(&mut self, keys: Keys, ours_prevail: bool) {
        self.previous = self.current.replace(Box::new(keys)).or(self.previous.take());
        self.next_yields = ours_prevail;
    }

    /// Takes the keys of an initiation that we answered.
    pub(super) fn install_answered(&mut self, keys: Keys) {
        self.next = Some(Box::new(keys));
        self.next_yields = false;
    }

    /// Something authentic came under *next*.
    pub(super) fn confirm_next(&mut self) {
        if let Some(keys) = self.next.take() {
            self.previous = self.current.replace(keys).or(self.previous.take());
        }
    }

    /// Erases keys that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        for slot in [&mut self.previous, &mut self.current, &mut self.next] {
            slot.take_if(|keys| now >= keys.expiry());
        }
    }

    /// Erases all keys.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When the oldest keys have to be erased.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.all().map(Keys::expiry).min()
    }

    /// All keys there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Keys> {
        [&self.previous, &self.current, &self.next].into_iter().filter_map(Option::as_deref)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn pair(now: Instant) -> (Keys, Keys) {
        let transport = TransportKeys { initiator: Zeroizing::new([1; 32]), responder: Zeroizing::new([2; 32]) };
        let keys = |initiated, local, remote| {
            Keys::new(Cipher::ChaCha20Poly1305, &transport, initiated, local, remote, now).unwrap()
        };
        (keys(true, 10, 20), keys(false, 20, 10))
    }

    fn sealed(keys: &mut Keys, text: &[u8]) -> (DataHeader, PacketBuf) {
        let mut packet = PacketBuf::from(text);
        assert!(keys.seal(&mut packet));
        (DataHeader { receiver: keys.remote, counter: keys.next_counter - 1 }, packet)
    }

    fn locals(slots: &KeySlots) -> [Option<u32>; 3] {
        [&slots.previous, &slots.current, &slots.next].map(|keys| keys.as_ref().map(|keys| keys.local))
    }

    fn numbered(local: u32) -> Keys {
        Keys { local, ..pair(Instant::ZERO).0 }
    }

    #[test]
    fn a_message_opens_once_and_a_forgery_does_not_use_up_its_counter() {
        let (mut a, mut b) = pair(Instant::ZERO);
        let (header, message) = sealed(&mut a, b"packet");
        let mut forged = message.clone();
        forged[20] ^= 1;
        assert_eq!(b.open(&header, &mut forged, Instant::ZERO), Err(DropReason::Forged));
        let mut first = message.clone();
        assert_eq!(b.open(&header, &mut first, Instant::ZERO), Ok(()));
        assert_eq!(&*first, b"packet");
        assert_eq!(b.open(&header, &mut message.clone(), Instant::ZERO), Err(DropReason::Replayed));
    }

    #[test]
    fn sealing_adds_exactly_32_bytes() {
        let (mut a, _) = pair(Instant::ZERO);
        assert_eq!(sealed(&mut a, &[0x60; 100]).1.len(), 100 + crate::wire::session::DATA_OVERHEAD);
    }

    #[test]
    fn keys_end_with_their_age_and_with_their_counter() {
        let (mut a, mut b) = pair(Instant::ZERO);
        let (header, mut message) = sealed(&mut a, b"packet");
        let end = Instant::ZERO + REJECT_AFTER;
        assert!(a.can_seal(end - Duration::from_micros(1)) && !a.can_seal(end));
        assert_eq!(b.open(&header, &mut message, end), Err(DropReason::UnknownSession));
        a.next_counter = REJECT_AFTER_MESSAGES;
        assert!(!a.can_seal(Instant::ZERO));
        let beyond = DataHeader { receiver: 20, counter: REJECT_AFTER_MESSAGES };
        assert_eq!(b.open(&beyond, &mut message, Instant::ZERO), Err(DropReason::UnknownSession));
    }

    #[test]
    fn the_initiator_rekeys_first_and_many_messages_are_a_reason_too() {
        let (mut a, mut b) = pair(Instant::ZERO);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert!(!a.are_old_for_sending(at(119)) && a.are_old_for_sending(at(120)));
        assert!(!b.are_old_for_sending(at(164)) && b.are_old_for_sending(at(165)));
        assert!(!a.are_old_for_receiving(at(164)) && a.are_old_for_receiving(at(165)));
        for keys in [&mut a, &mut b] {
            keys.next_counter = REKEY_AFTER_MESSAGES;
            assert!(keys.are_old_for_sending(at(0)));
        }
    }

    #[test]
    fn a_reset_must_repeat_an_index_and_a_counter_of_ours() {
        let mut slots = KeySlots::default();
        slots.install_initiated(numbered(1), false);
        let mut packet = PacketBuf::from(&b"packet"[..]);
        slots.for_sealing(Instant::ZERO).unwrap().seal(&mut packet);
        let reset = |receiver, counter| slots.match_reset(&DataHeader { receiver, counter });
        assert!(reset(20, 0));
        assert!(!reset(20, 1) && !reset(21, 0));
    }

    #[test]
    fn answered_keys_wait_as_next_and_push_the_current_ones_to_previous() {
        let mut slots = KeySlots::default();
        slots.install_answered(numbered(1));
        assert!(slots.for_sealing(Instant::ZERO).is_none());
        slots.confirm_next();
        assert_eq!(locals(&slots), [None, Some(1), None]);
        slots.install_answered(numbered(2));
        slots.install_answered(numbered(3));
        assert_eq!(locals(&slots), [None, Some(1), Some(3)]);
        slots.confirm_next();
        assert_eq!(locals(&slots), [Some(1), Some(3), None]);
        slots.confirm_next();
        assert_eq!(locals(&slots), [Some(1), Some(3), None]);
        slots.expire(Instant::ZERO + REJECT_AFTER);
        assert_eq!(locals(&slots), [None; 3]);
    }

    #[test]
    fn of_crossed_initiations_those_of_one_side_prevail_on_both() {
        let (mut winner, mut loser) = (KeySlots::default(), KeySlots::default());
        for slots in [&mut winner, &mut loser] {
            slots.install_answered(numbered(9));
            slots.confirm_next();
        }
        winner.install_answered(numbered(1));
        winner.install_initiated(numbered(2), true);
        assert_eq!(locals(&winner), [Some(9), Some(2), Some(1)]);
        assert_eq!(winner.find(1).map(|(role, _)| role), Some(Role::Previous), "opened, but no reason to change");
        loser.install_answered(numbered(2));
        loser.install_initiated(numbered(1), false);
        assert_eq!(loser.find(2).map(|(role, _)| role), Some(Role::Next));
        loser.confirm_next();
        assert_eq!(locals(&loser), [Some(1), Some(2), None]);
        winner.install_answered(numbered(3));
        assert_eq!(winner.find(3).map(|(role, _)| role), Some(Role::Next));
    }
}
