//! Answers for people: which way packets go, and which ways there are.

use pinecone::node::status::{PathCandidate, PathStatus, TraceAnswer, TraceHop};

use crate::output::{Column, pairs, table};
use crate::units::{milliseconds, span};

/// The nodes on the way to another one.
pub(crate) fn trace(answer: &TraceAnswer) -> String {
    let end = if answer.reached { "reached" } else { "not reached" };
    let rtt = answer.rtt_seconds.map_or_else(|| "no answer inside a session".to_owned(), milliseconds);
    let head = pairs(&[
        ("node", answer.address.clone()),
        ("public key", answer.key.to_string()),
        ("routed by", answer.stage.clone()),
        ("round trip", rtt),
        ("trace", end.to_owned()),
    ]);
    let columns = [
        Column::Right("HOP"),
        Column::Left("NODE"),
        Column::Right("ROUND TRIP"),
        Column::Left("FORWARDS BY"),
        Column::Left("LINK"),
        Column::Left("WHY"),
    ];
    format!("{head}\n{}", table(&columns, answer.hops.iter().map(hop).collect(), ""))
}

fn hop(hop: &TraceHop) -> Vec<String> {
    let node = match (&hop.key, hop.state.as_str()) {
        (Some(key), _) => key.to_string(),
        (None, "hidden") => "(hidden)".to_owned(),
        (None, "silent") => "(no answer)".to_owned(),
        (None, _) => "(not one of ours)".to_owned(),
    };
    let link = match (&hop.link, hop.link_rtt_seconds) {
        (Some(link), Some(rtt)) => format!("{link}, {}", milliseconds(rtt)),
        (Some(link), None) => link.clone(),
        (None, Some(rtt)) => milliseconds(rtt),
        (None, None) => String::new(),
    };
    let stage = hop.stage.clone().unwrap_or_else(|| if hop.key.is_some() { hop.state.clone() } else { String::new() });
    let rtt = hop.rtt_seconds.map_or_else(String::new, milliseconds);
    vec![hop.hop.to_string(), node, rtt, stage, link, hop.why.clone()]
}

/// The ways to another node.
pub(crate) fn path(status: &PathStatus) -> String {
    let rtt = |seconds: Option<f64>| seconds.map_or_else(|| "not measured".to_owned(), milliseconds);
    let head = pairs(&[
        ("node", status.address.clone()),
        ("public key", status.key.to_string()),
        ("routed by", status.stage.clone()),
        ("because", status.reason.clone()),
        ("without a route", format!("{}, {}", status.without_route, rtt(status.without_route_rtt_seconds))),
    ]);
    let row = |candidate: &PathCandidate| {
        vec![
            if candidate.used { "*" } else { "" }.to_owned(),
            candidate.first_peer.map_or_else(|| "(gone)".to_owned(), |key| key.to_string()),
            candidate.hops.to_string(),
            rtt(candidate.rtt_seconds),
            candidate.probes_answered.to_string(),
            span(candidate.age_seconds),
            if candidate.sealed { "yes" } else { "no" }.to_owned(),
        ]
    };
    let columns = [
        Column::Left("USED"),
        Column::Left("FIRST PEER"),
        Column::Right("LINKS"),
        Column::Right("ROUND TRIP"),
        Column::Right("PROBES"),
        Column::Right("AGE"),
        Column::Left("SEALED"),
    ];
    format!("{head}\n{}", table(&columns, status.candidates.iter().map(row).collect(), "no routes are known"))
}

#[cfg(test)]
mod tests {
    use pinecone::keys::PublicKey;

    use super::*;

    #[test]
    fn hops_that_say_nothing_are_told_from_those_that_hide() {
        let state = |hop, state: &str| TraceHop { hop, state: state.to_owned(), ..TraceHop::default() };
        let answer = TraceAnswer {
            key: PublicKey([1; 32]),
            address: "607::1".to_owned(),
            stage: "tree".to_owned(),
            reached: false,
            rtt_seconds: None,
            hops: vec![state(1, "hidden"), state(2, "silent"), state(3, "plain")],
        };
        let text = trace(&answer);
        assert!(
            text.contains("(hidden)") && text.contains("(no answer)") && text.contains("(not one of ours)"),
            "{text}"
        );
        assert!(text.contains("not reached"), "{text}");
    }

    #[test]
    fn without_routes_it_says_why() {
        let status = PathStatus {
            key: PublicKey([1; 32]),
            address: "607::1".to_owned(),
            stage: "snake".to_owned(),
            reason: "routes are being looked for".to_owned(),
            without_route: "snake".to_owned(),
            without_route_rtt_seconds: Some(0.004),
            candidates: Vec::new(),
        };
        let text = path(&status);
        assert!(text.contains("routes are being looked for") && text.contains("no routes are known"), "{text}");
        assert!(text.contains("snake, 4.00 ms"), "{text}");
    }
}
