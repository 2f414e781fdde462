//! TOML as it is written to configuration files.

use std::collections::VecDeque;
use std::fmt::Write as _;

use toml::{Table, Value};

/// The text of a document, as the `toml` library of Python lays it out: in each table first its values, then, level by
/// level, the tables below, an empty line between them. Tables that hold only tables have no header.
///
/// Tables in lists are written inline.
pub fn toml_text(document: &Table) -> String {
    let mut text = String::new();
    let mut waiting = VecDeque::from([(String::new(), document)]);
    while let Some((name, table)) = waiting.pop_front() {
        let lines = values(table);
        if !name.is_empty() && (!lines.is_empty() || table.is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "[{name}]");
        }
        text.push_str(&lines);
        for (key, value) in table {
            if let Value::Table(below) = value {
                let dot = if name.is_empty() { "" } else { "." };
                waiting.push_back((format!("{name}{dot}{}", key_text(key)), below));
            }
        }
    }
    text
}

/// The lines of the table's own values.
fn values(table: &Table) -> String {
    let mut lines = String::new();
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let _ = writeln!(lines, "{} = {}", key_text(key), value_text(value));
    }
    lines
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: String = items
                .iter()
                .map(|item| format!(" {},", value_text(item)))
                .collect();
            format!("[{items}]")
        }
        Value::Table(table) => {
            let members: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", key_text(key), value_text(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

fn key_text(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::toml_text;

    #[test]
    fn a_text_is_laid_out_and_reads_back_the_same() {
        let text = "z = 1\na = [ \"x\\\"y\\u0001\", [ true, 1.5,],]\n\n[t]\nk = \"v\"\n\n[e]\n\n[t.\"u v\"]\n\
                    l = [ { a = 1, b = [] },]\n\n[f.g.h]\nd = 1979-05-27T07:32:00Z\n";
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(toml_text(&table), text);
        assert_eq!(toml_text(&toml::Table::new()), "");
    }
}
