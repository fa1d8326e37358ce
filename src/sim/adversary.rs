//! Nodes that do not play by the rules.
//!
//! An adversary is an ordinary node with something around it that withholds, swallows, repeats and makes up frames. It cannot do what
//! nobody can: it has no key but its own and those that it made.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::buf::PacketBuf;
use crate::keys::{Keypair, PublicKey, Seed};
use crate::sim::deliver::Happening;
use crate::sim::net::LinkModel;
use crate::sim::{NodeId, Sim};
use crate::time::Duration;
use crate::wire::frame::{self, BootstrapFrame, Frame, FrameKind};
use crate::wire::route::request::PathRequest;
use crate::wire::route::{RouteKind, Routed};
use crate::wire::snake::{Bootstrap, Watermark};
use crate::wire::tree::Root;

/// Bootstraps that an adversary keeps to repeat.
const RECORDED: usize = 256;

/// What an adversary does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Drops all traffic of others that comes by, and otherwise behaves: a black hole that attracts.
    pub drop_traffic: bool,
    /// Of that only what is longer than so many bytes: control messages and probes get through.
    pub drop_longer_than: usize,
    /// Passes on no bootstrap of others.
    pub drop_bootstraps: bool,
    /// How often it does the following, in milliseconds.
    pub every_ms: u64,
    /// Old bootstraps of others that it sends again to each peer.
    pub replay: usize,
    /// Bootstraps with damaged signatures, for keys of others, that it sends to each peer.
    pub forge: usize,
    /// Bootstraps of keys made for the purpose that it sends to each peer, well signed: they fill tables.
    pub flood: usize,
    /// Takes all its peerings down, and up again the next time: as root it makes everybody move.
    pub flap: bool,
}

impl Default for Plan {
    /// Does nothing yet; acts ten times a second.
    fn default() -> Self {
        Self {
            drop_traffic: false,
            drop_longer_than: 0,
            drop_bootstraps: false,
            every_ms: 100,
            replay: 0,
            forge: 0,
            flood: 0,
            flap: false,
        }
    }
}

impl Plan {
    /// To drop all traffic of others.
    pub fn dropper() -> Self {
        Self { drop_traffic: true, ..Self::default() }
    }

    const fn acts(&self) -> bool {
        self.replay + self.forge + self.flood > 0 || self.flap
    }
}

/// A plan, and what its node remembers for it.
#[derive(Clone, Debug)]
pub(super) struct Adversary {
    pub(super) plan: Plan,
    /// What it overheard: the bytes of bootstrap frames.
    recorded: VecDeque<Vec<u8>>,
    /// Whom it left.
    parted: Vec<NodeId>,
    turns: u64,
}

impl Adversary {
    pub(super) const fn new(plan: Plan) -> Self {
        Self { plan, recorded: VecDeque::new(), parted: Vec::new(), turns: 0 }
    }

    /// Whether a frame that arrives gets no further than here.
    pub(super) fn swallows(&mut self, frame: &mut PacketBuf, own: &PublicKey) -> bool {
        match frame::parse(frame) {
            Ok(Frame::Traffic(traffic)) => self.drops(frame) && traffic.destination_key != *own,
            Ok(Frame::Route(kind)) => self.drops(frame) && is_transit(kind, frame, own),
            Ok(Frame::Bootstrap(_)) => {
                if self.plan.replay > 0 || self.plan.forge > 0 {
                    self.recorded.push_back(frame.to_vec());
                    self.recorded.truncate(RECORDED);
                }
                false
            }
            _ => false,
        }
    }

    fn drops(&self, frame: &[u8]) -> bool {
        self.plan.drop_traffic && frame.len() > self.plan.drop_longer_than
    }

    /// Whether a frame that its node wants to send stays here.
    pub(super) fn withholds(&self, kind: Option<FrameKind>, frame: &[u8], own: &PublicKey) -> bool {
        self.plan.drop_bootstraps
            && kind == Some(FrameKind::Bootstrap)
            && matches!(frame::parse(frame), Ok(Frame::Bootstrap(bootstrap)) if bootstrap.destination != *own)
    }

    /// What it sends to each peer this time.
    fn made_up(&mut self, root: Root, mut seed: impl FnMut() -> Seed, template: &Keypair, unix: u64) -> Vec<PacketBuf> {
        let mut frames: Vec<PacketBuf> =
            self.recorded.iter().take(self.plan.replay).map(|bytes| PacketBuf::from(&bytes[..])).collect();
        for bytes in self.recorded.iter().cycle().take(if self.recorded.is_empty() { 0 } else { self.plan.forge }) {
            let mut forged = PacketBuf::from(&bytes[..]);
            // The signature ends the payload, and the payload the frame; a number in front of it makes it news.
            let last = forged.len() - 1;
            // Never by zero, which would be no forgery.
            forged[last] ^= (self.turns as u8).wrapping_add(1).max(1);
            frames.push(forged);
        }
        for _ in 0..self.plan.flood {
            let keypair = Keypair::from_seed(&seed()).with_scheme(template.scheme());
            let payload = Bootstrap::sign(unix, root, &keypair).encode();
            let (destination, payload, watermark) = (keypair.public(), &payload[..], Watermark::NONE);
            let frame = BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload };
            frames.extend(frame::bootstrap(&frame));
        }
        self.turns += 1;
        frames
    }
}

/// Whether a frame of this extension is for somebody else.
fn is_transit(kind: RouteKind, frame: &[u8], own: &PublicKey) -> bool {
    match kind {
        RouteKind::Request => PathRequest::parse(frame).ok().and_then(|(_, at)| frame.get(at..)).is_some_and(
            |inside| !matches!(frame::parse(inside), Ok(Frame::Traffic(traffic)) if traffic.destination_key == *own),
        ),
        RouteKind::Open | RouteKind::Sealed => {
            Routed::parse(frame, kind == RouteKind::Sealed).is_ok_and(|routed| routed.next(frame).is_some())
        }
    }
}

impl Sim {
    /// An adversary's turn.
    pub(super) fn on_plot(&mut self, id: NodeId) {
        let Some(mut adversary) = self.nodes[id].adversary.take() else { return };
        if let Some(root) = self.node(id).map(|node| node.router().root()) {
            let unix = super::BEGIN.0 + self.now.as_micros() / 1000;
            let keypair = self.nodes[id].keypair.clone();
            let rng = &mut self.rng;
            let frames = adversary.made_up(root, || Seed(rng.bytes()), &keypair, unix);
            for end in self.nodes[id].ends.iter().copied().flatten().collect::<Vec<_>>() {
                for frame in &frames {
                    self.emit(id, end, PacketBuf::from(&frame[..]));
                }
            }
        }
        if adversary.plan.flap {
            self.flap(id, &mut adversary);
        }
        let acts = adversary.plan.acts();
        let every = Duration::from_millis(adversary.plan.every_ms.max(1));
        self.nodes[id].adversary = Some(adversary);
        if acts {
            self.queue.push(self.now + every, Happening::Plot(id));
        }
    }

    fn flap(&mut self, id: NodeId, adversary: &mut Adversary) {
        if adversary.parted.is_empty() {
            adversary.parted = self.neighbours(id);
            for other in adversary.parted.clone() {
                self.disconnect(id, other);
            }
        } else {
            for other in std::mem::take(&mut adversary.parted) {
                self.connect(id, other, LinkModel::default());
            }
        }
    }
}
