//! Route notices: who is told what, what is believed, and where it ends.

use super::rules::{after, bootstraps_of, improved, route, router_by, settle, strict};
use super::*;
use crate::drops::DropReason;
use crate::router::Rules;
use crate::router::notices::BURST;
use crate::wire::DecodeError;
use crate::wire::notice::RouteTrouble::{self, Broken, Withdrawn};
use crate::wire::notice::{MAX_KEYS, RouteNotice};

/// Brings up a peering with a node that understands notices.
fn modern(router: &mut Router, peer: &Keypair) -> Port {
    router.add_peer(peer.public(), PeerKind::Remote, Extensions::ROUTE_NOTICES, START).unwrap()
}

/// The same, and the node announces `signers`, itself last.
fn modern_in_tree(router: &mut Router, signers: &[&Keypair]) -> Port {
    let port = modern(router, signers[signers.len() - 1]);
    announce(router, port, &chain(signers, 1), START).unwrap();
    port
}

/// The notices among what waits to be sent, one key each.
fn notices(router: &mut Router) -> Vec<(Port, RouteTrouble, PublicKey)> {
    let mut found = Vec::new();
    for (port, bytes) in sent(router) {
        if let Ok(Frame::RouteNotice(trouble, body)) = frame::parse(&bytes) {
            let keys = RouteNotice::parse(body).unwrap();
            found.extend(keys.keys().iter().map(|key| (port, trouble, *key)));
        }
    }
    found
}

fn notice(
    router: &mut Router,
    from: Port,
    trouble: RouteTrouble,
    key: &Keypair,
    now: Instant,
) -> Result<(), PeerMisbehaved> {
    router.handle_protocol_frame(from, &Frame::RouteNotice(trouble, &key.public().0), now)
}

#[test]
fn a_lost_peering_is_told_to_both_ends_of_the_routes_through_it() {
    let [own, low, high, x, y, a, root] = nodes();
    let quiet = Rules { notices: false, ..Rules::improved() };
    for (mut router, tells) in [(improved(&own), true), (router_by(&own, quiet), false), (strict(&own), false)] {
        let up = modern_in_tree(&mut router, &[&root, &a]);
        let (from, lost) = (modern(&mut router, &x), modern(&mut router, &y));
        bootstrap(&mut router, lost, &high, 5, START);
        bootstrap(&mut router, from, &low, 5, START);
        assert_eq!((route(&router, &low).unwrap().next, route(&router, &high).unwrap().next), (Some(lost), Some(up)));
        sent(&mut router);
        router.remove_peer(lost, START);
        let expected = [(up, Withdrawn, high.public()), (from, Broken, low.public())];
        assert_eq!(notices(&mut router), if tells { &expected[..] } else { &[] });
    }
}

#[test]
fn nodes_that_did_not_announce_to_understand_notices_get_none() {
    let [own, low, high, x, y, a, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root, &a], 1, START);
    let (from, lost) = (connect(&mut router, &x, START), modern(&mut router, &y));
    bootstrap(&mut router, lost, &high, 5, START);
    bootstrap(&mut router, from, &low, 5, START);
    router.remove_peer(lost, START);
    assert_eq!(notices(&mut router), []);
}

#[test]
fn more_keys_than_fit_a_notice_take_several() {
    let [own, x, root] = nodes();
    let mut router = improved(&own);
    let (_, lost) = (peer(&mut router, &[&root], 1, START), modern(&mut router, &x));
    let keys: Vec<_> = (0..2 * MAX_KEYS + 1).map(|n| PublicKey([n as u8; 32])).collect();
    router.tell(Broken, [(lost, keys)].into());
    let frames =
        sent(&mut router).iter().filter(|(_, it)| matches!(frame::parse(it), Ok(Frame::RouteNotice(..)))).count();
    assert_eq!(frames, 3);
}

#[test]
fn a_node_whose_bootstrap_got_lost_bootstraps_at_once_but_no_more_often_than_after_any_change() {
    let [own, x, y, root] = nodes();
    let mut router = improved(&own);
    let up = modern_in_tree(&mut router, &[&root, &x]);
    let other = modern(&mut router, &y);
    let begin = settle(&mut router) + Duration::from_secs(1);
    run(&mut router, begin);
    let timeout = router.poll_timeout();
    notice(&mut router, other, Broken, &own, begin).unwrap();
    assert_eq!(router.poll_timeout(), timeout, "it did not go there");
    let mut sent_at = Vec::new();
    for millis in (0..30_000).step_by(10) {
        // The first time it bootstrapped a while ago. From then on it is told again and again that it got lost.
        notice(&mut router, up, Broken, &own, begin + Duration::from_millis(millis)).unwrap();
        run(&mut router, begin + Duration::from_millis(millis + 9));
        sent_at.extend(bootstraps_of(&mut router, &own).iter().map(|_| millis));
    }
    assert_eq!(sent_at[..2], [20, 270]);
    assert!(sent_at.len() > 10);
    assert!(sent_at.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{sent_at:?}");
    let later = sent_at.iter().filter(|at| **at >= 20_000).count();
    assert!((5..=20).contains(&later), "{later} in ten seconds: it does not believe everything");
}

#[test]
fn that_a_way_is_broken_is_passed_on_once_and_the_kept_bootstrap_tries_another_one() {
    let [own, low, near, x, y, a, root] = nodes();
    let mut router = improved(&own);
    let up = modern_in_tree(&mut router, &[&root, &a]);
    let (from, next) = (modern(&mut router, &x), modern(&mut router, &y));
    bootstrap(&mut router, next, &near, 5, START);
    bootstrap(&mut router, from, &low, 5, START);
    assert_eq!(bootstraps_of(&mut router, &low), [(next, near.public())]);
    for elsewhere in [up, from] {
        notice(&mut router, elsewhere, Broken, &low, START).unwrap();
        assert_eq!(notices(&mut router), [], "the bootstrap did not go there");
    }
    notice(&mut router, next, Withdrawn, &near, START).unwrap();
    sent(&mut router);
    notice(&mut router, next, Broken, &low, START).unwrap();
    assert_eq!(route(&router, &low).map(|route| (route.via, route.next)), Some((from, Some(up))));
    assert_eq!(notices(&mut router), [(from, Broken, low.public())]);
    for port in [next, up] {
        notice(&mut router, port, Broken, &low, START).unwrap();
        assert_eq!(notices(&mut router), [], "its key knows");
    }
    bootstrap(&mut router, from, &low, 6, START);
    sent(&mut router);
    notice(&mut router, up, Broken, &low, START).unwrap();
    assert_eq!(notices(&mut router), [(from, Broken, low.public())], "of its next bootstrap it does not");
}

#[test]
fn a_withdrawn_route_is_forgotten_if_it_leads_through_whoever_withdraws_it() {
    let [low, own, high, x, y, a, root] = nodes();
    let mut router = improved(&own);
    let up = modern_in_tree(&mut router, &[&root, &a]);
    let (from, other) = (modern(&mut router, &x), modern(&mut router, &y));
    bootstrap(&mut router, from, &low, 5, START);
    bootstrap(&mut router, from, &high, 5, START);
    run(&mut router, at(1));
    sent(&mut router);
    for node in [&low, &high] {
        notice(&mut router, other, Withdrawn, node, at(1)).unwrap();
    }
    assert_eq!((router.route_count(), notices(&mut router)), (2, vec![]), "they do not lead there");
    notice(&mut router, from, Withdrawn, &high, at(1)).unwrap();
    assert_eq!((router.route_count(), notices(&mut router)), (1, vec![(up, Withdrawn, high.public())]));
    notice(&mut router, from, Withdrawn, &low, at(1)).unwrap();
    assert_eq!((router.route_count(), notices(&mut router)), (0, vec![]), "it ended here");
    assert_eq!(router.snake_status(at(1)).descending, None);
    notice(&mut router, from, Withdrawn, &high, at(1)).unwrap();
    assert_eq!(notices(&mut router), [], "nothing is left to withdraw");
}

#[test]
fn notices_of_nodes_that_did_not_announce_them_mean_nothing_whatever_is_in_them() {
    let [low, own, x, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root], 1, START);
    let from = connect(&mut router, &x, START);
    bootstrap(&mut router, from, &low, 5, START);
    assert_eq!(notice(&mut router, from, Withdrawn, &low, START), Ok(()));
    assert_eq!(router.handle_protocol_frame(from, &Frame::RouteNotice(Broken, &[1; 5]), START), Ok(()));
    assert_eq!((router.route_count(), router.drops().get(DropReason::UnknownFrame)), (1, 2));
}

#[test]
fn a_malformed_notice_closes_the_peering() {
    let [own, x] = nodes();
    let mut router = improved(&own);
    let from = modern(&mut router, &x);
    let result = router.handle_protocol_frame(from, &Frame::RouteNotice(Broken, &[1; 33]), START);
    assert_eq!(result, Err(PeerMisbehaved::Malformed(DecodeError::Truncated { what: "route notice" })));
}

#[test]
fn a_flood_of_notices_is_cut_off_at_the_peering_that_it_comes_from() {
    let [low, lower, own, x, y, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root], 1, START);
    let (flooding, modest) = (modern(&mut router, &x), modern(&mut router, &y));
    bootstrap(&mut router, flooding, &low, 5, START);
    bootstrap(&mut router, modest, &lower, 5, START);
    let body = [7; 32 * MAX_KEYS];
    for _ in 0..BURST as usize / MAX_KEYS {
        router.handle_protocol_frame(flooding, &Frame::RouteNotice(Broken, &body), START).unwrap();
    }
    notice(&mut router, flooding, Withdrawn, &low, START).unwrap();
    notice(&mut router, modest, Withdrawn, &lower, START).unwrap();
    assert_eq!(router.drops().get(DropReason::RateLimited), 1);
    assert!(route(&router, &low).is_some() && route(&router, &lower).is_none());
    notice(&mut router, flooding, Withdrawn, &low, after(1)).unwrap();
    assert!(route(&router, &low).is_none(), "allowances fill with time");
}
