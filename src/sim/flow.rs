//! Packets from host to host, as an application sends them: through the interface, the resolver, the session and the outboxes of whole
//! nodes. What arrives is matched with what was sent.

use std::net::Ipv6Addr;

use etherparse::PacketBuilder;

use crate::buf::PacketBuf;
use crate::sim::deliver::Happening;
use crate::sim::{NodeId, Sim};
use crate::time::{Duration, Instant};

/// Marks our packets: what a host receives otherwise is kept for whoever asks ([`Sim::take_received`]).
const MAGIC: &[u8; 8] = b"pinesim\x01";
const UDP_AT: usize = 40;
const PAYLOAD_AT: usize = UDP_AT + 8;
/// Magic, flow, number, direction.
const PAYLOAD_LEN: usize = 8 + 4 + 4 + 1;

/// Packets from one host to another.
#[derive(Clone, Copy, Debug)]
pub struct FlowPlan {
    /// The sending host.
    pub from: NodeId,
    /// The receiving host.
    pub to: NodeId,
    /// Between two packets.
    pub period: Duration,
    /// How many packets.
    pub count: u32,
    /// Bytes of each packet, at least 65.
    pub size: usize,
    /// Whether the receiver answers each, and the answer counts.
    pub echo: bool,
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What was asked for.
    pub plan: FlowPlan,
    /// When each packet was sent.
    pub sent: Vec<Instant>,
    /// When each arrived, or its answer; `None`: not (yet).
    pub arrived: Vec<Option<Instant>>,
    /// Packets that arrived again.
    pub duplicates: u32,
}

impl Flow {
    /// How many arrived within `limit`.
    pub fn in_time(&self, limit: Duration) -> usize {
        let times = self.sent.iter().zip(&self.arrived);
        times.filter(|(sent, arrived)| arrived.is_some_and(|at| at.saturating_since(**sent) <= limit)).count()
    }

    /// The longest time for which nothing that was sent arrived: from the first packet of a gap to the first after it.
    pub fn longest_outage(&self) -> Duration {
        let (mut longest, mut lost_since) = (Duration::ZERO, None);
        for (sent, arrived) in self.sent.iter().zip(&self.arrived) {
            match (arrived, lost_since) {
                (None, None) => lost_since = Some(*sent),
                (Some(_), Some(since)) => {
                    longest = longest.max(sent.saturating_since(since));
                    lost_since = None;
                }
                _ => {}
            }
        }
        let last = self.sent.last().copied().unwrap_or_default();
        longest.max(lost_since.map_or(Duration::ZERO, |since| last.saturating_since(since) + self.plan.period))
    }

    /// How many did not arrive.
    pub fn lost(&self) -> usize {
        self.arrived.iter().filter(|at| at.is_none()).count()
    }
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Flows(Vec<Flow>);

impl Sim {
    /// Starts a flow; the first packet goes out at once.
    pub fn start_flow(&mut self, plan: FlowPlan) -> usize {
        self.flows.0.push(Flow { plan, sent: Vec::new(), arrived: Vec::new(), duplicates: 0 });
        let id = self.flows.0.len() - 1;
        self.queue.push(self.now, Happening::Flow(id));
        id
    }

    /// What became of a flow so far.
    pub fn flow(&self, id: usize) -> &Flow {
        &self.flows.0[id]
    }

    /// Sends the next packet of a flow.
    pub(super) fn on_flow(&mut self, id: usize) {
        let Some(flow) = self.flows.0.get_mut(id) else { return };
        let (plan, number) = (flow.plan, flow.sent.len() as u32);
        if number >= plan.count {
            return;
        }
        flow.sent.push(self.now);
        flow.arrived.push(None);
        self.queue.push(self.now + plan.period, Happening::Flow(id));
        self.send_numbered(plan.from, plan.to, (id as u32, number, 0), plan.size);
    }

    fn send_numbered(&mut self, from: NodeId, to: NodeId, what: (u32, u32, u8), size: usize) {
        let packet = packet(self.address(from).ip(), self.address(to).ip(), what, size);
        self.with_node(from, |node, now| node.handle_tun_packet(packet, now));
    }

    /// A packet comes out of a node's interface.
    pub(super) fn reach_host(&mut self, id: NodeId, packet: PacketBuf) {
        let Some((flow_id, number, is_answer)) = numbered(&packet) else {
            return self.nodes[id].received.push(packet);
        };
        let Some(flow) = self.flows.0.get_mut(flow_id as usize) else { return };
        let plan = flow.plan;
        if id == plan.to && !is_answer && plan.echo {
            return self.send_numbered(plan.to, plan.from, (flow_id, number, 1), plan.size);
        }
        let ends_here = if is_answer { id == plan.from } else { id == plan.to };
        match flow.arrived.get_mut(number as usize).filter(|_| ends_here) {
            Some(arrived @ None) => *arrived = Some(self.now),
            Some(Some(_)) => flow.duplicates += 1,
            None => {}
        }
    }
}

fn packet(from: Ipv6Addr, to: Ipv6Addr, (flow, number, direction): (u32, u32, u8), size: usize) -> PacketBuf {
    let mut payload = Vec::with_capacity(size);
    payload.extend(MAGIC);
    payload.extend(flow.to_be_bytes());
    payload.extend(number.to_be_bytes());
    payload.push(direction);
    payload.resize(PAYLOAD_LEN.max(size.saturating_sub(PAYLOAD_AT)), 0);
    let ports = 49_152 + (flow % 10_000) as u16;
    let builder = PacketBuilder::ipv6(from.octets(), to.octets(), 64).udp(ports, ports);
    let mut bytes = Vec::with_capacity(builder.size(payload.len()));
    // Writing to memory fails for no payload that fits a packet; an empty packet would merely be dropped.
    let _ = builder.write(&mut bytes, &payload);
    PacketBuf::from(&bytes[..])
}

/// Flow, number, and whether it is an answer, of one of our packets.
fn numbered(packet: &[u8]) -> Option<(u32, u32, bool)> {
    let payload = packet.get(PAYLOAD_AT..PAYLOAD_AT + PAYLOAD_LEN)?;
    let (magic, rest) = payload.split_first_chunk::<8>()?;
    let (flow, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    (magic == MAGIC).then_some((u32::from_be_bytes(*flow), u32::from_be_bytes(*number), rest[0] == 1))
}
