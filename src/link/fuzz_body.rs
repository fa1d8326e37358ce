//! The body of the fuzz target `proof`: what a peer says between its hello and the first frame that counts.
//!
//! Keys and nonces are fixed, so there is one proof that holds for each side and password, and the fuzzer cannot make it: it can be put in
//! front, or comes from a saved input. Whatever else is said, the link does not come up.

use std::array;
use std::sync::{Arc, LazyLock};

use super::{Link, LinkConfig, LinkEvent, PasswordKey, ProofConfig, Side};
use crate::keys::{Keypair, PublicKey, Seed};
use crate::time::Instant;
use crate::wire::extensions::Extensions;
use crate::wire::frame::HEADER_LEN;
use crate::wire::hello::{HELLO_LEN, Hello};
use crate::wire::proof::LinkMessage;

/// Our node and the peer that is played, with their hellos.
static NODES: LazyLock<[(Arc<Keypair>, [u8; HELLO_LEN]); 2]> = LazyLock::new(|| [node(1), node(2)]);
/// What the peer says that has the key, by the lowest two bits of the mode.
static GENUINE: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| array::from_fn(genuine));

/// Bit 0 of the first byte says which side we are on, bit 1 whether the peering has a password, bit 2 whether the peer proves its key before
/// it says the rest, and the others how that is cut into pieces.
pub fn fuzz_proof(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else { return };
    if let Ok(Some(message)) = LinkMessage::parse(bytes) {
        // But for what headers have and nobody looks at.
        assert_eq!(message.encode().get(HEADER_LEN..), bytes.get(HEADER_LEN..), "accepted is what would be written");
    }
    let [_, (_, peer_hello)] = &*NODES;
    let which = usize::from(mode % 4);
    let genuine = GENUINE.get(which).map(Vec::as_slice).unwrap_or_default();
    let begins = if mode & 4 == 4 { genuine } else { &peer_hello[..] };
    let stream = [begins, bytes].concat();
    let piece = 1 + usize::from(mode >> 3) * 64;
    if let Some(key) = comes_up(Link::new(config(0, which), Instant::ZERO), &stream, piece) {
        assert_eq!(key, peer());
        assert!(stream.starts_with(genuine), "a link is up, and nothing was proven on it");
    } else {
        assert!(mode & 4 == 0 || !bytes.is_empty(), "who proves the key has a link");
    }
}

fn node(seed: u8) -> (Arc<Keypair>, [u8; HELLO_LEN]) {
    let (keypair, proof) = (Keypair::from_seed(&Seed([seed; 32])), Extensions::LINK_PROOF);
    let hello = Hello { key: keypair.public(), extension_version: proof.version(), extensions: proof.bits() };
    let bytes = hello.encode(&keypair);
    (Arc::new(keypair), bytes)
}

fn peer() -> PublicKey {
    NODES[1].0.public()
}

/// The end of the link of our node (0) or of the peer (1).
fn config(node: usize, which: usize) -> LinkConfig {
    let (keypair, hello) = &NODES[node];
    let side = if (which & 1 == 1) == (node == 0) { Side::Listener } else { Side::Dialler };
    let password = if which & 2 == 2 { PasswordKey::of("correct-horse-battery") } else { PasswordKey::default() };
    let nonce = [if node == 0 { 101 } else { 102 }; 32];
    let proof = ProofConfig { keypair: Arc::clone(keypair), nonce, side, password };
    LinkConfig { proof: Some(proof), ..LinkConfig::plain(*hello, keypair.public()) }
}

/// Lets both nodes talk until neither has anything more to say, and notes what the peer said.
fn genuine(which: usize) -> Vec<u8> {
    let (mut ours, mut peer) = (Link::new(config(0, which), Instant::ZERO), Link::new(config(1, which), Instant::ZERO));
    let mut all = Vec::new();
    loop {
        let said = [said(&mut ours), said(&mut peer)];
        if said.iter().all(Vec::is_empty) {
            return all;
        }
        let [from_us, from_peer] = said;
        assert!(hear(&mut peer, &from_us) && hear(&mut ours, &from_peer), "two nodes prove their keys");
        all.extend(from_peer);
    }
}

fn said(link: &mut Link) -> Vec<u8> {
    std::iter::from_fn(|| link.poll_transmit()).flat_map(|frame| frame.to_vec()).collect()
}

/// Whether the link took what fits its buffer.
fn hear(link: &mut Link, bytes: &[u8]) -> bool {
    let buffer = link.read_buffer();
    buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    link.handle_read(bytes.len(), Instant::ZERO).is_ok()
}

/// Tells the link these bytes. Returns whom it is up with, if it comes up before the end; then it has to say that the key is proven, and has
/// to have said so before any frame.
fn comes_up(mut link: Link, stream: &[u8], piece: usize) -> Option<PublicKey> {
    let (mut up, mut rest) = (None, stream);
    while !rest.is_empty() {
        let len = link.read_buffer().len().min(rest.len()).min(piece);
        assert!(len > 0, "all events were taken, yet there is nowhere to read to");
        let (bytes, behind) = rest.split_at(len);
        rest = behind;
        let goes_on = hear(&mut link, bytes);
        // It answers whatever it is asked, in bounds.
        assert!(said(&mut link).len() <= 4 * HELLO_LEN);
        while let Some(event) = link.poll_event() {
            match event {
                LinkEvent::Up { key, proven, .. } => assert!(proven && up.replace(key).is_none()),
                LinkEvent::Frame(_) => assert!(up.is_some(), "a frame counts before the key is proven"),
            }
        }
        if !goes_on {
            break;
        }
    }
    up
}
