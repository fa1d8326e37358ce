use proptest::prelude::*;

use super::*;
use crate::buf::PacketBuf;
use crate::time::{Duration, Instant};

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn frame(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn cut(fragmenter: &mut Fragmenter, frame: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let cut = fragmenter.cut(frame, max, &mut out).unwrap();
    let datagrams: Vec<Vec<u8>> = out.chunks(cut.datagram_len).map(<[u8]>::to_vec).collect();
    assert_eq!(datagrams.len(), cut.count);
    datagrams
}

fn feed(reassembler: &mut Reassembler, datagrams: &[Vec<u8>], ms: u64) -> Vec<Vec<u8>> {
    let whole = datagrams.iter().filter_map(|datagram| reassembler.handle_datagram(datagram, at(ms)).unwrap());
    whole.map(|frame: PacketBuf| frame.to_vec()).collect()
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut fragmenter = Fragmenter { next_number: 0x0102_0304 };
    assert_eq!(cut(&mut fragmenter, &[7, 8, 9], 1200), [[0, 7, 8, 9]]);
    let frame = frame(700, 0);
    let datagrams = cut(&mut fragmenter, &frame, 300);
    assert_eq!(datagrams.len(), 3);
    assert_eq!(datagrams[0][..8], [3, 0, 0x02, 0xbc, 1, 2, 3, 4]);
    assert_eq!(datagrams[1][..8], [3, 1, 0x02, 0xbc, 1, 2, 3, 4]);
    assert_eq!(datagrams.iter().map(Vec::len).collect::<Vec<_>>(), [242, 242, 240]);
    assert_eq!(cut(&mut fragmenter, &frame, 300)[0][4..8], [1, 2, 3, 5]);
}

#[test]
fn frames_that_cannot_be_cut_are_not() {
    let (mut fragmenter, mut out) = (Fragmenter::default(), Vec::new());
    assert_eq!(fragmenter.cut(&[], 1200, &mut out), None);
    assert_eq!(fragmenter.cut(&[0; MAX_FRAME_LEN + 1], 1200, &mut out), None);
    assert_eq!(fragmenter.cut(&[0; 100], MIN_DATAGRAM - 1, &mut out), None);
    assert!(out.is_empty());
    assert_eq!(cut(&mut fragmenter, &[0; MAX_FRAME_LEN], MIN_DATAGRAM).len(), 255);
}

#[test]
fn a_lost_fragment_loses_its_frame_and_no_other() {
    let (mut fragmenter, mut reassembler) = (Fragmenter::default(), Reassembler::default());
    let frames: Vec<_> = (0..5).map(|n| frame(3_000 + n, n as u8)).collect();
    let mut arrived = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let mut datagrams = cut(&mut fragmenter, frame, 1_200);
        if n == 2 {
            datagrams.remove(1);
        }
        arrived.extend(feed(&mut reassembler, &datagrams, 0));
    }
    assert_eq!(arrived, [&frames[..2], &frames[3..]].concat());
    assert_eq!((reassembler.frames(), reassembler.take_given_up()), (1, 0));
    reassembler.expire(at(0) + MAX_AGE);
    assert_eq!((reassembler.frames(), reassembler.bytes(), reassembler.take_given_up()), (0, 0, 1));
}

#[test]
fn a_frame_is_complete_in_whatever_order_its_fragments_come_and_however_often() {
    let (mut fragmenter, mut reassembler) = (Fragmenter::default(), Reassembler::default());
    let (first, second) = (frame(5_000, 1), frame(4_000, 2));
    let (a, b) = (cut(&mut fragmenter, &first, 1_200), cut(&mut fragmenter, &second, 1_200));
    let mixed: Vec<_> = b.iter().rev().zip(&a).flat_map(|(b, a)| [b.clone(), a.clone(), b.clone()]).collect();
    // The last of the first frame did not fit into the zip: the second is complete, and repeated once more afterwards.
    let arrived = feed(&mut reassembler, &mixed, 0);
    assert_eq!(arrived, [second]);
    assert_eq!(feed(&mut reassembler, &a[4..], 1), [first]);
}

#[test]
fn fragments_that_contradict_themselves_or_each_other_are_refused_and_change_nothing() {
    let mut reassembler = Reassembler::default();
    let mut handle = |bytes: &[u8]| reassembler.handle_datagram(bytes, at(0)).map(|frame| frame.is_some());
    assert_eq!(handle(&[]), Err(Refused::Truncated));
    assert_eq!(handle(&[0]), Err(Refused::Truncated));
    assert_eq!(handle(&[2, 0, 0, 4, 0, 0, 0]), Err(Refused::Truncated));
    // One fragment only; an index beyond the count; a last fragment without bytes; a frame without bytes.
    for header in [[1, 0, 0, 4], [2, 2, 0, 4], [4, 0, 0, 5], [6, 0, 0, 10], [2, 0, 0, 0], [2, 0, 0, 1]] {
        let [count, index, high, low] = header;
        assert_eq!(handle(&[count, index, high, low, 0, 0, 0, 9, 1, 1]), Err(Refused::BadHeader), "{header:?}");
    }
    assert_eq!(handle(&[2, 0, 0, 4, 0, 0, 0, 9, 1]), Err(Refused::WrongLength));
    assert_eq!(handle(&[2, 0, 0, 4, 0, 0, 0, 9, 1, 1, 1]), Err(Refused::WrongLength));
    assert_eq!(handle(&[2, 0, 0, 4, 0, 0, 0, 9, 1, 2]), Ok(false));
    assert_eq!(handle(&[2, 1, 0, 3, 0, 0, 0, 9, 1]), Err(Refused::Contradiction));
    assert_eq!(handle(&[4, 1, 0, 4, 0, 0, 0, 9, 1]), Err(Refused::Contradiction));
    assert_eq!(handle(&[2, 1, 0, 4, 0, 0, 0, 9, 3, 4]), Ok(true));
}

#[test]
fn one_byte_reserves_a_frame_and_that_is_what_the_limit_counts() {
    let mut reassembler = Reassembler::default();
    for number in 0..1_000u32 {
        // The last of 255 fragments of a frame of 64,771 bytes has one byte.
        let header = Header { count: 255, index: 254, len: 64_771, number };
        assert_eq!(header.range(), Some(64_770..64_771));
        let datagram = [&header.to_bytes()[..], &[1]].concat();
        assert!(reassembler.handle_datagram(&datagram, at(0)).unwrap().is_none());
        assert!(reassembler.bytes() <= MAX_BYTES);
    }
    assert!(reassembler.frames() >= 4);
    assert_eq!(reassembler.take_given_up() + reassembler.frames() as u64, 1_000);
}

#[test]
fn a_number_that_comes_round_again_does_not_complete_an_old_frame() {
    let mut reassembler = Reassembler::default();
    let (old, new) = (frame(3_000, 1), frame(3_000, 2));
    let mut first = Fragmenter { next_number: u32::MAX };
    let datagrams = cut(&mut first, &old, 1_200);
    assert!(feed(&mut reassembler, &datagrams[..2], 0).is_empty());
    assert_eq!(first.next_number, 0);
    let again = cut(&mut Fragmenter { next_number: u32::MAX }, &new, 1_200);
    assert!(feed(&mut reassembler, &again[2..], 5_000).is_empty(), "the old one is too old");
    assert_eq!(feed(&mut reassembler, &again[..2], 5_000), [new]);
}

proptest! {
    #[test]
    fn every_cut_fits_and_comes_together_again(len in 1usize..=MAX_FRAME_LEN, max in MIN_DATAGRAM..9_000, seed: u8) {
        let frame = frame(len, seed);
        let datagrams = cut(&mut Fragmenter::default(), &frame, max);
        prop_assert!(datagrams.iter().all(|datagram| datagram.len() <= max));
        let fewest = if len < max { 1 } else { len.div_ceil(max - FRAGMENT_HEADER_LEN) };
        prop_assert!(datagrams.len() <= fewest.max(2) && datagrams.len() <= 255);
        prop_assert_eq!(feed(&mut Reassembler::default(), &datagrams, 0), [frame]);
    }

    #[test]
    fn frames_arrive_exactly_if_none_of_their_fragments_is_lost(
        lens in prop::collection::vec(1usize..6_000, 1..8),
        fate in prop::collection::vec((0u8..10, 0usize..40), 200),
    ) {
        let (mut fragmenter, mut reassembler) = (Fragmenter::default(), Reassembler::default());
        let mut fates = fate.into_iter().cycle();
        let (mut under_way, mut expected) = (Vec::new(), Vec::new());
        for (n, len) in lens.iter().enumerate() {
            let frame = frame(*len, n as u8);
            let mut whole = true;
            for datagram in cut(&mut fragmenter, &frame, 1_200) {
                let (fate, delay) = fates.next().unwrap();
                match fate {
                    0 => whole = false,
                    // Some come twice; not all of a frame, which would be two frames.
                    1 if datagram[0] != 0 && datagram[1] == 0 => under_way.extend([(under_way.len() + delay, datagram.clone()), (under_way.len(), datagram)]),
                    _ => under_way.push((under_way.len() + delay, datagram)),
                }
            }
            if whole {
                expected.push(frame);
            }
        }
        under_way.sort_by_key(|(when, _)| *when);
        let datagrams: Vec<_> = under_way.into_iter().map(|(_, datagram)| datagram).collect();
        let mut arrived = feed(&mut reassembler, &datagrams, 0);
        // A copy that comes after its frame is complete opens it anew and is given up later.
        arrived.sort();
        expected.sort();
        prop_assert_eq!(arrived, expected);
    }

    #[test]
    fn whatever_comes_stays_within_the_bounds(datagrams in prop::collection::vec((0u8..6, 0u8..6, 0u16..5_000, 0u32..80, 0u64..300), 1..300)) {
        let mut reassembler = Reassembler::default();
        let mut ms = 0;
        for (count, index, len, number, later) in datagrams {
            ms += later;
            let header = Header { count, index, len, number };
            let share = vec![index; header.range().map_or(3, |range| range.len())];
            let datagram = [&header.to_bytes()[..], &share].concat();
            if let Ok(Some(frame)) = reassembler.handle_datagram(&datagram, at(ms))
                && count > 0
            {
                prop_assert_eq!(frame.len(), usize::from(len));
                // Every byte comes from the fragment that it belongs to.
                let size = usize::from(len).div_ceil(usize::from(count));
                prop_assert!(frame.iter().enumerate().all(|(n, byte)| usize::from(*byte) == n / size));
            }
            prop_assert!(reassembler.bytes() <= MAX_BYTES && reassembler.frames() <= MAX_FRAMES);
        }
        reassembler.expire(at(ms) + MAX_AGE);
        prop_assert_eq!((reassembler.bytes(), reassembler.frames()), (0, 0));
    }
}
