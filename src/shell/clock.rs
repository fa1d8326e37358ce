//! The only reader of the clocks and of the operating system's randomness.
//!
//! The core is told the time ([`Instant`], from the boot-time clock: time asleep counts) and a seed. Deadlines go the other
//! way: [`Clock::timer_at`] turns a core deadline into one of the runtime's timers. Those run on a clock that stands still
//! while the machine sleeps, so whoever waits on one for long must look at the clock again from time to time; the core loop
//! does ([`MAX_WAIT`]), and [`Clock::slept`] tells it when that was because of a sleep.

#![allow(clippy::disallowed_methods, reason = "this is the one place that may read the clocks")]

use nix::libc;
use nix::time::{ClockId, clock_gettime};

use crate::time::{Duration, Instant, UnixMillis};

/// The longest that the core waits on a runtime timer before looking at the clock again: after waking from sleep, deadlines are
/// noticed at most this late. One second costs nothing (the router has something to do every second anyway).
pub const MAX_WAIT: Duration = Duration::from_secs(1);

/// Further away than any deadline, and not too far for the runtime to add.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Sleeps shorter than this go unnoticed by every protocol here (a peering is declared silent after 5 s).
const NOTICEABLE_SLEEP: Duration = Duration::from_secs(4);

/// Reads the clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// When set, time is the runtime's since then: tests pause and advance that.
    #[cfg(test)]
    runtime: Option<tokio::time::Instant>,
    /// When set, how long the machine was asleep since boot, in seconds: tests put it to sleep.
    #[cfg(test)]
    asleep: Option<&'static std::sync::atomic::AtomicU64>,
}

impl Clock {
    /// A clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that follows the runtime's own, which may be paused.
    #[cfg(test)]
    pub(crate) fn of_runtime() -> Self {
        Self { runtime: Some(tokio::time::Instant::now()), asleep: None }
    }

    /// The same, on a machine that was asleep for so many seconds.
    #[cfg(test)]
    pub(crate) fn of_a_machine_that_sleeps(asleep: &'static std::sync::atomic::AtomicU64) -> Self {
        Self { asleep: Some(asleep), ..Self::of_runtime() }
    }

    /// Time since boot, with the time asleep.
    pub fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(start) = self.runtime {
            return Instant::ZERO + Duration::from_secs(1) + start.elapsed();
        }
        read(ClockId::CLOCK_BOOTTIME)
    }

    /// The clock that the service manager goes by, which stands still while the machine sleeps.
    pub(crate) fn monotonic(&self) -> Duration {
        read(ClockId::CLOCK_MONOTONIC).saturating_since(Instant::ZERO)
    }

    /// The wall clock. Read once, at start: see [`UnixClock`](crate::time::UnixClock).
    pub fn unix_now(&self) -> UnixMillis {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// What the kernel says of the wall clock: whether something (an NTP client, a hypervisor) keeps it right. `None` where it may not be asked,
    /// as in some containers. Asks nobody on the network.
    pub fn discipline(&self) -> Option<Discipline> {
        // SAFETY: it consists of numbers only, for which zero is a value; with all `modes` zero the call below changes nothing.
        #[allow(unsafe_code)]
        let mut state: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes to the one structure that it is given, which is borrowed for the call alone.
        #[allow(unsafe_code)]
        let result = unsafe { libc::adjtimex(&raw mut state) };
        if result < 0 {
            return None;
        }
        Some(if result == libc::TIME_ERROR || state.status & libc::STA_UNSYNC != 0 {
            Discipline::Free
        } else {
            Discipline::Kept { max_error: Duration::from_micros(u64::try_from(state.maxerror).unwrap_or(0)) }
        })
    }

    /// The runtime timer's reading at which `deadline` is due, if the machine does not sleep until then.
    pub fn timer_at(&self, deadline: Instant) -> tokio::time::Instant {
        tokio::time::Instant::now() + deadline.saturating_since(self.now()).min(FAR)
    }

    /// Starts watching for the machine's sleep.
    pub fn slept(&self) -> SleepWatch {
        SleepWatch { asleep: self.asleep_since_boot(), clock: *self }
    }

    /// The boot-time clock runs on during sleep, the monotonic one does not.
    fn asleep_since_boot(&self) -> Duration {
        #[cfg(test)]
        if let Some(asleep) = self.asleep {
            return Duration::from_secs(asleep.load(std::sync::atomic::Ordering::Relaxed));
        }
        read(ClockId::CLOCK_BOOTTIME).saturating_since(read(ClockId::CLOCK_MONOTONIC))
    }
}

/// Whether the wall clock is kept right (adjtimex(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// By somebody, and it is off by this at most.
    Kept {
        /// What the kernel takes for the largest error; it grows by 0.5 ms per second while nobody corrects the clock, and at 16 s it is free.
        max_error: Duration,
    },
    /// By nobody: it drifts.
    Free,
}

/// Notices that the machine was asleep.
#[derive(Debug)]
pub struct SleepWatch {
    asleep: Duration,
    clock: Clock,
}

impl SleepWatch {
    /// How long the machine slept since the last call, if it was long enough to matter.
    pub fn check(&mut self) -> Option<Duration> {
        let before = std::mem::replace(&mut self.asleep, self.clock.asleep_since_boot());
        Some(self.asleep.saturating_sub(before)).filter(|span| *span >= NOTICEABLE_SLEEP)
    }
}

/// 32 bytes from the operating system. Waits, early after boot, until the kernel has enough of them.
///
/// # Errors
/// The kernel has no randomness to give: nothing that needs a key can go on.
pub fn random_seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
    Ok(seed)
}

fn read(clock: ClockId) -> Instant {
    // Fails only for clocks that the kernel does not have; both are older than anything else we need.
    let Ok(time) = clock_gettime(clock) else { return Instant::ZERO };
    let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_advances_with_the_runtime_s_timers() {
        let clock = Clock::new();
        let (before, timer) = (clock.now(), tokio::time::Instant::now());
        while timer.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let span = clock.now().saturating_since(before);
        assert!(span >= Duration::from_millis(5) && span < Duration::from_secs(60), "{span:?}");
    }

    #[test]
    fn a_deadline_becomes_a_timer_and_a_passed_one_is_due_at_once() {
        let clock = Clock::new();
        let timer = clock.timer_at(clock.now() + Duration::from_secs(5));
        let left = timer.saturating_duration_since(tokio::time::Instant::now());
        assert!(left > Duration::from_secs(4) && left <= Duration::from_secs(5), "{left:?}");
        assert!(clock.timer_at(Instant::ZERO) <= tokio::time::Instant::now());
        assert!(clock.timer_at(Instant::from_micros(u64::MAX)) > tokio::time::Instant::now());
    }

    #[test]
    fn the_kernel_tells_whether_the_wall_clock_is_kept_and_how_well() {
        match Clock::new().discipline() {
            Some(Discipline::Kept { max_error }) => assert!(max_error < Duration::from_secs(16), "{max_error:?}"),
            Some(Discipline::Free) => {}
            None => panic!("adjtimex does not answer"),
        }
    }

    #[test]
    fn a_machine_that_is_awake_has_not_slept() {
        let mut watch = Clock::new().slept();
        assert_eq!(watch.check(), None);
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(random_seed().unwrap(), random_seed().unwrap());
    }
}
