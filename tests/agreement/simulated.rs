//! The network in the simulator: the same keys, and links that come up when they did in the real one.

use std::collections::BTreeSet;
use std::time::Duration;

use pinecone::ip::firewall::Policy;
use pinecone::node::{Event, NodeConfig, Target};
use pinecone::rng::Rng;
use pinecone::sim::Sim;
use pinecone::sim::net::LinkModel;
use pinecone::time::Instant;

use crate::experiment::{Network, Outcome, Place, carry_out};
use crate::real::Recording;
use crate::scenario::{Edge, NODES, Scenario, rng};

/// The loopback interface, with a daemon at either end that has to be woken: what a request at a control socket takes as well.
const LOOPBACK: LinkModel = LinkModel {
    latency: Duration::from_micros(100),
    jitter: Duration::from_micros(100),
    loss_ppm: 0,
    rate: 0,
    queue: 0,
};
/// How far a replayed link-up may be from the recorded one: no two runs are alike to the microsecond, and what would come out of
/// one that is would be one draw as well.
const UNSHARP: Duration = Duration::from_millis(2);
/// The processors of a small machine.
const THREADS: usize = 2;

/// Replays every recording, `draws` times each. Each campaign has seeds of its own.
pub(crate) fn replay(scenario: &Scenario, recordings: &[Recording], draws: usize, campaign: u64) -> Vec<Outcome> {
    let run = |number: usize| {
        let recording = &recordings[number / draws];
        let seed = campaign << 32 | number as u64;
        carry_out(&mut Replay::new(scenario, &recording.delays, seed), scenario, &recording.plan)
    };
    let all = recordings.len() * draws;
    let part = |first: usize| move || (first..all).step_by(THREADS).map(run).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(part(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it panicked")).collect()
    })
}

/// A simulation that replays link-ups.
struct Replay<'a> {
    sim: Sim,
    begin: Instant,
    scenario: &'a Scenario,
    /// How long after its group of links was begun each link was up.
    delays: &'a [(Edge, Duration)],
    rng: Rng,
    /// Links that are on their way up.
    coming: BTreeSet<(Duration, Edge)>,
    ups: Vec<(Edge, Duration)>,
}

impl<'a> Replay<'a> {
    /// A draw, by its seed.
    fn new(scenario: &'a Scenario, delays: &'a [(Edge, Duration)], seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        // As the daemons' configuration has it.
        let config = NodeConfig { firewall: Policy::Open, ..NodeConfig::default() };
        for keypair in &scenario.keys {
            sim.add_node_with_key(config.clone(), keypair.clone());
        }
        let (begin, rng) = (sim.now(), rng(seed));
        Self { sim, begin, scenario, delays, rng, coming: BTreeSet::new(), ups: Vec::new() }
    }

    fn run_to(&mut self, at: Duration) {
        self.sim.run_for(at.saturating_sub(self.now()));
    }

    fn routed_by_tree(&self, from: usize, to: usize) -> bool {
        let (to, now) = (self.sim.key(to), self.sim.now());
        let sessions = self.sim.node(from).expect("nobody stopped it").sessions(now);
        sessions.iter().any(|session| session.key == to && session.routed_by == "tree")
    }
}

impl Network for Replay<'_> {
    fn now(&self) -> Duration {
        self.sim.now().saturating_since(self.begin)
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now() + span;
        while let Some((at, (a, b))) = self.coming.first().copied().filter(|(at, _)| *at <= end) {
            self.coming.pop_first();
            self.run_to(at);
            self.sim.connect(a, b, LOOPBACK);
            self.ups.push(((a, b), at));
        }
        self.run_to(end);
    }

    fn join(&mut self, links: &[Edge]) {
        for link in links {
            let delay = self.delays.iter().find(|(of, _)| of == link).expect("it was recorded").1;
            let unsharp = Duration::from_micros(self.rng.below(UNSHARP.as_micros() as u64));
            self.coming.insert((self.now() + delay + unsharp, *link));
        }
        let last = self.coming.last().map_or(Duration::ZERO, |(at, _)| *at);
        self.pass(last.saturating_sub(self.now()));
    }

    fn last_up(&mut self, links: &[Edge]) -> Duration {
        let of = |(link, _): &&(Edge, Duration)| links.contains(link);
        self.ups.iter().filter(of).map(|(_, at)| *at).max().expect("they are up")
    }

    fn place(&mut self, node: usize) -> Place {
        let (node, now) = (self.sim.node(node).expect("nobody stopped it"), self.sim.now());
        Place { root: node.tree().root, descending: node.snake(now).descending }
    }

    fn ping(&mut self, pairs: &[Edge]) -> usize {
        for (from, to) in pairs {
            self.sim.take_events(*from);
            let target = Target::Key(self.sim.key(*to));
            self.sim.with_node(*from, |node, now| node.ping(target, Duration::from_secs(5), now));
        }
        let mut answered = 0;
        let asked = pairs.len();
        self.sim.run_until(Duration::from_secs(5), |sim| {
            let pong = |event: &Event| matches!(event, Event::Ping(_, Some(_)));
            answered +=
                (0..NODES).map(|node| sim.take_events(node).iter().filter(|event| pong(event)).count()).sum::<usize>();
            answered == asked
        });
        answered
    }

    fn knows_way(&mut self, (from, to): Edge) -> bool {
        let root = self.scenario.keys.iter().map(|pair| pair.public()).max();
        (Some(self.scenario.key(to)) == root || self.routed_by_tree(from, to))
            && (Some(self.scenario.key(from)) == root || self.routed_by_tree(to, from))
    }

    fn forwarded(&mut self) -> u64 {
        let now = self.sim.now();
        (0..NODES).map(|node| self.sim.node(node).expect("nobody stopped it").status(now).frames_forwarded).sum()
    }
}
