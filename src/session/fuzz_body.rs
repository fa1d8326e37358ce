//! The body of the fuzz target for session messages: any bytes, into a node that has a session.
//!
//! The first byte chooses how the rest gets there: as it is, from the other node or a stranger; inside the encryption, as a
//! malicious node could; or as changes to genuine handshake messages. No bytes may panic, and none that come without the
//! session's keys may end the session.
#![doc(hidden)]

use std::sync::Arc;

use super::payload::{Contents, Control, Offer};
use super::{Opened, Sealed, SessionConfig, Sessions};
use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Seed};
use crate::rng::Rng;
use crate::time::{Duration, Instant, UnixClock, UnixMillis};
use crate::wire::session::lookup::{LookupAnswer, LookupQuestion};
use crate::wire::session::parse;

const PACKET: &[u8] = &[0x60, 1, 2, 3];

/// Feeds `data` to the decoders and to a node with an established session.
pub fn fuzz_session_message(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let _ = parse(bytes);
    let _ = LookupQuestion::parse(bytes);
    let _ = LookupAnswer::parse(bytes);
    let _ = Offer::parse(bytes);

    let now = Instant::from_micros(1_000_000);
    let (mut us, mut them) = (sessions(1, now), sessions(2, now));
    establish(&mut us, &mut them, now);
    match mode % 4 {
        0 => drop(us.open(&key_of(&them), PacketBuf::from(bytes), now)),
        1 => drop(us.open(&PublicKey([bytes.first().copied().unwrap_or(7); 32]), PacketBuf::from(bytes), now)),
        2 => {
            open_sealed(&mut us, &mut them, bytes, now);
            let later = now + Duration::from_secs(3);
            us.handle_timeout(later);
            exchange(&mut us, &mut them, later);
            return;
        }
        _ => open_changed_handshake(&mut us, &mut them, bytes, now),
    }
    exchange(&mut us, &mut them, now);
    assert!(carries(&mut them, &mut us, now), "bytes without keys ended a session");
}

/// What is said about routes: whatever is accepted is read again as it is written.
pub fn fuzz_route_message(data: &[u8]) {
    let Ok(Contents::Control(Control::Route(message))) = Contents::parse(data) else { return };
    let bytes = message.encode();
    assert!(data.starts_with(&bytes));
    assert_eq!(Contents::parse(&bytes), Ok(Contents::Control(Control::Route(message))));
}

fn sessions(n: u8, now: Instant) -> Sessions {
    let config = SessionConfig { psk: [0; 32], mtu: 1280, max_sessions: 8, aes: n == 1 };
    let keypair = Arc::new(Keypair::from_seed(&Seed([n; 32])));
    Sessions::new(config, keypair, Rng::new([n; 32]), UnixClock::new(UnixMillis(1_000_000), now), now)
}

fn key_of(sessions: &Sessions) -> PublicKey {
    sessions.shared.identity.key
}

fn establish(a: &mut Sessions, b: &mut Sessions, now: Instant) {
    a.connect(&key_of(b), now);
    exchange(a, b, now);
    assert!(carries(a, b, now) && carries(b, a, now), "two nodes cannot agree on keys");
}

/// Hands messages over until both are silent, for at most as many rounds as a handshake in each direction takes.
fn exchange(a: &mut Sessions, b: &mut Sessions, now: Instant) {
    for _ in 0..8 {
        hand_over(a, b, now);
        hand_over(b, a, now);
    }
}

fn hand_over(from: &mut Sessions, to: &mut Sessions, now: Instant) {
    while let Some((destination, message)) = from.poll_transmit() {
        if destination == key_of(to) {
            drop(to.open(&key_of(from), message, now));
        }
    }
}

fn carries(from: &mut Sessions, to: &mut Sessions, now: Instant) -> bool {
    let Sealed::Ready(message) = from.seal(&key_of(to), PacketBuf::from(PACKET), now) else { return false };
    matches!(to.open(&key_of(from), message, now), Ok(Opened::Packet(packet)) if *packet == *PACKET)
}

/// What a malicious node can say inside the encryption.
fn open_sealed(us: &mut Sessions, them: &mut Sessions, text: &[u8], now: Instant) {
    let our_key = key_of(us);
    let Some(slot) = them.table.find(&our_key) else { return };
    let Some(keys) = them.table.get_mut(slot).and_then(|session| session.keys.for_sealing(now)) else { return };
    let mut message = PacketBuf::from(text);
    if keys.seal(&mut message) {
        drop(us.open(&key_of(them), message, now));
    }
}

/// A genuine initiation and the genuine answer to one of ours, with bytes changed.
fn open_changed_handshake(us: &mut Sessions, them: &mut Sessions, changes: &[u8], now: Instant) {
    let (our_key, their_key) = (key_of(us), key_of(them));
    for (caller, called) in [(&mut *them, our_key), (&mut *us, their_key)] {
        if let Some(slot) = caller.table.find(&called) {
            caller.with_session(slot, now, |session, shared| session.initiate(shared, now));
        }
    }
    let change = |mut message: PacketBuf| {
        for pair in changes.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            if let Some(byte) = message.get_mut(at) {
                *byte ^= pair[2];
            }
        }
        message
    };
    while let Some((_, message)) = them.poll_transmit() {
        drop(us.open(&their_key, change(message), now));
    }
    hand_over(us, them, now);
    while let Some((_, message)) = them.poll_transmit() {
        drop(us.open(&their_key, change(message), now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_bytes_panic_or_end_a_session(mode in 0u8..4, kind in 0u8..9, rest in prop::collection::vec(any::<u8>(), 0..200), reserved in any::<bool>()) {
            let mut data = vec![mode, kind];
            if reserved {
                data.extend([0; 3]);
            }
            data.extend(rest);
            fuzz_session_message(&data);
        }
    }
}
