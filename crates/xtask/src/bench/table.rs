//! The figures, in columns.

use super::series::Series;

/// One thing, measured; perhaps for the Python osbuild as well.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) ours: Series,
    pub(super) theirs: Option<Series>,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, ours: Series) -> Self {
        Self {
            what: what.into(),
            ours,
            theirs: None,
        }
    }
}

/// Prints a table. `±` is the median distance from the median.
pub(super) fn print(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let compared = rows.iter().any(|row| row.theirs.is_some());
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let head = format!(
        "{:width$}  {:>9} {:>9} {:>9} {:>9} {:>3}",
        "", "median", "±", "min", "max", "n"
    );
    let more = "     peer         ±   ratio";
    say!("{head}{}", if compared { more } else { "" });
    for row in rows {
        let ours = &row.ours;
        let mut line = format!(
            "{:width$}  {} {} {} {} {:>3}",
            row.what,
            time(ours.median()),
            time(ours.noise()),
            time(ours.min()),
            time(ours.max()),
            ours.len()
        );
        if let Some(theirs) = &row.theirs {
            let ratio = theirs.median() / ours.median();
            line += &format!(
                " {} {} {ratio:>6.1}×",
                time(theirs.median()),
                time(theirs.noise())
            );
        }
        say!("{line}");
    }
}

/// Nine columns.
fn time(seconds: f64) -> String {
    if seconds.abs() < 0.9995 {
        format!("{:>6.2} ms", seconds * 1000.0)
    } else {
        format!("{seconds:>7.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_nine_columns() {
        assert_eq!(time(0.000_67), "  0.67 ms");
        assert_eq!(time(0.9994), "999.40 ms");
        assert_eq!(time(0.9999), "   1.00 s");
        assert_eq!(time(123.456), " 123.46 s");
        assert_eq!(time(-0.0001), " -0.10 ms");
    }
}
