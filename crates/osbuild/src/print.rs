//! The two ways out. A reader that has gone away is no error.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why something could not be written to stdout: of the first time.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Writes to stdout. What could not be written [counts](exit_code) at the end.
pub(crate) fn stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            UNWRITTEN.get_or_init(|| error);
        }
        _ => {}
    }
}

/// The exit code of a command that would end with `code`: who reads its stdout must not take half of it for all.
pub(crate) fn exit_code(code: ExitCode) -> ExitCode {
    match UNWRITTEN.get() {
        Some(error_of_it) if code == ExitCode::SUCCESS => {
            error(&format!("cannot write to stdout: {error_of_it}"), None);
            ExitCode::from(crate::fail::FAILED)
        }
        _ => code,
    }
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

/// A line that somebody else wrote, so that a terminal shows it and does nothing else: without escape sequences and what
/// a carriage return would have painted over, and not endless.
pub(crate) fn tame(line: &str) -> String {
    const LONGEST: usize = 1000;
    if fault::lifted!("tame") {
        return line.to_owned();
    }
    let line = line.trim_end_matches('\r');
    let mut rest = line.rsplit('\r').next().unwrap_or_default().chars();
    let mut out = String::new();
    while let Some(c) = rest.next() {
        match c {
            // `ESC [` and up to a letter: colours, cursor
            '\u{1b}' if rest.as_str().starts_with('[') => {
                rest.next();
                rest.by_ref().find(|c| ('@'..='~').contains(c));
            }
            '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        if out.len() > LONGEST {
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn a_line_is_shown_and_does_nothing() {
        assert_eq!(tame("a\tb é"), "a\tb é");
        assert_eq!(tame("10%\r 20%\r100%\r"), "100%");
        assert_eq!(
            tame("\u{1b}[1;31mred\u{1b}[0m\u{7}\u{1b}c"),
            "red\u{fffd}\u{fffd}c"
        );
        assert_eq!(tame("\u{1b}[12"), "");
        assert!(tame(&"é".repeat(5000)).len() < 1010);
    }
}
