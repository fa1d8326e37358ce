//! When the router wants to be called: one deadline per named timer, and the intervals they run at.

use crate::time::{Duration, Instant};

/// What the router waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouterTimer {
    /// As root: raise our sequence and announce it.
    RootRefresh,
    /// The parent's announcement becomes too old to be followed.
    ParentExpiry,
    /// The wait after losing trust in the parent ends.
    Reparent,
    /// A root that had to wait may be followed.
    Return,
    /// The snake's tick: expire routes, bootstrap; check announcements that had to wait, and send ours that had to.
    Maintenance,
    /// Broadcast that we are awake, forget old broadcasts of others.
    Broadcast,
}

impl RouterTimer {
    const ALL: [Self; 6] =
        [Self::RootRefresh, Self::ParentExpiry, Self::Reparent, Self::Return, Self::Maintenance, Self::Broadcast];
}

/// The router's intervals and lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Between two announcements of a root.
    pub root_refresh: Duration,
    /// How long an announcement makes its sender eligible as parent.
    pub announcement_lifetime: Duration,
    /// Between losing trust in the parent and choosing one anew.
    pub reparent_wait: Duration,
    /// Between two ticks of the snake.
    pub maintenance: Duration,
    /// Between two of our bootstraps, unless a change makes one due earlier.
    pub bootstrap: Duration,
    /// Between a change and the bootstrap after it, and how much longer each pause is than the one before it until they have
    /// reached `bootstrap`. Equal to that: pauses are always the same.
    pub settling: Duration,
    /// How long a route, and the descending neighbour, lives without a bootstrap.
    pub route_lifetime: Duration,
    /// Between two of our wakeup broadcasts.
    pub broadcast: Duration,
    /// Between two accepted broadcasts of one node, at least.
    pub broadcast_gap: Duration,
    /// How long a node's last broadcast is remembered.
    pub broadcast_memory: Duration,
}

impl Timings {
    /// What the reference implementation does (specification §9).
    pub const fn reference() -> Self {
        Self {
            root_refresh: Duration::from_secs(30 * 60),
            announcement_lifetime: Duration::from_secs(45 * 60),
            reparent_wait: Duration::from_secs(1),
            maintenance: Duration::from_secs(1),
            bootstrap: Duration::from_secs(5),
            settling: Duration::from_secs(5),
            route_lifetime: Duration::from_secs(10),
            broadcast: Duration::from_secs(60),
            broadcast_gap: Duration::from_secs(30),
            broadcast_memory: Duration::from_secs(180),
        }
    }

    /// The reference's, quicker while something changes and quieter while nothing does.
    ///
    /// - Bootstraps come quickly after a change: where networks meet, the snake settles by a number of them. In the steady state both
    ///   send the same; the reference takes bootstraps whenever they come.
    /// - A node that lost its parent waits for a quarter of a second: bad news need a few milliseconds for each node on their way.
    /// - A wakeup broadcast reaches hundreds of nodes, and each of them checks it: once a minute from every node is the greater part of
    ///   what a settled network sends. Who comes up is still announced at once, to each new peer.
    pub const fn eager() -> Self {
        Self {
            maintenance: Duration::from_millis(250),
            settling: Duration::from_millis(250),
            reparent_wait: Duration::from_millis(250),
            broadcast: Duration::from_secs(600),
            ..Self::reference()
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::reference()
    }
}

/// One optional deadline per timer.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; RouterTimer::ALL.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: RouterTimer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn clear(&mut self, timer: RouterTimer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn get(&self, timer: RouterTimer) -> Option<Instant> {
        self.0[timer as usize]
    }

    pub(super) fn is_set(&self, timer: RouterTimer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// The earliest deadline; among equal ones the timer declared first.
    pub(super) fn next(&self) -> Option<(Instant, RouterTimer)> {
        RouterTimer::ALL.into_iter().filter_map(|timer| Some((self.0[timer as usize]?, timer))).min()
    }

    /// Clears and returns the earliest timer that is due at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<RouterTimer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_out_earliest_first_and_once() {
        let mut timers = Timers::default();
        let at = Instant::from_micros;
        timers.set(RouterTimer::Maintenance, at(20));
        timers.set(RouterTimer::Broadcast, at(10));
        timers.set(RouterTimer::RootRefresh, at(30));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(20)), Some(RouterTimer::Broadcast));
        assert_eq!(timers.take_due(at(20)), Some(RouterTimer::Maintenance));
        assert_eq!(timers.take_due(at(20)), None);
        assert_eq!(timers.next(), Some((at(30), RouterTimer::RootRefresh)));
    }
}
