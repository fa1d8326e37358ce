//! What is measured: each case builds its network, starts the peer on it, and takes readings. Everything is torn down at its end.

mod line;
mod rest;

use std::time::Duration;

use crate::peers::Peer;
use crate::readings::Reading;

/// What all cases are told.
pub(crate) struct Settings {
    /// Length of a transfer.
    pub(crate) seconds: u64,
    /// Of the peers' own TCP connections.
    pub(crate) congestion_control: String,
    /// How long to wait before a case is torn down.
    pub(crate) linger: Duration,
}

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&dyn Peer, &Settings) -> Vec<Reading>,
}

/// All cases, in the order in which they are measured and reported.
pub(crate) const CASES: &[Case] = &[
    Case { name: "pair", run: line::pair },
    Case { name: "relay", run: line::relay },
    Case { name: "idle", run: rest::idle },
];
