//! Spanning tree: decisions, parent selection, whole scripts, and the next hop by coordinates.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::golden::{Value, Vectors, coords, hex, number, text_of, truth};
use super::{NOW, drain, index, kind, list, parse, port_of, router_of, unsigned};
use crate::keys::PublicKey;
use crate::router::neighbours::Neighbours;
use crate::router::next_hop::{self, NextHop};
use crate::router::peers::Peer;
use crate::router::tree::{Action, Candidate, Update, decide, is_better};
use crate::router::{PeerKind, PeerMisbehaved, Port, Router, RouterConfig};
use crate::time::{Duration, Instant};
use crate::wire::coords::Coords;
use crate::wire::extensions::Extensions;
use crate::wire::frame::{self, Frame};
use crate::wire::tree::Announcement;

fn ordering(value: &Value) -> Ordering {
    value.as_i64().unwrap().cmp(&0)
}

fn action(name: &str) -> Action {
    match name {
        "ignore" => Action::Ignore,
        "accept_update" => Action::AcceptUpdate,
        "accept_new_parent" => Action::AcceptParent,
        "select_parent" => Action::SelectParent,
        "become_root_and_wait" => Action::BecomeRootAndWait,
        "inform_peer" => Action::InformPeer,
        other => panic!("no action {other}"),
    }
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(number(value))
}

#[test]
fn every_announcement_has_the_effect_that_the_vectors_say() {
    for case in Vectors::load("tree_decisions").cases("actions") {
        let update = Update {
            from_parent: truth(&case["sender_is_parent"]),
            has_loop: truth(&case["contains_own_key_or_loop"]),
            root: ordering(&case["new_root_vs_current"]),
            sequence: number(&case["new_seq"]).cmp(&number(&case["current_seq"])),
        };
        assert_eq!(decide(&update), action(text_of(&case["action"])), "{case}");
    }
}

#[test]
fn a_better_parent_is_one_that_the_vectors_call_better() {
    let vectors = Vectors::load("tree_decisions");
    let lifetime = RouterConfig::default().timings.announcement_lifetime;
    for case in vectors.cases("candidates") {
        let candidate = Candidate {
            root: vectors.root(&case["root"]),
            order: number(&case["order"]),
            is_fresh: seconds(&case["age_seconds"]) < lifetime,
            has_loop: truth(&case["contains_own_key_or_loop"]),
            is_reluctant: false,
        };
        let better = is_better(&candidate, vectors.root(&case["best_root"]), (false, number(&case["best_order"])));
        assert_eq!(better, truth(&case["better"]), "{case}");
    }
}

/// Any key that belongs to the port alone.
fn key_of(port: Port) -> PublicKey {
    PublicKey([u8::try_from(port).unwrap(); 32])
}

/// A router whose peers have announced what a case of `selection` says. A peering that is not up does not exist for us;
/// its index stays free.
fn router_for_selection(vectors: &Vectors, case: &Value) -> Router {
    let mut router = router_of(vectors, &case["own"], RouterConfig::default());
    router.tree.own_sequence = number(&case["own_sequence"]);
    for (i, peer) in list(&case["peers"]).iter().enumerate() {
        let port = router.add_peer(key_of(port_of(i)), PeerKind::Remote, Extensions::NONE, NOW).unwrap();
        let root = vectors.root(&peer["root"]);
        let mut hops = vec![unsigned(1, root.key)];
        if truth(&peer["contains_own_key"]) {
            hops.push(unsigned(2, router.own));
        }
        hops.push(unsigned(3, key_of(port)));
        router.tree.accepted = number(&peer["order"]) - 1;
        router.store_announcement(port, Announcement { root, hops }, NOW - seconds(&peer["age_seconds"]));
        // A root of our own key is no loop by itself: the vectors say separately what is one.
        router.peers.get_mut(port).unwrap().heard.as_mut().unwrap().has_loop = truth(&peer["contains_own_key"]);
    }
    router.tree.parent = index(&case["parent"]).map(port_of);
    router.update_tree();
    for (i, _) in list(&case["peers"]).iter().enumerate().filter(|(_, peer)| !truth(&peer["started"])) {
        if router.tree.parent == Some(port_of(i)) {
            // With us a parent cannot be down, but its announcement can be too old to be followed.
            let parent = router.peers.get_mut(port_of(i)).unwrap();
            parent.heard.as_mut().unwrap().at = NOW - Duration::from_secs(3600);
        } else {
            router.forget_signers(port_of(i));
            router.peers.remove(port_of(i));
        }
    }
    while router.poll_transmit().is_some() {}
    router
}

#[test]
fn parent_selection_ends_as_the_vectors_say() {
    let vectors = Vectors::load("tree_decisions");
    for case in vectors.cases("selection") {
        let mut router = router_for_selection(&vectors, case);
        router.snake.bootstrap_due = NOW + Duration::from_secs(5);
        router.select_parent(router.tree.root, NOW);
        assert_eq!(router.parent(), index(&case["new_parent"]).map(port_of), "{case}");
        assert_eq!(router.snake.bootstrap_due <= NOW, truth(&case["bootstrap_soon"]), "{case}");
        assert_eq!(router.tree.own_sequence, number(&case["own_sequence_after"]), "{case}");
        let is_up = |peer: usize| truth(&case["peers"][peer]["started"]);
        let sent = drain(&mut router).into_iter().filter(|(peer, _)| is_up(*peer)).count();
        assert_eq!(sent as u64, number(&case["announcements_sent"]), "{case}");
    }
}

/// The next hop of a case of `tree_nexthop`, as the vectors write it.
fn next_hop_of(case: &Value) -> Value {
    let mut neighbours: Vec<(PeerKind, u64, Port, Coords)> = Vec::new();
    for (i, peer) in list(&case["peers"]).iter().enumerate() {
        if ["started", "announced", "same_root"].iter().all(|what| truth(&peer[*what])) {
            let ports = list(&peer["announcement_ports"]);
            let own = ports.iter().take(ports.len() - 1).map(number).collect();
            neighbours.push((kind(&peer["type"]), number(&peer["order"]), port_of(i), Coords::new(own)));
        }
    }
    neighbours.sort();
    let neighbours = Neighbours::new(neighbours.into_iter().map(|(_, _, port, coords)| (port, coords)));
    let destination = coords(&case["destination"]);
    let from = index(&case["from"]).map_or(0, port_of);
    let own = coords(&case["our_coords"]);
    match next_hop::by_coordinates(destination.as_slice(), &own, &neighbours, &Neighbours::default(), from) {
        None => Value::Null,
        Some(NextHop::Local) => Value::from("self"),
        Some(NextHop::Port(port)) => Value::from(port - 1),
    }
}

#[test]
fn the_next_hop_by_coordinates_is_one_that_the_vectors_allow() {
    for case in Vectors::load("tree_nexthop").cases("cases") {
        let next = next_hop_of(case);
        assert!(list(&case["expected_any_of"]).contains(&next), "{next} in {case}");
    }
}

/// A node that lives through a script.
struct Script<'a> {
    vectors: &'a Vectors,
    case: &'a Value,
    router: Router,
    now: Instant,
}

impl Script<'_> {
    fn step(&mut self, event: &Value) {
        let peer = event.get("peer").and_then(index);
        match (text_of(&event["type"]), peer) {
            ("wait", None) => {
                self.now = self.now + Duration::from_millis(number(&event["ms"]));
                self.router.handle_timeout(self.now);
            }
            ("connect", Some(i)) => {
                let key = self.vectors.key(&self.case["peers"][i]["key"]);
                // Peers of a script have fixed ports.
                self.router.add_peer_at(
                    port_of(i),
                    Peer::new(key, PeerKind::Remote, Extensions::NONE, self.now),
                    self.now,
                );
            }
            ("disconnect", Some(i)) => self.router.remove_peer(port_of(i), self.now),
            ("announcement", Some(i)) => {
                let bytes = frame::announcement(&hex(&event["payload"])).unwrap();
                let result = self.router.handle_protocol_frame(port_of(i), &parse(&bytes), self.now);
                assert_eq!(result.is_err(), event.get("closes_peering").is_some_and(truth), "{event}");
                if let Err(why) = result {
                    assert!(
                        matches!(why, PeerMisbehaved::BadSignature | PeerMisbehaved::ReplayedAnnouncement),
                        "{why}"
                    );
                    self.router.remove_peer(port_of(i), self.now);
                }
            }
            other => panic!("no event {other:?}"),
        }
    }

    fn check(&mut self, after: &Value) {
        let router = &self.router;
        assert_eq!(router.parent(), index(&after["parent"]).map(port_of), "parent");
        assert_eq!(router.root(), self.vectors.root(&after["root"]), "root");
        assert_eq!(*router.coords(), coords(&after["coords"]), "coordinates");
        assert_eq!(router.is_waiting(), truth(&after["waiting"]), "waiting");
        let mut announced = BTreeMap::new();
        let mut greeted = Vec::new();
        for (peer, bytes) in drain(&mut self.router) {
            match parse(&bytes) {
                Frame::Announcement(payload) => {
                    let sent = Announcement::parse(payload).unwrap();
                    // What the peer sees last is our own signature; those before it are the vectors'.
                    assert!(sent.verify_from(0, crate::keys::Scheme::Ed25519));
                    announced.entry(peer).or_insert_with(Vec::new).push(sent);
                }
                Frame::Broadcast(broadcast) => {
                    assert_eq!((broadcast.source, broadcast.hop_limit), (self.router.own, 5));
                    greeted.push(peer);
                }
                Frame::Bootstrap(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let expected = after["announcements_sent"].as_object().unwrap().iter().map(|(peer, sent)| {
            (peer.parse().unwrap(), list(sent).iter().map(|sent| self.hops_of(sent)).collect::<Vec<_>>())
        });
        let announced: BTreeMap<_, _> = announced
            .into_iter()
            .map(|(peer, sent)| {
                let hops = |it: Announcement| (it.root, it.hops.iter().map(|hop| (hop.port, hop.key)).collect());
                (peer, sent.into_iter().map(hops).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(announced, expected.collect::<BTreeMap<usize, _>>(), "announcements");
        let expected =
            after.get("broadcast_sent_to").map_or(Vec::new(), |to| list(to).iter().filter_map(index).collect());
        assert_eq!(greeted, expected, "broadcasts");
    }

    fn hops_of(&self, sent: &Value) -> (crate::wire::tree::Root, Vec<(u64, PublicKey)>) {
        let hops = list(&sent["hops"]).iter().map(|hop| (number(&hop[0]), self.vectors.key(&hop[1])));
        (self.vectors.root(&sent["root"]), hops.collect())
    }
}

#[test]
fn a_node_lives_through_every_script_as_the_reference_does() {
    let vectors = Vectors::load("tree_sequences");
    for (number_of_case, case) in vectors.cases("cases").iter().enumerate() {
        let config =
            RouterConfig { initial_sequence: number(&case["initial_own_sequence"]), ..RouterConfig::default() };
        let router = router_of(&vectors, &case["own"], config);
        let mut script = Script { vectors: &vectors, case, router, now: NOW };
        for (i, step) in list(&case["steps"]).iter().enumerate() {
            println!("case {number_of_case}, step {i}: {}", step["event"]["type"]);
            script.step(&step["event"]);
            script.check(&step["after"]);
        }
    }
}
