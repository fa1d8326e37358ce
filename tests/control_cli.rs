//! The two programs as people and scripts use them: exit codes, what goes to which stream, and `pineconectl` against sockets
//! that behave in every way a socket can, and against a real daemon.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// RFC 8032 §7.1, test 1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const ADDRESS: &str = "600:aeb5:3003:562:156f:aa97:fda7:92c8";

fn ctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
    command.args(arguments).env_remove("PINECONE_SOCKET").stdin(Stdio::null());
    command
}

fn daemon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pineconed"));
    command.args(arguments).env_remove("PINECONE_LOG").stdin(Stdio::null());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// It fails with this code, prints nothing, and says why in one line that has these words.
#[track_caller]
fn fails(command: &mut Command, expected: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let message = stderr(&output);
    assert_eq!((code(&output), stdout(&output).as_str()), (expected, ""), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// It succeeds, says nothing on standard error, and prints this.
#[track_caller]
fn prints(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    stdout(&output)
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, contents: &str, mode: u32) -> String {
        fs::write(self.path(name), contents).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self.text(name)
    }

    /// A configuration that has everything in this directory.
    fn config(&self, more: &str) -> String {
        let (key, socket) = (self.text("node.key"), self.text("control.sock"));
        let text = format!("node.private_key_file = '{key}'\ncontrol.socket = '{socket}'\ntun.name = 'none'\n{more}\n");
        self.write("pineconed.toml", &text, 0o644)
    }
}

mod keys {
    use super::*;

    #[test]
    fn generate_makes_a_file_that_show_and_address_read_and_nothing_overwrites() {
        let directory = Directory::new();
        let file = directory.text("new.key");
        let made = prints(&mut ctl(&["key", "generate", &file]));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let private = fs::read_to_string(&file).unwrap();
        assert!(!made.contains(private.trim()), "a private key in a file is not printed");
        assert_eq!(prints(&mut ctl(&["key", "show", &file])), made);
        let address = prints(&mut ctl(&["key", "address", &file]));
        assert!(made.contains(address.trim()));
        fails(&mut ctl(&["key", "generate", &file]), 1, &["is there already", "not overwritten"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), private);
    }

    #[test]
    fn show_derives_everything_from_the_private_key() {
        let directory = Directory::new();
        let file = directory.write("node.key", SEED, 0o600);
        let expected = format!("public key  {PUBLIC}\naddress     {ADDRESS}\nsubnet      700:aeb5:3003:562::/64\n");
        assert_eq!(prints(&mut ctl(&["key", "show", &file])), expected);
        assert_eq!(prints(&mut ctl(&["key", "address", &file])), format!("{ADDRESS}\n"));
        let document: Value = serde_json::from_str(&prints(&mut ctl(&["key", "show", &file, "--json"]))).unwrap();
        let expected = json!({ "public_key": PUBLIC, "address": ADDRESS, "subnet": "700:aeb5:3003:562::/64" });
        assert_eq!(document, expected);
    }

    #[test]
    fn generate_without_a_file_prints_a_private_key_that_a_file_can_hold() {
        let directory = Directory::new();
        let first = prints(&mut ctl(&["key", "generate"]));
        assert_ne!(prints(&mut ctl(&["key", "generate"])), first);
        let file = directory.write("node.key", &first, 0o600);
        prints(&mut ctl(&["key", "show", &file]));
        let document: Value = serde_json::from_str(&prints(&mut ctl(&["key", "generate", "--json"]))).unwrap();
        let file = directory.write("json.key", document["private_key"].as_str().unwrap(), 0o600);
        let address = prints(&mut ctl(&["key", "address", &file]));
        assert_eq!(document["address"].as_str(), Some(address.trim()));
    }

    #[test]
    fn what_is_wrong_with_a_key_file_is_said_with_what_to_type() {
        let directory = Directory::new();
        fails(&mut ctl(&["key", "show", &directory.text("none")]), 1, &["is not there", "pineconectl key generate"]);
        let exposed = directory.write("exposed.key", SEED, 0o644);
        fails(&mut ctl(&["key", "show", &exposed]), 1, &["mode 0644", &format!("chmod 600 {exposed}")]);
        let other = directory.write("other.key", "hello", 0o600);
        fails(&mut ctl(&["key", "address", &other]), 1, &["holds no private key"]);
        fails(&mut ctl(&["key", "show", directory.0.path().to_str().unwrap()]), 1, &["not a regular file"]);
        fails(&mut ctl(&["key", "generate", &directory.text("no/such/directory")]), 1, &["cannot make"]);
    }

    #[test]
    fn a_key_file_of_another_user_needs_permission() {
        let directory = Directory::new();
        let file = directory.write("node.key", SEED, 0o600);
        let mut show = without_rights_on(&file, &directory, &["key", "show", &file]);
        fails(&mut show, 4, &["Permission denied", "use sudo"]);
    }
}

mod check {
    use super::*;

    #[test]
    fn a_right_configuration_passes_and_nothing_is_made() {
        let directory = Directory::new();
        let config = directory.config("peering.peers = ['tcp://192.0.2.1:7463']");
        let text = prints(&mut daemon(&["check", "--config", &config]));
        assert!(text.contains("a new key will be made") && text.contains("would start"), "{text}");
        assert_eq!(fs::read_dir(directory.0.path()).unwrap().count(), 1, "only the configuration");
        directory.write("node.key", SEED, 0o600);
        assert!(prints(&mut daemon(&["--config", &config, "check"])).contains(ADDRESS));
    }

    #[test]
    fn a_wrong_configuration_fails_with_its_line_and_key() {
        let directory = Directory::new();
        let config = directory.config("tun.nmae = 'pine0'");
        let place = format!("{config}:4:5: tun.nmae: unknown key; did you mean `name`?");
        fails(&mut daemon(&["check", "--config", &config]), 1, &[&place]);
        fails(&mut daemon(&["--config", &config]), 1, &[&place]);
        fails(&mut daemon(&["check", "--config", &directory.text("none.toml")]), 1, &["none.toml", "No such file"]);
    }

    #[test]
    fn what_the_host_lacks_is_an_error_and_what_is_odd_a_warning() {
        let directory = Directory::new();
        let config = directory.config("tun.fd = 3");
        let output = daemon(&["check", "--config", &config]).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(stderr(&output).starts_with("warning: tun.fd"), "{}", stderr(&output));

        let config = directory.config("session.password_file = '/nonexistent/password'");
        directory.write("node.key", SEED, 0o644);
        let output = daemon(&["check", "--config", &config]).output().unwrap();
        let message = stderr(&output);
        assert_eq!(code(&output), 1);
        assert!(message.contains("error: node.private_key_file: ") && message.contains("chmod 600"), "{message}");
        assert!(message.contains("error: session.password_file: ") && message.contains("would not start"), "{message}");
    }

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for arguments in [&["start"][..], &["--log-level", "loud"], &["--config"], &["check", "now"]] {
            assert_eq!(code(&daemon(arguments).output().unwrap()), 2, "{arguments:?}");
        }
        assert_eq!(code(&daemon(&["check"]).env("PINECONE_LOG", "loud").output().unwrap()), 2);
        assert_eq!(prints(&mut daemon(&["--version"])), concat!("pineconed ", env!("CARGO_PKG_VERSION"), "\n"));
        assert!(prints(&mut daemon(&["--help"])).contains("--config"));
    }
}

mod control {
    use super::*;

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for arguments in [
            &[][..],
            &["frobnicate"],
            &["status", "now"],
            &["lookup"],
            &["lookup", "2001:db8::1"],
            &["ping", ADDRESS, "-c", "0"],
            &["ping", ADDRESS, "-i", "0"],
            &["status", "--timeout", "0"],
            &["peer", "add", "gopher://192.0.2.1:7464"],
            &["peer"],
            &["key"],
        ] {
            let output = ctl(arguments).output().unwrap();
            assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{arguments:?}");
        }
        let output = ctl(&["peer", "add", "gopher://192.0.2.1:7464"]).output().unwrap();
        assert!(stderr(&output).contains("use tls://"), "{}", stderr(&output));
        assert!(prints(&mut ctl(&["--help"])).contains("Exit codes: 0 ok"));
    }

    #[test]
    fn a_wrong_peer_uri_is_explained_without_repeating_the_secrets_in_it() {
        for command in ["add", "remove"] {
            for (uri, what) in [
                ("tcp://192.0.2.1:7463?proxy=socks5://joshua:hunter2@192.0.2.2", "proxy"),
                ("tcp://joshua:hunter2@192.0.2.1:7463", "user name"),
                ("tcp://192.0.2.1:7463?pasword=hunter2", "option number 1"),
                ("hunter2", "the scheme is missing"),
            ] {
                let output = ctl(&["peer", command, uri]).output().unwrap();
                let told = stderr(&output);
                assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{told}");
                assert!(told.contains(what), "{told}");
                assert!(!told.contains("hunter2") && !told.contains("joshua"), "{told}");
            }
        }
    }

    #[test]
    fn without_a_daemon_every_command_says_that_none_runs() {
        let directory = Directory::new();
        let missing = directory.text("none.sock");
        drop(UnixListener::bind(directory.path("stale.sock")).unwrap());
        for socket in [&missing, &directory.text("stale.sock")] {
            for command in [&["status"][..], &["peers"], &["ping", ADDRESS], &["peer", "add", "tcp://192.0.2.1:7463"]] {
                fails(ctl(command).args(["--socket", socket]), 3, &["no daemon runs", socket, "--socket"]);
            }
        }
        fails(ctl(&["status"]).env("PINECONE_SOCKET", &missing), 3, &[&missing]);
    }

    #[test]
    fn a_socket_that_one_may_not_use_is_a_matter_of_permission() {
        let directory = Directory::new();
        let socket = directory.text("control.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
        let mut status = without_rights_on(&socket, &directory, &["status", "--socket", &socket]);
        fails(&mut status, 4, &["may not use", &socket, "control.group"]);
    }

    #[test]
    fn answers_are_text_for_people_and_one_document_for_programs() {
        let status = status_document();
        let daemon = Fake::answering(&[ok(&status), ok(&status)]);
        let text = prints(&mut daemon.ctl(&["status"]));
        assert!(text.contains(ADDRESS) && text.contains("1 h 1 min") && text.contains("not_overlay 3"), "{text}");
        let document: Value = serde_json::from_str(&prints(&mut daemon.ctl(&["status", "--json"]))).unwrap();
        assert_eq!(document, status);
        assert_eq!(daemon.requests(), vec![json!({ "version": 1, "command": "status" }); 2]);
    }

    #[test]
    fn arguments_reach_the_daemon() {
        let uri = "tcp://node.example.org:7463?max_backoff=30s";
        let daemon = Fake::answering(&[ok(&Value::Null), ok(&Value::Null), ok(&lookup_answer())]);
        assert!(prints(&mut daemon.ctl(&["peer", "add", uri])).contains(uri));
        let removed: Value =
            serde_json::from_str(&prints(&mut daemon.ctl(&["peer", "remove", uri, "--json"]))).unwrap();
        assert_eq!(removed, json!({ "removed": uri }));
        assert!(prints(&mut daemon.ctl(&["--timeout", "2.5", "lookup", PUBLIC])).contains("1.50 ms"));
        let requests = daemon.requests();
        assert_eq!(requests[0], json!({ "version": 1, "command": "peer_add", "uri": uri }));
        assert_eq!(requests[1], json!({ "version": 1, "command": "peer_remove", "uri": uri }));
        let lookup = json!({ "version": 1, "command": "lookup", "target": PUBLIC, "timeout_seconds": 2.5 });
        assert_eq!(requests[2], lookup);
    }

    #[test]
    fn what_the_daemon_refuses_has_its_exit_code_and_sentence() {
        let refusal = |kind: &str, message: &str| {
            format!("{}\n", json!({ "version": 1, "error": { "kind": kind, "message": message } }))
        };
        let lines = [
            refusal("unreachable", "nobody answered"),
            refusal("not_there", "no such\npeer"),
            refusal("busy", "too many"),
            refusal("from_the_future", "news"),
        ];
        let daemon = Fake::answering(&lines);
        fails(&mut daemon.ctl(&["lookup", ADDRESS]), 5, &["nobody answered"]);
        fails(&mut daemon.ctl(&["peer", "remove", "tcp://192.0.2.1:1"]), 1, &["no such peer"]);
        fails(&mut daemon.ctl(&["status"]), 1, &["too many"]);
        fails(&mut daemon.ctl(&["status"]), 1, &["news"]);
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_not_a_panic() {
        for line in [
            "hello\n",
            "{}\n",
            "\n",
            "{\"version\":1}\n",
            "{\"version\":1,\"ok\":{}}\n",
            "{\"version\":1,\"ok\":null}\n",
            "\u{1b}[2J\n",
        ] {
            let daemon = Fake::answering(&[line.to_owned()]);
            fails(&mut daemon.ctl(&["status"]), 1, &["is not one of the control protocol"]);
        }
        let daemon = Fake::answering(&["{\"version\":2,\"ok\":{}}\n".to_owned()]);
        fails(&mut daemon.ctl(&["status"]), 1, &["speaks version 2"]);
        let daemon = Fake::answering(&["{\"version\":1,\"ok\"".to_owned()]);
        fails(&mut daemon.ctl(&["status"]), 1, &["closed the connection before its answer"]);
        let daemon = Fake::answering(&[String::new()]);
        fails(&mut daemon.ctl(&["status"]), 1, &["closed the connection before its answer"]);
    }

    #[test]
    fn a_daemon_that_says_nothing_or_dribbles_is_given_up_in_time() {
        let silent = Fake::new(|stream, _| drop(hold(stream)));
        fails(&mut silent.ctl(&["status", "--timeout", "0.1"]), 5, &["did not answer within 0.1 s"]);
        let half = Fake::new(|mut stream, _| {
            let _ = stream.write_all(b"{\"version\":1,");
            hold(stream);
        });
        fails(&mut half.ctl(&["status", "--timeout", "0.1"]), 5, &["did not answer within 0.1 s"]);
        // Every read succeeds, and still the time is up.
        let dribbling = Fake::new(|mut stream, _| {
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        fails(&mut dribbling.ctl(&["status", "--timeout", "0.1"]), 5, &["did not answer within 0.1 s"]);
        let endless = Fake::new(|mut stream, _| while stream.write_all(&[b' '; 1 << 20]).is_ok() {});
        fails(&mut endless.ctl(&["status"]), 1, &["does not stop"]);
    }

    #[test]
    fn a_daemon_that_takes_no_connection_is_given_up_in_time() {
        let directory = Directory::new();
        let socket = directory.text("control.sock");
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&socket2::SockAddr::unix(&socket).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let _queued = UnixStream::connect(&socket).unwrap();
        fails(&mut ctl(&["status", "--timeout", "0.1", "--socket", &socket]), 5, &["did not take the connection"]);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        let directory = Directory::new();
        let file = directory.write("node.key", SEED, 0o600);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = ctl(&["key", "show", &file]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    }

    #[test]
    fn standard_output_that_is_full_is_an_error() {
        let directory = Directory::new();
        let file = directory.write("node.key", SEED, 0o600);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = ctl(&["key", "show", &file]).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
    }
}

mod ping {
    use super::*;

    fn pong(milliseconds: f64) -> String {
        ok(&json!({ "key": PUBLIC, "address": ADDRESS, "rtt_seconds": milliseconds / 1e3, "routed_by": "tree" }))
    }

    fn lost() -> String {
        format!("{}\n", json!({ "version": 1, "error": { "kind": "unreachable", "message": "nobody answered" } }))
    }

    #[test]
    fn every_ping_has_its_line_and_the_last_line_sums_up() {
        let daemon = Fake::answering(&[pong(10.0), lost(), pong(30.0)]);
        let text = prints(&mut daemon.ctl(&["ping", ADDRESS, "-c", "3", "-i", "0.01"]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("1: {ADDRESS} answered in 10.0 ms, by tree"));
        assert_eq!(lines[1], "2: nobody answered");
        assert_eq!(lines[3], "3 sent, 2 answered; least 10.0 ms, mean 20.0 ms, most 30.0 ms");
    }

    #[test]
    fn for_programs_there_is_one_document_at_the_end() {
        let daemon = Fake::answering(&[pong(10.0), lost()]);
        let text = prints(&mut daemon.ctl(&["ping", ADDRESS, "-c", "2", "-i", "0.01", "--json"]));
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["sent"], &document["answered"]), (&json!(2), &json!(1)));
        assert_eq!(document["results"][0]["sequence"], json!(1));
        assert_eq!(document["results"][1]["error"], json!("nobody answered"));
    }

    #[test]
    fn a_node_that_never_answers_is_unreachable() {
        let daemon = Fake::answering(&[lost(), lost()]);
        let output = daemon.ctl(&["ping", ADDRESS, "-c", "2", "-i", "0.01"]).output().unwrap();
        assert_eq!(code(&output), 5);
        assert!(stdout(&output).ends_with("2 sent, 0 answered\n"), "{}", stdout(&output));
        assert!(stderr(&output).contains("did not answer"), "{}", stderr(&output));
    }
}

mod running {
    use super::*;

    /// A daemon without an interface, which needs no rights.
    struct Running {
        directory: Directory,
        process: Child,
        log: BufReader<ChildStderr>,
    }

    impl Running {
        fn start() -> Self {
            let directory = Directory::new();
            let config = directory.config("peering.listen = ['tcp://127.0.0.1:0']");
            let mut process = daemon(&["--config", &config]).stderr(Stdio::piped()).spawn().unwrap();
            let mut log = BufReader::new(process.stderr.take().unwrap());
            // Not ready before the control socket is, which is the last thing that the log tells of.
            let mut line = String::new();
            while !line.contains("control socket") {
                line.clear();
                assert_ne!(log.read_line(&mut line).unwrap(), 0, "the daemon ended");
            }
            Self { directory, process, log }
        }

        fn ctl(&self, arguments: &[&str]) -> Command {
            let mut command = ctl(arguments);
            command.args(["--socket", &self.directory.text("control.sock")]);
            command
        }

        /// Tells it to stop and waits; its exit code.
        fn stop(&mut self) -> i32 {
            let id = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
            self.log.read_to_string(&mut String::new()).unwrap();
            self.process.wait().unwrap().code().unwrap()
        }
    }

    #[test]
    fn a_daemon_tells_who_it_is_and_takes_its_socket_with_it() {
        let mut daemon = Running::start();
        let status: Value = serde_json::from_str(&prints(&mut daemon.ctl(&["status", "--json"]))).unwrap();
        let shown = prints(&mut ctl(&["key", "show", "--json", &daemon.directory.text("node.key")]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        for key in ["public_key", "address", "subnet"] {
            assert_eq!(status[key], shown[key]);
        }
        for key in ["coordinates", "root", "peers", "sessions", "uptime_seconds", "version"] {
            assert!(!status[key].is_null(), "{key}: {status}");
        }
        for command in ["peers", "tree", "snake", "sessions"] {
            prints(&mut daemon.ctl(&[command]));
            prints(&mut daemon.ctl(&[command, "--json"]));
        }
        assert_eq!(daemon.stop(), 0);
        assert!(!daemon.directory.path("control.sock").exists());
    }

    #[test]
    fn peers_come_and_go_while_it_runs() {
        let daemon = Running::start();
        let uri = "tcp://127.0.0.1:1";
        prints(&mut daemon.ctl(&["peer", "add", uri]));
        fails(&mut daemon.ctl(&["peer", "add", uri]), 1, &[uri, "already"]);
        assert!(prints(&mut daemon.ctl(&["peers"])).contains(uri));
        prints(&mut daemon.ctl(&["peer", "remove", uri]));
        fails(&mut daemon.ctl(&["peer", "remove", uri]), 1, &[uri, "pineconectl peers"]);
        assert!(!prints(&mut daemon.ctl(&["peers"])).contains(uri));
    }

    #[test]
    fn a_second_daemon_on_the_same_socket_does_not_start_and_check_says_that_one_runs() {
        let first = Running::start();
        let config = first.directory.text("pineconed.toml");
        let second = daemon(&["--config", &config, "--log-level", "off"]).output().unwrap();
        assert_eq!(code(&second), 1);
        assert!(stderr(&second).contains("another pineconed runs"), "{}", stderr(&second));
        assert!(prints(&mut daemon(&["check", "--config", &config])).contains("a pineconed runs now"));
        prints(&mut first.ctl(&["status"]));
    }

    #[test]
    fn an_address_that_nobody_has_is_unreachable() {
        let daemon = Running::start();
        fails(&mut daemon.ctl(&["lookup", ADDRESS, "--timeout", "0.2"]), 5, &[ADDRESS]);
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn ok(answer: &Value) -> String {
    format!("{}\n", json!({ "version": 1, "ok": answer }))
}

fn lookup_answer() -> Value {
    json!({ "target": ADDRESS, "key": PUBLIC, "address": ADDRESS, "seconds": 0.0015 })
}

fn status_document() -> Value {
    json!({
        "public_key": PUBLIC,
        "address": ADDRESS,
        "subnet": "700:aeb5:3003:562::/64",
        "coordinates": [3, 1],
        "root": "ff".repeat(32),
        "root_sequence": 7,
        "peers": 2,
        "sessions": 1,
        "snake_routes": 5,
        "uptime_seconds": 3700.5,
        "version": "0.1.0",
        "packets_delivered": 10,
        "packets_sent": 11,
        "frames_forwarded": 12,
        "drops": { "not_overlay": 3 },
        "refused": { "too_fast": 4 },
        "confinement": { "wanted": true, "capabilities": [], "files": "full", "system_calls": "filtered" },
        "firewall": { "refused": 5 },
    })
}

/// `pineconectl` as somebody without rights on this file: root becomes nobody, anyone else takes his own rights away.
fn without_rights_on(file: &str, directory: &Directory, arguments: &[&str]) -> Command {
    const NOBODY: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
        return ctl(arguments);
    }
    // Others may look into the directory, and run a program that lies where they can reach it.
    fs::set_permissions(directory.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path("pineconectl");
    fs::copy(env!("CARGO_BIN_EXE_pineconectl"), &program).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).env_remove("PINECONE_SOCKET").stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    command
}

/// Keeps the connection until the other side goes.
fn hold(mut stream: UnixStream) -> UnixStream {
    let _ = stream.read(&mut [0; 64]);
    stream
}

/// Something that behaves like a daemon, more or less.
struct Fake {
    directory: Directory,
    thread: Option<JoinHandle<Vec<Value>>>,
}

impl Fake {
    /// Hands every connection, with the first request on it, to `serve`.
    fn new(serve: impl Fn(UnixStream, Value) + Send + 'static) -> Self {
        Self::start(move |stream, requests| {
            if let Some(request) = read_request(&mut BufReader::new(stream.try_clone().unwrap())) {
                requests.push(request.clone());
                serve(stream, request);
            }
        })
    }

    /// Answers each request with the next of these lines, whatever connection it comes on, and closes after the last.
    fn answering(lines: &[String]) -> Self {
        let lines = lines.to_vec();
        let mut answered = 0;
        Self::start(move |mut stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader) {
                requests.push(request);
                let Some(line) = lines.get(answered) else { return };
                answered += 1;
                if stream.write_all(line.as_bytes()).is_err() || !line.ends_with('\n') {
                    return;
                }
            }
        })
    }

    fn start(mut serve: impl FnMut(UnixStream, &mut Vec<Value>) + Send + 'static) -> Self {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.path("control.sock")).unwrap();
        let stop = directory.path("stop");
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if stop.exists() {
                    break;
                }
                serve(stream, &mut requests);
            }
            requests
        });
        Self { directory, thread: Some(thread) }
    }

    fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = ctl(arguments);
        command.args(["--socket", &self.directory.text("control.sock")]);
        command
    }

    /// Ends it; what it was asked.
    fn requests(mut self) -> Vec<Value> {
        self.stop()
    }

    fn stop(&mut self) -> Vec<Value> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        fs::write(self.directory.path("stop"), "").unwrap();
        wake(&self.directory.path("control.sock"));
        thread.join().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn wake(socket: &Path) {
    let _ = UnixStream::connect(socket);
}

fn read_request(reader: &mut BufReader<UnixStream>) -> Option<Value> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(len) if len > 0 => Some(serde_json::from_str(&line).unwrap()),
        _ => None,
    }
}
