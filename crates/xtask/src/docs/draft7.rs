//! Schemas of modules, which are of Draft 4, in the words of Draft 7, which editors know best.

use serde_json::{Map, Value};

/// Rewrites a schema, in place and at every depth. References within it then lead to where it lies: `place` is such as
/// `#/definitions/x`.
pub(super) fn convert(schema: &mut Value, place: &str) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|schema| convert(schema, place)),
        Value::Object(map) => object(map, place),
        _ => {}
    }
}

fn object(map: &mut Map<String, Value>, place: &str) {
    map.remove("$schema");
    map.remove("id");
    if let Some(Value::String(to)) = map.get_mut("$ref")
        && let Some(inside) = to.strip_prefix('#')
    {
        *to = format!("{place}{inside}");
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match map.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(value) = map.shift_remove(bound) {
                    map.insert(exclusive.to_owned(), value);
                }
            }
            Some(Value::Bool(false)) => {
                map.shift_remove(exclusive);
            }
            _ => {}
        }
    }
    for (key, value) in map.iter_mut() {
        match key.as_str() {
            "default" | "enum" | "required" | "examples" | "description" => {}
            // maps from names to schemas: a property may well be called "id"
            "properties" | "patternProperties" | "definitions" | "dependencies" => {
                let schemas = value.as_object_mut().into_iter().flat_map(Map::values_mut);
                schemas.for_each(|schema| convert(schema, place));
            }
            _ => convert(value, place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_and_references_are_rewritten() {
        let mut schema = json!({
            "id": "x",
            "properties": {
                "id": {"$ref": "#/definitions/d"},
                "size": {"minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false},
            },
            "enum": [{"id": 1}],
        });
        convert(&mut schema, "#/definitions/m");
        assert_eq!(
            schema,
            json!({
                "properties": {
                    "id": {"$ref": "#/definitions/m/definitions/d"},
                    "size": {"exclusiveMinimum": 0, "maximum": 9},
                },
                "enum": [{"id": 1}],
            })
        );
    }
}
