//! The schemas of our stages against the peer's recorded verdicts: `conformance/validation/STAGE.json`, entries of
//! manifests with the places of what is wrong with them.

use std::collections::BTreeSet;
use std::path::Path;

use manifest::{ModuleKind, Schemas, Version, assemble_schema};
use serde_json::{Value, json};

struct Ours;

impl Schemas for Ours {
    fn schema(&self, kind: ModuleKind, name: &str, version: Version) -> Option<Value> {
        let module = stages::MODULES.iter().find(|module| module.name == name)?;
        assemble_schema(kind, name, version, &module.describe())
    }

    fn names(&self, _: ModuleKind) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn entries_are_judged_as_the_peer_judges_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/validation");
    if !dir.is_dir() {
        println!("skipped: there is no {}", dir.display());
        return;
    }
    let (mut same, mut different) = (0, Vec::new());
    for module in stages::MODULES {
        let Ok(text) = std::fs::read_to_string(dir.join(format!("{}.json", module.name))) else {
            continue;
        };
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        // a list as options passes the peer's schemas, then its stages crash
        let is_entry = |case: &&Value| case["kind"] == "stages" && case["instance"]["options"].is_object();
        for case in cases.iter().filter(is_entry) {
            let theirs: BTreeSet<String> = case["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|error| error["path"].to_string())
                .collect();
            let ours = verdict(case);
            if ours == theirs {
                same += 1;
            } else {
                different.push(format!(
                    "{}\n  ours {ours:?}, theirs {theirs:?}",
                    case["instance"]
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

/// Where in the entry something is wrong.
fn verdict(case: &Value) -> BTreeSet<String> {
    let stages = json!([case["instance"]]);
    let (manifest, depth) = if case["version"] == "1" {
        (json!({"pipeline": {"stages": stages}}), 3)
    } else {
        (
            json!({"version": "2", "pipelines": [{"name": "x", "stages": stages}]}),
            4,
        )
    };
    let problems = manifest::load(&manifest, Some(&Ours)).err().unwrap_or_default();
    let paths = problems
        .iter()
        .map(|problem| serde_json::to_value(&problem.path).unwrap());
    let places = paths.map(|path| path.as_array().unwrap()[depth..].to_vec());
    // the recorded entries are no whole manifests: what their devices lack is not the stage's to say
    let places = places.filter(|place| place.len() < 2 || place[0] != "devices");
    places.map(|place| Value::from(place).to_string()).collect()
}
