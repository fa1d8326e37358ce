//! Who of those that connect to us gets a place: limits per source and in all, and how fast places are given.
//!
//! A connection costs a task and buffers, and its hello a signature check, before we know who is there. So a source that floods us must
//! cost no more than the few connections that it may have, and others must still get in meanwhile:
//!
//! - per source: peerings, connections without a hello, and new connections per second;
//! - in all: the same three. A part of the places and the rate is for sources that had a peering for a while already, so that a flood from
//!   very many addresses keeps strangers waiting but not the peers that are used to us;
//! - when all places of strangers without a hello are taken, the oldest of the source that has the most of them makes room, once it had
//!   a fair time to say who it is.
//!
//! Whoever is refused is counted by reason ([`Refusal`]); the log gets one line per reason and minute.

mod allowed;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

pub use allowed::{AllowedKeys, Direction, KeyList};

use crate::bounded::{BoundedMap, TokenBucket};
use crate::router::MAX_PORT;
use crate::time::{Duration, Instant};

/// Most inbound peerings that can be configured: hubs have thousands. The other ports stay for peers and neighbours that we dial.
pub const MAX_INBOUND: usize = MAX_PORT as usize - 511;
/// Inbound peerings of one source unless configured otherwise: more than a household or a small village behind one address has.
pub const DEFAULT_PER_SOURCE: usize = 64;
/// Inbound connections without a hello, at a time. Each costs a socket and buffers of 16 KiB (WebSocket: 48 KiB) for at most 10 s.
pub const MAX_PENDING: usize = 64;
/// How many of them strangers can have.
pub const MAX_PENDING_STRANGERS: usize = 48;
/// How many of them one source can have: nodes behind one NAT hardly ever all connect within one second.
pub const MAX_PENDING_PER_SOURCE: usize = 8;
/// New connections per second from one source, and at once after a pause.
const RATE_PER_SOURCE: u32 = 10;
const BURST_PER_SOURCE: u32 = 32;
/// The same of all strangers together, and once more of all others. A hub that restarts has all its peers back within half a minute.
const RATE: u32 = 200;
const BURST: u32 = 400;
/// Sources whose rate is remembered. One that is forgotten may start over, within the limits for all.
const MAX_SOURCES: usize = 4_096;
/// A source is no stranger once it had a peering for this long.
const KNOWN_AFTER: Duration = Duration::from_secs(30);
/// This part of all places is for known sources.
const KEPT_FOR_KNOWN: usize = 8;
/// The time to say hello that nobody is denied: three round trips through a chain of slow proxies.
const GRACE: Duration = Duration::from_secs(3);
/// Between two lines of the log about one reason.
const LOG_EVERY: Duration = Duration::from_secs(60);

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $text:literal;)*) => {
        /// Why somebody was turned away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
        pub enum Refusal { $($(#[$doc])* #[error($text)] $name,)* }

        impl Refusal {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The label of the counter: lower case, words joined by `_`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

refusals! {
    /// All places for inbound peerings are taken.
    Full = "too_many_peerings", "there are as many inbound peerings as peering.max_inbound allows";
    /// All places of this source are taken.
    SourceFull = "too_many_from_source",
        "this source has as many peerings as peering.max_inbound_per_source allows; raise that if many nodes share the address";
    /// The source connects too often.
    SourceTooFast = "too_fast_from_source", "this source connects more often than any node does";
    /// Everybody together connects too often.
    TooFast = "too_fast", "more connections come in per second than are looked at";
    /// The source has too many connections that said nothing yet.
    SourcePending = "too_many_unfinished_from_source", "this source has too many connections that have not said who they are";
    /// There are too many connections that said nothing yet.
    Pending = "too_many_unfinished", "there are too many connections that have not said who they are";
    /// One of these had to make room for a newer one.
    MadeRoom = "made_room", "it had not said who it is when its place was needed";
    /// It dialled us, and its key is not one of those that may.
    KeyInbound = "key_not_allowed_inbound", "its key is not in peering.allowed_keys.inbound; add it there to let it in";
    /// We dialled it, and its key is not one of those that we wanted.
    KeyOutbound = "key_not_allowed_outbound",
        "its key is not in peering.allowed_keys.outbound; add it there, or to the peer's URI as ?key=";
    /// A neighbour whose key is not one of those that may.
    KeyLan = "key_not_allowed_lan", "its key is not in peering.allowed_keys.lan; add it there to have this neighbour";
    /// Somebody who cannot prove a key that its owner has proven before.
    Claimed = "key_only_claimed", "the owner of its key has proven it before, and it did not";
    /// It does not know the password of the listener, or of the LAN.
    Password = "wrong_password",
        "it has another ?password= than this listener or network, or none; give both sides the same";
    /// The peer's key is not proven.
    Unproven = "key_not_proven", "its link does not prove its key, and peering.require_authenticated is set";
}

/// What can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inbound peerings in all.
    pub inbound: usize,
    /// Inbound peerings of one source.
    pub per_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inbound: MAX_INBOUND, per_source: DEFAULT_PER_SOURCE }
    }
}

/// A connection that has a place.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: IpAddr,
    since: Instant,
    stranger: bool,
    up: bool,
}

/// Who has a place, and who may have the next one. Connections have the caller's numbers.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    places: BTreeMap<u64, Place>,
    /// Places by source.
    by_source: BTreeMap<IpAddr, usize>,
    /// Connections without a hello: few, so that looking at all of them is nothing.
    pending: BTreeMap<u64, IpAddr>,
    rates: BoundedMap<IpAddr, TokenBucket>,
    /// Since when a source has, or had, a peering.
    known: BoundedMap<IpAddr, Instant>,
    strangers: TokenBucket,
    others: TokenBucket,
    refusals: [Tally; Refusal::ALL.len()],
}

/// What was refused for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    count: u64,
    /// The count when the log was told last, and when that was.
    logged: Option<(u64, Instant)>,
}

impl Admission {
    /// All places free.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            places: BTreeMap::new(),
            by_source: BTreeMap::new(),
            pending: BTreeMap::new(),
            rates: BoundedMap::new(MAX_SOURCES),
            known: BoundedMap::new(MAX_SOURCES),
            strangers: TokenBucket::new(RATE, BURST, now),
            others: TokenBucket::new(RATE, BURST, now),
            refusals: [Tally::default(); Refusal::ALL.len()],
        }
    }

    /// Other limits for those that come from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A connection came in. It has a place from now on until [`Admission::ended`]; if that of another connection is returned, that one
    /// has to be closed for it.
    ///
    /// # Errors
    /// Why it gets none. It is not counted yet: see [`Admission::refuse`].
    pub fn admit(&mut self, id: u64, from: IpAddr, now: Instant) -> Result<Option<u64>, Refusal> {
        let source = source(from);
        let stranger = !self.known.get(&source).is_some_and(|since| since.has_passed(KNOWN_AFTER, now));
        let kept = if stranger { self.limits.inbound / KEPT_FOR_KNOWN } else { 0 };
        if self.places.len() + kept >= self.limits.inbound {
            return Err(Refusal::Full);
        }
        if self.by_source.get(&source).is_some_and(|places| *places >= self.limits.per_source) {
            return Err(Refusal::SourceFull);
        }
        let of_source = self.pending.values().filter(|other| **other == source).count();
        if of_source >= MAX_PENDING_PER_SOURCE {
            return Err(Refusal::SourcePending);
        }
        let strangers = self.pending.keys().filter(|id| self.places.get(id).is_some_and(|it| it.stranger)).count();
        let is_full = self.pending.len() >= MAX_PENDING || (stranger && strangers >= MAX_PENDING_STRANGERS);
        let yields = if is_full { Some(self.who_makes_room(now).ok_or(Refusal::Pending)?) } else { None };
        self.take_rate(source, stranger, now)?;
        self.places.insert(id, Place { source, since: now, stranger, up: false });
        *self.by_source.entry(source).or_default() += 1;
        self.pending.insert(id, source);
        Ok(yields)
    }

    /// The other side said who it is, and may stay.
    pub fn established(&mut self, id: u64, now: Instant) {
        let Some(place) = self.places.get_mut(&id) else { return };
        (place.up, place.since) = (true, now);
        self.pending.remove(&id);
        let source = place.source;
        if self.known.get(&source).is_none() {
            self.known.insert(source, now);
        }
        self.known.refresh(&source);
    }

    /// A connection is over. Nothing happens if it had no place.
    pub fn ended(&mut self, id: u64, now: Instant) {
        let Some(place) = self.places.remove(&id) else { return };
        self.pending.remove(&id);
        // Whoever stayed for long is not to be forgotten for those who came meanwhile.
        if place.up && place.since.has_passed(KNOWN_AFTER, now) {
            if self.known.get(&place.source).is_none() {
                self.known.insert(place.source, place.since);
            }
            self.known.refresh(&place.source);
        }
        let left = self.by_source.get_mut(&place.source).map_or(0, |places| {
            *places -= 1;
            *places
        });
        if left == 0 {
            self.by_source.remove(&place.source);
            // A peering that did not last makes nobody known.
            if self.known.get(&place.source).is_some_and(|since| !since.has_passed(KNOWN_AFTER, now)) {
                self.known.remove(&place.source);
            }
        }
    }

    /// Counts somebody who was turned away. Returns a line for the log now and then; `what` says who it was.
    pub fn refuse(&mut self, why: Refusal, what: impl std::fmt::Display, now: Instant) -> Option<String> {
        let tally = self.refusals.get_mut(why as usize)?;
        tally.count += 1;
        let before = match tally.logged {
            Some((_, at)) if !at.has_passed(LOG_EVERY, now) => return None,
            Some((count, _)) => count,
            None => 0,
        };
        let more = tally.count - before - 1;
        tally.logged = Some((tally.count, now));
        let more = if more == 0 { String::new() } else { format!(" ({more} more since the last line like this)") };
        Some(format!("turned {what} away: {why}{more}"))
    }

    /// How many were turned away, by reason; reasons that did not occur are left out.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.all_refusals().filter(|(_, count)| *count > 0)
    }

    /// The same with those that did not occur.
    pub fn all_refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().zip(&self.refusals).map(|(reason, tally)| (reason.label(), tally.count))
    }

    /// Takes what one connection costs from the rates. A source that is refused because all are too fast has used up its own as well.
    fn take_rate(&mut self, source: IpAddr, stranger: bool, now: Instant) -> Result<(), Refusal> {
        if self.rates.get(&source).is_none() {
            self.rates.insert(source, TokenBucket::new(RATE_PER_SOURCE, BURST_PER_SOURCE, now));
        }
        self.rates.refresh(&source);
        if !self.rates.get_mut(&source).is_some_and(|rate| rate.take(1, now)) {
            return Err(Refusal::SourceTooFast);
        }
        if (!stranger && self.others.take(1, now)) || self.strangers.take(1, now) {
            return Ok(());
        }
        Err(Refusal::TooFast)
    }

    /// The connection that has waited longest for a hello, of the source with the most such connections; none if it has not had its time.
    fn who_makes_room(&self, now: Instant) -> Option<u64> {
        let of_source = |source: &IpAddr| self.pending.values().filter(|other| *other == source).count();
        let strangers = self.pending.iter().filter_map(|(id, source)| {
            let place = self.places.get(id).filter(|place| place.stranger)?;
            Some((of_source(source), std::cmp::Reverse((place.since, *id))))
        });
        let waited = |id: &u64| self.places.get(id).is_some_and(|place| place.since.has_passed(GRACE, now));
        strangers.filter(|(_, oldest)| waited(&oldest.0.1)).max().map(|(_, oldest)| oldest.0.1)
    }
}

/// Who counts as one source of connections: an IPv4 address or an IPv6 /64, which is what one customer gets. On the local link
/// everybody shares one prefix, so there it is the address.
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

/// Somebody who connected, for the log.
pub fn connection_from(remote: impl std::fmt::Display) -> String {
    format!("a connection from {remote}")
}

#[cfg(test)]
mod tests;
