//! From a module's metadata to the schema of its entry in a manifest.

use serde_json::{Map, Value, json};

use crate::model::{ModuleKind, Version};

/// The Draft 4 schema of a manifest's entry for the module `name`, from `meta`, the contents of its `.meta.json`
/// (`schema`, `schema_2`). `None` where the metadata has none for this kind.
///
/// * Stage, assembler: `name` (format 1) or `type` (format 2) must be the module's name; format 1 takes `schema` for
///   `options`; format 2 takes `schema_2` as the map of properties, and without one does as format 1. `mounts` and
///   `devices` may always stand there, `inputs` only if the module says so.
/// * Device: `options` by `schema_2` in format 2 if there is one, else by `schema`; more members are free.
/// * Mount: `schema_2`, over the common base. Input, source: the schema of the format if there is one, else
///   the other.
pub fn assemble_schema(kind: ModuleKind, name: &str, version: Version, meta: &Value) -> Option<Value> {
    let part = |key| meta.get(key).and_then(Value::as_object);
    let (one, two) = (part("schema"), part("schema_2").filter(|map| !map.is_empty()));
    if one.is_none() && two.is_none() {
        return None;
    }
    let newest = match version {
        // the peer stops with a trace where format 1 meets a source that has `schema_2` alone
        Version::One => one.or(two),
        Version::Two => two.or(one),
    };
    let mut schema = base(kind);
    match kind {
        ModuleKind::Stage | ModuleKind::Assembler => {
            let options =
                || Map::from_iter([("options".to_owned(), one.cloned().unwrap_or_default().into())]);
            let own = match version {
                Version::One => options(),
                Version::Two => two.cloned().unwrap_or_else(options),
            };
            let key = key(version);
            let mut properties = Map::from_iter([(key.to_owned(), json!({"enum": [name]}))]);
            properties.extend(own);
            properties
                .entry("mounts")
                .or_insert_with(|| json!({"type": "array"}));
            properties
                .entry("devices")
                .or_insert_with(|| json!({"type": "object", "additionalProperties": true}));
            schema.insert("properties".into(), properties.into());
            schema.insert("required".into(), json!([key]));
        }
        ModuleKind::Device => {
            schema.insert("additionalProperties".into(), true.into());
            schema.insert(
                "properties".into(),
                json!({"type": {"enum": [name]}, "options": newest?}),
            );
        }
        ModuleKind::Mount => {
            schema.extend(two?.clone());
            if let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({})) {
                properties.insert("type".into(), json!({"enum": [name]}));
            }
        }
        ModuleKind::Input | ModuleKind::Source => schema.extend(newest?.clone()),
    }
    hoist_definitions(&mut schema);
    Some(schema.into())
}

/// The schema for a module without metadata, say a script: any options, inputs, devices and mounts.
pub fn open_schema(kind: ModuleKind, name: &str, version: Version) -> Value {
    let mut schema = base(kind);
    schema.insert("additionalProperties".into(), true.into());
    if matches!(kind, ModuleKind::Stage | ModuleKind::Assembler) {
        let key = key(version);
        schema.insert("properties".into(), json!({key: {"enum": [name]}}));
        schema.insert("required".into(), json!([key]));
    }
    schema.into()
}

fn key(version: Version) -> &'static str {
    match version {
        Version::One => "name",
        Version::Two => "type",
    }
}

fn base(kind: ModuleKind) -> Map<String, Value> {
    Map::from_iter([
        ("title".to_owned(), format!("Pipeline {}", kind.class()).into()),
        ("type".to_owned(), "object".into()),
        ("additionalProperties".to_owned(), false.into()),
    ])
}

/// Moves `definitions` from among the properties, and from inside `options`, to the root, where references seek them.
fn hoist_definitions(schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let outer = properties.shift_remove("definitions");
    let inner = properties
        .get_mut("options")
        .and_then(Value::as_object_mut)
        .and_then(|options| options.shift_remove("definitions"));
    // the peer's order: what stands in the options wins
    if let Some(definitions) = inner.or(outer) {
        schema.insert("definitions".into(), definitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_both_formats() {
        let meta = json!({"schema": {"required": ["a"], "definitions": {"d": {}}}});
        assert_eq!(
            assemble_schema(ModuleKind::Stage, "x", Version::One, &meta),
            Some(json!({
                "title": "Pipeline Stage", "type": "object", "additionalProperties": false,
                "properties": {
                    "name": {"enum": ["x"]}, "options": {"required": ["a"]}, "mounts": {"type": "array"},
                    "devices": {"type": "object", "additionalProperties": true}
                },
                "required": ["name"], "definitions": {"d": {}}
            }))
        );
        let meta = json!({"schema_2": {"inputs": {"type": "object"}, "devices": {"type": "null"}}});
        let two = assemble_schema(ModuleKind::Stage, "x", Version::Two, &meta).unwrap();
        assert_eq!(two["properties"]["inputs"]["type"], "object");
        assert_eq!(two["properties"]["devices"]["type"], "null");
        assert_eq!(two["required"], json!(["type"]));
        let one = assemble_schema(ModuleKind::Assembler, "x", Version::One, &meta).unwrap();
        assert_eq!(one["properties"]["options"], json!({}));
        assert_eq!(
            assemble_schema(ModuleKind::Stage, "x", Version::One, &json!({})),
            None
        );
    }

    #[test]
    fn other_kinds() {
        let meta = json!({"schema_2": {"required": ["name"], "properties": {"name": {}}}});
        let mount = assemble_schema(ModuleKind::Mount, "m", Version::Two, &meta).unwrap();
        assert_eq!(mount["properties"], json!({"name": {}, "type": {"enum": ["m"]}}));
        assert_eq!(mount["required"], json!(["name"]));
        let meta = json!({"schema": {"additionalProperties": true}});
        assert_eq!(assemble_schema(ModuleKind::Mount, "m", Version::Two, &meta), None);
        let source = assemble_schema(ModuleKind::Source, "s", Version::Two, &meta).unwrap();
        assert_eq!(source["additionalProperties"], true);
        let device = assemble_schema(ModuleKind::Device, "d", Version::Two, &meta).unwrap();
        assert_eq!(device["properties"]["options"], meta["schema"]);
    }
}
