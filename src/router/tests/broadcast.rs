use super::*;
use crate::drops::DropReason;
use crate::wire::broadcast::WakeupBroadcast;
use crate::wire::frame::BroadcastFrame;

/// The broadcasts among `sent`, as (port, source, hop limit).
fn broadcasts(sent: &[(Port, Vec<u8>)]) -> Vec<(Port, PublicKey, u8)> {
    let found = sent.iter().filter_map(|(port, bytes)| match frame::parse(bytes) {
        Ok(Frame::Broadcast(frame)) => Some((*port, frame.source, frame.hop_limit)),
        _ => None,
    });
    found.collect()
}

fn receive(router: &mut Router, from: Port, source: PublicKey, payload: &[u8]) -> Result<(), PeerMisbehaved> {
    let frame = BroadcastFrame { version: 0, extra: 0, hop_limit: 255, source, payload };
    router.handle_protocol_frame(from, &Frame::Broadcast(frame), START)
}

#[test]
fn a_node_says_that_it_is_awake_every_minute_once_to_each_peer() {
    let [own, a, b] = nodes();
    let mut router = router(&own);
    peer(&mut router, &[&b, &a], 1, START);
    peer(&mut router, &[&b, &a], 1, START);
    peer(&mut router, &[&b], 1, START);
    let first = broadcasts(&sent(&mut router));
    assert_eq!(first, [(1, own.public(), 5), (3, own.public(), 5)], "the second peering to a node is not greeted");
    for minute in 1..3 {
        run(&mut router, at(minute * 60 - 1));
        assert_eq!(broadcasts(&sent(&mut router)), []);
        run(&mut router, at(minute * 60));
        assert_eq!(broadcasts(&sent(&mut router)), [(1, own.public(), 5), (3, own.public(), 5)]);
    }
}

#[test]
fn of_parallel_peerings_the_one_that_announced_earlier_gets_the_broadcast() {
    let [own, a] = nodes();
    let mut router = router(&own);
    let (first, second) = (connect(&mut router, &a, START), connect(&mut router, &a, START));
    for port in [second, first] {
        announce(&mut router, port, &chain(&[&a], 1), START).unwrap();
    }
    sent(&mut router);
    run(&mut router, at(60));
    assert_eq!(broadcasts(&sent(&mut router)), [(second, own.public(), 5)]);
}

#[test]
fn a_broadcast_is_reported_once_and_goes_no_further_than_a_fresh_one() {
    let [own, a, b, far] = nodes();
    let mut router = router(&own);
    let from = peer(&mut router, &[&b], 1, START);
    let other = connect(&mut router, &a, START);
    sent(&mut router);
    events(&mut router);
    let payload = WakeupBroadcast::sign(5, router.root(), &far).encode();
    for _ in 0..2 {
        receive(&mut router, from, far.public(), &payload).unwrap();
    }
    assert_eq!(events(&mut router), [RouterEvent::WakeupBroadcast(far.public())]);
    assert_eq!(broadcasts(&sent(&mut router)), [(other, far.public(), 4)]);
    assert_eq!(router.drops().get(DropReason::Stale), 1);
}

#[test]
fn a_short_or_forged_broadcast_closes_the_peering_and_an_oddly_encoded_one_does_not() {
    let [own, a, far] = nodes();
    let mut router = router(&own);
    let from = peer(&mut router, &[&a], 1, START);
    let good = WakeupBroadcast::sign(5, router.root(), &far).encode();
    assert!(matches!(receive(&mut router, from, far.public(), &good[..97]), Err(PeerMisbehaved::Malformed(_))));
    let mut forged = good.clone();
    forged[50] ^= 1;
    let padded = [&[0x80][..], &good].concat();
    // The reference takes padded integers and passes them on, so an honest peer may bring us such a frame.
    assert_eq!(receive(&mut router, from, far.public(), &padded), Ok(()));
    assert_eq!(router.drops().get(DropReason::MalformedFrame), 1);
    let last = forged.len() - 1;
    forged = good;
    forged[last] ^= 1;
    assert_eq!(receive(&mut router, from, far.public(), &forged), Err(PeerMisbehaved::BadSignature));
    assert_eq!(events(&mut router).iter().filter(|it| matches!(it, RouterEvent::WakeupBroadcast(_))).count(), 0);
}

#[test]
fn a_node_is_forgotten_after_three_minutes_of_silence() {
    let [own, a, far] = nodes();
    let mut router = router(&own);
    let from = peer(&mut router, &[&a], 1, START);
    let payload = WakeupBroadcast::sign(5, router.root(), &far).encode();
    receive(&mut router, from, far.public(), &payload).unwrap();
    run(&mut router, at(179));
    assert!(router.broadcasts.knows(&far.public()));
    run(&mut router, at(180));
    assert!(!router.broadcasts.knows(&far.public()));
}
