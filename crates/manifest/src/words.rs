//! Sentences about values that are not as they must be.

use serde_json::Value;

use crate::syntax::article;

/// A value in a sentence: short ones whole, long ones cut, containers by their kind.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.is_empty() => "the empty string".to_owned(),
        Value::String(text) => {
            let short: String = text.chars().take(60).collect();
            let dots = if short.len() < text.len() { "…" } else { "" };
            format!("the string `{}{dots}`", short.escape_debug())
        }
        Value::Array(list) if list.is_empty() => "an empty array".to_owned(),
        Value::Array(_) => "this array".to_owned(),
        Value::Object(map) if map.is_empty() => "an empty object".to_owned(),
        Value::Object(_) => "this object".to_owned(),
    }
}

/// That a value is of another type than those in `expected`, given by their names in JSON Schema.
pub(crate) fn wrong_type(expected: &[&str], found: &Value) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in expected {
        let name = if *name == "null" {
            "null".to_owned()
        } else {
            article(name)
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let found = match found {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => value(other),
    };
    format!("must be {}, not {found}", names.join(" or "))
}

/// That a value is none of `choices`.
pub(crate) fn wrong_choice(choices: &[Value], found: &Value) -> String {
    let name = |choice: &Value| match choice {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    let names: Vec<String> = choices.iter().map(name).collect();
    let one_of = if names.len() == 1 { "" } else { "one of " };
    format!("must be {one_of}{}, not {}", names.join(", "), value(found))
}

/// That a value goes beyond the `limit` that stands beside `keyword`; `None` for a keyword that is no limit.
pub(crate) fn limit(keyword: &str, limit: Option<&Value>) -> Option<String> {
    let n = limit.map(Value::to_string).unwrap_or_default();
    Some(match keyword {
        "minItems" | "minLength" | "minProperties" if n == "1" => "must not be empty".to_owned(),
        "maxItems" | "maxLength" | "maxProperties" if n == "0" => "must be empty".to_owned(),
        "minItems" => format!("must have at least {n} elements"),
        "maxItems" => format!("must have at most {n} elements"),
        "minLength" => format!("must have at least {n} characters"),
        "maxLength" => format!("must have at most {n} characters"),
        "minProperties" => format!("must have at least {n} members"),
        "maxProperties" => format!("must have at most {n} members"),
        "minimum" => format!("must be at least {n}"),
        "maximum" => format!("must be at most {n}"),
        "exclusiveMinimum" => "is too small".to_owned(),
        "exclusiveMaximum" => "is too large".to_owned(),
        "multipleOf" => format!("must be a multiple of {n}"),
        "uniqueItems" => "must not have equal elements".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sentences_are_short() {
        assert_eq!(
            wrong_type(&["integer", "null"], &json!("x\n")),
            "must be an integer or null, not the string `x\\n`"
        );
        assert_eq!(
            wrong_choice(&[json!("a"), json!(1)], &json!({})),
            "must be one of `a`, 1, not an empty object"
        );
        assert_eq!(
            limit("minItems", Some(&json!(1))).as_deref(),
            Some("must not be empty")
        );
        assert!(value(&json!("é".repeat(99))).ends_with("é…`"));
    }
}
