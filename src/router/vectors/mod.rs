//! The golden vectors for routing decisions, run against the router's own functions.
//!
//! They are unit tests because most cases describe a node in the middle of its life, with abstract peers whose
//! announcements nobody signed. Where we differ from the reference on purpose, the test says why and checks what
//! happens instead.

#[path = "../../../tests/common/vectors.rs"]
mod golden;

mod broadcast;
mod forward;
mod snake;
mod tree;

use std::sync::Arc;

use self::golden::{Value, Vectors, number};
use super::{PeerKind, Port, Router, RouterConfig};
use crate::keys::PublicKey;
use crate::time::{Instant, UnixClock, UnixMillis};
use crate::wire::extensions::Extensions;
use crate::wire::frame::{self, Frame};
use crate::wire::tree::{Announcement, Hop};

/// Late enough that every age in the vectors fits before it.
const NOW: Instant = Instant::from_micros(100_000_000_000);

/// The port of a peer that the vectors name by its index.
fn port_of(index: usize) -> Port {
    Port::try_from(index + 1).unwrap()
}

/// The index of a peer, or `None` for "nobody" (−1 or null).
fn index(value: &Value) -> Option<usize> {
    value.as_u64().map(|index| usize::try_from(index).unwrap())
}

fn kind(value: &Value) -> PeerKind {
    match number(value) {
        0 => PeerKind::Pipe,
        1 => PeerKind::Lan,
        2 => PeerKind::Bonjour,
        3 => PeerKind::Remote,
        4 => PeerKind::Bluetooth,
        other => panic!("no peer kind {other}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A router with the key that the vectors name.
fn router_of(vectors: &Vectors, own: &Value, config: RouterConfig) -> Router {
    let clock = UnixClock::new(UnixMillis(1_700_000_000_000), NOW);
    Router::new(config, Arc::new(vectors.pair_of(own)), clock, NOW)
}

/// A router in the state that `forward.json` describes and other files refer to. Nothing waits to be sent.
fn router_in(vectors: &Vectors, state: &Value, config: RouterConfig) -> Router {
    let mut router = router_of(vectors, &state["own"], config);
    router.tree.own_sequence = number(&state["own_sequence"]);
    for (i, peer) in list(&state["peers"]).iter().enumerate() {
        let port = router.add_peer(vectors.key(&peer["key"]), kind(&peer["type"]), Extensions::NONE, NOW).unwrap();
        assert_eq!((u64::from(port), port), (number(&peer["port"]), port_of(i)));
        if let Some(announcement) = peer.get("announcement") {
            let hops = list(&announcement["hops"]).iter().map(|hop| unsigned(number(&hop[0]), vectors.key(&hop[1])));
            let announcement_of = Announcement { root: vectors.root(&announcement["root"]), hops: hops.collect() };
            router.tree.accepted = number(&announcement["order"]) - 1;
            router.store_announcement(port, announcement_of, NOW);
        }
    }
    router.tree.parent = index(&state["parent"]).map(port_of);
    router.update_tree();
    while router.poll_transmit().is_some() {}
    router
}

fn unsigned(port: u64, key: PublicKey) -> Hop {
    Hop { port, key, signature: [0; 64] }
}

/// Everything that the router wants to send, as (index of the peer, frame).
fn drain(router: &mut Router) -> Vec<(usize, Vec<u8>)> {
    let sent = std::iter::from_fn(|| router.poll_transmit());
    sent.map(|(port, frame)| (usize::from(port) - 1, frame.to_vec())).collect()
}

fn parse(bytes: &[u8]) -> Frame<'_> {
    frame::parse(bytes).unwrap()
}
