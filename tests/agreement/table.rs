//! What came out of both worlds, side by side.

use crate::experiment::Outcome;

/// How far two means may be apart.
const STRETCH_TOLERANCE: f64 = 0.10;
const CONVERGENCE_TOLERANCE: f64 = 0.20;

/// Prints the table. Returns what the worlds disagree on.
pub(crate) fn compare(real: &[Outcome], simulated: &[Outcome]) -> Vec<&'static str> {
    println!("| | real | simulated | difference | tolerance |\n|---|---|---|---|---|");
    let formed = |outcomes: &[Outcome]| {
        Mean::of(outcomes.iter().flat_map(|outcome| outcome.formed).map(|span| span.as_secs_f64()).collect())
    };
    let merged = |outcomes: &[Outcome]| Mean::of(outcomes.iter().map(|outcome| outcome.merged.as_secs_f64()).collect());
    let stretch = |outcomes: &[Outcome]| Mean::of(outcomes.iter().map(|outcome| outcome.stretch).collect());
    let rows = [
        row("forming a half, s", &formed(real), &formed(simulated), CONVERGENCE_TOLERANCE),
        row("merging the halves, s", &merged(real), &merged(simulated), CONVERGENCE_TOLERANCE),
        row("stretch", &stretch(real), &stretch(simulated), STRETCH_TOLERANCE),
    ];
    rows.into_iter().flatten().collect()
}

/// Prints a row. Returns its name if the difference is too large.
fn row(name: &'static str, real: &Mean, simulated: &Mean, tolerance: f64) -> Option<&'static str> {
    let difference = simulated.mean / real.mean - 1.0;
    println!("| {name} | {real} | {simulated} | {:+.1} % | {:.0} % |", difference * 100.0, tolerance * 100.0);
    (difference.abs() > tolerance).then_some(name)
}

/// A mean, and how far the next such mean is likely to be from it.
struct Mean {
    mean: f64,
    error: f64,
    count: usize,
}

impl Mean {
    fn of(values: Vec<f64>) -> Self {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let error = (squares / (count - 1) as f64 / count as f64).sqrt();
        Self { mean, error, count }
    }
}

impl std::fmt::Display for Mean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ± {:.3} ({})", self.mean, self.error, self.count)
    }
}
