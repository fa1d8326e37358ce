use proptest::prelude::*;

use super::*;
use crate::wire::frame::{self, Frame, FrameKind, Header};

fn hops(count: u16) -> Vec<Hop> {
    (1..=count).map(|port| Hop { port, epoch: u32::from(port) + 1_000 }).collect()
}

fn sealed(count: u16) -> PacketBuf {
    let mut frame = PacketBuf::from(&b"message"[..]);
    seal(&mut frame, &hops(count), 0x1122_3344_5566_7788).unwrap();
    frame
}

#[test]
fn the_front_has_its_fields_where_the_layout_says() {
    let mut frame = PacketBuf::from(&frame::keepalive()[..]);
    wrap(&mut frame, &hops(2)).unwrap();
    assert_eq!(Header::parse(&frame).map(|header| (header.kind.to_byte(), header.len)), Ok((0x19, 36)));
    assert_eq!(frame[10..26], [0, 2, 0, 0, 0, 1, 0, 0, 3, 0xe9, 0, 2, 0, 0, 3, 0xea]);
    assert_eq!(frame[26..], *frame::keepalive());
    assert_eq!(frame::parse(&frame), Ok(Frame::Route(RouteKind::Open)));
    let frame = sealed(1);
    assert_eq!(frame[20..], *b"\x11\x22\x33\x44\x55\x66\x77\x88message");
    assert_eq!(Header::parse(&frame).map(|header| header.kind), Ok(FrameKind::Route(RouteKind::Sealed)));
}

#[test]
fn hops_are_taken_in_order_and_become_the_way_back() {
    let mut frame = sealed(3);
    let came = |n: u16| Hop { port: 100 + n, epoch: 7 };
    for n in 1..=3 {
        let routed = Routed::parse(&frame, true).unwrap();
        assert_eq!(routed.next(&frame), Some(hops(3)[usize::from(n) - 1]));
        routed.take_hop(&mut frame, came(n));
    }
    let arrived = Routed::parse(&frame, true).unwrap();
    assert_eq!((arrived.next(&frame), arrived.label(&frame)), (None, 0x1122_3344_5566_7788));
    assert_eq!(arrived.taken(&frame).collect::<Vec<_>>(), [came(1), came(2), came(3)]);
    assert_eq!(frame[arrived.inside_at()..], *b"message");

    arrived.turn_back(&mut frame);
    for n in (1..=3).rev() {
        let routed = Routed::parse(&frame, true).unwrap();
        assert!(routed.is_returning);
        assert_eq!(routed.next(&frame), Some(came(n)));
        routed.take_hop(&mut frame, Hop::default());
    }
    let returned = Routed::parse(&frame, true).unwrap();
    assert_eq!((returned.next(&frame), returned.cursor), (None, 0));
    assert_eq!(frame[returned.inside_at()..], *b"message");
}

#[test]
fn an_answer_goes_back_by_the_hops_that_a_request_came_by() {
    let mut frame = PacketBuf::from(&b"answer"[..]);
    send_back(&mut frame, &hops(2), 5).unwrap();
    let routed = Routed::parse(&frame, true).unwrap();
    assert_eq!((routed.is_returning, routed.next(&frame), routed.label(&frame)), (true, Some(hops(2)[1]), 5));
}

#[test]
fn what_does_not_fit_is_refused_and_left_as_it_is() {
    let mut frame = PacketBuf::from(&b"message"[..]);
    assert!(seal(&mut frame, &hops(65), 1).is_err() && wrap(&mut frame, &hops(65)).is_err());
    assert_eq!(*frame, *b"message");
    let mut long = PacketBuf::for_reading(MAX_FRAME_LEN - 13);
    assert!(wrap(&mut long, &[]).is_err());
    long.advance(1);
    assert!(wrap(&mut long, &[]).is_ok() && long.len() == MAX_FRAME_LEN);
    assert!(sealed(64).len() == 14 + 64 * 6 + 8 + 7);
}

#[test]
fn every_front_that_cannot_be_is_refused() {
    let frame = sealed(3);
    for len in 0..14 + 18 + 8 {
        assert!(Routed::parse(&frame[..len], true).is_err(), "cut to {len}");
    }
    for (at, wrong) in [(10, 2), (11, 65), (12, 4), (13, 1)] {
        let mut changed = frame.to_vec();
        changed[at] = wrong;
        assert!(Routed::parse(&changed, true).is_err(), "byte {at}");
    }
    let mut back = frame.to_vec();
    back[10] = 1;
    assert!(Routed::parse(&back, true).is_ok());
    assert!(Routed::parse(&back, false).is_err(), "an open frame never comes back: it goes on without its route");
}

proptest! {
    #[test]
    fn a_frame_takes_every_hop_once_whatever_is_in_it(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0u8..20, is_sealed in any::<bool>()) {
        let mut bytes = bytes;
        for (at, value) in [(10, 0), (11, count), (12, 0), (13, 0)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let Ok(first) = Routed::parse(&bytes, is_sealed) else { return Ok(()) };
        let inside = bytes[first.inside_at()..].to_vec();
        let mut taken = 0;
        while let Some(hop) = Routed::parse(&bytes, is_sealed).ok().and_then(|routed| routed.next(&bytes)) {
            Routed::parse(&bytes, is_sealed).unwrap().take_hop(&mut bytes, hop);
            taken += 1;
        }
        prop_assert_eq!(taken, count);
        prop_assert_eq!(&bytes[first.inside_at()..], &inside[..]);
    }
}
