//! What people ask of the node, and how they get their answers: lookups, pings, traces and paths.

use crate::addr::{Address, Destination};
use crate::keys::PublicKey;
use crate::node::requests::{Asked, Request, RequestId};
use crate::node::{Event, Node, Target, status};
use crate::time::{Duration, Instant};

/// A question about a node, with its key and without.
type Forms = (fn(PublicKey) -> Asked, fn(Destination) -> Asked);

impl Node {
    /// Finds out who owns a destination. The answer is an [`Event::Lookup`], within `timeout`.
    pub fn lookup(&mut self, target: Destination, timeout: Duration, now: Instant) -> RequestId {
        let id = self.requests.open(Asked::Lookup(target), timeout, now);
        if let Some(owner) = self.owner_of(&target) {
            self.resolved(&target, owner, now);
        } else {
            self.resolver.ask(target, now + timeout, &mut self.rng, now);
        }
        self.settle(now);
        id
    }

    /// Pings a node inside the session with it. The answer is an [`Event::Ping`], within `timeout`.
    pub fn ping(&mut self, target: Target, timeout: Duration, now: Instant) -> RequestId {
        self.ask(target, (Asked::Ping, Asked::PingUnresolved), timeout, now)
    }

    /// Finds out which way packets to a node go, hop by hop. The answer is an [`Event::Trace`], within `timeout`.
    pub fn trace(&mut self, target: Target, timeout: Duration, now: Instant) -> RequestId {
        self.ask(target, (Asked::Trace, Asked::TraceUnresolved), timeout, now)
    }

    /// Finds out which ways to a node there are. The answer is an [`Event::Path`], within `timeout`.
    pub fn path(&mut self, target: Target, timeout: Duration, now: Instant) -> RequestId {
        self.ask(target, (Asked::Path, Asked::PathUnresolved), timeout, now)
    }

    /// Asks something that begins with a ping.
    fn ask(&mut self, target: Target, (with_key, unresolved): Forms, timeout: Duration, now: Instant) -> RequestId {
        let key = match target {
            Target::Key(key) => Some(key),
            Target::Address(destination) => self.owner_of(&destination),
        };
        let own = self.keypair.public();
        let id = match (key, target) {
            (Some(key), _) if key == own => {
                let id = self.requests.open(with_key(key), timeout, now);
                self.on_pong(key, id, Duration::ZERO, now);
                id
            }
            (Some(key), _) => {
                let id = self.requests.open(with_key(key), timeout, now);
                self.ping_for(id, with_key(key), key, now);
                id
            }
            (None, Target::Address(destination)) => {
                self.resolver.ask(destination, now + timeout, &mut self.rng, now);
                self.requests.open(unresolved(destination), timeout, now)
            }
            (None, Target::Key(key)) => self.requests.open(with_key(key), timeout, now),
        };
        self.settle(now);
        id
    }

    fn ping_for(&mut self, id: RequestId, asked: Asked, key: PublicKey, now: Instant) {
        self.sessions.ping(&key, id.0, now);
        if matches!(asked, Asked::Trace(_)) {
            self.trace_later(id, key, now);
        }
    }

    /// A ping was answered: what was asked for is there, or can begin.
    pub(super) fn on_pong(&mut self, key: PublicKey, id: RequestId, rtt: Duration, now: Instant) {
        for (id, request) in self.requests.take(|open, request| open == id && request.asked.pinged() == Some(key)) {
            match request.asked {
                Asked::Trace(_) => {
                    self.requests.reopen(id, request);
                    self.start_trace(id, key, Some(rtt), now);
                }
                Asked::Path(_) => {
                    self.requests.reopen(id, request);
                    self.look_for_paths(id, &key, now);
                }
                _ => {
                    let answer = status::PingAnswer {
                        key,
                        address: Address::of(&key).to_string(),
                        rtt_seconds: rtt.as_secs_f64(),
                        routed_by: self.routed_by(&key).to_owned(),
                    };
                    self.events.push_back(Event::Ping(id, Some(answer)));
                }
            }
        }
    }

    /// The owner of a destination became known: whoever waited for that goes on.
    pub(super) fn resolved(&mut self, destination: &Destination, owner: PublicKey, now: Instant) {
        let waits = |request: &Request| request.asked.unresolved() == Some(*destination);
        for (id, request) in self.requests.take(|_, request| waits(request)) {
            if let Asked::Lookup(target) = request.asked {
                let seconds = now.saturating_since(request.at).as_secs_f64();
                let address = Address::of(&owner).to_string();
                let answer = status::LookupAnswer { target: target.ip().to_string(), key: owner, address, seconds };
                self.events.push_back(Event::Lookup(id, Some(answer)));
            } else if let Some(asked) = request.asked.with_key(owner) {
                self.requests.reopen(id, Request { asked, ..request });
                self.ping_for(id, asked, owner, now);
            }
        }
        for packet in self.waiting.take(destination) {
            self.send_packet(packet, *destination, now);
        }
    }

    /// The time of a question is over.
    pub(super) fn give_up_question(&mut self, id: RequestId, asked: Asked, now: Instant) {
        match asked {
            Asked::Lookup(_) => self.events.push_back(Event::Lookup(id, None)),
            Asked::Ping(_) | Asked::PingUnresolved(_) => self.events.push_back(Event::Ping(id, None)),
            Asked::Trace(key) => {
                self.start_trace(id, key, None, now);
                self.end_trace(id);
            }
            Asked::TraceUnresolved(_) => self.events.push_back(Event::Trace(id, None)),
            Asked::Path(key) if self.sessions.is_established(&key) => {
                let status = self.paths(&key, now);
                self.events.push_back(Event::Path(id, Some(status)));
            }
            Asked::Path(_) | Asked::PathUnresolved(_) => self.events.push_back(Event::Path(id, None)),
        }
    }
}
