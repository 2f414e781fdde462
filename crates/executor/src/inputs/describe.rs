//! What an input says of itself.

use serde_json::{Map, Value, json};

use super::InputModule;

/// The `.meta.json` of an input: the documentation on top of its file, and its schema.
pub(super) fn meta(module: &InputModule) -> Value {
    let doc = module.text.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: Vec<_> = doc.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let summary = doc.first().copied().unwrap_or("").trim_end_matches('.');
    let rest: Vec<_> = doc.iter().skip(1).skip_while(|line| line.is_empty()).collect();
    json!({"summary": summary, "description": rest, "schema_2": (module.schema)()})
}

/// An input with one shape of references, from these origins.
pub(super) fn input(name: &str, origins: &[&str], references: Value) -> Value {
    let properties = json!({
        "type": {"enum": [name]},
        "origin": {"type": "string", "enum": origins},
        "references": references,
    });
    closed(&["type", "origin", "references"], properties)
}

/// An object with just these properties.
pub(super) fn closed(required: &[&str], properties: Value) -> Value {
    let mut schema = Map::from_iter([
        ("type".to_owned(), "object".into()),
        ("additionalProperties".to_owned(), false.into()),
        ("properties".to_owned(), properties),
    ]);
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema.into()
}

/// References as an object, or as a list of objects: each one with its options.
pub(super) fn with_options(options: &Value) -> [Value; 2] {
    let object = json!({
        "type": "object", "additionalProperties": false, "minProperties": 1,
        "patternProperties": {".*": options},
    });
    let item = closed(&["id"], json!({"id": {"type": "string"}, "options": options}));
    [object, json!({"type": "array", "minItems": 1, "items": item})]
}
