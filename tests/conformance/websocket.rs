//! Peerings over WebSocket: between daemons, and over the two Go libraries that the reference node uses (`websocket/main.go`).

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use crate::daemon::Daemon;
use crate::networks::LONG_ENOUGH;
use crate::test_node::TestNode;
use crate::wait::{eventually, seconds, wait_until};

/// The largest payload that is safe whatever route it takes (§3.2); its frame is twice as long as a message may be.
const LARGE: usize = 65_000;

#[test]
fn two_daemons_peer_over_websocket_and_carry_frames_of_any_size() {
    let listening = Daemon::start([71; 32], &[]);
    let uri = format!("ws://{}/any/path?key={}", listening.websocket, listening.key);
    let dialling = Daemon::start_with_peers([72; 32], std::slice::from_ref(&uri));
    let peer = eventually("the dialling daemon has its peer", seconds(10), || peer_of(&dialling));
    assert_eq!((peer["uri"].as_str(), peer["inbound"].as_bool()), (Some(uri.as_str()), Some(false)), "{peer}");
    assert_eq!(peer["authenticated"].as_bool(), Some(true), "{peer}");
    let peer = eventually("the listening daemon has it too", seconds(10), || peer_of(&listening));
    assert!(peer["uri"].as_str().unwrap().starts_with("ws://127.0.0.1:"), "{peer}");
    assert_eq!(peer["inbound"].as_bool(), Some(true), "{peer}");
    let (here, there) = (TestNode::start([73; 32]), TestNode::start([74; 32]));
    here.connect(listening.address);
    there.connect(dialling.address);
    for len in [1, 32_768, LARGE] {
        assert_delivers_bytes(&here, &there, len);
        assert_delivers_bytes(&there, &here, len);
    }
    assert_eq!((here.complaints(), there.complaints()), (vec![], vec![]));
}

#[test]
fn silent_connections_delay_nobody() {
    let listening = Daemon::start([75; 32], &[]);
    // One short of what one source may have open.
    let silent: Vec<_> = (0..7)
        .map(|n| {
            let mut stream = TcpStream::connect(listening.websocket).unwrap();
            stream.write_all(&b"GET / HTTP/1.1\r\n"[..2 * n]).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    let dialling = Daemon::start_with_peers([76; 32], &[format!("ws://{}", listening.websocket)]);
    wait_until("the peering is up", seconds(5), || dialling.peer_keys() == [listening.key]);
    assert!(start.elapsed() < seconds(5), "the silent ones are still there");
    drop(silent);
}

#[test]
fn a_daemon_relays_between_the_reference_s_client_and_its_server_and_frames_of_any_size_pass() {
    let Some(program) = program() else { return };
    // The reference dials us, and we dial the reference.
    let (dialling, listening) = (TestNode::start([77; 32]), TestNode::start([78; 32]));
    let server = Bridge::start(program, "listen", &listening.address.to_string());
    let daemon = Daemon::start_with_peers([79; 32], &[format!("ws://{}/pinecone", server.address)]);
    let client = Bridge::start(program, "dial", &format!("ws://{}/some/path", daemon.websocket));
    dialling.connect(client.address);
    for node in [&dialling, &listening] {
        wait_until("the peering is up", seconds(10), || {
            node.peerings().iter().any(|peering| peering.key == daemon.key)
        });
    }
    let held = |node: &TestNode| {
        node.peerings().iter().any(|peering| peering.key == daemon.key && peering.up_for >= LONG_ENOUGH)
    };
    while !held(&dialling) || !held(&listening) {
        for len in [1, 32_768, LARGE] {
            assert_delivers_bytes(&dialling, &listening, len);
            assert_delivers_bytes(&listening, &dialling, len);
        }
        assert_eq!((dialling.complaints(), listening.complaints()), (vec![], vec![]));
        assert_eq!((dialling.peerings().len(), listening.peerings().len()), (1, 1), "it never broke");
        // Long enough for keepalives in both directions.
        std::thread::sleep(seconds(4));
    }
    assert_eq!(daemon.peer_keys().len(), 2);
}

/// The only peering, if there is one.
fn peer_of(daemon: &Daemon) -> Option<serde_json::Value> {
    daemon.ctl("peers")["peers"].as_array().unwrap().first().cloned()
}

/// Sends until it arrives.
fn assert_delivers_bytes(from: &TestNode, to: &TestNode, len: usize) {
    let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    wait_until(&format!("{len} bytes arrive"), seconds(30), || {
        from.send(to.key, None, &payload);
        std::thread::sleep(std::time::Duration::from_millis(50));
        to.take_received().iter().any(|received| received.from == from.key && received.payload == payload)
    });
}

/// The Go program, running. Dropping it ends it, and shows what it said if the test failed.
struct Bridge {
    address: SocketAddr,
    child: Child,
}

impl Bridge {
    fn start(program: &Path, role: &str, target: &str) -> Self {
        let mut command = Command::new(program);
        command.args([role, target]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), child }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Go program, built. `None` if that is not possible here and need not be.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAM.get_or_init(build) {
        Ok(program) => Some(program),
        Err(reason) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("{reason}"),
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED websocket: {reason}");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("websocket");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".");
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/websocket"));
    let output = go.output().map_err(|error| format!("cannot run go: {error}"))?;
    if !output.status.success() {
        return Err(format!("go build: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(program)
}
