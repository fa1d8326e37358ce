use super::*;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::router::{RouterTimer, Verdict};

#[test]
fn the_first_frame_on_a_peering_is_our_announcement_for_its_port() {
    let [low, high] = nodes();
    let mut router = router(&low);
    let port = connect(&mut router, &high, START);
    let announced = announcements(&sent(&mut router));
    assert_eq!(announced.len(), 1);
    let (to, announcement) = &announced[0];
    assert_eq!((*to, announcement.root), (port, Root { key: low.public(), sequence: 1 }));
    assert_eq!((announcement.hops.len(), announcement.hops[0].port), (1, u64::from(port)));
    assert!(announcement.verify_from(0, crate::keys::Scheme::Ed25519));
}

#[test]
fn the_highest_port_is_announced_routed_over_and_the_last_one() {
    let [low, own, high] = nodes();
    let mut router = router(&own);
    for port in 1..MAX_PORT {
        assert_eq!(router.add_peer(PublicKey([1; 32]), PeerKind::Remote, Extensions::NONE, START), Ok(port));
    }
    let last = peer(&mut router, &[&high], 1, START);
    assert_eq!((last, router.parent()), (MAX_PORT, Some(MAX_PORT)));
    assert!(router.add_peer(low.public(), PeerKind::Remote, Extensions::NONE, START).is_err());
    let announced = announcements(&sent(&mut router));
    assert!(announced.iter().all(|(to, announcement)| announcement.hops[1].port == u64::from(*to)));
    assert_eq!(announced.len(), usize::from(MAX_PORT));
    bootstrap(&mut router, last, &low, 5, START);
    let mut payload = PacketBuf::from(&b"hello"[..]);
    assert_eq!(router.originate(&low.public(), None, &mut payload, START), Verdict::Forward(MAX_PORT));
    router.remove_peer(300, START);
    assert_eq!(router.add_peer(low.public(), PeerKind::Remote, Extensions::NONE, START), Ok(300));
}

#[test]
fn a_child_extends_its_parents_announcement_with_a_good_signature() {
    let [low, middle, high, root] = nodes();
    let mut router = router(&middle);
    peer(&mut router, &[&root, &high], 7, START);
    sent(&mut router);
    let below = connect(&mut router, &low, START);
    let announced = announcements(&sent(&mut router));
    let (to, announcement) = &announced[0];
    assert_eq!(*to, below);
    let signers: Vec<_> = announcement.signers().copied().collect();
    assert_eq!(signers, [root.public(), high.public(), middle.public()]);
    assert!(announcement.verify_from(0, crate::keys::Scheme::Ed25519));
    assert_eq!(announcement.peer_coords(), *router.coords());
}

#[test]
fn a_slow_peer_gets_only_the_latest_announcement() {
    let [own, a, b, c] = nodes();
    let mut router = router(&own);
    let slow = connect(&mut router, &a, START);
    peer(&mut router, &[&b], 1, START);
    peer(&mut router, &[&c], 1, START);
    let first = router.poll_transmit_to(slow).unwrap();
    let announced = announcements(&[(slow, first.to_vec())]);
    assert_eq!(announced[0].1.root.key, c.public());
    assert!(router.poll_transmit_to(slow).is_none());
}

#[test]
fn another_nodes_announcement_is_not_taken_from_a_peer() {
    let [own, a, b] = nodes();
    let mut router = router(&own);
    let port = connect(&mut router, &a, START);
    assert_eq!(announce(&mut router, port, &chain(&[&b], 1), START), Err(PeerMisbehaved::ForeignAnnouncement));
    assert_eq!(router.peer_root(port), None);
}

#[test]
fn an_older_sequence_of_the_same_root_is_a_replay_and_an_equal_one_is_not() {
    let [own, a, b] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&b, &a], 5, START);
    assert_eq!(announce(&mut router, port, &chain(&[&b, &a], 5), START), Ok(()));
    assert_eq!(announce(&mut router, port, &chain(&[&b, &a], 4), START), Err(PeerMisbehaved::ReplayedAnnouncement));
    assert_eq!(announce(&mut router, port, &chain(&[&a], 1), START), Ok(()), "a different root is another story");
}

#[test]
fn any_wrong_signature_closes_the_peering() {
    let [own, a, b, c] = nodes();
    for wrong in 0..3 {
        let mut router = router(&own);
        let port = connect(&mut router, &a, START);
        let mut announcement = chain(&[&c, &b, &a], 1);
        announcement.hops[wrong].signature[5] ^= 1;
        assert_eq!(announce(&mut router, port, &announcement, START), Err(PeerMisbehaved::BadSignature));
    }
}

#[test]
fn entries_that_another_peer_proved_cost_no_check() {
    let [own, a, b, c, d] = nodes();
    let mut router = router(&own);
    peer(&mut router, &[&d, &c, &a], 1, START);
    let other = connect(&mut router, &b, START);
    let announcement = chain(&[&d, &c, &b], 1);
    // Leave the peering no checks but one: its own entry is all that is unknown.
    let allowance = &mut router.peers.get_mut(other).unwrap().tree_checks;
    while allowance.take(1, &mut router.tree_pool, 1, START) {}
    let later = START + Duration::from_millis(1);
    announce(&mut router, other, &announcement, later).unwrap();
    assert_eq!(router.peer_root(other), Some(announcement.root));
}

/// A router whose peer has spent its checks, so that `announcement` has to wait.
fn with_waiting(own: &Arc<Keypair>, peer: &Keypair, announcement: &Announcement) -> (Router, Port) {
    let mut router = router(own);
    let port = connect(&mut router, peer, START);
    let allowance = &mut router.peers.get_mut(port).unwrap().tree_checks;
    while allowance.take(1, &mut router.tree_pool, 1, START) {}
    announce(&mut router, port, announcement, START).unwrap();
    assert_eq!(router.peer_root(port), None);
    (router, port)
}

#[test]
fn an_announcement_over_budget_is_checked_with_the_next_tick() {
    let [own, a] = nodes();
    let announcement = chain(&[&a], 1);
    let (mut router, port) = with_waiting(&own, &a, &announcement);
    run(&mut router, at(1));
    assert_eq!((router.peer_root(port), router.parent()), (Some(announcement.root), Some(port)));
}

#[test]
fn of_announcements_over_budget_only_the_latest_counts() {
    let [own, a] = nodes();
    let (mut router, port) = with_waiting(&own, &a, &chain(&[&a], 1));
    announce(&mut router, port, &chain(&[&a], 2), START).unwrap();
    run(&mut router, at(1));
    assert_eq!((router.root().sequence, router.tree.accepted), (2, 1));
}

#[test]
fn a_wrong_signature_that_had_to_wait_is_reported_with_its_port() {
    let [own, a] = nodes();
    let mut announcement = chain(&[&a], 1);
    announcement.hops[0].signature[0] ^= 1;
    let (mut router, port) = with_waiting(&own, &a, &announcement);
    run(&mut router, at(1));
    let reported = RouterEvent::PeerMisbehaved { port, why: PeerMisbehaved::BadSignature };
    assert_eq!(events(&mut router), [reported]);
    assert_eq!(router.parent(), None);
}

#[test]
fn nothing_is_reported_about_a_port_that_was_given_to_another_peer_meanwhile() {
    let [own, a, b] = nodes();
    let mut announcement = chain(&[&a], 1);
    announcement.hops[0].signature[0] ^= 1;
    let (mut router, port) = with_waiting(&own, &a, &announcement);
    run(&mut router, at(1));
    router.remove_peer(port, at(1));
    assert_eq!(connect(&mut router, &b, at(1)), port);
    assert!(events(&mut router).iter().all(|event| !matches!(event, RouterEvent::PeerMisbehaved { .. })));
}

#[test]
fn after_losing_the_last_peer_a_node_does_not_wait_for_the_next() {
    let [own, a, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root, &a], 1, START);
    announce(&mut router, port, &chain(&[&root, &a], 1), START).unwrap();
    assert!(router.tree_status().waiting, "a parent that says the same again has moved");
    router.remove_peer(port, START);
    let port = peer(&mut router, &[&root, &a], 1, START);
    assert_eq!(router.parent(), Some(port));
}

#[test]
fn a_parent_that_falls_silent_is_left_after_45_minutes() {
    let [own, a] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&a], 1, START);
    run(&mut router, at(45 * 60 - 1));
    assert_eq!(router.parent(), Some(port));
    run(&mut router, at(45 * 60));
    assert_eq!((router.parent(), router.root().key), (None, own.public()));
}

#[test]
fn a_silent_parent_is_replaced_by_a_peer_with_younger_news_of_the_same_root() {
    let [own, a, b, root] = nodes();
    let mut router = router(&own);
    let silent = peer(&mut router, &[&root, &a], 1, START);
    let other = peer(&mut router, &[&root, &b], 1, at(60));
    assert_eq!(router.parent(), Some(silent));
    run(&mut router, at(45 * 60));
    assert_eq!((router.parent(), router.root().key), (Some(other), root.public()));
}

#[test]
fn a_root_raises_its_sequence_every_30_minutes_and_tells_all() {
    let [a, b, own] = nodes();
    let mut router = router(&own);
    peer(&mut router, &[&a], 1, START);
    peer(&mut router, &[&b], 1, START);
    sent(&mut router);
    run(&mut router, at(30 * 60 - 1));
    assert_eq!(router.root().sequence, 1);
    assert!(announcements(&sent(&mut router)).is_empty());
    run(&mut router, at(30 * 60));
    assert_eq!(router.root().sequence, 2);
    let announced = announcements(&sent(&mut router));
    assert_eq!(announced.iter().map(|(port, it)| (*port, it.root.sequence)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
}

#[test]
fn only_a_root_waits_for_its_refresh() {
    let [own, a] = nodes();
    let mut router = router(&own);
    assert_eq!(router.poll_timeout(), Some((at(60), RouterTimer::Broadcast)));
    peer(&mut router, &[&a], 1, START);
    assert!(!router.timers.is_set(RouterTimer::RootRefresh));
    assert!(router.timers.is_set(RouterTimer::ParentExpiry));
}

#[test]
fn every_change_of_the_root_key_is_an_event_even_with_the_same_parent() {
    let [own, a, b, c] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&b, &a], 1, START);
    let root = router.root();
    assert_eq!(events(&mut router), [RouterEvent::RootChanged(root), RouterEvent::CoordinatesChanged]);
    announce(&mut router, port, &chain(&[&c, &a], 1), START).unwrap();
    assert_eq!(router.parent(), Some(port));
    assert_eq!(events(&mut router), [RouterEvent::RootChanged(router.root())], "pitfall 16");
    announce(&mut router, port, &chain(&[&c, &a], 2), START).unwrap();
    assert_eq!(events(&mut router), [], "a new sequence changes neither root nor coordinates");
}

#[test]
fn losing_the_parent_leads_to_the_next_best_peer_at_once() {
    let [own, a, b, root] = nodes();
    let mut router = router(&own);
    let first = peer(&mut router, &[&root, &a], 1, START);
    let second = peer(&mut router, &[&root, &b], 1, START);
    sent(&mut router);
    router.remove_peer(first, START);
    assert_eq!((router.parent(), router.root().key), (Some(second), root.public()));
    assert_eq!(announcements(&sent(&mut router)).len(), 1);
}

#[test]
fn losing_the_last_peer_forgets_everything() {
    let [low, own, a] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&a], 1, START);
    bootstrap(&mut router, port, &low, 5, START);
    assert_eq!((router.route_count(), router.snake_status(START).descending), (1, Some(low.public())));
    router.remove_peer(port, START);
    assert_eq!(router.root(), Root { key: own.public(), sequence: 2 });
    assert_eq!((router.route_count(), router.snake_status(START).descending), (0, None));
    assert!(router.signers.entries().is_empty());
    assert!(!router.timers.is_set(RouterTimer::Maintenance), "a node without peers has nothing to maintain");
}

#[test]
fn frames_of_a_peering_that_ended_are_dropped() {
    let [own, a] = nodes();
    let mut router = router(&own);
    let port = connect(&mut router, &a, START);
    router.remove_peer(port, START);
    announce(&mut router, port, &chain(&[&a], 1), START).unwrap();
    assert_eq!((router.parent(), router.drops().get(DropReason::PeeringClosed)), (None, 1));
}

#[test]
fn the_status_shows_the_way_up_to_the_root() {
    let [own, a, root] = nodes();
    let mut router = router(&own);
    let port = peer(&mut router, &[&root, &a], 9, START);
    let status = router.tree_status();
    assert_eq!((status.root, status.root_sequence), (root.public(), 9));
    assert_eq!((status.parent, status.parent_port), (Some(a.public()), Some(port)));
    assert_eq!((status.coordinates, status.ancestors), (vec![1, 1], vec![root.public(), a.public()]));
    assert_eq!(router.peer_coords(port).unwrap().as_slice(), [1]);
}
