//! What a reference node would make of the bytes that we send: a reader of its own, written from the specification alone.
//!
//! It shares no code with `wire` and `link`, so a mistake made there on both sides (writing and reading) shows here. It is
//! stricter than the reference: everything that crashes it, that it would disconnect for, or that no reference node would
//! ever have written is a violation.

use std::time::{Duration, Instant};

use pinecone::keys::PublicKey;

/// Length of the handshake of each side.
const HELLO: usize = 104;
/// Length of a frame header.
const HEADER: usize = 10;
/// Most entries of an announcement that a reference node can still extend (pitfall 9).
const MOST_HOPS: usize = 674;
/// A reference node hangs up after 5 s without a whole frame.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// The kinds of frames, in the order of their type bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Keepalive,
    Announcement,
    Bootstrap,
    Traffic,
    Broadcast,
}

/// Watches one direction of one peering, from its first byte.
pub(crate) struct Inspector {
    pending: Vec<u8>,
    /// The three bytes that the reference ignores, and the key.
    pub(crate) hello: Option<([u8; 3], PublicKey)>,
    root: Option<(PublicKey, u64)>,
    last_frame: Instant,
    /// The frames that passed.
    pub(crate) seen: Vec<Kind>,
    pub(crate) violations: Vec<String>,
}

type Judgement<T> = Result<T, String>;

impl Inspector {
    pub(crate) fn new(now: Instant) -> Self {
        let (pending, seen, violations) = (vec![], vec![], vec![]);
        Self { pending, hello: None, root: None, last_frame: now, seen, violations }
    }

    /// The next bytes of the stream, as they came.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Instant) {
        self.pending.extend_from_slice(bytes);
        while let Some(len) = self.next_len() {
            if self.pending.len() < len {
                return;
            }
            let frame: Vec<u8> = self.pending.drain(..len).collect();
            self.check_silence(now);
            self.last_frame = now;
            if let Err(violation) = self.judge(&frame) {
                self.violations.push(format!("{violation}: {}", excerpt(&frame)));
            }
        }
    }

    /// To be called when the peering is looked at for the last time while it should be up.
    pub(crate) fn check_silence(&mut self, now: Instant) {
        let silence = now.duration_since(self.last_frame);
        if silence > LONGEST_SILENCE {
            self.violations.push(format!("nothing was sent for {silence:?}: the reference hangs up"));
        }
    }

    /// How many frames of a kind came.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.seen.iter().filter(|seen| **seen == kind).count()
    }

    /// How long the next unit is, as far as that can be told.
    fn next_len(&mut self) -> Option<usize> {
        if self.hello.is_none() {
            return Some(HELLO);
        }
        let header = self.pending.get(..HEADER)?;
        let len = usize::from(u16::from_be_bytes([header[8], header[9]]));
        if header.starts_with(b"pine") && len >= HEADER {
            return Some(len);
        }
        // The stream cannot be read on; report it once.
        self.violations.push(format!("not a frame header: {}", excerpt(header)));
        self.pending.clear();
        None
    }

    fn judge(&mut self, unit: &[u8]) -> Judgement<()> {
        let Some((_, peer)) = self.hello else {
            self.hello = Some(hello(unit)?);
            return Ok(());
        };
        let (kind, hop_limit) = (unit[5], unit[7]);
        demand(unit[4] == 0 && unit[6] == 0, "version and extra are sent as 0")?;
        let body = &mut Cursor(&unit[HEADER..]);
        let kind = match kind {
            0 => {
                demand(unit.len() == HEADER, "a keepalive is a bare header")?;
                Kind::Keepalive
            }
            1 => {
                self.announcement(body, peer)?;
                Kind::Announcement
            }
            2 => {
                bootstrap(body)?;
                // One that is passed on carries its age there, which reference nodes pass on without a look at it.
                let is_own = unit[HEADER + 2..].starts_with(&peer.0);
                demand(hop_limit == 0 || !is_own, "a node's own bootstrap has hop limit 0")?;
                Kind::Bootstrap
            }
            3 => {
                traffic(body)?;
                Kind::Traffic
            }
            4 => {
                broadcast(body)?;
                demand((1..=5).contains(&hop_limit), "a broadcast has hop limit 1 to 5")?;
                Kind::Broadcast
            }
            other => return Err(format!("frame type {other} towards a peer that announced no extension")),
        };
        demand(kind == Kind::Announcement || self.root.is_some(), "the first frame is an announcement")?;
        self.seen.push(kind);
        Ok(())
    }

    fn announcement(&mut self, body: &mut Cursor<'_>, peer: PublicKey) -> Judgement<()> {
        let payload_len = body.length()?;
        demand(payload_len == body.0.len(), "the payload fills the frame")?;
        let payload = body.0;
        let (root, sequence) = (body.key()?, body.varint()?);
        let mut keys = vec![];
        while !body.0.is_empty() {
            let signed = &payload[..payload.len() - body.0.len()];
            demand(body.varint()? != 0, "no port of an announcement is 0")?;
            let key = body.key()?;
            demand(key.verifies(signed, &body.signature()?), "every entry of an announcement is signed")?;
            demand(!keys.contains(&key), "no key appears twice")?;
            keys.push(key);
        }
        demand(keys.first() == Some(&root), "the first entry is the root's")?;
        demand(keys.last() == Some(&peer), "the last entry is the sender's")?;
        demand(keys.len() <= MOST_HOPS, "an announcement leaves room for one more entry")?;
        let falls = self.root.is_some_and(|(key, last)| key == root && last > sequence);
        demand(!falls, "the sequence of a root never falls on a peering")?;
        self.root = Some((root, sequence));
        Ok(())
    }
}

/// Version, capabilities and signature.
fn hello(unit: &[u8]) -> Judgement<([u8; 3], PublicKey)> {
    demand(unit[0] == 1, "the version is 1")?;
    demand(unit[4..8] == [0, 0, 0, 0x3b], "the capabilities are exactly 0x3b")?;
    let key = Cursor(&unit[8..]).key()?;
    let signature = Cursor(&unit[40..]).signature()?;
    demand(key.verifies(&unit[..40], &signature), "the handshake is signed")?;
    Ok(([unit[1], unit[2], unit[3]], key))
}

fn bootstrap(body: &mut Cursor<'_>) -> Judgement<()> {
    let payload_len = body.length()?;
    let signer = body.key()?;
    body.key()?;
    body.varint()?;
    signed_payload(body, payload_len, signer)
}

fn broadcast(body: &mut Cursor<'_>) -> Judgement<()> {
    let payload_len = body.length()?;
    let signer = body.key()?;
    signed_payload(body, payload_len, signer)
}

/// The payload of bootstraps and broadcasts: sequence, root, signature.
fn signed_payload(body: &mut Cursor<'_>, len: usize, signer: PublicKey) -> Judgement<()> {
    demand(len == body.0.len(), "the payload fills the frame")?;
    let payload = body.0;
    body.varint()?;
    body.key()?;
    body.varint()?;
    let signed = &payload[..payload.len() - body.0.len()];
    demand(signer.verifies(signed, &body.signature()?), "the payload is signed by the key of the frame")?;
    demand(body.0.is_empty(), "nothing follows the signature")
}

fn traffic(body: &mut Cursor<'_>) -> Judgement<()> {
    let payload_len = body.length()?;
    let by_key = body.coordinates()? == 0;
    body.coordinates()?;
    body.key()?;
    body.key()?;
    if by_key {
        body.key()?;
        body.varint()?;
    }
    demand(payload_len == body.0.len(), "the payload fills the frame exactly")
}

/// What is left of a body. Everything fails on too few bytes; integers also if a shorter encoding exists.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Judgement<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or("the frame ends before its fields do")?;
        self.0 = rest;
        Ok(*head)
    }

    fn length(&mut self) -> Judgement<usize> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn key(&mut self) -> Judgement<PublicKey> {
        Ok(PublicKey(self.array()?))
    }

    fn signature(&mut self) -> Judgement<[u8; 64]> {
        self.array()
    }

    fn varint(&mut self) -> Judgement<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            demand(place > 0 || byte != 0x80, "integers are encoded in the fewest bytes")?;
            demand(value.leading_zeros() >= 7, "integers fit 64 bits")?;
            value = value << 7 | u64::from(byte & 0x7f);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("an integer has at most 10 bytes".to_owned())
    }

    /// How many elements a coordinate list has.
    fn coordinates(&mut self) -> Judgement<usize> {
        let len = self.length()?;
        let (mut list, rest) =
            self.0.split_at_checked(len).map(|(list, rest)| (Cursor(list), rest)).ok_or("coordinates end early")?;
        self.0 = rest;
        let mut elements = 0;
        while !list.0.is_empty() {
            list.varint()?;
            elements += 1;
        }
        Ok(elements)
    }
}

fn demand(holds: bool, rule: &str) -> Judgement<()> {
    if holds { Ok(()) } else { Err(format!("broken rule: {rule}")) }
}

fn excerpt(bytes: &[u8]) -> String {
    let hex = data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(160)]);
    format!("{hex} ({} bytes)", bytes.len())
}
