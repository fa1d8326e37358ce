//! Roots that come and go, and changes without end.

use super::rules::{after, improved, strict};
use super::*;
use crate::router::RouterTimer;

/// Lets the root with which `router` has a peering disappear and come back every half second, each time with its next sequence, and says
/// at which of its returns it was followed.
fn followed_returns(router: &mut Router, root: &Keypair, times: u64) -> Vec<u64> {
    let mut followed = Vec::new();
    for n in 1..=times {
        let up = peer(router, &[root], n, after(n * 1_000));
        run(router, after(n * 1_000 + 500));
        if router.root().key == root.public() {
            followed.push(n);
        }
        router.remove_peer(up, after(n * 1_000 + 500));
        run(router, after(n * 1_000 + 1_000));
        sent(router);
    }
    followed
}

#[test]
fn a_root_that_comes_and_goes_is_followed_four_times_and_then_has_to_wait() {
    let [own, other, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&other], 1, START);
    assert_eq!(followed_returns(&mut router, &root, 20), [1, 2, 3, 4]);
    assert_eq!(router.root().key, other.public(), "whoever stays is followed meanwhile");
    let mut router = strict(&own);
    peer(&mut router, &[&other], 1, START);
    assert_eq!(followed_returns(&mut router, &root, 20).len(), 20);
}

#[test]
fn a_root_that_stays_is_followed_when_its_wait_is_over() {
    let [own, other, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&other], 1, START);
    followed_returns(&mut router, &root, 5);
    let back = after(6_000);
    peer(&mut router, &[&root], 6, back);
    assert_eq!(router.root().key, other.public());
    let (due, _) = std::iter::from_fn(|| {
        let next = router.poll_timeout()?;
        router.handle_timeout(next.0);
        Some(next)
    })
    .find(|(_, timer)| *timer == RouterTimer::Return)
    .unwrap();
    assert!(due > back && due <= back + Duration::from_secs(8), "{due:?}");
    assert_eq!(router.root().key, root.public());
    assert!(router.poll_timeout().is_some_and(|(_, timer)| timer != RouterTimer::Return));
}

#[test]
fn one_crash_and_one_restart_of_the_root_make_nobody_wait() {
    let [own, other, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&other], 1, START);
    let up = peer(&mut router, &[&root], 1, after(10));
    router.remove_peer(up, after(20));
    run(&mut router, after(300));
    peer(&mut router, &[&root], 2, after(310));
    assert_eq!(router.root().key, root.public());
}

#[test]
fn a_node_that_loses_its_way_to_a_root_that_stays_is_back_at_once() {
    let [own, a, other, root] = nodes();
    let mut router = improved(&own);
    peer(&mut router, &[&other], 1, START);
    for n in 0..20 {
        let up = peer(&mut router, &[&root, &a], 7, after(n * 1_000));
        assert_eq!(router.root().key, root.public(), "{n}");
        router.remove_peer(up, after(n * 1_000 + 500));
        run(&mut router, after(n * 1_000 + 999));
    }
}

#[test]
fn a_parent_that_goes_over_to_a_root_that_has_to_wait_is_left() {
    let [own, a, other, root] = nodes();
    let mut router = improved(&own);
    let parent = peer(&mut router, &[&other, &a], 1, START);
    let second = peer(&mut router, &[&other], 1, START);
    followed_returns(&mut router, &root, 6);
    let [first, other_one] = [parent, second].map(|port| router.parent() == Some(port));
    assert!(first != other_one);
    let (from, stays) = if first { (parent, second) } else { (second, parent) };
    let key = if first { &a } else { &other };
    announce(&mut router, from, &chain(&[&root, key], 7), after(7_100)).unwrap();
    run(&mut router, after(7_400));
    assert_eq!((router.root().key, router.parent()), (other.public(), Some(stays)));
}

#[test]
fn an_announcement_that_says_the_same_again_is_no_news() {
    let [own, a, b, root] = nodes();
    for (mut router, is_left) in [(improved(&own), false), (strict(&own), true)] {
        let parent = peer(&mut router, &[&root, &a], 1, START);
        peer(&mut router, &[&root, &b], 1, START);
        sent(&mut router);
        announce(&mut router, parent, &chain(&[&root, &a], 1), after(5)).unwrap();
        assert_eq!((router.is_waiting(), announcements(&sent(&mut router)).is_empty()), (is_left, !is_left));
    }
}

#[test]
fn a_root_that_raises_its_sequence_all_the_time_is_passed_on_at_each_tick_only() {
    let [own, below, root] = nodes();
    let told = |mut router: Router| {
        let up = peer(&mut router, &[&root], 1, START);
        let down = connect(&mut router, &below, START);
        let mut told = 0;
        for n in 1..=2_000_u64 {
            let now = after(n * 5);
            run(&mut router, now);
            announce(&mut router, up, &chain(&[&root], n + 1), now).unwrap();
            told += announcements(&sent(&mut router)).iter().filter(|(port, _)| *port == down).count();
        }
        assert_eq!(router.root().sequence, 2_001, "followed all the same");
        told
    };
    let spaced_out = told(improved(&own));
    assert!((128..=128 + 10 * (4 + 1)).contains(&spaced_out), "{spaced_out} in ten seconds");
    assert_eq!(told(strict(&own)), 2_000);
}

#[test]
fn that_a_node_left_the_tree_is_said_at_once_however_much_it_said_before() {
    let [own, below, root] = nodes();
    let mut router = improved(&own);
    let up = peer(&mut router, &[&root], 1, START);
    let down = connect(&mut router, &below, START);
    (2..300).for_each(|n| announce(&mut router, up, &chain(&[&root], n), START).unwrap());
    sent(&mut router);
    announce(&mut router, up, &chain(&[&root], 300), START).unwrap();
    assert_eq!(announcements(&sent(&mut router)).len(), 0, "that has to wait");
    router.remove_peer(up, START);
    let told = announcements(&sent(&mut router));
    assert_eq!(told.iter().map(|(port, told)| (*port, told.root.key)).collect::<Vec<_>>(), [(down, own.public())]);
}

#[test]
fn a_place_that_changes_all_the_time_costs_early_bootstraps_for_half_a_minute_and_then_one_a_second() {
    let [own, a, x, root] = nodes();
    let mut router = improved(&own);
    let parent = peer(&mut router, &[&root, &x, &a], 1, START);
    let mut bootstraps = Vec::new();
    for n in 1..=480_u64 {
        let now = after(n * 250);
        let way: &[&Keypair] = if n % 2 == 0 { &[&root, &x, &a] } else { &[&root, &a] };
        announce(&mut router, parent, &chain(way, 1 + n), now).unwrap();
        run(&mut router, now);
        let is_own =
            |bytes: &[u8]| matches!(frame::parse(bytes), Ok(Frame::Bootstrap(it)) if it.destination == own.public());
        bootstraps.extend(sent(&mut router).iter().filter(|(_, bytes)| is_own(bytes)).map(|_| n / 4));
    }
    let within = |from, to| bootstraps.iter().filter(|second| (from..to).contains(*second)).count();
    assert!(within(0, 30) >= 110, "{} in the first half minute, as often as each tick", within(0, 30));
    assert!(within(60, 120) <= 75, "{} in a minute", within(60, 120));
}
