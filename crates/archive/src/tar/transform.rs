//! Names of members made from names of files: GNU tar's `--transform`, a list of `sed` replacements.
//!
//! `s/REGEXP/REPLACEMENT/FLAGS`, several with `;` between them. Flags: `g`, a number, `i`, `x`, and which names it is
//! for: `r` members, `s` targets of symbolic links, `h` targets of hard links; a capital letter takes one of these away.
//! `flags=…` sets these three for the rest. In the replacement `&` and `\1` to `\9` are what was matched, `\L`, `\U`,
//! `\l`, `\u` and `\E` change its case (GNU tar's manual, "Modifying File and Member Names").

use regex::bytes::{Captures, Regex};

use super::bre;
use crate::{Error, Result};

/// A list of replacements.
#[derive(Debug, Clone, Default)]
pub struct Transform(Vec<Replacement>);

/// Which names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Member,
    SymlinkTarget,
    HardLinkTarget,
}

#[derive(Debug, Clone)]
struct Replacement {
    pattern: Regex,
    parts: Vec<Part>,
    /// The first match that is replaced, from 1.
    from: usize,
    /// And those after it.
    all: bool,
    scope: Scope,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
    Case(u8),
}

#[derive(Debug, Clone, Copy)]
struct Scope {
    members: bool,
    symlinks: bool,
    hard_links: bool,
}

impl Transform {
    /// Reads the list.
    ///
    /// # Errors
    /// [`Error::Unsuitable`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || Error::Unsuitable(format!("`{text}` is not s/REGEXP/REPLACEMENT/"));
        let mut scope = Scope {
            members: true,
            symlinks: true,
            hard_links: true,
        };
        let mut list = Vec::new();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (pattern, replacement, after) = if let Some(after) = rest.strip_prefix(b"flags=") {
                (None, Vec::new(), after)
            } else {
                let (delimiter, after) = rest
                    .strip_prefix(b"s")
                    .and_then(|rest| rest.split_first())
                    .ok_or_else(malformed)?;
                let (pattern, after) = until(after, *delimiter, true).ok_or_else(malformed)?;
                let (replacement, after) = until(after, *delimiter, false).ok_or_else(malformed)?;
                (Some(pattern), replacement, after)
            };
            let end = after.iter().position(|byte| *byte == b';').unwrap_or(after.len());
            let mut flags = Flags::new(scope);
            flags.read(&after[..end]).ok_or_else(malformed)?;
            match pattern {
                None => scope = flags.scope,
                Some(pattern) => list.push(Replacement {
                    pattern: bre::compile(&pattern, flags.extended, flags.ignore_case)?,
                    parts: parts(&replacement),
                    from: flags.from,
                    all: flags.all,
                    scope: flags.scope,
                }),
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        Ok(Self(list))
    }

    /// What becomes of `text`.
    pub(crate) fn apply(&self, text: &[u8], name: Name) -> Vec<u8> {
        let mut text = text.to_vec();
        for replacement in &self.0 {
            let wanted = match name {
                Name::Member => replacement.scope.members,
                Name::SymlinkTarget => replacement.scope.symlinks,
                Name::HardLinkTarget => replacement.scope.hard_links,
            };
            if wanted {
                text = replacement.apply(&text);
            }
        }
        text
    }
}

/// The text up to the delimiter, and what is behind it. In a pattern an escaped delimiter is the delimiter itself; all
/// other escapes stay as they are.
fn until(text: &[u8], delimiter: u8, pattern: bool) -> Option<(Vec<u8>, &[u8])> {
    let mut before = Vec::new();
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'\\' if pattern && text.get(at + 1) == Some(&delimiter) => {
                before.push(delimiter);
                at += 2;
            }
            b'\\' => {
                before.extend_from_slice(text.get(at..at + 2)?);
                at += 2;
            }
            byte if byte == delimiter => return Some((before, &text[at + 1..])),
            byte => {
                before.push(byte);
                at += 1;
            }
        }
    }
}

struct Flags {
    scope: Scope,
    from: usize,
    all: bool,
    ignore_case: bool,
    extended: bool,
}

impl Flags {
    fn new(scope: Scope) -> Self {
        Self {
            scope,
            from: 1,
            all: false,
            ignore_case: false,
            extended: false,
        }
    }

    fn read(&mut self, text: &[u8]) -> Option<()> {
        let mut at = 0;
        while let Some(flag) = text.get(at) {
            at += 1;
            match flag {
                b'g' => self.all = true,
                b'i' => self.ignore_case = true,
                b'x' => self.extended = true,
                b'r' | b'R' => self.scope.members = *flag == b'r',
                b's' | b'S' => self.scope.symlinks = *flag == b's',
                b'h' | b'H' => self.scope.hard_links = *flag == b'h',
                b'1'..=b'9' => {
                    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let number = std::str::from_utf8(&text[at - 1..at + digits]).ok()?;
                    self.from = number.parse().ok()?;
                    at += digits;
                }
                _ => return None,
            }
        }
        Some(())
    }
}

fn parts(text: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let part = match byte {
            b'&' => Part::Group(0),
            b'\\' => match bytes.next() {
                Some(digit @ b'0'..=b'9') => Part::Group(usize::from(digit - b'0')),
                Some(case @ (b'L' | b'U' | b'l' | b'u' | b'E')) => Part::Case(case),
                Some(b'n') => Part::Text(vec![b'\n']),
                Some(b't') => Part::Text(vec![b'\t']),
                other => Part::Text(other.into_iter().collect()),
            },
            other => {
                literal.push(other);
                continue;
            }
        };
        parts.push(Part::Text(std::mem::take(&mut literal)));
        parts.push(part);
    }
    parts.push(Part::Text(literal));
    parts
}

impl Replacement {
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut result = Vec::new();
        let mut end = 0;
        for (index, captures) in self.pattern.captures_iter(text).enumerate() {
            let Some(whole) = captures.get(0) else { continue };
            if index + 1 < self.from {
                continue;
            }
            result.extend_from_slice(&text[end..whole.start()]);
            self.expand(&captures, &mut result);
            end = whole.end();
            if !self.all {
                break;
            }
        }
        result.extend_from_slice(&text[end..]);
        result
    }

    fn expand(&self, captures: &Captures<'_>, result: &mut Vec<u8>) {
        // for all that follows, and for its first letter
        let (mut all, mut next) = (b'E', b'E');
        for part in &self.parts {
            let bytes = match part {
                Part::Case(case @ (b'l' | b'u')) => {
                    next = case.to_ascii_uppercase();
                    continue;
                }
                Part::Case(case) => {
                    all = *case;
                    continue;
                }
                Part::Text(bytes) => bytes.as_slice(),
                Part::Group(number) => captures.get(*number).map_or(&b""[..], |group| group.as_bytes()),
            };
            for byte in bytes {
                let case = match std::mem::replace(&mut next, b'E') {
                    b'E' => all,
                    once => once,
                };
                result.push(match case {
                    b'L' => byte.to_ascii_lowercase(),
                    b'U' => byte.to_ascii_uppercase(),
                    _ => *byte,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(transform: &str, text: &str) -> String {
        let transform = Transform::parse(transform).unwrap();
        String::from_utf8(transform.apply(text.as_bytes(), Name::Member)).unwrap()
    }

    #[test]
    fn names_are_replaced_as_by_sed() {
        for (transform, before, after) in [
            (r"s|^\.|prefix|", "./etc", "prefix/etc"),
            (r"s,^\./,,", "./etc/x", "etc/x"),
            ("s/a/b/g", "aaa", "bbb"),
            ("s/a/b/2", "aaa", "aba"),
            ("s/a/b/2g", "aaa", "abb"),
            (r"s/\(.*\)\.txt$/\1.md/", "a.txt", "a.md"),
            (r"s/(.*)\.txt$/<&>\U\1/x", "a.txt", "<a.txt>A"),
            (r"s/a\+/[&]/", "xaaa", "x[aaa]"),
            ("s/a+/-/", "aa+", "a-"),
            ("s/*//", "*x", "x"),
            ("s/[]a-c[:digit:]]/_/g", "]b7z", "___z"),
            (r"s/A/\u&b\Lc&/i", "xa", "xAbca"),
            ("s/a/b/;s/b/c/", "ab", "cb"),
            (r"s/\/usr\//\/u\//", "a/usr/b", "a/u/b"),
            ("flags=S;s/a/b/", "a", "b"),
            ("s/$/.old/", "a", "a.old"),
        ] {
            assert_eq!(apply(transform, before), after, "{transform}");
        }
    }

    #[test]
    fn which_names_is_told_by_flags() {
        let transform = Transform::parse("s/a/b/S").unwrap();
        assert_eq!(transform.apply(b"a", Name::SymlinkTarget), b"a");
        assert_eq!(transform.apply(b"a", Name::HardLinkTarget), b"b");
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "x",
            "s/a",
            "s/a/b",
            "s/a/b/q",
            r"s/\(a/b/",
            r"s/\(a\)\1/b/",
            "s/[/x/",
        ] {
            assert!(Transform::parse(bad).is_err(), "{bad}");
        }
    }
}
