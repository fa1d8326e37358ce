//! Calm where something changes all the time: roots that come and go have to wait, and what changes call for is spaced out.
//!
//! A root that flaps would make the whole network move with it, again and again. Each node remembers of the roots that it lost which
//! announcement it followed. One that shows up with a later one was really away: each time that this happens it has to wait twice as long
//! as the last time, counted from when it was lost, before it is followed (RFC 2439 does the like for routes). The first three returns are
//! free: a crash, a merge, or somebody who restarts a daemon until its configuration is right, is not slowed. One that shows up with the same announcement was never away, but we were: nodes that
//! move and lose their ways are not punished for it.
//!
//! Waiting is counted from the loss and not from the return, because nodes near the root see more of its flaps than those behind them:
//! when they give way, the others are ready, and all follow in one wave. Where it waits with its neighbours nobody else hears of it.
//!
//! A root that gives away its returns by no sequence, or many keys that take turns, are not held up by that. They are limited in what
//! they cost: announcements and early bootstraps are free for as many changes as the ups and downs of a network take, then they
//! wait for the next tick, or for their usual time ([`Haste`]). Only the news that a node left the tree always goes at once.

use crate::bounded::TokenBucket;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};
use crate::wire::tree::Root;

/// Roots remembered; of more, those go first that returned the least. About a kilobyte.
const REMEMBERED: usize = 16;
/// Returns after the first that do not have to wait.
const FREE: u32 = 2;
/// What a root waits then; twice as long after each later return.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Returns that count: the longest wait is 64 seconds.
const MOST: u32 = FREE + 7;
/// For every such time without a return, one is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Announcements to all peers that may go out at once, and how many more each second. The loss of a root costs a thousand nodes in a
/// square grid, which has the longest ways, seventeen each and at most 83.
const ANNOUNCEMENTS: (u32, u32) = (128, 1);
/// Bootstraps earlier than usual, likewise. Half a minute of one at each tick.
const BOOTSTRAPS: (u32, u32) = (120, 1);

/// A root that was lost.
#[derive(Clone, Copy, Debug)]
struct Record {
    key: PublicKey,
    /// What we followed when we lost it.
    lost: u64,
    /// The latest that we saw since then.
    seen: u64,
    /// How often it came back with another one, at most [`MOST`].
    returns: u32,
    /// When it was lost, or came back although it had to wait.
    since: Instant,
    /// Whether a stronger root was lost since then: nodes that followed that one, this root among them, come back with new sequences through
    /// no fault of theirs.
    excused: bool,
}

impl Record {
    /// Until when it waits, if it does at all.
    fn waits_until(&self) -> Instant {
        match self.returns.saturating_sub(FREE) {
            0 => self.since,
            returns => self.since + FIRST_WAIT * (1 << (returns - 1)),
        }
    }

    /// It went away, or turned up, once more.
    fn count(&mut self, now: Instant) {
        if std::mem::take(&mut self.excused) {
            self.since = now;
            return;
        }
        let quiet = now.saturating_since(self.since).as_micros() / FORGIVEN_AFTER.as_micros();
        let forgiven = u32::try_from(quiet).unwrap_or(u32::MAX);
        self.returns = (self.returns.saturating_sub(forgiven) + 1).min(MOST);
        self.since = now;
    }
}

/// The roots that were lost.
#[derive(Debug, Default)]
pub(super) struct LostRoots(Vec<Record>);

impl LostRoots {
    /// We followed `root`, and have nobody any more to follow it by.
    pub(super) fn lost(&mut self, root: Root, now: Instant) {
        for record in self.0.iter_mut().filter(|record| record.key < root.key) {
            record.excused = true;
        }
        match self.0.iter_mut().find(|record| record.key == root.key) {
            Some(record) if root.sequence > record.lost => {
                record.lost = root.sequence;
                record.seen = record.seen.max(root.sequence);
                record.count(now);
            }
            Some(_) => {}
            None => {
                let least = self.0.iter().enumerate().min_by_key(|(_, record)| (record.returns, record.since));
                if let Some((index, _)) = least.filter(|_| self.0.len() >= REMEMBERED) {
                    self.0.swap_remove(index);
                }
                let Root { key, sequence } = root;
                self.0.push(Record { key, lost: sequence, seen: sequence, returns: 0, since: now, excused: false });
            }
        }
    }

    /// A peer announced `root`, which we do not follow. Coming back again while it waits makes it wait longer.
    pub(super) fn turned_up(&mut self, root: &Root, now: Instant) {
        let record = self.0.iter_mut().find(|record| record.key == root.key && root.sequence > record.seen);
        if let Some(record) = record {
            record.seen = root.sequence;
            if now < record.waits_until() {
                record.count(now);
            }
        }
    }

    /// Until when `root` is not to be followed, if that is later than `now`.
    pub(super) fn waits_until(&self, root: &Root, now: Instant) -> Option<Instant> {
        let record = self.0.iter().find(|record| record.key == root.key && root.sequence > record.lost)?;
        Some(record.waits_until()).filter(|until| now < *until)
    }
}

/// What may be done out of turn.
#[derive(Debug)]
pub(super) struct Haste {
    /// Announcements to all peers at once, instead of at the next tick.
    pub(super) announcements: TokenBucket,
    /// Bootstraps earlier than one usual pause after the one before.
    pub(super) bootstraps: TokenBucket,
}

impl Haste {
    pub(super) fn new(now: Instant) -> Self {
        let bucket = |(burst, rate)| TokenBucket::new(rate, burst, now);
        Self { announcements: bucket(ANNOUNCEMENTS), bootstraps: bucket(BOOTSTRAPS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: PublicKey = PublicKey([9; 32]);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn root(sequence: u64) -> Root {
        Root { key: ROOT, sequence }
    }

    /// Lost every `every` milliseconds, each time with a new sequence, `times` in all.
    fn flapped(times: u64, every: u64) -> LostRoots {
        let mut roots = LostRoots::default();
        (1..=times).for_each(|n| roots.lost(root(n), at(n * every)));
        roots
    }

    #[test]
    fn the_first_three_returns_are_free_and_each_later_one_waits_twice_as_long_up_to_a_minute() {
        let waits = |times: u64| {
            let until = flapped(times, 1_000).waits_until(&root(times + 1), at(times * 1_000));
            until.map(|until| until.saturating_since(at(times * 1_000)).as_micros() / 1_000_000)
        };
        let expected = [None, None, None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(64), Some(64)];
        assert_eq!((1..=11).map(waits).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_root_that_was_never_away_does_not_wait() {
        let mut roots = flapped(5, 1_000);
        assert_eq!(roots.waits_until(&root(5), at(5_000)), None);
        (0..10).for_each(|n| roots.lost(root(5), at(5_000 + n)));
        assert_eq!(roots.waits_until(&root(6), at(5_010)), Some(at(7_000)), "as if it had been lost once");
    }

    #[test]
    fn coming_back_while_it_waits_makes_it_wait_longer_and_saying_the_same_twice_does_not() {
        let mut roots = flapped(4, 1_000);
        roots.turned_up(&root(5), at(4_500));
        roots.turned_up(&root(5), at(4_700));
        assert_eq!(roots.waits_until(&root(5), at(4_700)), Some(at(6_500)));
        roots.turned_up(&root(6), at(7_000));
        assert_eq!(roots.waits_until(&root(6), at(7_000)), None, "it had waited");
    }

    #[test]
    fn a_root_that_gave_way_to_a_stronger_one_is_not_blamed_for_its_return() {
        let mut roots = flapped(3, 1_000);
        // A stranger shows a stronger root and takes it back, again and again; each time ours comes back with its next sequence.
        for n in 4..20 {
            let stronger = Root { key: PublicKey([100 + n as u8; 32]), sequence: 1 };
            roots.lost(stronger, at(n * 1_000));
            roots.lost(root(n), at(n * 1_000 + 500));
            assert_eq!(roots.waits_until(&root(n + 1), at(n * 1_000 + 500)), None, "{n}");
        }
    }

    #[test]
    fn a_return_is_forgiven_after_each_quiet_minute() {
        let mut roots = flapped(6, 1_000);
        let later = 6_000 + 2 * 60_000;
        roots.lost(root(7), at(later));
        assert_eq!(
            roots.waits_until(&root(8), at(later)),
            Some(at(later + 2_000)),
            "5 − 2 + 1 returns, two of them free"
        );
    }

    #[test]
    fn roots_that_never_returned_are_forgotten_before_one_that_flaps() {
        let mut roots = flapped(5, 1_000);
        (0..100).for_each(|n| roots.lost(Root { key: PublicKey([100 + n; 32]), sequence: 1 }, at(6_000)));
        assert_eq!(roots.0.len(), REMEMBERED);
        assert!(roots.waits_until(&root(6), at(6_000)).is_some());
    }
}
