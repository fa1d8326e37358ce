//! Questions of people: `pineconectl lookup`, `ping`, `trace` and `path`. Each has a deadline and gets exactly one answer.

use std::collections::BTreeMap;

use crate::addr::Destination;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// Names a question that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Questions at a time; whoever may use the control socket can ask, so this only guards against a runaway script.
const MAX_REQUESTS: usize = 1024;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Who owns a destination.
    Lookup(Destination),
    /// A ping whose target's key is not known yet.
    PingUnresolved(Destination),
    /// A ping to a known key.
    Ping(PublicKey),
    /// The same for traces and for paths, which begin with a ping.
    TraceUnresolved(Destination),
    /// Which way packets to a node go.
    Trace(PublicKey),
    /// Like [`Asked::TraceUnresolved`].
    PathUnresolved(Destination),
    /// Which ways to a node there are.
    Path(PublicKey),
}

impl Asked {
    /// The same question, once the key is known; `None` if it is not what was waited for.
    pub fn with_key(self, key: PublicKey) -> Option<Self> {
        match self {
            Self::PingUnresolved(_) => Some(Self::Ping(key)),
            Self::TraceUnresolved(_) => Some(Self::Trace(key)),
            Self::PathUnresolved(_) => Some(Self::Path(key)),
            _ => None,
        }
    }

    /// The destination whose key is waited for.
    pub fn unresolved(self) -> Option<Destination> {
        match self {
            Self::Lookup(to) | Self::PingUnresolved(to) | Self::TraceUnresolved(to) | Self::PathUnresolved(to) => {
                Some(to)
            }
            Self::Ping(_) | Self::Trace(_) | Self::Path(_) => None,
        }
    }

    /// The node that a ping was sent to.
    pub fn pinged(self) -> Option<PublicKey> {
        match self {
            Self::Ping(key) | Self::Trace(key) | Self::Path(key) => Some(key),
            _ => None,
        }
    }
}

/// An open question.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What was asked.
    pub asked: Asked,
    /// When.
    pub at: Instant,
    /// Until when an answer counts.
    pub deadline: Instant,
}

/// The open questions.
#[derive(Debug, Default)]
pub struct Requests {
    open: BTreeMap<RequestId, Request>,
    next: u64,
}

impl Requests {
    /// Opens a question. Beyond the limit the oldest loses its time and fails at once.
    pub fn open(&mut self, asked: Asked, timeout: Duration, now: Instant) -> RequestId {
        if self.open.len() >= MAX_REQUESTS
            && let Some(mut oldest) = self.open.first_entry()
        {
            oldest.get_mut().deadline = now;
        }
        self.next += 1;
        let id = RequestId(self.next);
        self.open.insert(id, Request { asked, at: now, deadline: now + timeout });
        id
    }

    /// Whether a question waits for its answer.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.open.contains_key(&id)
    }

    /// Takes the questions that `wanted` picks.
    pub fn take(&mut self, mut wanted: impl FnMut(RequestId, &Request) -> bool) -> Vec<(RequestId, Request)> {
        let ids: Vec<_> = self.open.iter().filter(|(id, request)| wanted(**id, request)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.open.remove(&id).map(|request| (id, request))).collect()
    }

    /// Puts a question back in another form, with its time and deadline.
    pub fn reopen(&mut self, id: RequestId, request: Request) {
        self.open.insert(id, request);
    }

    /// Takes the questions whose time is up.
    pub fn take_expired(&mut self, now: Instant) -> Vec<(RequestId, Request)> {
        self.take(|_, request| request.deadline <= now)
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().map(|request| request.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_ends_once_by_answer_or_by_deadline() {
        let mut requests = Requests::default();
        let key = PublicKey([1; 32]);
        let first = requests.open(Asked::Ping(key), Duration::from_secs(1), Instant::ZERO);
        let second = requests.open(Asked::Ping(key), Duration::from_secs(2), Instant::ZERO);
        assert_eq!(requests.take(|id, _| id == first).len(), 1);
        assert_eq!(requests.poll_timeout(), Some(Instant::ZERO + Duration::from_secs(2)));
        assert!(requests.take_expired(Instant::ZERO + Duration::from_secs(1)).is_empty());
        assert_eq!(requests.take_expired(Instant::ZERO + Duration::from_secs(2))[0].0, second);
        assert_eq!(requests.poll_timeout(), None);
    }

    #[test]
    fn open_questions_are_bounded_in_time_if_not_at_once() {
        let mut requests = Requests::default();
        for _ in 0..=MAX_REQUESTS {
            requests.open(Asked::Ping(PublicKey::ZERO), Duration::from_secs(60), Instant::ZERO);
        }
        assert_eq!(requests.take_expired(Instant::ZERO).len(), 1);
    }
}
