//! Networks with nothing to do.

use std::time::Duration;

use super::Settings;
use crate::bed::Bed;
use crate::overlay::Overlay;
use crate::peers::Peer;
use crate::readings::{Reading, Unit};
use crate::stats::{median, percentile};
use crate::tools::ping;

/// Round-trip times between two hosts.
pub(crate) fn idle(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.congestion_control);
    let overlay = Overlay::start(peer, &bed);
    let count = if settings.seconds < 2 { 100 } else { 500 };
    let times = ping(bed.first(), overlay.target(), count, Duration::from_millis(5));
    let readings = [("ping, median", median(&times)), ("ping, p99", percentile(&times, 99.0))];
    readings.into_iter().filter_map(|(what, ms)| Some(Reading::new(what, Unit::Milliseconds, ms?))).collect()
}
