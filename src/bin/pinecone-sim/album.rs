//! Which pictures there are of a scenario and of the report, and the files that they go into.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pinecone::sim::metrics::Experiment;
use pinecone::sim::play::Played;
use pinecone::sim::scenario::Scenario;

use crate::bench::Line;
use crate::pictures::bars::{self, Groups};
use crate::pictures::network::Network;
use crate::pictures::over_time::{self, Runs, Story};
use crate::pictures::scaling::{self, Point};
use crate::pictures::{PictureError, distribution, topology};

const MODES: [&str; 2] = ["strict", "improved"];

/// Draws what came of a scenario into a directory. A picture that cannot be is left out, and why is said; the others are drawn.
pub(crate) fn scenario(directory: &Path, name: &str, scenario: &Scenario, played: &Played) -> anyhow::Result<()> {
    let samples = |value: fn(&pinecone::sim::play::Sample) -> f64| {
        played.samples.iter().map(|sample| (sample.seconds, value(sample))).collect()
    };
    let story = Story {
        name: name.to_owned(),
        duration: scenario.duration,
        by_key: samples(|sample| sample.first_pct),
        by_coordinates: samples(|sample| sample.steady_pct),
        traffic: samples(|sample| sample.bytes_per_s),
        events: played.events.clone(),
    };
    let [by_key, by_coordinates] = &played.end.spreads;
    let network = played.world.as_ref().map(|world| Network::of(world, name, scenario.seed)).unwrap_or_default();
    create(directory)?;
    for (file, drawn) in [
        ("topology.svg", topology::draw(&network)),
        ("delivery.svg", over_time::story(&story)),
        ("stretch.svg", distribution::ways(name, by_key, by_coordinates)),
    ] {
        match drawn {
            Ok(svg) => eprintln!("wrote {}", keep(directory, file, &svg)?.display()),
            Err(error) => eprintln!("left out {}: {error}", directory.join(file).display()),
        }
    }
    Ok(())
}

/// A picture of the report.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The file's name.
    pub(crate) file: &'static str,
    /// What it shows, for a heading.
    pub(crate) title: &'static str,
    /// And for those who do not see it.
    pub(crate) alt: &'static str,
}

/// Draws the results into a directory; says what there is now. Results that are not there make no picture.
pub(crate) fn report(directory: &Path, lines: &[Line]) -> anyhow::Result<Vec<Picture>> {
    create(directory)?;
    let mut pictures = Vec::new();
    for (picture, drawn) in all(lines) {
        match drawn {
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

fn all(lines: &[Line]) -> Vec<(Picture, Result<String, PictureError>)> {
    use Experiment as E;
    let over_time =
        |title, subtitle, experiment, series| over_time::comparison(title, subtitle, &runs(lines, experiment, series));
    let stretch = |title, series| {
        let subtitle =
            "hops taken over the fewest possible, once the network has settled; curves further up and left are better";
        distribution::comparison(title, subtitle, &runs(lines, E::Lifecycle, series))
    };
    let settling =
        "answered when asked by key, while a network starts; mean of the seeds, shaded from the worst to the best";
    let merging = "answered across the one link that joins two settled copies of the graph at 0 s; mean of the seeds, shaded from the worst to the best";
    let root = "answered when asked by key after the root crashed at 0 s; mean of the seeds, shaded from the worst to the best";
    let busiest = "answered when asked by key after the busiest node crashed at 0 s; mean of the seeds, shaded from the worst to the best";
    let moving = "pings answered at the end of each step; mean of the seeds, shaded from the worst to the best";
    let picture = |file, title, alt| Picture { file, title, alt };
    vec![
        (
            picture(
                "settling.svg",
                "Cold start",
                "How many pairs answer, over the seconds since the start, on each graph, with the strict and the improved router",
            ),
            over_time("Cold start: who answers, second by second", settling, E::Lifecycle, "settling"),
        ),
        (
            picture(
                "merging.svg",
                "Two networks meet",
                "How many pairs answer across the joint, over the seconds since two networks met, with both routers",
            ),
            over_time("Two networks meet", merging, E::Merge, "merging"),
        ),
        (
            picture(
                "crash.svg",
                "5 % of the nodes crash, by key",
                "How many pairs answer when asked by key 0.2, 1, 5 and 30 seconds after a crash, with both routers",
            ),
            after_crash(lines, "first"),
        ),
        (
            picture(
                "crash-coordinates.svg",
                "5 % of the nodes crash, by coordinates",
                "How many pairs answer by coordinates 0.2, 1, 5 and 30 seconds after a crash, with both routers",
            ),
            after_crash(lines, "steady"),
        ),
        (
            picture(
                "root-loss.svg",
                "The root goes",
                "How many pairs answer, over the seconds since the root crashed, with both routers",
            ),
            over_time("The root goes", root, E::RootLoss, "recovering"),
        ),
        (
            picture(
                "busiest-loss.svg",
                "The busiest node goes",
                "How many pairs answer, over the seconds since the busiest node crashed, with both routers",
            ),
            over_time("The busiest node goes", busiest, E::BusiestLoss, "recovering"),
        ),
        (
            picture(
                "moving.svg",
                "Nodes move",
                "How many pings are answered at the end of each step of mobility traces, with both routers",
            ),
            over_time("Nodes move", moving, E::Mobility, "moving"),
        ),
        (
            picture(
                "stretch.svg",
                "Stretch by coordinates",
                "Cumulative distribution of the stretch of ways by coordinates on each graph, with both routers",
            ),
            stretch("Stretch by coordinates", "stretch"),
        ),
        (
            picture(
                "first-stretch.svg",
                "Stretch at first contact",
                "Cumulative distribution of the stretch of ways by key on each graph, with both routers",
            ),
            stretch("Stretch at first contact", "first_stretch"),
        ),
        (
            picture(
                "state.svg",
                "State and idle traffic",
                "Bytes of state and bytes of traffic a second per node over the size of the network, with both routers",
            ),
            scaling::draw(
                "What a node has to remember, and to send at rest",
                &[
                    ("State, bytes", sizes(lines, "state_bytes")),
                    ("Traffic at rest, bytes a second", sizes(lines, "idle_bytes_per_s")),
                ],
            ),
        ),
    ]
}

/// The graphs on which something was measured, small ones first, with the lines of each.
fn by_graph(lines: &[Line], experiment: Experiment) -> Vec<(String, Vec<&Line>)> {
    let mut of_it: Vec<&Line> = lines.iter().filter(|line| line.job.experiment == experiment).collect();
    of_it.sort_by(|a, b| (a.nodes, &a.job).cmp(&(b.nodes, &b.job)));
    of_it
        .chunk_by(|a, b| a.job.graph == b.job.graph)
        .map(|lines| (lines[0].job.graph.clone(), lines.to_vec()))
        .collect()
}

/// A curve of each seed of each router on each graph.
fn runs(lines: &[Line], experiment: Experiment, series: &str) -> Vec<(String, Runs)> {
    let curves = |lines: &[&Line], mode: &str| {
        let of_mode = lines.iter().filter(|line| line.job.mode == mode);
        of_mode.filter_map(|line| line.measured.series.get(series).cloned()).filter(|curve| !curve.is_empty()).collect()
    };
    let runs = |lines: &[&Line]| -> Runs {
        MODES
            .iter()
            .map(|mode| ((*mode).to_owned(), curves(lines, mode)))
            .filter(|(_, curves): &(String, Vec<_>)| !curves.is_empty())
            .collect()
    };
    by_graph(lines, experiment)
        .into_iter()
        .map(|(graph, lines)| (graph, runs(&lines)))
        .filter(|(_, runs)| !runs.is_empty())
        .collect()
}

/// The mean of a value over the seeds of a router; none if one of them does not have it.
fn mean(lines: &[&Line], mode: &str, name: &str) -> Option<f64> {
    let of_mode = lines.iter().filter(|line| line.job.mode == mode);
    let values: Vec<f64> = of_mode.map(|line| line.measured.values.get(name).copied()).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn after_crash(lines: &[Line], prefix: &str) -> Result<String, PictureError> {
    const LOOKS: [&str; 4] = ["0.2s", "1s", "5s", "30s"];
    let groups = |lines: &[&Line]| -> Groups {
        let of = |mode: &&str| {
            let values = LOOKS.iter().map(|look| mean(lines, mode, &format!("{prefix}_{look}_pct")));
            Some(((*mode).to_owned(), values.collect::<Option<Vec<f64>>>()?))
        };
        MODES.iter().filter_map(of).collect()
    };
    let graphs = by_graph(lines, Experiment::Crash).into_iter().map(|(graph, lines)| (graph, groups(&lines)));
    let graphs: Vec<_> = graphs.filter(|(_, groups)| !groups.is_empty()).collect();
    let (title, way) = if prefix == "first" {
        ("5 % of the nodes crash: first contact", "by key")
    } else {
        ("5 % of the nodes crash: those who know each other", "by coordinates")
    };
    let subtitle = format!("answered when asked {way} this long after the crash; mean of the seeds");
    bars::draw((title, &subtitle), ("seconds after the crash", &["0.2", "1", "5", "30"]), &graphs)
}

fn sizes(lines: &[Line], name: &str) -> Vec<Point> {
    let point = |lines: &[&Line], mode: &str| {
        let value = |suffix| mean(lines, mode, &format!("{name}_{suffix}"));
        Some(Point { mode: mode.to_owned(), nodes: lines[0].nodes, mean: value("mean")?, most: value("max")? })
    };
    let graphs = by_graph(lines, Experiment::Lifecycle);
    MODES.iter().flat_map(|mode| graphs.iter().filter_map(|(_, lines)| point(lines, mode))).collect()
}

fn create(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the directory {} for pictures", directory.display()))
}

fn keep(directory: &Path, file: &str, svg: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(file);
    fs::write(&path, svg).with_context(|| format!("cannot write the picture {}", path.display()))?;
    Ok(path)
}
