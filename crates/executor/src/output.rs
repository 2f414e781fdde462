//! What a module prints: decoded piece by piece, kept up to a limit, and written to its log file.

use std::fs::File;
use std::io::Write;

/// How much of a module's output is kept in memory and in the result: at least its last so many bytes.
const MEMORY_LIMIT: usize = 4 << 20;

/// How much of the beginning goes to the log file. Of what is more it has, at the end, what is kept in memory: never more than
/// 64 MiB in all.
const FILE_LIMIT: usize = 48 << 20;

/// What stands for the beginning.
const CUT: &str = "[earlier output is in the log file]\n";

/// Collects output.
pub(crate) struct Output {
    text: String,
    /// The bytes of a character that is not complete yet.
    pending: Vec<u8>,
    file: Option<File>,
    written: usize,
}

impl Output {
    pub(crate) fn new(file: Option<File>) -> Self {
        Self {
            text: String::new(),
            pending: Vec::new(),
            file,
            written: 0,
        }
    }

    /// Takes a piece and returns the whole characters that are known now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let room = match fault::lifted!("log-limit") {
            false => FILE_LIMIT.saturating_sub(self.written),
            true => usize::MAX,
        };
        self.written += bytes.len();
        if let Some(file) = self.file.as_mut().filter(|_| room > 0) {
            // a full disk must not stop the stage: the result has the text as well
            let _ = file.write_all(&bytes[..bytes.len().min(room)]);
        }
        self.pending.extend_from_slice(bytes);
        let cut = complete(&self.pending);
        let piece = String::from_utf8_lossy(&self.pending[..cut]).into_owned();
        self.pending.drain(..cut);
        self.keep(&piece);
        piece
    }

    /// The end: what was kept.
    pub(crate) fn finish(mut self) -> String {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
        self.keep(&rest);
        self.add_end();
        self.text
    }

    /// Adds to the log file the end of what was too much for it.
    fn add_end(&mut self) {
        let more = self.written.saturating_sub(FILE_LIMIT);
        let Some(file) = self.file.as_mut().filter(|_| more > 0) else {
            return;
        };
        let mut cut = self.text.len().saturating_sub(more);
        while !self.text.is_char_boundary(cut) {
            cut += 1;
        }
        let end = self.text[cut..].strip_prefix(CUT).unwrap_or(&self.text[cut..]);
        let left_out = more.saturating_sub(end.len());
        let _ = write!(file, "\n[{left_out} bytes of output were left out here]\n{end}");
    }

    /// Appends, dropping the beginning where there is too much.
    fn keep(&mut self, piece: &str) {
        self.text.push_str(piece);
        if self.text.len() > 2 * MEMORY_LIMIT {
            let mut cut = self.text.len() - MEMORY_LIMIT;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.replace_range(..cut, CUT);
        }
    }
}

/// How many of the bytes are whole characters (or certainly none).
fn complete(bytes: &[u8]) -> usize {
    let mut cut = bytes.len();
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        match bytes[at] {
            // a leading byte whose character needs more than is there
            b if b >= 0xc0 => {
                let needs = if b >= 0xf0 {
                    4
                } else if b >= 0xe0 {
                    3
                } else {
                    2
                };
                if back < needs {
                    cut = at;
                }
                break;
            }
            b if b < 0x80 => break,
            _ => {}
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_character_waits_for_its_rest() {
        let mut output = Output::new(None);
        let euro = "a€b".as_bytes();
        assert_eq!(output.push(&euro[..2]), "a");
        assert_eq!(output.push(&euro[2..]), "€b");
        assert_eq!(output.push(b"\xff!"), "\u{fffd}!");
        assert_eq!(output.finish(), "a€b\u{fffd}!");
    }

    #[test]
    fn too_much_output_keeps_its_end() {
        let mut output = Output::new(None);
        for _ in 0..9 {
            output.push("x".repeat(1 << 20).as_bytes());
        }
        output.push(b"end");
        let text = output.finish();
        assert!(text.len() < 2 * MEMORY_LIMIT && text.ends_with("end") && text.starts_with("[earlier"));
    }

    #[test]
    fn the_log_has_both_ends_and_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut output = Output::new(Some(file.reopen().unwrap()));
        output.push(b"begin\n");
        for _ in 0..80 {
            output.push("x".repeat(1 << 20).as_bytes());
        }
        output.push(b"\nend\n");
        output.finish();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.starts_with("begin\n") && text.ends_with("x\nend\n"));
        assert!(text.contains("bytes of output were left out here]\n"));
        assert!(text.len() < 64 << 20, "{}", text.len());
    }
}
