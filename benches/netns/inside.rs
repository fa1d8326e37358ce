//! Where it all happens: this program again, under `unshare`, with mounts, networks and processes of its own.
//!
//! When the copy ends, in whatever way, the kernel ends every process in it and removes its namespaces, interfaces and files (all on a
//! tmpfs over /run); and it ends when this program does, because its standard input does. So an interrupt leaves nothing behind, and
//! nothing is ever done to the machine's own network.

use std::process::{Command, ExitCode, Stdio};

use crate::sandbox::{is_installed, search_path};

/// Set in the copy.
const INSIDE: &str = "PINECONE_BENCH_INSIDE";
/// Peers that could not be prepared, with the reasons, as `NAME: REASON` in lines.
const MISSING: &str = "PINECONE_BENCH_MISSING";
/// What every case needs.
const PROGRAMS: &[&str] = &["ip", "mount", "unshare", "nft", "tc", "ping", "iperf3"];
const UNSHARE: &[&str] = &["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Whether we are the copy.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The peers that are left out, as lines `NAME: REASON`.
pub(crate) fn missing_peers() -> Vec<String> {
    std::env::var(MISSING).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Runs this program again in the sandbox, with the same arguments.
pub(crate) fn run_again(missing: &[String]) -> ExitCode {
    let absent: Vec<_> = PROGRAMS.iter().copied().filter(|program| !is_installed(program)).collect();
    if !absent.is_empty() {
        eprintln!("netns: not installed: {}", absent.join(", "));
        return ExitCode::FAILURE;
    }
    let mut child = Command::new("unshare")
        .args(UNSHARE)
        .arg(std::env::current_exe().expect("our own path"))
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .env(MISSING, missing.join("\n"))
        .env("PATH", std::env::join_paths(search_path()).expect("it was a path before"))
        // Never written to: its end tells the copy that we are gone.
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    // Held until the copy has ended; `wait` would close it, and with it the copy.
    let stdin = child.stdin.take();
    let status = child.wait().expect("our own child");
    drop(stdin);
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
