//! Source routes between whole nodes, in virtual time: what is chosen, what happens when it breaks, and what attackers achieve.
//!
//! The nodes are those of the daemon, the network is simulated, and every run repeats from its seed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be is a failed test")]

use std::cell::RefCell;
use std::rc::Rc;

use pinecone::buf::PacketBuf;
use pinecone::drops::DropReason;
use pinecone::ip::firewall::Policy;
use pinecone::keys::Scheme;
use pinecone::node::status::{PathStatus, TraceAnswer};
use pinecone::node::{Event, NodeConfig, Port, RouteConfig, Target};
use pinecone::router::Profile;
use pinecone::sim::adversary::Plan;
use pinecone::sim::flow::FlowPlan;
use pinecone::sim::net::LinkModel;
use pinecone::sim::{NodeId, Sim};
use pinecone::time::{Duration, Instant};
use pinecone::wire::frame::{self, Frame, FrameKind, Header};
use pinecone::wire::route::request::{PathRequest, Record};
use pinecone::wire::route::{Hop, RouteKind, Routed};

const SECOND: Duration = Duration::from_secs(1);
const SLOW: u64 = 40;
const FAST: u64 = 2;
/// The ends of the diamond, and its arms.
const A: NodeId = 0;
const LEFT: NodeId = 1;
const RIGHT: NodeId = 2;
const D: NodeId = 3;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn link(latency: u64) -> LinkModel {
    LinkModel { latency: millis(latency), jitter: Duration::from_micros(100), ..LinkModel::default() }
}

fn config() -> NodeConfig {
    NodeConfig { firewall: Policy::Open, ..NodeConfig::default() }
}

fn open() -> NodeConfig {
    NodeConfig { routes: RouteConfig { seal: false, ..RouteConfig::default() }, ..config() }
}

fn plain() -> NodeConfig {
    NodeConfig { profile: Profile::strict(), ..config() }
}

fn network(seed: u64, configs: &[NodeConfig], links: &[(NodeId, NodeId, u64)]) -> Sim {
    let mut sim = Sim::with_scheme(seed, Scheme::Simulated);
    for config in configs {
        sim.add_node(config.clone());
    }
    for (a, b, latency) in links {
        sim.connect(*a, *b, link(*latency));
    }
    sim.run_for(10 * SECOND);
    sim
}

/// A – left, slow – D, and A – right, fast – D.
fn diamond(seed: u64, configs: [NodeConfig; 4]) -> Sim {
    network(seed, &configs, &[(A, LEFT, SLOW), (LEFT, D, SLOW), (A, RIGHT, FAST), (RIGHT, D, FAST)])
}

fn all(config: &NodeConfig) -> [NodeConfig; 4] {
    std::array::from_fn(|_| config.clone())
}

/// A hundred packets a second from one host to another.
fn flow(sim: &mut Sim, from: NodeId, to: NodeId, seconds: u32) -> usize {
    sim.start_flow(FlowPlan { from, to, period: millis(10), count: 100 * seconds, size: 200, echo: false })
}

fn stage(sim: &Sim, from: NodeId, to: NodeId) -> PathStatus {
    sim.node(from).unwrap().paths(&sim.key(to), sim.now())
}

/// The first peer of the route that is used.
fn first_peer(sim: &Sim, from: NodeId, to: NodeId) -> Option<NodeId> {
    let status = stage(sim, from, to);
    let used = status.candidates.iter().find(|it| it.used)?;
    (0..sim.len()).find(|id| Some(sim.key(*id)) == used.first_peer)
}

/// How long the packets of a flow took, those sent in the given span.
fn delays(sim: &Sim, flow: usize, from: Instant, to: Instant) -> Vec<Duration> {
    let flow = sim.flow(flow);
    let times = flow.sent.iter().zip(&flow.arrived).filter(|(sent, _)| (from..to).contains(*sent));
    times.filter_map(|(sent, arrived)| arrived.map(|at| at.saturating_since(*sent))).collect()
}

fn port_of(sim: &Sim, at: NodeId, peer: NodeId) -> Port {
    let peers = sim.node(at).unwrap().peers(sim.now());
    peers.iter().find(|it| it.key == sim.key(peer)).unwrap().port
}

fn drops(sim: &Sim, at: NodeId, reason: DropReason) -> u64 {
    sim.node(at).unwrap().status(sim.now()).drops.get(reason.label()).copied().unwrap_or_default()
}

/// Where frames arrived, from which port, and the frames.
type Heard = Rc<RefCell<Vec<(NodeId, Port, Vec<u8>)>>>;

/// Everything that arrives anywhere from now on.
fn overhear(sim: &mut Sim) -> Heard {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = heard.clone();
    sim.observe(Box::new(move |arrival| {
        log.borrow_mut().push((arrival.node, arrival.port, arrival.frame.to_vec()));
    }));
    heard
}

fn kind(frame: &[u8]) -> Option<FrameKind> {
    Header::parse(frame).ok().map(|header| header.kind)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn traffic_moves_to_the_fast_arm_and_back_when_it_is_cut_losing_hardly_a_packet() {
    for (config, sealed) in [(config(), true), (open(), false)] {
        for cut in [(A, RIGHT), (RIGHT, D)] {
            let mut sim = diamond(1, all(&config));
            let id = flow(&mut sim, A, D, 60);
            sim.run_for(5 * SECOND);
            assert_eq!(first_peer(&sim, A, D), Some(RIGHT), "{:?}", stage(&sim, A, D));
            assert!(stage(&sim, A, D).candidates.iter().all(|it| it.sealed == sealed));
            let begun = sim.now();
            sim.run_for(2 * SECOND);
            assert!(delays(&sim, id, begun, begun + SECOND).iter().all(|delay| *delay < millis(3 * FAST)));

            let lost_before = sim.flow(id).lost();
            sim.disconnect(cut.0, cut.1);
            sim.run_for(10 * SECOND);
            let now = sim.now();
            assert_eq!(first_peer(&sim, A, D), Some(LEFT), "{cut:?}: {:?}", stage(&sim, A, D));
            assert_eq!(delays(&sim, id, now - 9 * SECOND, now - SECOND).len(), 800, "all of it arrives");
            let under_way = (2 * SLOW / 10 + 1) as usize;
            let lost = sim.flow(id).lost().saturating_sub(lost_before).saturating_sub(under_way);
            assert!(lost <= 2, "{cut:?}: {lost} lost");

            sim.connect(cut.0, cut.1, link(FAST));
            sim.run_for(5 * SECOND);
            assert_eq!(first_peer(&sim, A, D), Some(RIGHT), "{cut:?}: {:?}", stage(&sim, A, D));
            sim.run_for(40 * SECOND);
            assert_eq!((sim.flow(id).duplicates, sim.violations().len()), (0, 0), "{:?}", sim.violations());
        }
    }
}

#[test]
fn stages_follow_one_another_snake_tree_route() {
    let mut sim = diamond(2, all(&config()));
    assert_eq!(stage(&sim, A, D).stage, "snake");
    flow(&mut sim, A, D, 10);
    let mut seen = vec!["snake".to_owned()];
    for _ in 0..3_000 {
        sim.run_for(millis(1));
        let stage = stage(&sim, A, D).stage;
        if seen.last() != Some(&stage) {
            seen.push(stage);
        }
    }
    // The root has no coordinates that could be told from none.
    assert!(seen == ["snake", "tree", "route"] || seen == ["snake", "route"], "{seen:?}");
    sim.run_for(30 * SECOND);
    assert_ne!(stage(&sim, A, D).stage, "route", "nothing is sent any more");
}

#[test]
fn relays_see_neither_end_s_key_in_the_packets_of_a_sealed_route() {
    let mut sim = diamond(3, all(&config()));
    let id = flow(&mut sim, A, D, 20);
    sim.run_for(5 * SECOND);
    let heard = overhear(&mut sim);
    sim.run_for(10 * SECOND);
    let heard = heard.borrow();
    let (a, d) = (sim.key(A).0, sim.key(D).0);
    let at_relay = || heard.iter().filter(|(node, ..)| *node == RIGHT).map(|(.., frame)| frame);
    let sealed: Vec<_> = at_relay().filter(|it| kind(it) == Some(FrameKind::Route(RouteKind::Sealed))).collect();
    assert!(sealed.len() >= 1_000, "{}", sealed.len());
    assert!(!sealed.iter().any(|frame| contains(frame, &a) || contains(frame, &d)));
    let packets = at_relay().filter(|frame| kind(frame) == Some(FrameKind::Traffic) && frame.len() > 200);
    assert_eq!(packets.count(), 0, "no packet goes with keys");
    // The index that relays saw together with both keys, in the handshake, is in none of them either.
    let indexes: std::collections::BTreeSet<&[u8]> =
        sealed.iter().map(|frame| &frame[Routed::parse(frame, true).unwrap().inside_at()..][4..8]).collect();
    assert!(indexes.len() <= 8, "masked, but the same for a route: {}", indexes.len());
    assert_eq!(sim.flow(id).duplicates, 0);
}

#[test]
fn frames_are_sealed_only_if_both_ends_want_that() {
    for (at_a, at_d) in [(config(), open()), (open(), config())] {
        let mut configs = all(&config());
        (configs[A], configs[D]) = (at_a, at_d);
        let mut sim = diamond(20, configs);
        let id = flow(&mut sim, A, D, 10);
        sim.run_for(5 * SECOND);
        let status = stage(&sim, A, D);
        assert!(status.stage == "route" && status.candidates.iter().all(|it| !it.sealed), "{status:?}");
        sim.run_for(6 * SECOND);
        assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
    }
}

#[test]
fn an_open_route_is_used_for_as_long_as_it_is_good() {
    // Long enough that marks are used again.
    let mut sim = diamond(21, all(&open()));
    let id = flow(&mut sim, A, D, 400);
    sim.run_for(5 * SECOND);
    for _ in 0..395 {
        sim.run_for(SECOND);
        assert_eq!(first_peer(&sim, A, D), Some(RIGHT), "{:?}", stage(&sim, A, D));
    }
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
}

#[test]
fn a_destination_that_restarts_is_reached_again_and_gets_a_route() {
    let mut sim = diamond(22, all(&config()));
    let id = flow(&mut sim, A, D, 30);
    sim.run_for(5 * SECOND);
    sim.stop(D);
    sim.run_for(SECOND);
    sim.start(D);
    for (peer, latency) in [(LEFT, SLOW), (RIGHT, FAST)] {
        sim.connect(peer, D, link(latency));
    }
    sim.run_for(10 * SECOND);
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT), "{:?}", stage(&sim, A, D));
    let now = sim.now();
    sim.run_for(5 * SECOND);
    assert_eq!(delays(&sim, id, now, now + SECOND).len(), 100);
}

#[test]
fn a_plain_node_on_the_way_is_crossed_without_a_route() {
    let line = [(0, 1, FAST), (1, 2, FAST), (2, 3, FAST)];
    let mut sim = network(4, &[config(), plain(), config(), config()], &line);
    let id = flow(&mut sim, 0, 3, 10);
    sim.run_for(12 * SECOND);
    assert_eq!(sim.flow(id).lost(), 0);
    assert_ne!(stage(&sim, 0, 3).stage, "route");

    let mut sim = network(4, &[config(), config(), plain(), config()], &line);
    let id = flow(&mut sim, 0, 3, 10);
    sim.run_for(9 * SECOND);
    let status = stage(&sim, 0, 3);
    assert_ne!(status.stage, "route");
    assert!(status.reason.contains("do not understand source routes"), "{status:?}");
    sim.run_for(3 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.violations().len()), (0, 0));
}

#[test]
fn a_route_goes_around_a_plain_node_where_it_can() {
    let mut configs = all(&config());
    configs[RIGHT] = plain();
    let mut sim = diamond(5, configs);
    flow(&mut sim, A, D, 20);
    sim.run_for(10 * SECOND);
    let status = stage(&sim, A, D);
    assert!(status.candidates.iter().all(|it| it.first_peer == Some(sim.key(LEFT))), "{status:?}");
}

#[test]
fn a_port_that_is_used_again_does_not_lead_to_another_neighbour() {
    for config in [config(), open()] {
        let mut sim = diamond(6, all(&config));
        let other = sim.add_node(config);
        let id = flow(&mut sim, A, D, 30);
        sim.run_for(5 * SECOND);
        assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
        let port = port_of(&sim, RIGHT, D);
        // What is under way to RIGHT finds a stranger at the port that it names.
        sim.disconnect(RIGHT, D);
        sim.connect(RIGHT, other, link(FAST));
        assert_eq!(port_of(&sim, RIGHT, other), port);
        let heard = overhear(&mut sim);
        sim.run_for(5 * SECOND);
        let routed = |frame: &[u8]| matches!(kind(frame), Some(FrameKind::Route(RouteKind::Sealed | RouteKind::Open)));
        assert!(!heard.borrow().iter().any(|(node, _, frame)| *node == other && routed(frame)));
        sim.run_for(25 * SECOND);
        let arrived: Vec<_> = sim.flow(id).arrived.iter().map(Option::is_some).collect();
        let lost: Vec<_> = (0..arrived.len()).filter(|n| !arrived[*n]).collect();
        assert!(lost.len() <= 2, "{lost:?} lost");
    }
}

#[test]
fn a_ring_whose_links_are_cut_at_random_loses_only_what_is_on_them() {
    for seed in 0..4 {
        let ring: Vec<_> = (0..8).map(|n| (n, (n + 1) % 8, 5)).collect();
        let mut sim = network(seed, &std::array::from_fn::<_, 8, _>(|_| config()), &ring);
        let id = sim.start_flow(FlowPlan { from: 0, to: 4, period: millis(10), count: 6_000, size: 500, echo: false });
        let mut cut: Option<usize> = None;
        for round in 0..12 {
            sim.run_for(5 * SECOND);
            if let Some(link_before) = cut.take() {
                let (a, b, _) = ring[link_before];
                sim.connect(a, b, link(5));
            } else {
                let at = ((seed as usize) * 5 + round * 3) % 8;
                sim.disconnect(ring[at].0, ring[at].1);
                cut = Some(at);
            }
        }
        sim.run_for(3 * SECOND);
        let flow = sim.flow(id);
        assert!(flow.longest_outage() <= SECOND, "seed {seed}: {:?}", flow.longest_outage());
        assert!(flow.lost() <= 6 * 3, "seed {seed}: {} lost in six cuts", flow.lost());
        assert_eq!((flow.duplicates, sim.violations().len()), (0, 0));
    }
}

#[test]
fn a_relay_that_swallows_packets_is_left_also_if_it_lets_probes_through() {
    for drop_longer_than in [0, 250] {
        let mut sim = diamond(7, all(&config()));
        let id = flow(&mut sim, A, D, 40);
        sim.run_for(5 * SECOND);
        assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
        let plan = Plan { drop_traffic: true, drop_longer_than, ..Plan::default() };
        sim.corrupt(RIGHT, Some(plan));
        sim.run_for(5 * SECOND);
        assert_ne!(first_peer(&sim, A, D), Some(RIGHT), "{:?}", stage(&sim, A, D));
        sim.run_for(10 * SECOND);
        let now = sim.now();
        let arrived = delays(&sim, id, now - 8 * SECOND, now - SECOND).len();
        assert!(arrived >= 690, "{arrived} of 700");
    }
}

#[test]
fn replayed_reordered_and_forged_requests_make_no_route() {
    let mut sim = diamond(8, all(&config()));
    let heard = overhear(&mut sim);
    let id = flow(&mut sim, A, D, 30);
    sim.run_for(6 * SECOND);
    let before = stage(&sim, A, D);
    let requests: Vec<_> =
        heard.borrow().iter().filter(|it| kind(&it.2) == Some(FrameKind::Route(RouteKind::Request))).cloned().collect();
    assert!(!requests.is_empty());
    // LEFT sends them again to whoever it can, as they were, in another order, and with paths of its own making.
    let wrong = Record { out: Hop { port: 77, epoch: 1 }, came_by: Hop { port: 78, epoch: 2 } };
    for (_, _, bytes) in requests.iter().rev().chain(&requests) {
        for victim in [A, D] {
            let port = port_of(&sim, victim, LEFT);
            let mut frames = vec![PacketBuf::from(&bytes[..])];
            let (request, at) = PathRequest::parse(bytes).unwrap();
            for records in [vec![], vec![wrong], vec![wrong; 64]] {
                let mut forged = PacketBuf::from(&bytes[at..]);
                let cursor = records.len();
                PathRequest { records, cursor, ..request.clone() }.wrap(&mut forged).unwrap();
                frames.push(forged);
            }
            // And what is inside without any request around it.
            frames.push(PacketBuf::from(&bytes[at..]));
            for frame in frames {
                assert!(sim.with_node(victim, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
            }
        }
    }
    sim.run_for(SECOND);
    assert!(drops(&sim, D, DropReason::Replayed) > 0);
    let after = stage(&sim, A, D);
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
    assert!(after.candidates.len() <= before.candidates.len() + 1, "{before:?} {after:?}");
    sim.run_for(30 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
}

#[test]
fn sealed_frames_that_are_replayed_returned_or_made_up_reach_no_host_and_cost_no_packet() {
    let mut sim = diamond(9, all(&config()));
    let id = flow(&mut sim, A, D, 30);
    sim.run_for(5 * SECOND);
    let heard = overhear(&mut sim);
    sim.run_for(SECOND);
    let sealed: Vec<_> = heard
        .borrow()
        .iter()
        .filter(|(node, _, frame)| *node == D && kind(frame) == Some(FrameKind::Route(RouteKind::Sealed)))
        .cloned()
        .collect();
    assert!(sealed.len() >= 90);
    for (_, port, bytes) in &sealed {
        for change in 0..5_u8 {
            let mut frame = PacketBuf::from(&bytes[..]);
            let at = Routed::parse(&frame, true).unwrap().inside_at();
            match change {
                0 => {}
                // Another label, another index, other contents, another place in the list.
                1 => frame[at - 5] ^= 1,
                2 => frame[at + 5] ^= 1,
                3 => frame[at + 40] ^= 1,
                _ => frame[12] = 0,
            }
            assert!(sim.with_node(D, |node, now| node.handle_frame(*port, frame, now)).unwrap().is_ok());
        }
    }
    // Sent back to their source by whoever is beside it: it sends each another way, where it is a replay.
    let port = port_of(&sim, A, RIGHT);
    for (_, _, bytes) in &sealed {
        let mut frame = PacketBuf::from(&bytes[..]);
        (frame[10], frame[12]) = (1, 0);
        assert!(sim.with_node(A, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
    }
    sim.run_for(10 * SECOND);
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT), "a new route is found: {:?}", stage(&sim, A, D));
    assert!(drops(&sim, D, DropReason::UnknownLabel) > 0 && drops(&sim, D, DropReason::Replayed) > 0);
    sim.run_for(20 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
    assert!(sim.violations().is_empty(), "{:?}", sim.violations());
}

#[test]
fn marks_that_a_relay_sets_are_believed_by_nobody_but_for_a_known_route() {
    let mut sim = diamond(10, all(&open()));
    let id = flow(&mut sim, A, D, 30);
    sim.run_for(5 * SECOND);
    let heard = overhear(&mut sim);
    sim.run_for(SECOND);
    let routed: Vec<_> = heard
        .borrow()
        .iter()
        .filter(|(node, _, frame)| *node == RIGHT && kind(frame) == Some(FrameKind::Route(RouteKind::Open)))
        .cloned()
        .collect();
    // RIGHT takes the route off, with every mark that there is, and sends it again and again.
    let port = port_of(&sim, D, RIGHT);
    for (n, (_, _, bytes)) in routed.iter().enumerate() {
        let mut frame = PacketBuf::from(&bytes[..]);
        let at = Routed::parse(&frame, false).unwrap().inside_at();
        frame.advance(at);
        frame[6] = n as u8;
        let outcome = sim.with_node(D, |node, now| node.handle_frame(port, frame, now)).unwrap();
        assert!(outcome.is_ok());
    }
    sim.run_for(10 * SECOND);
    assert_eq!(stage(&sim, A, D).stage, "route");
    sim.run_for(20 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
}

#[test]
fn requests_are_limited_for_each_peer_and_cost_one_frame_each_at_most() {
    let mut sim = diamond(11, all(&config()));
    let heard = overhear(&mut sim);
    flow(&mut sim, A, D, 5);
    sim.run_for(6 * SECOND);
    let (_, port, bytes) = heard
        .borrow()
        .iter()
        .find(|(node, _, frame)| *node == LEFT && kind(frame) == Some(FrameKind::Route(RouteKind::Request)))
        .cloned()
        .unwrap();
    let sent = |sim: &Sim| sim.counters(LEFT).traffic.frames;
    let before = sent(&sim);
    for _ in 0..5_000 {
        let frame = PacketBuf::from(&bytes[..]);
        assert!(sim.with_node(LEFT, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
    }
    let after = sent(&sim);
    assert!(after - before <= 400, "{before:?} {after:?}");
    assert!(drops(&sim, LEFT, DropReason::RateLimited) >= 4_600);
}

#[test]
fn malformed_frames_of_the_extension_close_the_peering_and_those_of_a_peer_without_it_do_not() {
    let mut sim = diamond(12, {
        let mut configs = all(&config());
        configs[LEFT] = plain();
        configs
    });
    for kind in [RouteKind::Request, RouteKind::Open, RouteKind::Sealed] {
        let mut bytes = b"pine\0\0\0\0\0\x0f\xff\xff\xff\xff\xff".to_vec();
        bytes[5] = FrameKind::Route(kind).to_byte();
        for (peer, closes) in [(LEFT, false), (RIGHT, true)] {
            let port = port_of(&sim, A, peer);
            let frame = PacketBuf::from(&bytes[..]);
            let outcome = sim.with_node(A, |node, now| node.handle_frame(port, frame, now)).unwrap();
            assert_eq!(outcome.is_err(), closes, "{kind:?} from {peer}");
        }
    }
}

#[test]
fn what_a_route_carries_is_its_source_s_affair_and_closes_no_peering() {
    let mut sim = diamond(13, all(&open()));
    let port = port_of(&sim, D, RIGHT);
    for inside in [&b"pine\0\x03\0\0\0\x0c\xff\xff"[..], b"", b"garbage", &frame::keepalive()] {
        let mut frame = PacketBuf::from(inside);
        pinecone::wire::route::wrap(&mut frame, &[]).unwrap();
        assert!(sim.with_node(D, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
    }
    assert!(drops(&sim, D, DropReason::MalformedFrame) >= 3);
}

#[test]
fn a_route_that_names_a_node_twice_is_not_followed_in_circles() {
    let triangle = [(0, 1, FAST), (1, 2, FAST), (2, 0, FAST), (2, 3, FAST)];
    let mut sim = network(14, &std::array::from_fn::<_, 4, _>(|_| config()), &triangle);
    let hop = |sim: &Sim, at: NodeId, to: NodeId| sim.node(at).unwrap().router().hop(port_of(sim, at, to)).unwrap();
    let around = [hop(&sim, 1, 2), hop(&sim, 2, 0), hop(&sim, 0, 1)];
    let hops: Vec<Hop> = around.into_iter().cycle().take(60).collect();
    let mut frame = PacketBuf::from(&[4; 60][..]);
    pinecone::wire::route::seal(&mut frame, &hops, 42).unwrap();
    let heard = overhear(&mut sim);
    let port = port_of(&sim, 1, 0);
    assert!(sim.with_node(1, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
    sim.run_for(SECOND);
    let count = heard.borrow().iter().filter(|it| kind(&it.2) == Some(FrameKind::Route(RouteKind::Sealed))).count();
    assert!((1..=8).contains(&count), "{count} hops of a frame that names 60");
}

fn ask_trace(sim: &mut Sim, from: NodeId, to: NodeId) -> TraceAnswer {
    let target = Target::Key(sim.key(to));
    let id = sim.with_node(from, |node, now| node.trace(target, 5 * SECOND, now)).unwrap();
    let mut answer = None;
    sim.run_until(6 * SECOND, |sim| {
        for event in sim.take_events(from) {
            if let Event::Trace(of, said) = event
                && of == id
            {
                answer = said;
            }
        }
        answer.is_some()
    });
    answer.unwrap()
}

#[test]
fn a_trace_names_every_node_on_the_way_and_how_each_forwards() {
    let line = [(0, 1, FAST), (1, 2, 10), (2, 3, FAST)];
    let mut sim = network(15, &std::array::from_fn::<_, 4, _>(|_| config()), &line);
    let answer = ask_trace(&mut sim, 0, 3);
    let keys: Vec<_> = answer.hops.iter().map(|hop| hop.key).collect();
    assert_eq!(keys, (0..4).map(|id| Some(sim.key(id))).collect::<Vec<_>>(), "{answer:?}");
    assert!(answer.reached && answer.hops[3].state == "destination");
    let rtts: Vec<_> = answer.hops[1..].iter().map(|hop| hop.rtt_seconds.unwrap()).collect();
    assert!(rtts.is_sorted() && rtts[0] < 0.006 && rtts[2] > 0.026, "{rtts:?}");

    flow(&mut sim, 0, 3, 10);
    sim.run_for(5 * SECOND);
    let answer = ask_trace(&mut sim, 0, 3);
    let stages: Vec<_> = answer.hops.iter().map(|hop| hop.stage.as_deref()).collect();
    assert_eq!(stages, [Some("route"), Some("route"), Some("route"), None], "{answer:?}");
}

#[test]
fn a_node_that_refuses_to_be_traced_is_shown_as_hidden_and_a_plain_one_ends_the_trace() {
    let line = [(0, 1, FAST), (1, 2, FAST), (2, 3, FAST)];
    let mut hidden = config();
    hidden.routes.answer_trace = false;
    let mut sim = network(16, &[config(), hidden, config(), config()], &line);
    let answer = ask_trace(&mut sim, 0, 3);
    assert!(answer.reached, "{answer:?}");
    assert_eq!((answer.hops[1].state.as_str(), answer.hops[1].key), ("hidden", None));
    assert_eq!(answer.hops[2].key, Some(sim.key(2)));

    let mut sim = network(16, &[config(), config(), plain(), config()], &line);
    let answer = ask_trace(&mut sim, 0, 3);
    assert!(!answer.reached);
    assert_eq!(
        answer.hops.iter().map(|hop| hop.state.as_str()).collect::<Vec<_>>(),
        ["this node", "forwards", "plain"],
        "{answer:?}"
    );
}

#[test]
fn a_trace_to_nobody_ends_and_says_where() {
    let mut sim = network(17, &[config(), config()], &[(0, 1, FAST)]);
    let nobody = sim.random_keypair().public();
    let id = sim.with_node(0, |node, now| node.trace(Target::Key(nobody), 5 * SECOND, now)).unwrap();
    let mut ended = None;
    sim.run_until(10 * SECOND, |sim| {
        for event in sim.take_events(0) {
            if let Event::Trace(of, answer) = event {
                ended = Some((of, answer));
            }
        }
        ended.is_some()
    });
    let (of, answer) = ended.unwrap();
    assert_eq!(of, id);
    assert!(!answer.unwrap().reached);
}

#[test]
fn paths_are_looked_for_when_somebody_asks() {
    let mut sim = diamond(18, all(&config()));
    let target = Target::Address(pinecone::addr::Destination::Node(sim.address(D)));
    let id = sim.with_node(A, |node, now| node.path(target, 5 * SECOND, now)).unwrap();
    let mut answer = None;
    sim.run_until(6 * SECOND, |sim| {
        for event in sim.take_events(A) {
            if let Event::Path(of, Some(status)) = event
                && of == id
            {
                answer = Some(status);
            }
        }
        answer.is_some()
    });
    let status = answer.unwrap();
    assert_eq!(status.stage, "route");
    let mut rtts: Vec<_> = status.candidates.iter().filter_map(|it| it.rtt_seconds).collect();
    rtts.sort_by(f64::total_cmp);
    assert!(rtts.len() >= 2 && rtts[0] < 0.012 && rtts[rtts.len() - 1] > 0.15, "{status:?}");
    assert!(status.candidates.iter().find(|it| it.used).unwrap().rtt_seconds.unwrap() < 0.012);
}

#[test]
fn a_frame_of_ours_that_is_no_request_is_never_taken_for_one() {
    // The traffic frame of a request, sent alone, is answered with "no path", and changes nothing.
    let mut sim = diamond(19, all(&config()));
    let heard = overhear(&mut sim);
    let id = flow(&mut sim, A, D, 10);
    sim.run_for(4 * SECOND);
    let inside = heard.borrow().iter().filter(|(node, ..)| *node == LEFT).find_map(|(.., bytes)| {
        let (request, at) =
            (kind(bytes) == Some(FrameKind::Route(RouteKind::Request))).then(|| PathRequest::parse(bytes).unwrap())?;
        let Ok(Frame::Traffic(traffic)) = frame::parse(&bytes[at..]) else { return None };
        (traffic.destination_key == sim.key(D) && !request.is_trace).then(|| bytes[at..].to_vec())
    });
    let port = port_of(&sim, D, LEFT);
    let frame = PacketBuf::from(&inside.unwrap()[..]);
    assert!(sim.with_node(D, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
    sim.run_for(8 * SECOND);
    assert_eq!(sim.flow(id).lost(), 0);
}

/// What a busy flow across a grid of 49 nodes costs besides its packets, in bytes per second over all links together: path requests, and probes with
/// their answers.
fn upkeep(seed: u64) -> (u64, u64) {
    let links: Vec<_> = (0..49)
        .flat_map(|n| [(n % 7 < 6).then_some((n, n + 1, 5)), (n < 42).then_some((n, n + 7, 5))])
        .flatten()
        .collect();
    let mut sim = network(seed, &vec![config(); 49], &links);
    let id = sim.start_flow(FlowPlan { from: 0, to: 48, period: millis(100), count: 600, size: 1_000, echo: false });
    sim.run_for(20 * SECOND);
    assert_eq!(stage(&sim, 0, 48).stage, "route");
    let heard = overhear(&mut sim);
    sim.run_for(30 * SECOND);
    let (mut requests, mut others) = (0, 0);
    for (.., frame) in heard.borrow().iter() {
        let len = frame.len() as u64;
        match kind(frame) {
            Some(FrameKind::Route(RouteKind::Request)) => requests += len,
            Some(FrameKind::Route(_) | FrameKind::Traffic) if len < 1_000 => others += len,
            _ => {}
        }
    }
    sim.run_for(12 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
    (requests / 30, others / 30)
}

/// Twelve links from corner to corner. When every way was probed every second, replies and probes were 22,400 to 24,300 bytes a second; packets are
/// 134,000.
#[test]
fn what_keeps_a_route_is_far_less_than_probing_every_way_every_second_takes() {
    for seed in 30..33 {
        let (requests, probes) = upkeep(seed);
        println!("seed {seed}: path requests {requests} bytes a second, probes {probes}");
        assert!(requests < 3_500 && probes < 15_000, "requests {requests}, probes {probes}");
    }
}

#[test]
fn an_exchange_goes_on_within_a_second_after_a_cut_that_nobody_is_told_of() {
    for seed in 40..46 {
        let mut sim = diamond(seed, all(&config()));
        let there =
            sim.start_flow(FlowPlan { from: A, to: D, period: millis(10), count: 2_000, size: 200, echo: true });
        sim.run_for(6 * SECOND);
        assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
        // Whatever comes there is lost, probes too, and both its peerings stay up.
        sim.run_for(millis(seed * 170 % 1_000));
        sim.corrupt(RIGHT, Some(Plan { drop_traffic: true, drop_longer_than: 0, ..Plan::default() }));
        sim.run_for(SECOND);
        assert_eq!((first_peer(&sim, A, D), first_peer(&sim, D, A)), (Some(LEFT), Some(LEFT)), "seed {seed}");
        sim.run_for(20 * SECOND);
        let outage = sim.flow(there).longest_outage();
        assert!(outage <= millis(700), "seed {seed}: {outage:?}");
    }
}

#[test]
fn who_wants_no_routes_has_none_answers_nobody_and_still_carries_those_of_others() {
    let off = || NodeConfig { routes: RouteConfig { enabled: false, ..RouteConfig::default() }, ..config() };
    // One end does not want them: then there are none in either direction, and packets arrive as ever.
    for at in [A, D] {
        let mut configs = all(&config());
        configs[at] = off();
        let mut sim = diamond(50, configs);
        let heard = overhear(&mut sim);
        let flows = [(A, D), (D, A)].map(|(from, to)| flow(&mut sim, from, to, 30));
        sim.run_for(32 * SECOND);
        for (from, to) in [(A, D), (D, A)] {
            let status = stage(&sim, from, to);
            assert!(status.stage != "route" && status.candidates.is_empty(), "{status:?}");
        }
        assert!(stage(&sim, at, A + D - at).reason.contains("session.source_routes"));
        assert!(drops(&sim, at, DropReason::RoutesRefused) > 0);
        let from_it = |node: NodeId, port: Port| [LEFT, RIGHT].contains(&node) && port == port_of(&sim, node, at);
        let sent = heard
            .borrow()
            .iter()
            .filter(|(node, port, _)| from_it(*node, *port))
            .map(|it| kind(&it.2))
            .collect::<Vec<_>>();
        assert!(sent.len() > 1_000 && !sent.iter().any(|kind| matches!(kind, Some(FrameKind::Route(_)))));
        let asked = heard
            .borrow()
            .iter()
            .filter(|(node, ..)| *node == at)
            .filter(|it| kind(&it.2) == Some(FrameKind::Route(RouteKind::Request)))
            .count();
        assert!(asked <= 4 * 8, "asked {asked} times in half a minute");
        for id in flows {
            assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
        }
    }
    // A relay does not: it carries.
    let mut configs = all(&config());
    configs[RIGHT] = off();
    let mut sim = diamond(51, configs);
    flow(&mut sim, A, D, 10);
    sim.run_for(5 * SECOND);
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
}

#[test]
fn routes_that_are_switched_off_while_they_are_used_are_left_without_a_packet_lost() {
    for (config, at) in [(config(), A), (config(), D), (open(), A), (open(), D)] {
        let mut sim = diamond(52, all(&config));
        let id = flow(&mut sim, A, D, 20);
        sim.run_for(5 * SECOND);
        assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
        sim.with_node(at, |node, _| node.set_source_routes(false)).unwrap();
        sim.run_for(5 * SECOND);
        assert_ne!(stage(&sim, A, D).stage, "route");
        sim.with_node(at, |node, _| node.set_source_routes(true)).unwrap();
        sim.run_for(12 * SECOND);
        assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
    }
}

#[test]
fn packets_as_long_as_frames_allow_take_the_route_and_longer_ones_are_refused_to_the_host() {
    // So long a line that the list of hops takes the room that packets of 65,000 bytes leave.
    const LAST: NodeId = 60;
    let links: Vec<_> = (0..LAST).map(|n| (n, n + 1, 1)).collect();
    let mut sim = network(53, &vec![open(); LAST + 1], &links);
    flow(&mut sim, 0, LAST, 60);
    sim.run_for(8 * SECOND);
    assert_eq!(stage(&sim, 0, LAST).stage, "route");
    let send = |sim: &mut Sim, size: usize| {
        let refused = drops(sim, 0, DropReason::TooBig);
        let plan = FlowPlan { from: 0, to: LAST, period: millis(10), count: 1, size, echo: false };
        let id = sim.start_flow(plan);
        sim.run_for(millis(300));
        (drops(sim, 0, DropReason::TooBig) > refused, sim.flow(id).lost())
    };
    let (mut fits, mut too_long) = (60_000, 65_001);
    while too_long - fits > 1 {
        let size = (fits + too_long) / 2;
        if send(&mut sim, size).0 { too_long = size } else { fits = size }
    }
    assert!((64_000..65_000).contains(&fits), "{fits}");
    let heard = overhear(&mut sim);
    for size in [fits, fits - 1, fits] {
        assert_eq!(send(&mut sim, size), (false, 0), "{size}");
    }
    assert!(send(&mut sim, fits + 1).0);
    let long: Vec<_> = heard.borrow().iter().filter(|it| it.2.len() > 60_000).map(|it| kind(&it.2)).collect();
    assert_eq!(long, vec![Some(FrameKind::Route(RouteKind::Open)); 3 * LAST]);
}

/// The frames that reached a node by tree or snake from `from` to `to`.
fn ordinary_frames(sim: &Sim, heard: &Heard, (from, to): (NodeId, NodeId)) -> Vec<Vec<u8>> {
    let (from, to) = (sim.key(from), sim.key(to));
    let is_it = |bytes: &[u8]| matches!(frame::parse(bytes), Ok(Frame::Traffic(it)) if it.source_key == from && it.destination_key == to);
    heard.borrow().iter().filter(|it| is_it(&it.2)).map(|it| it.2.clone()).collect()
}

#[test]
fn replies_that_are_replayed_reordered_or_forged_make_no_route_and_cost_no_packet() {
    let mut sim = diamond(60, all(&config()));
    let heard = overhear(&mut sim);
    let id = flow(&mut sim, A, D, 40);
    sim.run_for(8 * SECOND);
    // Replies to path requests, and answers to probes of the way without a route, among them.
    let replies = ordinary_frames(&sim, &heard, (D, A));
    assert!(replies.len() >= 8, "{}", replies.len());
    let known = stage(&sim, A, D).candidates.len();
    for (n, bytes) in replies.iter().rev().chain(&replies).enumerate() {
        let port = port_of(&sim, A, if n % 2 == 0 { LEFT } else { RIGHT });
        for change in 0..4 {
            let mut frame = PacketBuf::from(&bytes[..]);
            let len = frame.len();
            match change {
                0 => {}
                // The counter, the contents, the tag.
                1 => frame[len - 30] ^= 1,
                2 => frame[len - 20] ^= 0x80,
                _ => frame[len - 1] ^= 1,
            }
            assert!(sim.with_node(A, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
        }
    }
    sim.run_for(SECOND);
    assert!(drops(&sim, A, DropReason::Replayed) > 0 && drops(&sim, A, DropReason::Forged) > 0);
    let status = stage(&sim, A, D);
    assert!(status.candidates.len() <= known + 1, "{status:?}");
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
    sim.run_for(40 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
}

#[test]
fn a_list_that_a_relay_changed_before_the_request_got_there_is_used_by_nobody() {
    let mut sim = diamond(61, all(&config()));
    let heard = overhear(&mut sim);
    let id = flow(&mut sim, A, D, 40);
    let wrong = |port, epoch| Record { out: Hop { port, epoch }, came_by: Hop { port: port + 1, epoch } };
    let (mut seen, mut changed) = (0, 0);
    // LEFT passes each request on in no time, with a list of its own making, so that the true one is the copy.
    for _ in 0..12_000 {
        sim.run_for(millis(1));
        let new: Vec<_> = heard.borrow()[seen..].to_vec();
        seen = heard.borrow().len();
        for (node, _, bytes) in new {
            if node != LEFT || kind(&bytes) != Some(FrameKind::Route(RouteKind::Request)) {
                continue;
            }
            let (request, at) = PathRequest::parse(&bytes).unwrap();
            let Ok(Frame::Traffic(inside)) = frame::parse(&bytes[at..]) else { continue };
            if inside.source_key != sim.key(A) {
                continue;
            }
            changed += 1;
            let records = vec![wrong(3, changed), wrong(7, 1)];
            let mut forged = PacketBuf::from(&bytes[at..]);
            PathRequest { cursor: records.len(), records, ..request }.wrap(&mut forged).unwrap();
            let port = port_of(&sim, D, LEFT);
            assert!(sim.with_node(D, |node, now| node.handle_frame(port, forged, now)).unwrap().is_ok());
        }
    }
    assert!(changed >= 4, "{changed}");
    let status = stage(&sim, A, D);
    let by_left: Vec<_> = status.candidates.iter().filter(|it| it.first_peer == Some(sim.key(LEFT))).collect();
    assert!(by_left.iter().all(|it| it.probes_answered == 0 && !it.used), "{by_left:?}");
    assert_eq!(first_peer(&sim, A, D), Some(RIGHT));
    sim.run_for(30 * SECOND);
    assert_eq!((sim.flow(id).lost(), sim.flow(id).duplicates), (0, 0));
}

#[test]
fn traces_are_answered_a_hundred_times_a_second_and_each_with_less_than_was_asked() {
    let mut sim = diamond(62, all(&config()));
    let heard = overhear(&mut sim);
    ask_trace(&mut sim, A, D);
    let is_trace = |bytes: &[u8]| {
        kind(bytes) == Some(FrameKind::Route(RouteKind::Request)) && PathRequest::parse(bytes).unwrap().0.is_trace
    };
    let (node, port, bytes) = heard
        .borrow()
        .iter()
        .find(|it| is_trace(&it.2) && PathRequest::parse(&it.2).unwrap().0.remaining == 0)
        .cloned()
        .unwrap();
    let answers = |heard: &Heard| {
        let heard = heard.borrow();
        let back = heard.iter().filter(|it| it.0 == A && kind(&it.2) == Some(FrameKind::Route(RouteKind::Sealed)));
        back.map(|it| it.2.len()).collect::<Vec<_>>()
    };
    let before = answers(&heard).len();
    let mut asked = 0;
    // As many as a peer may send of requests at all, for ten seconds.
    for _ in 0..1_000 {
        for _ in 0..2 {
            let mut frame = PacketBuf::from(&bytes[..]);
            let at = PathRequest::parse(&bytes).unwrap().1;
            let mut request = PathRequest::parse(&bytes).unwrap().0;
            (request.salt, asked) = (asked, asked + 1);
            frame.advance(at);
            request.wrap(&mut frame).unwrap();
            assert!(sim.with_node(node, |node, now| node.handle_frame(port, frame, now)).unwrap().is_ok());
        }
        sim.run_for(millis(10));
    }
    sim.run_for(SECOND);
    let answered = answers(&heard);
    let count = answered.len() - before;
    assert!((900..=1_250).contains(&count), "{count} of {asked} answered in ten seconds");
    assert!(answered.iter().all(|len| *len < bytes.len()), "{} asked, {answered:?}", bytes.len());
    assert!(drops(&sim, node, DropReason::RateLimited) as usize >= asked as usize - count - 10);
}
