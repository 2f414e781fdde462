//! The regular expressions of `sed` and of GNU tar's `--transform`, as those of the crate `regex`.

use std::fmt::Write;

use regex::bytes::{Regex, RegexBuilder};

use crate::{Error, Result};

/// Compiles a basic or, if `extended`, an extended regular expression that matches bytes.
///
/// Alternatives are tried from the left, whereas POSIX takes the longest one; references to groups in the pattern itself
/// are refused.
pub(super) fn compile(pattern: &[u8], extended: bool, ignore_case: bool) -> Result<Regex> {
    let text = Translation {
        pattern,
        at: 0,
        extended,
        text: String::new(),
        starts: true,
    }
    .run()?;
    RegexBuilder::new(&text)
        .unicode(false)
        .dot_matches_new_line(true)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|_| malformed(pattern))
}

struct Translation<'p> {
    pattern: &'p [u8],
    at: usize,
    extended: bool,
    text: String,
    /// Nothing stands before this place in its alternative.
    starts: bool,
}

impl Translation<'_> {
    fn run(mut self) -> Result<String> {
        while let Some(byte) = self.next() {
            let started = std::mem::replace(&mut self.starts, false);
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.bracket()?,
                b'.' => self.text.push('.'),
                b'*' if started && !self.extended => self.literal(b'*'),
                b'*' => self.text.push('*'),
                b'^' if started || self.extended => {
                    self.text.push('^');
                    self.starts = true;
                }
                b'$' if self.extended || self.ends() => self.text.push('$'),
                b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?' if self.extended => self.operator(byte),
                other => self.literal(other),
            }
        }
        Ok(self.text)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.pattern.get(self.at).copied();
        self.at += 1;
        byte
    }

    /// Whether the alternative ends here.
    fn ends(&self) -> bool {
        let rest = self.pattern.get(self.at..).unwrap_or_default();
        rest.is_empty() || rest.starts_with(b"\\)") || rest.starts_with(b"\\|")
    }

    fn operator(&mut self, byte: u8) {
        self.text.push(byte.into());
        self.starts = matches!(byte, b'(' | b'|');
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.text.push(byte.into());
        } else {
            write!(self.text, "\\x{byte:02X}").ok();
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.next() {
            None => return Err(malformed(self.pattern)),
            Some(byte @ (b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?')) if !self.extended => {
                self.operator(byte);
            }
            Some(byte @ (b'w' | b'W' | b's' | b'S' | b'b' | b'B')) => {
                self.text.push('\\');
                self.text.push(byte.into());
            }
            Some(b'<' | b'>') => self.text.push_str("\\b"),
            Some(b'`') => self.text.push_str("\\A"),
            Some(b'\'') => self.text.push_str("\\z"),
            Some(b'n') => self.literal(b'\n'),
            Some(b't') => self.literal(b'\t'),
            Some(b'1'..=b'9') => {
                return Error::unsuitable(format!(
                    "`{}`: a reference to a group can only stand in the replacement",
                    String::from_utf8_lossy(self.pattern)
                ));
            }
            Some(other) => self.literal(other),
        }
        Ok(())
    }

    /// `[…]`: a backslash in it is itself.
    fn bracket(&mut self) -> Result<()> {
        self.text.push('[');
        if self.pattern.get(self.at) == Some(&b'^') {
            self.at += 1;
            self.text.push('^');
        }
        let mut first = true;
        loop {
            let Some(byte) = self.next() else {
                return Err(malformed(self.pattern));
            };
            match byte {
                b']' if !first => break,
                b'[' if self.pattern.get(self.at) == Some(&b':') => self.class()?,
                b'[' if matches!(self.pattern.get(self.at), Some(b'.' | b'=')) => {
                    return Err(malformed(self.pattern));
                }
                b'-' if first || self.pattern.get(self.at) == Some(&b']') => self.literal(b'-'),
                b'-' => self.text.push('-'),
                other => self.literal(other),
            }
            first = false;
        }
        self.text.push(']');
        Ok(())
    }

    /// `[:alpha:]` and its kind, the first bracket read.
    fn class(&mut self) -> Result<()> {
        let rest = &self.pattern[self.at..];
        let end = rest
            .windows(2)
            .position(|two| two == b":]")
            .filter(|end| *end > 0);
        let name = end.and_then(|end| std::str::from_utf8(&rest[1..end]).ok());
        let (Some(end), Some(name)) = (end, name) else {
            return Err(malformed(self.pattern));
        };
        write!(self.text, "[:{name}:]").ok();
        self.at += end + 2;
        Ok(())
    }
}

fn malformed(pattern: &[u8]) -> Error {
    Error::Unsuitable(format!(
        "`{}` is not a regular expression",
        String::from_utf8_lossy(pattern)
    ))
}
