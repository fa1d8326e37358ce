use super::*;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::router::Verdict;
use crate::wire::coords::Coords;
use crate::wire::frame::{TrafficFrame, TrafficHeader};

/// A traffic frame with the payload `hello`.
fn traffic(from: &Keypair, to: &PublicKey, destination: &Coords, watermark: Watermark) -> PacketBuf {
    let mut frame = PacketBuf::from(&b"hello"[..]);
    let source = &Coords::new(vec![9, 9]);
    let (destination_key, source_key) = (to, &from.public());
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: 10,
        destination,
        source,
        destination_key,
        source_key,
        watermark,
    };
    frame::emit_traffic(&mut frame, &header).unwrap();
    frame
}

fn parsed(frame: &PacketBuf) -> TrafficFrame<'_> {
    match frame::parse(frame) {
        Ok(Frame::Traffic(traffic)) => traffic,
        other => panic!("{other:?}"),
    }
}

/// A router below the root with a child at port 2 whose coordinates are `[1, 1]`.
fn with_child() -> (Router, [Arc<Keypair>; 4]) {
    let [low, child, own, root] = nodes();
    let mut router = router(&own);
    assert_eq!(peer(&mut router, &[&root], 1, START), 1);
    assert_eq!(peer(&mut router, &[&root, &own, &child], 1, START), 2);
    assert_eq!((router.coords().as_slice(), router.peer_coords(2).unwrap().as_slice()), (&[1][..], &[1, 1][..]));
    (router, [low, child, own, root])
}

#[test]
fn a_frame_by_coordinates_goes_on_unchanged() {
    let (mut router, [low, child, ..]) = with_child();
    let mut frame = traffic(&low, &child.public(), &Coords::new(vec![1, 1, 5]), Watermark::NONE);
    let before = (frame.to_vec(), frame.as_ptr());
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Forward(2)));
    assert_eq!((frame.to_vec(), frame.as_ptr()), before);
}

#[test]
fn a_frame_that_changes_over_to_the_snake_leaves_its_payload_in_place() {
    let (mut router, [low, child, ..]) = with_child();
    // Nobody is nearer to [7] than we are but the root, where the frame came from.
    let mut frame = traffic(&low, &child.public(), &Coords::new(vec![7]), Watermark::NONE);
    let payload = frame[frame.len() - 5..].as_ptr();
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Forward(2)));
    let after = parsed(&frame);
    assert_eq!((after.payload, after.payload.as_ptr()), (&b"hello"[..], payload));
    assert!(after.destination.is_empty());
    assert_eq!(after.watermark, Watermark { key: child.public(), sequence: 0 });
}

#[test]
fn what_is_for_us_arrives_whatever_coordinates_it_names() {
    let (mut router, [low, _, own, _]) = with_child();
    let mut frame = traffic(&low, &own.public(), &Coords::new(vec![200]), Watermark::NONE);
    let Ok(Verdict::Deliver(delivery)) = router.forward(2, &mut frame, START) else { panic!("not delivered") };
    assert_eq!((delivery.source_key, delivery.destination_key), (low.public(), own.public()));
    assert_eq!(&frame[delivery.payload_at..], b"hello");
}

#[test]
fn a_strangers_frame_to_our_coordinates_goes_on_by_key() {
    let (mut router, [low, child, ..]) = with_child();
    let mut frame = traffic(&low, &child.public(), &Coords::new(vec![1]), Watermark::NONE);
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Forward(2)), "pitfall 15");
}

#[test]
fn a_key_that_nobody_owns_ends_at_the_next_higher_one() {
    let (mut router, [low, _, own, _]) = with_child();
    let mut just_below = own.public();
    just_below.0[31] -= 1;
    let mut frame = traffic(&low, &just_below, &Coords::default(), Watermark::NONE);
    let Ok(Verdict::Deliver(delivery)) = router.forward(1, &mut frame, START) else { panic!("not delivered") };
    assert_eq!(delivery.destination_key, just_below);
    let mut payload = PacketBuf::from(&b"hello"[..]);
    let verdict = router.originate(&just_below, None, &mut payload, START);
    assert_eq!(verdict, Verdict::Drop(DropReason::BackToSender), "our own frame has nowhere to go");
}

#[test]
fn a_frame_that_would_loop_is_dropped_with_its_reason() {
    let (mut router, [low, child, _, root]) = with_child();
    let mut go = |from, to: &Keypair, watermark| {
        let mut frame = traffic(&low, &to.public(), &Coords::default(), watermark);
        router.forward(from, &mut frame, START)
    };
    assert_eq!(go(2, &child, Watermark::NONE), Ok(Verdict::Drop(DropReason::BackToSender)));
    let better = Watermark { key: PublicKey::ZERO, sequence: 0 };
    assert_eq!(go(1, &child, better), Ok(Verdict::Drop(DropReason::WorseWatermark)));
    assert_eq!(go(2, &root, Watermark::NONE), Ok(Verdict::Forward(1)));
}

#[test]
fn a_frame_that_is_not_well_formed_convicts_its_sender() {
    let (mut router, [low, child, ..]) = with_child();
    let mut frame = traffic(&low, &child.public(), &Coords::default(), Watermark::NONE);
    frame.truncate(60);
    assert!(matches!(router.forward(1, &mut frame, START), Err(PeerMisbehaved::Malformed(_))));
}

#[test]
fn our_own_frames_go_by_coordinates_if_they_are_known_and_otherwise_by_key() {
    let (mut router, [_, child, own, _]) = with_child();
    let coords = Coords::new(vec![1, 1]);
    let mut by_tree = PacketBuf::from(&b"hello"[..]);
    assert_eq!(router.originate(&child.public(), Some(&coords), &mut by_tree, START), Verdict::Forward(2));
    let frame = parsed(&by_tree);
    assert_eq!((frame.hop_limit, frame.source_key, frame.destination_key), (10, own.public(), child.public()));
    assert_eq!((frame.destination.to_owned(), frame.source.to_owned()), (coords, router.coords().clone()));
    for unknown in [None, Some(Coords::default()), Some(router.coords().clone())] {
        let mut by_key = PacketBuf::from(&b"hello"[..]);
        assert_eq!(router.originate(&child.public(), unknown.as_ref(), &mut by_key, START), Verdict::Forward(2));
        let frame = parsed(&by_key);
        assert!(frame.destination.is_empty());
        assert_eq!((frame.payload, frame.watermark.key), (&b"hello"[..], child.public()));
    }
}

#[test]
fn our_own_frames_to_ourselves_come_back_without_a_header() {
    let (mut router, [_, _, own, _]) = with_child();
    let mut payload = PacketBuf::from(&b"hello"[..]);
    let Verdict::Deliver(delivery) = router.originate(&own.public(), None, &mut payload, START) else {
        panic!("not delivered")
    };
    assert_eq!(&payload[delivery.payload_at..], b"hello");
    assert_eq!((delivery.source_key, delivery.destination_key), (own.public(), own.public()));
}

#[test]
fn frames_never_outgrow_their_length_field() {
    let (mut router, [low, child, ..]) = with_child();
    let mut payload = PacketBuf::from(&[0; 65_500][..]);
    let verdict = router.originate(&child.public(), None, &mut payload, START);
    assert_eq!(verdict, Verdict::Drop(DropReason::FrameOverflow));
    // By coordinates it fits; by key, which needs room for a watermark, it does not.
    let mut frame = PacketBuf::from(&[0; 65_535 - 84][..]);
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: 10,
        destination: &Coords::new(vec![7]),
        source: &Coords::default(),
        destination_key: &child.public(),
        source_key: &low.public(),
        watermark: Watermark::NONE,
    };
    frame::emit_traffic(&mut frame, &header).unwrap();
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Drop(DropReason::FrameOverflow)));
}

#[test]
fn with_hop_limiting_a_frame_goes_as_far_as_it_says() {
    let [child, own, root] = nodes();
    let mut router = router_with(&own, RouterConfig { hop_limiting: true, ..RouterConfig::default() });
    peer(&mut router, &[&root], 1, START);
    peer(&mut router, &[&root, &own, &child], 1, START);
    let mut frame = traffic(&root, &child.public(), &Coords::new(vec![1, 1]), Watermark::NONE);
    frame::set_hop_limit(&mut frame, 2);
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Forward(2)));
    assert_eq!(parsed(&frame).hop_limit, 1);
    assert_eq!(router.forward(1, &mut frame, START), Ok(Verdict::Drop(DropReason::FrameHopLimit)));
}
