//! The log of a stage that failed, for a person: whole, or of a very long one the beginning and the end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::print;

/// Of a longer log so many of its first and its last lines are shown.
const FIRST: usize = 100;
const LAST: usize = 900;

/// So many bytes of a line are kept, its last ones: that is where what a progress display shows stands.
const LINE: usize = 8 << 10;

/// The lines of the log in the file `path`, ready to be shown; `None` where it cannot be read.
pub(crate) fn read(path: &Path) -> Option<Vec<String>> {
    lines(BufReader::with_capacity(256 << 10, File::open(path).ok()?)).ok()
}

fn lines(mut log: impl BufRead) -> std::io::Result<Vec<String>> {
    let mut shown = Vec::new();
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut left_out = 0u64;
    while let Some(line) = line(&mut log)? {
        if shown.len() < FIRST {
            shown.push(show(&line));
            continue;
        }
        last.push_back(line);
        if last.len() > LAST {
            last.pop_front();
            left_out += 1;
        }
    }
    if left_out > 0 {
        shown.push(format!(
            "[... {left_out} lines are left out: they are in the full log ...]"
        ));
    }
    shown.extend(last.iter().map(|line| show(line)));
    Ok(shown)
}

/// The next line without its end, however long it is; `None` behind the last one.
fn line(log: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut kept = Vec::new();
    let mut any = false;
    loop {
        let buffer = log.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any.then_some(kept));
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        kept.extend_from_slice(&piece[piece.len().saturating_sub(LINE)..]);
        kept.drain(..kept.len().saturating_sub(LINE));
        let taken = piece.len() + usize::from(end.is_some());
        log.consume(taken);
        if end.is_some() {
            return Ok(Some(kept));
        }
    }
}

fn show(line: &[u8]) -> String {
    print::tame(&String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(log: &[u8]) -> Vec<String> {
        // a small buffer, so that lines are cut by it
        lines(BufReader::with_capacity(7, log)).unwrap()
    }

    #[test]
    fn a_log_is_shown_whole() {
        assert_eq!(shown(b""), [""; 0]);
        assert_eq!(
            shown(b"a\n\n10%\r100%\nlast \xff"),
            ["a", "", "100%", "last \u{fffd}"]
        );
        let thousand: String = (1..=1000).map(|n| format!("{n}\n")).collect();
        assert_eq!(shown(thousand.as_bytes()).len(), 1000);
    }

    #[test]
    fn of_a_very_long_one_it_is_said_what_is_missing() {
        let long: String = (1..=1234).map(|n| format!("{n}\n")).collect();
        let lines = shown(long.as_bytes());
        assert_eq!((lines[0].as_str(), lines[99].as_str()), ("1", "100"));
        assert_eq!(
            lines[100],
            "[... 234 lines are left out: they are in the full log ...]"
        );
        assert_eq!((lines[101].as_str(), lines[1000].as_str()), ("335", "1234"));
        let endless = [vec![b'x'; 3 << 20], b"end".to_vec()].concat();
        let lines = shown(&endless);
        assert!(lines.len() == 1 && lines[0].len() < 2 * LINE);
    }
}
