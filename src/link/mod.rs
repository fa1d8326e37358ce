//! One peering as a state machine: hellos, the proof of keys, then frames, with the timers that notice when the other side is gone.
//!
//! The caller owns the byte stream and does the reading and writing; [`Link`] says where to read to, what to send and when to
//! be woken. A loop around it:
//!
//! 1. write whatever [`Link::poll_transmit`] has;
//! 2. read into [`Link::read_buffer`], tell [`Link::handle_read`] how much it was;
//! 3. take events until [`Link::poll_event`] has none — before the next read, for they lie in the buffer that is read into;
//! 4. sleep no longer than [`Link::poll_timeout`] says.
//!
//! An error ends the link; frames that arrived whole before it can still be taken. Memory is one staging buffer and at most
//! one frame under way, whatever the peer does.

mod carrier;
mod deframer;
pub mod fragment;
pub(crate) mod fuzz_body;
mod hello;
pub mod loss;
mod password;
mod proof;
mod proven;
pub mod window;

pub use carrier::Carrier;
pub use password::{BadPassword, PeerPassword};
pub use proof::{PasswordKey, ProofConfig, Side};
pub use proven::ProvenKeys;

use deframer::Deframer;
use std::collections::VecDeque;

use hello::{AwaitingHello, Greeted};
use proof::{Proving, Step};

use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};
use crate::wire::DecodeError;
use crate::wire::frame::{self, Header};
use crate::wire::hello::{HELLO_LEN, Hello, HelloError};

/// How long the whole exchange of hellos and proofs may take: the reference's limit (specification §9).
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Within this time of the end of one frame the next one has to be there in full: the reference's limit (§2.2).
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time without a write a keepalive is due: the reference's interval, which leaves a keepalive two seconds to
/// arrive (§2.2).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// What a link is told at its start.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// What we send first: [`Hello::encode`].
    pub own_hello: [u8; HELLO_LEN],
    /// Our key, to recognise a connection to ourselves.
    pub own_key: PublicKey,
    /// The only key to accept, if the peer was configured with one.
    pub expected_key: Option<PublicKey>,
    /// What is underneath.
    pub carrier: Carrier,
    /// How to prove our key; none if our hello does not announce that.
    pub proof: Option<ProofConfig>,
}

impl LinkConfig {
    /// A plain Pinecone node, which proves nothing and takes any key, over TCP.
    pub fn plain(own_hello: [u8; HELLO_LEN], own_key: PublicKey) -> Self {
        Self { own_hello, own_key, expected_key: None, carrier: Carrier::Tcp, proof: None }
    }
}

/// What happened on the peering.
#[derive(Debug)]
pub enum LinkEvent {
    /// The hellos were exchanged, and the keys proven if both sides know how. Always the first event.
    Up {
        /// The peer's key.
        key: PublicKey,
        /// Whether the peer has proven it; otherwise it is a claim.
        proven: bool,
        /// Which set of extensions the peer speaks; 0 for none.
        extension_version: u8,
        /// The peer's extensions, one bit each.
        extensions: u16,
    },
    /// A whole frame of any type but keepalive. Its header is well-formed, nothing else was looked at.
    Frame(PacketBuf),
}

/// Why a peering is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The other side's hello does not do.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Somebody else answered.
    #[error(
        "the other side has the key {actual}, but this peer is configured with ?key={expected}: correct the key if the peer's \
         has changed, otherwise somebody else answers at this address"
    )]
    WrongKey {
        /// The key that the peer was configured with.
        expected: PublicKey,
        /// The key that it has.
        actual: PublicKey,
    },
    /// The channel underneath was opened with another key.
    #[error(
        "the other side opened the channel with the key {carrier} and then called itself {hello}: it shows another node's hello, or its \
         two keys were mixed up"
    )]
    CarrierKey {
        /// The key that the channel proved.
        carrier: PublicKey,
        /// The key in its hello.
        hello: PublicKey,
    },
    /// The other side is ourselves.
    #[error("this is a connection to ourselves (or to a node that was given a copy of our private key)")]
    OwnKey,
    /// What should prove the peer's key is not its signature of what we asked for.
    #[error(
        "the other side did not prove that it has the key {0}: it has a recorded hello of that node, passes on what others say, or \
         something on the way makes another kind of peering of this one (both ends have to name the same scheme)"
    )]
    NotProven(PublicKey),
    /// The peer sent our own challenge back.
    #[error("the other side sent our own challenge back instead of one of its own")]
    Reflected,
    /// Another frame than the proof.
    #[error("the other side sent something else before it had proven its key")]
    BeforeProof,
    /// The peer has another password, or only one side has one.
    #[error(
        "the two sides have different peering passwords, or only one has any: give both the same ?password= (the peer in \
         peering.peers here, the listener in peering.listen there)"
    )]
    WrongPassword,
    /// There is a password, and the peer cannot show that it knows it.
    #[error("this peering has a password, and the other side is a plain Pinecone node, which cannot have one")]
    NoPassword,
    /// No whole hello came in time.
    #[error("the other side sent no hello within {} s", HELLO_TIMEOUT.as_secs())]
    HelloTimeout,
    /// A hello, but no proof came in time.
    #[error("the other side did not prove its key within {} s", HELLO_TIMEOUT.as_secs())]
    ProofTimeout,
    /// No whole frame came in time.
    #[error("the other side sent no whole frame for {} s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    /// What should be the next frame is none.
    #[error("the other side broke the framing: {0}")]
    Framing(DecodeError),
}

/// What a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTimer {
    /// The peer's hello is due.
    Hello,
    /// The peer's proof is due.
    Proof,
    /// The peer's next frame is due.
    Silence,
    /// A keepalive of ours is due.
    Keepalive,
}

/// One peering. See the module's documentation for how to drive it.
#[derive(Debug)]
pub struct Link {
    state: State,
    deframer: Deframer,
    /// What we say before the link is open, until it is taken: our hello, challenge and proof.
    unsent: VecDeque<PacketBuf>,
    /// Whether frames count.
    was_open: bool,
    /// The peer's hello and whether its key is proven, until it is told.
    up: Option<(Hello, bool)>,
}

#[derive(Debug)]
enum State {
    AwaitingHello(AwaitingHello),
    /// With the same deadline as the hello had.
    Proving(Box<Proving>, Instant),
    Open(Open),
    Closed(LinkError),
}

/// Hellos are exchanged.
#[derive(Debug)]
struct Open {
    /// When the next frame has to be here in full.
    silence_deadline: Instant,
    /// When to send a keepalive, unless something else is written.
    keepalive_at: Instant,
    /// A keepalive is waiting to be taken.
    keepalive_due: bool,
}

impl Link {
    /// A link over a stream that was just opened. Our hello goes out at once, without waiting for the peer's.
    pub fn new(config: LinkConfig, now: Instant) -> Self {
        Self {
            unsent: VecDeque::from([PacketBuf::from(&config.own_hello[..])]),
            was_open: false,
            state: State::AwaitingHello(AwaitingHello::new(config, now)),
            deframer: Deframer::new(),
            up: None,
        }
    }

    /// Where the next bytes of the stream belong: free staging space or, in the middle of a large frame, the rest of that
    /// frame. Empty only while events wait to be taken.
    pub fn read_buffer(&mut self) -> &mut [u8] {
        self.deframer.read_buffer()
    }

    /// `len` bytes were read into [`Link::read_buffer`]. Take the events next.
    ///
    /// # Errors
    /// [`LinkError`]: close the stream. The error is repeated if the link is driven on.
    pub fn handle_read(&mut self, len: usize, now: Instant) -> Result<(), LinkError> {
        self.deframer.received(len);
        let advanced = self.advance(now);
        if let Err(error) = advanced {
            self.state = State::Closed(error);
        }
        advanced
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        if let Some((Hello { key, extension_version, extensions }, proven)) = self.up.take() {
            return Some(LinkEvent::Up { key, proven, extension_version, extensions });
        }
        if !self.was_open {
            return None;
        }
        self.deframer.next_frame().map(LinkEvent::Frame)
    }

    /// The next thing to send before any other frame: our hello, our part of the proof, or a keepalive.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<PacketBuf> {
        match &mut self.state {
            State::AwaitingHello(_) | State::Proving(..) => self.unsent.pop_front(),
            // The peer may be ready before ours was taken.
            State::Open(open) => {
                let unsent = self.unsent.pop_front();
                unsent.or_else(|| std::mem::take(&mut open.keepalive_due).then(frame::keepalive))
            }
            State::Closed(_) => None,
        }
    }

    /// Whether the hellos are exchanged, so that frames count.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether the keys are still to be proven.
    pub fn is_proving(&self) -> bool {
        matches!(self.state, State::Proving(..))
    }

    /// A whole frame came beside the stream, for transports that can do that. Says whether it counts: a traffic frame whose header is well-formed, on
    /// a link that is open. Then it is a sign of life like any other.
    pub fn handle_beside(&mut self, frame: &[u8], now: Instant) -> bool {
        let State::Open(open) = &mut self.state else { return false };
        let header = Header::parse(frame);
        let counts = header.is_ok_and(|header| header.kind.is_traffic() && header.len == frame.len());
        if counts {
            open.silence_deadline = now + SILENCE_TIMEOUT;
        }
        counts
    }

    /// Bytes were written to the stream: the next keepalive can wait.
    pub fn handle_written(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.keepalive_at = now + KEEPALIVE_INTERVAL;
            open.keepalive_due = false;
        }
    }

    /// When [`Link::handle_timeout`] wants to be called, and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, LinkTimer)> {
        match &self.state {
            State::AwaitingHello(waiting) => Some((waiting.deadline, LinkTimer::Hello)),
            State::Proving(_, deadline) => Some((*deadline, LinkTimer::Proof)),
            State::Open(open) if open.keepalive_at < open.silence_deadline => {
                Some((open.keepalive_at, LinkTimer::Keepalive))
            }
            State::Open(open) => Some((open.silence_deadline, LinkTimer::Silence)),
            State::Closed(_) => None,
        }
    }

    /// Does what is due at `now`; nothing, if it is called too early.
    ///
    /// # Errors
    /// [`LinkError::HelloTimeout`] or [`LinkError::Silent`]: close the stream. The error is repeated if the link is driven on.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), LinkError> {
        let error = match &mut self.state {
            State::AwaitingHello(waiting) if now >= waiting.deadline => LinkError::HelloTimeout,
            State::Proving(_, deadline) if now >= *deadline => LinkError::ProofTimeout,
            State::Open(open) if now >= open.silence_deadline => LinkError::Silent,
            State::Open(open) if now >= open.keepalive_at => {
                open.keepalive_due = true;
                // Counted as written: should the stream be stuck, there is no point in waking up again and again.
                open.keepalive_at = now + KEEPALIVE_INTERVAL;
                return Ok(());
            }
            State::AwaitingHello(_) | State::Proving(..) | State::Open(_) => return Ok(()),
            State::Closed(error) => *error,
        };
        self.state = State::Closed(error);
        Err(error)
    }

    /// Looks at what was received as far as it is complete.
    fn advance(&mut self, now: Instant) -> Result<(), LinkError> {
        if let State::AwaitingHello(waiting) = &mut self.state {
            let Some(bytes) = self.deframer.take_hello() else { return Ok(()) };
            let deadline = waiting.deadline;
            match waiting.check(&bytes)? {
                Greeted::Up(hello, proven) => self.open(hello, proven, now),
                Greeted::Prove(proving) => {
                    self.unsent.push_back(proving.challenge());
                    self.state = State::Proving(proving, deadline);
                }
            }
        }
        if matches!(self.state, State::Proving(..)) {
            self.deframer.scan().map_err(LinkError::Framing)?;
            while let State::Proving(proving, _) = &mut self.state
                && let Some(frame) = self.deframer.next_frame()
            {
                match proving.handle_frame(&frame)? {
                    Step::Answer(answer) => self.unsent.push_back(answer),
                    Step::Wait => {}
                    Step::Proven(hello, last) => {
                        self.unsent.extend(last);
                        self.open(hello, true, now);
                    }
                }
            }
            // No part of the proof is that long: not a byte of memory more for who has proven nothing.
            if matches!(self.state, State::Proving(..)) && self.deframer.has_large() {
                return Err(LinkError::BeforeProof);
            }
        }
        match &mut self.state {
            State::Open(open) => {
                if self.deframer.scan().map_err(LinkError::Framing)? {
                    open.silence_deadline = now + SILENCE_TIMEOUT;
                }
                Ok(())
            }
            State::Closed(error) => Err(*error),
            State::AwaitingHello(_) | State::Proving(..) => Ok(()),
        }
    }

    fn open(&mut self, hello: Hello, proven: bool, now: Instant) {
        (self.up, self.was_open) = (Some((hello, proven)), true);
        self.state = State::Open(Open {
            silence_deadline: now + SILENCE_TIMEOUT,
            keepalive_at: now + KEEPALIVE_INTERVAL,
            keepalive_due: false,
        });
    }
}

#[cfg(test)]
mod tests;
