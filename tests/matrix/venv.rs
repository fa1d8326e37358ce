//! Synapse's Python environment: made once under `target`, and again when `requirements.txt` changes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

/// What is installed, with exact versions.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Set for the copy of this program that runs in a sandbox: by then the environment is there.
const INSIDE: &str = "PINECONE_LAB_INSIDE";

/// Whether there is a Synapse to run. If not, says so, or fails if `CI` is `true`.
pub(crate) fn is_there(test: &str) -> bool {
    static MADE: OnceLock<Result<(), String>> = OnceLock::new();
    let Err(reason) = MADE.get_or_init(make) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot be skipped in CI: {reason}");
    // Not eprintln!, which libtest swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// One of its programs.
pub(crate) fn program(name: &str) -> PathBuf {
    directory().join("bin").join(name)
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("synapse")
}

fn make() -> Result<(), String> {
    let (directory, name) = (directory(), directory().join("requirements.txt"));
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    // Two test runs at a time: the second waits for the first.
    let lock = std::fs::File::create(directory.with_extension("lock")).map_err(|error| error.to_string())?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error.to_string())?;
    // Written last, so an environment that has it is whole.
    if std::fs::read_to_string(&name).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(&directory);
    run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    let wanted = directory.join("wanted.txt");
    std::fs::write(&wanted, REQUIREMENTS).map_err(|error| error.to_string())?;
    run(Command::new(program("pip")).args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    std::fs::rename(wanted, name).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: cannot start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
