//! `pineconectl firewall`: rules with what they let in, and explanations.

use pinecone::control::Request;
use pinecone::node::status::{Explanation, FirewallStatus};

use crate::args::{ExplainOptions, FirewallCommand};
use crate::error::CommandError;
use crate::names;
use crate::output::{Column, pairs, table};

/// What is asked of the daemon. (It says so if the port is missing or too many.)
pub(crate) fn request(command: Option<&FirewallCommand>) -> Result<Request, CommandError> {
    Ok(match command {
        None => Request::Firewall,
        Some(FirewallCommand::Explain(ExplainOptions { source, port, protocol })) => {
            Request::FirewallExplain { source: names::find(source)?, protocol: *protocol, port: *port }
        }
    })
}

/// The policy, the rules, and what decided about packets so far.
pub(crate) fn text(status: &FirewallStatus) -> String {
    let policy = match status.policy.as_str() {
        "open" => "open: everything comes in",
        "rules" => "rules: answers, echo requests and what the rules cover come in",
        _ => "established: answers and echo requests come in, nothing else",
    };
    let flows = format!("{} of at most {} remembered", status.flows, status.flow_limit);
    let mut text = pairs(&[("inbound", policy.to_owned()), ("conversations", flows)]);
    text.push('\n');
    let rules =
        status.rules.iter().map(|rule| vec![rule.number.to_string(), rule.rule.clone(), rule.packets.to_string()]);
    let columns = [Column::Right("RULE"), Column::Left("LETS IN"), Column::Right("PACKETS")];
    text.push_str(&table(&columns, rules.collect(), "no rules"));
    text.push('\n');
    let decisions = status.decisions.iter().map(|(name, count)| vec![meaning(name).to_owned(), count.to_string()]);
    text.push_str(&table(&[Column::Left("DECIDED BY"), Column::Right("PACKETS")], decisions.collect(), ""));
    text
}

/// What would become of a packet.
pub(crate) fn explanation(explanation: &Explanation) -> String {
    let Explanation { allowed, why, near, to_allow, flows, .. } = explanation;
    let mut lines = vec![(if *allowed { "allowed" } else { "refused" }, why.clone())];
    lines.extend(near.iter().map(|near| ("not by", near.clone())));
    if *flows > 0 {
        lines.push((
            "but",
            format!("this host has {flows} conversations with that address, and answers to them come in"),
        ));
    }
    if let Some(rule) = to_allow {
        lines.push(("to allow it", format!("write into the configuration: [firewall] inbound = [ {rule} ]")));
    }
    pairs(&lines)
}

fn meaning(decision: &str) -> &str {
    match decision {
        "open" => "everything is let in",
        "flow" => "answers to what this host sent",
        "restart_grace" => "connections older than the daemon",
        "echo_request" => "echo requests",
        "icmp_error" => "ICMPv6 errors about packets of this host",
        "later_fragment" => "fragments of what was let in",
        "rule" => "rules",
        "refused" => "refused",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_with_what_nearly_allowed_it_and_what_would() {
        let refused = Explanation {
            allowed: false,
            decided_by: "refused".to_owned(),
            rule: None,
            why: "the only rule does not cover it".to_owned(),
            near: vec!["rule 1 (tcp 22 from any) is for another port".to_owned()],
            to_allow: Some("{ from = \"600::1\", protocol = \"tcp\", port = 80 }".to_owned()),
            flows: 2,
        };
        let text = explanation(&refused);
        let words =
            ["refused      the only", "not by       rule 1", "but          this host has 2", "inbound = [ { from"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }

    #[test]
    fn rules_are_listed_with_the_packets_that_they_let_in() {
        let rule = pinecone::node::status::RuleStatus { number: 1, rule: "tcp 22 from any".to_owned(), packets: 7 };
        let status = FirewallStatus {
            policy: "rules".to_owned(),
            rules: vec![rule],
            decisions: [("refused".to_owned(), 3)].into(),
            flows: 1,
            flow_limit: 32_768,
        };
        let text = text(&status);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(
            rows.contains(&vec!["1", "tcp", "22", "from", "any", "7"]) && rows.contains(&vec!["refused", "3"]),
            "{text}"
        );
        assert!(text.contains("1 of at most 32768"), "{text}");
    }
}
