//! The pictures of the report on routing quality: which there are, and which numbers of the results go into them.

use std::path::Path;

use anyhow::Context;
use pinecone::sim::metrics::Experiment;

use super::results::{after_crash, runs, sizes};
use super::{create, keep};
use crate::bench::Line;
use crate::pictures::{PictureError, bars, distribution, over_time, scaling};

/// A picture of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    /// The file's name.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// What it shows, for those who do not see it; "with both routers" goes without saying.
    pub(crate) alt: &'static str,
    /// How to read it.
    subtitle: &'static str,
    content: Content,
}

/// What is drawn, and which numbers.
#[derive(Clone, Copy, Debug)]
enum Content {
    /// Curves over time: an experiment's series.
    OverTime(Experiment, &'static str),
    /// Distributions: a series of the lifecycle.
    Stretch(&'static str),
    /// Bars at four moments: values of the crash that begin so.
    AfterCrash(&'static str),
    /// State and traffic over the size of the network.
    Scaling,
}

const PICTURES: [Picture; 10] = [
    Picture {
        file: "settling.svg",
        title: "Cold start",
        alt: "How many pairs answer, over the seconds since the start, on each graph",
        subtitle: "answered when asked by key, while a network starts; mean and span of the seeds, up to where sampling was given up",
        content: Content::OverTime(Experiment::Lifecycle, "settling"),
    },
    Picture {
        file: "merging.svg",
        title: "Two networks meet",
        alt: "How many pairs answer across the joint, over the seconds since two networks met, on each graph",
        subtitle: "answered across the one link that joins two settled copies at 0 s; mean and span of the seeds",
        content: Content::OverTime(Experiment::Merge, "merging"),
    },
    Picture {
        file: "crash.svg",
        title: "5 % of the nodes crash: first contact",
        alt: "How many pairs answer when asked by key 0.2, 1, 5 and 30 seconds after a crash, on each graph",
        subtitle: "answered when asked by key this long after the crash; mean of the seeds",
        content: Content::AfterCrash("first"),
    },
    Picture {
        file: "crash-coordinates.svg",
        title: "5 % of the nodes crash: those who know each other",
        alt: "How many pairs answer when asked by coordinates 0.2, 1, 5 and 30 seconds after a crash, on each graph",
        subtitle: "answered when asked by coordinates this long after the crash; mean of the seeds",
        content: Content::AfterCrash("steady"),
    },
    Picture {
        file: "root-loss.svg",
        title: "The root goes",
        alt: "How many pairs answer, over the seconds since the root crashed, on each graph",
        subtitle: "answered when asked by key after the root crashed at 0 s; mean and span of the seeds, up to where sampling was given up",
        content: Content::OverTime(Experiment::RootLoss, "recovering"),
    },
    Picture {
        file: "busiest-loss.svg",
        title: "The busiest node goes",
        alt: "How many pairs answer, over the seconds since the busiest node crashed, on each graph",
        subtitle: "answered when asked by key after the node crashed at 0 s; mean and span of the seeds",
        content: Content::OverTime(Experiment::BusiestLoss, "recovering"),
    },
    Picture {
        file: "moving.svg",
        title: "Nodes move",
        alt: "How many pings are answered at the end of each step of mobility traces",
        subtitle: "pings answered at the end of each step; mean and span of the seeds",
        content: Content::OverTime(Experiment::Mobility, "moving"),
    },
    Picture {
        file: "stretch.svg",
        title: "Stretch by coordinates",
        alt: "Cumulative distributions of the stretch of ways by coordinates on each graph",
        subtitle: "hops taken over the fewest possible, once the network has settled; curves further up and left are better",
        content: Content::Stretch("stretch"),
    },
    Picture {
        file: "first-stretch.svg",
        title: "Stretch at first contact",
        alt: "Cumulative distributions of the stretch of ways by key on each graph",
        subtitle: "hops taken over the fewest possible, once the network has settled; curves further up and left are better",
        content: Content::Stretch("first_stretch"),
    },
    Picture {
        file: "state.svg",
        title: "What a node has to remember, and to send at rest",
        alt: "Bytes of state, and bytes of traffic a second, per node over the size of the network",
        subtitle: "per node; each dot is a graph: filled the average node, hollow the one with most; both axes are logarithmic",
        content: Content::Scaling,
    },
];

/// Draws the results into a directory; says what there is now. Results that are not there make no picture.
pub(crate) fn draw(directory: &Path, lines: &[Line]) -> anyhow::Result<Vec<Picture>> {
    create(directory)?;
    let mut pictures = Vec::new();
    for picture in PICTURES {
        match picture.draw(lines) {
            Ok(svg) => {
                keep(directory, picture.file, &svg)?;
                pictures.push(picture);
            }
            Err(PictureError::Nothing(_)) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot draw {}", picture.file)),
        }
    }
    Ok(pictures)
}

impl Picture {
    fn draw(&self, lines: &[Line]) -> Result<String, PictureError> {
        let (title, subtitle) = (self.title, self.subtitle);
        match self.content {
            Content::OverTime(experiment, series) => {
                over_time::comparison(title, subtitle, &runs(lines, experiment, series))
            }
            Content::Stretch(series) => {
                distribution::comparison(title, subtitle, &runs(lines, Experiment::Lifecycle, series))
            }
            Content::AfterCrash(prefix) => {
                let axis = ("seconds after the crash", ["0.2", "1", "5", "30"].as_slice());
                bars::draw((title, subtitle), axis, &after_crash(lines, prefix))
            }
            Content::Scaling => scaling::draw(
                (title, subtitle),
                &[
                    ("State, bytes", sizes(lines, "state_bytes")),
                    ("Traffic at rest, bytes a second", sizes(lines, "idle_bytes_per_s")),
                ],
            ),
        }
    }
}
