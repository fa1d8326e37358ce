//! When to dial configured peers again: the pure half of reconnecting.
//!
//! The delay after a failure is an eighth of the time that the peer has been away: a restarted peer is back within a breath,
//! one that is gone for good costs one attempt per `max_backoff`, and in between the wait is in proportion to the outage, so
//! no outage lasts more than about an eighth longer than it has to. Jitter keeps the peers of a restarted hub apart.
//!
//! ```text
//! waiting ──(time has come)──▶ dialling ──(handle_up)──▶ up
//!    ▲                            │ handle_failed         │ handle_down
//!    └────────────────────────────┴───────────────────────┘
//! ```
//!
//! One attempt per peer is under way at a time, whatever events come in whatever order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Longest wait between attempts unless the peer's URI says otherwise (`?max_backoff=`).
pub const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Shortest wait: five attempts a second are nothing for either side and soon fewer.
const MIN_DELAY: Duration = Duration::from_millis(200);
/// The first waits of an outage are shorter, as long as the outage so far and at least this: 20, 20, 40, 80 and 160 ms. Of two machines or
/// daemons that start at once, one begins to listen a moment after the other has dialled it.
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// Shortest wait after a peering that did not last, and between attempts that network changes bring forward.
const MIN_DELAY_UNSTABLE: Duration = Duration::from_secs(1);
/// The wait is this part of the time that the peer has been away.
const PART_OF_OUTAGE: u32 = 16;
/// A peering that ends earlier than this counts as a failed attempt: the other side accepts and then refuses us.
const UNSTABLE: Duration = Duration::from_secs(5);
/// After a network change the outage counts as this long at most, so that waits start over at one second: name service and
/// routes are often a moment behind the address.
const OUTAGE_AFTER_KICK: Duration = Duration::from_secs(16);
/// Delays vary by this part in both directions.
const JITTER_PERCENT: u64 = 20;

/// All configured peers and when to dial each.
#[derive(Debug)]
pub struct Redial {
    peers: BTreeMap<Arc<str>, Peer>,
    rng: Rng,
}

#[derive(Debug)]
struct Peer {
    max_backoff: Duration,
    state: State,
    /// Since when there has been no lasting peering.
    away_since: Instant,
    /// When the last attempt began.
    attempted: Option<Instant>,
    /// The network changed during the attempt that is under way.
    kicked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Dialling,
    Up { since: Instant },
}

impl Redial {
    /// No peers so far.
    pub fn new(rng: Rng) -> Self {
        Self { peers: BTreeMap::new(), rng }
    }

    /// A configured peer, to be dialled at once. Adding one again only changes its `max_backoff`.
    pub fn add(&mut self, uri: &str, max_backoff: Duration, now: Instant) {
        let max_backoff = max_backoff.max(MIN_DELAY);
        if let Some(peer) = self.peers.get_mut(uri) {
            peer.max_backoff = max_backoff;
            return;
        }
        let state = State::Waiting { until: now };
        self.peers.insert(uri.into(), Peer { max_backoff, state, away_since: now, attempted: None, kicked: false });
    }

    /// The peer is no longer configured. The caller ends what is under way.
    pub fn remove(&mut self, uri: &str) {
        self.peers.remove(uri);
    }

    /// A peering with the peer is up.
    pub fn handle_up(&mut self, uri: &str, now: Instant) {
        if let Some(peer) = self.peers.get_mut(uri) {
            peer.state = State::Up { since: now };
            peer.kicked = false;
        }
    }

    /// The peering is down. Returns how long until the next attempt, for people; `None` if there was no peering.
    pub fn handle_down(&mut self, uri: &str, now: Instant) -> Option<Duration> {
        let peer = self.peers.get_mut(uri)?;
        let State::Up { since } = peer.state else { return None };
        if since.has_passed(UNSTABLE, now) {
            peer.away_since = now;
            Some(peer.wait(MIN_DELAY, &mut self.rng, now))
        } else {
            Some(peer.wait(MIN_DELAY_UNSTABLE, &mut self.rng, now))
        }
    }

    /// The attempt that [`Redial::poll_dial`] asked for failed. Returns how long until the next one; `None` if none was under way.
    pub fn handle_failed(&mut self, uri: &str, now: Instant) -> Option<Duration> {
        let peer = self.peers.get_mut(uri)?;
        if peer.state != State::Dialling {
            return None;
        }
        let delay = peer.wait(MIN_DELAY, &mut self.rng, now);
        if std::mem::take(&mut peer.kicked) {
            peer.hurry(now);
        }
        Some(delay.min(peer.delay_left(now)))
    }

    /// The network changed (an address, a route, a wake-up): peers that are down are dialled at once.
    pub fn kick(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            match peer.state {
                State::Waiting { .. } => peer.hurry(now),
                // It may hang in the network that was; the next one follows its failure at once.
                State::Dialling => peer.kicked = true,
                State::Up { .. } => {}
            }
        }
    }

    /// A peer to dial now. The caller answers each with `handle_up` or `handle_failed`.
    #[must_use]
    pub fn poll_dial(&mut self, now: Instant) -> Option<Arc<str>> {
        let due = |peer: &Peer| matches!(peer.state, State::Waiting { until } if until <= now);
        let (uri, peer) = self.peers.iter_mut().find(|(_, peer)| due(peer))?;
        peer.state = State::Dialling;
        peer.attempted = Some(now);
        Some(Arc::clone(uri))
    }

    /// When the peer will be dialled again; none while an attempt is under way or a peering is up.
    #[must_use]
    pub fn next_attempt(&self, uri: &str) -> Option<Instant> {
        match self.peers.get(uri)?.state {
            State::Waiting { until } => Some(until),
            State::Dialling | State::Up { .. } => None,
        }
    }

    /// When to call [`Redial::poll_dial`] again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = |peer: &Peer| match peer.state {
            State::Waiting { until } => Some(until),
            State::Dialling | State::Up { .. } => None,
        };
        self.peers.values().filter_map(waiting).min()
    }
}

impl Peer {
    /// Waits in proportion to the outage, at least `floor` and at most `max_backoff` (both before jitter).
    fn wait(&mut self, floor: Duration, rng: &mut Rng, now: Instant) -> Duration {
        let outage = now.saturating_since(self.away_since);
        let floor = if floor == MIN_DELAY { outage.clamp(FIRST_DELAY, MIN_DELAY) } else { floor };
        let delay = (outage / PART_OF_OUTAGE).max(floor).min(self.max_backoff.max(floor));
        let percent = 100 - JITTER_PERCENT + rng.below(2 * JITTER_PERCENT + 1);
        let jittered = delay * u32::try_from(percent).unwrap_or(100) / 100;
        self.state = State::Waiting { until: now + jittered };
        jittered
    }

    /// Brings the next attempt forward to `now`, or to a second after the last one.
    fn hurry(&mut self, now: Instant) {
        self.away_since = self.away_since.max(now - OUTAGE_AFTER_KICK);
        if let State::Waiting { until } = self.state {
            let earliest = self.attempted.map_or(now, |at| now.max(at + MIN_DELAY_UNSTABLE));
            self.state = State::Waiting { until: until.min(earliest) };
        }
    }

    fn delay_left(&self, now: Instant) -> Duration {
        match self.state {
            State::Waiting { until } => until.saturating_since(now),
            State::Dialling | State::Up { .. } => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    const PEER: &str = "tcp://192.0.2.1:7463";

    fn redial(seed: u8) -> Redial {
        let mut redial = Redial::new(Rng::new([seed; 32]));
        redial.add(PEER, DEFAULT_MAX_BACKOFF, Instant::ZERO);
        redial
    }

    fn at(seconds: f64) -> Instant {
        Instant::ZERO + Duration::from_secs_f64(seconds)
    }

    /// Lets time pass until `end`; every attempt fails at once. Returns when they began.
    fn attempts(redial: &mut Redial, end: Instant) -> Vec<Instant> {
        let mut began = Vec::new();
        while let Some(now) = redial.poll_timeout().filter(|at| *at <= end) {
            while let Some(uri) = redial.poll_dial(now) {
                began.push(now);
                redial.handle_failed(&uri, now);
            }
        }
        began
    }

    #[test]
    fn a_peer_is_dialled_as_soon_as_it_is_configured() {
        let mut redial = redial(1);
        assert_eq!(redial.poll_timeout(), Some(Instant::ZERO));
        assert_eq!(redial.poll_dial(Instant::ZERO).as_deref(), Some(PEER));
        assert_eq!((redial.poll_dial(at(1000.0)), redial.poll_timeout()), (None, None), "one attempt at a time");
    }

    #[test]
    fn a_peer_that_starts_to_listen_a_moment_later_is_found_a_moment_later() {
        for seed in 0..50 {
            let mut redial = redial(seed);
            let listens = Instant::ZERO + Duration::from_millis(u64::from(seed));
            attempts(&mut redial, listens);
            assert!(redial.poll_timeout().unwrap() <= listens + Duration::from_millis(50));
            let second = attempts(&mut redial, at(1.0)).len();
            assert!((3..=12).contains(&second), "{second} attempts in the first second");
        }
    }

    #[test]
    fn a_peer_that_restarts_is_back_within_two_seconds() {
        for seed in 0..50 {
            let mut redial = redial(seed);
            assert!(redial.poll_dial(Instant::ZERO).is_some());
            redial.handle_up(PEER, Instant::ZERO);
            redial.handle_down(PEER, at(500.0));
            let returns = at(500.0 + f64::from(seed) / 4.0);
            attempts(&mut redial, returns);
            assert!(redial.poll_timeout().unwrap() <= returns + Duration::from_secs(2));
        }
    }

    #[test]
    fn a_peer_that_is_gone_for_good_costs_an_attempt_per_max_backoff() {
        let mut redial = redial(1);
        let hours: Vec<_> = (1..=3).map(|hour| attempts(&mut redial, at(f64::from(hour) * 3600.0)).len()).collect();
        assert!(hours[0] < 180, "{hours:?}");
        assert!((50..=75).contains(&hours[1]) && (50..=75).contains(&hours[2]), "{hours:?}");
    }

    #[test]
    fn the_longest_wait_can_be_configured() {
        let mut redial = redial(1);
        redial.add(PEER, Duration::from_secs(3600), Instant::ZERO);
        attempts(&mut redial, at(86_400.0));
        assert!(attempts(&mut redial, at(2.0 * 86_400.0)).len() <= 30);
        redial.remove(PEER);
        let now = at(200_000.0);
        redial.add("tcp://192.0.2.2:1", Duration::ZERO, now);
        assert_eq!(redial.poll_dial(now).as_deref(), Some("tcp://192.0.2.2:1"));
        assert!(redial.handle_failed("tcp://192.0.2.2:1", now + MIN_DELAY).unwrap() >= Duration::from_millis(160));
    }

    #[test]
    fn a_peering_that_does_not_last_counts_as_a_failure() {
        let mut redial = redial(1);
        let (mut now, mut count) = (Instant::ZERO, 0);
        while now < at(3600.0) {
            assert!(redial.poll_dial(now).is_some());
            redial.handle_up(PEER, now);
            now = now + Duration::from_millis(100);
            let delay = redial.handle_down(PEER, now).unwrap();
            assert!(delay >= Duration::from_millis(800), "{delay:?}");
            now = now + delay;
            count += 1;
        }
        assert!(count < 150, "{count}");
    }

    #[test]
    fn a_lasting_peering_clears_the_record() {
        let mut redial = redial(1);
        attempts(&mut redial, at(86_400.0));
        let now = redial.poll_timeout().unwrap();
        assert!(redial.poll_dial(now).is_some());
        redial.handle_up(PEER, now);
        assert!(redial.handle_down(PEER, now + UNSTABLE).unwrap() < Duration::from_millis(250));
    }

    #[test]
    fn a_network_change_brings_the_next_attempt_forward() {
        let mut redial = redial(1);
        attempts(&mut redial, at(86_400.0));
        let kicked = redial.poll_timeout().unwrap() - Duration::from_secs(5);
        redial.kick(kicked);
        assert_eq!(redial.poll_timeout(), Some(kicked));
        let end = kicked + Duration::from_secs(60);
        let after = attempts(&mut redial, end);
        assert!(after.len() > 6 && after[1] <= after[0] + Duration::from_millis(2_400), "{after:?}");
        // A second after the last attempt, whenever before `end` that was.
        let end = end + MIN_DELAY_UNSTABLE;
        redial.kick(end);
        redial.kick(end + Duration::from_millis(100));
        assert!(redial.poll_dial(end + Duration::from_millis(100)).is_some());
        redial.handle_failed(PEER, end + Duration::from_millis(100));
        redial.kick(end + Duration::from_millis(200));
        assert!(redial.poll_timeout().unwrap() >= end + Duration::from_secs(1), "changes come in bursts");
    }

    #[test]
    fn an_attempt_that_was_under_way_at_a_network_change_is_repeated_at_once() {
        let mut redial = redial(1);
        attempts(&mut redial, at(86_400.0));
        let now = redial.poll_timeout().unwrap();
        assert!(redial.poll_dial(now).is_some());
        redial.kick(now);
        assert_eq!(redial.poll_dial(now), None);
        let failed = now + Duration::from_secs(5);
        assert_eq!(redial.handle_failed(PEER, failed), Some(Duration::ZERO));
        assert!(redial.poll_dial(failed).is_some());
    }

    #[test]
    fn a_kick_leaves_peerings_that_are_up_alone() {
        let mut redial = redial(1);
        assert!(redial.poll_dial(Instant::ZERO).is_some());
        redial.handle_up(PEER, Instant::ZERO);
        redial.kick(at(10.0));
        assert_eq!((redial.poll_dial(at(10.0)), redial.poll_timeout()), (None, None));
    }

    #[test]
    fn a_peer_that_is_removed_is_forgotten() {
        let mut redial = redial(1);
        assert!(redial.poll_dial(Instant::ZERO).is_some());
        redial.remove(PEER);
        assert_eq!(redial.handle_failed(PEER, at(1.0)), None);
        redial.handle_up(PEER, at(1.0));
        assert_eq!((redial.handle_down(PEER, at(2.0)), redial.poll_timeout()), (None, None));
    }

    proptest! {
        #[test]
        fn whatever_happens_one_attempt_is_under_way_at_most_and_waits_stay_in_bounds(
            seed in any::<u8>(), max_seconds in 1u64..600, steps in prop::collection::vec((0u8..6, 0u64..20_000), 1..300),
        ) {
            let mut redial = Redial::new(Rng::new([seed; 32]));
            let max = Duration::from_secs(max_seconds);
            redial.add(PEER, max, Instant::ZERO);
            let (mut now, mut dialling, mut up, mut began) = (Instant::ZERO, false, false, Vec::new());
            for (step, pause) in steps {
                now = now + Duration::from_millis(pause);
                let delay = match step {
                    0 | 1 => {
                        if redial.poll_dial(now).is_some() {
                            prop_assert!(!dialling && !up);
                            dialling = true;
                            began.push(now);
                        }
                        None
                    }
                    2 => redial.handle_failed(PEER, now).inspect(|_| dialling = false),
                    3 => redial.handle_down(PEER, now).inspect(|_| up = false),
                    4 if dialling => {
                        redial.handle_up(PEER, now);
                        (dialling, up) = (false, true);
                        None
                    }
                    _ => {
                        redial.kick(now);
                        None
                    }
                };
                if let Some(delay) = delay {
                    prop_assert!(delay <= max.max(MIN_DELAY_UNSTABLE) * 6 / 5);
                }
                prop_assert_eq!(redial.poll_timeout().is_some(), !dialling && !up);
            }
            // The first waits are short, six together are not; changes of the network leave a second between attempts.
            prop_assert!(began.windows(2).all(|pair| pair[1] >= pair[0] + FIRST_DELAY * 4 / 5));
            prop_assert!(began.windows(7).all(|some| some[6] >= some[0] + Duration::from_millis(300)));
        }
    }
}
