//! Whole nodes in a simulated network: what goes into one host comes out of the right other one, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be is a failed test")]
mod common;

use std::time::Duration;

use common::graphs::{build, delivers, edges, line, reaches};
use common::packets::{icmp_type_code, too_big_mtu, udp};
use pinecone::addr::{Destination, Subnet};
use pinecone::buf::{Offload, PacketBuf};
use pinecone::drops::DropReason;
use pinecone::ip::firewall::Policy;
use pinecone::node::{Event, NodeConfig, Target};
use pinecone::sim::Sim;
use pinecone::sim::net::LinkModel;

const SEC: Duration = Duration::from_secs(1);

fn open() -> NodeConfig {
    NodeConfig { firewall: Policy::Open, ..NodeConfig::default() }
}

fn drops(sim: &Sim, id: usize, reason: DropReason) -> u64 {
    sim.node(id).unwrap().status(sim.now()).drops.get(reason.label()).copied().unwrap_or(0)
}

/// All pairs, or a sample of them, reach each other.
fn assert_all_reach(sim: &mut Sim, ids: &[usize], limit: Duration, context: &str) {
    let step = (ids.len() * ids.len() / 200).max(1);
    let pairs = ids.iter().flat_map(|a| ids.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
    for (a, b) in pairs.step_by(step) {
        assert!(delivers(sim, a, b, limit), "{context}: {a} does not reach {b}");
    }
}

#[test]
fn two_nodes_exchange_packets_by_their_addresses_alone() {
    let mut sim = build(1, &line(2), &open());
    sim.run_for(2 * SEC);
    assert!(delivers(&mut sim, 0, 1, SEC) && delivers(&mut sim, 1, 0, SEC));
    let status = sim.node(0).unwrap().status(sim.now());
    assert_eq!((status.peers, status.sessions), (1, 1));
    assert_eq!(sim.violations(), &[] as &[String]);
}

#[test]
fn every_topology_delivers_between_all_pairs() {
    for (name, seed) in [("line-00050", 2), ("grid4-00049", 3), ("mnl-rtree-0050", 4), ("ba-00100-s1", 5)] {
        let mut sim = build(seed, &edges(name), &open());
        sim.run_for(20 * SEC);
        let ids: Vec<_> = (0..edges(name).iter().map(|(a, b)| a.max(b) + 1).max().unwrap()).collect();
        assert_all_reach(&mut sim, &ids, 3 * SEC, &format!("{name}, seed {seed}"));
        assert_eq!(sim.violations(), &[] as &[String], "{name}");
    }
}

#[test]
fn a_packet_sent_before_the_network_has_converged_arrives_once_it_has() {
    let mut sim = build(6, &line(8), &open());
    assert!(delivers(&mut sim, 0, 7, 30 * SEC));
}

#[test]
fn frames_to_a_known_node_take_the_tree() {
    let mut sim = build(7, &edges("grid4-00049"), &open());
    sim.run_for(15 * SEC);
    assert!(delivers(&mut sim, 0, 48, 3 * SEC) && delivers(&mut sim, 48, 0, SEC));
    sim.run_for(SEC);
    for (at, of) in [(0, 48), (48, 0)] {
        let sessions = sim.node(at).unwrap().sessions(sim.now());
        let session = sessions.iter().find(|session| session.key == sim.key(of)).unwrap();
        let is_root = sim.node(of).unwrap().status(sim.now()).coordinates.is_empty();
        assert_eq!(session.routed_by, if is_root { "snake" } else { "tree" });
    }
}

#[test]
fn an_address_that_nobody_owns_is_reported_to_the_application() {
    let mut sim = build(8, &line(4), &open());
    sim.run_for(5 * SEC);
    let nobody = "6a5:1234:5678:9abc:def0:1234:5678:9abc".parse().unwrap();
    let packet = udp(sim.address(0).ip(), nobody, (1, 2), b"anyone?");
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    let told =
        sim.run_until(10 * SEC, |sim| sim.take_received(0).iter().any(|packet| icmp_type_code(packet) == Some((1, 0))));
    assert!(told, "no «no route to destination»");
    assert_eq!(drops(&sim, 0, DropReason::NoRouteToKey), 1);
}

#[test]
fn an_application_that_keeps_sending_to_nobody_is_told_all_the_same() {
    let mut sim = build(8, &line(4), &open());
    sim.run_for(5 * SEC);
    let nobody = "6a5:1234:5678:9abc:def0:1234:5678:9abc".parse().unwrap();
    let told = (0..20).any(|_| {
        let packet = udp(sim.address(0).ip(), nobody, (1, 2), b"anyone?");
        sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
        sim.run_for(SEC / 2);
        sim.take_received(0).iter().any(|packet| icmp_type_code(packet) == Some((1, 0)))
    });
    assert!(told, "no «no route to destination» within 10 s");
}

#[test]
fn packets_that_keep_coming_do_not_put_off_the_report() {
    let mut sim = build(13, &line(2), &open());
    sim.run_for(2 * SEC);
    let nobody = "6a5:1234:5678:9abc:def0:1234:5678:9abc".parse().unwrap();
    let mut told = 0;
    for _ in 0..40 {
        let packet = udp(sim.address(0).ip(), nobody, (1, 2), b"anyone?");
        sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
        sim.run_for(SEC / 4);
        told += sim.take_received(0).iter().filter(|packet| icmp_type_code(packet) == Some((1, 0))).count();
    }
    assert!((20..=40).contains(&told), "{told} of 40 packets were reported");
}

#[test]
fn a_foreign_source_address_is_refused_at_both_ends() {
    let mut sim = build(9, &line(2), &open());
    sim.run_for(2 * SEC);
    let packet = udp("2001:db8::1".parse().unwrap(), sim.address(1).ip(), (1, 2), b"spoofed");
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    assert_eq!(sim.take_received(0).iter().filter_map(|packet| icmp_type_code(packet)).next(), Some((1, 5)));
    assert_eq!(drops(&sim, 0, DropReason::ForeignSource), 1);
    sim.run_for(2 * SEC);
    assert!(sim.take_received(1).is_empty());
}

/// A TCP packet with `len` data bytes whose checksum is left undone, that stands for packets of `size` data bytes each.
fn tcp_segments(sim: &Sim, (from, to): (usize, usize), len: usize, size: u16) -> PacketBuf {
    let (from, to) = (sim.address(from).ip(), sim.address(to).ip());
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(((20 + len) as u16).to_be_bytes());
    bytes.extend([6, 64]);
    bytes.extend([from.octets(), to.octets()].concat());
    bytes.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    bytes.extend((0..len).map(|n| n as u8));
    let mut packet = PacketBuf::from(&bytes[..]);
    packet.offload = Offload::Segments(size);
    packet
}

/// Lengths and offloads of what node 1 gets of a packet of node 0; the data is checked.
fn received_of(sim: &mut Sim, packet: PacketBuf) -> Vec<(usize, Offload)> {
    let data = packet[60..].to_vec();
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    sim.run_for(2 * SEC);
    let received = sim.take_received(1);
    assert_eq!(received.iter().flat_map(|packet| packet[60..].to_vec()).collect::<Vec<_>>(), data);
    received.iter().map(|packet| (packet.len(), packet.offload)).collect()
}

#[test]
fn a_packet_that_stands_for_many_arrives_as_it_left() {
    let mut sim = build(16, &line(2), &open());
    sim.run_for(2 * SEC);
    let packet = tcp_segments(&sim, (0, 1), 40_000, 1_400);
    assert_eq!(received_of(&mut sim, packet), [(40_060, Offload::Segments(1_400))]);
}

#[test]
fn a_packet_that_stands_for_more_than_others_take_arrives_in_pieces() {
    let mut sim = build(16, &line(2), &open());
    sim.run_for(2 * SEC);
    let packet = tcp_segments(&sim, (0, 1), 40_000, 100);
    let received = received_of(&mut sim, packet);
    assert_eq!(received.len(), 4, "{received:?}");
    assert!(received.iter().all(|(len, offload)| *len <= 60 + 12_800 && *offload == Offload::Segments(100)));
}

#[test]
fn for_a_slow_peering_frames_are_short_and_the_host_is_told_a_small_mtu() {
    let mut sim = build(17, &line(2), &open());
    sim.run_for(2 * SEC);
    assert!(delivers(&mut sim, 0, 1, SEC));
    sim.with_node(0, |node, _| node.set_frame_len(1, 4_500));
    let packet = tcp_segments(&sim, (0, 1), 14_000, 1_400);
    let received = received_of(&mut sim, packet);
    assert_eq!(received.len(), 4, "{received:?}");
    assert!(received.iter().all(|(len, _)| *len <= 4_500));
    let large = udp(sim.address(0).ip(), sim.address(1).ip(), (1, 2), &[0; 3_000]);
    sim.with_node(0, |node, now| node.handle_tun_packet(large.clone(), now));
    assert_eq!(sim.take_received(0).iter().find_map(|packet| too_big_mtu(packet)), Some(1_500));
    // Once it is fast again nothing of that is left.
    sim.with_node(0, |node, _| node.set_frame_len(1, usize::MAX));
    sim.with_node(0, |node, now| node.handle_tun_packet(large, now));
    sim.run_for(SEC);
    assert_eq!(sim.take_received(1).iter().map(|packet| packet.len()).collect::<Vec<_>>(), [3_048]);
}

#[test]
fn a_routed_prefix_reaches_the_node_in_front_of_it() {
    let mut sim = build(10, &line(3), &open());
    sim.run_for(5 * SEC);
    let mut host = Subnet::of(&sim.key(2)).ip().octets();
    host[15] = 0x42;
    let packet = udp(sim.address(0).ip(), host.into(), (1, 2), b"to a host behind");
    let expected = packet.to_vec();
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    assert!(sim.run_until(5 * SEC, |sim| sim.take_received(2).iter().any(|packet| **packet == expected[..])));
    let answer = udp(host.into(), sim.address(0).ip(), (2, 1), b"from behind");
    let expected = answer.to_vec();
    sim.with_node(2, |node, now| node.handle_tun_packet(answer, now));
    assert!(sim.run_until(5 * SEC, |sim| sim.take_received(0).iter().any(|packet| **packet == expected[..])));
}

#[test]
fn a_packet_too_big_for_the_other_side_is_answered_with_its_mtu() {
    let mut sim = Sim::new(11);
    let a = sim.add_node(open());
    let b = sim.add_node(NodeConfig { mtu: 1400, ..open() });
    sim.connect(a, b, LinkModel::default());
    sim.run_for(2 * SEC);
    assert!(delivers(&mut sim, a, b, 2 * SEC));
    sim.take_received(a);
    let packet = udp(sim.address(a).ip(), sim.address(b).ip(), (1, 2), &[7; 3000]);
    sim.with_node(a, |node, now| node.handle_tun_packet(packet, now));
    assert_eq!(sim.take_received(a).iter().find_map(|packet| too_big_mtu(packet)), Some(1400));
}

#[test]
fn the_largest_packet_crosses_a_deep_tree() {
    let mut sim = build(12, &line(50), &open());
    sim.run_for(30 * SEC);
    assert!(delivers(&mut sim, 0, 49, 5 * SEC));
    let packet = udp(sim.address(0).ip(), sim.address(49).ip(), (1, 2), &vec![1; 65_000 - 48]);
    let expected = packet.to_vec();
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    assert!(sim.run_until(5 * SEC, |sim| sim.take_received(49).iter().any(|packet| **packet == expected[..])));
}

#[test]
fn a_restarted_node_is_reached_within_two_seconds() {
    for seed in 20..40 {
        let mut sim = build(seed, &line(4), &open());
        sim.run_for(6 * SEC);
        assert!(delivers(&mut sim, 0, 3, 3 * SEC), "seed {seed}");
        sim.stop(3);
        sim.run_for(3 * SEC);
        sim.start(3);
        sim.connect(2, 3, LinkModel::default());
        assert!(reaches(&mut sim, 0, 3, 2 * SEC).is_some(), "seed {seed}: not reached");
        assert!(reaches(&mut sim, 3, 0, 2 * SEC).is_some(), "seed {seed}: does not reach");
    }
}

#[test]
fn a_ring_survives_the_loss_of_a_link() {
    for seed in 40..60 {
        let ring: Vec<_> = (0..5).map(|i| (i, (i + 1) % 5)).collect();
        let mut sim = build(seed, &ring, &open());
        sim.run_for(6 * SEC);
        assert!(delivers(&mut sim, 0, 2, 3 * SEC), "seed {seed}");
        sim.disconnect(0, 1);
        assert!(reaches(&mut sim, 0, 2, 5 * SEC).is_some(), "seed {seed}: 0-1 cut");
        sim.connect(0, 1, LinkModel::default());
        sim.disconnect(3, 4);
        assert!(reaches(&mut sim, 2, 0, 5 * SEC).is_some(), "seed {seed}: 3-4 cut");
    }
}

#[test]
fn two_networks_that_meet_become_one_and_part_again() {
    for seed in 40..43 {
        let mut halves = line(5);
        halves.extend(line(5).iter().map(|(a, b)| (a + 5, b + 5)));
        let mut sim = build(seed, &halves, &open());
        sim.run_for(10 * SEC);
        for round in 0..2 {
            sim.connect(4, 5, LinkModel::default());
            assert!(reaches(&mut sim, 0, 9, 15 * SEC).is_some(), "seed {seed}, round {round}: merged");
            sim.run_for(10 * SEC);
            let ids: Vec<_> = (0..10).collect();
            assert_all_reach(&mut sim, &ids, 3 * SEC, &format!("seed {seed}, round {round}"));
            sim.disconnect(4, 5);
            assert!(reaches(&mut sim, 0, 4, 15 * SEC).is_some(), "seed {seed}, round {round}: left half");
            assert!(reaches(&mut sim, 5, 9, 15 * SEC).is_some(), "seed {seed}, round {round}: right half");
        }
    }
}

#[test]
fn packets_for_a_node_that_is_away_for_a_while_are_kept() {
    let mut sim = build(50, &line(3), &open());
    sim.run_for(6 * SEC);
    assert!(delivers(&mut sim, 0, 2, 3 * SEC));
    sim.stop(2);
    sim.run_for(200 * SEC);
    let packet = udp(sim.address(0).ip(), sim.address(2).ip(), (1, 2), b"kept");
    let expected = packet.to_vec();
    sim.with_node(0, |node, now| node.handle_tun_packet(packet, now));
    sim.run_for(20 * SEC);
    sim.start(2);
    sim.connect(1, 2, LinkModel::default());
    assert!(sim.run_until(8 * SEC, |sim| sim.take_received(2).iter().any(|packet| **packet == expected[..])));
}

#[test]
fn lossy_links_delay_sessions_and_do_not_prevent_them() {
    for seed in 60..65 {
        let mut sim = Sim::new(seed);
        for _ in 0..4 {
            sim.add_node(open());
        }
        for (a, b) in line(4) {
            sim.connect(a, b, LinkModel { loss_ppm: 100_000, ..LinkModel::default() });
        }
        sim.run_for(6 * SEC);
        let mut arrived = 0;
        for _ in 0..50 {
            arrived += usize::from(delivers(&mut sim, 0, 3, SEC));
        }
        assert!(arrived > 25, "seed {seed}: {arrived} of 50");
    }
}

#[test]
fn the_default_firewall_lets_in_only_what_was_asked_for() {
    let mut sim = build(70, &line(2), &NodeConfig::default());
    sim.run_for(2 * SEC);
    assert!(!delivers(&mut sim, 0, 1, SEC), "an unasked packet came in");
    assert_eq!(drops(&sim, 1, DropReason::FirewallInbound), 1);
    let refused = sim.take_received(0).iter().any(|packet| icmp_type_code(packet) == Some((1, 1)));
    assert!(refused, "the sender is not told");
    // What host 1 sends opens the way back.
    let question = udp(sim.address(1).ip(), sim.address(0).ip(), (5000, 4000), b"?");
    sim.with_node(1, |node, now| node.handle_tun_packet(question, now));
    assert!(delivers(&mut sim, 0, 1, SEC), "the reply did not come in");
}

#[test]
fn lookup_and_ping_answer_people() {
    let mut sim = build(80, &line(5), &open());
    sim.run_for(6 * SEC);
    let target = Destination::Node(sim.address(4));
    sim.with_node(0, |node, now| node.lookup(target, 3 * SEC, now));
    sim.with_node(0, |node, now| node.ping(Target::Address(target), 3 * SEC, now));
    sim.with_node(0, |node, now| node.ping(Target::Key(node.public_key()), 3 * SEC, now));
    sim.run_for(3 * SEC);
    let events = sim.take_events(0);
    let key = sim.key(4);
    let found = |event: &Event| matches!(event, Event::Lookup(_, Some(answer)) if answer.key == key);
    assert!(events.iter().any(found), "{events:?}");
    let ponged = |event: &Event| matches!(event, Event::Ping(_, Some(answer)) if answer.key == key && (0.036..0.2).contains(&answer.rtt_seconds));
    assert!(events.iter().any(ponged), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Ping(_, Some(answer)) if answer.key == sim.key(0))));

    let nobody = Destination::of("6a5::1".parse().unwrap()).unwrap();
    sim.with_node(0, |node, now| node.ping(Target::Address(nobody), 2 * SEC, now));
    sim.run_for(3 * SEC);
    assert!(sim.take_events(0).iter().any(|event| matches!(event, Event::Ping(_, None))));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut sim = build(seed, &edges("grid4-00049"), &open());
        sim.run_for(8 * SEC);
        assert!(delivers(&mut sim, 0, 40, 3 * SEC));
        let statuses: Vec<_> = (0..49).map(|id| format!("{:?}", sim.node(id).unwrap().status(sim.now()))).collect();
        (sim.now(), statuses)
    };
    assert_eq!(trace(90), trace(90));
    assert_ne!(trace(90), trace(91));
}
