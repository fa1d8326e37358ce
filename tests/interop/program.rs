//! Builds the Go programs, each once for all tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set for the copy of this program that runs in a sandbox: by then the Go programs are built.
const INSIDE: &str = "PINECONE_LAB_INSIDE";

/// Whether there is a Go node to run. If not, says so, or fails if `CI` is `true`.
pub(crate) fn is_there(test: &str) -> bool {
    or_skip(test, node())
}

/// Where it is.
pub(crate) fn path() -> &'static Path {
    or_panic(node())
}

/// The same for Dendrite's Pinecone demo.
pub(crate) fn dendrite_is_there(test: &str) -> bool {
    or_skip(test, dendrite())
}

/// Where that is.
pub(crate) fn dendrite_path() -> &'static Path {
    or_panic(dendrite())
}

/// Dendrite itself and its tools. Whether they are there, as [`is_there`] says it.
pub(crate) fn homeserver_is_there(test: &str) -> bool {
    HOMESERVER.into_iter().all(|name| or_skip(test, homeserver(name)))
}

/// Where one of them is.
pub(crate) fn homeserver_path(name: &str) -> &'static Path {
    or_panic(homeserver(name))
}

const HOMESERVER: [&str; 3] = ["dendrite", "generate-config", "generate-keys"];

fn homeserver(name: &str) -> &'static Result<PathBuf, String> {
    static PROGRAMS: [OnceLock<Result<PathBuf, String>>; 3] = [const { OnceLock::new() }; 3];
    let at = HOMESERVER.iter().position(|known| *known == name).expect("one of them");
    PROGRAMS[at].get_or_init(|| build(name, "dendrite", &format!("github.com/matrix-org/dendrite/cmd/{name}")))
}

fn node() -> &'static Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| build("reference_node", "go", "."))
}

fn dendrite() -> &'static Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM
        .get_or_init(|| build("dendrite_demo", "dendrite", "github.com/matrix-org/dendrite/cmd/dendrite-demo-pinecone"))
}

fn or_skip(test: &str, program: &Result<PathBuf, String>) -> bool {
    let Err(reason) = program else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot be skipped in CI: {reason}");
    // Not eprintln!, which libtest swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

fn or_panic(program: &'static Result<PathBuf, String>) -> &'static Path {
    match program {
        Ok(program) => program,
        Err(reason) => panic!("{reason}"),
    }
}

/// Builds `package` in the Go module `module` of this directory.
fn build(name: &str, module: &str, package: &str) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if std::env::var_os(INSIDE).is_some() {
        return Ok(program);
    }
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(package);
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(module));
    let output = go.output().map_err(|error| format!("cannot run go: {error}"))?;
    if !output.status.success() {
        return Err(format!("go build: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(program)
}
