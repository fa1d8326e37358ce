//! The proof of keys: a hello can be replayed by anyone who saw it, so both sides sign what the other one chose.
//!
//! ```text
//! hello            ──▶ ◀──            hello       as every Pinecone node; both announce the extension
//! challenge        ──▶ ◀──        challenge       a nonce each
//! proof            ──▶ ◀──            proof       of the transcript, each
//! ```
//!
//! Neither side waits for the other but for what it has to sign, so it takes two journeys after the hellos. Nothing else counts before:
//! a frame of any other type than keepalive ends the link, and the link is not up for anybody.
//!
//! What is signed and checked is the *transcript*; the prover is who signs, the verifier whom it signs for:
//!
//! ```text
//! 0    23   "pinecone link proof v1\0"
//! 23   1    carrier           0 TCP, 1 WebSocket, 2 Unix socket, 3 encrypted channel
//! 24   32   channel binding   of an encrypted channel, else zeros
//! 56   1    prover's side     0 dialled, 1 was dialled
//! 57   104  prover's hello
//! 161  104  verifier's hello
//! 265  32   prover's nonce
//! 297  32   verifier's nonce
//! ```
//!
//! The verifier's nonce makes replays useless. Both keys (in the hellos) make a proof for one node worthless to another, so nobody can
//! pass on what a third node signed for him. The side keeps proofs from being reflected, and two nodes that both listen from being joined
//! by somebody who dialled both. The carrier and the hellos' extension bits keep somebody in between from offering less to each than
//! they both have. What no proof without encryption can do: keep somebody who forwards all of it from changing what is sent later;
//! that takes `tls://` or `quic://`, whose channel binding stands in the transcript.
//!
//! The password check shows that both sides know the same peering password, or that neither has one. Who was dialled sends its proof, if
//! there is a password, only when it has seen that of the dialler: otherwise anybody could dial, hang up, and test guesses at leisure. (Whom
//! a node dials without a pinned key can still do that, so passwords are long.)

use std::fmt;
use std::sync::Arc;

use blake2::digest::consts::U32;
use blake2::digest::{Digest, FixedOutput, KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Carrier, LinkError};
use crate::buf::PacketBuf;
use crate::keys::Keypair;
use crate::wire::hello::{HELLO_LEN, Hello};
use crate::wire::proof::{CHECK_LEN, LinkMessage, NONCE_LEN};

const CONTEXT: &[u8; 23] = b"pinecone link proof v1\0";
/// Separates this use of the hash from every other.
const PASSWORD_CONTEXT: &[u8] = b"pinecone peering password v1\0";

/// Which side of the connection a node is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dialled.
    Dialler,
    /// It was dialled.
    Listener,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }
}

/// The hash of a peering's password. All zeros stands for none.
#[derive(Clone, Default)]
pub struct PasswordKey(Zeroizing<[u8; 32]>);

impl PasswordKey {
    /// Of this password.
    pub fn of(password: &str) -> Self {
        let hash = Blake2s256::new().chain_update(PASSWORD_CONTEXT).chain_update(password.as_bytes());
        Self(Zeroizing::new(hash.finalize_fixed().into()))
    }

    /// Whether there is a password.
    pub fn is_some(&self) -> bool {
        *self.0 != [0; 32]
    }
}

impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey(..)")
    }
}

/// What a link needs to prove its key.
#[derive(Clone, Debug)]
pub struct ProofConfig {
    /// The node's key.
    pub keypair: Arc<Keypair>,
    /// Random bytes, for this link alone.
    pub nonce: [u8; NONCE_LEN],
    /// Which side we are on.
    pub side: Side,
    /// The peering's password.
    pub password: PasswordKey,
}

/// A proof under way, in both directions.
#[derive(Debug)]
pub(super) struct Proving {
    config: ProofConfig,
    carrier: Carrier,
    own_hello: [u8; HELLO_LEN],
    peer_hello: [u8; HELLO_LEN],
    /// What the peer said in it.
    peer: Hello,
    /// The peer's nonce, once it is there.
    peer_nonce: Option<[u8; NONCE_LEN]>,
    /// Our proof, until the peer may have it.
    held: Option<PacketBuf>,
}

/// What the peer's frame leads to.
pub(super) enum Step {
    /// This has to be sent.
    Answer(PacketBuf),
    /// More has to come first.
    Wait,
    /// The peer has proven its key; what is left to be sent.
    Proven(Hello, Option<PacketBuf>),
}

impl Proving {
    /// To be begun when the peer's hello is there and announces the extension.
    pub(super) fn new(
        config: ProofConfig,
        carrier: Carrier,
        own_hello: [u8; HELLO_LEN],
        peer_hello: [u8; HELLO_LEN],
        peer: Hello,
    ) -> Self {
        Self { config, carrier, own_hello, peer_hello, peer, peer_nonce: None, held: None }
    }

    /// What to send first.
    pub(super) fn challenge(&self) -> PacketBuf {
        LinkMessage::Challenge(self.config.nonce).encode()
    }

    /// Takes the peer's next frame.
    ///
    /// # Errors
    /// [`LinkError`]: hang up.
    pub(super) fn handle_frame(&mut self, frame: &[u8]) -> Result<Step, LinkError> {
        match LinkMessage::parse(frame).map_err(LinkError::Framing)? {
            Some(LinkMessage::Challenge(nonce)) if self.peer_nonce.is_none() => {
                if nonce == self.config.nonce {
                    return Err(LinkError::Reflected);
                }
                self.peer_nonce = Some(nonce);
                let transcript = self.transcript(Prover::We, &nonce);
                let signature = self.config.keypair.sign(&transcript);
                let check = self.check(&transcript);
                let proof = LinkMessage::Proof { signature, check }.encode();
                // A check is something to test guesses against: who dials gets ours only after it has shown that it knows the password.
                if self.config.side == Side::Listener && self.config.password.is_some() {
                    self.held = Some(proof);
                    return Ok(Step::Wait);
                }
                Ok(Step::Answer(proof))
            }
            Some(LinkMessage::Proof { signature, check }) => {
                let nonce = self.peer_nonce.ok_or(LinkError::BeforeProof)?;
                let transcript = self.transcript(Prover::Peer, &nonce);
                if !self.peer.key.verifies(&transcript, &signature) {
                    return Err(LinkError::NotProven(self.peer.key));
                }
                if !bool::from(self.check(&transcript).ct_eq(&check)) {
                    return Err(LinkError::WrongPassword);
                }
                Ok(Step::Proven(self.peer, self.held.take()))
            }
            Some(LinkMessage::Challenge(_)) | None => Err(LinkError::BeforeProof),
        }
    }

    fn transcript(&self, prover: Prover, peer_nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let (kind, binding) = match self.carrier {
            Carrier::Tcp => (0, [0; 32]),
            Carrier::WebSocket => (1, [0; 32]),
            Carrier::Unix => (2, [0; 32]),
            Carrier::Channel { binding, .. } => (3, binding),
        };
        let ours = (self.config.side, &self.own_hello, &self.config.nonce);
        let theirs = (self.config.side.other(), &self.peer_hello, peer_nonce);
        let (proves, verifies) = match prover {
            Prover::We => (ours, theirs),
            Prover::Peer => (theirs, ours),
        };
        let side = match proves.0 {
            Side::Dialler => 0,
            Side::Listener => 1,
        };
        let parts: [&[u8]; 8] = [CONTEXT, &[kind], &binding, &[side], proves.1, verifies.1, proves.2, verifies.2];
        parts.concat()
    }

    fn check(&self, transcript: &[u8]) -> [u8; CHECK_LEN] {
        let mut state = <Blake2sMac<U32> as KeyInit>::new((&*self.config.password.0).into());
        Mac::update(&mut state, transcript);
        state.finalize_fixed().into()
    }
}

#[derive(Clone, Copy)]
enum Prover {
    We,
    Peer,
}

#[cfg(test)]
mod tests;
