//! Order statistics. Pure: tested by `tests/bench_netns.rs`.

/// The middle value; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// The smallest value that at least `percent` of all values do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The median of the quotients of rounds in which both were measured. Rounds are paired because what disturbs one peer's measurement
/// mostly disturbs its neighbour's too.
pub(crate) fn paired_ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<f64> {
    let quotient = |(ours, theirs): (&Option<f64>, &Option<f64>)| {
        let (ours, theirs) = ((*ours)?, (*theirs)?);
        (theirs > 0.0).then(|| ours / theirs)
    };
    median(&ours.iter().zip(theirs).filter_map(quotient).collect::<Vec<_>>())
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
