//! The programs that call the Python osbuild get from us what they parse: their command lines, as they are.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Run, TestEnv, need, repository, run};

/// The sample with files and an archive: a source, four stages, two pipelines.
fn manifest() -> String {
    std::fs::read_to_string(repository().join("samples/files.json")).unwrap()
}

/// One record as Go's StatusScanner takes it: a line, without its first byte.
fn status(line: &str) -> Value {
    serde_json::from_str(line.trim_matches('\u{1e}')).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn image_builder_reads_the_monitor_to_its_end_and_then_the_result() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.write("manifest", manifest());
    let line = "exec \"$0\" --store S --output-directory O --cache-max-size=21474836480 - --export archive --in-vm image \
                --checkpoint tree --monitor=JSONSeqMonitor --monitor-fd=3 --json < manifest 3>&1 > stdout 2> stderr";
    let mut child = env
        .command("sh")
        .args(["-c", line])
        .arg(env.binaries().osbuild())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    // what reads has no other way to know the end than that nobody has the descriptor any more
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());

    let records: Vec<Value> = text.lines().map(status).collect();
    let mut seen = std::collections::BTreeSet::new();
    for record in &records {
        let context = &record["context"];
        let first = seen.insert(context["id"].as_str().unwrap().to_owned());
        assert_eq!(
            first,
            context["origin"].is_string(),
            "told in full the first time: {record}"
        );
        assert!(
            record["timestamp"].is_f64() && record["progress"]["total"] == 3,
            "{record}"
        );
    }
    let results = records.iter().filter(|record| record["result"]["id"].is_string());
    assert_eq!(results.count(), 4);
    assert_eq!(records.last().unwrap()["progress"]["done"], 3);

    let stdout = std::fs::read_to_string(env.path("stdout")).unwrap();
    let result: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&result["type"], &result["success"]),
        (&json!("result"), &json!(true))
    );
    for (pipeline, stages) in [("tree", 3), ("archive", 1)] {
        let log = result["log"][pipeline].as_array().unwrap();
        assert_eq!(log.len(), stages);
        assert!(
            log.iter()
                .all(|s| ["id", "type", "output"].iter().all(|key| s[key].is_string()))
        );
    }
    assert_eq!(std::fs::read_to_string(env.path("stderr")).unwrap(), "");
    assert!(env.path("O/archive/files.tar.gz").exists());
}

#[test]
fn the_worker_executor_calls_with_an_abbreviation_and_no_environment() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.write("d/manifest.json", manifest());
    let mut command = env.command(env.binaries().osbuild());
    command.env_clear().args([
        "--export",
        "tree",
        "--output-dir",
        "O",
        "--store",
        "S",
        "--json",
        "d/manifest.json",
    ]);
    let run = run(&mut command, b"", Duration::from_secs(600)).expect(0);
    assert_eq!(run.json()["success"], true);
    assert!(env.path("O/tree/usr").is_dir());
}

#[test]
fn the_ec2_executor_fetches_the_sources_alone() {
    let env = TestEnv::new();
    let args = [
        "--store",
        "S",
        "--output-directory",
        "",
        "--cache-max-size=21474836480",
        "-",
        "--json",
    ];
    let run = env.osbuild_on(args, manifest().as_bytes()).expect(0);
    assert_eq!(run.json()["log"], json!({}));
    assert_eq!(run.json()["sources"]["success"], true);
    let files = std::fs::read_dir(env.path("S/sources/org.osbuild.files")).unwrap();
    assert_eq!(files.count(), 2);
}

#[test]
fn coreos_assembler_reads_text() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.write("processed.json", manifest());
    let args = [
        "--out",
        "D",
        "--store",
        "S",
        "--cache-max-size",
        "20GiB",
        "--checkpoint",
        "deployed-tree",
        "--checkpoint",
        "tree",
        "--checkpoint",
        "raw-image",
        "--export=archive",
        "processed.json",
    ];
    let run = env.osbuild(args).expect(0);
    assert!(run.stdout.starts_with("starting processed.json\n"), "{run}");
    assert!(
        run.stdout
            .contains("\nmanifest processed.json finished successfully\n\nPipelines\n  tree:     \t"),
        "{run}"
    );
    assert!(run.stdout.ends_with(": cached\n"), "{run}");
    assert_eq!(run.stderr, "");
}

/// Runs what fails with both streams in one file, as a build log is made.
fn merged(env: &TestEnv, manifest: &Value) -> (Run, String) {
    let line = "exec \"$0\" --store S --output-directory O - --export tree --json > log 2>&1";
    let mut command = env.command("sh");
    command.args(["-c", line]).arg(env.binaries().osbuild());
    let run = run(
        &mut command,
        manifest.to_string().as_bytes(),
        Duration::from_secs(600),
    );
    (run, std::fs::read_to_string(env.path("log")).unwrap())
}

#[test]
fn a_build_log_is_one_document_whatever_fails() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let stage =
        |kind: &str| json!({"version": "2", "pipelines": [{"name": "tree", "stages": [{"type": kind}]}]});
    let (run, log) = merged(&env, &stage("org.osbuild.error"));
    run.expect(1);
    let document: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(document["error"]["type"], "org.osbuild.error.stage");
    let failed = &document["log"]["tree"][0];
    assert_eq!(
        (&failed["type"], &failed["success"]),
        (&json!("org.osbuild.error"), &json!(false))
    );

    let (run, log) = merged(&env, &stage("org.osbuild.nobody-has-this"));
    run.expect(2);
    let document: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(document["type"], "https://osbuild.org/validation-error");
    assert_eq!(
        document["errors"][0]["path"],
        json!(["pipelines", 0, "stages", 0])
    );
    assert!(document["title"].is_string());
}

#[test]
fn metadata_is_told_for_every_pipeline_whose_tree_is_there() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.says", r#"printf '{"n": 1}' > /run/osbuild/meta"#);
    let stages = |kind: &str| json!([{"type": kind}]);
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "a", "stages": stages("org.example.says")},
        {"name": "b", "stages": stages("org.osbuild.noop")},
        {"name": "empty"},
    ]});
    let build = |export: &str| {
        let args = [
            "--store",
            "S",
            "-l",
            "lib",
            "--output-directory",
            "O",
            "--json",
            "--export",
            export,
            "-",
        ];
        env.osbuild_on(args, manifest.to_string().as_bytes())
            .expect(0)
            .json()
    };
    assert_eq!(build("b")["metadata"], json!({}));
    let metadata = json!({"a": {"org.example.says": {"n": 1}}});
    assert_eq!(build("a")["metadata"], metadata);
    let later = build("b");
    assert_eq!((&later["metadata"], &later["log"]), (&metadata, &json!({})));
    assert_eq!(build("empty")["success"], true);
}

#[test]
fn what_stages_took_stands_where_no_caller_looks() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.write("manifest.json", manifest());
    let build = |further: &[&str]| {
        let args = [
            "--store",
            "S",
            "--output-directory",
            "O",
            "--export",
            "archive",
            "--json",
            "manifest.json",
        ];
        env.osbuild([&args[..], further].concat()).expect(0).json()
    };
    let (first, second) = (build(&[]), build(&[]));
    // the members of format 1 (`stages` among them), by which a caller tells the formats apart, are none of these
    for document in [&first, &second] {
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "type",
                "success",
                "metadata",
                "sources",
                "log",
                "statistics",
                "sandbox"
            ]
        );
    }
    let ran: Vec<&Value> = ["tree", "archive"]
        .iter()
        .flat_map(|name| first["log"][name].as_array().unwrap())
        .collect();
    assert_eq!(first["statistics"].as_object().unwrap().len(), ran.len());
    for stage in ran {
        let id = stage["id"].as_str().unwrap();
        let (now, later) = (&first["statistics"][id], &second["statistics"][id]);
        assert_eq!(now["type"], stage["type"]);
        assert_eq!((&now["cached"], &later["cached"]), (&json!(false), &json!(true)));
        assert!(now["duration"].as_f64().unwrap() > 0.0);
        assert_eq!(
            (&now["duration"], &now["size"]),
            (&later["duration"], &later["size"])
        );
        assert!(now["size"].as_u64().unwrap() > 0);
    }
    // one that fails, and format 1
    let failing = tests::manifests::tree_of(json!([
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/a"}]}}, {"type": "org.osbuild.noop"},
        {"type": "org.osbuild.error", "options": {}},
    ]));
    let failed = env.build(&failing, &["--json"]).expect(1).json();
    let statistics: Vec<&Value> = failed["statistics"].as_object().unwrap().values().collect();
    assert_eq!(
        (&statistics[1]["size"], &statistics[2]["size"]),
        (&json!(0), &Value::Null),
        "{failed:#}"
    );
    let old = json!({"pipeline": {"stages": [{"name": "org.osbuild.noop", "options": {}}]}});
    let document = env.build(&old, &["--json"]).expect(0).json();
    assert_eq!(
        document["statistics"].as_object().unwrap().len(),
        1,
        "{document:#}"
    );
}

#[test]
fn what_was_not_built_has_no_directory() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "tree", "stages": [{"type": "org.osbuild.error", "options": {"returncode": 9}}]},
    ]});
    let line = [
        "--store",
        "store",
        "--output-directory",
        "results",
        "--export",
        "tree",
        "-",
    ];
    env.osbuild_on(line, manifest.to_string().as_bytes()).expect(1);
    let entries = std::fs::read_dir(env.path("results")).unwrap();
    assert_eq!(entries.count(), 0, "callers take a directory for a result");
}
