//! What sessions do without being asked: the names of their deadlines, and what happens when one passes.

use super::SessionEvent;
use super::entry::Session;
use super::liveness::Silence;
use super::payload::Control;
use super::shared::Shared;
use crate::time::{Duration, Instant};

/// A deadline that no session has.
pub(super) const FAR_FUTURE: Instant = Instant::from_micros(u64::MAX);
/// How long the entry of an initiation that we answered is kept if its keys are not confirmed.
const HALF_OPEN_FOR: Duration = Duration::from_secs(20);
/// How long a session is kept after its last packet. Long, because keeping one costs little, and its stamps guard against
/// replayed initiations.
const IDLE_FOR: Duration = Duration::from_secs(600);
/// Shortest time between two deadlines of one session: whatever it waits for, it cannot keep the node busy.
const GRAIN: Duration = Duration::from_millis(1);

/// What the next deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionTimer {
    /// A handshake message was not answered: repeat it or give up.
    Handshake,
    /// Something was received and nothing sent since.
    Keepalive,
    /// Something was sent and nothing heard since.
    Silence,
    /// The other side does not know our coordinates yet.
    Coordinates,
    /// The other side's coordinates are trusted again.
    Trust,
    /// Keys are too old.
    KeyExpiry,
    /// A handshake that we answered was not finished.
    HalfOpen,
    /// No packet for a long time.
    Idle,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Ends,
}

impl Session {
    /// The session's next deadline.
    pub(super) fn next_deadline(&self, own_place_changed: u64, now: Instant) -> (Instant, SessionTimer) {
        let handshake = self.handshake.as_ref().map(|handshake| (handshake.retry_at, SessionTimer::Handshake));
        let telling = if self.up && self.is_active(now) { self.telling.due(own_place_changed) } else { None };
        let half_open = !self.confirmed && self.handshake.is_none();
        let others = [
            handshake,
            telling.map(|at| (at, SessionTimer::Coordinates)),
            self.told.deadline().map(|at| (at, SessionTimer::Trust)),
            self.keys.next_expiry().map(|at| (at, SessionTimer::KeyExpiry)),
            half_open.then_some((self.created + HALF_OPEN_FOR, SessionTimer::HalfOpen)),
        ];
        let idle = (self.used + IDLE_FOR, SessionTimer::Idle);
        let earliest = self.life.deadlines().chain(others.into_iter().flatten()).fold(idle, std::cmp::min);
        (earliest.0.max(now + GRAIN), earliest.1)
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) -> Fate {
        self.unsettled = true;
        self.keys.expire(now);
        if self.keys.current().is_none() {
            self.up = false;
        }
        if self.used.has_passed(IDLE_FOR, now) || self.is_half_open_for_too_long(now) {
            return Fate::Ends;
        }
        if self.told.handle_timeout(now) {
            shared.out.event(SessionEvent::CoordinatesChanged(self.peer.key));
        }
        self.check_silence(shared, now);
        if self.up && self.is_active(now) {
            self.tell_place(shared, now);
        }
        if self.life.is_keepalive_due(now) {
            self.send_keepalive(shared, now);
        }
        let retries = self.handshake.as_ref().is_some_and(|handshake| handshake.retry_at <= now);
        if retries && !self.retry(shared, now) { self.give_up(shared, now) } else { Fate::Stays }
    }

    fn send_keepalive(&mut self, shared: &mut Shared, now: Instant) {
        self.send(shared, &Control::Keepalive, now);
        // Also if there are no keys to send it with: it is not owed any more.
        let due = self.life.sent(false, now);
        self.arm(due);
    }

    /// Doubts the coordinates, then the keys, if nothing authentic comes.
    fn check_silence(&mut self, shared: &mut Shared, now: Instant) {
        match self.life.advance_silence(now) {
            Some(Silence::Suspect) => self.suspect(shared, now),
            Some(Silence::Dead) => {
                // It may have been that long since anybody looked.
                self.suspect(shared, now);
                self.up = false;
                self.wanted_until = self.wanted_until.max(now + super::entry::HINT_WANTED_FOR);
                if self.handshake.is_none() {
                    self.initiate(shared, now);
                }
            }
            Some(Silence::None) | None => {}
        }
    }

    /// From here on our frames go by the snake; the question shows whether they arrive there.
    fn suspect(&mut self, shared: &mut Shared, now: Instant) {
        shared.out.event(SessionEvent::Silent(self.peer.key));
        if self.told.suspend(now) {
            shared.out.event(SessionEvent::CoordinatesChanged(self.peer.key));
            self.send_place(shared, true, now);
        }
    }

    /// Nobody wants the handshake any longer. A session that works without it goes on.
    fn give_up(&mut self, shared: &mut Shared, now: Instant) -> Fate {
        if self.up && self.life.heard_at().is_some_and(|at| !at.has_passed(super::entry::WANTED_FOR, now)) {
            return Fate::Stays;
        }
        self.keys.clear();
        self.answered = None;
        self.end(shared);
        if self.confirmed { Fate::Stays } else { Fate::Ends }
    }

    fn is_half_open_for_too_long(&self, now: Instant) -> bool {
        !self.confirmed && self.handshake.is_none() && self.created.has_passed(HALF_OPEN_FOR, now)
    }
}
