//! The results as the pictures of the report want them.

use pinecone::sim::metrics::Experiment;

use crate::bench::Line;
use crate::pictures::axis::number;
use crate::pictures::bars::Groups;
use crate::pictures::over_time::Runs;
use crate::pictures::scaling::Point;

const MODES: [&str; 2] = ["strict", "improved"];

/// The graphs on which something was measured, small ones first, with the lines of each.
fn by_graph(lines: &[Line], experiment: Experiment) -> Vec<(String, Vec<&Line>)> {
    let mut of_it: Vec<&Line> = lines.iter().filter(|line| line.job.experiment == experiment).collect();
    of_it.sort_by(|a, b| (a.nodes, &a.job).cmp(&(b.nodes, &b.job)));
    of_it.chunk_by(|a, b| a.job.graph == b.job.graph).map(|lines| (title(lines[0]), lines.to_vec())).collect()
}

/// A graph's name, with its size, which names of real networks do not tell.
fn title(line: &Line) -> String {
    format!("{}, n = {}", line.job.graph, number(line.nodes as f64))
}

/// A curve of each seed of each router on each graph.
pub(super) fn runs(lines: &[Line], experiment: Experiment, series: &str) -> Vec<(String, Runs)> {
    let curves = |lines: &[&Line], mode: &str| {
        let of_mode = lines.iter().filter(|line| line.job.mode.name() == mode);
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
    let of_mode = lines.iter().filter(|line| line.job.mode.name() == mode);
    let values: Vec<f64> = of_mode.map(|line| line.measured.values.get(name).copied()).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The bars of each graph on which nodes crashed.
pub(super) fn after_crash(lines: &[Line], prefix: &str) -> Vec<(String, Groups)> {
    const LOOKS: [&str; 4] = ["0.2s", "1s", "5s", "30s"];
    let groups = |lines: &[&Line]| -> Groups {
        let of = |mode: &&str| {
            let values = LOOKS.iter().map(|look| mean(lines, mode, &format!("{prefix}_{look}_pct")));
            Some(((*mode).to_owned(), values.collect::<Option<Vec<f64>>>()?))
        };
        MODES.iter().filter_map(of).collect()
    };
    let graphs = by_graph(lines, Experiment::Crash).into_iter().map(|(graph, lines)| (graph, groups(&lines)));
    graphs.filter(|(_, groups)| !groups.is_empty()).collect()
}

/// A dot of each router on each graph.
pub(super) fn sizes(lines: &[Line], name: &str) -> Vec<Point> {
    let point = |lines: &[&Line], mode: &str| {
        let value = |suffix| mean(lines, mode, &format!("{name}_{suffix}"));
        Some(Point { mode: mode.to_owned(), nodes: lines[0].nodes, mean: value("mean")?, most: value("max")? })
    };
    let graphs = by_graph(lines, Experiment::Lifecycle);
    MODES.iter().flat_map(|mode| graphs.iter().filter_map(|(_, lines)| point(lines, mode))).collect()
}
