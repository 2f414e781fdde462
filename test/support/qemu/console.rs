//! A serial console: what comes is kept, what is waited for is found as soon as it has come.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::WithoutKernel;
use super::plain::Plain;

/// How much of the end of the transcript a failure shows.
const TAIL: usize = 4000;

/// Both directions of a console.
pub struct Console {
    shared: Arc<Shared>,
    input: Box<dyn Write + Send>,
    /// Up to here the text was waited for.
    seen: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    /// Everything.
    transcript: Vec<u8>,
    /// The same without the kernel's messages.
    text: Vec<u8>,
    closed: bool,
}

impl Console {
    /// Reads `output` in a thread of its own, until it ends; with `echo` whole lines are printed as they come.
    pub fn new(output: impl Read + Send + 'static, input: impl Write + Send + 'static, echo: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        std::thread::spawn(move || {
            read(output, &reader, echo);
            reader.lock().closed = true;
            reader.more.notify_all();
        });
        Self {
            shared,
            input: Box::new(input),
            seen: 0,
        }
    }

    /// Types a text.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let sent = self.input.write_all(text.as_bytes());
        sent.and_then(|()| self.input.flush())
            .context("the machine takes no input any more")
    }

    /// Waits for one of `patterns`, from where the last one ended: which it was, and the text before it. What the kernel
    /// says in between does not count.
    ///
    /// Of several that have come, the one that begins first counts.
    ///
    /// # Errors
    /// None comes within `limit`, or before the console is closed; with the end of the transcript.
    pub fn wait_for(&mut self, patterns: &[&str], limit: Duration) -> Result<(usize, String)> {
        let what = format!("`{}`", patterns.join("` or `"));
        let seen = self.seen;
        let (which, before, end) = self.search(limit, &what, |state| {
            let text = &state.text[seen..];
            let find = |(which, pattern): (usize, &&str)| {
                let start = find(text, pattern.as_bytes())?;
                Some((which, start, start + pattern.len()))
            };
            let first = patterns.iter().enumerate().filter_map(find).min_by_key(|m| m.1);
            first.map(|(which, start, end)| (which, lossy(&text[..start]), seen + end))
        })?;
        self.seen = end;
        Ok((which, before))
    }

    /// Waits until the kernel has said something, now or earlier.
    ///
    /// # Errors
    /// As for [`wait_for`](Self::wait_for).
    pub fn wait_for_kernel(&self, message: &str, limit: Duration) -> Result<()> {
        let what = format!("the kernel's `{message}`");
        self.search(limit, &what, |state| {
            find(&state.transcript, message.as_bytes()).map(drop)
        })
    }

    /// Everything that came so far.
    pub fn transcript(&self) -> String {
        lossy(&self.shared.lock().transcript)
    }

    /// The end of the transcript, for messages.
    pub fn tail(&self) -> String {
        let state = self.shared.lock();
        lossy(&state.transcript[state.transcript.len().saturating_sub(TAIL)..])
    }

    fn search<T>(&self, limit: Duration, what: &str, find: impl Fn(&State) -> Option<T>) -> Result<T> {
        let end = Instant::now() + limit;
        let mut state = self.shared.lock();
        let why = loop {
            if let Some(found) = find(&state) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed {
                break "the machine ended before it printed".to_owned();
            }
            if left.is_zero() {
                break format!("within {limit:?} the machine did not print");
            }
            let waited = self.shared.more.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(state);
        bail!("{why} {what}; its console ends with\n{}", self.tail())
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("seen", &self.seen).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(mut output: impl Read, shared: &Shared, echo: bool) {
    let (mut plain, mut without_kernel) = (Plain::default(), WithoutKernel::default());
    let (mut buffer, mut printed) = (vec![0; 1 << 16], 0);
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        let mut state = shared.lock();
        let State { transcript, text, .. } = &mut *state;
        let before = transcript.len();
        plain.push(&buffer[..length], transcript);
        without_kernel.push(&transcript[before..], text);
        if echo {
            let new = &state.transcript[printed..];
            let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            // who does not look any more does not stop the machine
            let _ = std::io::stdout().write_all(&new[..whole]);
            printed += whole;
        }
        shared.more.notify_all();
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_in_order() {
        let stream: &[u8] = b"one\r\ntwo lo[    1.500000] hello\r\ngin: three# ";
        let mut console = Console::new(stream, std::io::sink(), false);
        let minute = Duration::from_secs(60);
        let found = console.wait_for(&["three", " login: "], minute).unwrap();
        assert_eq!(found, (1, "one\ntwo".to_owned()));
        console.wait_for(&["# "], minute).unwrap();
        console.wait_for_kernel("hello", minute).unwrap();
        let error = console.wait_for(&["four"], minute).unwrap_err().to_string();
        assert!(error.contains("ended before it printed `four`"), "{error}");
        assert!(error.ends_with("three# "), "{error}");
    }

    #[test]
    fn waiting_has_a_limit() {
        let (output, _input) = std::io::pipe().unwrap();
        let mut console = Console::new(output, std::io::sink(), false);
        let error = console.wait_for(&["x"], Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().starts_with("within 20ms"), "{error}");
    }
}
