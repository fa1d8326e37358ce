//! Graph files.

use std::path::Path;

use anyhow::{Context, ensure};
use pinecone::sim::graph::Graph;
use pinecone::sim::mobility;

/// Reads a graph, or all steps of a mobility trace.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Graph>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_trace = text.lines().any(|line| line.starts_with("# step "));
    let steps = if is_trace { mobility::parse(&text) } else { Graph::parse(&text).map(|graph| vec![graph]) };
    let steps = steps.with_context(|| path.display().to_string())?;
    ensure!(steps.first().is_some_and(|graph| graph.len() > 1), "{} has no links", path.display());
    Ok(steps)
}
