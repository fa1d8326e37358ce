//! What a process has used so far, from /proc.

use std::fs::read_to_string;

/// A process's resident memory, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) peak: f64,
    pub(crate) now: f64,
}

/// Processor seconds (user and system) of all threads of a process, living and dead.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/stat");
    let text = read_to_string(&path).unwrap_or_else(|error| panic!("a daemon is gone: {path}: {error}"));
    let ticks = crate::parse::cpu_ticks(&text).unwrap_or_else(|| panic!("{path}: {text}"));
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    ticks as f64 / per_second as f64
}

/// Peak and present resident memory of a process.
pub(crate) fn memory(pid: u32) -> Memory {
    let text = read_to_string(format!("/proc/{pid}/status")).expect("the daemon runs");
    let mib = |key| crate::parse::status_kib(&text, key).expect("every process has memory") as f64 / 1024.0;
    Memory { peak: mib("VmHWM"), now: mib("VmRSS") }
}
