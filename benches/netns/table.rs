//! The tables in Markdown. Pure: tested by `tests/bench_netns.rs`.

use std::fmt::Write as _;

use crate::readings::{Results, Row, Unit};
use crate::stats::{median, paired_ratio};

/// The peer that stands for what user space can do at all.
pub(crate) const CEILING: &str = "pump";
/// The peers that are compared with, of which the best counts.
pub(crate) const RIVALS: &[&str] = &["yggdrasil", "mycelium"];

/// Medians of all rows, with a column for each peer; then the ratios of each peer in `ours`.
pub(crate) fn markdown(results: &Results, ours: &[usize]) -> String {
    let mut text = medians(results);
    let ratios = ratios(results, ours);
    if !ratios.is_empty() {
        let _ = write!(text, "\n{ratios}");
    }
    for failure in &results.repeated {
        let _ = write!(text, "\nFailed, and was measured again: {failure}\n");
    }
    for failure in &results.failures {
        let _ = write!(text, "\nFailed: {failure}\n");
    }
    text
}

fn medians(results: &Results) -> String {
    let mut text = line(["case", "measured", "unit"].into_iter().chain(results.peers.iter().map(String::as_str)));
    text += &rule(3, results.peers.len());
    for row in &results.rows {
        let cells = row.values.iter().map(|rounds| cell(rounds, row.unit));
        text += &line([row.case.clone(), row.what.clone(), row.unit.name().to_owned()].into_iter().chain(cells));
    }
    text
}

/// Of ours to the ceiling and to the best rival. Above 1 is better for rates, below 1 for everything else.
fn ratios(results: &Results, ours: &[usize]) -> String {
    let position = |name: &str| results.peers.iter().position(|peer| peer == name);
    let ceiling = position(CEILING);
    let rivals: Vec<_> = RIVALS.iter().filter_map(|name| position(name)).collect();
    // Several of ours are a before and its afters.
    let first = ours.first().copied();
    let mut heads = vec!["case".to_owned(), "measured".to_owned(), "better".to_owned()];
    for &own in ours {
        let name = &results.peers[own];
        heads.extend(ceiling.map(|_| format!("{name} / {CEILING}")));
        heads.extend((!rivals.is_empty()).then(|| format!("{name} / best other overlay")));
        heads.extend(first.filter(|first| *first != own).map(|first| format!("{name} / {}", results.peers[first])));
    }
    if heads.len() == 3 {
        return String::new();
    }
    let mut text = line(&heads) + &rule(3, heads.len() - 3);
    for row in &results.rows {
        let better = if row.unit.more_is_better() { "more" } else { "less" };
        let mut cells = vec![row.case.clone(), row.what.clone(), better.to_owned()];
        for &own in ours {
            let against = |other: usize| ratio(&row.values[own], &row.values[other]);
            cells.extend(ceiling.map(against));
            cells.extend((!rivals.is_empty()).then(|| best(row, &rivals).map_or("–".to_owned(), against)));
            cells.extend(first.filter(|first| *first != own).map(against));
        }
        text += &line(&cells);
    }
    text
}

/// The peer with the best median.
fn best(row: &Row, among: &[usize]) -> Option<usize> {
    let medians = among.iter().filter_map(|peer| Some((*peer, present(&row.values[*peer])?)));
    let score = |value: f64| if row.unit.more_is_better() { value } else { -value };
    medians.max_by(|(_, a), (_, b)| score(*a).total_cmp(&score(*b))).map(|(peer, _)| peer)
}

/// The median of the rounds that there were.
fn present(rounds: &[Option<f64>]) -> Option<f64> {
    median(&rounds.iter().flatten().copied().collect::<Vec<_>>())
}

fn cell(rounds: &[Option<f64>], unit: Unit) -> String {
    let digits = |value: f64| match unit {
        Unit::PerSecond => 0,
        _ if value >= 100.0 => 0,
        _ if value >= 10.0 => 1,
        _ if value >= 0.1 => 2,
        _ => 3,
    };
    present(rounds).map_or("–".to_owned(), |value| format!("{value:.*}", digits(value)))
}

fn ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> String {
    paired_ratio(ours, theirs).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn line<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let mut text = "|".to_owned();
    for cell in cells {
        let _ = write!(text, " {} |", cell.as_ref());
    }
    text + "\n"
}

fn rule(words: usize, numbers: usize) -> String {
    format!("|{}{}\n", "---|".repeat(words), "---:|".repeat(numbers))
}
