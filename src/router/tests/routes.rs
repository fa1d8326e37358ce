//! Source routes: which hops are followed, what becomes of a frame that cannot go on, what path requests write down.

use proptest::prelude::*;

use super::rules::{improved, strict};
use super::*;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::router::{PathVerdict, RoutedVerdict, TraceStep, Verdict};
use crate::wire::coords::Coords;
use crate::wire::frame::TrafficHeader;
use crate::wire::route::request::{PathRequest, Record};
use crate::wire::route::{self, Hop, MAX_HOPS, RouteKind, Routed};

fn modern(router: &mut Router, peer: &Keypair) -> Port {
    router.add_peer(peer.public(), PeerKind::Remote, Extensions::SOURCE_ROUTES, START).unwrap()
}

fn hop(router: &Router, port: Port) -> Hop {
    router.hop(port).unwrap()
}

fn sealed(hops: &[Hop]) -> PacketBuf {
    let mut frame = PacketBuf::from(&b"message"[..]);
    route::seal(&mut frame, hops, 42).unwrap();
    frame
}

fn traffic(from: &Keypair, to: &Keypair) -> PacketBuf {
    let mut frame = PacketBuf::from(&b"message"[..]);
    let header = TrafficHeader {
        version: 0,
        extra: 7,
        hop_limit: 10,
        destination: &Coords::default(),
        source: &Coords::default(),
        destination_key: &to.public(),
        source_key: &from.public(),
        watermark: Watermark::NONE,
    };
    frame::emit_traffic(&mut frame, &header).unwrap();
    frame
}

fn forward(router: &mut Router, from: Port, frame: &mut PacketBuf) -> RoutedVerdict {
    router.forward_routed(from, RouteKind::Sealed, frame, START).unwrap()
}

#[test]
fn a_hop_is_a_peering_and_not_whoever_has_its_port_now() {
    let [own, a, b, c] = nodes();
    let mut router = improved(&own);
    let (from, to) = (modern(&mut router, &a), modern(&mut router, &b));
    let route = [hop(&router, to)];
    let mut frame = sealed(&route);
    assert_eq!(forward(&mut router, from, &mut frame), RoutedVerdict::Forward(to));
    assert_eq!(Routed::parse(&frame, true).unwrap().taken(&frame).collect::<Vec<_>>(), [hop(&router, from)]);
    router.remove_peer(to, START);
    assert_eq!(modern(&mut router, &c), to, "the port is used again");
    let mut frame = sealed(&route);
    assert_eq!(forward(&mut router, from, &mut frame), RoutedVerdict::Forward(from));
    assert!(Routed::parse(&frame, true).unwrap().is_returning, "it goes back to who sent it");
}

#[test]
fn peers_that_did_not_announce_it_take_part_in_nothing() {
    let [own, a, b] = nodes();
    let mut router = improved(&own);
    let (from, plain) = (modern(&mut router, &a), connect(&mut router, &b, START));
    assert_eq!((router.hop(plain), router.routable().count(), router.has_routable()), (None, 1, true));
    for epoch in 0..3 {
        let mut frame = sealed(&[Hop { port: plain, epoch }]);
        assert_eq!(forward(&mut router, from, &mut frame), RoutedVerdict::Forward(from));
    }
    let mut frame = sealed(&[hop(&router, from)]);
    assert_eq!(forward(&mut router, plain, &mut frame), RoutedVerdict::Drop(DropReason::UnknownFrame));
    router.remove_peer(from, START);
    assert!(!router.has_routable());
    let mut router = strict(&own);
    let port = modern(&mut router, &a);
    assert_eq!((router.hop(port), router.has_routable()), (None, false));
}

#[test]
fn a_frame_never_turns_around_by_its_own_list_nor_enters_a_node_twice() {
    let [own, a, b] = nodes();
    let mut router = improved(&own);
    let (from, to) = (modern(&mut router, &a), modern(&mut router, &b));
    let mut frame = sealed(&[hop(&router, from)]);
    assert_eq!(forward(&mut router, from, &mut frame), RoutedVerdict::Forward(from));
    assert!(Routed::parse(&frame, true).unwrap().is_returning);
    let elsewhere = Hop { port: 9, epoch: 9 };
    let mut frame = sealed(&[hop(&router, to), elsewhere, hop(&router, from)]);
    assert_eq!(forward(&mut router, from, &mut frame), RoutedVerdict::Forward(to));
    // Somebody else takes the second hop, and here it comes again.
    Routed::parse(&frame, true).unwrap().take_hop(&mut frame, elsewhere);
    assert_eq!(forward(&mut router, to, &mut frame), RoutedVerdict::Forward(to));
    assert!(Routed::parse(&frame, true).unwrap().is_returning);
}

#[test]
fn a_frame_on_its_way_back_that_cannot_go_on_is_dropped_and_one_that_is_back_is_ours() {
    let [own, a, b] = nodes();
    let mut router = improved(&own);
    let (near, far) = (modern(&mut router, &a), modern(&mut router, &b));
    let back = |hops: &[Hop]| {
        let mut frame = PacketBuf::from(&b"message"[..]);
        route::send_back(&mut frame, hops, 42).unwrap();
        frame
    };
    let mut frame = back(&[hop(&router, near)]);
    assert_eq!(forward(&mut router, far, &mut frame), RoutedVerdict::Forward(near));
    let RoutedVerdict::Returned { label: 42, message_at } = forward(&mut router, far, &mut frame) else {
        panic!("not ours")
    };
    assert_eq!(frame[message_at..], *b"message");
    let mut frame = back(&[Hop { port: near, epoch: 1 }]);
    assert_eq!(forward(&mut router, far, &mut frame), RoutedVerdict::Drop(DropReason::RouteBroken));
}

#[test]
fn an_open_frame_that_cannot_go_on_goes_by_key_also_back_where_it_came_from() {
    let [own, a, b, root] = nodes();
    let mut router = improved(&own);
    let from = modern(&mut router, &root);
    announce(&mut router, from, &chain(&[&root], 1), START).unwrap();
    let mut frame = traffic(&a, &root);
    route::wrap(&mut frame, &[Hop { port: 5, epoch: 5 }]).unwrap();
    let verdict = router.forward_routed(from, RouteKind::Open, &mut frame, START).unwrap();
    assert_eq!(verdict, RoutedVerdict::Plain { verdict: Verdict::Forward(from), arrived: false });
    assert_eq!(frame::extra_of(&frame), 7, "the mark stays");
    // At the end of its list it is an ordinary frame; for us, or for somebody else.
    let mut frame = traffic(&b, &own);
    route::wrap(&mut frame, &[]).unwrap();
    let verdict = router.forward_routed(from, RouteKind::Open, &mut frame, START).unwrap();
    assert!(matches!(verdict, RoutedVerdict::Plain { verdict: Verdict::Deliver(_), arrived: true }));
    let mut frame = PacketBuf::from(&b"no frame"[..]);
    route::wrap(&mut frame, &[]).unwrap();
    let verdict = router.forward_routed(from, RouteKind::Open, &mut frame, START).unwrap();
    assert_eq!(verdict, RoutedVerdict::Plain { verdict: Verdict::Drop(DropReason::MalformedFrame), arrived: true });
}

#[test]
fn a_sealed_frame_with_a_label_of_nobody_is_turned_back_once() {
    let [own, a] = nodes();
    let mut router = improved(&own);
    let from = modern(&mut router, &a);
    let mut frame = sealed(&[]);
    assert!(matches!(forward(&mut router, from, &mut frame), RoutedVerdict::Arrived { label: 42, .. }));
    assert_eq!(router.refuse_sealed(from, &mut frame), Verdict::Forward(from));
    assert_eq!(router.refuse_sealed(from, &mut frame), Verdict::Drop(DropReason::UnknownLabel));
}

#[test]
fn nodes_that_start_at_the_same_moment_number_their_peerings_differently() {
    let [a, b, c] = nodes();
    let (mut one, mut other) = (improved(&a), improved(&b));
    let (port, same) = (modern(&mut one, &c), modern(&mut other, &c));
    assert_eq!(port, same);
    assert_ne!(hop(&one, port).epoch, hop(&other, same).epoch);
}

/// A router with a root above it and another neighbour, and a request from the latter.
struct Bench {
    router: Router,
    up: Port,
    from: Port,
}

impl Bench {
    fn new(own: &Arc<Keypair>, root: &Keypair, neighbour: &Keypair) -> Self {
        let mut router = improved(own);
        let (up, from) = (modern(&mut router, root), modern(&mut router, neighbour));
        announce(&mut router, up, &chain(&[root], 1), START).unwrap();
        announce(&mut router, from, &chain(&[root, neighbour], 1), START).unwrap();
        Self { router, up, from }
    }

    fn request(&mut self, request: &PathRequest, from: &Keypair, to: &Keypair) -> (PathVerdict, PacketBuf) {
        let mut frame = traffic(from, to);
        request.wrap(&mut frame).unwrap();
        (self.router.forward_request(self.from, &mut frame, START).unwrap(), frame)
    }
}

fn request() -> PathRequest {
    PathRequest { is_trace: false, remaining: 9, wandering: 0, cursor: 0, salt: 3, records: Vec::new() }
}

#[test]
fn a_request_goes_as_its_frame_would_and_both_hops_are_written_down() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let (verdict, frame) = bench.request(&request(), &source, &root);
    assert_eq!(verdict, PathVerdict::Forward(bench.up));
    let (passed, at) = PathRequest::parse(&frame).unwrap();
    let record = Record { out: hop(&bench.router, bench.up), came_by: hop(&bench.router, bench.from) };
    assert_eq!(passed, PathRequest { remaining: 8, cursor: 1, records: vec![record], ..request() });
    assert!(matches!(frame::parse(&frame[at..]), Ok(Frame::Traffic(traffic)) if traffic.payload == b"message"));
}

#[test]
fn a_request_that_comes_through_a_node_twice_loses_what_was_between() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let of = |port, epoch| Hop { port, epoch };
    let first = Record { out: of(1, 1), came_by: of(2, 2) };
    let ours = Record { out: of(3, 3), came_by: hop(&bench.router, bench.up) };
    let between = Record { out: of(4, 4), came_by: of(5, 5) };
    let looped = PathRequest { records: vec![first, ours, between], cursor: 3, ..request() };
    let (verdict, frame) = bench.request(&looped, &source, &root);
    assert_eq!(verdict, PathVerdict::Forward(bench.up));
    let out = hop(&bench.router, bench.up);
    assert_eq!(PathRequest::parse(&frame).unwrap().0.records, [first, Record { out, ..ours }]);
}

#[test]
fn a_request_goes_where_it_is_told_and_ends_where_that_is_gone() {
    let [own, source, neighbour, other, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let aside = modern(&mut bench.router, &other);
    let told = |out| PathRequest { records: vec![Record { out, came_by: Hop::default() }], ..request() };
    let way = told(hop(&bench.router, aside));
    let (verdict, frame) = bench.request(&way, &source, &root);
    assert_eq!(verdict, PathVerdict::Forward(aside));
    assert_eq!(PathRequest::parse(&frame).unwrap().0.way_back(), [hop(&bench.router, bench.from)]);
    let gone = told(Hop { port: aside, epoch: 1 });
    assert_eq!(bench.request(&gone, &source, &root).0, PathVerdict::Drop(DropReason::RouteBroken));
    let trace = PathRequest { is_trace: true, ..gone };
    assert!(matches!(bench.request(&trace, &source, &root).0, PathVerdict::Answer(_, TraceStep::Broken)));
}

#[test]
fn where_a_peer_does_not_understand_requests_only_what_is_inside_goes_on() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    bench.router.remove_peer(bench.up, START);
    let up = connect(&mut bench.router, &root, START);
    announce(&mut bench.router, up, &chain(&[&root], 1), START).unwrap();
    let (verdict, frame) = bench.request(&request(), &source, &root);
    assert_eq!(verdict, PathVerdict::Plain(up));
    assert!(matches!(frame::parse(&frame), Ok(Frame::Traffic(_))));
    let trace = PathRequest { is_trace: true, ..request() };
    assert!(matches!(bench.request(&trace, &source, &root).0, PathVerdict::Answer(_, TraceStep::Plain(_))));
}

#[test]
fn a_request_without_hops_left_is_dropped_and_a_trace_is_answered_with_what_would_have_been() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let last = PathRequest { remaining: 0, ..request() };
    assert_eq!(bench.request(&last, &source, &root).0, PathVerdict::Drop(DropReason::FrameHopLimit));
    let trace = PathRequest { is_trace: true, ..last };
    let up = bench.up;
    assert!(
        matches!(bench.request(&trace, &source, &root).0, PathVerdict::Answer(_, TraceStep::Snake(port)) if port == up)
    );
    assert!(matches!(bench.request(&trace, &source, &own).0, PathVerdict::Answer(_, TraceStep::Destination)));
}

#[test]
fn requests_wander_to_any_neighbour_but_back_and_to_the_destination_first() {
    let [own, source, neighbour, x, y, z, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let others: Vec<Port> = [&x, &y, &z].into_iter().map(|peer| modern(&mut bench.router, peer)).collect();
    let wandering = |salt| PathRequest { wandering: 3, salt, ..request() };
    let mut seen = std::collections::BTreeSet::new();
    for salt in 0..200 {
        let (verdict, frame) = bench.request(&wandering(salt << 32 | salt), &source, &source);
        let PathVerdict::Forward(port) = verdict else { panic!("{verdict:?}") };
        assert_eq!(PathRequest::parse(&frame).unwrap().0.wandering, 2);
        seen.insert(port);
    }
    assert_eq!(seen, others.iter().copied().chain([bench.up]).collect());
    let (verdict, _) = bench.request(&wandering(5), &source, &y);
    assert_eq!(verdict, PathVerdict::Forward(others[1]));
}

#[test]
fn our_own_request_does_not_come_back_and_a_full_one_goes_no_further() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    assert_eq!(bench.request(&request(), &own, &root).0, PathVerdict::Drop(DropReason::OwnReturned));
    let full = PathRequest { records: vec![Record::default(); MAX_HOPS], cursor: MAX_HOPS, ..request() };
    assert_eq!(bench.request(&full, &source, &root).0, PathVerdict::Drop(DropReason::FrameOverflow));
}

#[test]
fn a_peer_has_so_many_requests_and_no_more() {
    let [own, source, neighbour, root] = nodes();
    let mut bench = Bench::new(&own, &root, &neighbour);
    let passed =
        (0..1_000).filter(|_| matches!(bench.request(&request(), &source, &root).0, PathVerdict::Forward(_))).count();
    assert_eq!(passed, crate::router::routes::REQUESTS_OF_PEER.1 as usize);
    assert_eq!(bench.request(&request(), &source, &root).0, PathVerdict::Drop(DropReason::RateLimited));
}

proptest! {
    /// Nodes that are all alike and forward a frame among themselves, by whatever list: it ends, and takes no hop twice in one direction.
    #[test]
    fn whatever_the_list_a_frame_ends_after_twice_its_hops(picks in prop::collection::vec((0usize..6, any::<bool>()), 0..MAX_HOPS), start in 0usize..6) {
        const NODES: usize = 6;
        let pairs: [Arc<Keypair>; NODES] = nodes();
        let mut routers: Vec<Router> = pairs.iter().map(improved).collect();
        // Everybody peers with everybody: port p of node n leads to the p-th of the others.
        for (n, router) in routers.iter_mut().enumerate() {
            for (other, pair) in pairs.iter().enumerate() {
                if other != n {
                    modern(router, pair);
                }
            }
        }
        let port_to = |n: usize, other: usize| if other < n { other as Port + 1 } else { other as Port };
        let node_at = |n: usize, port: Port| if usize::from(port) <= n { usize::from(port) - 1 } else { usize::from(port) };
        // A list that leads somewhere, with hops that lead nowhere in between.
        let (mut at, mut hops) = (start, Vec::new());
        for (next, is_sound) in picks {
            if next != at {
                let sound = hop(&routers[at], port_to(at, next));
                hops.push(if is_sound { sound } else { Hop { epoch: sound.epoch ^ 1 << 30, ..sound } });
                at = next;
            }
        }
        let mut frame = sealed(&hops);
        let (mut node, mut from) = (start, port_to(start, (start + 1) % NODES));
        let mut steps = 0;
        while let RoutedVerdict::Forward(port) = forward(&mut routers[node], from, &mut frame) {
            let next = node_at(node, port);
            (from, node) = (port_to(next, node), next);
            steps += 1;
            prop_assert!(steps <= 2 * hops.len() + 1);
        }
        prop_assert!(frame.ends_with(b"message"));
        // Out through each node once, back through each once.
        prop_assert!(steps <= 2 * NODES);
    }
}
