//! The systemd units: what systemd itself thinks of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most exposure that the daemon's units may have, in tenths.
const MOST_EXPOSURE: u32 = 15;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn text(unit: &str) -> String {
    fs::read_to_string(units().join(unit)).unwrap()
}

/// The units in a directory of their own, with the programs that were built in the place of those that are installed.
fn installed() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for unit in ["pineconed.service", "pineconed@.service", "pineconed-wait-online.service"] {
        let text = text(unit)
            .replace("/usr/bin/pineconed", env!("CARGO_BIN_EXE_pineconed"))
            .replace("/usr/bin/pineconectl", env!("CARGO_BIN_EXE_pineconectl"));
        fs::write(directory.path().join(unit), text).unwrap();
    }
    directory
}

/// Runs `systemd-analyze`; none if there is none, which is a failure if `CI` is set.
fn analyze(arguments: &[&str]) -> Option<String> {
    let output = match Command::new("systemd-analyze").args(arguments).env("NO_COLOR", "1").output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "systemd-analyze: {error}");
            eprintln!("SKIPPED: systemd-analyze is not installed (Debian: apt install systemd)");
            return None;
        }
    };
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8(all).unwrap();
    assert!(output.status.success(), "{arguments:?}: {all}");
    Some(all)
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let directory = installed();
    let path = |unit: &str| directory.path().join(unit).to_str().unwrap().to_owned();
    let (one, two, three) =
        (path("pineconed.service"), path("pineconed@work.service"), path("pineconed-wait-online.service"));
    fs::rename(path("pineconed@.service"), &two).unwrap();
    let Some(said) = analyze(&["verify", "--man=no", &one, &two, &three]) else { return };
    // It also reads what else is installed on this host.
    let about_ours: Vec<&str> = said.lines().filter(|line| line.contains("pineconed")).collect();
    assert!(about_ours.is_empty(), "{about_ours:?}");
}

#[test]
fn the_units_leave_no_more_open_than_they_may() {
    let directory = installed();
    for unit in ["pineconed.service", "pineconed@.service"] {
        let path = directory.path().join(unit);
        let Some(said) = analyze(&["security", "--offline=true", "--no-pager", path.to_str().unwrap()]) else { return };
        let rating = said.lines().find_map(|line| line.split_once("Overall exposure level for")).unwrap().1;
        let number = rating.rsplit(": ").next().unwrap().split(' ').next().unwrap();
        let tenths: u32 = number.replace('.', "").parse().unwrap();
        println!("{unit}: {number}");
        assert!(tenths <= MOST_EXPOSURE, "{unit} has an exposure of {number}: {said}");
    }
}

#[test]
fn the_template_is_as_strict_as_the_unit() {
    let settings = |unit: &str| -> Vec<String> {
        let lines = text(unit);
        let lines = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let of_the_instance = ["Description=", "ExecStart=", "ExecReload=", "StateDirectory=", "RuntimeDirectory="];
        let lines = lines.filter(|line| !of_the_instance.iter().any(|key| line.starts_with(key)));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(settings("pineconed.service"), settings("pineconed@.service"));
}

#[test]
fn the_unit_binds_what_the_confined_daemon_reads() {
    let unit = text("pineconed.service");
    let bound: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("BindReadOnlyPaths="))
        .flat_map(|paths| paths.split(' '))
        .map(|path| path.trim_start_matches('-'))
        .collect();
    let source = fs::read_to_string(units().join("../src/shell/confine/files.rs")).unwrap();
    let list = source.split_once("const SYSTEM: &[&str] = &[").unwrap().1.split_once("];").unwrap().0;
    for path in
        list.split('"').skip(1).step_by(2).filter(|path| !path.starts_with("/proc") && !path.starts_with("/dev"))
    {
        assert!(bound.iter().any(|bound| path.starts_with(bound)), "{path} is not in the unit: {bound:?}");
    }
}
