//! Links of the simulated network: how long a frame takes, and which frames are lost.
//!
//! Order is kept on a link, as the stream transports keep it. Loss strikes traffic frames alone: over a stream it shows as delay, and
//! over datagrams protocol frames go through a stream of their own.

use std::collections::BTreeMap;

use crate::buf::PacketBuf;
use crate::node::Port;
use crate::rng::Rng;
use crate::sim::NodeId;
use crate::time::{Duration, Instant};
use crate::wire::frame::{FrameKind, Header};

/// How a link treats what crosses it.
#[derive(Clone, Copy, Debug)]
pub struct LinkModel {
    /// One-way delay.
    pub latency: Duration,
    /// Random extra delay, uniform from zero to this.
    pub jitter: Duration,
    /// Share of traffic frames lost, in millionths.
    pub loss_ppm: u32,
}

impl Default for LinkModel {
    /// 5 ms, up to 0.5 ms of jitter, no loss.
    fn default() -> Self {
        Self { latency: Duration::from_millis(5), jitter: Duration::from_micros(500), loss_ppm: 0 }
    }
}

/// A link between two peerings.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Both ends: node and port.
    pub ends: [(NodeId, Port); 2],
    /// How it behaves.
    pub model: LinkModel,
}

/// All links, and the frames on them.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    links: BTreeMap<u64, Link>,
    /// Which link, and which of its ends, a peering is.
    ends: BTreeMap<(NodeId, Port), (u64, usize)>,
    /// Frames on the way, by arrival and then by order of sending.
    in_flight: BTreeMap<(Instant, u64), InFlight>,
    /// The last arrival in each direction, which the next may not overtake.
    last_arrival: BTreeMap<(u64, usize), Instant>,
    next_link: u64,
    next_frame: u64,
}

#[derive(Debug)]
struct InFlight {
    link: u64,
    to: (NodeId, Port),
    frame: PacketBuf,
}

impl Net {
    /// No links.
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            next_link: 0,
            next_frame: 0,
        }
    }

    /// Adds a link.
    pub fn connect(&mut self, link: Link) {
        let id = self.next_link;
        self.next_link += 1;
        for (side, end) in link.ends.into_iter().enumerate() {
            self.ends.insert(end, (id, side));
        }
        self.links.insert(id, link);
    }

    /// Removes one link between two nodes; what is on it is lost.
    pub fn disconnect(&mut self, a: NodeId, b: NodeId) -> Option<Link> {
        let joins = |link: &Link| {
            let [(x, _), (y, _)] = link.ends;
            (x, y) == (a, b) || (x, y) == (b, a)
        };
        let id = *self.links.iter().find(|(_, link)| joins(link))?.0;
        let link = self.links.remove(&id)?;
        for end in link.ends {
            self.ends.remove(&end);
        }
        self.in_flight.retain(|_, in_flight| in_flight.link != id);
        self.last_arrival.retain(|(link, _), _| *link != id);
        Some(link)
    }

    /// Sends a frame from a peering.
    pub fn send(&mut self, from: NodeId, port: Port, frame: PacketBuf, now: Instant) {
        let Some((id, side)) = self.ends.get(&(from, port)).copied() else { return };
        let Some(link) = self.links.get(&id) else { return };
        let model = link.model;
        let is_traffic = Header::parse(&frame).is_ok_and(|header| header.kind == FrameKind::Traffic);
        if is_traffic && self.rng.below(1_000_000) < u64::from(model.loss_ppm) {
            return;
        }
        let jitter = Duration::from_micros(self.rng.below(model.jitter.as_micros() as u64 + 1));
        let last = self.last_arrival.entry((id, side)).or_default();
        *last = (*last).max(now + model.latency + jitter);
        let in_flight = InFlight { link: id, to: link.ends[1 - side], frame };
        self.in_flight.insert((*last, self.next_frame), in_flight);
        self.next_frame += 1;
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next frame to arrive, with the peering it arrives at.
    pub fn pop_arrival(&mut self) -> Option<(NodeId, Port, PacketBuf)> {
        let (_, InFlight { to: (node, port), frame, .. }) = self.in_flight.pop_first()?;
        Some((node, port, frame))
    }
}
