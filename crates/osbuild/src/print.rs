//! The two ways out. A reader that has gone away is no error.

use std::io::Write;

/// Writes to stdout.
pub(crate) fn stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr.
pub(crate) fn stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes an `error:` line, and a `hint:` line where there is a hint.
pub(crate) fn error(message: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    stderr(&format!("error: {message}\n{hint}"));
}
