//! Messages that come in: which session each is for, and what it may cost until that is known.

use super::gate::Admission;
use super::handshake::{Peer, Received};
use super::payload::Offer;
use super::shared::Slot;
use super::{Opened, Session, Sessions};
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::session::{self as wire, CookieMessage, DataHeader, HandshakeMessage, Message};

impl Sessions {
    /// Hands a message to the session that it is for. It comes from the owner of `from` only if that session finds so.
    pub(super) fn dispatch(
        &mut self,
        from: &PublicKey,
        message: PacketBuf,
        now: Instant,
    ) -> Result<Opened, DropReason> {
        match wire::parse(&message).map_err(|_| DropReason::MalformedMessage)? {
            Message::Data(header) => return self.open_data(from, &header, message, now),
            Message::Init(init) => self.open_initiation(from, &init, now)?,
            Message::Response(receiver, response) => self.open_response(from, receiver, &response, now)?,
            Message::Cookie(cookie) => self.open_cookie(from, &cookie, now)?,
            Message::Reset(header) => self.open_reset(from, &header, now)?,
        }
        Ok(Opened::Nothing)
    }

    fn open_data(
        &mut self,
        from: &PublicKey,
        header: &DataHeader,
        message: PacketBuf,
        now: Instant,
    ) -> Result<Opened, DropReason> {
        let slot = self.shared.indexes.find(header.receiver);
        let session = slot.and_then(|slot| self.table.get_mut(slot).map(|session| (slot, session)));
        let opened = match session {
            Some((slot, session)) if session.peer.key == *from => {
                let opened = session.open(&mut self.shared, header, message, now);
                self.settle(slot, now);
                opened
            }
            _ => Err(DropReason::UnknownSession),
        };
        if matches!(opened, Err(DropReason::UnknownSession)) && self.gate.admit_reset(from, now) {
            self.shared.out.send(from, header.reset());
        }
        opened
    }

    fn open_initiation(
        &mut self,
        from: &PublicKey,
        message: &HandshakeMessage<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.gate.mac1_is_right(message) {
            return Err(DropReason::Forged);
        }
        match self.gate.admit(from, message, &mut self.shared.rng, now) {
            Admission::Enter => {}
            Admission::Challenge => {
                let answer = self.gate.challenge(from, message, &mut self.shared.rng, now);
                self.shared.out.messages.extend(answer.map(|answer| (*from, answer)));
                return Err(DropReason::RateLimited);
            }
            Admission::Refuse => return Err(DropReason::RateLimited),
        }
        let known = self.session(from).map(|session| session.peer);
        let peer = known.or_else(|| Peer::new(*from)).ok_or(DropReason::Forged)?;
        let read = Received::read(&self.shared.identity, &peer, message.noise);
        let (received, offer) = read.map_err(|_| DropReason::Forged)?;
        let offer = Offer::parse(&offer).map_err(|_| DropReason::MalformedMessage)?;
        let slot = self.find_or_answer(peer, now)?;
        self.with(slot, now, |session, shared| session.handle_initiation(shared, message.sender, received, offer, now))
    }

    /// The session with `peer`, or one that answers its initiation.
    fn find_or_answer(&mut self, peer: Peer, now: Instant) -> Result<Slot, DropReason> {
        if let Some(slot) = self.table.find(&peer.key) {
            return Ok(slot);
        }
        if let Some(victim) = self.table.victim_for_answer().map_err(|_| DropReason::SessionLimit)? {
            self.remove(victim);
        }
        Ok(self.table.insert(|slot| Session::new(peer, slot, now)))
    }

    fn open_response(
        &mut self,
        from: &PublicKey,
        receiver: u32,
        message: &HandshakeMessage<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let slot = self.table.find(from).ok_or(DropReason::UnknownSession)?;
        if self.shared.indexes.find(receiver) != Some(slot) {
            return Err(DropReason::UnknownSession);
        }
        if !self.gate.mac1_is_right(message) {
            return Err(DropReason::Forged);
        }
        if !self.gate.admit_response(now) {
            return Err(DropReason::RateLimited);
        }
        self.with(slot, now, |session, shared| session.handle_response(shared, receiver, message, now))
    }

    fn open_cookie(&mut self, from: &PublicKey, message: &CookieMessage<'_>, now: Instant) -> Result<(), DropReason> {
        let slot = self.table.find(from).ok_or(DropReason::UnknownSession)?;
        self.with(slot, now, |session, shared| session.handle_cookie(shared, message, now))
    }

    fn open_reset(&mut self, from: &PublicKey, header: &DataHeader, now: Instant) -> Result<(), DropReason> {
        let slot = self.table.find(from).ok_or(DropReason::UnknownSession)?;
        self.with(slot, now, |session, shared| session.handle_reset(shared, header, now))
    }
}
