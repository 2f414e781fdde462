//! JSON Schemas in Draft 4, the dialect of module metadata, from the types of options.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The Draft 4 schema of the options type `O`, everything inline.
pub fn options_schema<O: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<O>().to_value();
    to_draft4(&mut schema);
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
        schema.remove("description");
    }
    schema
}

/// Rewrites, in place and at every depth, what Draft 4 says otherwise than Draft 7.
fn to_draft4(schema: &mut Value) {
    match schema {
        Value::Bool(true) => *schema = Value::Object(Map::new()),
        Value::Bool(false) => *schema = serde_json::json!({"not": {}}),
        Value::Array(list) => list.iter_mut().for_each(to_draft4),
        Value::Object(map) => object_to_draft4(map),
        _ => {}
    }
}

fn object_to_draft4(map: &mut Map<String, Value>) {
    // schemars' own formats ("uint32") mean nothing to others; the bounds they stand for are there as well
    map.remove("format");
    if let Some(value) = map.remove("const") {
        map.insert("enum".into(), Value::Array(vec![value]));
    }
    remove_null(map);
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if map.get(exclusive).is_some_and(Value::is_number) {
            let value = map
                .insert(exclusive.into(), Value::Bool(true))
                .unwrap_or_default();
            map.insert(bound.into(), value);
        }
    }
    for (key, value) in map.iter_mut() {
        match key.as_str() {
            // maps from names to schemas: a property may well be called "const"
            "properties" | "patternProperties" | "definitions" => {
                value
                    .as_object_mut()
                    .into_iter()
                    .flat_map(Map::values_mut)
                    .for_each(to_draft4);
            }
            "additionalProperties" | "additionalItems" if value.is_boolean() => {}
            "default" | "enum" | "required" | "examples" | "description" => {}
            _ if value.is_object() || value.is_array() => to_draft4(value),
            "items" | "not" if value.is_boolean() => to_draft4(value),
            _ => {}
        }
    }
}

/// An `Option` is an option that may be left out: no option may be null.
fn remove_null(map: &mut Map<String, Value>) {
    let null = serde_json::json!({"type": "null"});
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = &types[..] {
            let name = name.clone();
            map.insert("type".into(), name);
        }
    }
    if let Some(Value::Array(schemas)) = map.get_mut("anyOf")
        && schemas.contains(&null)
    {
        schemas.retain(|schema| *schema != null);
        if schemas.len() == 1 {
            let only = schemas.remove(0);
            map.remove("anyOf");
            for (key, value) in only.as_object().into_iter().flatten() {
                map.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Options {
        /// The name.
        name: String,
        size: Option<u32>,
        #[schemars(extend("pattern" = "^x"))]
        extra: Option<String>,
        kind: Option<Choice>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Choice {
        One,
        Two,
    }

    #[test]
    fn types_become_draft_4() {
        let schema = options_schema::<Options>();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["name"]));
        assert_eq!(schema["properties"]["name"]["description"], "The name.");
        assert_eq!(schema["properties"]["extra"]["pattern"], "^x");
        assert_eq!(schema["properties"]["size"]["type"], "integer");
        assert_eq!(
            schema["properties"]["kind"],
            serde_json::json!({"enum": ["one", "two"], "type": "string"})
        );
        assert!(!schema.to_string().contains("\"const\""), "{schema}");
    }
}
