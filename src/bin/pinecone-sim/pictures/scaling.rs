//! What a node has to remember and to send, over the size of its network.

use super::PictureError;
use super::axis::Axis;
use super::chart::{Figure, Item, Panel, routers};
use super::style;

/// One number of one router on one graph.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) mode: String,
    pub(crate) nodes: usize,
    /// Of an average node, and of the one that has most.
    pub(crate) mean: f64,
    pub(crate) most: f64,
}

/// Panels with a name of what is measured, side by side.
pub(crate) fn draw((title, subtitle): (&str, &str), quantities: &[(&str, Vec<Point>)]) -> Result<String, PictureError> {
    let panel = |(name, points): &(&str, Vec<Point>)| {
        let mut items = Vec::new();
        // The routers' dots stand a little apart: both were measured on the same graphs.
        let beside = |mode: &str, nodes: usize| nodes as f64 * if mode == "strict" { 0.96 } else { 1.04 };
        for mode in ["strict", "improved"] {
            let of_mode: Vec<&Point> = points.iter().filter(|point| point.mode == mode).collect();
            let means: Vec<(f64, f64)> = of_mode.iter().map(|point| (point.nodes as f64, point.mean)).collect();
            items.extend(trend(&means).map(|(line, _)| Item::Line(style::router(mode), 2, line)));
            items.extend(
                of_mode
                    .iter()
                    .map(|point| Item::Dot(style::router(mode), false, (beside(mode, point.nodes), point.most))),
            );
            items.extend(
                of_mode
                    .iter()
                    .map(|point| Item::Dot(style::router(mode), true, (beside(mode, point.nodes), point.mean))),
            );
        }
        Panel {
            title: (*name).to_owned(),
            x: Axis::logarithmic("nodes in the network", points.iter().map(|point| point.nodes as f64)),
            y: Axis::logarithmic(&powers(points), points.iter().flat_map(|point| [point.mean, point.most])),
            items,
            events: Vec::new(),
        }
    };
    let quantities: Vec<_> = quantities.iter().filter(|(_, points)| !points.is_empty()).collect();
    let figure = Figure {
        title: title.to_owned(),
        subtitle: subtitle.to_owned(),
        legend: routers(),
        panels: quantities.into_iter().map(panel).collect(),
        columns: 2,
        panel_size: (500, 400),
    };
    figure.draw()
}

/// In words, how the averages grow with the network.
fn powers(points: &[Point]) -> String {
    let power = |mode: &str| {
        let of_mode = points.iter().filter(|point| point.mode == mode);
        let means: Vec<_> = of_mode.map(|point| (point.nodes as f64, point.mean)).collect();
        trend(&means).map(|(_, power)| format!("{mode} as n to the {power:.2}"))
    };
    let powers: Vec<String> = ["strict", "improved"].into_iter().filter_map(power).collect();
    if powers.is_empty() { String::new() } else { format!("averages grow: {}", powers.join(", ")) }
}

/// The straight line through logarithms, as its ends, and its slope: the power with which the numbers grow. None through networks of about
/// one size.
fn trend(points: &[(f64, f64)]) -> Option<(Vec<(f64, f64)>, f64)> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let (low, high) = logs.iter().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    if high - low < 2f64.ln() {
        return None;
    }
    let len = logs.len() as f64;
    let (x, y) = (logs.iter().map(|(x, _)| x).sum::<f64>() / len, logs.iter().map(|(_, y)| y).sum::<f64>() / len);
    let slope = logs.iter().map(|at| (at.0 - x) * (at.1 - y)).sum::<f64>()
        / logs.iter().map(|at| (at.0 - x).powi(2)).sum::<f64>();
    let at = |log: f64| (log.exp(), (y + slope * (log - x)).exp());
    Some((vec![at(low), at(high)], slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trend_of_a_power_is_that_power_and_one_size_has_no_trend() {
        let points: Vec<(f64, f64)> = [50.0, 1_000.0, 5_000.0].map(|n: f64| (n, 3.0 * n.sqrt())).to_vec();
        let (line, power) = trend(&points).unwrap();
        assert!((power - 0.5).abs() < 1e-9 && (line[1].1 - points[2].1).abs() < 1e-6, "{line:?}");
        assert!(trend(&[(1_000.0, 5.0), (1_024.0, 9.0)]).is_none());
    }
}
