//! The network of real daemons: one process per node, in one network namespace, peering over TCP on its loopback interface.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use pinecone::control::{Answer, Request};
use pinecone::keys::PublicKey;
use pinecone::node::Target;

use crate::control::Control;
use crate::daemon::{Config, Running};
use crate::experiment::{Network, Outcome, Place, carry_out};
use crate::lab::{Host, Lab};
use crate::scenario::{Edge, NODES, Plan, Scenario, key_seed};
use crate::wait::{eventually, seconds};

/// The ports from here on are the daemons'.
const FIRST_PORT: usize = 10_000;

/// Between two links that are made: all at once, 64 processes would queue for the processors and form a tree in the order in which
/// the scheduler lets them run, which no simulator of the protocol knows.
const SPACING: Duration = Duration::from_millis(10);
/// A round in which the machine kept us waiting for longer was disturbed: it is more than half a tick of the snake.
const DISTURBED: Duration = Duration::from_millis(150);

/// One round as it was.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) plan: Plan,
    /// How long after its group of links was begun each link was up.
    pub(crate) delays: Vec<(Edge, Duration)>,
    pub(crate) outcome: Outcome,
}

/// The daemons' files; they run in rounds.
pub(crate) struct Daemons(Vec<Rc<Running>>);

/// Freshly started daemons.
struct Round<'a> {
    daemons: &'a Daemons,
    scenario: &'a Scenario,
    controls: Vec<Control>,
    begin: Instant,
    /// When each link was asked for, and when it came up.
    links: Vec<(Edge, Duration, Option<Duration>)>,
    /// The longest that the machine kept us waiting: how much longer than asked for we slept, or waited for a daemon's answer.
    longest_delay: Duration,
}

impl Daemons {
    pub(crate) fn prepare(lab: &Lab, host: &Host) -> Self {
        let daemon = |node| {
            let mut config = Config::new(key_seed(node));
            config.tun = "none".to_owned();
            config.listen = vec![uri(node)];
            Running::prepare(lab, host, config)
        };
        Self((0..NODES).map(daemon).collect())
    }

    /// Carries these rounds out. As many as `spare` that were disturbed are done again.
    pub(crate) fn record(&self, scenario: &Scenario, rounds: std::ops::Range<u64>, mut spare: usize) -> Vec<Recording> {
        let mut recorded = Vec::new();
        for number in rounds {
            let plan = scenario.plan(number);
            loop {
                let mut round = self.start(scenario);
                let outcome = carry_out(&mut round, scenario, &plan);
                let delay = round.longest_delay;
                if delay <= DISTURBED || spare == 0 {
                    println!("round {number}: {outcome:?}, longest delay {delay:?}");
                    recorded.push(Recording { plan, delays: round.delays(), outcome });
                    break;
                }
                spare -= 1;
                println!("round {number} was disturbed (we had to wait for {delay:?}) and is done again");
            }
        }
        recorded
    }

    /// Starts them all. They know nothing of each other.
    fn start<'a>(&'a self, scenario: &'a Scenario) -> Round<'a> {
        self.0.iter().for_each(|daemon| daemon.spawn());
        let connect = |daemon: &Rc<Running>| {
            eventually("the daemon has a control socket", seconds(20), || Control::connect(&daemon.socket()))
        };
        let controls = self.0.iter().map(connect).collect();
        let (begin, longest_delay) = (Instant::now(), Duration::ZERO);
        Round { daemons: self, scenario, controls, begin, links: Vec::new(), longest_delay }
    }
}

impl Round<'_> {
    /// When each link came up, after it was asked for.
    fn delays(&self) -> Vec<(Edge, Duration)> {
        self.links.iter().map(|(link, asked, up)| (*link, up.expect("it was asked after") - *asked)).collect()
    }

    fn ask(&mut self, node: usize, request: &Request) -> Answer {
        let asked = Instant::now();
        let answer = self.controls[node].ask(request);
        self.longest_delay = self.longest_delay.max(asked.elapsed());
        answer
    }

    /// Since when `node` has its peering with `other`.
    fn up_since(&mut self, node: usize, other: usize) -> Duration {
        let Answer::Peers(peers) = self.ask(node, &Request::Peers) else { panic!("another answer") };
        let key = self.scenario.key(other);
        let peer = peers.peers.iter().find(|peer| peer.key == key).expect("the peering is up");
        self.now().saturating_sub(Duration::from_secs_f64(peer.uptime_seconds))
    }

    fn routed_by_tree(&mut self, from: usize, to: PublicKey) -> bool {
        let Answer::Sessions(sessions) = self.ask(from, &Request::Sessions) else { panic!("another answer") };
        sessions.iter().any(|session| session.key == to && session.routed_by == "tree")
    }
}

impl Network for Round<'_> {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn pass(&mut self, span: Duration) {
        let before = Instant::now();
        // Not to wait for anything: this is the time that the experiment is to take.
        std::thread::sleep(span);
        self.longest_delay = self.longest_delay.max(before.elapsed().saturating_sub(span));
    }

    fn join(&mut self, links: &[Edge]) {
        let asked = self.now();
        let request = |to| Request::PeerAdd { uri: uri(to).parse().expect("our own URI") };
        for (from, to) in links {
            self.controls[*from].ask(&request(*to));
            self.pass(SPACING);
            self.links.push(((*from, *to), asked, None));
        }
    }

    fn last_up(&mut self, links: &[Edge]) -> Duration {
        let mut last = Duration::ZERO;
        for (from, to) in links {
            let up = self.up_since(*from, *to).max(self.up_since(*to, *from));
            let link = self.links.iter_mut().find(|(link, ..)| link == &(*from, *to)).expect("it was asked for");
            link.2 = Some(up);
            last = last.max(up);
        }
        last
    }

    fn place(&mut self, node: usize) -> Place {
        let Answer::Tree(tree) = self.ask(node, &Request::Tree) else { panic!("another answer") };
        let Answer::Snake(snake) = self.ask(node, &Request::Snake) else { panic!("another answer") };
        Place { root: tree.root, descending: snake.descending }
    }

    fn ping(&mut self, pairs: &[Edge]) -> usize {
        let request = |to| Request::Ping { target: Target::Key(self.scenario.key(to)), timeout: seconds(5) };
        for (from, to) in pairs {
            self.controls[*from].send(&request(*to));
        }
        pairs.iter().filter(|(from, to)| self.controls[*from].receive(&request(*to)).is_ok()).count()
    }

    fn knows_way(&mut self, (from, to): Edge) -> bool {
        let root = self.scenario.keys.iter().map(|pair| pair.public()).max();
        let (from_key, to_key) = (self.scenario.key(from), self.scenario.key(to));
        (Some(to_key) == root || self.routed_by_tree(from, to_key))
            && (Some(from_key) == root || self.routed_by_tree(to, from_key))
    }

    fn forwarded(&mut self) -> u64 {
        let forwarded = |node| match self.ask(node, &Request::Status) {
            Answer::Status(status) => status.frames_forwarded,
            _ => panic!("another answer"),
        };
        (0..NODES).map(forwarded).sum()
    }
}

impl Drop for Round<'_> {
    /// All at once: one after the other would outlive its peers and dial them again.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.daemons.0.iter().for_each(|daemon| kill(daemon.pid(), Signal::SIGKILL).expect("the daemon runs"));
            self.daemons.0.iter().for_each(|daemon| {
                daemon.stop(Signal::SIGKILL);
            });
        }
    }
}

fn uri(node: usize) -> String {
    format!("tcp://127.0.0.1:{}", FIRST_PORT + node)
}
