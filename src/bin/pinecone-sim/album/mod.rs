//! Which pictures there are of a scenario (here) and of the report ([`report`]), and the files that they go into.

pub(crate) mod report;
mod results;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pinecone::sim::play::{Played, Sample};
use pinecone::sim::scenario::Scenario;

use crate::pictures::network::Network;
use crate::pictures::over_time::{self, Story};
use crate::pictures::{distribution, topology};

/// Draws what came of a scenario into a directory. A picture that cannot be is left out, and why is said; the others are drawn.
pub(crate) fn scenario(directory: &Path, name: &str, scenario: &Scenario, played: &Played) -> anyhow::Result<()> {
    let samples =
        |value: fn(&Sample) -> f64| played.samples.iter().map(|sample| (sample.seconds, value(sample))).collect();
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

/// Makes a directory for pictures, unless it is there.
pub(crate) fn create(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the directory {} for pictures", directory.display()))
}

fn keep(directory: &Path, file: &str, svg: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(file);
    fs::write(&path, svg).with_context(|| format!("cannot write the picture {}", path.display()))?;
    Ok(path)
}
