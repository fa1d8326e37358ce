//! The body of the fuzz target for a whole node: a script of frames, packets, peerings that come and go, and time.
//!
//! ```text
//! 0 P      a peering with key P mod 4 comes up       3 n …   n bytes as a packet of the host
//! 1 P      port P mod 5 goes                          4 t     t × 50 ms pass
//! 2 P n …  n bytes as a frame from port P mod 5       5 P n … n bytes as the payload of a traffic frame for us
//! ```
//!
//! Lengths are two bytes; what is missing at the end is as if it were empty. Whatever the script: no panic, memory within its
//! bounds, nothing for the host that does not come from a session, and an empty outbox once it is drained.
#![doc(hidden)]

use std::sync::{Arc, LazyLock};

use crate::buf::PacketBuf;
use crate::ip::Ipv6View;
use crate::keys::{Keypair, PublicKey, Seed};
use crate::node::{Node, NodeConfig, PeerInfo, PeerKind, Port};
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::Reader;
use crate::wire::coords::Coords;
use crate::wire::extensions::Extensions;
use crate::wire::frame::{self, TrafficHeader};
use crate::wire::snake::Watermark;

static OWN: LazyLock<Arc<Keypair>> = LazyLock::new(|| Arc::new(Keypair::from_seed(&Seed([1; 32]))));
static PEERS: LazyLock<[PublicKey; 4]> =
    LazyLock::new(|| [2, 3, 4, 5].map(|n| Keypair::from_seed(&Seed([n; 32])).public()));
/// Steps per input: keeps one input cheap, and the fuzzer from wasting time on length.
const MAX_STEPS: usize = 200;

/// Runs `data` as a script.
pub fn fuzz_node(data: &[u8]) {
    let mut now = Instant::from_micros(1_000_000);
    let mut node = Node::new(NodeConfig::default(), OWN.clone(), [7; 32], now, UnixMillis(1_767_225_600_000));
    for key in &PEERS[..2] {
        let _ = node.add_peer(peer(*key), now);
    }
    let mut script = Reader::new(data);
    for _ in 0..MAX_STEPS {
        let Ok(step) = script.u8("step") else { break };
        match step % 6 {
            0 => drop(node.add_peer(peer(PEERS[usize::from(byte(&mut script) % 4)]), now)),
            1 => node.remove_peer(port(&mut script), now),
            2 => {
                let port = port(&mut script);
                receive(&mut node, port, PacketBuf::from(bytes(&mut script)), now);
            }
            3 => node.handle_tun_packet(PacketBuf::from(bytes(&mut script)), now),
            4 => now = pass(&mut node, now, Duration::from_millis(50) * u32::from(byte(&mut script))),
            _ => {
                let port = port(&mut script);
                if let Some(frame) = traffic(bytes(&mut script)) {
                    receive(&mut node, port, frame, now);
                }
            }
        }
        drain(&mut node, now);
    }
    let status = node.status(now);
    assert!(status.snake_routes <= NodeConfig::default().max_routes && status.sessions <= PEERS.len());
    assert_eq!(status.packets_delivered, 0, "nobody has a session with us, so nobody can send packets");
}

fn byte(script: &mut Reader<'_>) -> u8 {
    script.u8("argument").unwrap_or_default()
}

/// A port that may have a peering.
fn port(script: &mut Reader<'_>) -> Port {
    Port::from(byte(script) % 5)
}

fn bytes<'a>(script: &mut Reader<'a>) -> &'a [u8] {
    let len = usize::from(script.u16("length").unwrap_or_default());
    let len = len.min(script.rest().len());
    script.take(len, "bytes").unwrap_or_default()
}

fn peer(key: PublicKey) -> PeerInfo {
    PeerInfo {
        key,
        kind: PeerKind::Remote,
        uri: String::new(),
        inbound: true,
        authenticated: false,
        extensions: Extensions::ROUTE_NOTICES.and(Extensions::SOURCE_ROUTES),
    }
}

fn receive(node: &mut Node, port: Port, frame: PacketBuf, now: Instant) {
    if node.handle_frame(port, frame, now).is_err() {
        node.remove_peer(port, now);
    }
}

/// A traffic frame from a peer to us with this payload.
fn traffic(payload: &[u8]) -> Option<PacketBuf> {
    let nowhere = Coords::default();
    let mut frame = PacketBuf::from(payload);
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: 10,
        destination: &nowhere,
        source: &nowhere,
        destination_key: &OWN.public(),
        source_key: &PEERS[0],
        watermark: Watermark::NONE,
    };
    frame::emit_traffic(&mut frame, &header).ok().map(|()| frame)
}

/// Lets time pass as a caller would: from deadline to deadline.
fn pass(node: &mut Node, now: Instant, span: Duration) -> Instant {
    let end = now + span;
    // Far more deadlines than a node sets in the 12 seconds that a step can take.
    for _ in 0..10_000 {
        let Some(at) = node.poll_timeout().filter(|at| *at <= end) else { return end };
        node.handle_timeout(at.max(now));
        drain(node, at.max(now));
    }
    unreachable_deadlines(node, end)
}

#[expect(clippy::panic, reason = "that is what a fuzz target is for")]
fn unreachable_deadlines(node: &Node, end: Instant) -> Instant {
    panic!("the node wants to be called for ever: {:?} by {end:?}", node.poll_timeout())
}

fn drain(node: &mut Node, now: Instant) {
    while let Some(port) = node.poll_ready_port() {
        while let Some(sent) = node.poll_transmit(port, now) {
            assert!(frame::parse(&sent).is_ok(), "we sent a frame that nobody can read");
        }
    }
    while let Some(packet) = node.poll_tun_packet() {
        assert!(Ipv6View::parse(&packet).is_ok_and(|view| view.next_header() == 58), "the host got more than ICMPv6");
    }
    while node.poll_event().is_some() {}
}
