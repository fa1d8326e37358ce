//! The stateful inbound filter: others may answer what this host started, and send what the rules let in.
//!
//! An overlay address makes a machine reachable that so far sat behind a NAT, whose owner may not even know what listens on
//! it; hence the default. The filter is no replacement for the host's own one: it knows nodes by their proven keys, which that
//! cannot.
//!
//! - Whatever leaves the host passes, and is remembered as a flow (module `flows`) where nothing else would let the answer in.
//! - Inbound packets of a flow pass; a TCP SYN only while our own SYN is unanswered, so that a finished connection is no gap.
//! - Echo requests pass: `ping` is how people find out whether the network works.
//! - ICMPv6 errors pass if they come from the node that the quoted packet went to and an answer from there would pass: nobody
//!   else can cut a connection or shrink its path MTU with forged errors.
//! - Rules let in packets, not connections: what a rule covers needs no flow, so removing the rule cuts what it allowed.
//! - Packets whose upper-layer header cannot be found (broken or endless extension headers, RFC 7112) never pass.
//!
//! The caller has checked that the packet's source belongs to the sender's key and that its destination is ours.

mod flows;
mod fragments;
mod message;
mod report;
mod rules;
mod written;

use std::net::Ipv6Addr;

use flows::{FlowKey, FlowTable, Stage};
use fragments::FragmentTable;
use message::{Message, TcpFlags};
use report::Decisions;
pub use report::{Decision, Explanation, FirewallStatus, Question, RuleStatus};
use rules::Sender;
pub use rules::{MAX_RULES, Policy, Protocol, Rule, RuleError, Source};

use super::icmp::{self, Unreachable};
use super::{Ipv6View, protocol};
use crate::addr;
use crate::buf::PacketBuf;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// After a start, TCP segments that cannot open a connection pass without a flow for this long: a restart of the daemon then
/// does not cut connections of which only the other side has something to say. Twice the longest retransmission time-out that
/// RFC 6298 §2.5 suggests.
const GRACE: Duration = Duration::from_secs(120);

/// What becomes of an inbound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundVerdict {
    /// To the host.
    Allow,
    /// Dropped as `FirewallInbound`; [`refusal`] tells the sender.
    Refuse,
}

/// The filter: a policy and what this host started.
#[derive(Debug)]
pub struct Firewall {
    policy: Policy,
    /// Packets that each rule let in, in the order of the rules.
    hits: Vec<u64>,
    decisions: Decisions,
    flows: FlowTable,
    fragments: FragmentTable,
    started: Instant,
}

impl Firewall {
    /// A filter that remembers nothing so far.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let hits = vec![0; policy.rules().len()];
        let (flows, fragments) = (FlowTable::new(flows::CAPACITY), FragmentTable::new());
        Self { policy, hits, decisions: Decisions::default(), flows, fragments, started: now }
    }

    /// Replaces the policy. Flows stay, rules count from zero. Where everything was allowed no flow was remembered, so connections that are
    /// older than the new policy get the time that those older than the filter get.
    pub fn set_policy(&mut self, policy: Policy, now: Instant) {
        if self.policy == Policy::Open {
            self.started = now;
        }
        self.hits = vec![0; policy.rules().len()];
        self.policy = policy;
    }

    /// The rules of the policy and how many packets each let in. A packet counts for the first rule that covers it, and for
    /// none if it belongs to a flow.
    pub fn rule_hits(&self) -> impl Iterator<Item = (&Rule, u64)> {
        self.policy.rules().iter().zip(self.hits.iter().copied())
    }

    /// Memory of what is remembered of flows, in bytes, roughly.
    pub fn table_bytes(&self) -> usize {
        self.flows.bytes()
    }

    /// Inbound packets by what decided about them.
    pub fn decisions(&self) -> impl Iterator<Item = (Decision, u64)> {
        self.decisions.iter()
    }

    /// Number of flows remembered.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// A packet leaves the host: the answer may come in.
    pub fn note_outbound(&mut self, packet: &Ipv6View<'_>, now: Instant) {
        if self.policy == Policy::Open {
            return;
        }
        let Some(upper) = packet.upper() else { return };
        let Some(message) = Message::read(&upper) else { return };
        let Some((local_port, remote_port)) = message.flow_ports() else { return };
        let key = FlowKey {
            local_port,
            remote_port,
            protocol: upper.protocol,
            local: packet.source(),
            remote: packet.destination(),
        };
        let known = self.flows.stage(&key, now);
        let stage = match message {
            Message::Tcp(_, _, flags) => tcp_sent(known, flags),
            Message::EchoRequest(_) => Some(Stage::Echo),
            Message::Ports(..) | Message::Portless => Some(Stage::Datagrams),
            Message::EchoReply(_) | Message::Error(_) | Message::OtherIcmp => None,
        };
        let Some(stage) = stage else { return };
        // What a rule lets in anyway leaves no trace: nobody fills the table by using an open port.
        if known.is_some() || self.rule_for_answer(&key).is_none() {
            self.flows.renew(key, stage, now);
        }
    }

    /// Whether a packet from the node `from` may go to the host.
    #[must_use]
    pub fn check_inbound(&mut self, packet: &Ipv6View<'_>, from: &PublicKey, now: Instant) -> InboundVerdict {
        let decision = match self.policy {
            Policy::Open => Decision::Open,
            _ => self.admits(packet, from, now).unwrap_or(Decision::Refused),
        };
        self.decisions.count(decision);
        if decision == Decision::Refused { InboundVerdict::Refuse } else { InboundVerdict::Allow }
    }

    /// Why the packet passes; `None` is a refusal, so that whatever cannot be read refuses.
    fn admits(&mut self, packet: &Ipv6View<'_>, from: &PublicKey, now: Instant) -> Option<Decision> {
        let upper = packet.upper()?;
        let fragmented = |id| (packet.source(), packet.destination(), id);
        if let Some(fragment) = upper.fragment.filter(|fragment| fragment.offset != 0) {
            let allowed = self.fragments.allows_later(from, &fragmented(fragment.id), now);
            return allowed.then_some(Decision::LaterFragment);
        }
        let message = Message::read(&upper)?;
        let sender = Sender { address: packet.source(), key: Some(from) };
        let expected = match message {
            Message::EchoRequest(_) => Some(Decision::EchoRequest),
            Message::Error(quoted) => self.concerns_us(quoted, from, now).then_some(Decision::IcmpError),
            _ => self.belongs_to_flow(packet, upper.protocol, &message, now),
        };
        let decision = match expected {
            Some(decision) => decision,
            None => {
                let rule = self.policy.rule_for(sender, upper.protocol, message.destination_port())?;
                if let Some(hits) = self.hits.get_mut(rule) {
                    *hits += 1;
                }
                Decision::Rule
            }
        };
        if let Some(fragment) = upper.fragment.filter(|fragment| fragment.more) {
            self.fragments.first_allowed(from, fragmented(fragment.id), now);
        }
        Some(decision)
    }

    /// Whether and why the host expects this message. Moves TCP flows on.
    fn belongs_to_flow(
        &mut self,
        packet: &Ipv6View<'_>,
        protocol: u8,
        message: &Message<'_>,
        now: Instant,
    ) -> Option<Decision> {
        let (remote_port, local_port) = message.flow_ports()?;
        let key = FlowKey { local_port, remote_port, protocol, local: packet.destination(), remote: packet.source() };
        let known = self.flows.stage(&key, now);
        let Message::Tcp(_, _, flags) = message else { return known.map(|_| Decision::Flow) };
        match known {
            Some(stage) if flags.opens() => (stage == Stage::TcpOpening).then_some(Decision::Flow),
            Some(stage) => {
                self.flows.advance(key, tcp_received(stage, *flags));
                Some(Decision::Flow)
            }
            None => (flags.continues() && !self.started.has_passed(GRACE, now)).then_some(Decision::RestartGrace),
        }
    }

    /// Whether an error that quotes `quoted` is about a packet of ours whose answer would pass, and comes from where it went.
    fn concerns_us(&self, quoted: &[u8], from: &PublicKey, now: Instant) -> bool {
        let Ok(packet) = Ipv6View::parse_truncated(quoted) else { return false };
        let Some(upper) = packet.upper() else { return false };
        let Some(message) = Message::read(&upper) else { return false };
        let Some((local_port, remote_port)) = message.flow_ports() else { return false };
        let (local, remote) = (packet.source(), packet.destination());
        let key = FlowKey { local_port, remote_port, protocol: upper.protocol, local, remote };
        let answer_passes = match message {
            // The answer to an echo reply would be an echo request, and those pass.
            Message::EchoReply(_) => true,
            _ => self.flows.stage(&key, now).is_some() || self.rule_for_answer(&key).is_some(),
        };
        answer_passes && addr::may_send_from(from, remote)
    }

    /// The rule that lets in whatever the other side of this flow sends.
    fn rule_for_answer(&self, key: &FlowKey) -> Option<usize> {
        let has_port = key.protocol == protocol::TCP || key.protocol == protocol::UDP;
        let sender = Sender { address: key.remote, key: None };
        self.policy.rule_for(sender, key.protocol, has_port.then_some(key.local_port))
    }
}

/// What to tell the sender of a refused packet: that it is prohibited, if it tried to open something (a TCP SYN or a UDP
/// datagram), so that people see an error instead of waiting. Goes back through the session it came from: its source is
/// proven, so this reaches nobody else. The caller limits the rate.
#[must_use]
pub fn refusal(own_address: Ipv6Addr, packet: &[u8]) -> Option<PacketBuf> {
    let view = Ipv6View::parse(packet).ok()?;
    let upper = view.upper()?;
    let opens = match Message::read(&upper)? {
        Message::Tcp(_, _, flags) => flags.opens(),
        Message::Ports(..) => upper.protocol == protocol::UDP,
        _ => false,
    };
    if opens { icmp::unreachable(Unreachable::AdminProhibited, own_address, packet) } else { None }
}

/// The stage of a TCP flow after we sent a segment; `None` if there was no flow and the segment starts none.
fn tcp_sent(known: Option<Stage>, flags: TcpFlags) -> Option<Stage> {
    match known {
        // A connection that we only accepted is the business of the rule that let its SYN in.
        None if flags.rst() || flags.accepts() => None,
        // Not only SYNs: the connection may be older than this daemon.
        None => Some(Stage::TcpOpening),
        Some(_) if flags.rst() => Some(Stage::TcpClosing),
        // The ports are used for another connection.
        Some(Stage::TcpClosing) if flags.opens() => Some(Stage::TcpOpening),
        Some(Stage::TcpOpen { fin_sent, fin_received }) => Some(tcp_open(fin_sent || flags.fin(), fin_received)),
        Some(stage) => Some(stage),
    }
}

/// The stage of a TCP flow after we received a segment other than a SYN.
fn tcp_received(stage: Stage, flags: TcpFlags) -> Stage {
    match stage {
        _ if flags.rst() => Stage::TcpClosing,
        Stage::TcpOpening => tcp_open(false, flags.fin()),
        Stage::TcpOpen { fin_sent, fin_received } => tcp_open(fin_sent, fin_received || flags.fin()),
        stage => stage,
    }
}

fn tcp_open(fin_sent: bool, fin_received: bool) -> Stage {
    if fin_sent && fin_received { Stage::TcpClosing } else { Stage::TcpOpen { fin_sent, fin_received } }
}

#[cfg(test)]
mod tests;
