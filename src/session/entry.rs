//! One session: the packets that go out and come in under its keys, and what the two ends tell each other besides.
//!
//! A session is *up* while it can carry packets: it has current keys, and the other side is not taken for dead. How keys are
//! agreed is in [`exchange`](super::exchange), what happens without being asked in [`timers`](super::timers).

use super::exchange::{Answered, Handshake};
use super::gate::Cookie;
use super::handshake::Peer;
use super::keys::{KeySlots, Role};
use super::liveness::{Liveness, Silence};
use super::payload::{self, Contents, Control};
use super::place::{Telling, Told};
use super::shared::{Shared, Slot};
use super::timers::FAR_FUTURE;
use super::{Opened, Sealed, SessionEvent};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::session::DataHeader;

/// How long a handshake is repeated after the last packet that wanted it.
pub(super) const WANTED_FOR: Duration = Duration::from_secs(60);
/// The same if nothing of ours wants it: keys that are old, or a hint that the other side lost them.
pub(super) const HINT_WANTED_FOR: Duration = Duration::from_secs(15);
/// How long after its last packet a session counts as active: it hears of our coordinates at once, and is not evicted.
pub(super) const ACTIVE_FOR: Duration = Duration::from_secs(10);
/// Pings under way at a time, in one session; another one displaces the oldest.
const MAX_PINGS: usize = 16;

/// A session with one other node, or the attempt at one.
pub(super) struct Session {
    pub(super) peer: Peer,
    pub(super) slot: Slot,
    pub(super) keys: KeySlots,
    /// Our initiation that waits for its response.
    pub(super) handshake: Option<Box<Handshake>>,
    /// What becomes true when `keys` confirms its next ones.
    pub(super) answered: Option<Box<Answered>>,
    /// All receiver indexes that are registered for this session.
    pub(super) indexes: Vec<u32>,
    /// Whether it carries packets.
    pub(super) up: bool,
    /// Whether its end has to be told: it came up, or somebody here asked for it, since that was told last.
    pub(super) owes_down: bool,
    /// Whether keys were ever confirmed. Until then the other side may be a replay.
    pub(super) confirmed: bool,
    pub(super) created: Instant,
    /// How long our initiations are repeated.
    pub(super) wanted_until: Instant,
    pub(super) initiated_at: Option<Instant>,
    /// The highest stamp of the other side's initiations.
    pub(super) newest_initiation: u64,
    /// The other side's last cookie, and when it came.
    pub(super) cookie: Option<(Cookie, Instant)>,
    pub(super) life: Liveness,
    pub(super) told: Told,
    pub(super) telling: Telling,
    pub(super) mtu: Option<u16>,
    pings: Vec<Ping>,
    /// When a packet was sent or received, or somebody here asked for the session.
    pub(super) used: Instant,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    /// Deadlines may have moved in any way, or indexes changed.
    pub(super) unsettled: bool,
    /// The earliest deadline that was added since the session was settled.
    pub(super) wake: Instant,
}

struct Ping {
    id: u64,
    sent: Option<Instant>,
}

impl Session {
    pub(super) fn new(peer: Peer, slot: Slot, now: Instant) -> Self {
        Self {
            peer,
            slot,
            keys: KeySlots::default(),
            handshake: None,
            answered: None,
            indexes: Vec::new(),
            up: false,
            owes_down: false,
            confirmed: false,
            created: now,
            wanted_until: now,
            initiated_at: None,
            newest_initiation: 0,
            cookie: None,
            life: Liveness::default(),
            told: Told::new(),
            telling: Telling::default(),
            mtu: None,
            pings: Vec::new(),
            used: now,
            received_bytes: 0,
            sent_bytes: 0,
            unsettled: true,
            wake: FAR_FUTURE,
        }
    }

    /// Seals a packet of the host, or starts what has to come first.
    pub(super) fn seal(&mut self, shared: &mut Shared, mut packet: PacketBuf, now: Instant) -> Sealed {
        self.want(now);
        if self.up && self.keys.for_sealing(now).is_none() {
            self.up = false;
        }
        if !self.up {
            self.ask(shared, now);
            return Sealed::NotReady(packet);
        }
        // Before the packet, so that the answer to it can take the route that the coordinates tell.
        self.tell_place(shared, now);
        let len = packet.len();
        payload::announce(&mut packet);
        if !self.keys.for_sealing(now).is_some_and(|keys| keys.seal(&mut packet)) {
            return Sealed::Drop(DropReason::TooBig);
        }
        self.sent_bytes += len as u64;
        self.note_sent(shared, true, now);
        Sealed::Ready(packet)
    }

    /// Opens a data message that is addressed to one of our indexes.
    pub(super) fn open(
        &mut self,
        shared: &mut Shared,
        header: &DataHeader,
        mut message: PacketBuf,
        now: Instant,
    ) -> Result<Opened, DropReason> {
        let (role, keys) = self.keys.find(header.receiver).ok_or(DropReason::UnknownSession)?;
        keys.open(header, &mut message, now)?;
        let are_old = role == Role::Current && keys.are_old_for_receiving(now);
        if role == Role::Next {
            self.confirm(shared, now);
        }
        self.note_heard(shared, now);
        if are_old {
            self.agree_anew(shared, now);
        }
        match Contents::parse(&message).map_err(|_| DropReason::MalformedMessage)? {
            Contents::Packet(at, offload) => {
                message.advance(at);
                message.offload = offload;
                self.received_bytes += message.len() as u64;
                self.used = now;
                let due = self.life.owe_answer(now);
                self.arm(due);
                self.tell_place(shared, now);
                Ok(Opened::Packet(message))
            }
            Contents::Control(Control::Route(message)) => Ok(Opened::Route(message)),
            Contents::Control(control) => {
                self.handle_control(shared, control, now);
                Ok(Opened::Nothing)
            }
        }
    }

    /// Sends a ping as soon as the session is up.
    pub(super) fn ping(&mut self, shared: &mut Shared, id: u64, now: Instant) {
        self.want(now);
        if self.pings.len() >= MAX_PINGS {
            self.pings.remove(0);
        }
        self.pings.push(Ping { id, sent: None });
        if self.up { self.send_pings(shared, now) } else { self.ask(shared, now) }
    }

    /// Somebody here wants the session.
    pub(super) fn want(&mut self, now: Instant) {
        self.used = now;
        self.wanted_until = now + WANTED_FOR;
    }

    /// Somebody here waits for the session to come up.
    pub(super) fn ask(&mut self, shared: &mut Shared, now: Instant) {
        self.owes_down = true;
        if self.handshake.is_none() {
            self.initiate(shared, now);
        }
    }

    /// There are current keys and the other side holds them too: packets can go.
    pub(super) fn come_up(&mut self, shared: &mut Shared, now: Instant) {
        if self.up || self.keys.for_sealing(now).is_none() {
            return;
        }
        self.up = true;
        self.owes_down = true;
        shared.out.event(SessionEvent::Up(self.peer.key));
        self.send_pings(shared, now);
    }

    /// Tells that the session ended, to whom that concerns.
    pub(super) fn end(&mut self, shared: &mut Shared) {
        self.up = false;
        if std::mem::take(&mut self.owes_down) {
            shared.out.event(SessionEvent::Down(self.peer.key));
        }
    }

    /// Something authentic and fresh came.
    pub(super) fn note_heard(&mut self, shared: &mut Shared, now: Instant) {
        let silence = self.life.heard(now);
        if silence != Silence::None {
            self.unsettled = true;
            if self.told.resume(silence, now) {
                shared.out.event(SessionEvent::CoordinatesChanged(self.peer.key));
            }
        }
        self.come_up(shared, now);
    }

    /// Tells our place if the other side does not know it and it is time to.
    pub(super) fn tell_place(&mut self, shared: &mut Shared, now: Instant) {
        let Some(due) = self.telling.due(shared.own.changed) else { return };
        if due <= now {
            self.send_place(shared, true, now);
        }
        let again = self.telling.due(shared.own.changed);
        self.arm(again);
    }

    /// Tells our place, and asks for a receipt or gives one.
    pub(super) fn send_place(&mut self, shared: &mut Shared, answer: bool, now: Instant) {
        let stamp = shared.stamps.next(now);
        let place = shared.own.place.clone();
        let control = Control::Coordinates { answer, stamp, known: self.told.stamp(), place };
        self.telling.tell(shared.own.changed, now);
        self.send(shared, &control, now);
    }

    /// Sends a control message, if the keys allow it.
    pub(super) fn send(&mut self, shared: &mut Shared, control: &Control, now: Instant) {
        let Some(keys) = self.keys.for_sealing(now) else { return };
        let mut message = PacketBuf::from(&control.encode()[..]);
        if keys.seal(&mut message) {
            shared.out.send(&self.peer.key, message);
            self.note_sent(shared, control.is_answered(), now);
        }
    }

    /// Seals a control message that nobody has to answer, if the session works.
    pub(super) fn seal_control(&mut self, shared: &mut Shared, text: &[u8], now: Instant) -> Option<PacketBuf> {
        let keys = self.keys.for_sealing(now).filter(|_| self.up)?;
        let mut message = PacketBuf::from(text);
        let sealed = keys.seal(&mut message);
        self.note_sent(shared, false, now);
        sealed.then_some(message)
    }

    /// Makes sure that the session's deadline is not after `at`.
    pub(super) fn arm(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake = self.wake.min(at);
        }
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        !self.used.has_passed(ACTIVE_FOR, now)
    }

    fn note_sent(&mut self, shared: &mut Shared, expects_answer: bool, now: Instant) {
        let due = self.life.sent(expects_answer, now);
        self.arm(due);
        if self.keys.current().is_some_and(|keys| keys.are_old_for_sending(now)) {
            self.agree_anew(shared, now);
        }
    }

    /// Starts a handshake in the background because the keys are old.
    fn agree_anew(&mut self, shared: &mut Shared, now: Instant) {
        self.wanted_until = self.wanted_until.max(now + HINT_WANTED_FOR);
        if self.handshake.is_none() {
            self.initiate(shared, now);
        }
    }

    fn handle_control(&mut self, shared: &mut Shared, control: Control, now: Instant) {
        match control {
            Control::Coordinates { answer, stamp, known, place } => {
                self.telling.receipt(known);
                if self.told.hear(stamp, place, now) {
                    shared.out.event(SessionEvent::CoordinatesChanged(self.peer.key));
                }
                if answer {
                    self.send_place(shared, false, now);
                }
            }
            Control::Ping(id) => self.send(shared, &Control::Pong(id), now),
            Control::Pong(id) => self.handle_pong(shared, id, now),
            Control::Keepalive | Control::Route(_) | Control::Unknown => {}
        }
    }

    fn handle_pong(&mut self, shared: &mut Shared, id: u64, now: Instant) {
        let Some(at) = self.pings.iter().position(|ping| ping.id == id && ping.sent.is_some()) else { return };
        let Some(sent) = self.pings.remove(at).sent else { return };
        let rtt = now.saturating_since(sent);
        self.life.set_round_trip(rtt);
        shared.out.event(SessionEvent::Pong { key: self.peer.key, id, rtt });
    }

    fn send_pings(&mut self, shared: &mut Shared, now: Instant) {
        let mut waiting = Vec::new();
        for ping in self.pings.iter_mut().filter(|ping| ping.sent.is_none()) {
            ping.sent = Some(now);
            waiting.push(ping.id);
        }
        for id in waiting {
            self.send(shared, &Control::Ping(id), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::Keys;
    use crate::session::payload::MAX_PORTS;

    /// What aws-lc allocates for one key of either cipher: `EVP_AEAD_CTX`, 584 bytes, and its allocator's prefix.
    const AEAD_CONTEXT: usize = 584 + 16;

    #[test]
    fn a_session_takes_less_than_8_kib_whatever_the_other_side_does() {
        let keys = 3 * (size_of::<Keys>() + 2 * AEAD_CONTEXT);
        let handshakes = size_of::<Handshake>() + size_of::<Answered>();
        // The other side's place, once believed and once in an initiation whose keys are not confirmed.
        let places = 2 * MAX_PORTS * size_of::<u64>();
        // Four indexes at most, in a vector that may have grown to twice that.
        let lists = MAX_PINGS * size_of::<Ping>() + size_of::<[u32; 8]>();
        let all = size_of::<Session>() + keys + handshakes + places + lists;
        assert!(all <= 8 * 1024, "{all} bytes");
    }
}
