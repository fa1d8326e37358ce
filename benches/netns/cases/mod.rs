//! What is measured: each case builds its network, starts the peer on it, and takes readings. Everything is torn down at its end.

mod line;
mod packets;
mod quiet;
mod underlay;

use std::time::Duration;

use crate::peers::Peer;
use crate::readings::Reading;
use crate::tools::Tcp;

/// What all cases are told.
pub(crate) struct Settings {
    /// Length of a transfer.
    pub(crate) seconds: u64,
    /// Congestion control of the peers' own TCP connections.
    pub(crate) underlay_cc: String,
    /// Congestion control of TCP inside the overlay.
    pub(crate) overlay_cc: String,
    /// How long to wait before a case is torn down.
    pub(crate) linger: Duration,
}

impl Settings {
    /// A transfer of the usual length.
    fn tcp(&self, streams: u32, reverse: bool) -> Tcp<'_> {
        Tcp { seconds: self.seconds, streams, reverse, congestion_control: &self.overlay_cc }
    }
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
    Case { name: "mtu1500", run: packets::mtu1500 },
    Case { name: "udp200", run: packets::udp200 },
    Case { name: "loss", run: underlay::loss },
    Case { name: "rate", run: underlay::rate },
    Case { name: "idle", run: quiet::idle },
    Case { name: "start", run: quiet::start },
];
