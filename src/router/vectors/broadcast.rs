//! Wakeup broadcasts: what is accepted, what closes the peering, where it goes on to.

use super::golden::{Value, Vectors, hex, number, truth};
use super::{NOW, drain, index, list, parse, port_of, router_in};
use crate::router::{RouterConfig, RouterEvent};
use crate::time::Duration;
use crate::wire::frame::{BroadcastFrame, Frame};

#[derive(Debug, PartialEq)]
struct Outcome {
    closes_peering: bool,
    is_accepted: bool,
    sent: Vec<(usize, u8)>,
}

fn outcome(vectors: &Vectors, case: &Value) -> Outcome {
    let mut router = router_in(vectors, &case["state"], RouterConfig::default());
    let source = vectors.key(&case["source_key"]);
    let from = port_of(index(&case["from"]).unwrap());
    if let Some(seen) = case.get("seen_before") {
        let at = NOW - Duration::from_secs(number(&seen["age_seconds"]));
        router.broadcasts.remember(source, from, number(&seen["seq"]), at);
    }
    let payload = hex(&case["payload"]);
    let hop_limit = u8::try_from(number(&case["hop_limit"])).unwrap();
    let frame = BroadcastFrame { version: 3, extra: 4, hop_limit, source, payload: &payload };
    let result = router.handle_protocol_frame(from, &Frame::Broadcast(frame), NOW);
    let is_accepted =
        std::iter::from_fn(|| router.poll_event()).any(|event| event == RouterEvent::WakeupBroadcast(source));
    let sent = drain(&mut router).into_iter().map(|(peer, bytes)| match parse(&bytes) {
        Frame::Broadcast(sent) => {
            assert_eq!((sent.source, sent.payload, sent.version, sent.extra), (source, &payload[..], 3, 4));
            (peer, sent.hop_limit)
        }
        other => panic!("{other:?}"),
    });
    Outcome { closes_peering: result.is_err(), is_accepted, sent: sent.collect() }
}

#[test]
fn every_broadcast_is_treated_as_the_vectors_say() {
    let vectors = Vectors::load("broadcast_handling");
    let (mut own, mut useless) = (0, 0);
    for (i, case) in vectors.cases("cases").iter().enumerate() {
        let ours = outcome(&vectors, case);
        let nothing = Outcome { closes_peering: false, is_accepted: false, sent: Vec::new() };
        // Pitfall 19: the reference takes its own broadcasts for another node's.
        if case["source_key"] == case["state"]["own"] && case.get("bad").is_none_or(|bad| bad != "short") {
            own += 1;
            assert_eq!(ours, nothing, "case {i}: {case}");
            continue;
        }
        // The reference checks every signature and closes the peering for a wrong one. We do not spend a check on a
        // broadcast that is dropped anyway.
        let is_stale = case
            .get("seen_before")
            .is_some_and(|seen| number(&seen["age_seconds"]) < 30 || number(&case["seq"]) <= number(&seen["seq"]));
        if case.get("bad").is_some_and(|bad| bad == "signature") && is_stale {
            useless += 1;
            assert_eq!(ours, nothing, "case {i}: {case}");
            continue;
        }
        // Pitfall 19 again: no broadcast goes further than one that has just been sent.
        let hop_limit = case.get("forwarded_hop_limit").map_or(0, |limit| number(limit).min(4) as u8);
        let expected = Outcome {
            closes_peering: truth(&case["closes_peering"]),
            is_accepted: truth(&case["accepted"]),
            sent: list(&case["forwarded_to"]).iter().filter_map(index).map(|peer| (peer, hop_limit)).collect(),
        };
        assert_eq!(ours, expected, "case {i}: {case}");
    }
    assert!(own <= 3 && useless <= 12, "{own} + {useless} cases are not compared with the reference");
}
