//! What the benches of the data path measure on: three nodes of a small network, taken out of it once it has settled, and what the
//! core loop does with a node, without the core loop.
//!
//! The relay has ten peers, as an ordinary relay does; the sender and the receiver are two of them, and every peer has leaves of its
//! own, so that no table is empty and no look-up trivial. The three are real nodes that found each other as in any network: by a
//! lookup, a handshake and the coordinates that they told each other. Only signatures are simulated ([`Scheme::Simulated`]): no
//! packet is signed, and the network forms sooner.
//!
//! Besides, a link whose hellos are exchanged, and a stream of bytes for it.
//!
//! The clock stands still while packets are measured. So no deadline passes, nothing is sent besides them, and a run
//! repeats to the instruction.
#![allow(dead_code, unreachable_pub, reason = "each bench uses some of this")]

use std::collections::BTreeMap;
use std::sync::Arc;

use pinecone::addr::Address;
use pinecone::buf::PacketBuf;
use pinecone::keys::{Keypair, PublicKey, Scheme, Seed};
use pinecone::link::{Link, LinkConfig, LinkEvent};
use pinecone::node::{Node, NodeConfig, PeerInfo, PeerKind, Port};
use pinecone::time::{Duration, Instant, UnixMillis};
use pinecone::wire::coords::Coords;
use pinecone::wire::extensions::Extensions;
use pinecone::wire::frame::{self, Frame, TrafficHeader};
use pinecone::wire::hello::Hello;
use pinecone::wire::snake::Watermark;

/// The most that moves between the core loop and a peering at a time, in frames and in bytes: what the shell does.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 128 << 10;
/// Peers of the relay.
const PEERS: usize = 10;
/// Further peers of each of them.
const LEAVES: usize = 4;
/// How long the network has to settle before anybody sends, and again after the two have begun to.
const SETTLES_IN: Duration = Duration::from_secs(8);
/// A step of the clock meanwhile.
const TICK: Duration = Duration::from_millis(20);
/// When the nodes begin, in Unix time.
const UNIX: u64 = 1_800_000_000_000;
/// The flow between the two hosts: ports of the sender and of the receiver.
const PORTS: (u16, u16) = (40_000, 443);
/// Bytes of an IPv6 header with a UDP header.
const HEADERS: usize = 48;

/// When everything begins.
pub const NOW: Instant = Instant::from_micros(1_000_000);

const RELAY: usize = 0;
const SENDER: usize = 1;
const RECEIVER: usize = 2;

/// How many packets of `len` bytes go in one batch.
pub fn batch_of(len: usize) -> usize {
    (BATCH_BYTES / len).clamp(1, BATCH_FRAMES)
}

/// Three nodes in a row.
pub struct Bed {
    pub now: Instant,
    pub sender: Node,
    pub relay: Node,
    pub receiver: Node,
    /// Where the sender is, for the relay; and the relay, for the receiver.
    pub relay_from: Port,
    pub receiver_from: Port,
}

impl Bed {
    /// The two have talked to each other for a while, with AES-256-GCM if `aes`, otherwise with ChaCha20-Poly1305.
    pub fn new(aes: bool) -> Self {
        let mut net = Net::new(aes);
        net.run(SETTLES_IN);
        for _ in 0..2 {
            for (from, to, ports) in [(SENDER, RECEIVER, PORTS), (RECEIVER, SENDER, (PORTS.1, PORTS.0))] {
                let packet = udp(&net.nodes[from], &net.nodes[to], ports, 100);
                let now = net.now;
                net.nodes[from].handle_tun_packet(packet, now);
                net.run(SETTLES_IN / 4);
            }
        }
        let (relay_from, receiver_from) = (net.port(RELAY, SENDER), net.port(RECEIVER, RELAY));
        let now = net.now;
        let mut nodes = net.nodes.into_iter();
        let (Some(relay), Some(sender), Some(receiver)) = (nodes.next(), nodes.next(), nodes.next()) else {
            unreachable!("three nodes and more were made")
        };
        let mut bed = Self { now, sender, relay, receiver, relay_from, receiver_from };
        bed.warm_up();
        bed
    }

    /// One batch of packets of `len` bytes from the sender's host to the receiver's.
    pub fn packets(&self, len: usize) -> Vec<PacketBuf> {
        (0..batch_of(len)).map(|_| udp(&self.sender, &self.receiver, PORTS, len)).collect()
    }

    /// The same as the relay gets them, by coordinates. (By tree they cross it unchanged, so the receiver gets them like this too.)
    pub fn frames(&mut self, len: usize) -> Vec<PacketBuf> {
        let packets = self.packets(len);
        send(&mut self.sender, packets, self.now)
    }

    /// A batch of frames for the receiver that go by key, as they come from a node that does not know its coordinates.
    pub fn frames_by_key(&self, len: usize) -> Vec<PacketBuf> {
        let header = TrafficHeader {
            version: 0,
            extra: 0,
            hop_limit: 10,
            destination: &Coords::default(),
            source: self.sender.router().coords(),
            destination_key: &self.receiver.public_key(),
            source_key: &self.sender.public_key(),
            watermark: Watermark::NONE,
        };
        let frame = |mut payload: PacketBuf| {
            assert!(frame::emit_traffic(&mut payload, &header).is_ok());
            payload
        };
        self.packets(len).into_iter().map(frame).collect()
    }

    /// Sends some batches all the way, which is also the proof that they take it: free lists and queues have their size from then on.
    fn warm_up(&mut self) {
        for _ in 0..4 {
            let frames = self.frames(1280);
            assert!(frames.iter().all(|frame| is_by_coordinates(frame)), "the sender knows where the receiver is");
            let frames = relay(&mut self.relay, self.relay_from, frames, self.now);
            let packets = receive(&mut self.receiver, self.receiver_from, frames, self.now);
            assert_eq!(packets.len(), batch_of(1280), "all packets arrive");
            let frames = self.frames_by_key(1280);
            let frames = relay(&mut self.relay, self.relay_from, frames, self.now);
            assert!(frames.len() == batch_of(1280) && !frames.iter().any(|frame| is_by_coordinates(frame)));
        }
    }
}

/// A batch from the host: what the node makes of it for its peers.
pub fn send(node: &mut Node, packets: Vec<PacketBuf>, now: Instant) -> Vec<PacketBuf> {
    let mut frames = Vec::with_capacity(packets.len());
    for packet in packets {
        node.handle_tun_packet(packet, now);
    }
    fetch(node, now, &mut frames);
    frames
}

/// A batch from a peer: what the node passes on.
pub fn relay(node: &mut Node, from: Port, frames: Vec<PacketBuf>, now: Instant) -> Vec<PacketBuf> {
    let mut forwarded = Vec::with_capacity(frames.len());
    for frame in frames {
        assert!(node.handle_frame(from, frame, now).is_ok());
    }
    fetch(node, now, &mut forwarded);
    forwarded
}

/// A batch from a peer: what the node gives to its host.
pub fn receive(node: &mut Node, from: Port, frames: Vec<PacketBuf>, now: Instant) -> Vec<PacketBuf> {
    let mut packets = Vec::with_capacity(frames.len());
    for frame in frames {
        assert!(node.handle_frame(from, frame, now).is_ok());
    }
    while let Some(packet) = node.poll_tun_packet() {
        packets.push(packet);
    }
    packets
}

/// Everything that a node has for its peers.
fn fetch(node: &mut Node, now: Instant, frames: &mut Vec<PacketBuf>) {
    while let Some(port) = node.poll_ready_port() {
        while let Some(frame) = node.poll_transmit(port, now) {
            frames.push(frame);
        }
    }
}

fn is_by_coordinates(frame: &[u8]) -> bool {
    matches!(frame::parse(frame), Ok(Frame::Traffic(traffic)) if !traffic.destination.is_empty())
}

/// One batch of frames with payloads of `len` bytes as a peering's stream of bytes.
pub fn stream(len: usize) -> Vec<u8> {
    let Ok(frame) = frame::announcement(&vec![7; len]) else { unreachable!("it is short enough") };
    frame.repeat(batch_of(len))
}

/// A link whose hellos are exchanged.
pub fn open_link() -> Link {
    let hello = |n: u8| {
        let pair = Keypair::from_seed(&Seed([n; 32]));
        (pair.public(), Hello { key: pair.public(), extension_version: 1, extensions: 1 }.encode(&pair))
    };
    let ((own_key, own_hello), (_, their_hello)) = (hello(1), hello(2));
    let mut link = Link::new(LinkConfig::plain(own_hello, own_key), NOW);
    assert_eq!(feed(&mut link, &their_hello), 0);
    link
}

/// Gives the link all of `bytes`, as much at a time as it takes; how many frames came out.
pub fn feed(link: &mut Link, mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while !bytes.is_empty() {
        let buffer = link.read_buffer();
        let (now, later) = bytes.split_at(buffer.len().min(bytes.len()));
        buffer[..now.len()].copy_from_slice(now);
        bytes = later;
        assert!(link.handle_read(now.len(), NOW).is_ok());
        while let Some(event) = link.poll_event() {
            frames += usize::from(matches!(event, LinkEvent::Frame(_)));
        }
    }
    frames
}

/// A UDP packet of `len` bytes (at least its headers) from one node's host to another's. Nobody on the way looks at the checksum.
fn udp(from: &Node, to: &Node, ports: (u16, u16), len: usize) -> PacketBuf {
    let payload_len = (len.max(HEADERS) - 40) as u16;
    let mut packet = PacketBuf::with_capacity(len);
    packet.append(&[0x60, 0, 0, 0]);
    packet.append(&payload_len.to_be_bytes());
    packet.append(&[17, 64]);
    packet.append(&Address::of(&from.public_key()).ip().octets());
    packet.append(&Address::of(&to.public_key()).ip().octets());
    for field in [ports.0, ports.1, payload_len, 0] {
        packet.append(&field.to_be_bytes());
    }
    packet.append(&vec![0xa5; len.saturating_sub(HEADERS)]);
    packet
}

/// The key pair number `n` of all that there are here.
fn keypair(n: usize) -> Keypair {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&n.to_le_bytes());
    Keypair::from_seed(&Seed(seed)).with_scheme(Scheme::Simulated)
}

/// Nodes and the cables between them, over which frames take no time.
struct Net {
    now: Instant,
    nodes: Vec<Node>,
    /// From a node's port to the other end's.
    cables: BTreeMap<(usize, Port), (usize, Port)>,
}

impl Net {
    fn new(aes: bool) -> Self {
        let now = NOW;
        let node = |n: usize| {
            let config = NodeConfig { aes, ..NodeConfig::default() };
            Node::new(config, Arc::new(keypair(n)), [n as u8; 32], now, UnixMillis(UNIX))
        };
        let nodes = (0..=PEERS * (1 + LEAVES)).map(node).collect();
        let mut net = Self { now, nodes, cables: BTreeMap::new() };
        for peer in 1..=PEERS {
            net.join(RELAY, peer);
            for leaf in 0..LEAVES {
                net.join(peer, PEERS + (peer - 1) * LEAVES + leaf + 1);
            }
        }
        net
    }

    fn join(&mut self, a: usize, b: usize) {
        let (key_a, key_b) = (self.nodes[a].public_key(), self.nodes[b].public_key());
        let (port_a, port_b) = (self.add_peer(a, key_b), self.add_peer(b, key_a));
        self.cables.insert((a, port_a), (b, port_b));
        self.cables.insert((b, port_b), (a, port_a));
    }

    fn add_peer(&mut self, to: usize, key: PublicKey) -> Port {
        let peer = PeerInfo {
            key,
            kind: PeerKind::Remote,
            uri: String::new(),
            inbound: false,
            authenticated: false,
            extensions: Extensions::ROUTE_NOTICES,
        };
        let Ok(port) = self.nodes[to].add_peer(peer, self.now) else { unreachable!("no node here has many peers") };
        port
    }

    /// The port of `at` that leads to `to`.
    fn port(&self, at: usize, to: usize) -> Port {
        let cable = self.cables.iter().find(|((node, _), (other, _))| (*node, *other) == (at, to));
        let Some(((_, port), _)) = cable else { unreachable!("there is a cable") };
        *port
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while self.exchange() {}
            self.now = self.now + TICK;
            for node in &mut self.nodes {
                if node.poll_timeout().is_some_and(|due| due <= self.now) {
                    node.handle_timeout(self.now);
                }
            }
        }
        while self.exchange() {}
    }

    /// Moves what every node has to say to its peers; false if it was nothing.
    fn exchange(&mut self) -> bool {
        let mut busy = false;
        for id in 0..self.nodes.len() {
            while let Some(port) = self.nodes[id].poll_ready_port() {
                while let Some(frame) = self.nodes[id].poll_transmit(port, self.now) {
                    busy = true;
                    let (to, at) = self.cables[&(id, port)];
                    assert!(self.nodes[to].handle_frame(at, frame, self.now).is_ok());
                }
            }
            while self.nodes[id].poll_tun_packet().is_some() {}
            while self.nodes[id].poll_event().is_some() {}
        }
        busy
    }
}
