//! Mobility traces: which links there are, step by step.

use crate::sim::graph::{Graph, GraphError, parse_edge};

/// Reads a trace: a line `# step K` opens the complete list of links of step K, other comments are ignored. All steps have the same
/// number of nodes.
///
/// # Errors
/// [`GraphError`] names the line.
pub fn parse(text: &str) -> Result<Vec<Graph>, GraphError> {
    let mut steps: Vec<Vec<(usize, usize)>> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let error = |what| GraphError { line, what, text: text.to_owned() };
        if text.trim_start_matches(['#', ' ']).starts_with("step ") && text.starts_with('#') {
            steps.push(Vec::new());
        } else if let Some(edge) = parse_edge(text).map_err(error)? {
            steps.last_mut().ok_or_else(|| error("a link before the first `# step`"))?.push(edge);
        }
    }
    let nodes = steps.iter().flatten().map(|(a, b)| a.max(b) + 1).max().unwrap_or(0);
    Ok(steps.into_iter().map(|edges| Graph::new(nodes, edges)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_step_by_step() {
        let steps = parse("# mobility trace: n=3\n# step 0\n0 1\n1 2\n# step 1\n0 2\n").unwrap();
        let edges: Vec<_> = steps.iter().map(Graph::edges).collect();
        assert_eq!(edges, [vec![(0, 1), (1, 2)], vec![(0, 2)]]);
        assert!(steps.iter().all(|step| step.len() == 3));
        assert_eq!(parse("0 1\n").unwrap_err().line, 1);
    }
}
