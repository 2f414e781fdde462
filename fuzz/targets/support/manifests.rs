//! What holds of any text that is given as a manifest.

use manifest::{
    ModuleKind, Schemas, Version, assemble_schema, line_of, load, parse, python_json, validation_document,
    validation_text,
};
use serde_json::{Value, json};

/// Reads a manifest as one of this version; whatever comes is a result, and what is wrong has a place.
pub fn check(bytes: &[u8], version: &str) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut value = match parse(text) {
        Ok(value) => value,
        Err(error) => return assert!(error.line >= 1 && error.column >= 1),
    };
    let hashed = python_json(&value);
    let again = parse(&hashed).map(|value| python_json(&value));
    assert_eq!(
        again.as_ref(),
        Ok(&hashed),
        "what ids are made of reads back as the same"
    );
    if let Value::Object(members) = &mut value {
        members.insert("version".into(), version.into());
    }
    for schemas in [None, Some(&Few as &dyn Schemas)] {
        match load(&value, schemas) {
            Ok(manifest) => {
                let ids = |manifest: &manifest::Manifest| -> Vec<_> {
                    manifest
                        .pipelines
                        .iter()
                        .map(|pipeline| pipeline.id().copied())
                        .collect()
                };
                assert_eq!(load(&value, schemas).map(|again| ids(&again)), Ok(ids(&manifest)));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                validation_document(&problems);
                validation_text("x", &problems);
                for problem in problems {
                    line_of(text, &problem.at);
                }
            }
        }
    }
}

/// Modules whose schemas have something of everything.
struct Few;

impl Schemas for Few {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        let meta = match (kind, name) {
            (ModuleKind::Stage, "org.osbuild.noop") => json!({"schema_2": {"options": {}, "inputs": {},
                "devices": {"type": "object", "additionalProperties": true}}}),
            (ModuleKind::Stage, "org.osbuild.users") => json!({"schema": {"additionalProperties": false,
                "properties": {"users": {"type": "object", "minProperties": 1, "patternProperties":
                    {"^[a-z]{1,31}$": {"oneOf": [{"required": ["uid"]}, {"properties": {"gid": {"minimum": 0}}}]}}}}}}),
            (ModuleKind::Assembler, "org.osbuild.tar") => json!({"schema": {"required": ["filename"]}}),
            (ModuleKind::Source, "org.osbuild.curl") => {
                json!({"schema": {"properties": {"items": {"type": "object"}}}})
            }
            (ModuleKind::Input, "org.osbuild.files") => json!({"schema": {"additionalProperties": true}}),
            _ => return None,
        };
        assemble_schema(kind, name, version, &meta)
    }

    fn names(&self, kind: ModuleKind) -> Vec<String> {
        let names: &[&str] = match kind {
            ModuleKind::Stage => &["org.osbuild.noop", "org.osbuild.users"],
            ModuleKind::Assembler => &["org.osbuild.tar"],
            _ => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
