//! Entries of manifests are valid, or wrong in the same places, as recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::TestEnv;

use super::recordings::{Module, Ours, documents, peer};

#[test]
fn entries_of_manifests_have_the_recorded_verdicts() {
    let ours = Ours::new();
    let env = TestEnv::new();
    let (mut same, mut different) = (0, Vec::new());
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for (file, cases) in documents("validation") {
        for case in cases.as_array().unwrap() {
            let module = module(case);
            let libdir = match (ours.has(&module), peer()) {
                (true, _) => None,
                (false, Some(libdir)) => Some(libdir),
                (false, None) => {
                    *skipped.entry(module.1).or_default() += 1;
                    continue;
                }
            };
            match verdict(&env, case, libdir.as_deref()) {
                verdict if verdict == recorded(case) => same += 1,
                verdict => different.push(format!(
                    "{file} {}\n  recorded {:?}\n  ours {verdict:?}",
                    case["instance"],
                    recorded(case)
                )),
            }
        }
    }
    for (name, count) in &skipped {
        println!("{name}: {count} skipped, it is not ours");
    }
    println!(
        "{same} verdicts are the recorded ones; {} were skipped",
        skipped.values().sum::<usize>()
    );
    assert!(
        different.is_empty(),
        "{} verdicts differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

fn module(case: &Value) -> Module {
    let kind = match case["kind"].as_str().unwrap() {
        "stages" => "stage",
        "mounts" => "mount",
        "sources" => "source",
        other => panic!("an unknown kind: {other}"),
    };
    (kind, case["module"].as_str().unwrap().to_owned())
}

/// Where mistakes are.
type Places = BTreeSet<String>;

fn recorded(case: &Value) -> Places {
    let errors = case["errors"].as_array().unwrap();
    assert_eq!(errors.is_empty(), case["valid"] == true, "{case}");
    errors
        .iter()
        .filter_map(|error| place(error["path"].as_array().unwrap()))
        .collect()
}

/// Where `--inspect` finds mistakes in the entry, when it is all there is in a manifest.
fn verdict(env: &TestEnv, case: &Value, libdir: Option<&str>) -> Places {
    let (instance, name) = (&case["instance"], &case["module"]);
    let (manifest, at) = match (module(case).0, case["version"].as_str()) {
        ("source", _) => (
            json!({"version": "2", "sources": {name.as_str().unwrap(): instance}}),
            json!(["sources", name]),
        ),
        ("mount", _) => (
            json!({"version": "2", "pipelines": [{"name": "p", "stages": [{"type": "org.osbuild.noop", "mounts": [instance]}]}]}),
            json!(["pipelines", 0, "stages", 0, "mounts", 0]),
        ),
        (_, Some("1")) => (
            json!({"pipeline": {"stages": [instance]}}),
            json!(["pipeline", "stages", 0]),
        ),
        _ => (
            json!({"version": "2", "pipelines": [{"name": "p", "stages": [instance]}]}),
            json!(["pipelines", 0, "stages", 0]),
        ),
    };
    let args = libdir.into_iter().chain(["--inspect", "-"]);
    let run = env.osbuild_on(args, manifest.to_string().as_bytes());
    let document = run.json();
    assert_eq!(
        run.code,
        if document["errors"].is_array() { 2 } else { 0 },
        "{run}"
    );
    let mut errors: Vec<Value> = document["errors"].as_array().cloned().unwrap_or_default();
    if !instance["options"].is_object() {
        // which the format refuses, while some of the modules' schemas do not
        errors
            .retain(|error| error["path"].as_array().and_then(|path| path.last()) != Some(&json!("options")));
    }
    let paths = errors.iter().filter_map(|error| error["path"].as_array());
    paths
        .filter_map(|path| place(path.strip_prefix(at.as_array()?.as_slice())?))
        .collect()
}

/// A place in an entry; none where not the module has a say, but the format: inside inputs, devices and mounts.
fn place(path: &[Value]) -> Option<String> {
    let of_format = ["inputs", "devices", "mounts"];
    let foreign = path.len() > 1 && of_format.iter().any(|key| path[0] == *key);
    (!foreign).then(|| json!(path).to_string())
}
