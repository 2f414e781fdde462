//! Programs follow a build through a monitor; what they do with their end is their business.

use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, run};

/// Runs a shell script in which `build` builds the manifest with a JSON monitor on descriptor 3.
fn script(env: &TestEnv, manifest: &Value, script: &str) -> Run {
    env.write("m.json", manifest.to_string());
    let script = format!(
        "build() {{ \"$0\" --store store -l lib --json --export tree --output-directory out \
         --monitor=JSONSeqMonitor --monitor-fd=3 \"$@\" m.json; }}\n{script}"
    );
    std::fs::create_dir_all(env.path("lib")).unwrap();
    let mut command = env.command("sh");
    command.args(["-c", &script]).arg(env.binaries().osbuild());
    run(&mut command, b"", Duration::from_secs(600))
}

/// The records of the monitor.
fn records(env: &TestEnv) -> Vec<Value> {
    let text = std::fs::read_to_string(env.path("monitor")).unwrap();
    let records = text.split('\u{1e}').skip(1);
    records
        .map(|record| serde_json::from_str(record).unwrap())
        .collect()
}

#[test]
fn what_a_stage_starts_does_not_hold_the_monitor_open() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.fds", "ls -l /proc/$$/fd");
    let manifest = tree_of(json!([{"type": "org.example.fds"}]));
    let run = script(&env, &manifest, "build 3> monitor").expect(0);
    let output = run.json()["log"]["tree"][0]["output"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        output.contains(" 0 -> ") && !output.contains("monitor"),
        "{output}"
    );
    assert!(std::fs::metadata(env.path("monitor")).unwrap().len() > 0);
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_build() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop"}]));
    let run = script(&env, &manifest, "{ build 3>&1 > result; echo $? > code; } | true").expect(0);
    assert_eq!(std::fs::read_to_string(env.path("code")).unwrap(), "0\n", "{run}");
    let result = std::fs::read_to_string(env.path("result")).unwrap();
    assert!(
        result.starts_with(r#"{"type": "result", "success": true"#),
        "{result}"
    );
}

#[test]
fn a_long_output_is_cut_for_the_monitor_alone() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.long", "printf '%40000d' 7");
    let manifest = tree_of(json!([{"type": "org.example.long"}]));
    let run = script(&env, &manifest, "build 3> monitor").expect(0);
    let whole = run.json()["log"]["tree"][0]["output"].as_str().unwrap().len();
    assert_eq!(whole, 40_000);
    let records = records(&env);
    let result = records
        .iter()
        .find(|record| record["result"]["id"].is_string())
        .unwrap();
    let cut = result["result"]["output"].as_str().unwrap();
    assert!(cut.starts_with("[...9000 bytes hidden...]\n"), "{}", &cut[..60]);
    assert_eq!(cut.len(), 31_000 + "[...9000 bytes hidden...]\n".len());
}

#[test]
fn a_second_run_tells_of_what_it_does_and_counts_the_rest_as_done() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop"}]));
    script(&env, &manifest, "build 3> monitor").expect(0);
    assert_eq!(records(&env).len(), 7);
    script(&env, &manifest, "build 3> monitor").expect(0);
    let again = records(&env);
    let told: Vec<&str> = again
        .iter()
        .filter_map(|record| record["message"].as_str())
        .collect();
    assert_eq!(
        told,
        ["starting m.json", "manifest m.json finished successfully\n"]
    );
    assert_eq!(
        again[1]["progress"],
        json!({"name": "pipelines/sources", "total": 1, "done": 1})
    );
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    let env = TestEnv::new();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop"}]));
    let run = script(&env, &manifest, "build 3>&-").expect(1);
    assert!(
        run.stdout.contains("--monitor-fd 3 is not an open descriptor"),
        "{run}"
    );
}
