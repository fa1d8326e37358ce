//! What `top` shows: the last two answers of the daemon, and rates between them.

use std::collections::BTreeMap;

use pinecone::control::Peers;
use pinecone::keys::PublicKey;
use pinecone::node::status::{PeerStatus, SessionStatus, Status};
use pinecone::time::Instant;

/// What the daemon said, and when.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) status: Status,
    pub(super) peers: Peers,
    pub(super) sessions: Vec<SessionStatus>,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) received: f64,
    pub(super) sent: f64,
}

/// Which table the keys move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Peers,
    Sessions,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: Sample,
    /// Whether colours are wanted.
    pub(super) colours: bool,
    pub(super) focus: Focus,
    /// First line shown, of peers and of sessions.
    pub(super) top: (usize, usize),
    /// Before that, if it was another time.
    before: Option<Sample>,
}

impl Model {
    pub(super) fn new(now: Sample, colours: bool) -> Self {
        Self { now, colours, focus: Focus::Peers, top: (0, 0), before: None }
    }

    /// The daemon said something newer.
    pub(super) fn next(&mut self, sample: Sample) {
        self.before = Some(std::mem::replace(&mut self.now, sample));
        self.scroll(0);
    }

    pub(super) fn switch(&mut self) {
        self.focus = if self.focus == Focus::Peers { Focus::Sessions } else { Focus::Peers };
    }

    pub(super) fn scroll(&mut self, lines: isize) {
        let (top, len) = match self.focus {
            Focus::Peers => (&mut self.top.0, self.now.peers.peers.len() + self.now.peers.waiting.len()),
            Focus::Sessions => (&mut self.top.1, self.now.sessions.len()),
        };
        *top = top.saturating_add_signed(lines).min(len.saturating_sub(1));
    }

    /// Peers, the busiest first, each with its rate.
    pub(super) fn peers(&self) -> Vec<(&PeerStatus, Rate)> {
        let name = |peer: &PeerStatus| (peer.port, peer.key);
        let before: BTreeMap<_, _> = self
            .before
            .iter()
            .flat_map(|sample| &sample.peers.peers)
            .map(|peer| (name(peer), (peer.received_bytes, peer.sent_bytes)))
            .collect();
        let rate = |peer: &PeerStatus| self.rate(before.get(&name(peer)), (peer.received_bytes, peer.sent_bytes));
        busiest_first(self.now.peers.peers.iter().map(|peer| (peer, rate(peer))).collect())
    }

    /// Sessions, the busiest first, each with its rate.
    pub(super) fn sessions(&self) -> Vec<(&SessionStatus, Rate)> {
        let before: BTreeMap<PublicKey, (u64, u64)> = self
            .before
            .iter()
            .flat_map(|sample| &sample.sessions)
            .map(|session| (session.key, (session.received_bytes, session.sent_bytes)))
            .collect();
        let rate =
            |session: &SessionStatus| self.rate(before.get(&session.key), (session.received_bytes, session.sent_bytes));
        busiest_first(self.now.sessions.iter().map(|session| (session, rate(session))).collect())
    }

    /// Of all peerings.
    pub(super) fn total(&self) -> Rate {
        self.peers().iter().fold(Rate::default(), |sum, (_, rate)| Rate {
            received: sum.received + rate.received,
            sent: sum.sent + rate.sent,
        })
    }

    /// Drops per second, and the reason for most of them.
    pub(super) fn drops(&self) -> Option<(f64, String)> {
        let (before, seconds) = (self.before.as_ref()?, self.seconds()?);
        let grown = |(reason, count): (&String, &u64)| {
            let before = before.status.drops.get(reason).copied().unwrap_or_default();
            (count.saturating_sub(before), reason.clone())
        };
        let grown: Vec<(u64, String)> = self.now.status.drops.iter().map(grown).collect();
        let total: u64 = grown.iter().map(|(count, _)| count).sum();
        let most = grown.into_iter().max()?;
        (total > 0).then_some((total as f64 / seconds, most.1))
    }

    /// Between the two answers.
    fn seconds(&self) -> Option<f64> {
        let before = self.before.as_ref()?;
        let seconds = self.now.at.saturating_since(before.at).as_secs_f64();
        (seconds > 0.0).then_some(seconds)
    }

    fn rate(&self, before: Option<&(u64, u64)>, now: (u64, u64)) -> Rate {
        let (Some(before), Some(seconds)) = (before, self.seconds()) else { return Rate::default() };
        // Less than before: another peering at the same port, or another session.
        let per_second = |now: u64, before: u64| now.checked_sub(before).map_or(0.0, |bytes| bytes as f64 / seconds);
        Rate { received: per_second(now.0, before.0), sent: per_second(now.1, before.1) }
    }
}

fn busiest_first<T>(mut rows: Vec<(T, Rate)>) -> Vec<(T, Rate)> {
    let busy = |rate: &Rate| rate.received + rate.sent;
    // Stable: those that do nothing stay in their order.
    rows.sort_by(|(_, a), (_, b)| busy(b).total_cmp(&busy(a)));
    rows
}
