//! Builds the Go node, once for all tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set for the copy of this program that runs in a sandbox: by then the Go node is built.
const INSIDE: &str = "PINECONE_LAB_INSIDE";

/// Whether there is a Go node to run. If not, says so, or fails if `CI` is `true`.
pub(crate) fn is_there(test: &str) -> bool {
    let Err(reason) = built() else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot be skipped in CI: {reason}");
    // Not eprintln!, which libtest swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// Where it is.
pub(crate) fn path() -> &'static Path {
    match built() {
        Ok(program) => program,
        Err(reason) => panic!("{reason}"),
    }
}

fn built() -> &'static Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference_node");
        if std::env::var_os(INSIDE).is_none() {
            build(&program)?;
        }
        Ok(program)
    })
}

fn build(program: &Path) -> Result<(), String> {
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-o"]).arg(program).arg(".");
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go"));
    let output = go.output().map_err(|error| format!("cannot run go: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("go build: {}", String::from_utf8_lossy(&output.stderr))) }
}
