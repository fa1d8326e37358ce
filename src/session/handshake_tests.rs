//! The handshake against an independent implementation, byte for byte and in both roles.

use zeroize::Zeroizing;

use super::aead::{Cipher, DataKey};
use super::handshake::{Identity, Initiation, Peer, Received, TransportKeys};
use crate::keys::{Keypair, PublicKey, Seed};

const PSK: [u8; 32] = [0x77; 32];

struct Side {
    keypair: Keypair,
    identity: Identity,
}

fn side(n: u8) -> Side {
    side_with_psk(n, &PSK)
}

fn side_with_psk(n: u8, psk: &[u8; 32]) -> Side {
    let keypair = Keypair::from_seed(&Seed([n; 32]));
    let identity = Identity::new(&keypair, psk);
    Side { keypair, identity }
}

fn peer(side: &Side) -> Peer {
    Peer::new(side.keypair.public()).unwrap()
}

fn secret(n: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([n; 32])
}

/// The other implementation in the place of `us`, with the prologue spelt out.
fn snow_builder<'a>(us: &'a [u8; 32], prologue: &'a [u8]) -> snow::Builder<'a> {
    let builder = snow::Builder::new("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".parse().unwrap());
    builder.local_private_key(us).unwrap().prologue(prologue).unwrap().psk(2, &PSK).unwrap()
}

fn prologue(initiator: &Side, responder: &Side) -> Vec<u8> {
    [b"pineconed session v1", &initiator.keypair.public().0[..], &responder.keypair.public().0].concat()
}

/// Messages sealed with the transport keys on either side open on the other, without associated data as Noise has it, which
/// our data keys can do when the header is what they are given. So the raw keys are compared through the plain cipher.
fn assert_same_transport(ours: &TransportKeys, we_initiated: bool, snow: &snow::StatelessTransportState) {
    use chacha20poly1305::aead::{Aead, KeyInit};
    let (seal, open) =
        if we_initiated { (&ours.initiator, &ours.responder) } else { (&ours.responder, &ours.initiator) };
    for counter in [0u64, 1, 1 << 40] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        let cipher = |key: &[u8; 32]| chacha20poly1305::ChaCha20Poly1305::new(key.into());
        let sealed = cipher(seal).encrypt(&nonce.into(), &b"to snow"[..]).unwrap();
        let mut out = [0; 64];
        let len = snow.read_message(counter, &sealed, &mut out).unwrap();
        assert_eq!(&out[..len], b"to snow");
        let len = snow.write_message(counter, b"from snow", &mut out).unwrap();
        assert_eq!(cipher(open).decrypt(&nonce.into(), &out[..len]).unwrap(), b"from snow");
    }
}

#[test]
fn a_snow_responder_answers_our_initiation() {
    let (us, them) = (side(1), side(2));
    let (their_secret, prologue) = (them.keypair.to_x25519(), prologue(&us, &them));
    let mut snow = snow_builder(&their_secret, &prologue).build_responder().unwrap();

    let (state, message) = Initiation::start(&us.identity, &peer(&them), secret(5), b"offer").unwrap();
    let mut out = [0; 256];
    let len = snow.read_message(&message, &mut out).unwrap();
    assert_eq!(&out[..len], b"offer");
    assert_eq!(snow.get_remote_static(), Some(&us.keypair.public().to_x25519().unwrap()[..]));
    let len = snow.write_message(b"answer", &mut out).unwrap();

    let (answer, keys) = state.finish(&us.identity, &out[..len]).unwrap();
    assert_eq!(answer, b"answer");
    assert_same_transport(&keys, true, &snow.into_stateless_transport_mode().unwrap());
}

#[test]
fn a_snow_initiator_talks_to_our_responder() {
    let (us, them) = (side(1), side(2));
    let (their_secret, prologue) = (them.keypair.to_x25519(), prologue(&them, &us));
    let our_point = us.keypair.public().to_x25519().unwrap();
    let builder = snow_builder(&their_secret, &prologue).remote_public_key(&our_point).unwrap();
    let mut snow = builder.build_initiator().unwrap();
    let mut out = [0; 256];
    let len = snow.write_message(b"offer", &mut out).unwrap();

    let (state, offer) = Received::read(&us.identity, &peer(&them), &out[..len]).unwrap();
    assert_eq!(offer, b"offer");
    let (message, keys) = state.answer(&us.identity, secret(6), b"answer").unwrap();
    let len = snow.read_message(&message, &mut out).unwrap();
    assert_eq!(&out[..len], b"answer");
    assert_same_transport(&keys, false, &snow.into_stateless_transport_mode().unwrap());
}

#[test]
fn the_same_ephemeral_keys_give_the_same_bytes_as_snow() {
    let (us, them) = (side(3), side(4));
    let (our_secret, their_secret, prologue) = (us.keypair.to_x25519(), them.keypair.to_x25519(), prologue(&us, &them));
    let their_point = them.keypair.public().to_x25519().unwrap();
    let mut initiator = snow_builder(&our_secret, &prologue)
        .remote_public_key(&their_point)
        .unwrap()
        .fixed_ephemeral_key_for_testing_only(&[5; 32])
        .build_initiator()
        .unwrap();
    let mut responder = snow_builder(&their_secret, &prologue)
        .fixed_ephemeral_key_for_testing_only(&[6; 32])
        .build_responder()
        .unwrap();
    let (mut out, mut scratch) = ([0; 256], [0; 256]);

    let len = initiator.write_message(b"offer", &mut out).unwrap();
    let (_, first) = Initiation::start(&us.identity, &peer(&them), secret(5), b"offer").unwrap();
    assert_eq!(out[..len], first);
    responder.read_message(&first, &mut scratch).unwrap();

    let len = responder.write_message(b"answer", &mut out).unwrap();
    let (state, _) = Received::read(&them.identity, &peer(&us), &first).unwrap();
    let (second, _) = state.answer(&them.identity, secret(6), b"answer").unwrap();
    assert_eq!(out[..len], second);
}

#[test]
fn every_flipped_bit_of_either_message_is_noticed_and_does_not_end_the_handshake() {
    let (us, them) = (side(1), side(2));
    let (initiation, first) = Initiation::start(&us.identity, &peer(&them), secret(5), b"offer").unwrap();
    for at in 0..first.len() * 8 {
        let mut forged = first.clone();
        forged[at / 8] ^= 1 << (at % 8);
        // The top bit of a point is not part of it (RFC 7748 §5), but the transcript covers it.
        assert!(Received::read(&them.identity, &peer(&us), &forged).is_err(), "bit {at}");
    }
    let (received, _) = Received::read(&them.identity, &peer(&us), &first).unwrap();
    let (second, _) = received.answer(&them.identity, secret(6), b"answer").unwrap();
    for at in 0..second.len() * 8 {
        let mut forged = second.clone();
        forged[at / 8] ^= 1 << (at % 8);
        assert!(initiation.finish(&us.identity, &forged).is_err(), "bit {at}");
    }
    assert!(initiation.finish(&us.identity, &second).is_ok());
}

#[test]
fn only_the_owner_of_a_key_can_initiate_in_its_name() {
    let (us, them, thief) = (side(1), side(2), side(3));
    let (_, message) = Initiation::start(&thief.identity, &peer(&them), secret(5), b"offer").unwrap();
    assert!(Received::read(&them.identity, &peer(&us), &message).is_err());
    assert!(Received::read(&them.identity, &peer(&thief), &message).is_ok());
}

#[test]
fn the_static_key_inside_must_be_that_of_the_claimed_node() {
    let (us, them, other) = (side(1), side(2), side(3));
    let liar = us.identity.lying_about_its_point(other.keypair.public().to_x25519().unwrap());
    let (_, message) = Initiation::start(&liar, &peer(&them), secret(5), b"offer").unwrap();
    let claimed = Peer::new(us.keypair.public()).unwrap();
    assert!(Received::read(&them.identity, &claimed, &message).is_err());
}

#[test]
fn a_key_with_the_same_curve_point_is_still_another_node() {
    // Flipping an ed25519 key's sign bit gives the same X25519 point; the prologue keeps the two apart.
    let (us, them) = (side(1), side(2));
    let mut twin = us.keypair.public();
    twin.0[31] ^= 0x80;
    assert_eq!(twin.to_x25519(), us.keypair.public().to_x25519());
    let (_, message) = Initiation::start(&us.identity, &peer(&them), secret(5), b"offer").unwrap();
    assert!(Received::read(&them.identity, &Peer::new(twin).unwrap(), &message).is_err());
}

#[test]
fn another_group_password_fails_at_the_response() {
    let (us, them) = (side(1), side_with_psk(2, &[0; 32]));
    let (initiation, first) = Initiation::start(&us.identity, &peer(&them), secret(5), b"offer").unwrap();
    let (received, _) = Received::read(&them.identity, &peer(&us), &first).unwrap();
    let (second, _) = received.answer(&them.identity, secret(6), b"answer").unwrap();
    assert!(initiation.finish(&us.identity, &second).is_err());
}

#[test]
fn keys_and_points_of_low_order_are_refused() {
    let us = side(1);
    // The neutral element: a valid encoding of a point, with a shared secret of zero for everybody.
    let mut neutral = PublicKey::ZERO;
    neutral.0[0] = 1;
    let nobody = Peer::new(neutral).unwrap();
    assert!(Initiation::start(&us.identity, &nobody, secret(5), b"").is_err());
    assert!(Received::read(&us.identity, &nobody, &[0; 128]).is_err());
}

#[test]
fn both_sides_seal_what_the_other_opens_with_either_cipher() {
    let (us, them) = (side(1), side(2));
    let (initiation, first) = Initiation::start(&us.identity, &peer(&them), secret(5), b"").unwrap();
    let (received, _) = Received::read(&them.identity, &peer(&us), &first).unwrap();
    let (second, responder) = received.answer(&them.identity, secret(6), b"").unwrap();
    let (_, initiator) = initiation.finish(&us.identity, &second).unwrap();
    assert_ne!(initiator.initiator, initiator.responder);
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let (seal, open) =
            (DataKey::new(cipher, &initiator.initiator).unwrap(), DataKey::new(cipher, &responder.initiator).unwrap());
        let mut text = b"text".to_vec();
        let tag = seal.seal(3, &[1; 16], &mut text).unwrap();
        text.extend(tag);
        assert_eq!(open.open(3, &[1; 16], &mut text), Ok(()));
        assert_eq!(&text[..4], b"text");
    }
}
