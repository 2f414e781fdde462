//! The peer's recorded verdicts on entries of manifests, by its own schemas.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{compact, documents, shared};
use crate::schema::{Schema, Subject};
use crate::{ModuleKind, Version, assemble_schema};

#[test]
fn recorded_verdicts() {
    let Some(path) = shared("spec/schemas-compact.txt") else {
        return;
    };
    let metas = compact::read(&std::fs::read_to_string(path).unwrap());
    let (mut same, mut different) = (0, Vec::new());
    for (file, cases) in documents("conformance/validation") {
        for case in cases.as_array().unwrap() {
            let text = |key: &str| case[key].as_str().unwrap();
            let kind = match text("kind") {
                "stages" => ModuleKind::Stage,
                "mounts" => ModuleKind::Mount,
                "sources" => ModuleKind::Source,
                other => panic!("{other}"),
            };
            let version = if text("version") == "1" {
                Version::One
            } else {
                Version::Two
            };
            let name = text("module");
            let meta = &metas[&format!("{}/{name}", kind.folder())];
            let options = case["instance"]["options"].as_object();
            if name == "org.osbuild.chrony" && options.is_some_and(|options| options.is_empty()) {
                // its `minProperties` is lost in the compact form
                continue;
            }
            let schema =
                assemble_schema(kind, name, version, meta).unwrap_or_else(|| panic!("{name}: {meta}"));
            let schema = Schema::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
            let problems = schema.check(&case["instance"], Subject::Module(kind, name));
            let ours: BTreeSet<String> = problems
                .iter()
                .map(|p| serde_json::to_string(&p.path).unwrap())
                .collect();
            let theirs = case["errors"].as_array().unwrap();
            let theirs: BTreeSet<String> = theirs.iter().map(|e: &Value| e["path"].to_string()).collect();
            if ours == theirs && problems.is_empty() == case["valid"].as_bool().unwrap() {
                same += 1;
            } else {
                different.push(format!(
                    "{file} {} ours {ours:?} theirs {}",
                    case["instance"], case["errors"]
                ));
            }
        }
    }
    println!("{same} verdicts are the same");
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
