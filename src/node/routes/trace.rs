//! `pineconectl trace`: which nodes a packet to another node passes, by what each of them says of itself.
//!
//! One request per hop, a few at a time; each goes the way that packets go (told, if they take a route) and is answered by the node where its hops
//! are used up, back the way it came. What a node says of itself is its word: nothing in it is signed.
//!
//! ```text
//! answer   08 | step 1 | link 1 | 0 | round trip 4 | key 32      in a sealed frame on its way back, whose label is the request's salt
//!
//! step   0 hidden   1 destination   2 route   3 tree   4 snake   5 broken   6 nowhere   7 plain
//! link   to where it goes on: 0 unknown   1 tcp   2 tls   3 ws   4 wss   5 quic   6 unix; its round trip in µs, 0 if unknown
//! ```

use std::collections::BTreeMap;

use super::super::flow::PROTOCOL_FLOW;
use super::super::requests::{Asked, RequestId};
use super::super::status::{TraceAnswer, TraceHop};
use super::super::{Event, Node, Port};
use crate::addr::Address;
use crate::bounded::TokenBucket;
use crate::buf::PacketBuf;
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::router::{TraceStep, Verdict};
use crate::time::{Duration, Instant};
use crate::wire::Reader;
use crate::wire::route::request::{PathRequest, Record};
use crate::wire::route::{self, Hop, MAX_HOPS};

/// Traces at a time; whoever may use the control socket can ask, so this only guards against a runaway script.
const MAX_TRACES: usize = 16;
/// Requests of one trace under way.
const AT_ONCE: usize = 8;
/// How long a hop may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Hops in a row that say nothing, after which there is nothing to be expected.
const SILENT_HOPS: usize = 4;
/// Answers to traces of others, each second, and saved up.
pub(super) const ANSWERS: (u32, u32) = (100, 200);

const ANSWER: u8 = 0x08;
const HIDDEN: u8 = 0;
const DESTINATION: u8 = 1;
const BROKEN: u8 = 5;
const NOWHERE: u8 = 6;
const PLAIN: u8 = 7;
const LINKS: [&str; 7] = ["", "tcp", "tls", "ws", "wss", "quic", "unix"];

/// What a hop said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    step: u8,
    link: u8,
    link_rtt: u32,
    key: PublicKey,
}

impl Said {
    fn encode(&self) -> PacketBuf {
        let mut answer = PacketBuf::from(&[ANSWER, self.step, self.link, 0][..]);
        answer.append(&self.link_rtt.to_be_bytes());
        answer.append(&self.key.0);
        answer
    }

    fn parse(answer: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(answer);
        let what = "answer to a trace";
        let [kind, step, link, _] = reader.array(what).ok()?;
        let (link_rtt, key) = (reader.u32(what).ok()?, reader.key(what).ok()?);
        (kind == ANSWER && step <= PLAIN).then_some(Self { step, link, link_rtt, key })
    }

    fn ends_trace(&self) -> bool {
        matches!(self.step, DESTINATION | BROKEN | NOWHERE | PLAIN)
    }
}

#[derive(Clone, Debug)]
enum Probe {
    Waiting { salt: u64, sent: Instant },
    Said(Said, Duration),
    Silent,
}

/// One trace of ours.
#[derive(Debug)]
struct Trace {
    to: PublicKey,
    stage: &'static str,
    round_trip: Option<Duration>,
    first: Hop,
    /// What every request begins as: the records that are prescribed, and the traffic frame.
    records: Vec<Record>,
    frame: Vec<u8>,
    probes: Vec<Probe>,
}

impl Trace {
    /// How many hops there are, once that is known.
    fn end(&self) -> Option<usize> {
        let ends = |probe: &Probe| matches!(probe, Probe::Said(said, _) if said.ends_trace());
        if let Some(at) = self.probes.iter().position(ends) {
            return Some(at + 1);
        }
        let said = |probe: &Probe| matches!(probe, Probe::Said(..));
        let last = self.probes.iter().rposition(said).map_or(0, |at| at + 1);
        let silent = self.probes.iter().skip(last).take_while(|probe| matches!(probe, Probe::Silent)).count();
        // Of those that say nothing one is shown.
        (silent >= SILENT_HOPS || self.probes.len() >= MAX_HOPS).then_some(last + silent.min(1))
    }

    fn is_done(&self) -> bool {
        let waiting = |probe: &Probe| matches!(probe, Probe::Waiting { .. });
        self.end().is_some_and(|end| !self.probes.iter().take(end).any(waiting))
    }

    fn under_way(&self) -> usize {
        self.probes.iter().filter(|probe| matches!(probe, Probe::Waiting { .. })).count()
    }

    fn deadline(&self) -> Option<Instant> {
        let sent = |probe: &Probe| if let Probe::Waiting { sent, .. } = probe { Some(*sent + PATIENCE) } else { None };
        self.probes.iter().filter_map(sent).min()
    }
}

/// The traces of a node.
#[derive(Debug)]
pub(in crate::node) struct Traces {
    open: BTreeMap<RequestId, Trace>,
    budget: TokenBucket,
}

impl Traces {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: BTreeMap::new(), budget: TokenBucket::new(ANSWERS.0, ANSWERS.1, now) }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().filter_map(Trace::deadline).min()
    }
}

impl Node {
    /// Finds out which way packets to a node go. The answer is an [`Event::Trace`].
    pub(in crate::node) fn start_trace(&mut self, id: RequestId, to: PublicKey, rtt: Option<Duration>, now: Instant) {
        if self.routes.traces.open.contains_key(&id) {
            return;
        }
        let coords = super::super::outbound::coords_in_tree(&self.sessions, &self.router, &to);
        let mut frame = PacketBuf::with_capacity(0);
        let route = self.routes.current_route(&to);
        let (first, records) = match route {
            Some(route) if self.router.address(&to, coords, 0, &mut frame).is_ok() => {
                let record = |out: &Hop| Record { out: *out, came_by: Hop::default() };
                (Some(route.first), route.hops.iter().map(record).collect())
            }
            _ => match self.router.originate(&to, coords, &mut frame, now) {
                Verdict::Forward(port) => (Some(self.router.hop(port).unwrap_or(Hop { port, epoch: 0 })), Vec::new()),
                Verdict::Deliver(_) | Verdict::Drop(_) => (None, Vec::new()),
            },
        };
        let stage = self.routed_by(&to);
        let why = if to == self.keypair.public() { "that is this node itself" } else { "there is no way to it" };
        let Some(first) = first.filter(|_| self.routes.traces.open.len() < MAX_TRACES) else {
            let here = self.own_hop(stage, None, why);
            let answer = trace_answer(to, stage, rtt, vec![here]);
            self.requests.take(|open, _| open == id);
            self.events.push_back(Event::Trace(id, Some(answer)));
            return;
        };
        let frame = frame.to_vec();
        let trace = Trace { to, stage, round_trip: rtt, first, records, frame, probes: Vec::new() };
        self.routes.traces.open.insert(id, trace);
        self.go_on_tracing(id, now);
    }

    /// Sends the next requests of a trace, or ends it.
    fn go_on_tracing(&mut self, id: RequestId, now: Instant) {
        loop {
            let Some(trace) = self.routes.traces.open.get_mut(&id) else { return };
            if trace.is_done() {
                return self.end_trace(id);
            }
            if trace.end().is_some() || trace.under_way() >= AT_ONCE {
                return;
            }
            let salt = self.rng.u64();
            let remaining = u8::try_from(trace.probes.len()).unwrap_or(u8::MAX);
            trace.probes.push(Probe::Waiting { salt, sent: now });
            let records = trace.records.clone();
            let request = PathRequest { is_trace: true, remaining, wandering: 0, cursor: 0, salt, records };
            let mut frame = PacketBuf::from(&trace.frame[..]);
            match self.router.originate_request(trace.first, &request, &mut frame) {
                Ok(port) => self.queue_traffic(port, frame, PROTOCOL_FLOW, now),
                Err(_) => {
                    // The first peer does not understand requests, or is gone.
                    let said = Said { step: PLAIN, link: 0, link_rtt: 0, key: PublicKey::ZERO };
                    if let Some(probe) = trace.probes.last_mut() {
                        *probe = Probe::Said(said, Duration::ZERO);
                    }
                }
            }
        }
    }

    /// Gives up on hops that took too long.
    pub(in crate::node) fn expire_traces(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (id, trace) in &mut self.routes.traces.open {
            for probe in &mut trace.probes {
                if matches!(probe, Probe::Waiting { sent, .. } if sent.has_passed(PATIENCE, now)) {
                    *probe = Probe::Silent;
                    late.push(*id);
                }
            }
        }
        late.dedup();
        late.into_iter().for_each(|id| self.go_on_tracing(id, now));
    }

    /// The answer of one hop came back.
    pub(super) fn handle_trace_answer(&mut self, salt: u64, answer: &[u8], now: Instant) -> Result<(), DropReason> {
        let said = Said::parse(answer).ok_or(DropReason::UnknownLabel)?;
        let found = self.routes.traces.open.iter_mut().find_map(|(id, trace)| {
            let waits = |probe: &&mut Probe| matches!(probe, Probe::Waiting { salt: asked, .. } if *asked == salt);
            trace.probes.iter_mut().find(waits).map(|probe| (*id, probe))
        });
        let (id, probe) = found.ok_or(DropReason::UnknownLabel)?;
        if let Probe::Waiting { sent, .. } = *probe {
            *probe = Probe::Said(said, now.saturating_since(sent));
        }
        self.go_on_tracing(id, now);
        Ok(())
    }

    /// Answers a trace of somebody that ends here.
    pub(super) fn answer_trace(
        &mut self,
        from: Port,
        request: &PathRequest,
        step: TraceStep,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.routes.traces.budget.take(1, now) {
            return Err(DropReason::RateLimited);
        }
        let said = if self.routes.config.answer_trace {
            self.say_step(step)
        } else {
            let step = if step == TraceStep::Destination { DESTINATION } else { HIDDEN };
            Said { step, link: 0, link_rtt: 0, key: PublicKey::ZERO }
        };
        let mut answer = said.encode();
        let came_by: Vec<Hop> = request.passed().iter().map(|record| record.came_by).collect();
        route::send_back(&mut answer, &came_by, request.salt).map_err(|_| DropReason::FrameOverflow)?;
        self.queue_traffic(from, answer, PROTOCOL_FLOW, now);
        Ok(())
    }

    fn say_step(&self, step: TraceStep) -> Said {
        let (step, port) = match step {
            TraceStep::Destination => (DESTINATION, None),
            TraceStep::Route(port) => (2, Some(port)),
            TraceStep::Tree(port) => (3, Some(port)),
            TraceStep::Snake(port) => (4, Some(port)),
            TraceStep::Broken => (BROKEN, None),
            TraceStep::Nowhere(_) => (NOWHERE, None),
            TraceStep::Plain(port) => (PLAIN, Some(port)),
        };
        let (link, link_rtt) = port.map_or((0, 0), |port| self.link_of(port));
        Said { step, link, link_rtt, key: self.keypair.public() }
    }

    /// What carries a peering, and its round trip in µs.
    fn link_of(&self, port: Port) -> (u8, u32) {
        let Some(peering) = self.peerings.get(&port) else { return (0, 0) };
        let scheme = peering.info.uri.split("://").next().unwrap_or_default();
        let link = LINKS.iter().position(|link| *link == scheme && !link.is_empty()).unwrap_or(0);
        let rtt = peering.round_trip.map_or(0, |span| u32::try_from(span.as_micros()).unwrap_or(u32::MAX));
        (u8::try_from(link).unwrap_or(0), rtt)
    }

    /// A trace is over, or its time is.
    pub(in crate::node) fn end_trace(&mut self, id: RequestId) {
        let Some(trace) = self.routes.traces.open.remove(&id) else { return };
        let why = match trace.stage {
            "route" => "the quickest route that was measured",
            "tree" => "the nearest neighbour to its coordinates",
            _ => "the best key on the way to its key: its coordinates are not known",
        };
        let mut hops = vec![self.own_hop(trace.stage, Some(trace.first.port), why)];
        let end = trace.end().unwrap_or(trace.probes.len());
        hops.extend(trace.probes.iter().take(end).zip(1..).map(|(probe, hop)| hop_status(probe, hop)));
        self.requests.take(|open, request| open == id && matches!(request.asked, Asked::Trace(_)));
        self.events.push_back(Event::Trace(id, Some(trace_answer(trace.to, trace.stage, trace.round_trip, hops))));
    }

    fn own_hop(&self, stage: &str, port: Option<Port>, why: &str) -> TraceHop {
        let (link, rtt) = port.map_or((0, 0), |port| self.link_of(port));
        TraceHop {
            hop: 0,
            state: "this node".to_owned(),
            key: Some(self.keypair.public()),
            address: Some(self.address.to_string()),
            rtt_seconds: None,
            stage: port.map(|_| stage.to_owned()),
            why: why.to_owned(),
            link: link_name(link),
            link_rtt_seconds: micros(rtt),
        }
    }
}

fn trace_answer(to: PublicKey, stage: &str, rtt: Option<Duration>, hops: Vec<TraceHop>) -> TraceAnswer {
    TraceAnswer {
        key: to,
        address: Address::of(&to).to_string(),
        stage: stage.to_owned(),
        reached: hops.last().is_some_and(|hop| hop.state == "destination" || hop.key == Some(to)),
        rtt_seconds: rtt.map(|rtt| rtt.as_secs_f64()),
        hops,
    }
}

fn hop_status(probe: &Probe, hop: u32) -> TraceHop {
    let Probe::Said(said, rtt) = probe else {
        let why = "it did not answer in time, or the request did not get there";
        return TraceHop { hop, state: "silent".to_owned(), why: why.to_owned(), ..TraceHop::default() };
    };
    let (state, stage, why) = match said.step {
        HIDDEN => ("hidden", None, "it does not say who it is"),
        DESTINATION => ("destination", None, ""),
        2 => ("forwards", Some("route"), "the frame says so"),
        3 => ("forwards", Some("tree"), "the nearest neighbour to the destination's coordinates"),
        4 => ("forwards", Some("snake"), "the best key on the way to the destination's key"),
        BROKEN => ("broken", None, "the peering that the route names is gone"),
        NOWHERE => ("nowhere", None, "it knows no way on"),
        _ => ("plain", None, "the next node does not understand traces; what is behind it cannot be seen"),
    };
    let is_known = said.key != PublicKey::ZERO;
    TraceHop {
        hop,
        state: state.to_owned(),
        key: is_known.then_some(said.key),
        address: is_known.then(|| Address::of(&said.key).to_string()),
        rtt_seconds: (said.step != PLAIN).then_some(rtt.as_secs_f64()),
        stage: stage.map(str::to_owned),
        why: why.to_owned(),
        link: link_name(said.link),
        link_rtt_seconds: micros(said.link_rtt),
    }
}

fn link_name(link: u8) -> Option<String> {
    LINKS.get(usize::from(link)).filter(|name| !name.is_empty()).map(|name| (*name).to_owned())
}

fn micros(span: u32) -> Option<f64> {
    (span > 0).then(|| f64::from(span) / 1e6)
}
