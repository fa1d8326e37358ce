//! The report on routing quality: tables of all results, for both routers side by side.
//!
//! Everything between two marks in the file is written anew; what people wrote around it stays. What source routes are worth stands between marks of
//! its own, in a file that has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use pinecone::sim::metrics::Experiment;

use crate::album;
use crate::bench::{Line, ROUTES_SET};

/// The marks between which the tables stand that compare routers, and those with source routes and without.
const RESULTS: (&str, &str) = ("<!-- results: begin -->", "<!-- results: end -->");
const ROUTES: (&str, &str) = ("<!-- routes: begin -->", "<!-- routes: end -->");

/// A table: its heading, where its numbers come from, and its columns as (name of the value, heading, target).
struct Table {
    heading: &'static str,
    experiment: Experiment,
    columns: &'static [(&'static str, &'static str, &'static str)],
}

const TABLES: &[Table] = &[
    Table {
        heading: "1, 2: delivery once settled, and cold start",
        experiment: Experiment::Lifecycle,
        columns: &[
            ("delivered_first_pct", "delivered by key, %", "100"),
            ("delivered_steady_pct", "by coordinates, %", "100"),
            ("loops", "loops", "0"),
            ("t99_s", "T99, s", "1.5 / 5 / 8"),
            ("t100_s", "T100, s", "3 / 10 / 15"),
        ],
    },
    Table {
        heading: "3: two networks meet",
        experiment: Experiment::Merge,
        columns: &[("merge_t99_s", "T99, s", "5"), ("merge_t100_s", "T100, s", "-")],
    },
    Table {
        heading: "4: 5 % of the nodes crash",
        experiment: Experiment::Crash,
        columns: &[
            ("steady_0.2s_pct", "by coordinates +0.2 s, %", "90"),
            ("steady_1s_pct", "+1 s", "99"),
            ("first_0.2s_pct", "by key +0.2 s, %", "90"),
            ("first_1s_pct", "+1 s", "99"),
            ("first_5s_pct", "+5 s", "99.9"),
            ("first_30s_pct", "+30 s", "100"),
        ],
    },
    Table {
        heading: "5: the root goes",
        experiment: Experiment::RootLoss,
        columns: &[
            ("t100_s", "T100, s", "5"),
            ("lost_other_mean", "packets lost, other flows", "0"),
            ("lost_through_mean", "flows through it", "2"),
            ("outage_other_max_s", "longest outage, s", "-"),
        ],
    },
    Table {
        heading: "5: the busiest node goes",
        experiment: Experiment::BusiestLoss,
        columns: &[
            ("t100_s", "T100, s", "5"),
            ("lost_other_mean", "packets lost, other flows", "0"),
            ("lost_through_mean", "flows through it", "2"),
        ],
    },
    Table {
        heading: "6: nodes move",
        experiment: Experiment::Mobility,
        columns: &[
            ("arrival_pct", "pings answered, %", "85 - 99.5"),
            ("flow_arrival_pct", "flows, %", "-"),
            ("outage_p95_s", "outage p95, s", "0.3"),
            ("bytes_per_s", "B/s a node", "-"),
        ],
    },
    Table {
        heading: "7, 8: stretch",
        experiment: Experiment::Lifecycle,
        columns: &[
            ("stretch_mean", "by coordinates, mean", "1.03 - 1.3"),
            ("stretch_p95", "p95", "1.35"),
            ("stretch_p99", "p99", "2.0"),
            ("first_stretch_mean", "by key, mean", "2.0"),
            ("first_stretch_p95", "p95", "4"),
        ],
    },
    Table {
        heading: "7: stretch by time, links of 1 to 50 ms",
        experiment: Experiment::Latency,
        columns: &[("latency_stretch_mean", "mean", "-"), ("latency_stretch_p95", "p95", "-")],
    },
    Table {
        heading: "9: state",
        experiment: Experiment::Lifecycle,
        columns: &[
            ("entries_mean", "entries, mean", "64 + 8 a link"),
            ("entries_max", "max", "1,024 + 8 a link"),
            ("routes_max", "routes, max", "-"),
            ("state_bytes_max", "bytes, max", "-"),
        ],
    },
    Table {
        heading: "10, 12: at rest",
        experiment: Experiment::Lifecycle,
        columns: &[
            ("idle_bytes_per_s_mean", "B/s, mean", "60 + 15 a peer"),
            ("idle_bytes_per_s_max", "max", "-"),
            ("checks_per_s_mean", "checks/s, mean", "0.2"),
            ("checks_per_s_max", "max", "5"),
        ],
    },
    Table {
        heading: "11: what a change costs (medians)",
        experiment: Experiment::Change,
        columns: &[
            ("join_announcers_pct", "join: announcers, %", "1"),
            ("join_bootstraps", "extra bootstraps", "-"),
            ("leave_announcers_pct", "leave: announcers, %", "1"),
            ("flap_announcers_pct", "flap: announcers, %", "2"),
            ("flap_bootstraps", "extra bootstraps", "-"),
        ],
    },
    Table {
        heading: "13: nodes that drop what they should pass on",
        experiment: Experiment::Droppers,
        columns: &[
            ("droppers_1_steady_pct", "1 %, by coordinates", "-"),
            ("droppers_5_steady_pct", "5 %", "97"),
            ("droppers_10_steady_pct", "10 %", "-"),
            ("droppers_5_first_pct", "5 %, by key", "97"),
        ],
    },
    Table {
        heading: "13: a hundred keys around a victim's",
        experiment: Experiment::Sybil,
        columns: &[
            ("victim_steady_pct", "victim, by coordinates, %", "95"),
            ("victim_first_pct", "victim, by key, %", "95"),
            ("sybil_first_pct", "others, by key, %", "-"),
        ],
    },
    Table {
        heading: "13: the root comes and goes every half second",
        experiment: Experiment::Flapper,
        columns: &[
            ("flapper_first_pct", "by key, %", "99.9"),
            ("flapper_steady_pct", "by coordinates, %", "99.9"),
            ("flapper_checks_per_s_max", "checks/s, max", "-"),
        ],
    },
    Table {
        heading: "13: 1 % of the nodes flood, replay and forge bootstraps",
        experiment: Experiment::Flood,
        columns: &[
            ("flood_first_pct", "by key, %", "-"),
            ("flood_steady_pct", "by coordinates, %", "-"),
            ("flood_routes_max", "routes, max", "65,536"),
            ("flood_checks_per_s_max", "checks/s, max", "4,000"),
        ],
    },
];

const ROUTES_TABLES: &[Table] = &[
    Table {
        heading: "7 by flows: the time of a packet over the least possible, links of 1 to 50 ms",
        experiment: Experiment::Routes,
        columns: &[
            ("on_route_pct", "on a route, %", "-"),
            ("flow_stretch_mean", "mean", "-"),
            ("flow_stretch_p95", "p95", "-"),
            ("flow_stretch_p99", "p99", "-"),
            ("lost_steady_pct", "lost, %", "0"),
            ("duplicates", "twice", "0"),
            ("traffic_bytes_per_s", "B/s a node", "-"),
        ],
    },
    Table {
        heading: "4 by flows: 5 % of the nodes crash that are no end of one",
        experiment: Experiment::Routes,
        columns: &[
            ("crash_lost_mean", "packets lost, mean", "-"),
            ("crash_lost_max", "most", "-"),
            ("crash_outage_p95_s", "longest outage, p95, s", "-"),
            ("crash_outage_max_s", "max", "-"),
        ],
    },
    Table {
        heading: "5 by flows: the root goes",
        experiment: Experiment::RootLoss,
        columns: &[
            ("lost_other_mean", "packets lost, other flows", "0"),
            ("lost_other_max", "most", "-"),
            ("lost_through_mean", "flows through it", "2"),
            ("outage_other_max_s", "longest outage, s", "-"),
        ],
    },
    Table {
        heading: "5 by flows: the busiest node goes",
        experiment: Experiment::BusiestLoss,
        columns: &[
            ("lost_other_mean", "packets lost, other flows", "0"),
            ("lost_through_mean", "flows through it", "2"),
            ("lost_through_max", "most", "-"),
            ("outage_through_max_s", "longest outage, s", "-"),
        ],
    },
    Table {
        heading: "6: nodes move",
        experiment: Experiment::Mobility,
        columns: &[
            ("flow_arrival_pct", "flows, %", "-"),
            ("outage_p95_s", "outage p95, s", "0.3"),
            ("outage_max_s", "max", "-"),
            ("arrival_pct", "pings answered, %", "85 - 99.5"),
        ],
    },
    Table {
        heading: "4 by single frames, which take no route",
        experiment: Experiment::Crash,
        columns: &[
            ("steady_0.2s_pct", "crash: by coordinates +0.2 s, %", "90"),
            ("steady_1s_pct", "+1 s", "99"),
            ("first_1s_pct", "by key +1 s", "99"),
        ],
    },
    Table {
        heading: "7, 8 by single frames",
        experiment: Experiment::Lifecycle,
        columns: &[
            ("stretch_mean", "by coordinates, mean", "1.03 - 1.3"),
            ("first_stretch_mean", "by key, mean", "2.0"),
        ],
    },
];

/// Writes the tables into the file, between its marks if it has them.
pub(crate) fn write(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let old = if path.exists() {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        format!("# Routing quality\n\n{}\n{}\n", RESULTS.0, RESULTS.1)
    };
    let (with_routes, lines): (Vec<Line>, Vec<Line>) =
        lines.iter().cloned().partition(|line| line.job.set == ROUTES_SET);
    let mut text = old;
    // Who has measured only one of the two does not wipe out the other.
    if !lines.is_empty() {
        let mut tables = tables(TABLES, ["strict", "improved"], &lines)?;
        illustrate(path, &lines, &mut tables)?;
        text = between(&text, RESULTS, &tables)
            .with_context(|| format!("{} has no line {}", path.display(), RESULTS.0))?;
    }
    if !with_routes.is_empty() {
        let tables = tables(ROUTES_TABLES, ["no-routes", "improved"], &with_routes)?;
        text = between(&text, ROUTES, &tables).unwrap_or(text);
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn tables(tables: &[Table], modes: [&str; 2], lines: &[Line]) -> anyhow::Result<String> {
    let mut text = String::new();
    tables.iter().try_for_each(|table| table.write(lines, modes, &mut text))?;
    Ok(text)
}

/// A text with something else between two marks; `None` if it has not both.
fn between(text: &str, (begin, end): (&str, &str), middle: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{middle}{end}{after}"))
}

/// Draws the pictures beside the report, into a directory with its name, and shows them in it.
fn illustrate(path: &Path, lines: &[Line], out: &mut String) -> anyhow::Result<()> {
    let directory = path.with_extension("");
    ensure!(directory != path, "{} has no extension: its pictures need a directory of another name", path.display());
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let pictures = album::report::draw(&directory, lines)?;
    if !pictures.is_empty() {
        writeln!(out, "\n### Pictures")?;
    }
    for picture in pictures {
        let (title, alt, file) = (picture.title, picture.alt, picture.file);
        writeln!(out, "\n#### {title}\n\n![{alt}, with both routers]({name}/{file})")?;
    }
    Ok(())
}

impl Table {
    /// Each cell shows the two routers of these names.
    fn write(&self, lines: &[Line], modes: [&str; 2], out: &mut String) -> anyhow::Result<()> {
        let mut graphs: BTreeMap<(usize, &str), Vec<&Line>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.job.experiment == self.experiment) {
            graphs.entry((line.nodes, &line.job.graph)).or_default().push(line);
        }
        if graphs.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n### {}\n", self.heading)?;
        let headings = self.columns.iter().map(|(_, heading, target)| format!(" {heading} [{target}] |"));
        writeln!(out, "| graph | nodes | seeds |{}", headings.collect::<String>())?;
        writeln!(out, "|---|---|---|{}", "---|".repeat(self.columns.len()))?;
        for ((nodes, graph), lines) in graphs {
            let seeds: BTreeSet<u64> = lines.iter().map(|line| line.job.seed).collect();
            let cells = self.columns.iter().map(|(name, ..)| {
                let [before, after] = modes.map(|mode| mean(&lines, mode, name));
                format!(" {before} → **{after}** |")
            });
            writeln!(out, "| {graph} | {nodes} | {} |{}", seeds.len(), cells.collect::<String>())?;
        }
        Ok(())
    }
}

/// The mean over the seeds of one router; infinite, where one of them never got there, shows as such.
fn mean(lines: &[&Line], mode: &str, name: &str) -> String {
    let of_mode = lines.iter().filter(|line| line.job.mode.name() == mode);
    let values: Vec<Option<f64>> = of_mode.map(|line| line.measured.values.get(name).copied()).collect();
    if values.is_empty() {
        return "-".to_owned();
    }
    let Some(values) = values.into_iter().collect::<Option<Vec<f64>>>() else { return "never".to_owned() };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    match mean.abs() {
        _ if !mean.is_finite() => "never".to_owned(),
        100.0 => "100".to_owned(),
        size if size >= 1_000.0 => format!("{mean:.0}"),
        size if size >= 10.0 => format!("{mean:.1}"),
        _ => format!("{mean:.2}"),
    }
}
