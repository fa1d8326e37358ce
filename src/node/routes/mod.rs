//! Routes that this node uses and that others use to it: what a session's packets take, beside tree and snake.
//!
//! Three stages for each node that we talk to: the snake for first contact, the tree once it told us its coordinates inside the
//! session, a route once one is found, measured and not worse. Routes are looked for only while packets go, and cost nothing otherwise.
//!
//! - `conversation`: one node that we send a lot to: search, measure, choose;
//! - `measure`: how long a way takes; `losses`: what gets lost on it; `silence`: whether anything comes back; `labels`: what we handed out, and the
//!   ways back of others' routes;
//! - `carry`: frames with routes on their way out and in; `talk`: path requests, and what is said about routes inside the sessions;
//! - `trace`: `pineconectl trace`; `report`: `pineconectl path`.
//!
//! State is bounded: [`CONVERSATIONS`] with a few routes of 64 hops each, and as many labels as `labels` says.

mod carry;
mod conversation;
mod labels;
mod losses;
mod measure;
pub mod report;
mod silence;
mod talk;
mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) use self::carry::CameBy;
pub(super) use self::conversation::{Candidate, Route};
pub(super) use self::labels::Labels;

use self::conversation::{Conversation, Wanted};
use self::trace::Traces;
use super::requests::RequestId;
use crate::bounded::{BoundedMap, TokenBucket};
use crate::keys::PublicKey;
use crate::session::Label;
use crate::time::{Duration, Instant};
use crate::wire::route::Hop;

/// Nodes that routes are kept for at a time. More that are busy at once go by tree and snake.
const CONVERSATIONS: usize = 256;
/// How long nobody looks for room again if all of those are busy.
const FULL_FOR: Duration = Duration::from_secs(1);
/// Labels of others that are known, for what comes back: those of all routes, and of some that broke lately.
const OUTGOING: usize = 4_096;
/// Frames that come back and are sent another way, each second, and saved up: what is under way when a fast route breaks.
const RETURNED: (u32, u32) = (2_000, 4_000);

/// What a node is told about routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Whether what this node's sessions send takes routes, and whether it answers who looks for one to it. What others send by routes is
    /// passed on anyway.
    pub enabled: bool,
    /// Whether frames by routes are to show relays a label instead of the keys of both ends, if the other side wants that too.
    pub seal: bool,
    /// Whether this node says who it is when it is traced.
    pub answer_trace: bool,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self { enabled: true, seal: true, answer_trace: true }
    }
}

/// What is to be said to whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Errand {
    to: PublicKey,
    wanted: Wanted,
}

/// What becomes of a question later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// A trace begins, if its target did not answer until then.
    Trace,
    /// The ways that were found until then are told.
    Paths,
}

/// The routes of a node.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) config: RouteConfig,
    conversations: BTreeMap<PublicKey, Conversation>,
    due: BTreeSet<(Instant, PublicKey)>,
    full_until: Instant,
    last_id: u64,
    pub(super) labels: Labels,
    /// Labels that others gave us, whose they are, and for which route.
    outgoing: BoundedMap<u64, (PublicKey, u64, Label)>,
    returned: TokenBucket,
    errands: VecDeque<Errand>,
    traces: Traces,
    /// Questions of people that are looked at again then, and about whom.
    later: Vec<(Instant, Later, RequestId, PublicKey)>,
}

impl Routes {
    pub(super) fn new(config: RouteConfig, now: Instant) -> Self {
        Self {
            config,
            conversations: BTreeMap::new(),
            due: BTreeSet::new(),
            full_until: now,
            last_id: 0,
            labels: Labels::default(),
            outgoing: BoundedMap::new(OUTGOING),
            returned: TokenBucket::new(RETURNED.0, RETURNED.1, now),
            errands: VecDeque::new(),
            traces: Traces::new(now),
            later: Vec::new(),
        }
    }

    /// A packet goes to a node: says by which route, if there is one, and counts it as sent.
    pub(super) fn for_packet(&mut self, to: &PublicKey, now: Instant) -> Option<Arc<Route>> {
        let Some(conversation) = self.conversations.get_mut(to) else {
            if self.config.enabled {
                self.open(to, now);
            }
            return None;
        };
        if conversation.note_packet(now) {
            self.file(to);
            return None;
        }
        if let Some(candidate) = conversation.current() {
            candidate.losses.sent();
            return Some(Arc::clone(&candidate.route));
        }
        conversation.ordinary_losses.sent();
        None
    }

    /// By which route anything else that is said in a session goes.
    pub(super) fn for_control(&mut self, to: &PublicKey) -> Option<Arc<Route>> {
        let candidate = self.conversations.get_mut(to)?.current()?;
        candidate.losses.sent();
        Some(Arc::clone(&candidate.route))
    }

    /// A packet came from a node.
    pub(super) fn heard(&mut self, from: &PublicKey, now: Instant) {
        if let Some(conversation) = self.conversations.get_mut(from) {
            conversation.note_heard(now);
        }
    }

    /// A node hears nothing of us although it should.
    pub(super) fn doubt(&mut self, of: &PublicKey, now: Instant) {
        if let Some(conversation) = self.conversations.get_mut(of) {
            conversation.doubt(now);
            self.file(of);
        }
    }

    /// Bytes of a frame to a node besides its message, whichever way it goes: `ordinary` without a route.
    pub(super) fn overhead(&self, to: &PublicKey, ordinary: usize) -> usize {
        self.conversations.get(to).map_or(ordinary, |it| it.overhead(ordinary))
    }

    /// Routes are wanted from now on, or not any more: then those that are in use are left at once, and what others send by routes to us comes back to
    /// them, or is opened but not answered.
    pub(super) fn set_enabled(&mut self, enabled: bool) {
        self.config.enabled = enabled;
        if !enabled {
            self.conversations.clear();
            self.due.clear();
            self.errands.clear();
            self.labels = Labels::default();
        }
    }

    /// Looks for routes to a node although no packets go there.
    pub(super) fn look_for(&mut self, to: &PublicKey, now: Instant) {
        if self.config.enabled && !self.conversations.contains_key(to) {
            self.open(to, now);
        }
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.become_busy(now);
            self.file(to);
        }
    }

    /// A peering is gone.
    pub(super) fn lose_peering(&mut self, first: Hop, now: Instant) {
        let losers: Vec<_> =
            self.conversations.iter_mut().filter_map(|(to, it)| it.lose(first, now).then_some(*to)).collect();
        losers.iter().for_each(|to| self.file(to));
    }

    /// A session hears nothing.
    pub(super) fn silent(&mut self, to: &PublicKey, now: Instant) {
        if let Some(conversation) = self.conversations.get_mut(to) {
            conversation.silent(now);
            self.file(to);
        }
    }

    /// A session ended.
    pub(super) fn forget(&mut self, to: &PublicKey) {
        if let Some(conversation) = self.conversations.remove(to) {
            self.due.remove(&(conversation.due, *to));
        }
        self.labels.forget(to);
    }

    /// When something is to be done.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let first = self.due.first().map(|(at, _)| *at);
        // Hardly ever is there any of the others.
        let later = self.later.iter().map(|(at, ..)| *at).min();
        [first, later, self.traces.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, to)) = self.due.pop_first() else { return };
            let Some(conversation) = self.conversations.get_mut(&to) else { continue };
            if conversation.is_over(now) {
                self.conversations.remove(&to);
                continue;
            }
            let wanted = conversation.handle_timeout(now);
            // Later than now, whatever it says, so that nothing is due twice at one time.
            conversation.due = conversation.deadline().max(now + Duration::from_millis(1));
            self.due.insert((conversation.due, to));
            self.want(&to, wanted);
        }
    }

    /// The next thing to say.
    pub(super) fn poll_errand(&mut self) -> Option<Errand> {
        self.errands.pop_front()
    }

    fn want(&mut self, to: &PublicKey, wanted: Vec<Wanted>) {
        self.errands.extend(wanted.into_iter().map(|wanted| Errand { to: *to, wanted }));
    }

    fn open(&mut self, to: &PublicKey, now: Instant) {
        if self.conversations.len() >= CONVERSATIONS {
            if now < self.full_until {
                return;
            }
            let oldest =
                self.conversations.iter().min_by_key(|(_, it)| (it.is_busy, it.used)).map(|(key, it)| (*key, it));
            match oldest {
                Some((key, conversation)) if !conversation.is_busy => self.close(&key),
                _ => {
                    self.full_until = now + FULL_FOR;
                    return;
                }
            }
        }
        let mut conversation = Conversation::new(now);
        conversation.note_packet(now);
        self.due.insert((conversation.due, *to));
        self.conversations.insert(*to, conversation);
    }

    fn close(&mut self, to: &PublicKey) {
        if let Some(conversation) = self.conversations.remove(to) {
            self.due.remove(&(conversation.due, *to));
        }
    }

    /// Files a conversation whose deadline may have moved.
    fn file(&mut self, to: &PublicKey) {
        let Some(conversation) = self.conversations.get_mut(to) else { return };
        self.due.remove(&(conversation.due, *to));
        conversation.due = conversation.deadline();
        self.due.insert((conversation.due, *to));
    }
}
