//! Networks with little to do: how long one small packet takes, and how soon the first one gets through at all.

use std::time::Duration;

use super::Settings;
use crate::bed::Bed;
use crate::overlay::Overlay;
use crate::peers::Peer;
use crate::readings::{Reading, Unit};
use crate::tools::ping;
use crate::wait::seconds;

/// Peers need up to three seconds; what needs more than this does not start.
const START_DEADLINE: Duration = seconds(10);
/// Between pings: how exactly the time of the first answer is known.
const PING_INTERVAL: Duration = Duration::from_millis(5);

/// Round-trip times between two hosts.
pub(crate) fn idle(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.underlay_cc);
    let overlay = Overlay::start(peer, &bed);
    let count = if settings.seconds < 2 { 100 } else { 500 };
    ping(bed.first(), overlay.target(), count, Duration::from_millis(5)).readings("ping")
}

/// From the start of both processes, side by side, with keys and configurations that exist already, to the first answered ping.
pub(crate) fn start(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.underlay_cc);
    let mut overlay = Overlay::spawn(peer, &bed);
    let time = overlay.wait_ready(&bed, PING_INTERVAL, START_DEADLINE);
    vec![Reading::new("first ping answered", Unit::Milliseconds, time.as_secs_f64() * 1e3)]
}
