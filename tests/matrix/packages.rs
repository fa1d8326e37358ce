//! Programs for Node with packages of npm: copied to a directory under `target` that then has the packages too.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the copy of this program that runs in a sandbox: by then everything is there.
const INSIDE: &str = "PINECONE_LAB_INSIDE";

/// Where the programs of `tests/matrix/NAME` run.
pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Copies these files of `tests/matrix/NAME` and installs what their `package.json` names, unless it is there.
pub(crate) fn install(name: &str, files: &[&str]) {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    std::fs::create_dir_all(directory(name)).unwrap();
    for file in files {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix").join(name).join(file);
        std::fs::copy(source, directory(name).join(file)).unwrap();
    }
    run(name, "npm", &["install", "--no-audit", "--no-fund", "--prefer-offline"]);
}

/// Runs a program there, which must succeed.
pub(crate) fn run(name: &str, program: &str, arguments: &[&str]) {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let done = Command::new(program).args(arguments).current_dir(directory(name)).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: cannot start: {error}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
