//! Whatever comes in, no decoder panics and no link depends on how the stream was cut. Arbitrary bytes hardly get past a
//! magic number, so most inputs are valid messages with damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use pinecone::buf::PacketBuf;
use pinecone::fuzzing::{self, LinkStory, TARGETS, link_story, peer_hello};
use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::wire::coords::Coords;
use pinecone::wire::frame::{self, BootstrapFrame, BroadcastFrame, Frame, HEADER_LEN, TrafficHeader};
use pinecone::wire::hello::HELLO_LEN;
use pinecone::wire::snake::{Bootstrap, Watermark};
use pinecone::wire::tree::{Announcement, Root};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

/// Integers of every encoded length, not only of ten bytes as uniform ones nearly always are.
fn integer() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)
}

fn coords() -> impl Strategy<Value = Coords> {
    vec(integer(), 0..12).prop_map(Coords::new)
}

fn watermark() -> impl Strategy<Value = Watermark> {
    (key(), integer()).prop_map(|(key, sequence)| Watermark { key, sequence })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 8_000..20_000)]
}

fn traffic_frame() -> impl Strategy<Value = Vec<u8>> {
    (payload(), coords(), coords(), key(), key(), watermark(), any::<[u8; 3]>()).prop_map(
        |(payload, destination, source, destination_key, source_key, watermark, [version, extra, hop_limit])| {
            let mut built = PacketBuf::from(&payload[..]);
            let header = TrafficHeader {
                version,
                extra,
                hop_limit,
                destination: &destination,
                source: &source,
                destination_key: &destination_key,
                source_key: &source_key,
                watermark,
            };
            frame::emit_traffic(&mut built, &header).unwrap();
            built.to_vec()
        },
    )
}

/// Well-signed announcements of one to four entries.
fn announcement() -> impl Strategy<Value = Vec<u8>> {
    (integer(), vec(1..=u64::MAX, 1..5)).prop_map(|(sequence, ports)| {
        let pair = |n| Keypair::from_seed(&Seed([n; 32]));
        let start = Announcement::as_root(Root { key: pair(1).public(), sequence });
        let chain = |chain: Announcement, (port, n)| chain.extend(port, &pair(n), None);
        ports.into_iter().zip(1..).fold(start, chain).encode()
    })
}

/// The payload of a bootstrap or broadcast, with bytes behind it now and then.
fn signed_payload() -> impl Strategy<Value = Vec<u8>> {
    (integer(), key(), integer(), vec(any::<u8>(), 0..4)).prop_map(|(sequence, key, root_sequence, trailing)| {
        let signer = Keypair::from_seed(&Seed([3; 32]));
        let made = Bootstrap::sign(sequence, Root { key, sequence: root_sequence }, &signer).encode();
        [made, trailing].concat()
    })
}

/// A valid frame of any type.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let unknown = (5..=u8::MAX, payload()).prop_map(|(kind, body)| {
        let len = u16::try_from(HEADER_LEN + body.len()).unwrap();
        [b"pine\x00", &[kind][..], b"\x00\x00", &len.to_be_bytes(), &body].concat()
    });
    let bootstrap = (key(), watermark(), signed_payload()).prop_map(|(destination, watermark, payload)| {
        let payload = &payload[..];
        let fields = BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload };
        frame::bootstrap(&fields).unwrap().to_vec()
    });
    let broadcast = (key(), signed_payload()).prop_map(|(source, payload)| {
        let fields = BroadcastFrame { version: 0, extra: 0, hop_limit: 5, source, payload: &payload };
        frame::broadcast(&fields).unwrap().to_vec()
    });
    prop_oneof![
        1 => Just(frame::keepalive().to_vec()),
        1 => announcement().prop_map(|payload| frame::announcement(&payload).unwrap().to_vec()),
        1 => bootstrap,
        1 => broadcast,
        4 => traffic_frame(),
        1 => unknown,
    ]
}

/// What happens to a message on its way.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index),
    /// Two bytes that may be a length get an extreme value.
    Length(Index, u16),
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = prop_oneof![Just(0), Just(1), Just(9), Just(u16::MAX), any::<u16>()];
    prop_oneof![
        (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), length).prop_map(|(at, length)| Damage::Length(at, length)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.len() < 2 {
            break;
        }
        match damage {
            Damage::Flip(at, bits) => *at.get_mut(&mut bytes) ^= bits,
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Insert(at, inserted) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, inserted.iter().copied());
            }
            Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Damage::Length(at, length) => {
                // The fields that are lengths stand in the first twenty bytes.
                let at = at.index(bytes.len().min(20) - 1);
                bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
    bytes
}

/// Any message in perfect order or with some damage, or just bytes.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let lists = (coords(), coords()).prop_map(|(a, b)| {
        let mut bytes = Vec::new();
        a.write(&mut bytes);
        b.write(&mut bytes);
        bytes
    });
    let message = prop_oneof![any_frame(), announcement(), signed_payload(), Just(peer_hello().to_vec()), lists,];
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        4 => (message, vec(damage(), 0..4)).prop_map(|(message, damages): (_, Vec<_>)| damaged(message, &damages)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_breaks_a_decoder_or_its_promises(bytes in input()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn every_frame_that_we_can_build_is_parsed_with_nothing_left_over(bytes in any_frame()) {
        prop_assert!(frame::parse(&bytes).is_ok());
        fuzzing::frame(&bytes);
    }

    #[test]
    fn a_traffic_frame_of_another_length_than_it_says_is_refused(bytes in traffic_frame(), extra in 1..50_usize) {
        for len in [bytes.len() - extra.min(bytes.len() - HEADER_LEN), bytes.len() + extra] {
            let mut other = bytes.clone();
            other.resize(len, 0);
            prop_assert!(frame::parse(&other).is_err());
            // Also if the header tells the changed length: the payload's own length does not.
            other[8..10].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            prop_assert!(frame::parse(&other).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_link_tells_the_same_story_however_the_stream_is_cut(
        frames in vec(any_frame(), 0..8),
        damages in vec(damage(), 0..2),
        pieces in vec(prop_oneof![1..4_usize, 1..200_usize, 1..20_000_usize], 1..40),
    ) {
        let stream = damaged([peer_hello().to_vec(), frames.concat()].concat(), &damages);
        let mut pieces = pieces.into_iter().cycle();
        let whole = link_story(&stream, || usize::MAX);
        prop_assert_eq!(&whole, &link_story(&stream, || pieces.next().unwrap()));
        prop_assert_eq!(&whole, &link_story(&stream, || 1));
    }

    #[test]
    fn an_undamaged_stream_comes_out_frame_by_frame(frames in vec(any_frame(), 0..8), cut in any::<Index>()) {
        let stream = [peer_hello().to_vec(), frames.concat()].concat();
        let expected: Vec<_> =
            frames.into_iter().filter(|bytes| frame::parse(bytes) != Ok(Frame::Keepalive)).collect();
        let story = link_story(&stream, || usize::MAX);
        prop_assert!(story.up.is_some());
        prop_assert_eq!((&story.frames, story.end), (&expected, Ok(())));
        // Cut short, it is a prefix of that and no error: the rest may still come.
        let LinkStory { frames: some, end, .. } = link_story(&stream[..cut.index(stream.len())], || usize::MAX);
        prop_assert!(expected.starts_with(&some));
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn nothing_gets_past_a_damaged_hello(at in 0..HELLO_LEN, bits in 1..=u8::MAX, frames in vec(any_frame(), 0..3)) {
        let mut hello = peer_hello();
        hello[at] ^= bits;
        let story = link_story(&[&hello[..], &frames.concat()].concat(), || usize::MAX);
        prop_assert!(story.up.is_none() && story.frames.is_empty() && story.end.is_err());
    }
}
