//! What goes out over a peering, and when: protocol frames first, then traffic, as fast as the peering's cap allows.

use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::node::counters::Stage;
use crate::node::pacer::Pacer;
use crate::node::{Node, Port};
use crate::time::{Duration, Instant};
use crate::wire::frame::{self, MAX_FRAME_LEN};

/// What its owner wants of a peering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerPolicy {
    /// Its place among peerings with the same node: the lowest number carries. 0 to 254.
    pub priority: u8,
    /// Most bits per second that it is given to carry; none without a cap. Not zero.
    pub max_rate: Option<u64>,
}

impl Node {
    /// Sets what is wanted of a peering.
    pub fn set_policy(&mut self, port: Port, policy: PeerPolicy, now: Instant) {
        let Some(peering) = self.peerings.get_mut(&port) else { return };
        peering.priority = policy.priority;
        peering.pacer = policy.max_rate.map(|rate| Pacer::new(rate, now));
        self.router.set_priority(port, policy.priority);
        self.set_frame_len(port, usize::MAX);
        self.settle(now);
    }

    /// Tells how long a round trip over a peering takes without queueing.
    pub fn set_round_trip(&mut self, port: Port, round_trip: Duration) {
        let Some(peering) = self.peerings.get_mut(&port) else { return };
        if peering.round_trip.replace(round_trip) != Some(round_trip) {
            self.router.set_round_trip(port, round_trip);
        }
    }

    /// Makes frames for a peering no longer than this where we can choose, so that none holds up others for long on its way. [`usize::MAX`]: as
    /// long as can be.
    pub fn set_frame_len(&mut self, port: Port, len: usize) {
        let Some(peering) = self.peerings.get_mut(&port) else { return };
        let before = peering.is_slow();
        let len = len.min(peering.pacer.as_ref().map_or(usize::MAX, Pacer::frame_len));
        peering.frame_len = if len < MAX_FRAME_LEN { len } else { usize::MAX };
        self.slow_peerings = self.slow_peerings - usize::from(before) + usize::from(peering.is_slow());
    }

    /// A port with something to send that was not reported since it was last empty. Call [`Node::poll_transmit`] for it when its peering can
    /// take more, until that returns nothing.
    #[must_use]
    pub fn poll_ready_port(&mut self) -> Option<Port> {
        self.ready.pop_first()
    }

    /// The next frame for a peering: protocol frames first, then traffic, fair between flows.
    #[must_use]
    pub fn poll_transmit(&mut self, port: Port, now: Instant) -> Option<PacketBuf> {
        let peering = self.peerings.get_mut(&port)?;
        let mut frame = self.router.poll_transmit_to(port);
        let is_protocol = frame.is_some();
        if frame.is_none() && peering.may_send(now) {
            let (next, late) = peering.outbox.pop(now);
            peering.queue_drops += late as u64;
            self.drops.add(DropReason::QueueFull, late as u64);
            if next.is_some() {
                let waited = peering.outbox.last_wait();
                peering.queue_delay.0 += 1;
                peering.queue_delay.1 += u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
                self.counters.queue_delay.note(waited);
            }
            frame = next;
        }
        match &frame {
            Some(frame) => {
                peering.sent_bytes += frame.len() as u64;
                self.counters.sent_bytes += frame.len() as u64;
                match &mut peering.pacer {
                    Some(pacer) if is_protocol => pacer.sent_protocol(frame.len()),
                    Some(pacer) => pacer.sent(frame.len()),
                    None => {}
                }
            }
            None => {
                peering.idle = true;
                if let Some(pacer) = peering.pacer.as_ref().filter(|_| !peering.outbox.is_empty() && !peering.is_paced)
                {
                    peering.is_paced = true;
                    self.paced.insert((pacer.opens_at(), port));
                }
            }
        }
        frame
    }

    /// Wakes the peerings whose caps let something through again.
    pub(super) fn wake_paced(&mut self, now: Instant) {
        while let Some((at, port)) = self.paced.first().copied().filter(|(at, _)| *at <= now) {
            self.paced.remove(&(at, port));
            if let Some(peering) = self.peerings.get_mut(&port) {
                peering.is_paced = false;
            }
            self.wake(port);
        }
    }

    /// A peering has something to send: the caller is told, unless it is fetching already.
    pub(super) fn wake(&mut self, port: Port) {
        let Some(peering) = self.peerings.get_mut(&port) else { return };
        if std::mem::take(&mut peering.idle) {
            self.ready.insert(port);
        }
    }
}

/// How a traffic frame that is ready to leave is routed.
pub(super) fn stage_of(frame: &[u8]) -> Stage {
    if frame::is_by_coordinates(frame) { Stage::Tree } else { Stage::Snake }
}

#[cfg(test)]
mod tests;
