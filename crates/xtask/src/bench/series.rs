//! Repeated measurements of one thing, in seconds.

use std::time::Duration;

/// The measurements, in the order of the rounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    seconds: Vec<f64>,
}

impl Series {
    pub(super) fn push(&mut self, time: Duration) {
        self.seconds.push(time.as_secs_f64());
    }

    pub(super) fn len(&self) -> usize {
        self.seconds.len()
    }

    pub(super) fn median(&self) -> f64 {
        median(self.seconds.clone())
    }

    pub(super) fn min(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn max(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The median of the distances from the median: half of the measurements are nearer to it.
    pub(super) fn noise(&self) -> f64 {
        let middle = self.median();
        median(
            self.seconds
                .iter()
                .map(|second| (second - middle).abs())
                .collect(),
        )
    }

    /// What one of `count` things costs by which `self` has more than `other`, round by round.
    pub(super) fn more_than(&self, other: &Self, count: f64) -> Self {
        let pairs = self.seconds.iter().zip(&other.seconds);
        Self {
            seconds: pairs.map(|(more, less)| (more - less) / count).collect(),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_moves_neither_median_nor_noise() {
        let mut series = Series::default();
        for ms in [10, 12, 11, 13, 500] {
            series.push(Duration::from_millis(ms));
        }
        assert_eq!(series.median(), 0.012);
        assert!((series.noise() - 0.001).abs() < 1e-9);
        assert_eq!((series.min(), series.max()), (0.010, 0.5));
        let each = series.more_than(&series, 10.0);
        assert_eq!((each.len(), each.median()), (5, 0.0));
    }
}
