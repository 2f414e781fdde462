//! JSON text into a value, and what is wrong with it when it is no JSON.

use std::borrow::Cow;

use serde_json::Value;

/// Where a text stops being JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
pub struct SyntaxError {
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// Reads JSON as Python does: the last of equal keys wins at the place of the first, key order is kept, and `-0` is the
/// integer 0.
///
/// Refused although Python reads them: `NaN` and infinities, integers beyond 64 bits (they would lose digits, and ids
/// would differ), lone surrogates, more than 127 levels.
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    if text.starts_with('\u{feff}') {
        return Err(at(text, 0, "the text starts with a byte order mark: remove it"));
    }
    serde_json::from_str(&prepare(text)?).map_err(|error| explain(text, &error))
}

/// Line and column, both from 1, of the byte `offset` of `text`; the column counts characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..floor(text, offset)];
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (line, before[start..].chars().count() + 1)
}

/// The last character boundary of `text` that is not behind `offset`.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn at(text: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
    let (line, column) = position(text, offset);
    SyntaxError {
        message: message.into(),
        line,
        column,
    }
}

/// Handles what serde_json reads otherwise than Python: `-0` (a float there), and long integers (floats there as well).
fn prepare(text: &str) -> Result<Cow<'_, str>, SyntaxError> {
    let bytes = text.as_bytes();
    let mut changed: Option<Vec<u8>> = None;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => i = string_end(bytes, i),
            b'-' | b'0'..=b'9' => {
                let start = i;
                while i < bytes.len() && matches!(bytes[i], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    i += 1;
                }
                let token = &text[start..i];
                if token == "-0" {
                    changed.get_or_insert_with(|| bytes.to_vec())[start] = b' ';
                }
                let digits = token.strip_prefix('-').unwrap_or(token);
                let integer = digits.bytes().all(|b| b.is_ascii_digit());
                if integer
                    && digits.len() > 18
                    && token.parse::<i64>().is_err()
                    && token.parse::<u64>().is_err()
                {
                    return Err(at(text, start, "an integer beyond 64 bits"));
                }
            }
            _ => i += 1,
        }
    }
    Ok(match changed.map(String::from_utf8) {
        Some(Ok(changed)) => Cow::Owned(changed),
        _ => Cow::Borrowed(text),
    })
}

/// The offset behind the string whose opening quote is at `start`.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn explain(text: &str, error: &serde_json::Error) -> SyntaxError {
    let start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    // the column of a character that is one too many; at an end it is the last one that was read
    let offset = floor(text, start + error.column().saturating_sub(1));
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    let rest = &text[offset..];
    let message = match message.strip_prefix("EOF while parsing a") {
        Some(what) => {
            let what = what.trim_start_matches('n').trim_start();
            let what = if what == "list" { "array" } else { what };
            return at(
                text,
                text.len(),
                format!("the text ends inside {}", article(what)),
            );
        }
        None if message == "expected value" => {
            let word: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || "-_'".contains(*c))
                .collect();
            match word.is_empty() {
                true => "a value is expected".to_owned(),
                false => format!("`{word}` is no JSON value"),
            }
        }
        None if message == "trailing comma" => "a comma before the closing bracket".to_owned(),
        None if message == "trailing characters" => "text after the end of the document".to_owned(),
        None if message == "key must be a string" => "a key in double quotes is expected".to_owned(),
        None => message.to_owned(),
    };
    at(text, offset, message)
}

/// `noun` with `a` or `an`.
pub(crate) fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o']);
    format!("{} {noun}", if an { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_have_line_and_column() {
        assert_eq!(error("{\n  \"a\" 1}"), "expected `:` at line 2 column 7");
        assert_eq!(
            error("{\"é\": nul}").split(" at ").last(),
            Some("line 1 column 10")
        );
        assert_eq!(
            error("{\"a\": [1\n"),
            "the text ends inside an array at line 2 column 1"
        );
        assert_eq!(error(""), "the text ends inside a value at line 1 column 1");
        assert_eq!(error("{\"a\": NaN}"), "`NaN` is no JSON value at line 1 column 7");
        assert_eq!(
            error("[1,]"),
            "a comma before the closing bracket at line 1 column 4"
        );
        assert_eq!(
            error("\u{feff}{}").split(':').next(),
            Some("the text starts with a byte order mark")
        );
    }

    #[test]
    fn long_integers_are_refused_not_rounded() {
        assert_eq!(
            error("{\"a\": 18446744073709551616}"),
            "an integer beyond 64 bits at line 1 column 7"
        );
        assert!(parse("[18446744073709551615, \"18446744073709551616\", 1e30]").is_ok());
    }

    #[test]
    fn keys_keep_their_order_and_the_last_value_wins() {
        let value = parse(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"b":3,"a":2}"#);
    }

    #[test]
    fn truncated_text_never_panics() {
        let text = "{\"aé\\\"\": [1, -0, \"\\u00e9\", {\"x\": null}], \"b\": -0.5e3}";
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            parse(&text[..end]).unwrap_err();
        }
        parse(text).unwrap();
    }
}
