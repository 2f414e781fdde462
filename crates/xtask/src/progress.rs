//! How a task tells what it is doing.

use std::time::{Duration, Instant};

/// The steps of a task: a headline for each, with its number.
#[derive(Debug)]
pub(crate) struct Steps {
    total: usize,
    done: usize,
    start: Instant,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            total,
            done: 0,
            start: Instant::now(),
        }
    }

    /// Begins the next one.
    pub(crate) fn next(&mut self, what: &str) {
        self.done += 1;
        let time = clock(self.start.elapsed());
        say!("\n==> [{}/{}, {time}] {what}", self.done, self.total);
    }
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
