//! The inspector is worth nothing unless it passes what the reference wrote and fails what the reference chokes on.

use std::time::{Duration, Instant};

use crate::inspector::{Inspector, Kind};
use crate::recording::{Side, session};
use crate::vectors::{Vectors, hex, text_of};

fn inspect(side: Side, start: Instant) -> Inspector {
    let mut inspector = Inspector::new(start);
    for recorded in session().iter().filter(|recorded| recorded.sender == side) {
        inspector.feed(&recorded.bytes, start + recorded.at);
    }
    inspector
}

#[test]
fn passes_both_sides_of_the_recorded_session() {
    let start = Instant::now();
    for (side, kinds) in [(Side::K10, [2, 2, 3, 2, 1]), (Side::K30, [3, 1, 0, 1, 1])] {
        let inspector = inspect(side, start);
        assert_eq!(inspector.violations, &[] as &[String], "{side:?}");
        assert_eq!(inspector.hello, Some(([0; 3], side.key())));
        let all = [Kind::Keepalive, Kind::Announcement, Kind::Bootstrap, Kind::Traffic, Kind::Broadcast];
        assert_eq!(all.map(|kind| inspector.count(kind)), kinds, "{side:?}");
    }
}

#[test]
fn passes_the_same_bytes_in_pieces_of_any_size() {
    let bytes: Vec<u8> = session()
        .iter()
        .filter(|recorded| recorded.sender == Side::K10)
        .flat_map(|recorded| recorded.bytes.clone())
        .collect();
    for size in [1, 7, 103, 105, 4096] {
        let now = Instant::now();
        let mut inspector = Inspector::new(now);
        bytes.chunks(size).for_each(|piece| inspector.feed(piece, now));
        assert_eq!((inspector.violations.len(), inspector.seen.len()), (0, 10), "pieces of {size}");
    }
}

#[test]
fn fails_every_frame_that_crashes_the_reference_or_makes_it_hang_up() {
    let vectors = Vectors::load("frames");
    let start = Instant::now();
    let mut failed = 0;
    for case in vectors.cases("malformed") {
        if !["crash", "close"].contains(&text_of(&case["reference"])) {
            continue;
        }
        let mut inspector = inspect(Side::K10, start);
        let mut bytes = hex(&case["hex"]);
        // A frame that claims more than it has waits for the rest; nothing may follow that is a violation by itself.
        let claimed = usize::from(u16::from_be_bytes([bytes[8], bytes[9]]));
        bytes.resize(bytes.len().max(claimed), 0);
        inspector.feed(&bytes, start + Duration::from_secs(12));
        assert!(!inspector.violations.is_empty(), "{}", case["name"]);
        failed += 1;
    }
    assert!(failed > 10, "only {failed} cases");
}

#[test]
fn fails_a_flipped_bit_in_any_signed_byte() {
    let start = Instant::now();
    for recorded in
        session().iter().filter(|recorded| ["announcement", "bootstrap", "broadcast"].contains(&&*recorded.kind))
    {
        let signature_ends = recorded.bytes.len();
        let mut bytes = recorded.bytes.clone();
        bytes[signature_ends - 1] ^= 1;
        let mut inspector = inspect(recorded.sender, start);
        inspector.feed(&bytes, start + Duration::from_secs(12));
        assert_eq!(inspector.violations.len(), 1, "{}", recorded.kind);
    }
}

#[test]
fn fails_silence() {
    let start = Instant::now();
    let mut inspector = inspect(Side::K30, start);
    inspector.check_silence(start + Duration::from_secs(15));
    assert_eq!(inspector.violations, &[] as &[String]);
    inspector.check_silence(start + Duration::from_secs(16));
    assert_eq!(inspector.violations.len(), 1);
}
