//! Metrics from a running daemon, held against what promtool, the documentation, the alerts and the dashboard say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use common::daemon::{Daemon, eventually};
use pinecone::metrics::FAMILIES;

/// With its metrics on a socket.
fn start(more: &str) -> Daemon {
    Daemon::start(&format!("metrics.listen = 'unix://{{dir}}/metrics.sock'\n{more}"))
}

fn scrape(daemon: &Daemon, accept: &str) -> String {
    let mut stream = UnixStream::connect(daemon.path("metrics.sock")).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_owned()
}

fn ctl(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
    let output = command.args(arguments).args(["--socket", &daemon.path("control.sock")]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two daemons that are peers, and what the first has to say then.
fn scraped() -> (Daemon, Daemon, String) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("peers.sock").to_str().unwrap().to_owned();
    // Both have connected by the time the directory goes.
    let first = start(&format!(
        "peering.listen = ['unix://{socket}']\nfirewall.inbound = [{{ from = 'any', protocol = 'tcp', port = 22 }}]"
    ));
    let second = start(&format!("peering.listen = []\npeering.peers = ['unix://{socket}', 'tcp://127.0.0.1:1']"));
    let text = eventually(|| {
        let text = scrape(&second, "");
        if text.contains("pinecone_dialled_peers{state=\"connected\"} 1\n") { Ok(text) } else { Err(text) }
    });
    (first, second, text)
}

/// `name kind` of every family in a text.
fn families_in(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect()
}

fn in_repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Runs promtool with this input. `None` if it is not installed, which is a failure if `CI` is `true`.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let spawned = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "promtool cannot be skipped in CI: {error}");
            let _ =
                writeln!(std::io::stderr(), "SKIPPED promtool {arguments:?}: {error} (Debian: apt install prometheus)");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[test]
fn every_metric_is_exported_once_and_documented_with_its_type_and_labels() {
    let (_first, second, text) = scraped();
    let known: BTreeSet<String> =
        FAMILIES.iter().map(|family| format!("{} {}", family.name, family.kind.name())).collect();
    assert_eq!(known.len(), FAMILIES.len());
    assert_eq!(families_in(&text), known);
    assert_eq!(text.matches("# TYPE ").count(), known.len(), "each family has one place");

    let docs = in_repository("docs/metrics.md");
    let rows = docs.lines().filter(|line| line.starts_with("| `pinecone_") || line.starts_with("| `process_"));
    let documented: BTreeSet<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert!(cells.len() == 6 && !cells[4].is_empty(), "{row}");
            format!("{} {} {}", cells[1].replace('`', ""), cells[2], cells[3].replace('`', ""))
        })
        .collect();
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .map(|family| format!("{} {} {}", family.name, family.kind.name(), family.labels.join(", ")))
        .collect();
    assert_eq!(documented, known);

    // Without a listener, the same but for what only the process knows.
    let printed = families_in(&ctl(&second, &["metrics"]));
    let own: BTreeSet<String> = families_in(&text).into_iter().filter(|name| !name.starts_with("process_")).collect();
    assert_eq!(printed, own);
}

#[test]
fn the_numbers_are_those_of_the_daemon() {
    let (first, second, text) = scraped();
    let status: serde_json::Value = serde_json::from_str(&ctl(&second, &["status", "--json"])).unwrap();
    let peer: serde_json::Value = serde_json::from_str(&ctl(&first, &["status", "--json"])).unwrap();
    assert_eq!(status["peers"], 1);
    assert!(text.contains("pinecone_dialled_peers{state=\"waiting\"} 1\n"), "{text}");
    assert!(text.contains("pinecone_peerings{key=\"proven\"} 1\n"), "{text}");
    let key = peer["public_key"].as_str().unwrap();
    let info = format!("pinecone_peer_info{{peer=\"{key}\",port=\"1\",dialled_by=\"us\",key=\"proven\"}} 1\n");
    assert!(text.contains(&info), "{text}");
    for reason in pinecone::drops::DropReason::ALL {
        assert!(text.contains(&format!("pinecone_drops_total{{reason=\"{}\"}} ", reason.label())), "{reason:?}");
    }
    let rule = "pinecone_firewall_rule_packets_total{rule=\"1\",match=\"tcp 22 from any\"} 0\n";
    assert!(scrape(&first, "").contains(rule));
    assert!(scrape(&first, "application/openmetrics-text").ends_with("# EOF\n"));
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let (_first, _second, text) = scraped();
    if let Some((ok, said)) = promtool(&["check", "metrics"], &text) {
        assert!(ok && said.trim().is_empty(), "{said}\n{text}");
    }
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/prometheus/pineconed.rules.yml");
    if let Some((ok, said)) = promtool(&["check", "rules", rules.to_str().unwrap()], "") {
        assert!(ok, "{said}");
    }
}

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let known: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    for file in ["contrib/prometheus/pineconed.rules.yml", "contrib/grafana/pineconed.json"] {
        let text = in_repository(file);
        let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let used: BTreeSet<&str> =
            words.filter(|word| word.starts_with("pinecone_") || word.starts_with("process_")).collect();
        assert!(used.len() >= 8, "{file}: {used:?}");
        for name in used {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(known.contains(name) || known.contains(family), "{file}: {name}");
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&in_repository("contrib/grafana/pineconed.json")).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 10));
}
