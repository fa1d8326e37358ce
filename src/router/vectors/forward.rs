//! What happens to one traffic frame, from arrival to the frame that goes on.

use super::golden::{Value, Vectors, coords, number, truth};
use super::{NOW, index, list, parse, port_of, router_in};
use crate::buf::PacketBuf;
use crate::router::snake::{Kept, Route};
use crate::router::{Router, RouterConfig, Verdict};
use crate::time::Duration;
use crate::wire::coords::Coords;
use crate::wire::frame::{self, Frame, TrafficHeader};

const PAYLOAD: &[u8] = b"payload";

fn router_for(vectors: &Vectors, case: &Value) -> Router {
    let config = RouterConfig { hop_limiting: truth(&case["hop_limiting"]), ..RouterConfig::default() };
    let mut router = router_in(vectors, &case["state"], config);
    for entry in list(&case["state"]["routes"]) {
        let via = port_of(index(&entry["via"]).unwrap());
        let (root, sequence) = (router.root(), number(&entry["seq"]));
        let route = Route {
            via,
            next: None,
            live_until: NOW + Duration::from_secs(10),
            root,
            sequence,
            kept: Kept::default(),
            is_reported: false,
        };
        router.snake.routes.insert(vectors.key(&entry["key"]), via, route);
    }
    router
}

/// The frame of a case, as it comes in.
fn frame_of(vectors: &Vectors, frame: &Value, destination: &Coords) -> PacketBuf {
    let mut bytes = PacketBuf::from(PAYLOAD);
    let header = TrafficHeader {
        version: 1,
        extra: 2,
        hop_limit: u8::try_from(number(&frame["hop_limit"])).unwrap(),
        destination,
        source: &coords(&frame["source"]),
        destination_key: &vectors.key(&frame["destination_key"]),
        source_key: &vectors.key(&frame["source_key"]),
        watermark: vectors.watermark(&frame["watermark"]),
    };
    frame::emit_traffic(&mut bytes, &header).unwrap();
    bytes
}

/// Forwards the frame of a case; tells what happened in the words of the vectors.
fn outcome(vectors: &Vectors, case: &Value, destination: &Coords) -> Value {
    let mut router = router_for(vectors, case);
    let mut bytes = frame_of(vectors, &case["frame"], destination);
    let from = index(&case["from"]).map_or(0, port_of);
    let verdict = router.forward(from, &mut bytes, NOW).unwrap();
    let Frame::Traffic(frame) = parse(&bytes) else { panic!("not a traffic frame any more") };
    assert_eq!((frame.payload, bytes[4], bytes[6]), (PAYLOAD, 1, 2), "what nobody may change");
    assert_eq!(frame.source_key, vectors.key(&case["frame"]["source_key"]));
    assert_eq!(frame.source, coords(&case["frame"]["source"]));
    assert_eq!(frame.destination_key, vectors.key(&case["frame"]["destination_key"]));
    match verdict {
        Verdict::Drop(_) => serde_json::json!({ "action": "drop" }),
        Verdict::Deliver(delivery) => {
            assert_eq!(&bytes[delivery.payload_at..], PAYLOAD);
            assert_eq!((delivery.source_key, delivery.destination_key), (frame.source_key, frame.destination_key));
            // The reference keeps the coordinates of those who send to its very key; sessions tell each other theirs.
            let is_kept = delivery.destination_key == router.own && !frame.source.is_empty();
            match is_kept {
                true => serde_json::json!({ "action": "deliver", "cache_coords": texts(&frame.source.to_owned()) }),
                false => serde_json::json!({ "action": "deliver" }),
            }
        }
        Verdict::Forward(port) => {
            let mut sent = serde_json::json!({
                "action": "send",
                "peer": port - 1,
                "hop_limit": frame.hop_limit,
                "destination": texts(&frame.destination.to_owned()),
            });
            if frame.destination.is_empty() {
                sent["watermark"] =
                    serde_json::json!([vectors.name_of(&frame.watermark.key), frame.watermark.sequence.to_string(),]);
            }
            sent
        }
    }
}

fn texts(coords: &Coords) -> Vec<String> {
    coords.as_slice().iter().map(u64::to_string).collect()
}

/// Whether the reference lets the frame end here because of its coordinates, though its key is another node's (pitfall
/// 15).
fn ends_with_a_stranger_at_the_reference(vectors: &Vectors, case: &Value) -> bool {
    let router = router_for(vectors, case);
    let destination = coords(&case["frame"]["destination"]);
    let is_for_another = vectors.key(&case["frame"]["destination_key"]) != router.own;
    is_for_another && !destination.is_empty() && destination == *router.coords()
}

#[test]
fn every_frame_takes_a_way_that_the_vectors_allow() {
    let vectors = Vectors::load("forward");
    let mut misdelivered = 0;
    for (i, case) in vectors.cases("cases").iter().enumerate() {
        let destination = coords(&case["frame"]["destination"]);
        let ours = outcome(&vectors, case, &destination);
        if ends_with_a_stranger_at_the_reference(&vectors, case) {
            // The reference hands the payload to its application, whose it is not. We let the frame go on by key,
            // exactly as if it had come without coordinates.
            misdelivered += 1;
            assert_eq!(ours, outcome(&vectors, case, &Coords::default()), "case {i}: {case}");
            continue;
        }
        assert!(list(&case["expected_any_of"]).contains(&ours), "case {i}: {ours}\n{case}");
    }
    assert_eq!(misdelivered, 44, "cases that differ from the reference on purpose");
}
