//! Many numbers in a few.

/// A distribution at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    /// The mean.
    pub mean: f64,
    /// Half are not above it.
    pub median: f64,
    /// 95 % are not above it.
    pub p95: f64,
    /// 99 % are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Distribution {
    /// Of these numbers; zeros of none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let Some(max) = sorted.last().copied() else { return Self::default() };
        // The smallest number that the share is not above (nearest rank).
        let rank = |share: f64| ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1;
        Self {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            median: sorted[rank(0.5)],
            p95: sorted[rank(0.95)],
            p99: sorted[rank(0.99)],
            max,
        }
    }
}

/// A cumulative distribution as at most 200 points: value, and percent of all that are not above it.
pub fn spread(numbers: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let len = sorted.len();
    let step = len.div_ceil(200).max(1);
    let ranks = (0..len).step_by(step).chain(len.checked_sub(1));
    ranks.map(|rank| (sorted[rank], 100.0 * (rank + 1) as f64 / len as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_that_of_its_numbers() {
        let found = Distribution::of((1..=100).map(f64::from));
        assert_eq!(found, Distribution { mean: 50.5, median: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
        assert_eq!(Distribution::of([]), Distribution::default());
        assert_eq!(spread([3.0, 1.0, 2.0, 4.0]), [(1.0, 25.0), (2.0, 50.0), (3.0, 75.0), (4.0, 100.0), (4.0, 100.0)]);
    }
}
