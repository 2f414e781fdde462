//! A part of a trace: what a process keeps for the one that it works for.
//!
//! ```text
//! trace::begin_part(zero);                       // in the module; `zero` is what trace::zero() is in the executor
//! std::fs::write(file, trace::end_part())?;      // at its end
//! trace::adopt("module x", &text);               // in the executor
//! ```
//! The text is a list of `[row, name, start, end or null, notes]`, rows by name.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{MOST, ON, Record, Trace, lock, with};

/// Begins to keep spans, for a trace that began at `zero`.
pub fn begin_part(zero: u64) {
    *lock() = Some(Trace {
        zero,
        rows: Vec::new(),
        spans: Vec::new(),
    });
    ON.store(true, Ordering::Release);
}

/// When the trace began, on a clock that all processes of the machine have in common; `None` where there is none.
pub fn zero() -> Option<u64> {
    with(|trace| trace.zero)
}

/// The spans that were kept, for [`adopt`]. Nothing is kept any more.
pub fn end_part() -> String {
    ON.store(false, Ordering::Release);
    let Some(trace) = lock().take() else {
        return "[]".into();
    };
    let spans = trace.spans.iter();
    let spans = spans.map(|span| json!([trace.rows[span.row], span.name, span.start, span.end, span.notes]));
    spans.collect::<Value>().to_string()
}

/// Takes over the spans of another process, in rows that begin with `name`. A text that is none adds nothing.
pub fn adopt(name: &str, text: &str) {
    let Ok(spans) = serde_json::from_str::<Vec<(String, String, u64, Option<u64>, Map<String, Value>)>>(text)
    else {
        return;
    };
    with(|trace| {
        let free = MOST - trace.spans.len();
        for (row, span, start, end, notes) in spans.into_iter().take(free) {
            let row = trace.row(&format!("{name}: {row}"));
            trace.spans.push(Record {
                name: span,
                row,
                start,
                end,
                notes,
            });
        }
    });
}
