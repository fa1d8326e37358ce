//! What an operator uses besides the plain questions, against a real daemon: `firewall`, `watch`, `config show`, `doctor`, `map`, `top`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use common::daemon::{Daemon, eventually};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, Termios, tcflow, tcgetattr};
use nix::unistd::Pid;
use serde_json::Value;

const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn ctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
    command.args(arguments).env_remove("PINECONE_SOCKET").stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// It succeeds, says nothing on standard error, and prints this.
#[track_caller]
fn prints(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    stdout(&output)
}

fn document(command: &mut Command) -> Value {
    serde_json::from_str(&prints(command)).unwrap()
}

/// What these tests ask of a daemon.
trait Asked {
    /// Where other daemons can dial it.
    fn uri(&self) -> String;
    fn ctl(&self, arguments: &[&str]) -> Command;
}

impl Asked for Daemon {
    fn uri(&self) -> String {
        format!("unix://{}", self.path("peers.sock"))
    }

    fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = ctl(arguments);
        command.args(["--socket", &self.path("control.sock")]);
        command
    }
}

fn start(more: &str) -> Daemon {
    Daemon::start(&format!("peering.listen = ['unix://{{dir}}/peers.sock']\n{more}"))
}

/// Two daemons, of which the second dials the first, once both say that they are peers and follow one root.
fn pair() -> (Daemon, Daemon) {
    let first = start("");
    let second = start(&format!("peering.peers = ['{}', 'unix:///nonexistent/peer.sock']", first.uri()));
    eventually(|| {
        let status = [&first, &second].map(|daemon| document(&mut daemon.ctl(&["status", "--json"])));
        let is_pair = status[0]["root"] == status[1]["root"] && status.iter().all(|status| status["peers"] == 1);
        if is_pair { Ok(()) } else { Err(format!("{status:?}")) }
    });
    (first, second)
}

#[test]
fn the_firewall_is_shown_with_its_rules_and_explains_itself() {
    let daemon = start("firewall.inbound = [{ from = 'any', protocol = 'tcp', port = 22 }]");
    assert!(prints(&mut daemon.ctl(&["firewall"])).contains("1  tcp 22 from any"));
    let shown = document(&mut daemon.ctl(&["firewall", "--json"]));
    assert_eq!((&shown["policy"], &shown["rules"][0]["packets"]), (&"rules".into(), &0.into()));
    assert!(prints(&mut daemon.ctl(&["firewall", "explain", KEY, "22"])).starts_with("allowed  rule 1 covers it"));
    let refused = document(&mut daemon.ctl(&["firewall", "explain", KEY, "80", "--json"]));
    assert_eq!((&refused["allowed"], &refused["decided_by"]), (&false.into(), &"refused".into()));
    assert!(refused["to_allow"].as_str().unwrap().contains("port = 80"), "{refused}");
    assert!(
        prints(&mut daemon.ctl(&["firewall", "explain", KEY, "--protocol", "icmp"]))
            .contains("echo requests always pass")
    );
    for wrong in [
        &["explain", KEY][..],
        &["explain", KEY, "65536"],
        &["explain", KEY, "1", "--protocol", "gre"],
        &["explain", "not a node", "1"],
    ] {
        let mut command = daemon.ctl(&["firewall"]);
        assert_eq!(command.args(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn who_watches_sees_peers_come_and_go_with_the_reason() {
    let first = start("");
    let mut watch = first.ctl(&["watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(event["time"].as_f64().unwrap() > 1.7e9, "{event}");
        event
    });
    let mut next = |wanted: &str| events.find(|event| event["event"] == wanted).unwrap();
    next("watching");
    let mut second = start(&format!("peering.peers = ['{}']", first.uri()));
    let key = document(&mut second.ctl(&["status", "--json"]))["public_key"].clone();
    let up = next("peer_up");
    assert_eq!((&up["key"], &up["port"], &up["authenticated"]), (&key, &1.into(), &true.into()));
    second.end();
    let down = next("peer_down");
    assert_eq!((&down["key"], &down["port"]), (&key, &1.into()));
    assert!(!down["reason"].as_str().unwrap().is_empty());
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_watch_ends_with_the_daemon() {
    let mut daemon = start("");
    let mut watch = daemon.ctl(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(watch.stdout.take().unwrap());
    let (line, first_line) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = printed.read_line(&mut text);
        let _ = line.send(text);
        // Or the watch would end because nobody reads.
        let _ = std::io::copy(&mut printed, &mut std::io::sink());
    });
    // Until it has printed something it may not have been there yet.
    let nobody = "unix:///nonexistent/peer.sock";
    eventually(|| {
        prints(&mut daemon.ctl(&["peer", "add", nobody]));
        prints(&mut daemon.ctl(&["peer", "remove", nobody]));
        first_line.try_recv().map_err(|error| error.to_string())
    });
    daemon.end();
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn the_configuration_is_shown_as_it_is_set_and_as_it_comes_to_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pineconed.toml").to_str().unwrap().to_owned();
    fs::write(&file, "tun.mtu = 1280\npeering.proxy = 'socks5://joshua:hunter2@127.0.0.1:9050'\n").unwrap();
    let set = prints(&mut ctl(&["config", "show", &file]));
    assert!(set.contains("mtu = 1280") && !set.contains("private_key_file") && !set.contains("hunter2"), "{set}");
    let all = prints(&mut ctl(&["config", "show", "--effective", &file]));
    assert!(all.contains("mtu = 1280") && all.contains("private_key_file") && !all.contains("hunter2"), "{all}");
    let shown = document(&mut ctl(&["config", "show", "--effective", "--json", &file]));
    assert_eq!((&shown["config"]["tun"]["mtu"], &shown["source"]), (&1280.into(), &Value::from(file.as_str())));
    fs::write(&file, "tun.nmae = 'x'\n").unwrap();
    let output = ctl(&["config", "show", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `name`?"));
}

fn levels(found: &Value, check: &str) -> Vec<String> {
    let findings = found["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    findings.map(|finding| finding["level"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_doctor_finds_a_running_node_well_and_names_the_peer_that_is_missing() {
    let (_first, second) = pair();
    let output = second.ctl(&["doctor", "--json", "--config", &second.path("pineconed.toml")]).output().unwrap();
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    for check in ["configuration", "private key", "socket rights", "daemon", "tree"] {
        assert_eq!(levels(&found, check), ["ok"], "{check}: {found:#}");
    }
    assert_eq!(levels(&found, "peers"), ["warning", "ok"], "{found:#}");
    let text = stdout(&second.ctl(&["doctor", "--config", &second.path("pineconed.toml")]).output().unwrap());
    assert!(text.contains("/nonexistent/peer.sock is not connected") && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_doctor_says_what_to_type_where_something_does_not_work() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("node.key"), "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let set = |file: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(PathBuf::from(file), fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&path("node.key"), 0o644);
    let config = format!(
        "node.private_key_file = '{}'\ncontrol.socket = '{}'\ntun.name = 'none'\n",
        path("node.key"),
        path("none.sock")
    );
    fs::write(path("pineconed.toml"), config).unwrap();
    set(&path("pineconed.toml"), 0o666);
    let output = ctl(&["doctor", "--json", "--config", &path("pineconed.toml")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    for (check, fix) in
        [("config rights", "chmod 640"), ("private key", "chmod 600"), ("daemon", "systemctl start pineconed")]
    {
        assert_eq!(levels(&found, check), ["error"], "{check}: {found:#}");
        let finding = found["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap();
        assert!(finding["fix"].as_str().unwrap().contains(fix), "{finding}");
    }
    assert_eq!(found["worst"], "error");
    fs::write(path("pineconed.toml"), "tun.mtu = 12\n").unwrap();
    let output = ctl(&["doctor", "--json", "--config", &path("pineconed.toml")]).output().unwrap();
    assert_eq!(levels(&serde_json::from_str(&stdout(&output)).unwrap(), "configuration"), ["error"]);
}

#[test]
fn the_map_is_a_picture_of_both_nodes_in_one_file() {
    let (first, second) = pair();
    let keys = [&first, &second].map(|daemon| document(&mut daemon.ctl(&["status", "--json"]))["public_key"].clone());
    let known = document(&mut second.ctl(&["map", "--json"]));
    let tree: Vec<&Value> = known["tree"].as_array().unwrap().iter().map(|node| &node["key"]).collect();
    assert!(tree.len() == 2 && keys.iter().all(|key| tree.contains(&key)), "{known:#}");
    let svg = prints(&mut second.ctl(&["map"]));
    assert!(svg.starts_with("<svg ") && keys.iter().all(|key| svg.contains(key.as_str().unwrap())), "{svg}");
    let file = second.path("map.html");
    assert_eq!(prints(&mut second.ctl(&["map", &file])), "");
    assert!(fs::read_to_string(file).unwrap().starts_with("<!doctype html>"));
    let output = second.ctl(&["map", "/nonexistent/map.svg"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn top_needs_a_terminal() {
    let daemon = start("");
    let output = daemon.ctl(&["top"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}

const LEAVE_ALTERNATE_SCREEN: &str = "\x1b[?1049l";

/// A program on a terminal of its own, of 80 columns and 24 lines.
struct OnTerminal {
    program: Child,
    printed: Vec<u8>,
    /// What a person has: the keys and the picture. None once it is hung up.
    master: Option<fs::File>,
    slave: OwnedFd,
    before: Termios,
}

/// How a program left its terminal.
struct Left {
    printed: String,
    status: ExitStatus,
    /// Whether the terminal is as it was before.
    restored: bool,
}

impl OnTerminal {
    fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&slave).unwrap();
        // Or programs have both ends, and none is ever hung up.
        for end in [&master, &slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap());
        let program = command.spawn().unwrap();
        Self { program, printed: Vec::new(), master: Some(master.into()), slave, before }
    }

    /// `pineconectl top` once it shows its picture.
    fn top(daemon: &Daemon) -> Self {
        let mut started = Self::start(daemon.ctl(&["top", "--interval", "0.1"]));
        let mut chunk = [0; 4096];
        // The last line of the picture.
        while !String::from_utf8_lossy(&started.printed).contains("q quit") {
            let len = started.master.as_mut().unwrap().read(&mut chunk).unwrap();
            started.printed.extend(&chunk[..len]);
        }
        let is_raw = tcgetattr(&started.slave).unwrap().local_flags != started.before.local_flags;
        assert!(is_raw, "the terminal is not raw");
        started
    }

    fn type_in(mut self, keys: &[u8]) -> Self {
        self.master.as_mut().unwrap().write_all(keys).unwrap();
        self
    }

    fn signal(self, signal: Signal) -> Self {
        kill(Pid::from_raw(i32::try_from(self.program.id()).unwrap()), signal).unwrap();
        self
    }

    /// Waits for its end.
    fn left(mut self) -> Left {
        // It has to be read on, or it cannot say its last words.
        let reader = self.master.map(|mut master| {
            std::thread::spawn(move || {
                let (mut rest, mut chunk): (Vec<u8>, _) = (Vec::new(), [0; 4096]);
                while let Ok(len @ 1..) = master.read(&mut chunk) {
                    rest.extend(&chunk[..len]);
                }
                rest
            })
        });
        let status = self.program.wait().unwrap();
        let restored = reader.is_some() && tcgetattr(&self.slave).unwrap() == self.before;
        drop(self.slave);
        if let Some(reader) = reader {
            self.printed.extend(reader.join().unwrap());
        }
        Left { printed: String::from_utf8_lossy(&self.printed).into_owned(), status, restored }
    }
}

#[test]
fn top_shows_the_node_and_gives_the_terminal_back_on_q_and_on_signals() {
    let (_first, second) = pair();
    let address = document(&mut second.ctl(&["status", "--json"]))["address"].as_str().unwrap().to_owned();
    let top = || OnTerminal::top(&second);
    let mut ends = vec![top().type_in(b"q"), top().type_in(b"\x03")];
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        ends.push(top().signal(signal));
    }
    for end in ends {
        let Left { printed, status, restored } = end.left();
        assert_eq!((status.code(), restored), (Some(0), true), "{printed}");
        assert!(printed.contains(&address) && printed.contains("PORT"), "{printed}");
        assert!(printed.contains(LEAVE_ALTERNATE_SCREEN), "{printed}");
    }
}

#[test]
fn top_gives_the_terminal_back_and_says_why_when_the_daemon_ends() {
    let mut daemon = start("");
    let top = OnTerminal::top(&daemon);
    daemon.end();
    let Left { printed, status, restored } = top.left();
    assert_eq!((status.code(), restored), (Some(1), true), "{printed}");
    let (_, after) = printed.rsplit_once(LEAVE_ALTERNATE_SCREEN).unwrap();
    assert!(after.contains("pineconectl: "), "{printed}");
}

#[test]
fn top_ends_with_an_error_and_not_a_crash_when_its_terminal_is_hung_up() {
    let daemon = start("");
    let mut top = OnTerminal::top(&daemon);
    top.master = None;
    let status = top.left().status;
    assert_eq!(status.code(), Some(1), "{status:?}");
}

#[test]
fn top_ends_on_a_signal_when_its_terminal_takes_nothing_more() {
    let daemon = start("");
    let top = OnTerminal::top(&daemon);
    tcflow(&top.slave, FlowArg::TCOOFF).unwrap();
    let Left { status, restored, .. } = top.signal(Signal::SIGTERM).left();
    assert_eq!((status.code(), restored), (Some(1), true), "{status:?}");
}
