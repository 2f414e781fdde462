//! Where the time of a build goes: spans, written as a document of the Chrome trace format, which `chrome://tracing` and
//! Perfetto show.
//!
//! ```text
//! trace::begin();                                   // until then a span costs one load
//! trace::track("pipeline os");                      // what this thread does from now on stands in a row of that name
//! let _run = trace::span("run").with("id", id);     // until it is dropped
//! std::fs::write(file, trace::end())?;
//! ```
//! There is one trace a process, since what takes the time is spread over all crates; a process that works for another one
//! keeps a [part](begin_part) of the other's. The format: an object with
//! `traceEvents`, each with its phase `ph` (`X`: a span, `M`: the name of a row), `ts` and `dur` in microseconds, and the
//! row `tid`.

mod part;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

pub use part::{adopt, begin_part, end_part, zero};

/// No build has more; what comes later is left out, so that memory stays bounded.
const MOST: usize = 200_000;

static ON: AtomicBool = AtomicBool::new(false);
static TRACE: Mutex<Option<Trace>> = Mutex::new(None);

thread_local! {
    /// The row of this thread, once it has one.
    static ROW: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Trace {
    /// When it began, in microseconds of the clock that all processes see alike.
    zero: u64,
    rows: Vec<String>,
    spans: Vec<Record>,
}

struct Record {
    name: String,
    row: usize,
    /// Microseconds since the beginning.
    start: u64,
    end: Option<u64>,
    notes: Map<String, Value>,
}

/// A span of time that lasts until the value is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Span(Option<usize>);

/// Begins to keep spans.
pub fn begin() {
    begin_part(clock());
}

/// Whether spans are kept.
pub fn is_on() -> bool {
    ON.load(Ordering::Acquire)
}

/// Names the row of the calling thread. Threads that do the same one after the other share a row.
pub fn track(name: &str) {
    with(|trace| ROW.set(Some(trace.row(name))));
}

/// Gives the calling thread, one of several that do the same, a row of its own.
pub fn track_one_of(name: &str) {
    with(|trace| {
        let like = trace.rows.iter().filter(|row| row.starts_with(name)).count();
        ROW.set(Some(trace.row(&format!("{name} {}", like + 1))));
    });
}

/// Begins a span in the row of the calling thread.
pub fn span(name: &str) -> Span {
    Span(with(|trace| trace.open(name)).flatten())
}

/// The document of all spans; those that are not over end now. Nothing is kept any more.
pub fn end() -> String {
    ON.store(false, Ordering::Release);
    let trace = lock().take();
    trace.map_or_else(|| Value::Null, Trace::document).to_string()
}

impl Span {
    /// Adds what is shown with the span.
    pub fn with(self, key: &str, value: impl Into<Value>) -> Self {
        self.note(key, value);
        self
    }

    /// [`with`](Self::with) for what is known later.
    pub fn note(&self, key: &str, value: impl Into<Value>) {
        if let Some(index) = self.0 {
            with(|trace| {
                let span = trace.spans.get_mut(index);
                span.map(|span| span.notes.insert(key.to_owned(), value.into()))
            });
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            with(|trace| {
                let now = trace.now();
                if let Some(span) = trace.spans.get_mut(index) {
                    span.end = Some(now);
                }
            });
        }
    }
}

impl Trace {
    fn now(&self) -> u64 {
        clock().saturating_sub(self.zero)
    }

    fn row(&mut self, name: &str) -> usize {
        let known = self.rows.iter().position(|row| row == name);
        known.unwrap_or_else(|| {
            self.rows.push(name.to_owned());
            self.rows.len() - 1
        })
    }

    /// The row of the calling thread: one of its own where nobody has named it.
    fn own_row(&mut self) -> usize {
        ROW.get().unwrap_or_else(|| {
            let row = self.row(&format!("thread {}", self.rows.len()));
            ROW.set(Some(row));
            row
        })
    }

    fn open(&mut self, name: &str) -> Option<usize> {
        if self.spans.len() == MOST {
            return None;
        }
        let record = Record {
            name: name.to_owned(),
            row: self.own_row(),
            start: self.now(),
            end: None,
            notes: Map::new(),
        };
        self.spans.push(record);
        Some(self.spans.len() - 1)
    }

    fn document(self) -> Value {
        let now = self.now();
        let process = std::process::id();
        let rows = self.rows.into_iter().enumerate().map(|(row, name)| {
            json!({"ph": "M", "name": "thread_name", "pid": process, "tid": row + 1, "args": {"name": name}})
        });
        let spans = self.spans.into_iter().map(|mut span| {
            if span.end.is_none() {
                span.notes.insert("unfinished".into(), true.into());
            }
            json!({
                "ph": "X", "name": span.name, "pid": process, "tid": span.row + 1, "ts": span.start,
                "dur": span.end.unwrap_or(now) - span.start, "args": span.notes,
            })
        });
        json!({"displayTimeUnit": "ms", "traceEvents": rows.chain(spans).collect::<Value>()})
    }
}

/// Microseconds of the monotonic clock.
fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1000
}

/// Does something with the trace, if there is one.
fn with<T>(work: impl FnOnce(&mut Trace) -> T) -> Option<T> {
    is_on().then(|| lock().as_mut().map(work)).flatten()
}

fn lock() -> MutexGuard<'static, Option<Trace>> {
    TRACE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    // one test: there is one trace a process
    #[test]
    fn spans_have_rows_and_ends() {
        drop(span("before").with("nobody", "sees it"));
        assert_eq!(end(), "null");
        begin();
        track("main");
        let outer = span("outer").with("n", 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                track("other");
                drop(span("inner"));
            });
        });
        let over = span("over");
        drop(over);
        let document: Value = serde_json::from_str(&end()).unwrap();
        drop(outer);
        assert!(!is_on());
        let events = document["traceEvents"].as_array().unwrap();
        let of = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
        assert_eq!(events.iter().filter(|event| event["ph"] == "M").count(), 2);
        assert_eq!(of("outer")["args"], json!({"n": 1, "unfinished": true}));
        assert_eq!((&of("outer")["tid"], &of("inner")["tid"]), (&json!(1), &json!(2)));
        let end = |event: &Value| event["ts"].as_u64().unwrap() + event["dur"].as_u64().unwrap();
        assert!(end(of("over")) <= end(of("outer")));
        assert!(of("over")["args"].as_object().unwrap().is_empty());

        // what another process has kept, which this one plays too
        begin();
        let zero = zero().unwrap();
        begin_part(zero);
        track("main");
        drop(span("far away").with("n", 2));
        let part = end_part();
        begin_part(zero);
        adopt("module", &part);
        adopt("module", "{}");
        let document: Value = serde_json::from_str(&super::end()).unwrap();
        let events = document["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["args"]["name"], "module: main");
        assert_eq!(
            (&events[1]["name"], &events[1]["args"]),
            (&json!("far away"), &json!({"n": 2}))
        );
    }
}
