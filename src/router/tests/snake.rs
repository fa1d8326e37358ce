use super::*;
use crate::drops::DropReason;

/// The drops of one kind so far.
fn drops(router: &Router, reason: DropReason) -> u64 {
    router.drops().get(reason)
}

/// The bootstraps among `sent`, as (port, key, sequence).
fn bootstraps(sent: &[(Port, Vec<u8>)]) -> Vec<(Port, PublicKey, u64)> {
    let found = sent.iter().filter_map(|(port, bytes)| match frame::parse(bytes) {
        Ok(Frame::Bootstrap(frame)) => {
            Some((*port, frame.destination, Bootstrap::parse(frame.payload).unwrap().sequence))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn a_node_bootstraps_with_the_first_tick_and_every_five_seconds() {
    let [own, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root], 1, START);
    let mut seen = Vec::new();
    for second in 0..12 {
        run(&mut router, at(second));
        for (to, key, sequence) in bootstraps(&sent(&mut router)) {
            assert_eq!((to, key, sequence), (port, own.public(), 1_000_000 + second * 1000));
            seen.push(second);
        }
    }
    assert_eq!(seen, [1, 6, 11]);
}

#[test]
fn a_root_does_not_bootstrap() {
    let [low, own] = nodes();
    let mut router = router(&own);
    peer(&mut router, &[&low], 1, START);
    run(&mut router, at(20));
    assert_eq!(bootstraps(&sent(&mut router)), []);
}

#[test]
fn our_sequences_rise_even_if_the_clock_stands_still() {
    let [own, _] = nodes();
    let mut router = router(&own);
    let sequences: Vec<_> = (0..3).map(|_| router.next_sequence(START)).collect();
    assert_eq!(sequences, [1_000_000, 1_000_001, 1_000_002]);
    assert_eq!(router.next_sequence(at(1)), 1_001_000);
}

#[test]
fn what_is_known_or_useless_is_dropped_before_its_signature_is_checked() {
    let [low, own, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root], 1, START);
    bootstrap(&mut router, port, &low, 50, START);
    let wrong = |root, sequence| {
        let mut forged = Bootstrap::sign(sequence, root, &low);
        forged.signature[0] ^= 1;
        forged.encode()
    };
    let other_root = Root { sequence: 2, ..router.root() };
    for (key, payload, reason) in [
        (low.public(), wrong(router.root(), 50), DropReason::Stale),
        (low.public(), wrong(router.root(), 49), DropReason::Stale),
        (low.public(), wrong(other_root, 51), DropReason::OtherRoot),
        (own.public(), wrong(router.root(), 51), DropReason::OwnReturned),
        (low.public(), vec![0; 97], DropReason::MalformedFrame),
        (low.public(), wrong(router.root(), 51), DropReason::BadSignature),
    ] {
        let before = drops(&router, reason);
        bootstrap_frame(&mut router, port, key, &payload, START);
        assert_eq!(drops(&router, reason), before + 1, "{reason:?}");
    }
    assert_eq!(router.route_count(), 1);
}

#[test]
fn a_peer_that_floods_with_bootstraps_runs_out_of_checks_and_others_do_not() {
    let [low, other, own, root] = nodes();
    let mut router = router(&own);
    let flooding = peer(&mut router, &[&root], 1, START);
    let modest = peer(&mut router, &[&root, &other], 1, START);
    let forged = Bootstrap { signature: [0; 64], ..Bootstrap::sign(9, router.root(), &low) }.encode();
    while drops(&router, DropReason::CheckBudget) == 0 {
        bootstrap_frame(&mut router, flooding, low.public(), &forged, START);
    }
    bootstrap(&mut router, modest, &low, 10, START);
    assert_eq!(router.route_count(), 1);
}

#[test]
fn a_flood_of_routes_displaces_none_of_another_peering() {
    let [own, honest, root] = nodes();
    let config = RouterConfig { max_routes: 8, ..RouterConfig::default() };
    let mut router = router_with(&own, config);
    let flooding = peer(&mut router, &[&root], 1, START);
    let modest = peer(&mut router, &[&root, &honest], 1, START);
    bootstrap(&mut router, modest, &honest, 5, START);
    for n in 100..150 {
        bootstrap(&mut router, flooding, &Keypair::from_seed(&Seed([n; 32])), 5, START);
    }
    let status = router.snake_status(START);
    assert_eq!(status.routes.len(), 8);
    let honest_route = status.routes.iter().find(|route| route.key == honest.public()).unwrap();
    assert_eq!(honest_route.via_port, modest);
    assert_eq!(drops(&router, DropReason::TableFull), 43);
}

#[test]
fn routes_that_are_not_refreshed_are_unused_after_ten_seconds_and_gone_with_the_next_tick() {
    let [low, own, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root], 1, START);
    run(&mut router, at(2));
    bootstrap(&mut router, port, &low, 5, at(2));
    run(&mut router, at(11));
    assert_eq!((router.route_count(), router.snake_status(at(11)).routes[0].age_seconds), (1, 9.0));
    run(&mut router, at(12));
    assert_eq!(router.route_count(), 0);
    assert_eq!(router.snake_status(at(12)).descending, None);
}

#[test]
fn a_new_descending_neighbour_makes_us_bootstrap_with_the_next_tick() {
    let [lowest, low, own, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root], 1, START);
    run(&mut router, at(2));
    sent(&mut router);
    bootstrap(&mut router, port, &lowest, 5, at(2));
    run(&mut router, at(3));
    assert_eq!(bootstraps(&sent(&mut router)).len(), 1);
    bootstrap(&mut router, port, &low, 5, at(3));
    bootstrap(&mut router, port, &lowest, 6, at(3));
    assert_eq!(router.snake_status(at(3)).descending, Some(low.public()), "the higher one is nearer to us");
    run(&mut router, at(4));
    assert_eq!(bootstraps(&sent(&mut router)).len(), 1);
}

#[test]
fn a_bootstrap_goes_on_with_everything_that_it_carried() {
    let [own, above, root] = nodes();
    let mut router = router(&own);
    let up = peer(&mut router, &[&root], 1, START);
    let from = connect(&mut router, &above, START);
    sent(&mut router);
    let payload = [&Bootstrap::sign(7, router.root(), &above).encode()[..], b"extension"].concat();
    let frame = BootstrapFrame {
        version: 1,
        extra: 2,
        hop_limit: 3,
        destination: above.public(),
        watermark: Watermark::NONE,
        payload: &payload,
    };
    router.handle_protocol_frame(from, &Frame::Bootstrap(frame), START).unwrap();
    let sent = sent(&mut router);
    let watermark = Watermark { key: root.public(), sequence: 0 };
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, up);
    assert_eq!(frame::parse(&sent[0].1), Ok(Frame::Bootstrap(BootstrapFrame { watermark, ..frame })));
}

#[test]
fn a_peer_that_takes_nothing_holds_a_bounded_number_of_frames() {
    let [own, above, root] = nodes();
    let mut router = router(&own);
    let slow = peer(&mut router, &[&root], 1, START);
    let from = peer(&mut router, &[&root, &own, &above], 1, START);
    for sequence in 0..300 {
        bootstrap(&mut router, from, &above, sequence, START);
    }
    // A greeting and the announcement were there first; the announcement is no frame before it is fetched.
    assert_eq!((drops(&router, DropReason::QueueFull), router.outgoing.len(slow)), (301 - 256, 257));
    let kept = bootstraps(&sent(&mut router));
    assert_eq!(kept.iter().map(|(_, _, sequence)| *sequence).collect::<Vec<_>>(), (300 - 256..300).collect::<Vec<_>>());
}
