//! Where we go beyond the reference: what each rule does, and what the reference does instead.

use proptest::prelude::*;

use super::*;
use crate::drops::DropReason;
use crate::keys::Scheme;
use crate::router::snake::Route;
use crate::router::{Rules, Timings};
use crate::wire::broadcast::WakeupBroadcast;
use crate::wire::frame::BroadcastFrame;

pub(super) fn router_by(own: &Arc<Keypair>, rules: Rules) -> Router {
    router_with(own, RouterConfig { rules, timings: Timings::eager(), ..RouterConfig::default() })
}

pub(super) fn improved(own: &Arc<Keypair>) -> Router {
    router_by(own, Rules::improved())
}

/// The reference's rules at our pace, so that rules are all that differs.
pub(super) fn strict(own: &Arc<Keypair>) -> Router {
    router_by(own, Rules::strict())
}

pub(super) fn after(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

/// A bootstrap that was sent.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    port: Port,
    key: PublicKey,
    hop_limit: u8,
    towards: PublicKey,
    bytes: Vec<u8>,
}

/// Takes what waits to be sent and returns the bootstraps, each of which has to verify.
fn bootstraps(router: &mut Router) -> Vec<Sent> {
    let sent = sent(router);
    let found = sent.into_iter().filter_map(|(port, bytes)| match frame::parse(&bytes) {
        Ok(Frame::Bootstrap(frame)) => {
            assert!(Bootstrap::parse(frame.payload).unwrap().verify(&frame.destination, Scheme::Ed25519));
            let BootstrapFrame { destination: key, hop_limit, watermark, .. } = frame;
            Some(Sent { port, key, hop_limit, towards: watermark.key, bytes })
        }
        _ => None,
    });
    found.collect()
}

/// The bootstraps of `node` among those that are sent, as (port, key towards which they go).
pub(super) fn bootstraps_of(router: &mut Router, node: &Keypair) -> Vec<(Port, PublicKey)> {
    bootstraps(router).into_iter().filter(|it| it.key == node.public()).map(|it| (it.port, it.towards)).collect()
}

/// Hands over a bootstrap that carries `hop_limit`.
fn bootstrap_aged(router: &mut Router, from: Port, node: &Keypair, hop_limit: u8, now: Instant) {
    let payload = Bootstrap::sign(5, router.root(), node).encode();
    let (destination, watermark, payload) = (node.public(), Watermark::NONE, &payload[..]);
    let frame = BootstrapFrame { version: 0, extra: 0, hop_limit, destination, watermark, payload };
    router.handle_protocol_frame(from, &Frame::Bootstrap(frame), now).unwrap();
}

pub(super) fn route(router: &Router, node: &Keypair) -> Option<Route> {
    router.snake.routes.get(&node.public()).copied()
}

/// Lets time pass until the router bootstraps, long after it last had a reason to; says when that was.
pub(super) fn settle(router: &mut Router) -> Instant {
    run(router, at(120));
    sent(router);
    let ticks = (1..40).map(|n| at(120) + Timings::eager().maintenance * n);
    let mut bootstrapping = ticks.filter(|tick| {
        run(router, *tick);
        let own = router.own;
        bootstraps(router).iter().any(|sent| sent.key == own)
    });
    bootstrapping.next().unwrap()
}

#[test]
fn a_newcomer_gets_the_bootstrap_of_the_next_lower_key() {
    let [own, low, new, x, y, root] = nodes();
    for (mut router, handed) in [(improved(&own), true), (strict(&own), false)] {
        let up = peer(&mut router, &[&root], 1, START);
        let (from, newcomer) = (connect(&mut router, &x, START), connect(&mut router, &y, START));
        bootstrap(&mut router, from, &low, 5, START);
        assert_eq!(bootstraps_of(&mut router, &low), [(up, root.public())]);
        bootstrap(&mut router, newcomer, &new, 7, after(2_000));
        let sent: Vec<_> = bootstraps(&mut router).into_iter().filter(|it| it.key == low.public()).collect();
        let expected = if handed { vec![(newcomer, new.public())] } else { vec![] };
        assert_eq!(sent.iter().map(|it| (it.port, it.towards)).collect::<Vec<_>>(), expected);
        assert!(sent.iter().all(|it| Duration::from_millis(40) * u32::from(it.hop_limit) >= Duration::from_secs(2)));
        assert_eq!(route(&router, &low).unwrap().next, Some(if handed { newcomer } else { up }));
    }
}

#[test]
fn a_newcomer_beyond_the_known_successor_gets_nothing() {
    let [own, low, successor, new, x, y, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root], 1, START);
    let near = peer(&mut router, &[&root, &successor], 1, START);
    let (from, newcomer) = (connect(&mut router, &x, START), connect(&mut router, &y, START));
    bootstrap(&mut router, from, &low, 5, START);
    assert_eq!(bootstraps_of(&mut router, &low), [(near, successor.public())]);
    bootstrap(&mut router, newcomer, &new, 7, START);
    assert_eq!(bootstraps_of(&mut router, &low), []);
}

#[test]
fn a_bootstrap_is_not_handed_back_to_where_it_came_from() {
    let [own, low, new, x, root] = nodes();
    let mut router = improved(&own);
    let up = peer(&mut router, &[&root], 1, START);
    let from = connect(&mut router, &x, START);
    bootstrap(&mut router, from, &low, 5, START);
    sent(&mut router);
    bootstrap(&mut router, from, &new, 7, START);
    assert_eq!(bootstraps_of(&mut router, &low), []);
    assert_eq!(route(&router, &low).unwrap().next, Some(up));
}

#[test]
fn an_expired_bootstrap_is_not_handed_over() {
    let [own, low, new, x, y, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root], 1, START);
    let (from, newcomer) = (connect(&mut router, &x, START), connect(&mut router, &y, START));
    bootstrap(&mut router, from, &low, 5, START);
    sent(&mut router);
    bootstrap(&mut router, newcomer, &new, 7, at(10));
    assert_eq!(bootstraps_of(&mut router, &low), []);
}

#[test]
fn we_bootstrap_with_the_next_tick_when_a_nearer_successor_shows_up() {
    let [own, near, far, x, root] = nodes();
    for (mut router, node, is_prompt) in
        [(improved(&own), &near, true), (improved(&own), &far, false), (strict(&own), &near, false)]
    {
        let up = peer(&mut router, &[&root], 1, START);
        peer(&mut router, &[&root, &far], 1, START);
        let from = connect(&mut router, &x, START);
        let settled = settle(&mut router);
        assert_eq!(router.parent(), Some(up));
        bootstrap(&mut router, from, node, 5, settled);
        run(&mut router, settled + Timings::eager().maintenance);
        let expected = if is_prompt { vec![(from, near.public())] } else { vec![] };
        assert_eq!(bootstraps_of(&mut router, &own), expected);
    }
}

#[test]
fn each_hop_makes_a_bootstrap_older_and_a_fresh_one_stops_at_three_seconds() {
    let [own, low, x, root] = nodes();
    for (given, sent_on) in [(0, 1), (74, 75), (75, 75), (76, 77), (254, 255), (255, 255)] {
        for (mut router, expected) in [(improved(&own), sent_on), (strict(&own), given)] {
            peer(&mut router, &[&root], 1, START);
            let from = connect(&mut router, &x, START);
            bootstrap_aged(&mut router, from, &low, given, START);
            let passed_on = bootstraps(&mut router);
            assert_eq!(passed_on.iter().map(|it| it.hop_limit).collect::<Vec<_>>(), [expected]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_handed_over_bootstraps_routes_expire_no_later_than_ours(kept in 0..12_000u64, hop_limit in any::<u8>()) {
        let [own, low, new, x, y, root] = nodes();
        let (mut router, mut next) = (improved(&own), improved(&own));
        peer(&mut router, &[&root], 1, START);
        let (from, newcomer) = (connect(&mut router, &x, START), connect(&mut router, &y, START));
        bootstrap_aged(&mut router, from, &low, hop_limit, START);
        sent(&mut router);
        bootstrap(&mut router, newcomer, &new, 7, after(kept));
        let ours = route(&router, &low).unwrap();
        let handed: Vec<_> = bootstraps(&mut router).into_iter().filter(|it| it.key == low.public()).collect();
        prop_assert_eq!(handed.len(), usize::from(ours.is_live(after(kept))));
        peer(&mut next, &[&root], 1, START);
        let port = connect(&mut next, &own, START);
        for sent in handed {
            next.handle_protocol_frame(port, &frame::parse(&sent.bytes).unwrap(), after(kept)).unwrap();
            prop_assert!(route(&next, &low).unwrap().live_until <= ours.live_until);
        }
    }
}

#[test]
fn bootstraps_that_left_by_a_lost_peering_go_another_way_and_their_routes_stay() {
    let [own, low, new, x, y, a, b, root] = nodes();
    for (mut router, is_kept) in [(improved(&own), true), (strict(&own), false)] {
        let up = peer(&mut router, &[&root, &a], 1, START);
        let other = peer(&mut router, &[&root, &b], 1, START);
        let (from, towards_new) = (connect(&mut router, &x, START), connect(&mut router, &y, START));
        bootstrap(&mut router, towards_new, &new, 7, START);
        bootstrap(&mut router, from, &low, 5, START);
        assert_eq!(bootstraps_of(&mut router, &low), [(towards_new, new.public())]);
        router.remove_peer(towards_new, START);
        let expected = |port, towards: &Keypair| if is_kept { vec![(port, towards.public())] } else { vec![] };
        assert_eq!(bootstraps_of(&mut router, &low), expected(up, &a));
        assert_eq!(route(&router, &low).map(|route| (route.via, route.next)), is_kept.then_some((from, Some(up))));
        assert!(route(&router, &new).is_none(), "there is no way to it any more");
        // Now the parent as well: the bootstrap goes where the next one leads.
        router.remove_peer(up, START);
        assert_eq!(router.parent(), Some(other));
        assert_eq!(bootstraps_of(&mut router, &low), expected(other, &b));
        assert_eq!(route(&router, &low).map(|route| (route.via, route.next)), is_kept.then_some((from, Some(other))));
    }
}

#[test]
fn a_bootstrap_that_lost_its_way_is_handed_to_the_same_successor_again() {
    let [low, successor, own, x, y, z, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&root], 1, START);
    let (from, lost, again) =
        (connect(&mut router, &x, START), connect(&mut router, &y, START), connect(&mut router, &z, START));
    bootstrap(&mut router, lost, &successor, 5, START);
    bootstrap(&mut router, from, &low, 5, START);
    assert_eq!(bootstraps_of(&mut router, &low), [(lost, successor.public())]);
    router.remove_peer(lost, START);
    assert_eq!((bootstraps_of(&mut router, &low), route(&router, &low).unwrap().next), (vec![], None));
    bootstrap(&mut router, again, &successor, 6, START);
    assert_eq!(bootstraps_of(&mut router, &low), [(again, successor.public())]);
}

#[test]
fn our_own_bootstrap_is_repeated_with_the_next_tick_if_it_left_by_a_lost_peering() {
    let [own, near, x, root] = nodes();
    for (mut router, is_prompt) in [(improved(&own), true), (strict(&own), false)] {
        let up = peer(&mut router, &[&root], 1, START);
        let from = connect(&mut router, &x, START);
        run(&mut router, at(119));
        bootstrap(&mut router, from, &near, 5, at(119));
        let settled = settle(&mut router);
        router.remove_peer(from, settled);
        run(&mut router, settled + Timings::eager().maintenance);
        let expected = if is_prompt { vec![(up, root.public())] } else { vec![] };
        assert_eq!(bootstraps_of(&mut router, &own), expected);
    }
}

#[test]
fn a_raised_sequence_of_the_root_changes_nothing_for_the_snake() {
    let [low, own, above, x, root] = nodes();
    for (mut router, is_quiet) in [(improved(&own), true), (strict(&own), false)] {
        let up = peer(&mut router, &[&root], 1, START);
        let from = connect(&mut router, &x, START);
        let old = router.root();
        for second in (64..120).step_by(5) {
            run(&mut router, at(second));
            bootstrap(&mut router, from, &low, second, at(second));
        }
        let settled = settle(&mut router);
        announce(&mut router, up, &chain(&[&root], 2), settled).unwrap();
        run(&mut router, settled + Timings::eager().maintenance * 2);
        assert_eq!(router.snake_status(settled).descending, is_quiet.then_some(low.public()));
        assert_eq!(bootstraps_of(&mut router, &own).is_empty(), is_quiet);
        let payload = Bootstrap::sign(9, old, &above).encode();
        bootstrap_frame(&mut router, from, above.public(), &payload, settled);
        assert_eq!(route(&router, &above).is_some(), is_quiet);
        assert_eq!(router.drops().get(DropReason::OtherRoot), u64::from(!is_quiet));
    }
}

#[test]
fn peers_that_have_not_heard_of_the_roots_new_sequence_are_still_neighbours() {
    let [own, a, root] = nodes();
    for (mut router, is_neighbour) in [(improved(&own), true), (strict(&own), false)] {
        let up = peer(&mut router, &[&root], 1, START);
        let late = peer(&mut router, &[&root, &a], 1, START);
        announce(&mut router, up, &chain(&[&root], 2), START).unwrap();
        assert_eq!(router.tree.neighbours.iter().any(|(port, _)| port == late), is_neighbour);
    }
}

/// What becomes of a router at depth 3 whose parent `a` announces `moved` instead, as (parent, depth, whether it waits).
fn after_move(mut router: Router, others: &[&[&Keypair]], moved: &[&Keypair]) -> (Option<Port>, usize, bool) {
    let [.., a] = moved else { panic!("nobody") };
    let [.., x, root] = nodes::<7>();
    let parent = peer(&mut router, &[&root, &x, a], 1, START);
    for other in others {
        peer(&mut router, other, 1, START);
    }
    assert_eq!((router.parent(), router.coords().len()), (Some(parent), 3));
    announce(&mut router, parent, &chain(moved, 1), START).unwrap();
    (router.parent(), router.coords().len(), router.is_waiting())
}

#[test]
fn a_parent_that_moves_is_followed_if_it_is_less_deep_than_we_ever_were() {
    let [own, a, _, _, y, x, root] = nodes();
    assert_eq!(after_move(improved(&own), &[], &[&root, &a]), (Some(1), 2, false));
    assert_eq!(after_move(improved(&own), &[], &[&root, &y, &a]), (Some(1), 3, false));
    assert_eq!(after_move(improved(&own), &[], &[&root, &x, &y, &a]), (None, 0, true), "it may be below us");
    assert_eq!(after_move(strict(&own), &[], &[&root, &a]), (None, 0, true));
}

#[test]
fn a_parent_that_moves_too_deep_is_replaced_by_a_peer_that_cannot_be_below_us() {
    let [own, a, b, c, y, x, root] = nodes();
    let moved: &[&Keypair] = &[&root, &x, &y, &a];
    let after = |router, others: &[&[&Keypair]]| after_move(router, others, moved);
    assert_eq!(after(improved(&own), &[&[&root, &y, &b], &[&root, &c]]), (Some(3), 2, false), "the least deep");
    assert_eq!(after(improved(&own), &[&[&root, &y, &b]]), (Some(2), 3, false));
    assert_eq!(after(improved(&own), &[&[&root, &y, &c, &b]]), (None, 0, true), "as deep as we were");
    assert_eq!(after(improved(&own), &[&[&root, &own, &b]]), (None, 0, true), "below us");
    assert_eq!(after(strict(&own), &[&[&root, &c]]), (None, 0, true));
}

#[test]
fn how_deep_we_ever_were_counts_until_the_root_raises_its_sequence() {
    let [own, a, y, x, root] = nodes();
    for (sequence, is_followed) in [(1, false), (2, true)] {
        let mut router = improved(&own);
        let parent = peer(&mut router, &[&root, &a], 1, START);
        announce(&mut router, parent, &chain(&[&root, &x, &a], 1 + u64::from(is_followed)), START).unwrap();
        assert_eq!(router.is_waiting(), !is_followed, "depth 2 is one more than we had");
        announce(&mut router, parent, &chain(&[&root, &y, &a], sequence), START).unwrap();
        assert_eq!(router.parent().is_some(), is_followed);
    }
}

#[test]
fn a_node_without_a_second_parent_is_root_for_a_quarter_of_a_second() {
    let [own, a, y, x, root] = nodes();
    let mut router = improved(&own);
    let parent = peer(&mut router, &[&root, &a], 1, START);
    announce(&mut router, parent, &chain(&[&root, &x, &y, &a], 1), START).unwrap();
    run(&mut router, after(249));
    assert_eq!((router.parent(), router.root().key), (None, own.public()));
    run(&mut router, after(250));
    assert_eq!((router.parent(), router.coords().len()), (Some(parent), 4));
}

#[test]
fn a_second_parent_is_kept_though_another_peer_told_of_the_root_earlier() {
    let [own, a, b, c, y, x, root] = nodes();
    let mut router = improved(&own);
    let parent = peer(&mut router, &[&root, &x, &a], 1, START);
    let deep = peer(&mut router, &[&root, &x, &y, &b], 1, START);
    let second = peer(&mut router, &[&root, &c], 1, START);
    router.remove_peer(parent, START);
    assert_eq!(router.parent(), Some(second));
    announce(&mut router, deep, &chain(&[&root, &x, &y, &b], 1), START).unwrap();
    assert_eq!(router.parent(), Some(second), "the deep one may be below us");
    announce(&mut router, deep, &chain(&[&root, &x, &y, &b], 2), START).unwrap();
    assert_eq!(router.parent(), Some(deep), "news of the root are");
}

#[test]
fn a_lost_parent_is_replaced_at_once_by_the_least_deep_peer() {
    let [own, a, b, c, y, x, root] = nodes();
    let mut router = improved(&own);
    let parent = peer(&mut router, &[&root, &x, &a], 1, START);
    peer(&mut router, &[&root, &y, &b], 1, START);
    let best = peer(&mut router, &[&root, &c], 1, START);
    sent(&mut router);
    router.remove_peer(parent, START);
    assert_eq!((router.parent(), router.coords().len(), router.is_waiting()), (Some(best), 2, false));
    assert_eq!(announcements(&sent(&mut router)).len(), 2);
}

#[test]
fn without_a_safe_one_any_peer_whose_way_avoids_the_lost_parent_will_do() {
    let [own, a, b, y, x, root] = nodes();
    for (way, is_taken) in
        [(&[&*root, &x, &y, &b][..], true), (&[&root, &x, &a, &b], false), (&[&root, &x, &own, &b], false)]
    {
        let mut router = improved(&own);
        let parent = peer(&mut router, &[&root, &a], 1, START);
        let other = peer(&mut router, way, 1, START);
        router.remove_peer(parent, START);
        assert_eq!((router.parent(), router.is_waiting()), (is_taken.then_some(other), !is_taken));
    }
}

#[test]
fn when_the_root_is_lost_nobody_clings_to_it() {
    let [own, a, b, root] = nodes();
    let mut router = improved(&own);
    let up = peer(&mut router, &[&root], 1, START);
    peer(&mut router, &[&root, &a], 1, START);
    peer(&mut router, &[&root, &a, &b], 1, START);
    router.remove_peer(up, START);
    assert_eq!((router.root().key, router.is_waiting()), (own.public(), true));
}

#[test]
fn broadcasts_go_out_every_ten_minutes_and_old_ones_are_forgotten_in_time() {
    let [own, a, far] = nodes();
    let mut router = improved(&own);
    let from = peer(&mut router, &[&a], 1, START);
    let payload = WakeupBroadcast::sign(5, router.root(), &far).encode();
    let frame = BroadcastFrame { version: 0, extra: 0, hop_limit: 5, source: far.public(), payload: &payload };
    sent(&mut router);
    router.handle_protocol_frame(from, &Frame::Broadcast(frame), at(10)).unwrap();
    let mut sent_at = Vec::new();
    for second in 11..=1_300 {
        run(&mut router, at(second));
        let frames = sent(&mut router);
        let is_broadcast = |bytes: &[u8]| matches!(frame::parse(bytes), Ok(Frame::Broadcast(_)));
        sent_at.extend(frames.iter().filter(|(_, bytes)| is_broadcast(bytes)).map(|_| second));
        assert!(second >= 190 || router.broadcasts.knows(&far.public()), "{second}");
    }
    assert_eq!(sent_at, [600, 1_200]);
    assert!(!router.broadcasts.knows(&far.public()));
}
