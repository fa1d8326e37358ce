use std::sync::Arc;

use super::*;
use crate::keys::{Keypair, PublicKey, Seed};
use crate::node::{NodeConfig, PeerInfo, PeerKind};
use crate::time::UnixMillis;
use crate::wire::extensions::Extensions;

/// A node with one peering that has a cap.
fn capped(max_rate: u64) -> (Node, Port) {
    let keypair = Arc::new(Keypair::from_seed(&Seed([1; 32])));
    let now = Instant::ZERO;
    let mut node = Node::new(NodeConfig::default(), keypair, [1; 32], now, UnixMillis(1_700_000_000_000));
    let (key, kind, uri) = (PublicKey([2; 32]), PeerKind::Remote, "test".to_owned());
    let info = PeerInfo { key, kind, uri, inbound: false, authenticated: true, extensions: Extensions::NONE };
    let port = node.add_peer(info, now).unwrap();
    node.set_policy(port, PeerPolicy { priority: 3, max_rate: Some(max_rate) }, now);
    (node, port)
}

/// Everything that the node gives out now, as the caller of a peering with room takes it; in bytes.
fn drain(node: &mut Node, port: Port, now: Instant) -> usize {
    let mut bytes = 0;
    while let Some(ready) = node.poll_ready_port() {
        assert_eq!(ready, port);
        while let Some(frame) = node.poll_transmit(port, now) {
            bytes += frame.len();
        }
    }
    bytes
}

#[test]
fn a_cap_is_held_and_the_rest_waits_in_the_fair_queue() {
    const RATE: u64 = 10_000_000;
    const SECONDS: u64 = 20;
    let (mut node, port) = capped(RATE);
    let (mut now, mut sent) = (Instant::ZERO, 0);
    let end = now + Duration::from_secs(SECONDS);
    let mut next_push = now;
    // Twice what it may carry comes in.
    while now < end {
        if next_push <= now {
            node.queue_traffic(port, PacketBuf::from(&[7; 1_400][..]), 1, now);
            next_push = next_push + Duration::from_micros(560);
        }
        if node.poll_timeout().is_some_and(|at| at <= now) {
            node.handle_timeout(now);
        }
        sent += drain(&mut node, port, now);
        now = next_push.min(node.poll_timeout().unwrap_or(end)).max(now);
    }
    let share = sent as f64 * 8.0 / (RATE * SECONDS) as f64;
    assert!((0.95..1.05).contains(&share), "{share}");
    let status = &node.peers(now)[0];
    assert!(status.queue_drops > 0 && status.queued_bytes > 0, "what does not fit is dropped in the queue");
    assert_eq!((status.priority, status.max_rate, status.carries), (3, Some(RATE), true));
}

#[test]
fn a_ping_waits_for_no_download_behind_a_cap() {
    let (mut node, port) = capped(1_000_000);
    let mut now = Instant::ZERO;
    for _ in 0..100 {
        node.queue_traffic(port, PacketBuf::from(&[1; 1_400][..]), 1, now);
    }
    let mut order = Vec::new();
    for round in 0..60 {
        while let Some(port) = node.poll_ready_port() {
            while let Some(frame) = node.poll_transmit(port, now) {
                order.push(*frame.last().unwrap());
            }
        }
        if round == 5 {
            node.queue_traffic(port, PacketBuf::from(&[2; 100][..]), 2, now);
            order.clear();
        }
        now = now + Duration::from_millis(2);
        node.handle_timeout(now);
    }
    assert!(order.iter().take(3).any(|mark| *mark == 2), "{order:?}");
}

#[test]
fn a_peering_that_goes_while_it_waits_leaves_no_timer_behind() {
    let (mut node, port) = capped(10_000);
    for _ in 0..10 {
        node.queue_traffic(port, PacketBuf::from(&[1; 1_400][..]), 1, Instant::ZERO);
    }
    drain(&mut node, port, Instant::ZERO);
    assert_eq!(node.paced.len(), 1);
    node.remove_peer(port, Instant::ZERO);
    assert!(node.paced.is_empty());
}
