//! What this host started and who may therefore answer: a bounded table of flows.
//!
//! Only packets that leave the host create or renew an entry, so no other node can fill the table or hold a gap open. Inbound
//! packets move TCP flows from stage to stage and nothing else.
//!
//! Entries are of two classes with an age order each. *Lasting* ones (open TCP connections) are worth more than *brief* ones,
//! of which a port scan or a busy resolver on this host makes thousands: when the table is full the brief flow that was idle
//! longest goes first, unless there are few of them, so that connections in the making still have room.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use crate::time::{Duration, Instant};

/// Flows at most: some 5 MiB, and as many as a busy server's connections and look-ups need.
pub(super) const CAPACITY: usize = 32_768;
/// A flow's place in the age order is brought up to date at most this often: the packet path then costs one look-up.
const RENEWAL_GRAIN: Duration = Duration::from_secs(1);
/// Expired flows removed per one added: more than one, so that the table shrinks after a burst.
const PURGED_PER_INSERT: usize = 4;

/// A conversation seen from this host. Ports come first because they differ most: comparisons end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    /// Our port, or the identifier of an echo; 0 if there is none.
    pub(super) local_port: u16,
    /// The other side's port, or 0.
    pub(super) remote_port: u16,
    pub(super) protocol: u8,
    pub(super) local: Ipv6Addr,
    pub(super) remote: Ipv6Addr,
}

/// How far a flow has come. Decides how long it lives after the last outbound packet and whether it is lasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// An ICMPv6 echo.
    Echo,
    /// UDP and all protocols whose connections we do not follow.
    Datagrams,
    /// TCP, no answer so far.
    TcpOpening,
    /// TCP, answered.
    TcpOpen {
        /// We sent FIN.
        fin_sent: bool,
        /// The other side sent FIN.
        fin_received: bool,
    },
    /// TCP after both FINs or a RST: late packets may still come.
    TcpClosing,
}

impl Stage {
    /// Idle time after which the flow is forgotten.
    const fn lifetime(self) -> Duration {
        match self {
            // RFC 5508 REQ-2.
            Self::Echo => Duration::from_secs(60),
            // RFC 4787 REQ-5, the recommended value.
            Self::Datagrams => Duration::from_secs(5 * 60),
            // RFC 5382 REQ-5: connections that open or close.
            Self::TcpOpening | Self::TcpClosing => Duration::from_secs(4 * 60),
            // RFC 5382 REQ-5: a host's first keepalive comes after two hours.
            Self::TcpOpen { .. } => Duration::from_secs(2 * 3600 + 4 * 60),
        }
    }

    const fn is_lasting(self) -> bool {
        matches!(self, Self::TcpOpen { .. })
    }
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    stage: Stage,
    renewed: Instant,
}

/// The table.
#[derive(Debug)]
pub(super) struct FlowTable {
    flows: BTreeMap<FlowKey, Flow>,
    brief: BTreeSet<(Instant, FlowKey)>,
    lasting: BTreeSet<(Instant, FlowKey)>,
    capacity: usize,
}

impl FlowTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self { flows: BTreeMap::new(), brief: BTreeSet::new(), lasting: BTreeSet::new(), capacity }
    }

    /// The stage of a flow that is alive.
    pub(super) fn stage(&self, key: &FlowKey, now: Instant) -> Option<Stage> {
        self.flows.get(key).filter(|flow| flow.is_alive(now)).map(|flow| flow.stage)
    }

    /// An outbound packet: puts the flow at `stage` and renews it, or adds it.
    pub(super) fn renew(&mut self, key: FlowKey, stage: Stage, now: Instant) {
        match self.flows.get(&key).copied() {
            Some(flow) if flow.stage == stage && !flow.renewed.has_passed(RENEWAL_GRAIN, now) => return,
            Some(flow) => self.leave_age_order(&key, flow),
            None => self.make_room(now),
        }
        self.put(key, Flow { stage, renewed: now });
    }

    /// An inbound packet: puts a flow at `stage` and does not renew it.
    pub(super) fn advance(&mut self, key: FlowKey, stage: Stage) {
        let Some(flow) = self.flows.get(&key).copied() else { return };
        if flow.stage != stage {
            self.leave_age_order(&key, flow);
            self.put(key, Flow { stage, ..flow });
        }
    }

    /// Flows remembered, some of which may have expired.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Memory of the entries, in bytes: a B-tree's nodes are two thirds full on average.
    pub(super) fn bytes(&self) -> usize {
        const ENTRY: usize = size_of::<(FlowKey, Flow)>() + size_of::<(Instant, FlowKey)>();
        self.flows.len() * ENTRY * 3 / 2
    }

    /// Flows with this address, some of which may have expired. Looks at all: for people's questions, not for packets.
    pub(super) fn with(&self, remote: Ipv6Addr) -> usize {
        self.flows.keys().filter(|key| key.remote == remote).count()
    }

    fn put(&mut self, key: FlowKey, flow: Flow) {
        self.age_order(flow.stage).insert((flow.renewed, key));
        self.flows.insert(key, flow);
    }

    fn leave_age_order(&mut self, key: &FlowKey, flow: Flow) {
        self.age_order(flow.stage).remove(&(flow.renewed, *key));
    }

    fn age_order(&mut self, stage: Stage) -> &mut BTreeSet<(Instant, FlowKey)> {
        if stage.is_lasting() { &mut self.lasting } else { &mut self.brief }
    }

    /// Removes some expired flows, then whatever must go for one more.
    fn make_room(&mut self, now: Instant) {
        for _ in 0..PURGED_PER_INSERT {
            let dead = |(_, key): &&(Instant, FlowKey)| self.flows.get(key).is_none_or(|flow| !flow.is_alive(now));
            let Some((at, key)) = self.brief.first().filter(dead).or(self.lasting.first().filter(dead)).copied() else {
                break;
            };
            self.remove(at, key);
        }
        while self.flows.len() >= self.capacity.max(1) {
            let brief_first = self.lasting.is_empty() || self.brief.len() > self.capacity / 8;
            let oldest = if brief_first { self.brief.first() } else { self.lasting.first() };
            let Some((at, key)) = oldest.copied() else { break };
            self.remove(at, key);
        }
    }

    fn remove(&mut self, at: Instant, key: FlowKey) {
        self.flows.remove(&key);
        self.brief.remove(&(at, key));
        self.lasting.remove(&(at, key));
    }
}

impl Flow {
    fn is_alive(&self, now: Instant) -> bool {
        !self.renewed.has_passed(self.stage.lifetime(), now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: Stage = Stage::TcpOpen { fin_sent: false, fin_received: false };

    fn key(n: u16) -> FlowKey {
        FlowKey { local_port: n, remote_port: 1, protocol: 6, local: Ipv6Addr::LOCALHOST, remote: Ipv6Addr::LOCALHOST }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn each_stage_lives_its_time_after_the_last_outbound_packet() {
        for (stage, seconds) in [
            (Stage::Echo, 60),
            (Stage::Datagrams, 300),
            (Stage::TcpOpening, 240),
            (OPEN, 7440),
            (Stage::TcpClosing, 240),
        ] {
            let mut table = FlowTable::new(10);
            table.renew(key(1), stage, at(0));
            table.renew(key(1), stage, at(50));
            assert_eq!(table.stage(&key(1), at(50 + seconds - 1)), Some(stage));
            assert_eq!(table.stage(&key(1), at(50 + seconds)), None, "{stage:?}");
        }
    }

    #[test]
    fn an_inbound_packet_does_not_make_a_flow_live_longer() {
        let mut table = FlowTable::new(10);
        table.renew(key(1), OPEN, at(0));
        table.advance(key(1), Stage::TcpClosing);
        assert_eq!(table.stage(&key(1), at(240)), None);
        table.advance(key(2), OPEN);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn brief_flows_make_room_before_open_connections_do() {
        let mut table = FlowTable::new(16);
        for n in 0..4 {
            table.renew(key(n), OPEN, at(0));
        }
        for n in 100..200 {
            table.renew(key(n), Stage::Datagrams, at(1));
        }
        assert_eq!(table.len(), 16);
        assert!((0..4).all(|n| table.stage(&key(n), at(2)) == Some(OPEN)));
        assert!((188..200).all(|n| table.stage(&key(n), at(2)).is_some()));
    }

    #[test]
    fn connections_in_the_making_have_room_in_a_table_full_of_open_ones() {
        let mut table = FlowTable::new(16);
        for n in 0..20 {
            table.renew(key(n), OPEN, at(n.into()));
        }
        table.renew(key(100), Stage::TcpOpening, at(30));
        table.renew(key(101), Stage::TcpOpening, at(30));
        assert_eq!(table.stage(&key(100), at(30)), Some(Stage::TcpOpening));
        assert_eq!((table.stage(&key(5), at(30)), table.stage(&key(6), at(30))), (None, Some(OPEN)));
    }

    #[test]
    fn expired_flows_are_removed_as_others_come() {
        let mut table = FlowTable::new(1000);
        for n in 0..400 {
            table.renew(key(n), if n % 2 == 0 { Stage::Echo } else { OPEN }, at(0));
        }
        for n in 0..100 {
            table.renew(key(1000 + n), Stage::Echo, at(10_000));
        }
        assert_eq!(table.len(), 100);
    }

    proptest! {
        #[test]
        fn the_table_and_its_age_orders_always_agree(steps in prop::collection::vec((0u16..24, 0usize..5, any::<bool>(), 0u64..400), 0..300)) {
            let stages = [Stage::Echo, Stage::Datagrams, Stage::TcpOpening, OPEN, Stage::TcpClosing];
            let mut table = FlowTable::new(12);
            let mut now = 0;
            for (n, stage, outbound, pause) in steps {
                now += pause;
                let before = table.len();
                if outbound {
                    table.renew(key(n), stages[stage], at(now));
                    prop_assert_eq!(table.stage(&key(n), at(now)), Some(stages[stage]));
                } else {
                    table.advance(key(n), stages[stage]);
                    prop_assert_eq!(table.len(), before);
                }
                prop_assert!(table.len() <= 12);
                prop_assert_eq!(table.len(), table.brief.len() + table.lasting.len());
                for (key, flow) in &table.flows {
                    let order = if flow.stage.is_lasting() { &table.lasting } else { &table.brief };
                    prop_assert!(order.contains(&(flow.renewed, *key)));
                }
            }
        }
    }
}
