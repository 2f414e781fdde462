//! The figures, in columns.

use super::outcome::{Outcome, Recorded};

/// Prints a table.
pub(super) fn print(outcomes: &[Outcome]) {
    let rows: Vec<Recorded> = outcomes.iter().map(Outcome::recorded).collect();
    let width = rows
        .iter()
        .map(|row| row.text("what").chars().count())
        .max()
        .unwrap_or(0);
    for row in &rows {
        let met = if row.met() { "met" } else { "MISSED" };
        let (figure, aim) = (row.figure(), row.aim());
        let against = match row.text("against") {
            "" => String::new(),
            against => format!("; {against}: {}", row.text("other")),
        };
        say!(
            "{:width$}  {figure:>18}  {aim:>18}  {met:6}  {}{against}",
            row.text("what"),
            row.text("ours")
        );
    }
}
