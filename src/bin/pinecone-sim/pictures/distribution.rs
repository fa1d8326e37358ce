//! Distributions of stretch: how many pairs take how many times the fewest possible hops.

use super::PictureError;
use super::axis::Axis;
use super::chart::{Figure, Item, Panel, small_panels};
use super::over_time::Runs;
use super::style;

/// Beyond this, a few pairs would push all others into the corner.
const MOST: f64 = 8.0;
/// Places at which a curve is drawn.
const STEPS: usize = 140;

type Spread = [(f64, f64)];

/// Both ways of one network: value, and percent of the pairs that are not above it.
pub(crate) fn ways(name: &str, by_key: &Spread, by_coordinates: &Spread) -> Result<String, PictureError> {
    if by_key.is_empty() && by_coordinates.is_empty() {
        return Err(PictureError::Nothing("no pair reached each other at the end".to_owned()));
    }
    let end = end([by_key, by_coordinates]);
    let line = |colour, spread: &Spread| Item::Line(colour, 3, curve(&[spread.to_vec()], end));
    let panel = Panel {
        title: "Stretch".to_owned(),
        x: axis(end),
        y: Axis::percent("% of the pairs with at most this stretch"),
        items: vec![line(style::BY_KEY, by_key), line(style::BY_COORDINATES, by_coordinates)],
        events: Vec::new(),
    };
    let figure = Figure {
        title: format!("{name}: how far from the shortest way"),
        subtitle: "hops taken over the fewest possible, pairs that reach each other at the end".to_owned(),
        legend: vec![
            (style::BY_KEY, "by key: first contact".to_owned()),
            (style::BY_COORDINATES, "by coordinates".to_owned()),
        ],
        panels: vec![panel],
        columns: 1,
        panel_size: small_panels(1).1,
    };
    figure.draw()
}

/// Both routers on many graphs; the pairs of all seeds together.
pub(crate) fn comparison(title: &str, subtitle: &str, graphs: &[(String, Runs)]) -> Result<String, PictureError> {
    let spreads = || graphs.iter().flat_map(|(_, runs)| runs).flat_map(|(_, seeds)| seeds);
    let end = end(spreads().map(Vec::as_slice));
    let panel = |(graph, runs): &(String, Runs)| Panel {
        title: graph.clone(),
        x: axis(end),
        y: Axis::percent("% of the pairs with at most this"),
        items: runs
            .iter()
            .map(|(mode, seeds)| Item::Line(style::router(mode), style::thickness(mode), curve(seeds, end)))
            .collect(),
        events: Vec::new(),
    };
    Figure::of_routers(title, subtitle, graphs.iter().map(panel).collect()).draw()
}

fn axis(end: f64) -> Axis {
    Axis::linear("stretch", 1.0, end)
}

/// Up to where an axis goes that shows 99 % of the pairs of each.
fn end<'a>(spreads: impl IntoIterator<Item = &'a Spread>) -> f64 {
    let most = |spread: &Spread| spread.iter().find(|(_, percent)| *percent >= 99.0).map_or(1.0, |(value, _)| *value);
    spreads.into_iter().map(most).fold(1.5, f64::max).min(MOST)
}

/// One curve of some distributions of equally many pairs, in steps: stretch is a fraction of small numbers.
fn curve(spreads: &[Vec<(f64, f64)>], end: f64) -> Vec<(f64, f64)> {
    let share = |value: f64| {
        let below = |spread: &Vec<(f64, f64)>| {
            spread.iter().rev().find(|(at, _)| *at <= value).map_or(0.0, |(_, percent)| *percent)
        };
        spreads.iter().map(below).sum::<f64>() / spreads.len().max(1) as f64
    };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for step in 0..=STEPS {
        let value = 1.0 + (end - 1.0) * step as f64 / STEPS as f64;
        let percent = share(value + 1e-9);
        if points.last().is_some_and(|(_, before)| *before != percent) || step == STEPS {
            points.extend(points.last().map(|(_, before)| (value, *before)));
        }
        if points.last().is_none_or(|(_, before)| *before != percent) {
            points.push((value, percent));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_becomes_steps_that_reach_from_the_shortest_way_to_the_end_of_the_axis() {
        let points = curve(&[vec![(1.0, 40.0), (2.0, 100.0)]], 3.0);
        assert_eq!(points, [(1.0, 40.0), (2.0, 40.0), (2.0, 100.0), (3.0, 100.0)]);
    }

    #[test]
    fn the_axis_ends_where_hardly_any_pair_is_left_and_never_far_out() {
        assert_eq!(end([[(1.0, 50.0), (2.5, 99.5), (7.0, 100.0)].as_slice()]), 2.5);
        assert_eq!(end([[(1.0, 50.0), (90.0, 100.0)].as_slice()]), MOST);
    }
}
