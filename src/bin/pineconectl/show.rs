//! Answers for people: the node, the tree, the snake and sessions.

use std::collections::BTreeMap;

use pinecone::keys::PublicKey;
use pinecone::node::status::{Confinement, LookupAnswer, SessionStatus, SnakeStatus, Status, TreeStatus};

use crate::output::{Column, pairs, table};
use crate::units::{coordinates, maybe_coordinates, size, span};

/// The node at a glance.
pub(crate) fn status(status: &Status) -> String {
    let root = if status.root == status.public_key {
        "this node".to_owned()
    } else {
        format!("{} (sequence {})", status.root, status.root_sequence)
    };
    let counts = |counts: &BTreeMap<String, u64>| {
        let counts: Vec<String> = counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    };
    pairs(&[
        ("address", status.address.clone()),
        ("subnet", status.subnet.clone()),
        ("public key", status.public_key.to_string()),
        ("version", status.version.clone()),
        ("running for", span(status.uptime_seconds)),
        ("peers", status.peers.to_string()),
        ("sessions", status.sessions.to_string()),
        ("root", root),
        ("coordinates", coordinates(&status.coordinates)),
        ("snake routes", status.snake_routes.to_string()),
        ("packets", format!("{} delivered, {} sent", status.packets_delivered, status.packets_sent)),
        ("forwarded", format!("{} frames", status.frames_forwarded)),
        ("drops", counts(&status.drops)),
        ("refused peers", counts(&status.refused)),
        ("confinement", confinement(&status.confinement)),
        (
            "firewall",
            counts(
                &status
                    .firewall
                    .iter()
                    .filter(|(_, count)| **count > 0)
                    .map(|(name, count)| (name.clone(), *count))
                    .collect(),
            ),
        ),
    ])
}

fn confinement(confinement: &Confinement) -> String {
    let Confinement { capabilities, files, system_calls, .. } = confinement;
    let capabilities = if capabilities.is_empty() { "none".to_owned() } else { capabilities.join(", ") };
    format!("files {files}; system calls {system_calls}; capabilities {capabilities}")
}

/// The path from the root down to us.
pub(crate) fn tree(tree: &TreeStatus) -> String {
    let mut lines = vec![("root", format!("{} (sequence {})", tree.root, tree.root_sequence))];
    match (&tree.parent, tree.parent_port) {
        (Some(parent), Some(port)) => lines.push(("parent", format!("{parent} (port {port})"))),
        (Some(parent), None) => lines.push(("parent", parent.to_string())),
        (None, _) => lines.push(("parent", "none: this node is the root".to_owned())),
    }
    lines.push(("coordinates", coordinates(&tree.coordinates)));
    if tree.waiting {
        lines.push(("state", "about to choose a parent".to_owned()));
    }
    let mut text = pairs(&lines);
    if !tree.ancestors.is_empty() {
        let step = |(depth, key): (usize, &PublicKey)| {
            let port = tree.coordinates.get(depth).map_or_else(|| "-".to_owned(), u64::to_string);
            vec![depth.to_string(), key.to_string(), port]
        };
        let columns = [Column::Right("DEPTH"), Column::Left("NODE"), Column::Right("PORT TOWARDS US")];
        text.push('\n');
        text.push_str(&table(&columns, tree.ancestors.iter().enumerate().map(step).collect(), ""));
    }
    text
}

/// The routing table by key.
pub(crate) fn snake(snake: &SnakeStatus) -> String {
    let descending = snake.descending.map_or_else(|| "none".to_owned(), |key| key.to_string());
    let rows = snake.routes.iter().map(|route| {
        let to = route.next_port.map_or_else(|| "ends here".to_owned(), |port| port.to_string());
        vec![route.key.to_string(), route.via_port.to_string(), to, span(route.age_seconds)]
    });
    let columns =
        [Column::Left("KEY"), Column::Right("CAME FROM PORT"), Column::Right("WENT TO PORT"), Column::Right("AGE")];
    let routes = table(&columns, rows.collect(), "no routes: no other node's bootstrap has come by");
    format!("{}\n{routes}", pairs(&[("next lower key", descending)]))
}

/// Sessions with other nodes.
pub(crate) fn sessions(sessions: &[SessionStatus]) -> String {
    let maybe_span = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), span);
    let rows = sessions.iter().map(|session| {
        vec![
            session.address.clone(),
            session.state.clone(),
            session.cipher.clone().unwrap_or_else(|| "-".to_owned()),
            maybe_span(session.key_age_seconds),
            maybe_span(session.last_received_seconds),
            session.routed_by.clone(),
            maybe_coordinates(session.coordinates.as_deref()),
            session.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string()),
            size(session.received_bytes),
            size(session.sent_bytes),
        ]
    });
    let columns = [
        Column::Left("ADDRESS"),
        Column::Left("STATE"),
        Column::Left("CIPHER"),
        Column::Right("KEYS' AGE"),
        Column::Right("HEARD AGO"),
        Column::Left("ROUTED BY"),
        Column::Left("COORDINATES"),
        Column::Right("MTU"),
        Column::Right("RECEIVED"),
        Column::Right("SENT"),
    ];
    table(&columns, rows.collect(), "no sessions: nothing has been sent to another node lately, nor received from one")
}

/// Who owns an address.
pub(crate) fn lookup(answer: &LookupAnswer) -> String {
    let took =
        if answer.seconds > 0.0 { crate::units::milliseconds(answer.seconds) } else { "known already".to_owned() };
    pairs(&[
        ("target", answer.target.clone()),
        ("node", answer.address.clone()),
        ("public key", answer.key.to_string()),
        ("took", took),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey([0xaa; 32]);
    const B: PublicKey = PublicKey([0xbb; 32]);

    #[test]
    fn the_tree_is_shown_from_the_root_down() {
        let status = TreeStatus {
            root: A,
            root_sequence: 7,
            parent: Some(B),
            parent_port: Some(2),
            coordinates: vec![3, 9],
            ancestors: vec![A, B],
            waiting: false,
        };
        let text = tree(&status);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[2], ["coordinates", "[3", "9]"]);
        assert_eq!(rows[5], ["0", &A.to_string(), "3"]);
        assert_eq!(rows[6], ["1", &B.to_string(), "9"]);
        let alone = TreeStatus { parent: None, parent_port: None, coordinates: vec![], ancestors: vec![], ..status };
        assert!(tree(&alone).contains("this node is the root"));
    }

    #[test]
    fn an_empty_snake_and_no_sessions_say_why() {
        let text = snake(&SnakeStatus { descending: None, routes: Vec::new() });
        assert!(text.contains("next lower key  none") && text.contains("no routes"), "{text}");
        assert!(sessions(&[]).starts_with("no sessions"));
    }
}
