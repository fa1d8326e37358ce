//! Sessions: packets between two nodes, encrypted end to end, in the payload of Pinecone traffic frames.
//!
//! [`Sessions`] holds one entry per other node. [`Sessions::seal`] turns a packet into a message for the router, or says that
//! keys have to be agreed first; [`Sessions::open`] is the way back. Handshake and control messages come out of
//! [`Sessions::poll_transmit`]. Layouts of messages are in [`wire::session`](crate::wire::session), `docs/sessions.md` has the
//! whole of it with the reasons.
//!
//! | file | |
//! |---|---|
//! | `entry` | one session: packets and control messages |
//! | `intake` | which session a message is for, and what it may cost until that is known |
//! | `exchange` | how it agrees on keys; resets and cookies |
//! | `timers` | what it does without being asked |
//! | `table` | all of them, bounded; who goes when there are too many |
//! | `gate` | MACs, cookies and budgets: what strangers may cost |
//! | `handshake`, `noise` | the Noise handshake, and its symmetric half |
//! | `keys`, `replay`, `aead` | transport keys in their three slots, the replay window, the ciphers |
//! | `liveness`, `place` | is the other side there; where is it, and does it know where we are |
//! | `payload`, `route` | what is inside the encryption |

mod aead;
mod replay;
mod noise;
mod handshake;
mod payload;
mod route;
mod gate;
mod keys;
mod timers;
mod liveness;
mod place;
mod shared;
pub mod status;
mod exchange;
mod intake;
mod entry;
mod table;
pub mod fuzz_body;
#[cfg(test)]
mod handshake_tests;

use std::sync::Arc;

pub use route::{Label, RouteMessage};
pub use timers::SessionTimer;
use zeroize::Zeroize;

use self::entry::Session;
use self::gate::Gate;
use self::handshake::{Identity, Peer};
use self::payload::Place;
use self::shared::{Indexes, Out, OwnPlace, Shared, Slot, Stamps};
use self::status::SessionStatus;
use self::table::Table;
use self::timers::Fate;
use crate::addr::Address;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::{Keypair, PublicKey};
use crate::rng::Rng;
use crate::time::{Duration, Instant, UnixClock};
use crate::wire::coords::Coords;
use crate::wire::frame::MAX_FRAME_LEN;
use crate::wire::session::DATA_OVERHEAD;

/// Most bytes that a message has beside its packet.
pub const PACKET_OVERHEAD: usize = DATA_OVERHEAD + payload::MAX_PREFIX;
/// Sessions whose deadlines are looked at in one call: bounds what one call does and sends.
const DEADLINES_PER_CALL: usize = 64;

/// What sessions are told at the start.
#[derive(Clone)]
pub struct SessionConfig {
    /// The group password's hash; zeros without one. Nodes with different ones have no sessions with each other.
    pub psk: [u8; 32],
    /// The MTU of our interface, in bytes: told to the other side.
    pub mtu: u16,
    /// Most sessions at a time; at least two are allowed.
    pub max_sessions: usize,
    /// Whether this CPU has instructions for AES-256-GCM.
    pub aes: bool,
}

impl std::fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { psk: _, mtu, max_sessions, aes } = self;
        write!(f, "SessionConfig {{ mtu: {mtu}, max_sessions: {max_sessions}, aes: {aes}, .. }}")
    }
}

/// What became of a packet.
#[derive(Debug)]
pub enum Sealed {
    /// A message to originate.
    Ready(PacketBuf),
    /// The packet as it was. A handshake was started or is under way, or the other side does not answer; the packet can be
    /// given again after [`SessionEvent::Up`], and will not get there after [`SessionEvent::Down`].
    NotReady(PacketBuf),
    /// It cannot be sent.
    Drop(DropReason),
}

/// What was in a message.
#[derive(Debug)]
pub enum Opened {
    /// An IP packet from the owner of the key. **Neither its source address is checked, nor whether what its
    /// [`Offload`](crate::buf::Offload) says of it can be true.**
    Packet(PacketBuf),
    /// Something about the routes between us and the owner of the key.
    Route(RouteMessage),
    /// A handshake or control message, which is dealt with.
    Nothing,
}

/// What happened in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// Packets can be sealed: for the first time, or again after an interruption (of which nothing was told).
    /// [`Sessions::coordinates`] may say something else than before.
    Up(PublicKey),
    /// The session ended, or the attempt at one was given up.
    Down(PublicKey),
    /// The answer to [`Sessions::ping`].
    Pong {
        /// Who answered.
        key: PublicKey,
        /// Which ping.
        id: u64,
        /// Time between the ping's leaving and the answer.
        rtt: Duration,
    },
    /// What [`Sessions::coordinates`] says changed.
    CoordinatesChanged(PublicKey),
    /// Something that was sent should have been answered by now. Whatever way it took, another one may be better.
    Silent(PublicKey),
}

/// All sessions of a node.
pub struct Sessions {
    shared: Shared,
    gate: Gate,
    table: Table,
}

impl Sessions {
    /// No sessions yet. `rng` makes ephemeral keys: it has to be seeded with real randomness where secrecy matters.
    pub fn new(mut config: SessionConfig, keypair: Arc<Keypair>, rng: Rng, clock: UnixClock, now: Instant) -> Self {
        let identity = Identity::new(&keypair, &config.psk);
        // The identity's copy is overwritten when dropped.
        config.psk.zeroize();
        Self {
            gate: Gate::new(keypair.public(), now),
            table: Table::new(config.max_sessions),
            shared: Shared {
                identity,
                config,
                rng,
                stamps: Stamps::new(clock),
                indexes: Indexes::default(),
                own: OwnPlace::default(),
                out: Out::default(),
            },
        }
    }

    /// Another group password's hash. If it is another, all sessions end: those who do not know it are not to be talked to any longer.
    pub fn set_psk(&mut self, psk: &[u8; 32]) {
        if self.shared.identity.set_psk(psk) {
            for slot in self.table.slots() {
                self.remove(slot);
            }
        }
    }

    /// Whether AES-256-GCM may be agreed on, in handshakes from now on.
    pub fn set_aes(&mut self, aes: bool) {
        self.shared.config.aes = aes;
    }

    /// Turns an IPv6 packet into a message to `to`, in place: the header goes into the packet's headroom, the tag behind it.
    pub fn seal(&mut self, to: &PublicKey, packet: PacketBuf, now: Instant) -> Sealed {
        if !payload::is_packet(&packet) {
            return Sealed::Drop(DropReason::MalformedPacket);
        }
        if packet.len() + DATA_OVERHEAD + payload::prefix_len(packet.offload) > MAX_FRAME_LEN {
            return Sealed::Drop(DropReason::TooBig);
        }
        let slot = match self.find_or_call(to, now) {
            Ok(slot) => slot,
            Err(reason) => return Sealed::Drop(reason),
        };
        let Some(session) = self.table.get_mut(slot) else { return Sealed::NotReady(packet) };
        let sealed = session.seal(&mut self.shared, packet, now);
        self.settle(slot, now);
        sealed
    }

    /// Reads a message that came in a traffic frame with the source key `from`, which nobody vouches for until now.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn open(&mut self, from: &PublicKey, message: PacketBuf, now: Instant) -> Result<Opened, DropReason> {
        if *from == self.shared.identity.key {
            return Err(DropReason::OwnReturned);
        }
        self.dispatch(from, message, now)
    }

    /// Starts a handshake with `to` if there is no session that works. Its end is an [`SessionEvent::Up`] or
    /// [`SessionEvent::Down`]; nothing happens if there is a session, or if `to` is no key that anybody can own.
    pub fn connect(&mut self, to: &PublicKey, now: Instant) {
        let Ok(slot) = self.find_or_call(to, now) else { return };
        self.with_session(slot, now, |session, shared| {
            session.want(now);
            if !session.up {
                session.ask(shared, now);
            }
        });
    }

    /// The node can be reached again, somebody says: what waits for an answer of it need not wait for its next turn. Nothing happens
    /// if there is no session or it works; at most once a second otherwise.
    pub fn heard_of(&mut self, key: &PublicKey, now: Instant) {
        let Some(slot) = self.table.find(key) else { return };
        self.with_session(slot, now, |session, shared| {
            if !session.up && session.handshake.is_some() {
                session.hint(shared, now);
            }
        });
    }

    /// Sends a ping as soon as there is a session. The answer is a [`SessionEvent::Pong`] with the same `id`; no answer
    /// is no event.
    pub fn ping(&mut self, to: &PublicKey, id: u64, now: Instant) {
        let Ok(slot) = self.find_or_call(to, now) else { return };
        self.with_session(slot, now, |session, shared| session.ping(shared, id, now));
    }

    /// Turns something about routes into a message to `to`, which does not have to be answered; `None` if there is no working session.
    pub fn seal_route(&mut self, to: &PublicKey, message: &RouteMessage, now: Instant) -> Option<PacketBuf> {
        let slot = self.table.find(to)?;
        let message = message.encode();
        self.with_session(slot, now, |session, shared| session.seal_control(shared, &message, now)).flatten()
    }

    /// Tells all sessions where we are: the active ones at once, the others when they are used again.
    pub fn set_own_coordinates(&mut self, root: PublicKey, coords: Coords, now: Instant) {
        let place = Place::new(root, coords);
        if self.shared.own.changed != 0 && self.shared.own.place == place {
            return;
        }
        self.shared.own = OwnPlace { place, changed: self.shared.stamps.next(now) };
        for slot in self.table.used_since(now - entry::ACTIVE_FOR) {
            if let Some(session) = self.table.get_mut(slot) {
                // Through the deadline: handle_timeout bounds how much is sent at a time.
                let due = session.telling.due(self.shared.own.changed);
                session.arm(due);
                self.table.touch(slot);
            }
        }
    }

    /// Where the node is, as it told us inside the encryption: its tree's root, and its coordinates. `None` if it did not, if
    /// there is no working session, or while frames sent there seem to get lost.
    pub fn coordinates(&self, of: &PublicKey) -> Option<(&PublicKey, &Coords)> {
        let session = self.session(of).filter(|session| session.up)?;
        session.told.trusted().map(|place| (&place.root, &place.coords))
    }

    /// The MTU of the node's interface in bytes, as it told us in the last handshake.
    pub fn peer_mtu(&self, of: &PublicKey) -> Option<u16> {
        self.session(of)?.mtu
    }

    /// The next handshake or control message to originate, and for whom.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<(PublicKey, PacketBuf)> {
        self.shared.out.messages.pop_front()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.shared.out.events.pop_front()
    }

    /// When to call [`Sessions::handle_timeout`] at the latest, and what the session with that deadline waits for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, SessionTimer)> {
        let (at, slot) = self.table.first_deadline()?;
        let (_, timer) = self.table.get(slot)?.next_deadline(self.shared.own.changed, at);
        Some((at, timer))
    }

    /// Does what is due. If more is due than one call does, [`Sessions::poll_timeout`] is still in the past afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..DEADLINES_PER_CALL {
            let Some((_, slot)) = self.table.first_deadline().filter(|(at, _)| *at <= now) else { return };
            let Some(session) = self.table.get_mut(slot) else { return };
            match session.handle_timeout(&mut self.shared, now) {
                Fate::Stays => self.settle(slot, now),
                Fate::Ends => self.remove(slot),
            }
        }
    }

    /// Whether packets to the node can be sealed.
    pub fn is_established(&self, key: &PublicKey) -> bool {
        self.session(key).is_some_and(|session| session.up)
    }

    /// All sessions in the order of their keys. `routed_by` is for the node to fill in.
    pub fn status(&self, now: Instant) -> Vec<SessionStatus> {
        self.table.iter().map(|session| status_of(session, now)).collect()
    }

    /// How many sessions can carry packets.
    pub fn established(&self) -> usize {
        self.table.iter().filter(|session| session.up).count()
    }

    /// Memory of all sessions, in bytes, roughly.
    pub fn table_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// How many sessions there are, established or not.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn session(&self, key: &PublicKey) -> Option<&Session> {
        self.table.find(key).and_then(|slot| self.table.get(slot))
    }

    /// The session with `to`, or another one that calls it.
    fn find_or_call(&mut self, to: &PublicKey, now: Instant) -> Result<Slot, DropReason> {
        if let Some(slot) = self.table.find(to) {
            return Ok(slot);
        }
        if *to == self.shared.identity.key {
            return Err(DropReason::OwnReturned);
        }
        let peer = Peer::new(*to).ok_or(DropReason::NoRouteToKey)?;
        if let Some(victim) = self.table.victim_for_call() {
            self.remove(victim);
        }
        let slot = self.table.insert(|slot| Session::new(peer, slot, now));
        let calls = self.with_session(slot, now, |session, shared| {
            session.want(now);
            session.ask(shared, now);
            session.handshake.is_some()
        });
        if calls == Some(true) {
            return Ok(slot);
        }
        // A key of low order: nobody can prove to own it.
        self.table.remove(slot);
        Err(DropReason::NoRouteToKey)
    }

    /// Lets a session act and files it again.
    fn with(
        &mut self,
        slot: Slot,
        now: Instant,
        act: impl FnOnce(&mut Session, &mut Shared) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        self.with_session(slot, now, act).unwrap_or(Err(DropReason::UnknownSession))
    }

    fn with_session<T>(
        &mut self,
        slot: Slot,
        now: Instant,
        act: impl FnOnce(&mut Session, &mut Shared) -> T,
    ) -> Option<T> {
        let session = self.table.get_mut(slot)?;
        let result = act(session, &mut self.shared);
        self.settle(slot, now);
        Some(result)
    }

    /// Brings everything that is filed about a session up to date.
    fn settle(&mut self, slot: Slot, now: Instant) {
        let Some(session) = self.table.get_mut(slot) else { return };
        if !session.unsettled {
            self.table.touch(slot);
            return;
        }
        session.release_indexes(&mut self.shared);
        let asked_for = session.wanted_until > now + entry::HINT_WANTED_FOR;
        let (deadline, _) = session.next_deadline(self.shared.own.changed, now);
        if self.table.settle(slot, deadline)
            && let Some(victim) = self.table.victim_of(slot, asked_for, now)
        {
            self.remove(victim);
        }
    }

    /// Ends a session.
    fn remove(&mut self, slot: Slot) {
        let Some(mut session) = self.table.remove(slot) else { return };
        session.end(&mut self.shared);
        session.handshake = None;
        session.keys.clear();
        session.release_indexes(&mut self.shared);
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({:?}, {} sessions)", self.shared.identity.key, self.len())
    }
}

fn status_of(session: &Session, now: Instant) -> SessionStatus {
    let state = match session {
        Session { up: true, .. } => "established",
        Session { handshake: None, confirmed: true, .. } => "idle",
        _ => "handshaking",
    };
    let keys = session.keys.current();
    SessionStatus {
        key: session.peer.key,
        address: Address::of(&session.peer.key).to_string(),
        state: state.to_owned(),
        cipher: keys.map(|keys| keys.cipher().name().to_owned()),
        key_age_seconds: keys.map(|keys| keys.age(now).as_secs_f64()),
        last_received_seconds: session.life.heard_at().map(|at| now.saturating_since(at).as_secs_f64()),
        coordinates: session.told.place().map(|place| place.coords.as_slice().to_vec()),
        routed_by: String::new(),
        mtu: session.mtu,
        received_bytes: session.received_bytes,
        sent_bytes: session.sent_bytes,
    }
}
