//! What a module prints: decoded piece by piece, kept up to a limit, and written to its log file.

use std::fs::File;
use std::io::Write;

/// How much of a module's output is kept in memory and in the result. The log file has up to [`FILE_LIMIT`].
const MEMORY_LIMIT: usize = 4 << 20;
const FILE_LIMIT: usize = 256 << 20;

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
        if let Some(file) = self.file.as_mut().filter(|_| self.written < FILE_LIMIT) {
            // a full disk must not stop the stage: the result has the text as well
            let _ = file.write_all(&bytes[..bytes.len().min(FILE_LIMIT - self.written)]);
            self.written += bytes.len();
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
        self.text
    }

    /// Appends, dropping the beginning where there is too much.
    fn keep(&mut self, piece: &str) {
        self.text.push_str(piece);
        if self.text.len() > 2 * MEMORY_LIMIT {
            let mut cut = self.text.len() - MEMORY_LIMIT;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text
                .replace_range(..cut, "[earlier output is in the log file]\n");
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
}
