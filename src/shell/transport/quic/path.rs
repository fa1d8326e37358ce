//! What a connection's congestion control sees of its path, kept where the window in front of it can read it.
//!
//! QUIC tells its user what was sent and lost, but not what is under way and what was acknowledged; so its congestion control is wrapped in one
//! that does as it does and takes notes.
//!
//! The congestion control itself is Cubic (RFC 9438), which is what the kernel's TCP uses: beside other connections it takes the share that they take.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// What goes out in one go with fewer bytes than this is taken for acknowledgements, which nobody acknowledges: they are never under way.
const ACKNOWLEDGEMENT: u64 = 200;

/// The notes. All values are in bytes.
#[derive(Debug, Default)]
pub(super) struct Path {
    acked: AtomicU64,
    in_flight: AtomicU64,
}

impl Path {
    /// Acknowledged since the connection began.
    pub(super) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Sent and neither acknowledged nor lost.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Makes congestion control that takes notes.
pub(super) struct Watched {
    path: Arc<Path>,
    of: Arc<CubicConfig>,
}

impl Watched {
    pub(super) fn new(path: &Arc<Path>) -> Self {
        Self { path: Arc::clone(path), of: Arc::default() }
    }
}

impl ControllerFactory for Watched {
    /// Called anew for every path that the connection takes.
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        self.path.in_flight.store(0, Ordering::Relaxed);
        Box::new(WatchedController { path: Arc::clone(&self.path), of: Arc::clone(&self.of).build(now, mtu) })
    }
}

struct WatchedController {
    path: Arc<Path>,
    of: Box<dyn Controller>,
}

impl WatchedController {
    fn left_flight(&self, bytes: u64) {
        // One thread writes.
        let in_flight = self.path.in_flight().saturating_sub(bytes);
        self.path.in_flight.store(in_flight, Ordering::Relaxed);
    }
}

impl Controller for WatchedController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        if bytes >= ACKNOWLEDGEMENT {
            self.path.in_flight.fetch_add(bytes, Ordering::Relaxed);
        }
        self.of.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.path.acked.fetch_add(bytes, Ordering::Relaxed);
        self.of.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.path.in_flight.store(in_flight, Ordering::Relaxed);
        self.of.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.left_flight(lost_bytes);
        self.of.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.of.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.of.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.of.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { path: Arc::clone(&self.path), of: self.of.clone_box() })
    }

    fn initial_window(&self) -> u64 {
        self.of.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_known_and_acknowledgements_are_not_counted() {
        let path = Arc::new(Path::default());
        let now = tokio::time::Instant::now().into_std();
        let mut controller = Arc::new(Watched::new(&path)).build(now, 1_200);
        controller.on_sent(now, 12_000, 9);
        controller.on_sent(now, 40, 10);
        assert_eq!((path.in_flight(), path.acked()), (12_000, 0));
        controller.on_end_acks(now, 7_200, false, Some(3));
        controller.on_sent(now, 1_200, 11);
        controller.on_congestion_event(now, now, false, 2_400);
        assert_eq!(path.in_flight(), 6_000);
        // A new path begins empty.
        let _ = Arc::new(Watched::new(&path)).build(now, 1_200);
        assert_eq!(path.in_flight(), 0);
    }
}
