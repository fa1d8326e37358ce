//! What is known about a neighbour: where it was heard, how dialling it went.

use std::net::{SocketAddr, SocketAddrV6};

use super::beacon::Family;
use crate::time::{Duration, Instant};

/// A neighbour that was not heard for this long is not dialled: it misses three slow beacons.
const FRESH: Duration = Duration::from_secs(30);
/// A neighbour that was not heard for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// First wait after a failed dial; doubles up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A key that was heard on an interface.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
    pub(super) heard: Instant,
    pub(super) failures: u32,
    /// The family of the last dial.
    pub(super) tried: Option<Family>,
    /// Not to be dialled before.
    pub(super) not_before: Instant,
    /// When it will be dialled: its entry in `due`.
    pub(super) due: Option<Instant>,
}

impl Neighbour {
    pub(super) fn heard_at(now: Instant) -> Self {
        Self { v4: None, v6: None, heard: now, failures: 0, tried: None, not_before: now, due: None }
    }

    /// A beacon came. What another host says about a neighbour's address counts only once the known one has failed.
    pub(super) fn hear(&mut self, from: SocketAddr, port: u16, interface: u32, now: Instant) {
        let (slot, address) = match from {
            SocketAddr::V4(address) => (&mut self.v4, SocketAddr::from((*address.ip(), port))),
            SocketAddr::V6(address) => (&mut self.v6, SocketAddrV6::new(*address.ip(), port, 0, interface).into()),
        };
        if self.failures > 0 || slot.is_none_or(|known| known.ip() == address.ip()) {
            *slot = Some(address);
        }
        self.heard = now;
    }

    pub(super) fn is_at(&self, from: SocketAddr) -> bool {
        [self.v4, self.v6].into_iter().flatten().any(|address| address.ip() == from.ip())
    }

    /// Where to dial: link-local IPv6 survives a change of addresses; after a failure it is the other family's turn.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        if self.failures > 0 && self.tried == Some(Family::V6) { self.v4.or(self.v6) } else { self.v6.or(self.v4) }
    }

    /// Whether it is worth dialling.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        !self.heard.has_passed(FRESH, now)
    }

    /// Whether it went away long ago.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        self.heard.has_passed(FORGOTTEN, now)
    }

    /// Counts a failure; returns how long to wait, before jitter.
    pub(super) fn fail(&mut self) -> Duration {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(8)).min(LONGEST_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        backoff
    }
}
