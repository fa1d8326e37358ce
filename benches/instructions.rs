//! How many instructions a packet takes on the hottest ways through a node: a gate against changes for the worse that nobody meant.
//!
//! Times differ from run to run and from machine to machine by more than the regressions that matter. Instructions, counted by
//! callgrind, do not: everything here is deterministic (seeds, a clock that stands still, no thread, no system call), so two runs count
//! the same. What a count does not see is the cache, the branch predictor and how many instructions a cycle does: `data_path.rs`
//! measures the same ways in time, and is what to believe about speed.
//!
//! `.ci/instructions` runs this and compares with `instructions.txt`, in instructions per packet. It fails if a way has become more than
//! 3 % longer, and `.ci/instructions --accept` writes the new counts, to be committed with the change that explains them.
//!
//! # What else a count depends on
//!
//! - *The compiler.* A new version may move counts by a few per cent. `instructions.txt` names the one it is from; with another one
//!   differences are shown and nothing fails, until the new counts are accepted.
//! - *`Cargo.lock`.* The same, without anybody noticing the cause: accept the counts in the commit that makes the step.
//! - *The CPU: not, on x86-64.* aws-lc and the C library choose code by what the CPU can, and valgrind shows them a CPU of its own, which
//!   has AVX2 if the machine has it, and nothing newer. So both are told ([`SAME_EVERYWHERE`]) that there is neither AVX nor AVX2 nor fast string
//!   moves: then the same code runs on every machine. It is not the code that the daemon runs on a modern one (ChaCha20-Poly1305 takes
//!   13,700 instructions for 1280 bytes here, and 8,000 with AVX2), but it is not ours, and ours is what is to be guarded. That is
//!   also why the ways with a cipher are counted for small packets too, where it is less than a quarter.
//! - *The C library*, a little, for `malloc` and `memcpy`. The counts are from glibc 2.36.
//!
//! Each benchmark is one batch of 64, as the core loop moves it, on nodes that have carried a few before. Freeing what comes out
//! does not count.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "what the macros of gungraun make is public and says nothing of itself"
)]

mod bed;

use std::hint::black_box;

use bed::{Bed, NOW};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use pinecone::buf::PacketBuf;
use pinecone::link::Link;
use pinecone::node::outbox::Outbox;

/// A packet with hardly anything in it: of its instructions most are ours, so a change of ours shows. Nothing of ours should take more
/// instructions for a larger one.
const SMALL: usize = 64;
/// IPv6's least MTU, where more than half is the cipher's: what a packet takes in all.
const LARGE: usize = 1280;
/// Takes AVX and AVX2 from aws-lc, the same and fast string moves from the C library.
const SAME_EVERYWHERE: [(&str, &str); 2] = [
    ("OPENSSL_ia32cap", "~0x1000000000000000:~0x20"),
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS"),
];
/// Flows that share the fair queue, and frames that each has there.
const FLOWS: u64 = 16;
const DEEP: u64 = 8;

/// The bed in a box: moving it would count.
fn bed_with(batch: impl FnOnce(&mut Bed) -> Vec<PacketBuf>) -> (Box<Bed>, Vec<PacketBuf>) {
    let mut bed = Box::new(Bed::new(false));
    let batch = batch(&mut bed);
    (bed, batch)
}

// IP packets into a node, sealed frames for a peer out of it.
#[library_benchmark]
#[bench::small(bed_with(|bed| bed.packets(SMALL)))]
#[bench::large(bed_with(|bed| bed.packets(LARGE)))]
fn outbound((mut bed, packets): (Box<Bed>, Vec<PacketBuf>)) -> (Box<Bed>, Vec<PacketBuf>) {
    let frames = bed::send(&mut bed.sender, black_box(packets), bed.now);
    (bed, frames)
}

// Sealed frames into a node, IP packets out of it.
#[library_benchmark]
#[bench::small(bed_with(|bed| bed.frames(SMALL)))]
#[bench::large(bed_with(|bed| bed.frames(LARGE)))]
fn inbound((mut bed, frames): (Box<Bed>, Vec<PacketBuf>)) -> (Box<Bed>, Vec<PacketBuf>) {
    let packets = bed::receive(&mut bed.receiver, bed.receiver_from, black_box(frames), bed.now);
    (bed, packets)
}

// Frames from one peer to another, by coordinates and by key.
#[library_benchmark]
#[bench::by_coordinates(bed_with(|bed| bed.frames(LARGE)))]
#[bench::by_key(bed_with(|bed| bed.frames_by_key(LARGE)))]
fn relay((mut bed, frames): (Box<Bed>, Vec<PacketBuf>)) -> (Box<Bed>, Vec<PacketBuf>) {
    let frames = bed::relay(&mut bed.relay, bed.relay_from, black_box(frames), bed.now);
    (bed, frames)
}

fn link_and_stream() -> (Link, Vec<u8>) {
    let (mut link, stream) = (bed::open_link(), bed::stream(SMALL));
    assert_eq!(bed::feed(&mut link, &stream), bed::batch_of(SMALL));
    (link, stream)
}

// A stream of bytes into frames.
#[library_benchmark]
#[bench::batch(link_and_stream())]
fn deframe((mut link, stream): (Link, Vec<u8>)) -> (Link, Vec<u8>, usize) {
    let count = bed::feed(&mut link, black_box(&stream));
    (link, stream, count)
}

fn standing_queue() -> (Outbox, Vec<PacketBuf>) {
    let mut outbox = Outbox::default();
    let frame = || PacketBuf::from(&[7; LARGE][..]);
    for n in 0..FLOWS * DEEP {
        outbox.push(frame(), n % FLOWS, usize::MAX, NOW);
    }
    (outbox, (0..bed::batch_of(LARGE)).map(|_| frame()).collect())
}

// Frames into the fair queue of a peering, and as many out of it.
#[library_benchmark]
#[bench::batch(standing_queue())]
fn queue((mut outbox, frames): (Outbox, Vec<PacketBuf>)) -> (Outbox, Vec<Option<PacketBuf>>) {
    let mut out = Vec::with_capacity(frames.len());
    for (n, frame) in frames.into_iter().enumerate() {
        outbox.push(frame, n as u64 % FLOWS, usize::MAX, NOW);
        out.push(outbox.pop(NOW).0);
    }
    (outbox, out)
}

library_benchmark_group!(name = ways; benchmarks = outbound, inbound, relay, deframe, queue);

main!(
    config = LibraryBenchmarkConfig::default()
        .envs(SAME_EVERYWHERE)
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = ways
);
