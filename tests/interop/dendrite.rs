//! Dendrite's own Pinecone demo: two homeservers that only meet through our daemon share a room.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::daemon::{Config, Running};
use crate::lab::{Host, Link};
use crate::program;
use crate::sandbox::in_lab;
use crate::wait::{eventually, seconds, wait_until};

/// The demo's port for clients, on its own loopback interface.
const CLIENTS: (&str, u16) = ("127.0.0.1", 8008);

#[test]
fn two_dendrite_homeservers_share_a_room_through_our_daemon() {
    if !program::dendrite_is_there("dendrite") {
        return;
    }
    in_lab(&[], |lab| {
        let (left, middle, right) = (lab.host("left"), lab.host("middle"), lab.host("right"));
        let (to_left, to_right) = (lab.link(&middle, &left), lab.link(&middle, &right));
        let relay = Running::start(lab, &middle, Config { tun: "none".into(), ..Config::new(1) });
        let (a, b) = (Homeserver::start(&left, &to_left), Homeserver::start(&right, &to_right));
        let (alice, bob) = (a.register("alice"), b.register("bob"));
        let room = alice.post("createRoom", &json!({"preset": "public_chat", "name": "across the mesh"}));
        let room = room["room_id"].as_str().unwrap();
        let server = alice.id.split_once(':').unwrap().1;
        eventually("bob joins the room on alice's server", seconds(60), || {
            bob.post(&format!("join/{room}?server_name={server}"), &json!({}))["room_id"].as_str().map(|_| ())
        });
        for (sender, reader, text) in [(&alice, &bob, "hello from alice"), (&bob, &alice, "hello from bob")] {
            sender.say(room, text);
            wait_until(text, seconds(30), || reader.sees(room, text));
        }
        assert_relayed(&relay);
    });
}

fn assert_relayed(relay: &Rc<Running>) {
    let forwarded = relay.ctl("status")["frames_forwarded"].as_u64().unwrap();
    assert!(forwarded > 20, "only {forwarded} frames went through our daemon");
    assert_eq!(relay.peers().len(), 2, "both homeservers are still peers");
}

/// A running demo with its own directory.
struct Homeserver {
    host: Host,
    process: Child,
    _directory: tempfile::TempDir,
}

/// Somebody on a homeserver.
struct User<'a> {
    server: &'a Homeserver,
    id: String,
    token: String,
}

impl Homeserver {
    fn start(host: &Host, link: &Link) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let peer = link.ends[0].uri();
        let mut command = Command::new(program::dendrite_path());
        command.current_dir(directory.path()).args(["-dir", ".", "-really-enable-open-registration", "-peer"]);
        command.arg(peer.trim_start_matches("tcp://")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { host: host.clone(), process: host.spawn(&mut command), _directory: directory }
    }

    fn register(&self, name: &str) -> User<'_> {
        let request = json!({"username": name, "password": "correct horse battery", "auth": {"type": "m.login.dummy"}});
        let (id, token) = eventually("the homeserver takes a new user", seconds(30), || {
            let answer = self.request("POST", "register", "", Some(&request))?;
            Some((answer["user_id"].as_str()?.to_owned(), answer["access_token"].as_str()?.to_owned()))
        });
        User { server: self, id, token }
    }

    /// One call of the client API. HTTP/1.0, so that the answer simply ends with the connection.
    fn request(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Option<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = self.host.within(|| TcpStream::connect(CLIENTS)).ok()?;
        stream.set_read_timeout(Some(seconds(30))).ok()?;
        let length = body.len();
        let head = format!("{method} /_matrix/client/v3/{path} HTTP/1.0\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl User<'_> {
    fn post(&self, path: &str, body: &Value) -> Value {
        self.server.request("POST", path, &self.token, Some(body)).unwrap_or_default()
    }

    fn say(&self, room: &str, text: &str) {
        let body = json!({"msgtype": "m.text", "body": text});
        let path = format!("rooms/{room}/send/m.room.message/{}", text.replace(' ', "-"));
        let answer = self.server.request("PUT", &path, &self.token, Some(&body)).unwrap_or_default();
        assert!(answer["event_id"].is_string(), "{answer}");
    }

    fn sees(&self, room: &str, text: &str) -> bool {
        let messages = self.server.request("GET", &format!("rooms/{room}/messages?dir=b&limit=20"), &self.token, None);
        let Some(messages) = messages else { return false };
        messages["chunk"].as_array().is_some_and(|all| all.iter().any(|event| event["content"]["body"] == text))
    }
}
