//! JSON values as YAML 1.1, laid out as PyYAML does in block style: keys sorted, lists not indented. Long texts stay on
//! one line.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("yaml.rs");

/// The lines of one member of the outermost mapping.
pub fn member(name: &str, value: &Value) -> String {
    let mut text = String::new();
    write_member(&mut text, name, value, 0);
    text
}

/// A value on a single line.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let members: Vec<String> = sorted(map)
                .into_iter()
                .map(|(name, value)| format!("{}: {}", scalar(name), flow(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::String(text) if text.contains(['[', ']', '{', '}', ',', '?', ':']) => single_quoted(text),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn write_member(text: &mut String, name: &str, value: &Value, indent: usize) {
    let _ = write!(text, "{:indent$}{}:", "", scalar(name));
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_mapping(text, map, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_list(text, items, indent);
        }
        other => {
            let _ = writeln!(text, " {}", leaf(other));
        }
    }
}

fn write_mapping(text: &mut String, map: &Map<String, Value>, indent: usize) {
    for (name, value) in sorted(map) {
        write_member(text, name, value, indent);
    }
}

fn write_list(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        // the item is written where the dash will be, then its first line gets the dash
        let mut lines = String::new();
        match item {
            Value::Object(map) if !map.is_empty() => write_mapping(&mut lines, map, indent + 2),
            Value::Array(items) if !items.is_empty() => write_list(&mut lines, items, indent + 2),
            other => {
                let _ = writeln!(lines, "{:1$}{2}", "", indent + 2, leaf(other));
            }
        }
        let _ = write!(text, "{:indent$}- {}", "", &lines[indent + 2..]);
    }
}

/// A value without others in it, in block style.
fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => flow(other),
    }
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

/// A text: without quotes where it stays a text.
fn scalar(text: &str) -> String {
    if is_printable(text) && is_plain(text) && !is_other_type(text) {
        return text.to_owned();
    }
    single_quoted(text)
}

/// A text in single quotes, or in double quotes where those cannot hold it.
fn single_quoted(text: &str) -> String {
    if is_printable(text) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|c| (' '..='~').contains(&c))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            ' '..='~' => quoted.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(quoted, "\\x{code:02X}"),
                    0x100..=0xffff => write!(quoted, "\\u{code:04X}"),
                    _ => write!(quoted, "\\U{code:08X}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether the characters can stand without quotes, outside of brackets.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next();
    let indicator = first.is_some_and(|c| "#,[]{}&*!|>'\"%@`".contains(c));
    let with_space =
        matches!(first, Some('-' | '?' | ':')) && matches!(text.chars().nth(1), None | Some(' '));
    !text.is_empty()
        && !indicator
        && !with_space
        && text.trim() == text
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
}

/// Whether a reader of YAML 1.1 would take the word for something else than a text.
fn is_other_type(text: &str) -> bool {
    const WORDS: [&str; 9] = ["yes", "no", "true", "false", "on", "off", "null", ".inf", ".nan"];
    let lower = text.to_ascii_lowercase();
    let word = WORDS.contains(&lower.as_str()) && (text == lower || is_capitalised(text));
    // numbers of all kinds, dates and times begin like this and have no other letters
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('.');
    let number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "_.:xX+-TtZ eE".contains(c));
    word || number || matches!(text, "~" | "=" | "<<") || lower.trim_start_matches(['+', '-']) == ".inf"
}

/// `Yes` or `YES`, not `yEs`.
fn is_capitalised(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default();
    !rest.contains(|c: char| c.is_ascii_lowercase()) || !rest.contains(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_stay_texts() {
        for text in [
            "a b", "None", "a'b", "-a", ":a", "x?", "ec2-user", ".", "a,b", "10%",
        ] {
            assert_eq!(scalar(text), text);
        }
        for text in [
            "",
            "yes",
            "Off",
            "NULL",
            "~",
            "1",
            "1.5",
            ".5",
            "+1",
            "0x1f",
            "1:30",
            "1_000",
            "2020-01-01",
            "=",
            "- a",
            "? a",
            "?",
            "a: b",
            "a:",
            "a #b",
            "#b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "| x",
            "> x",
            " a",
            "a ",
            "...",
            "--- a",
            "[a",
            "{a",
        ] {
            assert_eq!(scalar(text), format!("'{text}'"));
        }
        assert_eq!(scalar("it's: 1"), "'it''s: 1'");
        assert_eq!(scalar("é\n\"\u{7}"), "\"\\xE9\\n\\\"\\x07\"");
    }

    #[test]
    fn mappings_and_lists_are_nested() {
        let value = json!({"b": [1, {"y": [1], "x": 2}, [1, 2], [], {}], "a": null, "c": {"d": true}});
        assert_eq!(
            member("k", &value),
            "k:\n  a: null\n  b:\n  - 1\n  - x: 2\n    y:\n    - 1\n  - - 1\n    - 2\n  - []\n  - {}\n  c:\n    d: true\n"
        );
        assert_eq!(flow(&json!(["a", "b,c", {"b": "no"}])), "[a, 'b,c', {b: 'no'}]");
    }
}
