//! Bars side by side, for numbers at a few moments or of a few kinds.

use super::PictureError;
use super::axis::Axis;
use super::chart::{Figure, Item, Panel};
use super::style;

/// The bars of one graph: the router's name, and a percentage for each name at the axis.
pub(crate) type Groups = Vec<(String, Vec<f64>)>;

/// How wide the bars of one name are together; names are 1 apart.
const GROUP: f64 = 0.74;

/// Percentages on many graphs, for the routers side by side.
pub(crate) fn draw(
    (title, subtitle): (&str, &str),
    axis: (&str, &[&str]),
    graphs: &[(String, Groups)],
) -> Result<String, PictureError> {
    let panel = |(graph, groups): &(String, Groups)| Panel {
        title: graph.clone(),
        x: Axis::names(axis.0, axis.1),
        y: Axis::percent("% of the pairs"),
        items: groups
            .iter()
            .enumerate()
            .flat_map(|(n, (mode, values))| bars(mode, (n, groups.len()), values))
            .collect(),
        events: Vec::new(),
    };
    Figure::of_routers(title, subtitle, graphs.iter().map(panel).collect()).draw()
}

/// The bars of the `n`th of `of` routers.
fn bars(mode: &str, (n, of): (usize, usize), values: &[f64]) -> Vec<Item> {
    let wide = GROUP / of as f64;
    let left = |at: usize| at as f64 - GROUP / 2.0 + n as f64 * wide;
    let bar = |(at, value): (usize, &f64)| Item::Bar(style::router(mode), (left(at), left(at) + wide * 0.94), *value);
    values.iter().enumerate().map(bar).collect()
}
