//! Repeated measurements of one thing, most often in seconds.

use std::time::Duration;

/// The measurements, in the order of the rounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    seconds: Vec<f64>,
}

impl Series {
    pub(super) fn push(&mut self, time: Duration) {
        self.push_value(time.as_secs_f64());
    }

    /// A figure in whatever unit the series is in.
    pub(super) fn push_value(&mut self, value: f64) {
        self.seconds.push(value);
    }

    /// One figure.
    pub(super) fn of(value: f64) -> Self {
        Self { seconds: vec![value] }
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
    fn an_outlier_does_not_move_the_median() {
        let mut series = Series::default();
        for ms in [10, 12, 11, 13, 500] {
            series.push(Duration::from_millis(ms));
        }
        assert_eq!(series.median(), 0.012);
        assert_eq!((series.min(), series.max()), (0.010, 0.5));
    }
}
