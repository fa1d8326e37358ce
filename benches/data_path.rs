//! What a packet costs on its way through a node, step by step and as a whole.
//!
//! The claim that this stands for: a packet is encrypted once and otherwise hardly touched. So the whole way should cost little more
//! than its cipher, the cost beside the cipher should hardly grow with the packet, and a relay, which has no cipher, should be cheap.
//!
//! | group | stands for |
//! |---|---|
//! | `seal`, `open` | a session's part: cipher, counter, replay window, what liveness notes. Beside the cipher it should be nothing |
//! | `frame` | taking a traffic frame apart, and putting the header before a payload: proportional to the coordinates, not to the payload |
//! | `deframe` | finding the frames in a peering's byte stream, with the copy into the buffer that a socket's read would make |
//! | `route` | a relay's decision alone ([`Router::forward`](pinecone::router::Router::forward)); `next_hop.rs` has it for large tables |
//! | `queue` | a frame's way into and out of the fair queue of a peering |
//! | `outbound`, `inbound`, `relay` | the whole node, in batches as the core loop moves them; the figure is for the batch, the rate counts packets |
//!
//! Not in it: system calls, the tasks of the shell, and freeing what comes out, which is done after the clock stopped.
//!
//! `cargo bench --bench data_path` measures, with a name after `--` only what has the name in it. `instructions.rs` counts instructions
//! on the same ways, which is no measure of speed, but repeats.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be ends the measurement")]

mod bed;

use std::hint::black_box;
use std::sync::Arc;

use bed::{Bed, NOW, batch_of};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use pinecone::buf::PacketBuf;
use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::node::outbox::Outbox;
use pinecone::rng::Rng;
use pinecone::session::{Opened, Sealed, SessionConfig, Sessions};
use pinecone::time::{UnixClock, UnixMillis};
use pinecone::wire::coords::Coords;
use pinecone::wire::frame::{self, TrafficHeader};
use pinecone::wire::snake::Watermark;

/// The smallest packet that means anything, IPv6's least MTU, what fits an Ethernet frame with our headers, and what a host with a
/// large MTU or segmentation offload sends.
const SIZES: [usize; 5] = [64, 1280, 1420, 16 << 10, 60 << 10];
/// The whole ways are measured with fewer.
const SOME_SIZES: [usize; 3] = [64, 1280, 60 << 10];
const CIPHERS: [(&str, bool); 2] = [("ChaCha20-Poly1305", false), ("AES-256-GCM", true)];

/// Two ends of a session.
struct Pair {
    a: Sessions,
    b: Sessions,
    keys: [PublicKey; 2],
}

impl Pair {
    fn new(aes: bool) -> Self {
        let pair = |n: u8| Arc::new(Keypair::from_seed(&Seed([n; 32])));
        let sessions = |n: u8| {
            let config = SessionConfig { psk: [0; 32], mtu: 65_000, max_sessions: 16, aes };
            Sessions::new(config, pair(n), Rng::new([n; 32]), UnixClock::new(UnixMillis(1_800_000_000_000), NOW), NOW)
        };
        let keys = [pair(1).public(), pair(2).public()];
        let mut both = Self { a: sessions(1), b: sessions(2), keys };
        both.a.connect(&keys[1], NOW);
        while both.exchange() {}
        // The first packet makes the answering side sure of the keys.
        let message = both.seal(packet(100));
        both.open(message);
        while both.exchange() {}
        both
    }

    /// Moves the messages of handshakes; false if there were none.
    fn exchange(&mut self) -> bool {
        let Self { a, b, keys } = self;
        let there = std::iter::from_fn(|| a.poll_transmit()).map(|(_, message)| b.open(&keys[0], message, NOW));
        let there = there.inspect(|opened| assert!(opened.is_ok())).count();
        let back = std::iter::from_fn(|| b.poll_transmit()).map(|(_, message)| a.open(&keys[1], message, NOW));
        let back = back.inspect(|opened| assert!(opened.is_ok())).count();
        there + back > 0
    }

    fn seal(&mut self, packet: PacketBuf) -> PacketBuf {
        match self.a.seal(&self.keys[1], packet, NOW) {
            Sealed::Ready(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, message: PacketBuf) -> PacketBuf {
        match self.b.open(&self.keys[0], message, NOW).unwrap() {
            Opened::Packet(packet) => packet,
            Opened::Nothing | Opened::Route(_) => panic!("no packet"),
        }
    }
}

/// Something that a session takes for a packet.
fn packet(len: usize) -> PacketBuf {
    PacketBuf::from(&vec![0x60; len][..])
}

/// A session's part in a packet, for both ciphers.
fn sessions(c: &mut Criterion) {
    for (cipher, aes) in CIPHERS {
        let pair = std::cell::RefCell::new(Pair::new(aes));
        for len in SIZES {
            // As many as leave the buffers in the cache.
            let batch = BatchSize::NumIterations(batch_of(len) as u64);
            let mut group = c.benchmark_group("seal");
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(cipher, len), |bencher| {
                bencher.iter_batched(|| packet(len), |packet| pair.borrow_mut().seal(packet), batch);
            });
            group.finish();
            let mut group = c.benchmark_group("open");
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(cipher, len), |bencher| {
                let sealed = || pair.borrow_mut().seal(packet(len));
                bencher.iter_batched(sealed, |message| pair.borrow_mut().open(message), batch);
            });
        }
    }
}

/// A traffic frame's header, read and written.
fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let (near, far) = (Coords::new(vec![3, 1, 4]), Coords::new((1..=16).map(|n| n * 37).collect()));
    for (way, destination) in [("by key", &Coords::default()), ("3 hops", &near), ("16 hops", &far)] {
        let header = TrafficHeader {
            version: 0,
            extra: 0,
            hop_limit: 10,
            destination,
            source: &near,
            destination_key: &PublicKey([5; 32]),
            source_key: &PublicKey([6; 32]),
            watermark: Watermark::NONE,
        };
        let mut payload = packet(1280);
        group.bench_function(BenchmarkId::new("emit", way), |bencher| {
            bencher.iter(|| {
                let before = payload.len();
                frame::emit_traffic(black_box(&mut payload), black_box(&header)).unwrap();
                let header_len = payload.len() - before;
                payload.advance(header_len);
            });
        });
        frame::emit_traffic(&mut payload, &header).unwrap();
        group.bench_function(BenchmarkId::new("parse", way), |bencher| {
            bencher.iter(|| black_box(frame::parse(black_box(&payload))).is_ok());
        });
    }
}

/// A peering's byte stream on its way in.
fn deframing(c: &mut Criterion) {
    let mut group = c.benchmark_group("deframe");
    for len in SOME_SIZES {
        let mut link = bed::open_link();
        let (stream, count) = (bed::stream(len), batch_of(len));
        group.throughput(Throughput::ElementsAndBytes { elements: count as u64, bytes: stream.len() as u64 });
        group.bench_function(BenchmarkId::new("payload", len), |bencher| {
            bencher.iter(|| assert_eq!(bed::feed(&mut link, &stream), count));
        });
    }
}

/// The fair queue: frames that find it empty, frames that find as many flows waiting, and frames that find it full.
fn queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    let mut outbox = Outbox::default();
    let mut frame = Some(packet(1280));
    let limit = Outbox::limit(1);
    group.bench_function("empty", |bencher| {
        bencher.iter(|| {
            outbox.push(frame.take().unwrap(), 1, limit, NOW);
            frame = outbox.pop(NOW).0;
        });
    });
    for flows in [1, 16, 256] {
        let mut outbox = Outbox::default();
        for n in 0..flows * 8 {
            outbox.push(packet(1280), n % flows, limit, NOW);
        }
        let mut turn = (0..flows).cycle();
        group.bench_function(BenchmarkId::new("flows", flows), |bencher| {
            bencher.iter(|| {
                let (frame, _) = outbox.pop(NOW);
                outbox.push(frame.unwrap(), turn.next().unwrap(), limit, NOW)
            });
        });
        let full = outbox.bytes();
        group.bench_function(BenchmarkId::new("full, flows", flows), |bencher| {
            let push = |frame| outbox.push(frame, turn.next().unwrap(), full, NOW);
            bencher.iter_batched(|| packet(1280), push, BatchSize::NumIterations(64));
        });
    }
}

/// A relay's decision.
fn routing(c: &mut Criterion) {
    let mut bed = Bed::new(false);
    let by_coordinates = bed.frames(1280).swap_remove(0);
    let by_key = bed.frames_by_key(1280).swap_remove(0);
    let mut group = c.benchmark_group("route");
    for (way, frame) in [("by coordinates", by_coordinates), ("by key", by_key)] {
        group.bench_function(way, |bencher| {
            let route = |frame: &mut PacketBuf| bed.relay.route_frame(bed.relay_from, frame, bed.now);
            bencher.iter_batched_ref(|| frame.clone(), route, BatchSize::NumIterations(64));
        });
    }
}

/// The whole way through a node that is at one of its ends.
fn ends(c: &mut Criterion) {
    for (cipher, aes) in CIPHERS {
        let mut bed = Bed::new(aes);
        for len in SOME_SIZES {
            let count = batch_of(len);
            let throughput = Throughput::ElementsAndBytes { elements: count as u64, bytes: (count * len) as u64 };
            let mut group = c.benchmark_group("outbound");
            let packets = bed.packets(len);
            group.throughput(throughput.clone());
            group.bench_function(BenchmarkId::new(cipher, len), |bencher| {
                let send = |packets| bed::send(&mut bed.sender, packets, bed.now);
                bencher.iter_batched(|| packets.clone(), send, BatchSize::PerIteration);
            });
            group.finish();
            let mut group = c.benchmark_group("inbound");
            group.throughput(throughput);
            group.bench_function(BenchmarkId::new(cipher, len), |bencher| {
                let Bed { sender, receiver, receiver_from, now, .. } = &mut bed;
                let sealed = || bed::send(sender, packets.clone(), *now);
                let receive = |frames| {
                    let packets = bed::receive(receiver, *receiver_from, frames, *now);
                    assert_eq!(packets.len(), count);
                    packets
                };
                bencher.iter_batched(sealed, receive, BatchSize::PerIteration);
            });
        }
    }
}

/// The whole way through a node in the middle.
fn relaying(c: &mut Criterion) {
    let mut bed = Bed::new(false);
    let mut group = c.benchmark_group("relay");
    for len in SOME_SIZES {
        let count = batch_of(len);
        group.throughput(Throughput::ElementsAndBytes { elements: count as u64, bytes: (count * len) as u64 });
        for (way, frames) in [("by coordinates", bed.frames(len)), ("by key", bed.frames_by_key(len))] {
            group.bench_function(BenchmarkId::new(way, len), |bencher| {
                let relay = |frames| bed::relay(&mut bed.relay, bed.relay_from, frames, bed.now);
                bencher.iter_batched(|| frames.clone(), relay, BatchSize::PerIteration);
            });
        }
    }
}

fn main() {
    let mut c = Criterion::default()
        .sample_size(30)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
        .configure_from_args();
    for measure in [sessions, frames, deframing, queue, routing, ends, relaying] {
        measure(&mut c);
    }
    c.final_summary();
}
