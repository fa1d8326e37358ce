//! How things move: frames over links, timers, and what nodes want to say and to hand to their hosts.

use crate::buf::PacketBuf;
use crate::node::{Event, PeerMisbehaved, Port};
use crate::sim::net::{End, Fate};
use crate::sim::probe::ProbeId;
use crate::sim::stats::Arrival;
use crate::sim::{NEVER, NodeId, Sim};
use crate::time::Instant;
use crate::wire::frame::{FrameKind, Header};

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A node's deadline.
    Timer(NodeId),
    /// A frame arrives.
    Frame { to: End, frame: PacketBuf },
    /// A link has room again for what the node at this end wants to send.
    Room(End),
    /// A probe arrives at its next node.
    Probe(ProbeId),
    /// A flow's next packet.
    Flow(usize),
    /// An adversary acts.
    Plot(NodeId),
}

impl Sim {
    /// Advances to the next thing that happens and lets it happen; if there is none before `end`, goes to `end` and returns false.
    pub(super) fn step(&mut self, end: Instant) -> bool {
        let due = self.queue.next_at().is_some_and(|at| at <= end);
        let Some((at, happening)) = due.then(|| self.queue.pop()).flatten() else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        self.happened += 1;
        match happening {
            Happening::Timer(id) => self.on_timer(id, at),
            Happening::Frame { to, frame } => self.arrive(to, frame),
            Happening::Room(end) => {
                self.net.waited(end);
                if let Some((id, port)) = self.net.at(end) {
                    self.transmit(id, port);
                }
            }
            Happening::Probe(probe) => self.on_probe(probe),
            Happening::Flow(flow) => self.on_flow(flow),
            Happening::Plot(id) => self.on_plot(id),
        }
        true
    }

    fn on_timer(&mut self, id: NodeId, at: Instant) {
        // A deadline that moved closer left its old entry in the queue.
        if self.nodes[id].timer_at == at {
            self.nodes[id].timer_at = NEVER;
            self.with_node(id, |node, now| {
                if node.poll_timeout().is_some_and(|due| due <= now) {
                    node.handle_timeout(now);
                }
            });
        }
    }

    fn arrive(&mut self, to: End, mut frame: PacketBuf) {
        let Some((id, port)) = self.net.at(to) else { return };
        self.trace.note(&Arrival { at: self.now, node: id, port, frame: &frame });
        let own = self.key(id);
        if self.nodes[id].adversary.as_mut().is_some_and(|adversary| adversary.swallows(&mut frame, &own)) {
            return;
        }
        let outcome = self.with_node(id, |node, now| node.handle_frame(port, frame, now));
        if let Some(Err(misbehaved)) = outcome {
            self.close(id, port, misbehaved);
        }
    }

    /// Closes a peering whose other end broke the protocol.
    fn close(&mut self, at: NodeId, port: Port, why: PeerMisbehaved) {
        self.violations.push(format!("node {at}, port {port}: {why}"));
        if let Some(end) = self.end_of(at, port) {
            self.drop_link(end.link);
        }
    }

    pub(super) fn end_of(&self, id: NodeId, port: Port) -> Option<End> {
        self.nodes[id].ends.get(usize::from(port)).copied().flatten()
    }

    /// Moves everything a node wants to say to where it belongs.
    pub(super) fn flush(&mut self, id: NodeId) {
        while let Some(port) = self.nodes[id].node.as_mut().and_then(|node| node.poll_ready_port()) {
            self.transmit(id, port);
        }
        while let Some(packet) = self.nodes[id].node.as_mut().and_then(|node| node.poll_tun_packet()) {
            self.reach_host(id, packet);
        }
        while let Some(event) = self.nodes[id].node.as_mut().and_then(|node| node.poll_event()) {
            match event {
                Event::ClosePeer { port, why } => self.close(id, port, why),
                event => self.nodes[id].events.push(event),
            }
        }
        let member = &mut self.nodes[id];
        let due = member.node.as_ref().and_then(|node| node.poll_timeout()).map(|due| due.max(self.now));
        if let Some(due) = due.filter(|due| *due < member.timer_at) {
            member.timer_at = due;
            self.queue.push(due, Happening::Timer(id));
        }
    }

    /// Sends what waits for a port, as long as its link has room.
    fn transmit(&mut self, id: NodeId, port: Port) {
        let Some(end) = self.end_of(id, port) else { return };
        loop {
            if let Err(again) = self.net.has_room(end, self.now) {
                if let Some(again) = again {
                    self.queue.push(again, Happening::Room(end));
                }
                return;
            }
            let now = self.now;
            let Some(frame) = self.nodes[id].node.as_mut().and_then(|node| node.poll_transmit(port, now)) else {
                return;
            };
            self.emit(id, end, frame);
        }
    }

    /// Puts a frame on a link.
    pub(super) fn emit(&mut self, id: NodeId, end: End, frame: PacketBuf) {
        let own = self.key(id);
        let kind = Header::parse(&frame).ok().map(|header| header.kind);
        let member = &mut self.nodes[id];
        if member.adversary.as_ref().is_some_and(|adversary| adversary.withholds(kind, &frame, &own)) {
            return;
        }
        member.counters.count(kind, frame.len());
        let is_traffic = kind.is_some_and(FrameKind::is_traffic);
        if let Fate::Arrives(at) = self.net.send(end, frame.len(), is_traffic, self.now) {
            self.queue.push(at, Happening::Frame { to: end.opposite(), frame });
        }
    }
}
