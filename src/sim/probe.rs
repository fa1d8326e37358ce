//! Single traffic frames followed hop by hop, there and back.
//!
//! A probe takes the way that a traffic frame takes: every node is asked by [`Node::route_frame`](crate::node::Node::route_frame), the
//! routing half of what it does with a peer's frame, and links delay and lose it. It carries nothing and waits in no queue, so it measures
//! routing alone and disturbs nothing. [`Sim::walk`] is the same at a standstill: where would a frame go right now?

use std::collections::{BTreeMap, BTreeSet};

use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::router::Verdict;
use crate::sim::deliver::Happening;
use crate::sim::net::End;
use crate::sim::{NodeId, Sim};
use crate::time::Instant;
use crate::wire::coords::Coords;

/// Names a probe.
pub type ProbeId = u64;

/// More hops than any way has: a frame that takes them goes in circles.
const MAX_HOPS: usize = 8_192;

/// How a probe is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By key alone, as the first frame to a node that nothing is known of: along the snake.
    Key,
    /// By the coordinates that the destination has at that moment, as two nodes with a session do: along the tree, and along the snake
    /// from where that leads nowhere.
    Coordinates,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still on its way.
    Pending,
    /// It was answered, and the answer arrived then.
    Answered(Instant),
    /// It arrived; of the answer nothing is known (yet).
    Delivered,
    /// It ended somewhere else.
    Ended(Loss),
}

/// Why a frame did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A node dropped it.
    Dropped(DropReason),
    /// It was given to the host of another node.
    Misdelivered,
    /// The link or node that it was on went away, or lost it.
    Underway,
    /// An adversary swallowed it.
    Swallowed,
    /// It went in circles until it was taken out.
    Endless,
}

/// A frame to a node, and the answer to it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Who asks.
    pub from: NodeId,
    /// Who answers.
    pub to: NodeId,
    /// When it was sent.
    pub sent: Instant,
    /// The nodes on the way there, both ends included as far as it came.
    pub path: Vec<NodeId>,
    /// What became of it.
    pub outcome: Outcome,
    way: Way,
    frame: PacketBuf,
    at: Option<End>,
    answering: bool,
    hops: usize,
}

impl Probe {
    /// Hops that it took there.
    pub fn hops(&self) -> usize {
        self.path.len() - 1
    }

    /// How it was addressed.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Whether it came through the same node twice.
    pub fn looped(&self) -> bool {
        self.path.iter().collect::<BTreeSet<_>>().len() < self.path.len()
    }

    /// Whether the answer came before `deadline`.
    pub fn answered_by(&self, deadline: Instant) -> bool {
        matches!(self.outcome, Outcome::Answered(at) if at <= deadline)
    }
}

/// The probes under way and those that nobody has fetched.
#[derive(Debug, Default)]
pub(super) struct Probes {
    probes: BTreeMap<ProbeId, Probe>,
    next: ProbeId,
}

impl Sim {
    /// Sends a probe.
    pub fn probe(&mut self, from: NodeId, to: NodeId, way: Way) -> ProbeId {
        let id = self.probes.next;
        self.probes.next += 1;
        let mut probe = self.new_probe(from, to, way);
        self.depart(id, &mut probe);
        self.probes.probes.insert(id, probe);
        id
    }

    /// Takes all probes that were sent since the last call. Those under way are given up.
    pub fn take_probes(&mut self) -> Vec<Probe> {
        std::mem::take(&mut self.probes.probes).into_values().collect()
    }

    /// Takes those probes that were sent until `sent`.
    pub fn take_probes_sent_by(&mut self, sent: Instant) -> Vec<Probe> {
        let later = self.probes.probes.iter().find(|(_, probe)| probe.sent > sent).map(|(id, _)| *id);
        let rest = later.map_or_else(BTreeMap::new, |id| self.probes.probes.split_off(&id));
        std::mem::replace(&mut self.probes.probes, rest).into_values().collect()
    }

    /// Where a frame would go right now, without the answer.
    pub fn walk(&mut self, from: NodeId, to: NodeId, way: Way) -> Probe {
        let mut probe = self.new_probe(from, to, way);
        let mut next = self.start_leg(&mut probe);
        while let Some(end) = next {
            probe.at = Some(end);
            next = self.pass(&mut probe);
        }
        probe
    }

    fn new_probe(&self, from: NodeId, to: NodeId, way: Way) -> Probe {
        Probe {
            from,
            to,
            sent: self.now,
            path: vec![from],
            outcome: Outcome::Pending,
            way,
            frame: PacketBuf::with_capacity(0),
            at: None,
            answering: false,
            hops: 0,
        }
    }

    pub(super) fn on_probe(&mut self, id: ProbeId) {
        let Some(mut probe) = self.probes.probes.remove(&id) else { return };
        let next = self.pass(&mut probe);
        match (next, probe.outcome) {
            (Some(end), _) => self.travel(id, &mut probe, end),
            (None, Outcome::Delivered) if !probe.answering => {
                probe.answering = true;
                probe.hops = 0;
                self.depart(id, &mut probe);
            }
            (None, Outcome::Delivered) => probe.outcome = Outcome::Answered(self.now),
            (None, _) => {}
        }
        self.probes.probes.insert(id, probe);
    }

    /// Sends a probe, or its answer, on its way.
    fn depart(&mut self, id: ProbeId, probe: &mut Probe) {
        if let Some(end) = self.start_leg(probe) {
            self.travel(id, probe, end);
        }
    }

    /// Puts a probe on the link whose far end is `end`.
    fn travel(&mut self, id: ProbeId, probe: &mut Probe, end: End) {
        match self.net.delay(end.opposite()) {
            Some(delay) => {
                probe.at = Some(end);
                self.queue.push(self.now + delay, Happening::Probe(id));
            }
            None => probe.end(Loss::Underway),
        }
    }

    /// The first hop, as the far end of the link to take.
    fn start_leg(&mut self, probe: &mut Probe) -> Option<End> {
        let (from, to) = if probe.answering { (probe.to, probe.from) } else { (probe.from, probe.to) };
        let coords = match probe.way {
            Way::Key => None,
            Way::Coordinates => self.node(to).map(|node| node.router().coords().clone()),
        };
        self.first_hop(probe, from, to, coords.as_ref())
    }

    fn first_hop(&mut self, probe: &mut Probe, from: NodeId, to: NodeId, coords: Option<&Coords>) -> Option<End> {
        let (key, now) = (self.key(to), self.now);
        probe.frame = PacketBuf::with_capacity(0);
        let Some(node) = self.nodes[from].node.as_mut() else {
            probe.end(Loss::Underway);
            return None;
        };
        match node.route_new(&key, coords, &mut probe.frame, now) {
            Verdict::Forward(port) => self.far_end(probe, from, port),
            Verdict::Deliver(_) => {
                probe.outcome = Outcome::Delivered;
                None
            }
            Verdict::Drop(reason) => {
                probe.end(Loss::Dropped(reason));
                None
            }
        }
    }

    /// Lets the node where a probe has arrived decide; returns the far end of the link that it goes on by.
    fn pass(&mut self, probe: &mut Probe) -> Option<End> {
        let Some((id, port)) = probe.at.and_then(|end| self.net.at(end)) else {
            probe.end(Loss::Underway);
            return None;
        };
        probe.hops += 1;
        if !probe.answering {
            probe.path.push(id);
        }
        let goal = if probe.answering { probe.from } else { probe.to };
        if id != goal && self.nodes[id].adversary.as_ref().is_some_and(|adversary| adversary.plan.drop_traffic) {
            probe.end(Loss::Swallowed);
            return None;
        }
        if probe.hops > MAX_HOPS {
            probe.end(Loss::Endless);
            return None;
        }
        let now = self.now;
        let node = self.nodes[id].node.as_mut()?;
        match node.route_frame(port, &mut probe.frame, now) {
            Ok(Verdict::Forward(port)) => return self.far_end(probe, id, port),
            Ok(Verdict::Deliver(_)) if id == goal => probe.outcome = Outcome::Delivered,
            Ok(Verdict::Deliver(_)) => probe.end(Loss::Misdelivered),
            Ok(Verdict::Drop(reason)) => probe.end(Loss::Dropped(reason)),
            Err(_) => probe.end(Loss::Dropped(DropReason::MalformedFrame)),
        }
        None
    }

    fn far_end(&self, probe: &mut Probe, id: NodeId, port: crate::node::Port) -> Option<End> {
        let end = self.end_of(id, port).map(End::opposite);
        if end.is_none() {
            probe.end(Loss::Underway);
        }
        end
    }
}

impl Probe {
    const fn end(&mut self, loss: Loss) {
        self.outcome = Outcome::Ended(loss);
    }
}
