//! Somebody with an account: what a client does, and what it has seen.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::homeserver::Homeserver;
use crate::http::{Request, ask, escape};
use crate::wait::seconds;

/// As much of a room's timeline as any test writes, so that nothing is left out of an answer.
const FILTER: &str = r#"{"room":{"timeline":{"limit":500}},"presence":{"limit":0,"types":[]}}"#;
/// How long one request may take.
const PATIENCE: Duration = seconds(60);

/// A logged-in user. Synchronises whenever it waits for something.
pub(crate) struct User<'a> {
    pub(crate) server: &'a Homeserver,
    pub(crate) id: String,
    pub(crate) token: String,
    since: RefCell<Option<String>>,
    /// Everything that was ever among the state, in a timeline or among the ephemeral events, as `(room, event)`.
    seen: RefCell<Vec<(String, Value)>>,
    invited: RefCell<Vec<String>>,
    count: Cell<u32>,
}

impl<'a> User<'a> {
    pub(crate) fn new(server: &'a Homeserver, id: String, token: String) -> Self {
        let (since, seen, invited, count) = (RefCell::default(), RefCell::default(), RefCell::default(), Cell::new(0));
        Self { server, id, token, since, seen, invited, count }
    }

    /// One call of the client API with JSON in both directions: the status and the answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let (status, answer) = self
            .raw(method, path, "application/json", body.as_bytes())
            .unwrap_or_else(|| panic!("{}: {method} {path}: no answer", self.id));
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// As [`User::call`]; the call must succeed.
    pub(crate) fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{}: {method} {path}: {answer}", self.id);
        answer
    }

    fn raw(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request = Request { method, path, token: &self.token, content_type, body };
        ask(&self.server.host, &request, PATIENCE)
    }

    pub(crate) fn create_room(&self, options: &Value) -> String {
        let answer = self.must("POST", "/_matrix/client/v3/createRoom", options);
        answer["room_id"].as_str().expect("a room has an id").to_owned()
    }

    pub(crate) fn invite(&self, room: &str, whom: &User<'_>) {
        self.must("POST", &room_path(room, "invite"), &json!({ "user_id": whom.id }));
    }

    /// Joins through the server of `via`.
    pub(crate) fn join(&self, room: &str, via: &User<'_>) {
        let path = format!("/_matrix/client/v3/join/{}?server_name={}", escape(room), escape(&via.server.name));
        self.must("POST", &path, &json!({}));
    }

    /// Sends a message. Returns its event id.
    pub(crate) fn say(&self, room: &str, text: &str) -> String {
        self.send(room, &json!({ "msgtype": "m.text", "body": text }))
    }

    /// Sends any content of a message.
    pub(crate) fn send(&self, room: &str, content: &Value) -> String {
        self.count.set(self.count.get() + 1);
        let path = room_path(room, &format!("send/m.room.message/t{}", self.count.get()));
        self.must("PUT", &path, content)["event_id"].as_str().expect("an event has an id").to_owned()
    }

    pub(crate) fn mark_read(&self, room: &str, event: &str) {
        self.must("POST", &room_path(room, &format!("receipt/m.read/{}", escape(event))), &json!({}));
    }

    pub(crate) fn type_in(&self, room: &str, typing: bool) {
        let body = if typing { json!({ "typing": true, "timeout": 30_000 }) } else { json!({ "typing": false }) };
        self.must("PUT", &room_path(room, &format!("typing/{}", escape(&self.id))), &body);
    }

    /// Uploads a file. Returns its `mxc://` address.
    pub(crate) fn upload(&self, content_type: &str, bytes: &[u8]) -> String {
        let answer = self.raw("POST", "/_matrix/media/v3/upload?filename=picture", content_type, bytes);
        let (status, answer) = answer.expect("an answer to the upload");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["content_uri"].as_str().expect("an upload has an address").to_owned()
    }

    /// Downloads a file through the own homeserver.
    pub(crate) fn download(&self, address: &str) -> Option<Vec<u8>> {
        let (server, media) = address.strip_prefix("mxc://")?.split_once('/')?;
        let path = format!("/_matrix/client/v1/media/download/{}/{}", escape(server), escape(media));
        self.raw("GET", &path, "", &[]).filter(|(status, _)| *status == 200).map(|(_, bytes)| bytes)
    }

    /// Takes what is new, waiting for it up to `timeout`.
    pub(crate) fn sync(&self, timeout: Duration) {
        let mut path = format!("/_matrix/client/v3/sync?timeout={}&filter={}", timeout.as_millis(), escape(FILTER));
        if let Some(since) = &*self.since.borrow() {
            path.push_str(&format!("&since={since}"));
        }
        let answer = self.must("GET", &path, &Value::Null);
        let rooms = &answer["rooms"];
        let mut seen = self.seen.borrow_mut();
        for (room, what) in rooms["join"].as_object().into_iter().flatten() {
            for list in ["state", "timeline", "ephemeral"] {
                let events = what[list]["events"].as_array().into_iter().flatten();
                seen.extend(events.map(|event| (room.clone(), event.clone())));
            }
        }
        self.invited
            .borrow_mut()
            .extend(rooms["invite"].as_object().into_iter().flat_map(|rooms| rooms.keys().cloned()));
        self.since.replace(answer["next_batch"].as_str().map(str::to_owned));
    }

    /// Synchronises until `found` finds something among what was seen.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        deadline: Duration,
        found: impl Fn(&[(String, Value)]) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found(&self.seen.borrow()) {
                return found;
            }
            let left = deadline.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "{} waited {:.0} s in vain until {what}", self.id, deadline.as_secs_f64());
            self.sync(left.min(seconds(5)));
        }
    }

    /// Waits for a message. Returns its event.
    pub(crate) fn wait_for_message(&self, room: &str, text: &str, deadline: Duration) -> Value {
        let is_it = |(place, event): &&(String, Value)| place == room && event["content"]["body"] == text;
        self.wait_for(&format!("{text:?} arrives"), deadline, |seen| {
            seen.iter().find(is_it).map(|(_, event)| event.clone())
        })
    }

    pub(crate) fn wait_for_invite(&self, room: &str, deadline: Duration) {
        self.wait_for("the invitation arrives", deadline, |_| {
            self.invited.borrow().iter().any(|to| to == room).then_some(())
        });
    }

    /// Waits until `who` is seen in the room.
    pub(crate) fn wait_for_member(&self, room: &str, who: &User<'_>, deadline: Duration) {
        self.wait_for(&format!("{} is in the room", who.id), deadline, |seen| {
            let is_it = |(place, event): &&(String, Value)| {
                place == room && event["state_key"] == who.id.as_str() && event["content"]["membership"] == "join"
            };
            seen.iter().find(is_it).map(|_| ())
        });
    }
}

fn room_path(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", escape(room))
}
