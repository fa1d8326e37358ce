//! Several peerings with one node.

use super::*;
use crate::router::{Profile, Verdict};
use crate::wire::coords::Coords;

fn improved(own: &Arc<Keypair>) -> Router {
    router_with(own, RouterConfig { rules: Profile::improved().rules, ..RouterConfig::default() })
}

/// A peering with `peer`, which announces itself as root.
fn ours(router: &mut Router, peer: &Keypair, now: Instant) -> Port {
    let port = router.add_peer(peer.public(), PeerKind::Remote, Extensions::ROUTE_NOTICES, now).unwrap();
    announce(router, port, &chain(&[peer], 1), now).unwrap();
    port
}

fn way_to(router: &mut Router, to: &Keypair, now: Instant) -> Option<Port> {
    let mut payload = crate::buf::PacketBuf::from(&[0; 100][..]);
    match router.originate(&to.public(), None::<&Coords>, &mut payload, now) {
        Verdict::Forward(port) => Some(port),
        _ => None,
    }
}

#[test]
fn the_lowest_priority_carries_and_a_backup_takes_over_at_once() {
    let [own, peer] = nodes();
    let mut router = improved(&own);
    let ports: Vec<_> = (0..3).map(|_| ours(&mut router, &peer, at(0))).collect();
    assert_eq!(way_to(&mut router, &peer, at(1)), Some(ports[0]), "equal priorities: the lowest port");
    for (port, priority) in ports.iter().zip([7, 254, 2]) {
        router.set_priority(*port, priority);
    }
    assert_eq!(way_to(&mut router, &peer, at(1)), Some(ports[2]));
    assert_eq!(ports.iter().map(|port| router.carries(*port)).collect::<Vec<_>>(), [false, false, true]);
    router.remove_peer(ports[2], at(2));
    assert_eq!(way_to(&mut router, &peer, at(2)), Some(ports[0]));
    router.remove_peer(ports[0], at(2));
    assert_eq!(way_to(&mut router, &peer, at(2)), Some(ports[1]));
    router.remove_peer(ports[1], at(2));
    assert_eq!(way_to(&mut router, &peer, at(2)), None);
    assert!(router.carriers.is_empty());
}

#[test]
fn of_equal_peerings_the_clearly_quicker_one_carries_and_small_differences_change_nothing() {
    let [own, peer] = nodes();
    let mut router = improved(&own);
    let ports: Vec<_> = (0..2).map(|_| ours(&mut router, &peer, at(0))).collect();
    let mut measure = |port: usize, ms: u64| {
        router.set_round_trip(ports[port], Duration::from_millis(ms));
        ports.iter().position(|port| Some(*port) == way_to(&mut router, &peer, at(1))).unwrap()
    };
    assert_eq!(measure(1, 5), 0, "nothing to compare with");
    assert_eq!(measure(0, 40), 1);
    let flapping: Vec<_> = [38, 42, 36, 44].iter().flat_map(|ms| [measure(0, *ms), measure(1, 40)]).collect();
    assert!(flapping.iter().all(|carrier| *carrier == 1), "{flapping:?}");
    assert_eq!(measure(0, 29), 0);
    assert_eq!((measure(0, 1), measure(1, 0)), (0, 0), "a millisecond is nothing");
    router.set_priority(ports[1], 0);
    router.set_priority(ports[0], 1);
    assert_eq!(way_to(&mut router, &peer, at(1)), Some(ports[1]), "priorities go first");
}

#[test]
fn a_peering_that_has_not_announced_itself_carries_nothing_yet() {
    let [own, peer] = nodes();
    let mut router = improved(&own);
    let first = ours(&mut router, &peer, at(0));
    router.set_priority(first, 9);
    let second = router.add_peer(peer.public(), PeerKind::Remote, Extensions::NONE, at(0)).unwrap();
    assert_eq!(way_to(&mut router, &peer, at(1)), Some(first));
    announce(&mut router, second, &chain(&[&peer], 1), at(1)).unwrap();
    assert_eq!(way_to(&mut router, &peer, at(1)), Some(second));
}

#[test]
fn priorities_do_not_matter_between_different_nodes_nor_to_the_strict_profile() {
    let [own, other, peer] = nodes();
    let mut router = improved(&own);
    let (to_peer, to_other) = (ours(&mut router, &peer, at(0)), ours(&mut router, &other, at(0)));
    router.set_priority(to_peer, 200);
    assert_eq!(
        (way_to(&mut router, &peer, at(1)), way_to(&mut router, &other, at(1))),
        (Some(to_peer), Some(to_other))
    );
    let mut strict = super::router(&own);
    let first = ours(&mut strict, &peer, at(0));
    let second = ours(&mut strict, &peer, at(0));
    strict.set_priority(first, 200);
    strict.set_priority(second, 1);
    assert_eq!(way_to(&mut strict, &peer, at(1)), Some(first), "the reference's choice");
}

#[test]
fn a_backup_inherits_the_routes_of_the_peering_that_ended() {
    let [far, own, peer] = nodes();
    let mut router = improved(&own);
    let (first, second) = (ours(&mut router, &peer, at(0)), ours(&mut router, &peer, at(0)));
    router.set_priority(second, 5);
    bootstrap(&mut router, first, &far, 1_000_001, at(1));
    assert_eq!((router.route_count(), way_to(&mut router, &far, at(1))), (1, Some(first)));
    router.remove_peer(first, at(2));
    assert_eq!((router.route_count(), way_to(&mut router, &far, at(2))), (1, Some(second)));
}
