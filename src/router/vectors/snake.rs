//! Snake: the next hop by key, and scripts of bootstraps and ticks.

use super::golden::{Value, Vectors, hex, number, text_of, truth};
use super::{NOW, drain, index, kind, list, parse, port_of, router_in};
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::router::next_hop::{self, NextHop, Rank, SignerIndex, SnakeQuery, SnakeView};
use crate::router::snake::{Kept, Route, Routes};
use crate::router::transit::Leaves;
use crate::router::{Port, Router, RouterConfig};
use crate::time::{Duration, Instant};
use crate::wire::frame::{BootstrapFrame, Frame};
use crate::wire::snake::Watermark;
use crate::wire::tree::Root;

/// A route that is alive at `NOW`, or expired just then.
fn route(via: Port, root: Root, sequence: u64, is_expired: bool) -> Route {
    let live_until = if is_expired { NOW } else { NOW + Duration::from_secs(10) };
    Route { via, next: None, live_until, root, sequence, kept: Kept::default(), is_reported: false }
}

/// The next hop of a case of `snek_nexthop`. Peerings that are not up do not exist for us.
fn next_hop_of(vectors: &Vectors, case: &Value) -> (Option<NextHop>, Watermark) {
    let peers = list(&case["peers"]);
    let is_up = |index: usize| truth(&peers[index]["started"]);
    let rank = |index: usize| {
        Rank::new(kind(&peers[index]["type"]), number(&peers[index]["announcement"]["order"]), port_of(index))
    };
    let mut signers = SignerIndex::default();
    for (i, peer) in peers.iter().enumerate().filter(|(i, _)| is_up(*i)) {
        if let Some(announcement) = peer.get("announcement") {
            let keys: Vec<_> = list(&announcement["hop_keys"]).iter().map(|key| vectors.key(key)).collect();
            signers.insert(keys.iter(), vectors.key(&peer["key"]), rank(i));
        }
    }
    let root = vectors.root(&case["root"]);
    let mut routes = Routes::new(100);
    for entry in list(&case["routes"]) {
        let via = index(&entry["via"]).unwrap();
        if is_up(via) {
            let route = route(port_of(via), root, number(&entry["seq"]), truth(&entry["expired"]));
            routes.insert(vectors.key(&entry["key"]), route.via, route);
        }
    }
    let view = SnakeView {
        own: vectors.key(&case["own"]),
        root: root.key,
        parent: index(&case["parent"]).filter(|parent| is_up(*parent)).map(rank),
        signers: &signers,
        leaves: &Leaves::default(),
        looks_above_root: false,
        routes: &routes,
        now: NOW,
    };
    let query = SnakeQuery {
        destination: vectors.key(&case["destination"]),
        bootstrap: truth(&case["bootstrap"]),
        watermark: vectors.watermark(&case["watermark"]),
    };
    next_hop::by_key(&view, &query)
}

/// The reference replaces the peering to a key by a parallel one without asking whether that is up (pitfall 14). These
/// are the cases in which its only answer is such a dead peering; we take one to the same key that lives.
const REFERENCE_PICKS_A_DEAD_PEERING: [usize; 3] = [16, 536, 545];

#[test]
fn the_next_hop_by_key_is_one_that_the_vectors_allow() {
    let vectors = Vectors::load("snek_nexthop");
    for (i, case) in vectors.cases("cases").iter().enumerate() {
        let (next, watermark) = next_hop_of(&vectors, case);
        let allowed = |expected: &Value| {
            let is_same_peer = match next {
                None => expected["next"].is_null(),
                Some(NextHop::Local) => expected["next"] == "self",
                Some(NextHop::Port(port)) if REFERENCE_PICKS_A_DEAD_PEERING.contains(&i) => {
                    let peer = |i: usize| &case["peers"][i];
                    let (ours, theirs) = (peer(usize::from(port) - 1), peer(index(&expected["next"]).unwrap()));
                    truth(&ours["started"]) && !truth(&theirs["started"]) && ours["key"] == theirs["key"]
                }
                Some(NextHop::Port(port)) => index(&expected["next"]).map(port_of) == Some(port),
            };
            is_same_peer && watermark == vectors.watermark(&expected["watermark"])
        };
        assert!(list(&case["expected_any_of"]).iter().any(allowed), "case {i}: {next:?} {watermark:?}\n{case}");
    }
}

/// A node that lives through a script of bootstraps.
struct Script<'a> {
    vectors: &'a Vectors,
    router: Router,
    now: Instant,
}

impl Script<'_> {
    fn step(&mut self, event: &Value) {
        if event["type"] == "age" {
            self.now = self.now + Duration::from_secs(number(&event["seconds"]));
        }
        self.router.snake.bootstrap_due = self.now + self.router.config.timings.bootstrap;
        match text_of(&event["type"]) {
            "bootstrap" => self.bootstrap(event),
            "age" => {}
            "root_sequence" => self.set_root_sequence(number(&event["seq"])),
            "disconnect" => self.router.remove_peer(port_of(index(&event["peer"]).unwrap()), self.now),
            "maintain" => {
                if truth(&event["bootstrap_due"]) {
                    self.router.snake.bootstrap_due = self.now;
                }
                self.router.maintain_snake(self.now);
            }
            other => panic!("no event {other}"),
        }
    }

    fn bootstrap(&mut self, event: &Value) {
        let payload = hex(&event["payload"]);
        let frame = BootstrapFrame {
            version: 7,
            extra: 8,
            hop_limit: 9,
            destination: self.vectors.key(&event["key"]),
            watermark: self.vectors.watermark(&event["watermark"]),
            payload: &payload,
        };
        let from = port_of(index(&event["from"]).unwrap());
        let wrong = self.router.drops().get(DropReason::BadSignature);
        self.router.handle_protocol_frame(from, &Frame::Bootstrap(frame), self.now).unwrap();
        let is_good = event.get("bad_signature").is_none_or(|bad| !truth(bad));
        assert!(!is_good || self.router.drops().get(DropReason::BadSignature) == wrong, "a good signature was refused");
    }

    fn set_root_sequence(&mut self, sequence: u64) {
        let root = self.router.tree.root;
        for port in self.router.peers.ports().collect::<Vec<_>>() {
            let heard = self.router.peers.get_mut(port).and_then(|peer| peer.heard.as_mut());
            if let Some(heard) = heard.filter(|heard| heard.announcement.root == root) {
                heard.announcement.root.sequence = sequence;
            }
        }
        if self.router.tree.parent.is_none() {
            self.router.tree.own_sequence = sequence;
        }
        self.router.update_tree();
    }

    /// The reference stores and forwards our own bootstraps that come back (pitfall 13); we do not.
    fn is_ours(&self, key: &PublicKey) -> bool {
        *key == self.router.own
    }

    fn check(&mut self, after: &Value) {
        let expected: Vec<_> = list(&after["table"])
            .iter()
            .map(|row| {
                let via = index(&row["via"]).map(port_of).unwrap();
                (self.vectors.key(&row["key"]), via, index(&row["next"]).map(port_of), number(&row["seq"]))
            })
            .filter(|(key, ..)| !self.is_ours(key))
            .collect();
        let routes = self.router.snake.routes.iter();
        let table: Vec<_> = routes.map(|(key, route)| (*key, route.via, route.next, route.sequence)).collect();
        assert_eq!(table, expected, "table");
        let descending = self.router.snake.descending.map(|(key, _)| key);
        let expected = (!after["descending"].is_null()).then(|| self.vectors.key(&after["descending"]));
        assert_eq!(descending, expected, "descending");
        assert_eq!(self.router.snake.bootstrap_due <= self.now, truth(&after["bootstrap_soon"]), "bootstrap soon");
    }

    fn check_sent(&mut self, event: &Value, after: &Value) {
        let returned = event["type"] == "bootstrap" && self.is_ours(&self.vectors.key(&event["key"]));
        let mut sent: Vec<_> = drain(&mut self.router)
            .into_iter()
            .filter_map(|(peer, bytes)| match parse(&bytes) {
                Frame::Bootstrap(frame) => {
                    let carried = if event["type"] == "bootstrap" { (7, 8, 9) } else { (0, 0, 0) };
                    assert_eq!((frame.version, frame.extra, frame.hop_limit), carried);
                    Some((peer, frame.destination, frame.watermark))
                }
                _ => None,
            })
            .collect();
        sent.sort_by_key(|(peer, key, _)| (*peer, *key));
        let expected: Vec<_> = list(&after["bootstraps_sent"])
            .iter()
            .filter(|_| !returned)
            .map(|row| {
                (index(&row["peer"]).unwrap(), self.vectors.key(&row["key"]), self.vectors.watermark(&row["watermark"]))
            })
            .collect();
        assert_eq!(sent, expected, "sent");
    }
}

#[test]
fn a_node_lives_through_every_script_of_bootstraps_as_the_reference_does() {
    let vectors = Vectors::load("snek_sequences");
    for (number_of_case, case) in vectors.cases("cases").iter().enumerate() {
        let router = router_in(&vectors, &case["state"], RouterConfig::default());
        let mut script = Script { vectors: &vectors, router, now: NOW };
        for (i, step) in list(&case["steps"]).iter().enumerate() {
            println!("case {number_of_case}, step {i}: {}", step["event"]);
            script.step(&step["event"]);
            script.check(&step["after"]);
            script.check_sent(&step["event"], &step["after"]);
        }
    }
}
