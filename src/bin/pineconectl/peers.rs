//! Answers for people: peerings, and peers without one.

use pinecone::config::Rate;
use pinecone::control::{Peers, WaitingPeer};
use pinecone::node::status::PeerStatus;

use crate::output::{Column, table};
use crate::units::{maybe_coordinates, milliseconds, size, span};

/// All peerings, then the peers that are not connected.
pub(crate) fn text(peers: &Peers) -> String {
    let columns = [
        Column::Right("PORT"),
        Column::Left("ADDRESS"),
        Column::Left("URI"),
        Column::Left("DIALLED BY"),
        Column::Left("KEY IS"),
        Column::Right("UP"),
        Column::Left("COORDINATES"),
        Column::Right("RECEIVED"),
        Column::Right("SENT"),
        Column::Right("QUEUED"),
        Column::Right("DROPPED"),
        Column::Right("ROUND TRIP"),
        Column::Left("PRIORITY"),
        Column::Right("CAP"),
    ];
    let rows = peers.peers.iter().map(peer_row).collect();
    let mut text = table(&columns, rows, "no peers; add one with `pineconectl peer add tcp://HOST:PORT`");
    if !peers.waiting.is_empty() {
        let columns =
            [Column::Left("NOT CONNECTED"), Column::Right("FAILED"), Column::Left("NEXT ATTEMPT"), Column::Left("WHY")];
        text.push('\n');
        text.push_str(&table(&columns, peers.waiting.iter().map(waiting_row).collect(), ""));
    }
    text
}

fn peer_row(peer: &PeerStatus) -> Vec<String> {
    let place = maybe_coordinates(peer.coordinates.as_deref());
    vec![
        peer.port.to_string(),
        peer.address.clone(),
        peer.uri.clone(),
        if peer.inbound { "peer" } else { "us" }.to_owned(),
        if peer.authenticated { "proven" } else { "unauthenticated" }.to_owned(),
        span(peer.uptime_seconds),
        if peer.parent { format!("{place} parent") } else { place },
        size(peer.received_bytes),
        size(peer.sent_bytes),
        size(peer.queued_bytes as u64),
        peer.queue_drops.to_string(),
        peer.round_trip_seconds.map_or_else(|| "-".to_owned(), milliseconds),
        if peer.carries { peer.priority.to_string() } else { format!("{} backup", peer.priority) },
        peer.max_rate.map_or_else(|| "-".to_owned(), |rate| format!("{}bit/s", Rate(rate))),
    ]
}

fn waiting_row(peer: &WaitingPeer) -> Vec<String> {
    vec![
        peer.uri.clone(),
        peer.failures.to_string(),
        peer.next_attempt_seconds.map_or_else(|| "under way".to_owned(), |seconds| format!("in {}", span(seconds))),
        peer.last_error.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use pinecone::keys::PublicKey;

    use super::*;

    #[test]
    fn peers_that_are_not_connected_are_shown_with_the_reason() {
        let waiting = WaitingPeer {
            uri: "tcp://192.0.2.1:7463".to_owned(),
            failures: 3,
            last_error: Some("connection refused".to_owned()),
            next_attempt_seconds: Some(12.0),
        };
        let text = text(&Peers { peers: Vec::new(), waiting: vec![waiting] });
        assert!(text.starts_with("no peers; add one"), "{text}");
        assert!(text.contains("in 12 s") && text.contains("connection refused"), "{text}");
    }

    #[test]
    fn a_peer_whose_key_is_not_proven_is_called_unauthenticated() {
        let peer = PeerStatus {
            port: 1,
            key: PublicKey([1; 32]),
            address: "607:1::1".to_owned(),
            uri: "tcp://192.0.2.1:7463".to_owned(),
            inbound: true,
            authenticated: false,
            uptime_seconds: 61.0,
            coordinates: Some(vec![4]),
            root: None,
            parent: true,
            received_bytes: 2048,
            sent_bytes: 10,
            queued_bytes: 0,
            queue_drops: 0,
            round_trip_seconds: Some(0.0125),
            priority: 7,
            carries: false,
            transit: Default::default(),
            max_rate: Some(10_000_000),
        };
        let text = text(&Peers { peers: vec![peer], waiting: Vec::new() });
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..8], ["1", "607:1::1", "tcp://192.0.2.1:7463", "peer", "unauthenticated", "1", "min", "1"]);
        assert!(text.contains("7 backup") && text.contains("10Mbit/s"), "{text}");
        assert!(text.contains("[4] parent") && text.contains("2.0 KiB"), "{text}");
    }
}
