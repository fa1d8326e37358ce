//! Our node in the place of one of the two recorded reference nodes, with its private key: it must write the same bytes.
//!
//! `Link` and `Router` run on a virtual clock here, set so that time-stamps come out as they were recorded. The other side's bytes
//! come at the recorded times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pinecone::buf::PacketBuf;
use pinecone::link::{Link, LinkConfig, LinkEvent};
use pinecone::router::{PeerKind, Port, Router, RouterConfig, Verdict};
use pinecone::time::{Instant, UnixClock, UnixMillis};
use pinecone::wire::extensions::Extensions;
use pinecone::wire::frame::{self, Frame};
use pinecone::wire::hello::Hello;
use pinecone::wire::snake::Bootstrap;

use crate::recording::{Recorded, Side, session};
use crate::vectors::{coords, number, text_of};

/// The recorded nodes had started this long before they connected: their first maintenance tick came 997 ms after it.
const RUNNING_BEFORE: Duration = Duration::from_millis(3);
/// The recording ends a little after its last frame, before anything else is due.
const LENGTH: Duration = Duration::from_millis(11_100);

/// Our node in the place of `side`.
struct StandIn {
    now: Instant,
    router: Router,
    link: Link,
    port: Option<Port>,
    written: VecDeque<Vec<u8>>,
    delivered: Vec<Vec<u8>>,
}

impl StandIn {
    fn new(side: Side) -> Self {
        let keypair = Arc::new(side.keypair());
        let key = keypair.public();
        let own_hello = Hello { key, extension_version: 0, extensions: 0 }.encode(&keypair);
        let connected = Instant::ZERO + RUNNING_BEFORE;
        let config = RouterConfig { initial_sequence: 1, ..RouterConfig::default() };
        Self {
            now: connected,
            router: Router::new(config, keypair, recorded_clock(), Instant::ZERO),
            link: Link::new(LinkConfig::plain(own_hello, key), connected),
            port: None,
            written: VecDeque::new(),
            delivered: vec![],
        }
    }

    /// Lets time pass, acting at every deadline on the way.
    fn advance_to(&mut self, at: Duration) {
        let goal = Instant::ZERO + RUNNING_BEFORE + at;
        loop {
            self.drain();
            let deadlines = [self.router.poll_timeout().map(|(at, _)| at), self.link.poll_timeout().map(|(at, _)| at)];
            let next = deadlines.into_iter().flatten().min().filter(|at| *at <= goal);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.router.handle_timeout(self.now);
            self.link.handle_timeout(self.now).expect("the recorded peer is never silent");
        }
        self.now = goal;
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.link.read_buffer();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.link.handle_read(len, self.now).expect("a reference node breaks no rule");
            while let Some(event) = self.link.poll_event() {
                match event {
                    LinkEvent::Up { key, .. } => {
                        self.port =
                            Some(self.router.add_peer(key, PeerKind::Remote, Extensions::NONE, self.now).unwrap());
                    }
                    LinkEvent::Frame(frame) => self.hear_frame(frame),
                }
            }
        }
        self.drain();
    }

    fn hear_frame(&mut self, mut bytes: PacketBuf) {
        let port = self.port.expect("frames come after the handshake");
        match frame::parse(&bytes).expect("a reference node writes well-formed frames") {
            Frame::Traffic(_) => match self.router.forward(port, &mut bytes, self.now).unwrap() {
                Verdict::Deliver(delivery) => self.delivered.push(bytes[delivery.payload_at..].to_vec()),
                other => panic!("{other:?} for a frame to ourselves"),
            },
            frame => self.router.handle_protocol_frame(port, &frame, self.now).unwrap(),
        }
    }

    /// Sends what the recorded node sent for its application.
    fn originate(&mut self, recorded: &Recorded, to: Side) {
        let coordinates = Some(coords(&recorded.fields["destination"]));
        let mut frame = PacketBuf::from(text_of(&recorded.fields["payload"]).as_bytes());
        match self.router.originate(&to.key(), coordinates.as_ref(), &mut frame, self.now) {
            Verdict::Forward(_) => self.write(&frame),
            other => panic!("{other:?} for a frame to our only peer"),
        }
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.link.poll_transmit() {
            self.write(&bytes);
        }
        while let Some((_, frame)) = self.router.poll_transmit() {
            self.write(&frame);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.written.push_back(bytes.to_vec());
        self.link.handle_written(self.now);
    }
}

/// The wall clock of the recording, from the time-stamp of the broadcast that both nodes sent 3 ms after they connected.
fn recorded_clock() -> UnixClock {
    let recorded = session();
    let broadcast = recorded.iter().find(|recorded| recorded.kind == "broadcast").unwrap();
    let stamp = number(&broadcast.fields["sequence"]);
    UnixClock::new(UnixMillis(stamp), Instant::ZERO + RUNNING_BEFORE + broadcast.at)
}

/// What our node writes and delivers in the place of `side`.
fn stand_in_for(side: Side) -> StandIn {
    let mut node = StandIn::new(side);
    for recorded in session() {
        node.advance_to(recorded.at);
        match recorded.sender == side {
            false => node.hear(&recorded.bytes),
            true if recorded.kind == "traffic" => node.originate(&recorded, side.other()),
            true => {}
        }
    }
    node.advance_to(LENGTH);
    node
}

/// A bootstrap with the sequence of another: the recorded clock ticked some milliseconds later, all else must be equal.
fn with_sequence_of(ours: &[u8], recorded: &[u8], side: Side) -> Vec<u8> {
    let (Ok(Frame::Bootstrap(ours)), Ok(Frame::Bootstrap(recorded))) = (frame::parse(ours), frame::parse(recorded))
    else {
        panic!("not two bootstraps");
    };
    let bootstrap = Bootstrap::parse(ours.payload).unwrap();
    assert!(bootstrap.verify(&side.key(), pinecone::keys::Scheme::Ed25519), "our bootstrap is signed");
    let recorded = Bootstrap::parse(recorded.payload).unwrap();
    assert!(bootstrap.sequence.abs_diff(recorded.sequence) < 100, "in step with the recording to 100 ms");
    let payload = Bootstrap::sign(recorded.sequence, bootstrap.root, &side.keypair()).encode();
    frame::bootstrap(&frame::BootstrapFrame { payload: &payload, ..ours }).unwrap().to_vec()
}

fn assert_same_bytes(side: Side) {
    let mut node = stand_in_for(side);
    for recorded in session().iter().filter(|recorded| recorded.sender == side) {
        let context = format!("{} of {side:?} at {:?}", recorded.kind, recorded.at);
        let ours = node.written.pop_front().unwrap_or_else(|| panic!("we did not send the {context}"));
        let ours = if recorded.kind == "bootstrap" { with_sequence_of(&ours, &recorded.bytes, side) } else { ours };
        assert_eq!(data_encoding::HEXLOWER.encode(&ours), data_encoding::HEXLOWER.encode(&recorded.bytes), "{context}");
    }
    assert!(node.written.is_empty(), "{side:?} sends more than was recorded: {:02x?}", node.written);
}

#[test]
fn in_the_place_of_the_dialling_reference_node_we_write_its_bytes() {
    assert_same_bytes(Side::K10);
}

#[test]
fn in_the_place_of_the_reference_root_we_write_its_bytes() {
    assert_same_bytes(Side::K30);
}

#[test]
fn traffic_of_reference_nodes_is_delivered() {
    assert_eq!(stand_in_for(Side::K10).delivered, [b"hello K10".to_vec()]);
    assert_eq!(stand_in_for(Side::K30).delivered, [b"hello K30".to_vec(), b"again".to_vec()]);
}
