//! Metadata inside a Python module: `SCHEMA`, `SCHEMA_2` and `CAPABILITIES` at its top level, and its docstring.
//!
//! The values are constants: strings, perhaps several side by side, and lists of them. Anything else counts as empty.
//! This is no parser of Python. It knows comments, strings and brackets well enough to find the assignments.

use serde_json::{Map, Value, json};

/// The metadata as a `.meta.json` would have it; `None` where the text assigns none of the names.
pub(crate) fn metadata(source: &str) -> Option<Value> {
    let mut reader = Reader {
        text: source.chars().collect(),
        at: 0,
    };
    let found = reader.all();
    let mut meta = Map::new();
    for (name, key) in [("SCHEMA", "schema"), ("SCHEMA_2", "schema_2")] {
        let body = found.iter().rev().find(|(found, _)| found == name);
        if let Some((_, values)) = body {
            // the text is what stands between the braces of an object
            let text = format!("{{{}}}", values.concat());
            meta.insert(key.into(), serde_json::from_str(&text).ok()?);
        }
    }
    if meta.is_empty() {
        return None;
    }
    if let Some((_, names)) = found.iter().rev().find(|(found, _)| found == "CAPABILITIES") {
        meta.insert("capabilities".into(), json!(names));
    }
    let doc = docstring(source);
    let summary = doc.trim_start().lines().next().unwrap_or_default();
    meta.insert("summary".into(), summary.trim().into());
    Some(meta.into())
}

fn docstring(source: &str) -> String {
    let mut reader = Reader {
        text: source.chars().collect(),
        at: 0,
    };
    reader.blank_lines();
    reader.string().unwrap_or_default()
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at.checked_add(ahead)?).copied()
    }

    /// All assignments of the three names, with their constants.
    fn all(&mut self) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        let mut depth = 0usize;
        let mut begins = true;
        while let Some(c) = self.peek(0) {
            if begins
                && depth == 0
                && let Some(name) = self.assigned()
            {
                found.push((name, self.constants()));
                begins = false;
                continue;
            }
            begins = false;
            if self.string().is_some() {
                continue;
            }
            match c {
                '#' => self.comment(),
                '(' | '[' | '{' => {
                    depth += 1;
                    self.at += 1;
                }
                ')' | ']' | '}' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                '\\' => self.at += 2,
                '\n' => {
                    begins = true;
                    self.at += 1;
                }
                // a word is passed over whole, so that its end is not taken for a string's prefix
                c if is_word(c) => self.word(),
                _ => self.at += 1,
            }
        }
        found
    }

    /// Passes `NAME =`, where it is one of the three.
    fn assigned(&mut self) -> Option<String> {
        let begin = self.at;
        self.word();
        let name: String = self.text.get(begin..self.at)?.iter().collect();
        if matches!(name.as_str(), "SCHEMA" | "SCHEMA_2" | "CAPABILITIES") {
            self.blanks();
            if self.peek(0) == Some('=') && self.peek(1) != Some('=') {
                self.at += 1;
                return Some(name);
            }
        }
        self.at = begin;
        None
    }

    /// The strings of the value that comes now; none if it is not constant.
    fn constants(&mut self) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let mut depth = 0usize;
        // strings side by side are one
        let mut joins = false;
        while let Some(c) = self.peek(0) {
            if let Some(text) = self.string() {
                match values.last_mut().filter(|_| joins) {
                    Some(last) => last.push_str(&text),
                    None => values.push(text),
                }
                joins = true;
                continue;
            }
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => match depth.checked_sub(1) {
                    Some(less) => depth = less,
                    None => return Vec::new(),
                },
                ',' => joins = false,
                '\n' | ';' if depth == 0 => return values,
                '#' => {
                    self.comment();
                    continue;
                }
                '\\' if self.peek(1) == Some('\n') => self.at += 1,
                c if c.is_whitespace() => {}
                _ => return Vec::new(),
            }
            self.at += 1;
        }
        values
    }

    fn word(&mut self) {
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        while self.peek(0).is_some_and(|c| c == ' ' || c == '\t') {
            self.at += 1;
        }
    }

    fn blank_lines(&mut self) {
        while let Some(c) = self.peek(0) {
            match c {
                '#' => self.comment(),
                c if c.is_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    /// Passes a string that begins here and gives its value. One that never ends goes to the end of the text; one that
    /// is computed (`f""`) is no constant, and is left where it is.
    fn string(&mut self) -> Option<String> {
        let mut raw = false;
        let mut ahead = 0;
        while let Some(c) = self.peek(ahead).filter(|_| ahead < 2) {
            match c {
                'r' | 'R' if !raw => raw = true,
                'u' | 'U' if ahead == 0 => {}
                _ => break,
            }
            ahead += 1;
        }
        let quote = self.peek(ahead).filter(|c| matches!(c, '"' | '\''))?;
        let long = self.peek(ahead + 1) == Some(quote) && self.peek(ahead + 2) == Some(quote);
        self.at += ahead + if long { 3 } else { 1 };
        let mut value = String::new();
        while let Some(c) = self.peek(0) {
            if c == quote {
                let ends = !long || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote));
                if ends {
                    self.at += if long { 3 } else { 1 };
                    return Some(value);
                }
            }
            if c == '\n' && !long {
                return Some(value);
            }
            self.at += 1;
            if c != '\\' {
                value.push(c);
            } else if raw {
                value.push(c);
                value.extend(self.peek(0));
                self.at += 1;
            } else {
                self.escape(&mut value);
            }
        }
        Some(value)
    }

    /// What follows a backslash, by the rules of Python's string literals.
    fn escape(&mut self, value: &mut String) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        let simple = match c {
            '\n' => return,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => c,
            'x' => return self.code(2, 16, value),
            'u' => return self.code(4, 16, value),
            'U' => return self.code(8, 16, value),
            '0'..='7' => {
                self.at -= 1;
                return self.code(3, 8, value);
            }
            other => {
                value.push('\\');
                other
            }
        };
        value.push(simple);
    }

    /// A character by its number, of up to `most` digits.
    fn code(&mut self, most: usize, radix: u32, value: &mut String) {
        let mut number = 0u32;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|c| c.to_digit(radix)) else {
                break;
            };
            number = number.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        value.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_and_capabilities() {
        let source = r####"#!/usr/bin/python3
"""
Make a thing

SCHEMA = "not me"
"""
import os
NOT_SCHEMA = {"a": [1, 2]}  # SCHEMA = "nor me"
SCHEMA_2 = r"""
"options": {"pattern": "^\\d+$"}
"""
SCHEMA = ('"required": '
          "[\"a\\u00e9\"]")
CAPABILITIES = ["CAP_MAC_ADMIN", 'CAP_' "NET_ADMIN"]
def main():
    SCHEMA = "nor here"
"####;
        let meta = metadata(source).unwrap();
        assert_eq!(meta["summary"], "Make a thing");
        assert_eq!(meta["schema"], json!({"required": ["aé"]}));
        assert_eq!(meta["schema_2"], json!({"options": {"pattern": "^\\d+$"}}));
        assert_eq!(meta["capabilities"], json!(["CAP_MAC_ADMIN", "CAP_NET_ADMIN"]));
    }

    #[test]
    fn what_is_no_constant_is_empty() {
        assert_eq!(metadata("SCHEMA = make()\n").unwrap()["schema"], json!({}));
        assert_eq!(metadata("SCHEMA = f'\"a\": 1'\n").unwrap()["schema"], json!({}));
        assert_eq!(metadata("import os\n"), None);
        assert_eq!(metadata("SCHEMA == 'x'\n"), None);
        assert_eq!(metadata("SCHEMA = 'no json'\n"), None);
    }

    #[test]
    fn any_text_at_all() {
        let pieces = [
            "SCHEMA",
            " = ",
            "\"\"\"",
            "'",
            "\\",
            "r",
            "(",
            "]",
            "\n",
            "#",
            "é",
            "x1",
            "\\x",
            "CAPABILITIES=[",
        ];
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _ = metadata(&text);
        }
    }
}
