//! [`Outcome`]: a row of the table: what was measured, against whom, and what was aimed at.

use serde_json::{Value, json};

use super::series::Series;

/// A figure is in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    /// A part of something: 1.05 is 5 % more.
    Part,
    /// How many times as long something takes as something smaller.
    Growth,
    Mebibytes,
}

/// What a row aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// So many times faster than the one beside it.
    Faster(f64),
    /// No more than this.
    AtMost(f64),
}

/// A row.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What the option `--only` calls it, and a name within that.
    pub(super) key: &'static str,
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) ours: Series,
    /// Who is beside it, and the figures of that.
    pub(super) other: Option<(String, Series)>,
    pub(super) target: Target,
}

impl Outcome {
    pub(super) fn faster(
        key: &'static str,
        what: impl Into<String>,
        (ours, name, theirs): (Series, &str, Series),
        target: f64,
    ) -> Self {
        Self {
            key,
            what: what.into(),
            unit: Unit::Seconds,
            ours,
            other: Some((name.to_owned(), theirs)),
            target: Target::Faster(target),
        }
    }

    pub(super) fn at_most(
        key: &'static str,
        what: impl Into<String>,
        ours: Series,
        unit: Unit,
        target: f64,
    ) -> Self {
        Self {
            key,
            what: what.into(),
            unit,
            ours,
            other: None,
            target: Target::AtMost(target),
        }
    }

    /// What the page keeps of it.
    pub(super) fn recorded(&self) -> Recorded {
        let value = match (&self.target, &self.other) {
            (Target::Faster(_), Some((_, theirs))) => theirs.median() / self.ours.median(),
            _ => self.ours.median(),
        };
        let (target, unit) = match self.target {
            Target::Faster(target) => (target, "×"),
            Target::AtMost(target) => (target, unit(self.unit)),
        };
        let met = match self.target {
            Target::Faster(target) => value >= target,
            Target::AtMost(target) => value <= target,
        };
        Recorded(json!({
            "key": self.key, "what": self.what, "unit": unit, "value": value, "target": target, "met": met,
            "faster": matches!(self.target, Target::Faster(_)),
            "ours": spread(&self.ours, self.unit), "other": self.other.as_ref().map(|other| spread(&other.1, self.unit)),
            "against": self.other.as_ref().map(|other| &other.0), "runs": self.ours.len(),
        }))
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::Part => "× the size",
        Unit::Growth => "× the time",
        Unit::Mebibytes => "MiB",
    }
}

fn spread(series: &Series, of: Unit) -> String {
    let unit = unit(of);
    let digits = if series.median() < 1.0 { 4 } else { 2 };
    let number = |value: f64| format!("{value:.digits$}");
    let (low, high) = (number(series.min()), number(series.max()));
    match low == high {
        true => format!("{} {unit}", number(series.median())),
        false => format!("{} {unit} ({low} – {high})", number(series.median())),
    }
}

/// A row as it is written down.
#[derive(Debug, Clone)]
pub(super) struct Recorded(pub(super) Value);

impl Recorded {
    pub(super) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or(f64::NAN)
    }

    pub(super) fn met(&self) -> bool {
        self.0["met"] == true
    }

    /// Whether it is a ratio, which is to be high.
    pub(super) fn is_faster(&self) -> bool {
        self.0["faster"] == true
    }

    /// The figure that the target is about.
    pub(super) fn figure(&self) -> String {
        let digits = if self.number("value") < 10.0 { 2 } else { 1 };
        format!("{:.digits$} {}", self.number("value"), self.text("unit"))
    }

    pub(super) fn aim(&self) -> String {
        let sign = if self.is_faster() { "≥" } else { "≤" };
        format!("{sign} {} {}", self.number("target"), self.text("unit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ratio_is_of_medians_and_a_bound_is_kept_or_not() {
        let series = |list: &[u64]| {
            let mut series = Series::default();
            list.iter().for_each(|ms| series.push(Duration::from_millis(*ms)));
            series
        };
        let row = Outcome::faster(
            "a",
            "a",
            (series(&[10, 11, 500]), "peer", series(&[220, 1, 230])),
            20.0,
        )
        .recorded();
        assert_eq!((row.number("value"), row.met()), (20.0, true));
        assert_eq!((row.figure().as_str(), row.aim().as_str()), ("20.0 ×", "≥ 20 ×"));
        let row = Outcome::at_most("b", "b", series(&[2000]), Unit::Seconds, 1.5).recorded();
        assert!(!row.met());
        assert_eq!(row.text("ours"), "2.00 s");
    }
}
