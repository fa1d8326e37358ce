//! `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`, composed by hand: two messages, four curve operations a side.
//!
//! ```text
//!   <- s
//!   -> e, es, s, ss     the initiator knows whom he calls, and shows who he is under encryption
//!   <- e, ee, se, psk   the responder proves his key, the group's key goes in; both have transport keys
//! ```
//!
//! The states are types, so a message out of turn does not compile: [`Initiation`] waits for a response, [`Received`] waits
//! to be answered. Both leave themselves untouched when a message is forged: a forgery must not end a handshake.
//!
//! Static keys are the X25519 forms of the node keys. That map forgets a sign bit, so the prologue binds the ed25519 keys
//! themselves, and with them the roles. Shared secrets of zero are refused: a key of low order has no owner to prove.
//!
//! Ephemeral secrets come in as arguments; states and secrets are overwritten when dropped.

use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey as CurvePoint, StaticSecret};
use zeroize::Zeroizing;

use super::noise::{NotAuthentic, Secret, Symmetric};
use crate::keys::{Keypair, PublicKey};
use crate::wire::session::TAG_LEN;

const NAME: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// First part of the prologue: what else uses this handshake with the same keys, or a later version, cannot be taken for it.
const CONTEXT: &[u8] = b"pineconed session v1";
/// A point on the wire.
const POINT: usize = 32;

/// Our keys as a handshake needs them.
pub(super) struct Identity {
    /// Our node key.
    pub(super) key: PublicKey,
    secret: StaticSecret,
    point: CurvePoint,
    psk: Secret,
}

impl Identity {
    pub(super) fn new(keypair: &Keypair, psk: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*keypair.to_x25519());
        let point = CurvePoint::from(&secret);
        Self { key: keypair.public(), secret, point, psk: Zeroizing::new(*psk) }
    }

    /// Another group from now on. True if it is another.
    pub(super) fn set_psk(&mut self, psk: &[u8; 32]) -> bool {
        let differs = !bool::from(subtle::ConstantTimeEq::ct_eq(&self.psk[..], &psk[..]));
        self.psk = Zeroizing::new(*psk);
        differs
    }

    /// One that sends another static key than the one that it proves to own.
    #[cfg(test)]
    pub(super) fn lying_about_its_point(self, point: [u8; POINT]) -> Self {
        Self { point: CurvePoint::from(point), ..self }
    }
}

/// The other node: its key, and its X25519 form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) key: PublicKey,
    point: [u8; POINT],
}

impl Peer {
    /// `None` if the bytes are no point, so that nobody can be there.
    pub(super) fn new(key: PublicKey) -> Option<Self> {
        key.to_x25519().ok().map(|point| Self { key, point })
    }
}

/// The keys that a handshake ends with.
pub(super) struct TransportKeys {
    /// The initiator seals with it, the responder opens.
    pub(super) initiator: Secret,
    /// The responder seals with it, the initiator opens.
    pub(super) responder: Secret,
}

impl TransportKeys {
    fn of(symmetric: &Symmetric) -> Self {
        let (initiator, responder) = symmetric.split();
        Self { initiator, responder }
    }
}

/// We sent an initiation and wait for the response.
pub(super) struct Initiation {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

impl Initiation {
    /// The Noise message that starts a handshake with `peer`, carrying `offer` sealed, and the state that waits for its answer.
    pub(super) fn start(
        us: &Identity,
        peer: &Peer,
        ephemeral: Secret,
        offer: &[u8],
    ) -> Result<(Self, Vec<u8>), NotAuthentic> {
        let ephemeral = StaticSecret::from(*ephemeral);
        let point = CurvePoint::from(&ephemeral);
        let mut symmetric = start_of_transcript(&us.key, &peer.key, &peer.point);
        let mut message = Vec::with_capacity(POINT + POINT + TAG_LEN + offer.len() + TAG_LEN);
        message.extend(point.as_bytes());
        mix_ephemeral(&mut symmetric, point.as_bytes());
        mix_shared(&mut symmetric, &ephemeral, &peer.point)?;
        symmetric.seal(us.point.as_bytes(), &mut message)?;
        mix_shared(&mut symmetric, &us.secret, &peer.point)?;
        symmetric.seal(offer, &mut message)?;
        Ok((Self { symmetric, ephemeral }, message))
    }

    /// Reads the response: what it carries, and the transport keys.
    pub(super) fn finish(&self, us: &Identity, message: &[u8]) -> Result<(Vec<u8>, TransportKeys), NotAuthentic> {
        let (point, sealed) = message.split_first_chunk::<POINT>().ok_or(NotAuthentic)?;
        let mut symmetric = self.symmetric.clone();
        mix_ephemeral(&mut symmetric, point);
        mix_shared(&mut symmetric, &self.ephemeral, point)?;
        mix_shared(&mut symmetric, &us.secret, point)?;
        symmetric.mix_key_and_hash(&us.psk);
        let answer = symmetric.open(sealed)?;
        Ok((answer, TransportKeys::of(&symmetric)))
    }
}

/// We read an initiation and may answer it.
pub(super) struct Received {
    symmetric: Symmetric,
    /// The initiator's ephemeral point.
    ephemeral: [u8; POINT],
    /// The initiator's static point, which is that of the node he says to be.
    point: [u8; POINT],
}

impl Received {
    /// Reads an initiation that claims to be from `peer`: the state that can answer it, and what it carries.
    pub(super) fn read(us: &Identity, peer: &Peer, message: &[u8]) -> Result<(Self, Vec<u8>), NotAuthentic> {
        let (ephemeral, rest) = message.split_first_chunk::<POINT>().ok_or(NotAuthentic)?;
        let (sealed_point, sealed_offer) = rest.split_at_checked(POINT + TAG_LEN).ok_or(NotAuthentic)?;
        let mut symmetric = start_of_transcript(&peer.key, &us.key, us.point.as_bytes());
        mix_ephemeral(&mut symmetric, ephemeral);
        mix_shared(&mut symmetric, &us.secret, ephemeral)?;
        let point = symmetric.open(sealed_point)?;
        if !bool::from(point.ct_eq(&peer.point)) {
            return Err(NotAuthentic);
        }
        mix_shared(&mut symmetric, &us.secret, &peer.point)?;
        let offer = symmetric.open(sealed_offer)?;
        Ok((Self { symmetric, ephemeral: *ephemeral, point: peer.point }, offer))
    }

    /// The Noise message that answers, carrying `answer` sealed, and the transport keys.
    pub(super) fn answer(
        mut self,
        us: &Identity,
        ephemeral: Secret,
        answer: &[u8],
    ) -> Result<(Vec<u8>, TransportKeys), NotAuthentic> {
        let ephemeral = StaticSecret::from(*ephemeral);
        let point = CurvePoint::from(&ephemeral);
        let mut message = Vec::with_capacity(POINT + answer.len() + TAG_LEN);
        message.extend(point.as_bytes());
        mix_ephemeral(&mut self.symmetric, point.as_bytes());
        mix_shared(&mut self.symmetric, &ephemeral, &self.ephemeral)?;
        mix_shared(&mut self.symmetric, &ephemeral, &self.point)?;
        self.symmetric.mix_key_and_hash(&us.psk);
        self.symmetric.seal(answer, &mut message)?;
        Ok((message, TransportKeys::of(&self.symmetric)))
    }
}

/// Name, prologue, and the responder's static key, which both know beforehand.
fn start_of_transcript(initiator: &PublicKey, responder: &PublicKey, responder_point: &[u8; POINT]) -> Symmetric {
    let mut symmetric = Symmetric::new(NAME, &[CONTEXT, &initiator.0, &responder.0]);
    symmetric.mix_hash(responder_point);
    symmetric
}

/// The `e` token: with a pre-shared key in the pattern, ephemeral keys go into the chaining key too (§9.2).
fn mix_ephemeral(symmetric: &mut Symmetric, point: &[u8; POINT]) {
    symmetric.mix_hash(point);
    symmetric.mix_key(point);
}

/// A Diffie-Hellman token.
fn mix_shared(symmetric: &mut Symmetric, secret: &StaticSecret, point: &[u8; POINT]) -> Result<(), NotAuthentic> {
    let shared = secret.diffie_hellman(&CurvePoint::from(*point));
    if !shared.was_contributory() {
        return Err(NotAuthentic);
    }
    symmetric.mix_key(shared.as_bytes());
    Ok(())
}
