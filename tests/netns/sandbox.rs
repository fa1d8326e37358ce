//! Where a test runs: a copy of this test binary in namespaces of its own.
//!
//! [`in_lab`] starts the test again, alone, under `unshare`: new mount, network and process namespaces, and a new user namespace
//! if we are not root. Inside, everything has fixed names, because nobody else is there; and when the copy ends, in whatever
//! way, the kernel kills what it started and removes the namespaces, interfaces and files (all on a tmpfs) with it.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::lab::Lab;
use crate::wait::{eventually, seconds};

/// Set inside the sandbox, to the name of the test that runs there.
const INSIDE: &str = "PINECONE_LAB_INSIDE";
/// Printed by the copy when the test ran to its end: guards against a name that matches no test, which would look like success.
const DONE: &str = "the lab is done";
/// No test takes a quarter of this on two busy cores; one that does hangs.
const TEST_DEADLINE: Duration = seconds(150);
/// What every test needs. `mount` and `unshare` belong to util-linux, `ip` to iproute2.
const PROGRAMS: &[&str] = &["ip", "mount", "unshare", "nft", "ping"];

/// Runs `test` in a sandbox that has `programs` besides the usual ones. Where that is impossible the test is skipped, which
/// standard error says (uncaptured), and which is a failure if `CI` is `true`.
pub(crate) fn in_lab<F: FnOnce(&Lab)>(programs: &[&str], test: F) {
    in_lab_for(TEST_DEADLINE, programs, test);
}

/// As [`in_lab`], for a test that may take until `deadline`.
pub(crate) fn in_lab_for<F: FnOnce(&Lab)>(deadline: Duration, programs: &[&str], test: F) {
    let name = test_name::<F>();
    if std::env::var(INSIDE).as_deref() == Ok(name.as_str()) {
        prepare();
        let lab = Lab::new();
        test(&lab);
        lab.finish();
        println!("{DONE}");
        return;
    }
    let missing: Vec<_> = PROGRAMS.iter().chain(programs).copied().filter(|program| !is_installed(program)).collect();
    if !missing.is_empty() {
        return skip(&name, &format!("not installed: {}", missing.join(", ")));
    }
    match way_in() {
        Ok(unshare) => run_inside(&name, unshare, deadline),
        Err(reason) => skip(&name, reason),
    }
}

/// Whether we are mapped to root without being it: device nodes cannot be made, other user ids do not exist.
pub(crate) fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    // The initial namespace maps all 2^32 - 1 user ids.
    map.split_whitespace().nth(2) != Some("4294967295")
}

/// The path libtest knows the test by. The closure's type is named after the function around it.
fn test_name<F>() -> String {
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").expect("a test is in this crate").1.to_owned()
}

/// Runs the test named `name` in a copy of this program and fails if it fails.
fn run_inside(name: &str, unshare: &[&str], deadline: Duration) {
    let mut output = tempfile::tempfile().expect("a temporary file for the output");
    let mut child = Command::new("unshare")
        .args(unshare)
        .arg(std::env::current_exe().expect("our own path"))
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .env("PATH", std::env::join_paths(search_path()).expect("it was a path before"))
        // Never written to: its end tells the copy that we are gone.
        .stdin(Stdio::piped())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output.try_clone().expect("a third handle"))
        .spawn()
        .expect("unshare starts");
    let started = std::time::Instant::now();
    let status = eventually("the test in its sandbox ends", deadline + seconds(10), || {
        if started.elapsed() > deadline {
            // Takes the whole process namespace with it (--kill-child).
            let _ = child.kill();
        }
        child.try_wait().expect("our own child")
    });
    let mut text = String::new();
    output.rewind().expect("a file can be read again");
    let _ = output.read_to_string(&mut text);
    print!("{text}");
    assert!(status.success(), "{name} failed in its sandbox ({status}); what it said is above");
    assert!(text.contains(DONE), "{name} did not run in its sandbox");
}

/// The arguments of `unshare` that work for us, or why none does.
fn way_in() -> Result<&'static [&'static str], &'static String> {
    const ROOT: &[&str] = &["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const USER: &[&str] =
        &["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    static WAY: OnceLock<Result<&[&str], String>> = OnceLock::new();
    WAY.get_or_init(|| {
        let works = |arguments: &[&str]| Command::new("unshare").args(arguments).arg("true").output();
        let way = [ROOT, USER].into_iter().find(|way| works(way).is_ok_and(|output| output.status.success()));
        let Some(way) = way else {
            return Err("neither root nor user namespaces are available here (see docs/testing.md)".to_owned());
        };
        match std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
            Ok(_) => Ok(way),
            Err(error) => {
                Err(format!("cannot open /dev/net/tun ({error}): run as root, or allow it (see docs/testing.md)"))
            }
        }
    })
    .as_ref()
    .copied()
}

fn skip(name: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} cannot be skipped in CI: {reason}");
    // Not eprintln!, which libtest swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
}

/// Whether a program of this name is where programs are.
pub(crate) fn is_installed(program: &str) -> bool {
    search_path().iter().any(|directory| directory.join(program).is_file())
}

/// Where programs are. Administration tools are in sbin, which is not on everybody's path.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from)).collect()
}

/// Makes the sandbox ours: a private /run, and an end when whoever started us ends.
pub(crate) fn prepare() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(101);
    });
    mount_tmpfs(Path::new("/run"));
    std::fs::create_dir("/run/netns").expect("/run is a fresh tmpfs");
}

/// Covers `directory` with an empty tmpfs; seen only by this sandbox.
pub(crate) fn mount_tmpfs(directory: &Path) {
    let done = Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "lab"]).arg(directory).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot mount a tmpfs over {}", directory.display());
}
