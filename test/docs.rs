//! The documents of the modules are those of the modules that there are, and editors can use the schemas.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tests::{TestEnv, need, repository, run};

const LIMIT: Duration = Duration::from_secs(1800);

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "xtask", "--"]);
    command.args(args).current_dir(repository());
    command
}

#[test]
fn the_committed_documents_are_up_to_date() {
    let env = TestEnv::new();
    let mut command = xtask(&["docs", "--check", "--bin-dir"]);
    command.arg(&env.binaries().dir);
    run(&mut command, b"", LIMIT).expect(0);
}

/// What Python's jsonschema says of manifests.
const CHECK: &str = r#"
import json, sys
from jsonschema import Draft7Validator
schemas = [json.load(open(path)) for path in sys.argv[1:3]]
for schema in schemas:
    Draft7Validator.check_schema(schema)
for path in sys.argv[3:]:
    manifest = json.load(open(path))
    manifest = manifest.get("manifest", manifest)
    schema = schemas[manifest.get("version") == "2"]
    print("good" if Draft7Validator(schema).is_valid(manifest) else "bad", path)
"#;

/// Samples, and recorded manifests where they are there.
fn manifests() -> Vec<PathBuf> {
    let places = [
        "samples",
        "../shared/conformance/builds",
        "../shared/conformance/ids",
    ];
    let mut all = Vec::new();
    for place in places {
        let Ok(entries) = std::fs::read_dir(repository().join(place)) else {
            eprintln!("skipped, as {place} is not there: its manifests");
            continue;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        let recorded = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".ids.json") || name.ends_with(".result.json")
        };
        all.extend(paths.filter(|path| path.extension().is_some_and(|ext| ext == "json") && !recorded(path)));
    }
    all.sort();
    all
}

#[test]
fn editors_judge_manifests_as_osbuild_does() {
    let what = "schemas for editors";
    let python = |code: &str| Command::new("python3").args(["-c", code]).output();
    let there = need::tools(&["python3"], what)
        && python("import jsonschema").is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped, as Python has no jsonschema: {what}");
        return;
    }
    let env = TestEnv::new();
    let manifests = manifests();
    let mut command = Command::new("python3");
    command.args(["-c", CHECK]);
    for number in [1, 2] {
        command.arg(repository().join(format!("docs/schemas/manifest-v{number}.json")));
    }
    let verdicts = run(command.args(&manifests), b"", LIMIT).expect(0).stdout;
    assert_eq!(verdicts.lines().count(), manifests.len());
    for line in verdicts.lines() {
        let (verdict, path) = line.split_once(' ').unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let manifest = value.get("manifest").unwrap_or(&value).to_string();
        let ours = env.osbuild_on(["--inspect", "-"], manifest.as_bytes());
        // nothing that a schema could know: what is to be resolved first, and what cannot be
        let unknown = ["reference", "not pinned yet"]
            .iter()
            .any(|text| ours.stdout.contains(text));
        assert!(
            (unknown && ours.code == 2) || (ours.code == 0) == (verdict == "good"),
            "{line}: {}",
            ours.stdout
        );
    }
}

#[test]
fn a_mistake_in_the_options_is_found() {
    if !need::tools(&["python3"], "mistakes in an editor") {
        return;
    }
    let env = TestEnv::new();
    let wrong = r#"{"version": "2", "pipelines": [{"name": "t", "stages": [
        {"type": "org.osbuild.hostname", "options": {"hostnme": "x"}}]}]}"#;
    let unknown =
        r#"{"version": "2", "pipelines": [{"name": "t", "stages": [{"type": "org.osbuild.hostnme"}]}]}"#;
    let foreign = r#"{"version": "2", "pipelines": [{"name": "t", "stages": [{"type": "org.example.x"}]}]}"#;
    for (text, verdict) in [(wrong, "bad "), (unknown, "bad "), (foreign, "good ")] {
        let path = env.write("m.json", text);
        let mut command = Command::new("python3");
        command.args(["-c", CHECK]);
        for number in [1, 2] {
            command.arg(repository().join(format!("docs/schemas/manifest-v{number}.json")));
        }
        let result = run(command.arg(&path), b"", LIMIT);
        if result.stderr.contains("No module named") {
            eprintln!("skipped, as Python has no jsonschema: mistakes in an editor");
            return;
        }
        let result = result.expect(0);
        assert!(result.stdout.starts_with(verdict), "{text}: {}", result.stdout);
    }
}
