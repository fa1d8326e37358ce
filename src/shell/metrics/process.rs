//! What the operating system knows of this process, for the metrics that every Prometheus exporter has.

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::metrics::Process;

/// Looks. Where /proc cannot be read, what stands there is left out.
pub(crate) fn look() -> Process {
    Process { resident_bytes: resident_bytes(), cpu_seconds: cpu_seconds(), open_fds: open_fds() }
}

/// proc(5), `/proc/pid/statm`: the second number is resident pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    pages.checked_mul(page)
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn open_fds() -> Option<u64> {
    // One of them is the directory itself.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    u64::try_from(count).ok()
}
