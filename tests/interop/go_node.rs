//! One running Go node: a process that takes commands and prints JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use data_encoding::HEXLOWER;
use pinecone::keys::{Keypair, PublicKey, Seed};
use serde_json::Value;

use crate::lab::Host;
use crate::program;
use crate::wait::{eventually, seconds, wait_until};

/// Listen there for TCP and for WebSockets, on any free port.
pub(crate) const LISTEN: &[&str] = &["-listen", "127.0.0.1:0", "-listenws", "127.0.0.1:0"];
/// The end of a log that is printed when a test fails.
const LOG_BYTES: u64 = 8_000;

/// A node of the reference. Dropping it ends the process and, if the test failed, prints the log.
pub(crate) struct GoNode {
    pub(crate) key: PublicKey,
    host: Option<Host>,
    arguments: Vec<String>,
    log: File,
    process: Option<Process>,
}

struct Process {
    child: Child,
    commands: ChildStdin,
    seen: Arc<Mutex<Seen>>,
}

/// What the process said so far.
#[derive(Default)]
struct Seen {
    state: Value,
    received: Vec<(PublicKey, Vec<u8>)>,
    peerings_lost: usize,
    /// Lines of any other kind, until somebody asks for them.
    others: Vec<Value>,
}

impl GoNode {
    /// Starts a node on this machine and waits until it is up.
    pub(crate) fn start(seed: [u8; 32], arguments: &[&str]) -> Self {
        Self::start_in(None, seed, arguments)
    }

    /// Starts a node on a host of the lab.
    pub(crate) fn start_on(host: &Host, seed: [u8; 32], arguments: &[&str]) -> Self {
        Self::start_in(Some(host.clone()), seed, arguments)
    }

    fn start_in(host: Option<Host>, seed: [u8; 32], arguments: &[&str]) -> Self {
        let mut all = vec!["-seed".to_owned(), HEXLOWER.encode(&seed)];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let key = Keypair::from_seed(&Seed(seed)).public();
        let mut node = Self { key, host, arguments: all, log: tempfile::tempfile().unwrap(), process: None };
        node.restart();
        node
    }

    /// Kills the process if it runs, and starts it again. It listens where it listened.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(program::path());
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.log.try_clone().unwrap());
        let mut child = match &self.host {
            Some(host) => host.spawn(&mut command),
            None => command.spawn().unwrap(),
        };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (output, writer) = (BufReader::new(child.stdout.take().unwrap()), seen.clone());
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| note(&writer, &line)));
        let commands = child.stdin.take().unwrap();
        self.process = Some(Process { child, commands, seen });
        let listening = self.answer("listening", seconds(10));
        for (flag, place) in [("-listen", "tcp"), ("-listenws", "ws")] {
            let at = self.arguments.iter().position(|argument| argument == flag);
            if let (Some(at), Some(place)) = (at, listening[place].as_str()) {
                self.arguments[at + 1] = place.to_owned();
            }
        }
        wait_until("the Go node tells its state", seconds(10), || self.seen().state.is_object());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    /// Fails the test if the process ended by itself.
    pub(crate) fn assert_runs(&mut self) {
        let ended = self.process.as_mut().and_then(|process| process.child.try_wait().unwrap());
        assert!(ended.is_none(), "the Go node {:?} ended: {ended:?}", self.key);
    }

    /// Where it listens for TCP.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.argument("-listen")
    }

    /// Where it listens for WebSockets.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.argument("-listenws")
    }

    fn argument(&self, flag: &str) -> SocketAddr {
        let at = self.arguments.iter().position(|argument| argument == flag).expect("it was told to listen");
        self.arguments[at + 1].parse().unwrap()
    }

    /// Gives it a line of input.
    pub(crate) fn command(&self, line: &str) {
        let mut commands = &self.process.as_ref().expect("it runs").commands;
        writeln!(commands, "{line}").expect("the Go node takes commands");
    }

    /// Sends a payload: by coordinates if it knows them, otherwise by key.
    pub(crate) fn send(&self, to: PublicKey, payload: &[u8]) {
        self.command(&format!("send {to} {}", HEXLOWER.encode(payload)));
    }

    /// What came for it since the last call, and from whom.
    pub(crate) fn take_received(&self) -> Vec<(PublicKey, Vec<u8>)> {
        std::mem::take(&mut self.seen().received)
    }

    /// Waits for the next line of this kind.
    pub(crate) fn answer(&self, event: &str, deadline: Duration) -> Value {
        eventually(&format!("the Go node says {event:?}"), deadline, || {
            let mut seen = self.seen();
            let failed = seen.others.iter().find(|line| line["event"] == "error" && event != "error");
            assert!(failed.is_none(), "the Go node waits for {event:?} and says {failed:?}");
            let at = seen.others.iter().position(|line| line["event"] == event)?;
            Some(seen.others.remove(at))
        })
    }

    /// The root that it follows, and its coordinates.
    pub(crate) fn place(&self) -> (PublicKey, Vec<u64>) {
        let state = &self.seen().state;
        (key_of(&state["root"]), ports_of(&state["coords"]))
    }

    /// The next lower key that bootstraps to it.
    pub(crate) fn descending(&self) -> Option<PublicKey> {
        let state = &self.seen().state;
        (!state["descending"].is_null()).then(|| key_of(&state["descending"]))
    }

    /// Its peers, by port.
    pub(crate) fn peers(&self) -> Vec<(u64, PublicKey)> {
        let state = &self.seen().state;
        let peers = state["peers"].as_array().unwrap().iter();
        peers.map(|peer| (peer["port"].as_u64().unwrap(), key_of(&peer["key"]))).collect()
    }

    /// The coordinates to which it would send for a key.
    pub(crate) fn cached(&self, key: &PublicKey) -> Option<Vec<u64>> {
        let state = &self.seen().state;
        state["cache"].get(key.to_string()).map(ports_of)
    }

    /// How many frames it has passed on by coordinates and by key; what came for itself is not counted.
    pub(crate) fn relayed(&self) -> (u64, u64) {
        self.seen().state = Value::Null;
        self.command("state");
        eventually("the Go node counts", seconds(5), || {
            let state = &self.seen().state;
            Some((state.get("relayed_by_tree")?.as_u64().unwrap(), state["relayed_by_snake"].as_u64().unwrap()))
        })
    }

    /// How often a peering ended.
    pub(crate) fn peerings_lost(&self) -> usize {
        self.seen().peerings_lost
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.process.as_ref().expect("it runs").seen.lock().unwrap()
    }
}

impl Drop for GoNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let length = self.log.metadata().map_or(0, |metadata| metadata.len());
            let mut tail = vec![0; length.min(LOG_BYTES) as usize];
            let _ = self.log.read_exact_at(&mut tail, length.saturating_sub(LOG_BYTES));
            println!("── log of Go node {:?}\n{}", self.key, String::from_utf8_lossy(&tail));
            if let Some(Ok(seen)) = self.process.as_ref().map(|process| process.seen.lock()) {
                println!("── state of Go node {:?}: {}; also said: {:?}", self.key, seen.state, seen.others);
            }
        }
        self.kill();
    }
}

fn note(seen: &Mutex<Seen>, line: &str) {
    let line: Value = serde_json::from_str(line).expect("the Go node prints JSON");
    let mut seen = seen.lock().unwrap();
    match line["event"].as_str() {
        Some("state") => {
            seen.state = line;
        }
        Some("received") => {
            let payload = HEXLOWER.decode(line["payload"].as_str().unwrap().as_bytes()).unwrap();
            seen.received.push((key_of(&line["from"]), payload));
        }
        Some("peer-added") => {}
        Some("peer-removed") => seen.peerings_lost += 1,
        _ => seen.others.push(line),
    }
}

fn key_of(value: &Value) -> PublicKey {
    value.as_str().unwrap().parse().unwrap()
}

fn ports_of(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|port| port.as_u64().unwrap()).collect()
}
