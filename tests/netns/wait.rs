//! Waiting on conditions with a deadline. The only place that sleeps, and never longer than a condition needs.

use std::time::{Duration, Instant};

/// How often a condition is looked at. Short against every deadline in these tests, long against what a look costs.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `attempt` until it returns something, or fails the test after `deadline`.
pub(crate) fn eventually<T>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {:.1} s in vain until {what}", start.elapsed().as_secs_f64());
        std::thread::sleep(INTERVAL);
    }
}

/// Waits until `condition` holds, or fails the test after `deadline`.
pub(crate) fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    eventually(what, deadline, || condition().then_some(()));
}

/// Whole seconds, for short call sites.
pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
