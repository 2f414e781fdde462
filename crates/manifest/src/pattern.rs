//! Patterns of schemas mean what Python's `re.search` makes of them.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Python's `$`: at the end, or before a line feed at the end.
const END: &str = r"(?=\n?(?![\s\S]))";
/// Python's `\Z`: at the very end.
const VERY_END: &str = r"(?![\s\S])";

/// Rewrites every pattern in `schema` for the engine we have; `written` then tells how each was written.
pub(crate) fn translate_schema(schema: &mut Value, written: &mut HashMap<String, String>) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|item| translate_schema(item, written)),
        Value::Object(map) => translate_object(map, written),
        _ => {}
    }
}

fn translate_object(map: &mut Map<String, Value>, written: &mut HashMap<String, String>) {
    for (keyword, value) in map.iter_mut() {
        match (keyword.as_str(), value) {
            ("enum" | "default" | "required", _) => {}
            ("pattern", Value::String(pattern)) => {
                let translated = translate(pattern);
                written.insert(translated.clone(), std::mem::replace(pattern, translated));
            }
            ("patternProperties", Value::Object(patterns)) => {
                *patterns = std::mem::take(patterns)
                    .into_iter()
                    .map(|(pattern, mut schema)| {
                        translate_schema(&mut schema, written);
                        let translated = translate(&pattern);
                        written.insert(translated.clone(), pattern);
                        (translated, schema)
                    })
                    .collect();
            }
            // maps from names to schemas: a property may well be called "pattern"
            ("properties" | "definitions" | "dependencies", Value::Object(schemas)) => {
                schemas
                    .values_mut()
                    .for_each(|schema| translate_schema(schema, written));
            }
            (_, value) => translate_schema(value, written),
        }
    }
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let (taken, written) = match c {
            '\\' if rest.starts_with(r"\Z") && !class => (2, VERY_END),
            '\\' if rest.starts_with(r"\A") && !class => (2, "^"),
            '\\' => {
                let taken = 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
                (taken, &rest[..taken])
            }
            '[' if !class => {
                class = true;
                // a bracket that closes at once is one of the class
                let taken = ["[^]", "[]", "[^", "["]
                    .into_iter()
                    .find(|open| rest.starts_with(open))
                    .map_or(1, str::len);
                (
                    taken,
                    if rest[..taken].ends_with(']') {
                        ""
                    } else {
                        &rest[..taken]
                    },
                )
            }
            ']' => {
                class = false;
                (1, "]")
            }
            '$' if !class => (1, END),
            '(' if rest.starts_with("(?P<") => (4, "(?<"),
            _ => (c.len_utf8(), &rest[..c.len_utf8()]),
        };
        match (written, &rest[..taken]) {
            ("", "[^]") => out.push_str(r"[^\]"),
            ("", _) => out.push_str(r"[\]"),
            (written, _) => out.push_str(written),
        }
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_python_says_otherwise_is_rewritten() {
        assert_eq!(translate(r"^\/(?!\.\.)[a$\]]\$"), r"^\/(?!\.\.)[a$\]]\$");
        assert_eq!(translate("^a$"), format!("^a{END}"));
        assert_eq!(translate("[]$][^]$]$"), format!(r"[\]$][^\]$]{END}"));
        assert_eq!(translate(r"\A(?P<x>é)\Z"), format!("^(?<x>é){VERY_END}"));
        assert_eq!(translate(r"a\"), r"a\");
    }

    #[test]
    fn patterns_are_told_from_properties() {
        let mut schema = serde_json::json!({
            "properties": {"pattern": {"pattern": "a$"}, "enum": {"enum": [{"pattern": "a$"}]}},
            "patternProperties": {"b$": {"pattern": "c"}}
        });
        let mut written = HashMap::new();
        translate_schema(&mut schema, &mut written);
        assert_eq!(schema["properties"]["pattern"]["pattern"], format!("a{END}"));
        assert_eq!(schema["properties"]["enum"]["enum"][0]["pattern"], "a$");
        assert_eq!(schema["patternProperties"][format!("b{END}")]["pattern"], "c");
        assert_eq!(written[&format!("b{END}")], "b$");
    }
}
