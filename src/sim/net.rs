//! Links of the simulated network: how long a frame takes, how many fit, and which are lost.
//!
//! Order is kept on a link, as the stream transports keep it. A lost traffic frame is gone, as a datagram is; a lost protocol frame comes
//! late and holds up those behind it, because those always travel on a stream, which repeats it. A link with a rate takes frames as
//! long as its queue (the socket's buffer) has room; what does not fit waits in the node's own outbox, as in the daemon.

use std::collections::BTreeSet;

use crate::node::Port;
use crate::rng::Rng;
use crate::sim::NodeId;
use crate::time::{Duration, Instant};

/// How a link treats what crosses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkModel {
    /// One-way delay.
    pub latency: Duration,
    /// Random extra delay of each frame, uniform from zero to this.
    pub jitter: Duration,
    /// Share of frames lost, in millionths.
    pub loss_ppm: u32,
    /// Bits per second in each direction; 0: as many as come.
    pub rate: u64,
    /// Bytes that the link takes in before it has sent them; matters with a rate only.
    pub queue: u32,
}

impl Default for LinkModel {
    /// 5 ms ± 10 %, no loss, no rate.
    fn default() -> Self {
        let (latency, jitter) = (Duration::from_micros(4_500), Duration::from_micros(1_000));
        Self { latency, jitter, loss_ppm: 0, rate: 0, queue: 64 << 10 }
    }
}

/// A link: an index that is used again, and which of its uses is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId {
    index: u32,
    generation: u32,
}

/// One end of a link: which, and whether it is the first or the second end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) link: LinkId,
    pub(super) side: u8,
}

impl End {
    /// The other end.
    pub(super) const fn opposite(self) -> Self {
        Self { link: self.link, side: 1 - self.side }
    }
}

#[derive(Debug)]
struct Link {
    generation: u32,
    /// Node and port at both ends; `None`: not in use.
    ends: Option<[(NodeId, Port); 2]>,
    model: LinkModel,
    directions: [Direction; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    /// When all that was taken in is sent.
    busy_until: Instant,
    /// The last arrival, which the next may not overtake.
    last_arrival: Instant,
    /// Whether the node at its beginning waits for room.
    is_awaited: bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives then.
    Arrives(Instant),
    /// It does not arrive.
    Lost,
}

/// All links.
#[derive(Debug)]
pub(super) struct Net {
    rng: Rng,
    links: Vec<Link>,
    free: Vec<u32>,
    by_pair: BTreeSet<(NodeId, NodeId, u32)>,
}

impl Net {
    pub(super) const fn new(rng: Rng) -> Self {
        Self { rng, links: Vec::new(), free: Vec::new(), by_pair: BTreeSet::new() }
    }

    /// Adds a link and says what it is called.
    pub(super) fn connect(&mut self, ends: [(NodeId, Port); 2], model: LinkModel) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            let (ends, directions) = (None, [Direction::default(); 2]);
            self.links.push(Link { generation: 0, ends, model, directions });
            (self.links.len() - 1) as u32
        });
        let link = &mut self.links[index as usize];
        (link.ends, link.model, link.directions) = (Some(ends), model, [Direction::default(); 2]);
        self.by_pair.insert(pair(ends, index));
        LinkId { index, generation: link.generation }
    }

    /// Some link between two nodes.
    pub(super) fn between(&self, a: NodeId, b: NodeId) -> Option<LinkId> {
        let (low, high) = (a.min(b), a.max(b));
        let (.., index) = *self.by_pair.range((low, high, 0)..=(low, high, u32::MAX)).next()?;
        Some(LinkId { index, generation: self.links[index as usize].generation })
    }

    /// Removes a link and says what its ends were. What is on it will not arrive.
    pub(super) fn disconnect(&mut self, id: LinkId) -> Option<[(NodeId, Port); 2]> {
        let ends = self.get(id)?.ends?;
        let link = &mut self.links[id.index as usize];
        link.ends = None;
        link.generation += 1;
        self.by_pair.remove(&pair(ends, id.index));
        self.free.push(id.index);
        Some(ends)
    }

    /// The node and port at an end, as long as the link is there.
    pub(super) fn at(&self, end: End) -> Option<(NodeId, Port)> {
        self.get(end.link)?.ends.map(|ends| ends[usize::from(end.side)])
    }

    /// Number of links.
    pub(super) fn len(&self) -> usize {
        self.by_pair.len()
    }

    /// Changes how a link behaves from now on.
    pub(super) fn set_model(&mut self, id: LinkId, model: LinkModel) {
        if self.get(id).is_some() {
            self.links[id.index as usize].model = model;
        }
    }

    /// Whether the link can take a frame at this end; if not, when it can, said once.
    pub(super) fn has_room(&mut self, from: End, now: Instant) -> Result<(), Option<Instant>> {
        let Some(link) = self.links.get_mut(from.link.index as usize) else { return Ok(()) };
        if link.model.rate == 0 {
            return Ok(());
        }
        let direction = &mut link.directions[usize::from(from.side)];
        let window = time_to_send(link.model.queue as usize, link.model.rate);
        if direction.busy_until.saturating_since(now) <= window {
            direction.is_awaited = false;
            return Ok(());
        }
        let again = direction.busy_until - window;
        Err(Some(again).filter(|_| !std::mem::replace(&mut direction.is_awaited, true)))
    }

    /// The wait for room is over.
    pub(super) fn waited(&mut self, end: End) {
        if let Some(link) = self.links.get_mut(end.link.index as usize) {
            link.directions[usize::from(end.side)].is_awaited = false;
        }
    }

    /// Sends `len` bytes from an end.
    pub(super) fn send(&mut self, from: End, len: usize, is_traffic: bool, now: Instant) -> Fate {
        let Some(link) = self.links.get_mut(from.link.index as usize) else { return Fate::Lost };
        let model = link.model;
        let direction = &mut link.directions[usize::from(from.side)];
        let sent = if model.rate == 0 {
            now
        } else {
            direction.busy_until = direction.busy_until.max(now) + time_to_send(len, model.rate);
            direction.busy_until
        };
        let is_lost = model.loss_ppm > 0 && self.rng.below(1_000_000) < u64::from(model.loss_ppm);
        if is_lost && is_traffic {
            return Fate::Lost;
        }
        // A stream notices a gap by what comes after it, one round trip later at best.
        let repeated = if is_lost { 3 * model.latency } else { model.latency };
        let jitter = Duration::from_micros(self.rng.below(model.jitter.as_micros() as u64 + 1));
        direction.last_arrival = direction.last_arrival.max(sent + repeated + jitter);
        Fate::Arrives(direction.last_arrival)
    }

    /// How long something takes over a link that nothing else is on; `None` if it is lost.
    pub(super) fn delay(&mut self, from: End) -> Option<Duration> {
        let model = self.get(from.link)?.model;
        if model.loss_ppm > 0 && self.rng.below(1_000_000) < u64::from(model.loss_ppm) {
            return None;
        }
        Some(model.latency + Duration::from_micros(self.rng.below(model.jitter.as_micros() as u64 + 1)))
    }

    fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.index as usize).filter(|link| link.generation == id.generation && link.ends.is_some())
    }
}

fn pair([(a, _), (b, _)]: [(NodeId, Port); 2], index: u32) -> (NodeId, NodeId, u32) {
    (a.min(b), a.max(b), index)
}

fn time_to_send(len: usize, rate: u64) -> Duration {
    Duration::from_micros((len as u64 * 8).saturating_mul(1_000_000) / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(1_000_000);

    fn net(model: LinkModel) -> (Net, End) {
        let mut net = Net::new(Rng::new([1; 32]));
        let link = net.connect([(0, 1), (1, 1)], model);
        (net, End { link, side: 0 })
    }

    #[test]
    fn frames_arrive_in_order_after_the_latency() {
        let model = LinkModel::default();
        let (mut net, end) = net(model);
        let arrivals: Vec<_> = (0..100).map(|_| net.send(end, 100, true, START)).collect();
        let times: Vec<Instant> =
            arrivals.iter().map(|fate| if let Fate::Arrives(at) = fate { *at } else { panic!("lost") }).collect();
        assert!(times.is_sorted());
        assert!(times[0] >= START + model.latency && times[99] <= START + model.latency + model.jitter);
    }

    #[test]
    fn a_rate_spaces_frames_and_fills_the_queue() {
        let (mut net, end) =
            net(LinkModel { rate: 8_000_000, queue: 2_000, jitter: Duration::ZERO, ..LinkModel::default() });
        for n in 1..=3 {
            assert_eq!(net.has_room(end, START), Ok(()), "1,000 bytes each, and the queue takes 2,000");
            let sent = START + Duration::from_millis(n);
            assert_eq!(net.send(end, 1_000, true, START), Fate::Arrives(sent + LinkModel::default().latency));
        }
        let again = START + Duration::from_millis(1);
        assert_eq!(net.has_room(end, START), Err(Some(again)));
        assert_eq!(net.has_room(end, START), Err(None), "said once");
        assert_eq!(net.has_room(end, again), Ok(()));
    }

    #[test]
    fn lost_traffic_is_gone_and_a_lost_protocol_frame_is_late() {
        let (mut net, end) = net(LinkModel { loss_ppm: 1_000_000, jitter: Duration::ZERO, ..LinkModel::default() });
        assert_eq!(net.send(end, 100, true, START), Fate::Lost);
        assert_eq!(net.send(end, 100, false, START), Fate::Arrives(START + 3 * LinkModel::default().latency));
    }

    #[test]
    fn an_index_is_used_again_and_the_old_link_is_not_taken_for_the_new_one() {
        let (mut net, end) = net(LinkModel::default());
        assert_eq!(net.between(1, 0), Some(end.link));
        assert!(net.disconnect(end.link).is_some() && net.disconnect(end.link).is_none());
        let again = net.connect([(0, 1), (2, 1)], LinkModel::default());
        assert_eq!((again.index, net.at(end), net.len()), (end.link.index, None, 1));
        assert_eq!(net.at(End { link: again, side: 1 }), Some((2, 1)));
    }
}
