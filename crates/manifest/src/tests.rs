//! What the crate promises as a whole.

mod compact;
mod conformance;
mod format_1;
mod ids;
mod problems;
mod random;
mod robust;

use std::path::PathBuf;

use serde_json::Value;

use crate::{Manifest, ModuleKind, Problem, Schemas, Version, assemble_schema, load, parse};

/// The folder of recorded data beside the repository; says what it skips where there is none.
fn shared(part: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(part);
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// Every JSON file in a folder, sorted, with its name.
fn documents(part: &str) -> Vec<(String, Value)> {
    let Some(folder) = shared(part) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            parse(&text).unwrap(),
        )
    };
    paths.into_iter().map(read).collect()
}

fn good(text: &str) -> Manifest {
    load(&parse(text).unwrap(), None).unwrap()
}

fn problems(text: &str, schemas: Option<&dyn Schemas>) -> Vec<Problem> {
    load(&parse(text).unwrap(), schemas).unwrap_err()
}

/// A handful of modules.
struct Few;

impl Schemas for Few {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        let (_, _, meta) = few().into_iter().find(|(k, n, _)| (*k, *n) == (kind, name))?;
        assemble_schema(kind, name, version, &meta)
    }

    fn names(&self, kind: ModuleKind) -> Vec<String> {
        let names = few().into_iter().filter(|(k, _, _)| *k == kind);
        names.map(|(_, name, _)| name.to_owned()).collect()
    }
}

fn few() -> Vec<(ModuleKind, &'static str, Value)> {
    let json = |text| parse(text).unwrap();
    let hostname = r#"{"schema": {"type": "object", "required": ["hostname"], "additionalProperties": false,
        "properties": {"hostname": {"type": "string"}}}}"#;
    let files = r#"{"schema": {"additionalProperties": true, "properties": {"type": {"enum": ["org.osbuild.files"]}}}}"#;
    let curl = r#"{"schema": {"properties": {"items": {"type": "object"}, "urls": {"type": "object"}}}}"#;
    vec![
        (ModuleKind::Stage, "org.osbuild.hostname", json(hostname)),
        (
            ModuleKind::Stage,
            "org.osbuild.noop",
            json(r#"{"schema_2": {"options": {}, "inputs": {}}}"#),
        ),
        (
            ModuleKind::Assembler,
            "org.osbuild.qcow2",
            json(r#"{"schema": {}}"#),
        ),
        (
            ModuleKind::Assembler,
            "org.osbuild.tar",
            json(r#"{"schema": {}}"#),
        ),
        (ModuleKind::Input, "org.osbuild.files", json(files)),
        (
            ModuleKind::Input,
            "org.osbuild.tree",
            json(r#"{"schema": {"additionalProperties": true}}"#),
        ),
        (ModuleKind::Source, "org.osbuild.curl", json(curl)),
    ]
}
