//! Delivery over time: how many answer, second by second, and what happened meanwhile.

use super::PictureError;
use super::axis::Axis;
use super::chart::{Figure, Item, Panel};
use super::style;

/// What is drawn of a scenario's samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) duration: f64,
    /// Seconds and percent of pairs that answer when asked by key alone.
    pub(crate) by_key: Vec<(f64, f64)>,
    /// The same by coordinates.
    pub(crate) by_coordinates: Vec<(f64, f64)>,
    /// Seconds and bytes per node and second.
    pub(crate) traffic: Vec<(f64, f64)>,
    /// What happened when.
    pub(crate) events: Vec<(f64, String)>,
}

/// A scenario: delivery, and below it what the protocol sent.
pub(crate) fn story(story: &Story) -> Result<String, PictureError> {
    if story.by_key.is_empty() {
        return Err(PictureError::Nothing("the scenario took no samples".to_owned()));
    }
    let time = || Axis::linear("seconds", 0.0, story.duration);
    let most = story.traffic.iter().map(|(_, bytes)| *bytes).fold(1.0, f64::max);
    let delivery = Panel {
        title: "Delivery".to_owned(),
        x: time(),
        y: Axis::percent("% of the pairs that answer"),
        items: vec![
            Item::Line(style::BY_KEY, 3, story.by_key.clone()),
            Item::Line(style::BY_COORDINATES, 2, story.by_coordinates.clone()),
        ],
        events: story.events.clone(),
    };
    let floor = story.traffic.iter().map(|(at, _)| (*at, 0.0)).collect();
    let traffic = Panel {
        title: "Traffic of the protocol".to_owned(),
        x: time(),
        y: Axis::linear("bytes a second, per node", 0.0, most * 1.05),
        items: vec![
            Item::Band(style::ALONE, floor, story.traffic.clone()),
            Item::Line(style::ALONE, 2, story.traffic.clone()),
        ],
        events: story.events.iter().map(|(at, _)| (*at, String::new())).collect(),
    };
    let figure = Figure {
        title: format!("{}: who reaches whom", story.name),
        subtitle: "pairs of nodes that are connected at that moment, asked again and again".to_owned(),
        legend: vec![
            (style::BY_KEY, "by key: first contact".to_owned()),
            (style::BY_COORDINATES, "by coordinates: once they know each other".to_owned()),
        ],
        panels: vec![delivery, traffic],
        columns: 1,
        panel_size: (1_000, 350),
    };
    figure.draw()
}

/// The curves of one graph: the router's name, and a curve for each seed.
pub(crate) type Runs = Vec<(String, Vec<Vec<(f64, f64)>>)>;

/// Percent over time on many graphs, for the routers side by side: the mean of the seeds, and what they span.
pub(crate) fn comparison(title: &str, subtitle: &str, graphs: &[(String, Runs)]) -> Result<String, PictureError> {
    let curves = || graphs.iter().flat_map(|(_, runs)| runs).flat_map(|(_, seeds)| seeds);
    let end = curves().filter_map(|curve| curve.last()).map(|(at, _)| *at).fold(0.0, f64::max);
    let panel = |(graph, runs): &(String, Runs)| {
        let mut items = Vec::new();
        for (mode, seeds) in runs {
            let (low, mean, high) = span(seeds, end);
            items.push(Item::Band(style::router(mode), low, high));
            items.push(Item::Line(style::router(mode), style::thickness(mode), mean));
        }
        Panel {
            title: graph.clone(),
            x: Axis::linear("seconds", 0.0, end),
            y: Axis::percent("% of the pairs"),
            items,
            events: Vec::new(),
        }
    };
    Figure::of_routers(title, subtitle, graphs.iter().map(panel).collect()).draw()
}

type Curve = Vec<(f64, f64)>;

/// Lowest, mean and highest of curves at common times. A curve that ends at 100 % goes on there: sampling stopped because all was well. Any
/// other was given up, and nobody knows how it would have gone on: there all three end.
fn span(seeds: &[Curve], end: f64) -> (Curve, Curve, Curve) {
    let given_up = |seed: &Curve| seed.last().filter(|(_, value)| *value < 100.0).map(|(at, _)| *at);
    let end = seeds.iter().filter_map(given_up).fold(end, f64::min);
    let mut times: Vec<f64> = seeds.iter().flatten().map(|(at, _)| *at).chain([end]).filter(|at| *at <= end).collect();
    times.sort_by(f64::total_cmp);
    times.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
    let (mut low, mut mean, mut high) = (Vec::new(), Vec::new(), Vec::new());
    for at in times {
        let now: Vec<f64> = seeds.iter().filter_map(|seed| value(seed, at)).collect();
        if now.is_empty() {
            continue;
        }
        low.push((at, now.iter().copied().fold(f64::MAX, f64::min)));
        mean.push((at, now.iter().sum::<f64>() / now.len() as f64));
        high.push((at, now.iter().copied().fold(f64::MIN, f64::max)));
    }
    (low, mean, high)
}

/// The value of a curve at a time: the last one until then, or the first.
fn value(curve: &[(f64, f64)], at: f64) -> Option<f64> {
    let before = curve.iter().rev().find(|(time, _)| *time <= at + 1e-6);
    before.or(curve.first()).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_averaged_at_common_times_and_a_curve_that_got_to_the_end_stays_there() {
        let seeds = [vec![(0.0, 50.0), (1.0, 100.0)], vec![(0.0, 0.0), (1.0, 50.0), (2.0, 100.0)]];
        let (low, mean, high) = span(&seeds, 3.0);
        assert_eq!(mean, [(0.0, 25.0), (1.0, 75.0), (2.0, 100.0), (3.0, 100.0)]);
        assert_eq!((low[1], high[1]), ((1.0, 50.0), (1.0, 100.0)));
    }

    #[test]
    fn a_curve_that_was_given_up_is_not_drawn_on() {
        let seeds = [vec![(0.0, 50.0), (1.0, 100.0)], vec![(0.0, 0.0), (1.0, 50.0), (2.0, 80.0)]];
        assert_eq!(span(&seeds, 9.0).1.last(), Some(&(2.0, 90.0)));
    }
}
