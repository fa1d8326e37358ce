//! A scenario, played.

use serde::Serialize;

use crate::node::NodeConfig;
use crate::rng::Rng;
use crate::sim::NodeId;
use crate::sim::flow::FlowPlan;
use crate::sim::graph::Graph;
use crate::sim::metrics::{Distribution, spread};
use crate::sim::probe::{Outcome, Way};
use crate::sim::scenario::{Event, Scenario, ScenarioError, Who, seconds};
use crate::sim::stats::Observer;
use crate::sim::world::{Setup, World, percent};
use crate::time::Duration;

/// What a scenario came to.
#[derive(Debug, Serialize)]
pub struct Played {
    /// Nodes at the end.
    pub nodes: usize,
    /// What was seen, in the order of time.
    pub samples: Vec<Sample>,
    /// What happened, and when, in the order of time.
    pub events: Vec<(f64, String)>,
    /// The flows.
    pub flows: Vec<FlowResult>,
    /// Numbers at the end.
    pub end: EndState,
    /// Shared by two runs exactly if the same happened in both.
    pub digest: String,
    /// Events of the simulation: arrivals, timers, hops of probes.
    pub happened: u64,
    /// The network at the end, for a picture.
    #[serde(skip)]
    pub world: Option<World>,
}

/// How the network was at one time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Since the beginning.
    pub seconds: f64,
    /// Pairs that answer when asked by key alone.
    pub first_pct: f64,
    /// Pairs that answer when asked by coordinates.
    pub steady_pct: f64,
    /// Nodes that run.
    pub running: usize,
    /// Different roots that they follow.
    pub roots: usize,
    /// Bytes of protocol frames per node and second since the sample before.
    pub bytes_per_s: f64,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FlowResult {
    /// The sending node.
    pub from: NodeId,
    /// The receiving node.
    pub to: NodeId,
    /// Packets sent.
    pub sent: usize,
    /// Packets that did not arrive.
    pub lost: usize,
    /// Packets that arrived more than once.
    pub duplicates: u32,
    /// The longest time without an arrival, in seconds.
    pub longest_outage_s: f64,
}

/// Numbers at the end.
#[derive(Clone, Debug, Serialize)]
pub struct EndState {
    /// Hops taken by key over the fewest possible, on average.
    pub first_stretch: f64,
    /// The same by coordinates.
    pub stretch: f64,
    /// Routes per node: mean and maximum.
    pub routes: (f64, f64),
    /// Bytes of memory that routes and announcements take per node: mean and maximum.
    pub state_bytes: (f64, f64),
    /// Distribution of `first_stretch`, and of `stretch`: value, percent of pairs that are not above it.
    pub spreads: [Vec<(f64, f64)>; 2],
    /// What no honest node may do and one did.
    pub violations: Vec<String>,
}

/// Plays a scenario on a graph, or on the steps of a mobility trace; `progress` hears the seconds that have passed.
///
/// # Errors
/// If the scenario names nodes that are not there.
pub fn play(
    scenario: &Scenario,
    steps: &[Graph],
    observer: Option<Observer>,
    mut progress: impl FnMut(f64),
) -> Result<Played, ScenarioError> {
    let graph = steps.first().cloned().unwrap_or_default();
    scenario.check_nodes(graph.len())?;
    let mut player = Player::new(scenario, graph);
    if let Some(observer) = observer {
        player.world.sim.observe(observer);
    }
    player.world.start_all(seconds(scenario.start_within));
    let step = scenario.topology.step.unwrap_or(10.0);
    let moves = (1..).zip(steps.iter().skip(1)).map(|(n, graph)| (f64::from(n) * step, What::Move(graph)));
    let happen = scenario.event.iter().map(|event| (event.at, What::Event(event)));
    let flows = scenario.flow.iter().map(|flow| {
        let plan = FlowPlan {
            from: flow.from,
            to: flow.to,
            period: seconds(1.0 / flow.rate),
            count: ((scenario.duration - flow.start).max(0.0) * flow.rate) as u32,
            size: flow.size,
            echo: flow.echo,
        };
        (flow.start, What::Flow(plan))
    });
    let mut plan: Vec<_> = moves.chain(happen).chain(flows).collect();
    plan.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    for (at, what) in plan.into_iter().filter(|(at, _)| *at < scenario.duration) {
        player.run_to(at, &mut progress);
        player.act(at, &what);
    }
    player.run_to(scenario.duration, &mut progress);
    Ok(player.end())
}

enum What<'a> {
    Move(&'a Graph),
    Event(&'a Event),
    Flow(FlowPlan),
}

struct Player<'a> {
    scenario: &'a Scenario,
    world: World,
    next_sample: f64,
    sent_bytes: u64,
    cut: Vec<[NodeId; 2]>,
    flows: Vec<usize>,
    samples: Vec<Sample>,
    events: Vec<(f64, String)>,
}

impl<'a> Player<'a> {
    fn new(scenario: &'a Scenario, graph: Graph) -> Self {
        let setup = Setup::default();
        let setup = Setup {
            seed: scenario.seed,
            scheme: scenario.signatures.scheme(),
            config: NodeConfig { profile: scenario.mode.profile(), ..setup.config },
            link: scenario.link.model(),
            ..setup
        };
        Self {
            scenario,
            world: World::new(graph, &setup),
            next_sample: scenario.measure.every,
            sent_bytes: 0,
            cut: Vec::new(),
            flows: Vec::new(),
            samples: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Lets time pass until `at`, with the samples that are due until then.
    fn run_to(&mut self, at: f64, progress: &mut impl FnMut(f64)) {
        while self.next_sample <= at {
            self.pass_until(self.next_sample);
            self.sample();
            self.next_sample += self.scenario.measure.every;
            progress(self.world.seconds());
        }
        self.pass_until(at);
    }

    fn pass_until(&mut self, at: f64) {
        let rest = at - self.world.seconds();
        if rest > 0.0 {
            self.world.sim.run_for(seconds(rest));
        }
    }

    /// Asks pairs. The answers take time, in which the scenario goes on.
    fn sample(&mut self) {
        let at = self.world.seconds();
        let within = self.scenario.measure.within.min(self.scenario.measure.every);
        let pairs = self.world.pairs(self.scenario.measure.pairs);
        self.world.sim.take_probes();
        self.world.probe_all(&pairs, Way::Key);
        self.world.probe_all(&pairs, Way::Coordinates);
        let deadline = self.world.sim.now() + seconds(within);
        self.world.sim.run_to(deadline - Duration::from_micros(1));
        let probes = self.world.sim.take_probes();
        let share = |way| {
            let asked = probes.iter().filter(|probe| probe.way() == way);
            let answered = asked.clone().filter(|probe| probe.answered_by(deadline)).count();
            percent(answered, asked.count())
        };
        let running = self.world.running();
        let roots = running.iter().filter_map(|id| Some(self.world.sim.node(*id)?.router().root().key));
        let roots = roots.collect::<std::collections::BTreeSet<_>>().len();
        let sent: u64 = (0..self.world.sim.len()).map(|id| self.world.sim.counters(id).protocol().bytes).sum();
        let bytes = sent - std::mem::replace(&mut self.sent_bytes, sent);
        self.samples.push(Sample {
            seconds: at,
            first_pct: share(Way::Key),
            steady_pct: share(Way::Coordinates),
            running: running.len(),
            roots,
            bytes_per_s: bytes as f64 / self.scenario.measure.every / running.len().max(1) as f64,
        });
    }

    fn act(&mut self, at: f64, what: &What<'_>) {
        match what {
            What::Move(graph) => self.world.become_graph((*graph).clone()),
            What::Flow(plan) => {
                let flow = self.world.sim.start_flow(*plan);
                self.flows.push(flow);
            }
            What::Event(event) => {
                let told = self.on_event(event);
                self.events.push((at, told));
            }
        }
    }

    /// Does what an event says, and says it in words.
    fn on_event(&mut self, event: &Event) -> String {
        if let Some(who) = &event.crash {
            let nodes = self.who(who);
            nodes.iter().for_each(|id| self.world.crash(*id));
            format!("{} crash", count(nodes.len(), "node"))
        } else if let Some(who) = &event.restart {
            let nodes = self.who(who);
            nodes.iter().for_each(|id| self.world.start(*id));
            format!("{} start", count(nodes.len(), "node"))
        } else if let Some(links) = &event.cut {
            links.iter().for_each(|[a, b]| self.world.link_down(*a, *b));
            self.cut.extend(links);
            format!("{} cut", count(links.len(), "link"))
        } else if let Some(links) = &event.join {
            links.iter().for_each(|[a, b]| self.world.add_link(*a, *b));
            format!("{} joined", count(links.len(), "link"))
        } else if let Some(share) = event.partition {
            let links = self.boundary(share);
            links.iter().for_each(|[a, b]| self.world.link_down(*a, *b));
            self.cut.extend(&links);
            format!("partition: {} cut", count(links.len(), "link"))
        } else if let Some(corrupt) = &event.corrupt {
            let nodes = self.who(&corrupt.who);
            nodes.iter().for_each(|id| self.world.sim.corrupt(*id, Some(corrupt.plan.clone())));
            format!("{} become hostile", count(nodes.len(), "node"))
        } else if let Some(link) = &event.link {
            for (a, b) in self.world.graph().edges() {
                self.world.set_link(a, b, link.model());
            }
            "links change".to_owned()
        } else {
            let links = std::mem::take(&mut self.cut);
            links.iter().for_each(|[a, b]| self.world.link_up(*a, *b));
            format!("healed: {} up", count(links.len(), "link"))
        }
    }

    fn who(&mut self, who: &Who) -> Vec<NodeId> {
        let mut nodes = who.nodes.clone();
        let running = self.world.running();
        let some = (running.len() as f64 * who.percent.clamp(0.0, 100.0) / 100.0).round() as usize;
        nodes.extend(self.world.choose(running, some));
        if who.root {
            nodes.extend(self.world.highest());
        }
        if who.stopped {
            nodes.extend((0..self.world.sim.len()).filter(|id| self.world.sim.node(*id).is_none()));
        }
        nodes
    }

    /// The links between the nodes nearest to a random one, as many as are in the share, and the rest.
    fn boundary(&mut self, share: f64) -> Vec<[NodeId; 2]> {
        let graph = self.world.present();
        let centre = self.world.below(graph.len());
        let distances = graph.distances(centre);
        let mut order: Vec<NodeId> = (0..graph.len()).collect();
        order.sort_by_key(|id| (distances[*id].unwrap_or(u32::MAX), *id));
        let mut inside = vec![false; graph.len()];
        let many = (graph.len() as f64 * share.clamp(0.0, 100.0) / 100.0).round() as usize;
        order.iter().take(many).for_each(|id| inside[*id] = true);
        graph.edges().into_iter().filter(|(a, b)| inside[*a] != inside[*b]).map(|(a, b)| [a, b]).collect()
    }

    fn end(mut self) -> Played {
        let flows = self.flows.iter().map(|id| self.world.sim.flow(*id)).map(|flow| FlowResult {
            from: flow.plan.from,
            to: flow.plan.to,
            sent: flow.sent.len(),
            lost: flow.lost(),
            duplicates: flow.duplicates,
            longest_outage_s: flow.longest_outage().as_secs_f64(),
        });
        let flows = flows.collect();
        let end = end_state(&mut self.world, self.scenario.measure.pairs);
        Played {
            nodes: self.world.sim.len(),
            samples: self.samples,
            events: self.events,
            flows,
            end,
            digest: format!("{:016x}", self.world.sim.digest()),
            happened: self.world.sim.happened(),
            world: Some(self.world),
        }
    }
}

fn end_state(world: &mut World, pairs: usize) -> EndState {
    let graph = world.present();
    let pairs = world.pairs(pairs);
    let mut ratios = [Vec::new(), Vec::new()];
    for (a, b) in pairs {
        let shortest = graph.distances(a)[b].unwrap_or(0);
        for (ratios, way) in ratios.iter_mut().zip([Way::Key, Way::Coordinates]) {
            let probe = world.sim.walk(a, b, way);
            if probe.outcome == Outcome::Delivered {
                ratios.push(probe.hops() as f64 / f64::from(shortest));
            }
        }
    }
    let footprints = world.running().into_iter().filter_map(|id| Some(world.sim.node(id)?.router().footprint()));
    let footprints: Vec<_> = footprints.collect();
    let routes = Distribution::of(footprints.iter().map(|print| print.routes as f64));
    let bytes = Distribution::of(footprints.iter().map(|print| print.bytes as f64));
    EndState {
        first_stretch: Distribution::of(ratios[0].iter().copied()).mean,
        stretch: Distribution::of(ratios[1].iter().copied()).mean,
        routes: (routes.mean, routes.max),
        state_bytes: (bytes.mean, bytes.max),
        spreads: ratios.map(spread),
        violations: world.sim.violations().to_vec(),
    }
}

/// The graph of a scenario that makes its own.
pub fn generated(scenario: &Scenario) -> Option<Graph> {
    let mut seed = [0x5a; 32];
    seed[..8].copy_from_slice(&scenario.seed.to_be_bytes());
    Some(crate::sim::generate::generate(scenario.topology.generate?, &mut Rng::new(seed)))
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(text: &str) -> Played {
        let scenario = Scenario::parse(text).unwrap();
        let graph = generated(&scenario).unwrap();
        play(&scenario, &[graph], None, |_| {}).unwrap()
    }

    const SCENARIO: &str = r#"
        duration = 60
        signatures = "fast"
        [topology]
        generate = { kind = "radio", nodes = 40, degree = 12 }
        [[event]]
        at = 20
        partition = 50
        [[event]]
        at = 30
        heal = true
        [[event]]
        at = 40
        crash = { percent = 5 }
        [[flow]]
        from = 0
        to = 7
        rate = 10
        start = 10
    "#;

    #[test]
    fn a_scenario_plays_its_events_and_ends_with_everybody_reached() {
        let played = played(SCENARIO);
        let told: Vec<_> = played.events.iter().map(|(at, _)| *at).collect();
        assert_eq!(told, [20.0, 30.0, 40.0]);
        assert_eq!(played.events[2].1, "2 nodes crash");
        let last = played.samples.last().unwrap();
        assert_eq!((last.first_pct, last.steady_pct, last.running, last.roots), (100.0, 100.0, 38, 1));
        assert_eq!((played.flows[0].sent, played.flows[0].duplicates), (500, 0));
        assert_eq!(played.end.violations, Vec::<String>::new());
        assert!(played.samples.iter().any(|sample| sample.roots > 1), "each part has a root of its own");
    }

    #[test]
    fn the_same_scenario_plays_the_same_and_another_seed_does_not() {
        let first = played(SCENARIO);
        assert_eq!(first.digest, played(SCENARIO).digest);
        assert_ne!(first.digest, played(&format!("seed = 2\n{SCENARIO}")).digest);
    }
}
