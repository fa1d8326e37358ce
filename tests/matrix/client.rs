//! A client as people have it, at its local homeserver: matrix-js-sdk, the engine of Element, with its encryption in Rust.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::http::escape;
use crate::line::Line;
use crate::packages;
use crate::sandbox::in_lab_for;
use crate::user::User;
use crate::venv;
use crate::wait::{eventually, seconds};

const SOON: std::time::Duration = seconds(90);
const MESSAGES: usize = 20;

/// Somebody's client, a process of its own.
struct Client {
    child: Child,
    stdin: ChildStdin,
    output: PathBuf,
}

impl Client {
    fn start(user: &User<'_>, room: &str, other: &User<'_>) -> Self {
        let output = PathBuf::from(format!("/run/lab/{}.client", user.server.host.name()));
        let device = user.must("GET", "/_matrix/client/v3/account/whoami", &Value::Null);
        let device = device["device_id"].as_str().expect("a device").to_owned();
        let mut command = Command::new("node");
        command.arg(directory().join("talk.mjs")).arg("http://127.0.0.1:8008");
        command.args([&user.id, &user.token, &device, room, &other.id]).current_dir(directory());
        let log = File::create(&output).expect("/run is ours");
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = user.server.host.spawn(&mut command);
        let stdin = child.stdin.take().expect("it is a pipe");
        Self { child, stdin, output }
    }

    /// Waits for a line of its output.
    fn wait_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, SOON, || {
            let text = std::fs::read_to_string(&self.output).expect("/run is ours");
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line| is_it(line))
        })
    }

    fn say(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").expect("the client runs");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("── output of a client\n{}", std::fs::read_to_string(&self.output).unwrap_or_default());
        }
    }
}

fn directory() -> PathBuf {
    packages::directory("client")
}

#[test]
#[ignore = "needs Node and packages of npm: .ci/matrix --clients"]
fn an_unmodified_client_talks_encrypted_across_two_hops() {
    if !venv::is_there("an_unmodified_client_talks_encrypted_across_two_hops") {
        return;
    }
    packages::install("client", &["package.json", "talk.mjs"]);
    in_lab_for(seconds(300), &["node"], |lab| {
        let line = Line::build(lab);
        let servers = line.synapses([0, 2], &json!({}));
        let (alice, carol) = (servers[0].register("alice"), servers[1].register("carol"));
        let encryption =
            json!({"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
        let room = alice.create_room(&json!({ "preset": "public_chat", "initial_state": [encryption] }));
        carol.join(&room, &alice);
        alice.wait_for_member(&room, &carol, SOON);

        let mut clients = [Client::start(&alice, &room, &carol), Client::start(&carol, &room, &alice)];
        for client in &clients {
            let ready = client.wait_for("the client is ready", |line| line["ready"] == true);
            assert!(ready["devices"].as_u64().unwrap() > 0, "the other's devices are not known");
        }
        let mut times = Vec::new();
        for n in 0..MESSAGES {
            for (from, to, sender) in [(0, 1, &alice), (1, 0, &carol)] {
                let text = format!("a secret, {n}, {}", escape(&sender.id));
                let start = Instant::now();
                clients[from].say(&text);
                let heard = clients[to].wait_for(&text, |line| line["body"] == text.as_str());
                times.push(start.elapsed().as_millis());
                assert_eq!((&heard["encrypted"], &heard["wire"]), (&json!(true), &json!("m.room.encrypted")));
            }
        }
        times.sort_unstable();
        println!(
            "FIGURE | mesh | encrypted message, client to client, two hops | {} | {} |",
            times[times.len() / 2],
            times[times.len() * 95 / 100]
        );
        // What the homeservers passed on is nothing that they could read.
        let all = alice.must(
            "GET",
            &format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=100", escape(&room)),
            &Value::Null,
        );
        assert!(!all.to_string().contains("a secret"), "the homeserver knows the text");
    });
}
