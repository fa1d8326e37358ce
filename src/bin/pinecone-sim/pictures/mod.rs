//! Pictures: data in, the text of an SVG out. Nothing in here runs a simulation or touches a file.
//!
//! Two kinds, because they ask for different things. A network ([`topology`]) is drawn by hand: half a thousand curved lines are smooth only with
//! fractions of pixels, and grouped by style they take a third of the bytes. Charts ([`distribution`], [`over_time`], [`scaling`], [`bars`]) say
//! what they show as a [`chart::Figure`] and leave axes and ticks to `plotters`. The same data makes the same bytes: pictures are kept with
//! the report, and a change of one shows that something changed.
//!
//! - [`network`], [`layout`]: what a picture of a network needs to know, and where its nodes go;
//! - [`axis`], [`style`], [`svg`]: scales and their ticks; colours and sizes; text that becomes SVG.

pub(crate) mod axis;
pub(crate) mod bars;
pub(crate) mod chart;
pub(crate) mod distribution;
mod events;
pub(crate) mod layout;
mod legend;
pub(crate) mod network;
pub(crate) mod over_time;
pub(crate) mod panel;
pub(crate) mod scaling;
pub(crate) mod style;
pub(crate) mod svg;
#[cfg(test)]
mod tests;
pub(crate) mod topology;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PictureError {
    /// There is nothing to show.
    #[error("there is nothing to draw: {0}")]
    Nothing(String),
    /// Nobody could tell anything apart.
    #[error("{nodes} nodes are too many to tell apart in a picture, which has room for {}", topology::MOST_NODES)]
    TooMany {
        /// So many.
        nodes: usize,
    },
    /// The library that draws axes gave up.
    #[error("the chart {title:?} cannot be drawn: {why}")]
    Chart {
        /// Its title.
        title: String,
        /// What the library says.
        why: String,
    },
}
