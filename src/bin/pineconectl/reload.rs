//! What a reload did, for people.

use pinecone::config::changes::{Change, Effect};
use pinecone::control::ReloadReport;

/// One line per change, then what is left to do.
pub(crate) fn text(report: &ReloadReport) -> String {
    let ReloadReport { source, dry_run, changes, warnings } = report;
    let mut text = String::new();
    for Change { key, what, effect } in changes {
        let note = match effect {
            Effect::Reload => "",
            Effect::Restart => "  (needs a restart)",
        };
        text.push_str(&format!("{key}: {what}{note}\n"));
    }
    for warning in warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let restarts = changes.iter().filter(|change| change.effect == Effect::Restart).count();
    text.push_str(&match (changes.len() - restarts, dry_run) {
        (0, _) if restarts == 0 => format!("nothing is different in {source}\n"),
        (0, _) => format!("nothing to reload in {source}\n"),
        (live, true) => format!("{source} is right; a reload would change {live} of its keys\n"),
        (live, false) => format!("{source} is in force; {live} of its keys changed\n"),
    });
    if restarts > 0 {
        text.push_str(&format!(
            "{restarts} of its keys take effect at the next start only: systemctl restart pineconed\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dry_run: bool, effects: &[Effect]) -> String {
        let change = |effect: &Effect| Change { key: "a.b".into(), what: "1 → 2".into(), effect: *effect };
        let changes = effects.iter().map(change).collect();
        text(&ReloadReport { source: "f.toml".into(), dry_run, changes, warnings: vec![] })
    }

    #[test]
    fn what_is_done_what_would_be_done_and_what_is_left_are_told_apart() {
        assert_eq!(report(true, &[]), "nothing is different in f.toml\n");
        assert_eq!(
            report(true, &[Effect::Reload]),
            "a.b: 1 → 2\nf.toml is right; a reload would change 1 of its keys\n"
        );
        assert_eq!(
            report(false, &[Effect::Reload, Effect::Restart]),
            "a.b: 1 → 2\na.b: 1 → 2  (needs a restart)\nf.toml is in force; 1 of its keys changed\n\
             1 of its keys take effect at the next start only: systemctl restart pineconed\n"
        );
    }
}
