//! The bodies of all fuzz targets: bytes in, nothing out, a panic if a property does not hold.
//!
//! They live in the library so that the fuzzer (`fuzz/`, one line per target) and the ordinary tests (`tests/corpus.rs`,
//! which replays every saved input on stable Rust) run the same code. A target is a function and a line in [`TARGETS`], a
//! file in `fuzz/fuzz_targets` and a directory in `fuzz/corpus`; `tests/corpus.rs` fails if one of them is missing.

use std::sync::LazyLock;

use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Scheme, Seed};
use crate::link::fragment::{Fragmenter, MAX_AGE, MAX_BYTES, MAX_FRAMES, MIN_DATAGRAM, Reassembler};
use crate::link::{Link, LinkConfig, LinkError, LinkEvent};
use crate::rng::Rng;
use crate::router::MAX_PORT;
use crate::time::{Duration, Instant};
use crate::wire::coords::CoordsRef;
use crate::wire::frame::{self, Frame, Header, TrafficFrame, TrafficHeader};
use crate::wire::hello::{HELLO_LEN, Hello};
use crate::wire::notice::{RouteNotice, RouteTrouble};
use crate::wire::route::request::PathRequest;
use crate::wire::route::{self, Hop, MAX_HOPS, Routed};
use crate::wire::snake::{Bootstrap, Watermark};
use crate::wire::tree::Announcement;
use crate::wire::{Reader, broadcast::WakeupBroadcast, varint};

/// A fuzz target: any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its file and its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("announcement", announcement),
    ("beacon", beacon),
    ("bootstrap", bootstrap),
    ("broadcast", broadcast),
    ("certificate", certificate),
    ("coords", coords),
    ("dns", dns),
    ("fragment", fragment),
    ("frame", frame),
    ("hello", hello),
    ("link", link),
    ("node", node),
    ("notice", notice),
    ("path_request", path_request),
    ("proof", proof),
    ("proxy", proxy),
    ("route", route),
    ("route_message", route_message),
    ("session", session),
    ("websocket", websocket),
];

pub use crate::discovery::fuzz_body::fuzz_beacon as beacon;
pub use crate::dns::fuzz_body::fuzz_dns as dns;
pub use crate::link::fuzz_body::fuzz_proof as proof;
pub use crate::node::fuzz_body::fuzz_node as node;
pub use crate::proxy::fuzz_body::fuzz_proxy as proxy;
pub use crate::session::fuzz_body::{fuzz_route_message as route_message, fuzz_session_message as session};
pub use crate::shell::transport::tls::fuzz_body::fuzz_certificate as certificate;
pub use crate::shell::transport::ws::fuzz_body::fuzz_websocket as websocket;

static OWN: LazyLock<Keypair> = LazyLock::new(|| Keypair::from_seed(&Seed([1; 32])));
static PEER: LazyLock<Keypair> = LazyLock::new(|| Keypair::from_seed(&Seed([2; 32])));

/// One frame: what can be parsed can be built again, and rewriting changes what it is meant to and nothing else.
pub fn frame(data: &[u8]) {
    let parsed = frame::parse(data);
    if parsed.is_ok() {
        assert!(Header::parse(data).is_ok_and(|header| header.len == data.len()));
    }
    match parsed {
        Ok(Frame::Announcement(payload)) => {
            let built = frame::announcement(payload);
            assert!(built.is_ok_and(|built| frame::parse(&built) == Ok(Frame::Announcement(payload))));
        }
        Ok(Frame::Bootstrap(fields)) => {
            let built = frame::bootstrap(&fields);
            assert!(built.is_ok_and(|built| frame::parse(&built) == Ok(Frame::Bootstrap(fields))));
        }
        Ok(Frame::Broadcast(fields)) => {
            let built = frame::broadcast(&fields);
            assert!(built.is_ok_and(|built| frame::parse(&built) == Ok(Frame::Broadcast(fields))));
        }
        Ok(Frame::Traffic(fields)) => traffic(data, &fields),
        Ok(Frame::RouteNotice(_, body)) => assert_eq!(data.get(frame::HEADER_LEN..), Some(body)),
        Ok(Frame::Keepalive | Frame::Route(_) | Frame::Unknown(_)) => {}
        Err(_) => refused(data),
    }
}

/// Bytes that are no frame are not rewritten, but for the hop limit, which any ten bytes have.
fn refused(data: &[u8]) {
    let mut copy = PacketBuf::from(data);
    if frame::set_watermark(&mut copy, Watermark::NONE).is_err()
        || frame::clear_destination(&mut copy, Watermark::NONE).is_err()
    {
        assert_eq!(*copy, *data, "what would outgrow its length field stays as it is");
    }
    frame::set_hop_limit(&mut copy, 1);
}

fn traffic(data: &[u8], fields: &TrafficFrame<'_>) {
    assert_eq!(data.get(fields.payload_at..), Some(fields.payload));
    let (destination, source) = (fields.destination.to_owned(), fields.source.to_owned());
    let mut built = PacketBuf::from(fields.payload);
    let header = TrafficHeader {
        version: 0,
        extra: 0,
        hop_limit: fields.hop_limit,
        destination: &destination,
        source: &source,
        destination_key: &fields.destination_key,
        source_key: &fields.source_key,
        watermark: fields.watermark,
    };
    // A padded watermark makes the received frame longer than ours, never shorter.
    assert!(frame::emit_traffic(&mut built, &header).is_ok() && built.len() <= data.len());
    assert!(frame::parse(&built).is_ok_and(|parsed| same_traffic(parsed, &built, fields)));
    // The keys stand in for random numbers.
    let [a, b, ..] = fields.source_key.0;
    let watermark = Watermark { key: fields.destination_key, sequence: u64::from(a).pow(u32::from(b) % 8) };
    let mut rewritten = PacketBuf::from(data);
    if frame::clear_destination(&mut rewritten, watermark).is_err() {
        assert_eq!(*rewritten, *data);
        return;
    }
    assert!(frame::set_watermark(&mut rewritten, watermark).is_ok());
    let expected = TrafficFrame { destination: CoordsRef::default(), watermark, ..*fields };
    assert!(frame::parse(&rewritten).is_ok_and(|parsed| same_traffic(parsed, &rewritten, &expected)));
}

/// Whether `parsed`, which came out of `bytes`, says the same as `expected`, whose payload may start elsewhere.
fn same_traffic(parsed: Frame<'_>, bytes: &[u8], expected: &TrafficFrame<'_>) -> bool {
    let payload_at = bytes.len() - expected.payload.len();
    parsed == Frame::Traffic(TrafficFrame { payload_at, ..*expected })
}

/// An announcement's payload: encoding gives the received bytes, and there is room for one more entry.
pub fn announcement(data: &[u8]) {
    let Ok(announcement) = Announcement::parse(data) else { return };
    let encoded = announcement.encode();
    assert!(data.starts_with(&encoded) && data.len() - encoded.len() < 97);
    let hops = announcement.hops.len();
    assert_eq!((announcement.coords().len(), announcement.peer_coords().len()), (hops, hops - 1));
    assert!(announcement.verify_from(hops, Scheme::Ed25519));
    // Checks one signature; any answer will do.
    let _ = announcement.verify_from(hops - 1, Scheme::Ed25519);
    let extended = announcement.extend(u64::from(MAX_PORT), &OWN, Some([0; 64]));
    assert!(frame::announcement(&extended.encode()).is_ok());
}

/// A bootstrap's payload.
pub fn bootstrap(data: &[u8]) {
    let Ok(bootstrap) = Bootstrap::parse(data) else { return };
    assert!(data.starts_with(&bootstrap.encode()));
    let _ = bootstrap.verify(&OWN.public(), Scheme::Ed25519);
}

/// A wakeup broadcast's payload.
pub fn broadcast(data: &[u8]) {
    let Ok(broadcast) = WakeupBroadcast::parse(data) else { return };
    assert!(data.starts_with(&broadcast.encode()));
    let _ = broadcast.verify(&OWN.public(), Scheme::Ed25519);
}

/// A route notice's body: accepted is what would be written, and it fits a frame.
pub fn notice(data: &[u8]) {
    let Ok(notice) = RouteNotice::parse(data) else { return };
    assert_eq!(notice.encode(), data);
    assert!(RouteNotice::about(notice.keys()).eq([notice.clone()]));
    for trouble in [RouteTrouble::Broken, RouteTrouble::Withdrawn] {
        let built = frame::route_notice(trouble, &notice);
        assert!(built.is_ok_and(|built| frame::parse(&built) == Ok(Frame::RouteNotice(trouble, data))));
    }
}

/// The front of a source-routed frame, open and sealed: whatever it says, its cursor comes to the end, what it carries stays as it is, and the way
/// back is as long as what was taken.
pub fn route(data: &[u8]) {
    for is_sealed in [false, true] {
        let mut frame = PacketBuf::from(data);
        let Ok(first) = Routed::parse(&frame, is_sealed) else { continue };
        let (label, inside) = (first.label(&frame), data.get(first.inside_at()..));
        assert!(inside.is_some() && first.taken(&frame).count() == first.cursor && first.hops <= MAX_HOPS);
        let steps = if first.is_returning { first.cursor } else { first.hops - first.cursor };
        for step in 0..=steps {
            let routed = Routed::parse(&frame, is_sealed);
            assert!(routed.is_ok_and(|routed| routed.next(&frame).is_some() == (step < steps)));
            routed.iter().for_each(|routed| routed.take_hop(&mut frame, Hop { port: 1, epoch: 2 }));
        }
        assert_eq!((frame.get(first.inside_at()..), first.label(&frame)), (inside, label));
        first.turn_back(&mut frame);
        assert!(Routed::parse(&frame, is_sealed).is_ok());
        let hops: Vec<Hop> = first.taken(&PacketBuf::from(data)).collect();
        let mut again = PacketBuf::from(inside.unwrap_or_default());
        let outcome = if is_sealed { route::seal(&mut again, &hops, label) } else { route::wrap(&mut again, &hops) };
        assert!(outcome.is_ok() && Routed::parse(&again, is_sealed).is_ok_and(|routed| routed.hops == hops.len()));
    }
}

/// The front of a path request: what is accepted is what would be written.
pub fn path_request(data: &[u8]) {
    let Ok((request, inside_at)) = PathRequest::parse(data) else { return };
    let mut frame = PacketBuf::from(data.get(inside_at..).unwrap_or_default());
    assert!(request.wrap(&mut frame).is_ok());
    assert_eq!(frame.get(frame::HEADER_LEN..), data.get(frame::HEADER_LEN..));
    assert!(request.way_there().len() == request.cursor && request.way_back().len() == request.cursor);
}

/// Integers and coordinates: one form each, and distance is a metric.
pub fn coords(data: &[u8]) {
    if let Ok(value) = Reader::new(data).varu64("value") {
        let mut encoded = Vec::new();
        varint::write(value, &mut encoded);
        assert!(data.starts_with(&encoded));
        assert_eq!(Reader::new(data).varu64_padded("value"), Ok(value));
    }
    let mut reader = Reader::new(data);
    let Ok(a) = CoordsRef::read(&mut reader, "a") else { return };
    let owned = a.to_owned();
    let mut encoded = Vec::new();
    owned.write(&mut encoded);
    assert!(data.starts_with(&encoded) && encoded.len() == owned.encoded_len());
    let mut ports = Vec::new();
    a.decode(&mut ports);
    assert!(a == owned && owned.distance_to(&ports) == 0);
    let Ok(b) = CoordsRef::read(&mut reader, "b") else { return };
    let other = b.to_owned();
    assert_eq!(other.distance_to(&ports), owned.distance(&other));
    assert_eq!(owned.distance(&other) == 0, a == b);
    assert!(owned.distance(&other) <= owned.len() + other.len());
}

/// A hello: what is accepted names its key, and what we send is accepted whatever the extensions.
pub fn hello(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<HELLO_LEN>()
        && let Ok(hello) = Hello::parse_and_verify(bytes)
    {
        assert!(bytes.starts_with(&[1, hello.extension_version]));
        assert_eq!(bytes.get(8..40), Some(&hello.key.0[..]));
    }
    if let [extension_version, high, low, ..] = *data {
        let hello = Hello { key: OWN.public(), extension_version, extensions: u16::from_be_bytes([high, low]) };
        assert_eq!(Hello::parse_and_verify(&hello.encode(&OWN)), Ok(hello));
    }
}

/// A link's input: the first byte says how the others are cut into pieces, and, if it is odd, that a hello goes before them.
pub fn link(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let hello = if mode & 1 == 1 { &peer_hello()[..] } else { &[] };
    let stream = [hello, rest].concat();
    let whole = link_story(&stream, || usize::MAX);
    let mut rng = Rng::new([mode; 32]);
    let most = 16 << (mode / 20);
    let pieces = link_story(&stream, || 1 + usize::try_from(rng.below(most)).unwrap_or_default());
    assert_eq!(whole, pieces, "the same bytes in other pieces told another story");
}

/// Datagrams with traffic frames: the first byte says how long our own may be, then each is a length (2 bytes), a pause (1 byte, in
/// 16 ms) and so many bytes. What is put together can be cut and put together again, and nothing outgrows its bounds.
pub fn fragment(data: &[u8]) {
    let Some((&max, mut rest)) = data.split_first() else { return };
    let max = MIN_DATAGRAM + 8 * usize::from(max);
    let (mut reassembler, mut fragmenter, mut now) = (Reassembler::default(), Fragmenter::default(), Instant::ZERO);
    while let Some(([high, low, pause], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (datagram, behind) = behind.split_at(len);
        rest = behind;
        now = now + Duration::from_millis(16 * u64::from(*pause));
        let taken = reassembler.handle_datagram(datagram, now);
        assert!(reassembler.bytes() <= MAX_BYTES && reassembler.frames() <= MAX_FRAMES);
        let Ok(Some(frame)) = taken else { continue };
        let mut out = Vec::new();
        let cut = fragmenter.cut(&frame, max, &mut out);
        assert!(cut.is_some_and(|cut| cut.datagram_len <= max && out.chunks(cut.datagram_len).len() == cut.count));
        let mut other = Reassembler::default();
        let pieces = out.chunks(cut.map_or(1, |cut| cut.datagram_len));
        let whole = pieces.filter_map(|piece| other.handle_datagram(piece, now).ok().flatten()).last();
        assert!(whole.is_some_and(|whole| *whole == *frame) && other.frames() == 0);
    }
    reassembler.expire(now + MAX_AGE);
    assert_eq!((reassembler.bytes(), reassembler.frames()), (0, 0));
}

/// The hello of the peer that [`link`] and [`link_story`] play.
pub fn peer_hello() -> [u8; HELLO_LEN] {
    Hello { key: PEER.public(), extension_version: 0, extensions: 0 }.encode(&PEER)
}

/// What a link told, from its start to the end of the stream or an error.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkStory {
    /// Who the peer is, if it came up.
    pub up: Option<PublicKey>,
    /// The frames, in order.
    pub frames: Vec<Vec<u8>>,
    /// Why it ended early.
    pub end: Result<(), LinkError>,
}

/// Feeds `stream` to a link, at most `next_piece()` bytes at a time, and notes what it tells. Checks on the way that there is
/// always room to read to, that the first event is `Up`, and that every frame has the length that its header says.
pub fn link_story(stream: &[u8], mut next_piece: impl FnMut() -> usize) -> LinkStory {
    static OWN_HELLO: LazyLock<[u8; HELLO_LEN]> =
        LazyLock::new(|| Hello { key: OWN.public(), extension_version: 0, extensions: 0 }.encode(&OWN));
    let now = Instant::ZERO;
    let mut link = Link::new(LinkConfig::plain(*OWN_HELLO, OWN.public()), now);
    let mut story = LinkStory { up: None, frames: Vec::new(), end: Ok(()) };
    let mut rest = stream;
    while !rest.is_empty() && story.end.is_ok() {
        let buffer = link.read_buffer();
        let len = buffer.len().min(rest.len()).min(next_piece());
        assert!(len > 0, "all events were taken, yet there is nowhere to read to");
        let (piece, behind) = rest.split_at(len);
        buffer.iter_mut().zip(piece).for_each(|(place, byte)| *place = *byte);
        rest = behind;
        story.end = link.handle_read(len, now);
        while let Some(event) = link.poll_event() {
            match event {
                LinkEvent::Up { key, .. } => assert!(story.up.replace(key).is_none() && story.frames.is_empty()),
                LinkEvent::Frame(frame) => {
                    assert!(story.up.is_some());
                    assert!(Header::parse(&frame).is_ok_and(|header| header.len == frame.len()));
                    story.frames.push(frame.to_vec());
                }
            }
        }
    }
    story
}
