//! The metadata of modules of a library directory: in their source, and in `.meta.json`; and manifests held against it.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/executor/src/embedded.rs"]
mod embedded;

use libfuzzer_sys::Corpus;
use manifest::{ModuleKind, Schemas, Version, assemble_schema, load};
use serde_json::{Value, json};

libfuzzer_sys::fuzz_target!(|text: &str| -> Corpus {
    // one or the other
    let meta = if text.starts_with('{') {
        serde_json::from_str(text).ok()
    } else {
        embedded::metadata(text)
    };
    let Some(meta) = meta else { return Corpus::Keep };
    let stage = json!({"type": "x", "options": {"a": [1, "b", {"c": null}]}, "inputs": {}, "mounts": []});
    let two = json!({"version": "2", "pipelines": [{"name": "p", "stages": [stage]}],
        "sources": {"x": {"items": {"sha256:00": {}}, "options": {}}}});
    let one =
        json!({"pipeline": {"stages": [{"name": "x", "options": {"a": 1}}], "assembler": {"name": "x"}}});
    for manifest in [one, two] {
        let _ = load(&manifest, Some(&Only(meta.clone())));
    }
    Corpus::Keep
});

/// Every module is of this metadata.
struct Only(Value);

impl Schemas for Only {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        assemble_schema(kind, name, version, &self.0)
    }

    fn names(&self, _: ModuleKind) -> Vec<String> {
        vec!["x".to_owned()]
    }
}
