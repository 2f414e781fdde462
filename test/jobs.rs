//! Pipelines that need nothing of each other are built at once; who reads of it cannot tell.

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::manifests::sha256;
use tests::{Httpd, Reply, Run, TestEnv, ends_within, need, run};

use crate::gate::Gate;

/// How long something may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Two pipelines of one stage each, `first` and `second`, that need nothing of each other.
fn two(first: &str, second: &str) -> Value {
    let pipeline =
        |name: &str, kind: &str| json!({"name": name, "stages": [{"type": kind, "options": {"name": name}}]});
    json!({"version": "2", "pipelines": [pipeline("first", first), pipeline("second", second)]})
}

/// A build of both pipelines that runs: its monitor writes to the file `monitor`, its result goes to `result`.
fn start(env: &TestEnv, manifest: &Value, args: &str) -> Child {
    env.write("m.json", manifest.to_string());
    std::fs::create_dir_all(env.path("lib")).unwrap();
    let script = format!(
        "exec \"$0\" --store store -l lib --export first --export second --output-directory out --json \
         --monitor JSONSeqMonitor --monitor-fd 3 {args} m.json > result 3> monitor"
    );
    let mut command = env.command("sh");
    command.args(["-c", &script]).arg(env.binaries().osbuild());
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// Waits for the end: its exit code.
#[track_caller]
fn ended(mut child: Child) -> i32 {
    let ended = ends_within(&child, LIMIT);
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(ended, "it does not end");
    status.code().unwrap()
}

fn read(env: &TestEnv, name: &str) -> String {
    std::fs::read_to_string(env.path(name)).unwrap()
}

/// The result, without what is never twice the same.
fn result(env: &TestEnv) -> Value {
    let mut document: Value = serde_json::from_str(&read(env, "result")).unwrap();
    for stage in document["statistics"].as_object_mut().unwrap().values_mut() {
        // the index in it has times, which are not as compressible each time
        stage["duration"] = Value::Null;
        stage["size"] = Value::Null;
    }
    document
}

/// What the monitor was told, without times.
fn told(env: &TestEnv) -> Vec<Value> {
    let text = read(env, "monitor");
    let records = text.split('\u{1e}').skip(1);
    records
        .map(|record| {
            let mut record: Value = serde_json::from_str(record).unwrap();
            let record_of = record.as_object_mut().unwrap();
            record_of.retain(|key, _| !matches!(key.as_str(), "timestamp" | "duration"));
            record
        })
        .collect()
}

/// A stage that prints something and comes to the gate.
fn meeting(env: &TestEnv) {
    let script = format!("echo begins; {}; echo > /run/osbuild/tree/file", Gate::SCRIPT);
    env.stage("org.test.meets", &script);
}

#[test]
fn independent_pipelines_are_built_at_once_and_told_in_order() {
    if !need::root("building") {
        return;
    }
    let manifest = two("org.test.meets", "org.test.meets");
    let of = |jobs: &str, at_once: bool| {
        let env = TestEnv::new();
        let mut gate = Gate::new(&env);
        meeting(&env);
        let child = start(&env, &manifest, jobs);
        gate.reached();
        if at_once {
            // the second one is there although the first one has not gone on
            gate.reached();
        }
        gate.open();
        gate.open();
        assert_eq!(ended(child), 0);
        for name in ["first", "second"] {
            assert!(env.out().join(name).join("file").exists());
        }
        (result(&env), told(&env))
    };
    let (one, two) = (of("--jobs 1", false), of("--jobs 2", true));
    assert_eq!(one, two);
    let messages: Vec<&str> = two
        .1
        .iter()
        .filter_map(|record| record["message"].as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "starting m.json",
            "Starting pipeline first",
            "Starting module org.test.meets",
            "begins\n",
            "Finished module org.test.meets",
            "Finished pipeline first",
            "Starting pipeline second",
            "Starting module org.test.meets",
            "begins\n",
            "Finished module org.test.meets",
            "Finished pipeline second",
            "manifest m.json finished successfully\n"
        ]
    );
}

#[test]
fn one_that_fails_stops_the_others() {
    if !need::root("building") {
        return;
    }
    let fails = format!("{}; exit 7", Gate::SCRIPT);
    // it is at no gate: only its own end, or that of the build, ends it
    let deaf = format!(
        "trap '' INT TERM HUP; {}; setsid sleep 600 & sleep 600",
        Gate::TELL
    );
    for (first, second) in [
        ("org.test.fails", "org.test.deaf"),
        ("org.test.deaf", "org.test.fails"),
    ] {
        let env = TestEnv::new();
        let mut gate = Gate::new(&env);
        env.stage("org.test.fails", &fails);
        env.stage("org.test.deaf", &deaf);
        let child = start(&env, &two(first, second), "--jobs 2");
        gate.reached();
        gate.reached();
        gate.open();
        assert_eq!(ended(child), 1);
        assert_eq!(env.left_behind(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(env.path("store/refs")).unwrap().count(), 0);
        let result = result(&env);
        assert_eq!(
            result["error"]["details"]["stage"]["type"], "org.test.fails",
            "{result:#}"
        );
        let failed = if first == "org.test.fails" {
            "first"
        } else {
            "second"
        };
        assert_eq!(result["log"][failed][0]["success"], false, "{result:#}");
        let all = told(&env);
        let told: Vec<&str> = all
            .iter()
            .filter_map(|record| record["message"].as_str())
            .collect();
        assert_eq!(told.last(), Some(&"manifest m.json failed\n"));
        // as if one had been built after the other: nothing is said of what comes behind
        let of_second = told.contains(&"Starting pipeline second");
        assert_eq!(of_second, failed == "second", "{told:?}");
        assert_eq!(
            result["log"].get("second").is_some(),
            failed == "second",
            "{result:#}"
        );
    }
}

#[test]
fn ctrl_c_ends_all_of_them() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    meeting(&env);
    let child = start(&env, &two("org.test.meets", "org.test.meets"), "--jobs 2");
    gate.reached();
    gate.reached();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(child), 130);
    assert_eq!(env.left_behind(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(env.path("store/refs")).unwrap().count(), 0);
}

/// When the pipelines began and ended, from the trace of a build.
fn spans(env: &TestEnv) -> Vec<(u64, u64)> {
    let trace: Value = serde_json::from_str(&read(env, "trace")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |event: &Value| {
        let start = event["ts"].as_u64().unwrap();
        (start, start + event["dur"].as_u64().unwrap())
    };
    let mut spans: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event["name"] == "pipeline")
        .map(of)
        .collect();
    spans.sort_unstable();
    spans
}

#[test]
fn those_that_need_each_other_wait() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let noop = |n: u32| json!({"type": "org.osbuild.noop", "options": {"n": n}});
    let reads = json!({"type": "org.osbuild.noop", "inputs": {"tree": {
        "type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:first"],
    }}});
    let shares = json!([noop(1), noop(2)]);
    for (number, stages) in [json!([reads]), shares].into_iter().enumerate() {
        let manifest = json!({"version": "2", "pipelines": [
            {"name": "first", "stages": [noop(1)]},
            {"name": "second", "stages": stages},
        ]});
        let args = format!("--jobs 8 --trace trace --store store-{number}");
        assert_eq!(ended(start(&env, &manifest, &args)), 0);
        let spans = spans(&env);
        assert_eq!(spans.len(), 2);
        assert!(spans[0].1 <= spans[1].0, "{spans:?}");
    }
    // and with one job also those that do not
    let args = "--jobs 1 --trace trace --store store-2";
    assert_eq!(
        ended(start(&env, &two("org.osbuild.noop", "org.osbuild.noop"), args)),
        0
    );
    let spans = spans(&env);
    assert!(spans[0].1 <= spans[1].0, "{spans:?}");
}

#[test]
fn who_reads_slowly_takes_no_time_of_the_stage() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    // more than there is room for on the way
    let script = format!("{}; head -c 1000000 /dev/zero | tr '\\0' x", Gate::TELL);
    env.stage("org.test.prints", &script);
    env.write("m.json", two("org.osbuild.noop", "org.test.prints").to_string());
    let limit = Duration::from_secs(8);
    let mut command = env.command(env.binaries().osbuild());
    command.args(["--store", "store", "-l", "lib", "--stage-timeout", "8"]);
    command.args(["--export", "second", "--output-directory", "out", "m.json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    gate.reached();
    // the stage has begun: once this is over, so would be its time
    std::thread::sleep(limit);
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
    let code = ended(child);
    let text = reader.join().unwrap();
    assert_eq!(code, 0, "{:?}", text.lines().last());
    assert!(text.contains(&"x".repeat(1_000_000)));
}

#[test]
fn sources_are_fetched_at_once() {
    let env = TestEnv::new();
    let server = Httpd::serve([]);
    server.set("/curl", Reply::Silence);
    server.set("/pool/librepo", Reply::Silence);
    let manifest = json!({
        "version": "2",
        "pipelines": [{"name": "first"}, {"name": "second"}],
        "sources": {
            "org.osbuild.curl": {"items": {sha256("curl"): {"url": server.url("/curl")}}},
            "org.osbuild.librepo": {
                "items": {sha256("librepo"): {"path": "pool/librepo", "mirror": "m"}},
                "options": {"mirrors": {"m": {"url": server.url(""), "type": "baseurl"}}},
            },
        },
    });
    let child = start(&env, &manifest, "--jobs 2");
    // neither is ever answered
    let mut asked = [server.next_request(LIMIT), server.next_request(LIMIT)];
    asked.sort_unstable();
    assert!(
        asked[0].contains("curl") && asked[1].contains("librepo"),
        "{asked:?}"
    );
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(child), 130);
}

#[test]
fn no_jobs_at_all_are_refused() {
    let env = TestEnv::new();
    for wrong in ["0", "many"] {
        let run: Run = env.osbuild(["--jobs", wrong, "m.json"]).expect(2);
        assert!(run.stderr.contains("--jobs"), "{run}");
    }
}

#[test]
fn a_trace_is_whole_however_the_build_ends() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    meeting(&env);
    env.stage("org.test.fails", "exit 7");
    let good = two("org.osbuild.noop", "org.osbuild.noop");
    let events = || -> Vec<Value> {
        let trace: Value = serde_json::from_str(&read(&env, "trace")).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    };
    assert_eq!(ended(start(&env, &good, "--jobs 2 --trace trace")), 0);
    let all = events();
    let rows: Vec<&str> = all
        .iter()
        .filter(|event| event["ph"] == "M")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    for row in [
        "osbuild",
        "pipeline first",
        "pipeline second",
        "org.osbuild.noop: main",
    ] {
        assert!(rows.contains(&row), "{rows:?}");
    }
    let begun = |name: &str| all.iter().filter(|event| event["name"] == name).count();
    for (name, count) in [
        ("org.osbuild.noop", 2),
        ("set up", 2),
        ("run", 2),
        ("module", 2),
        ("commit", 2),
        ("scan", 2),
        ("export", 2),
    ] {
        assert_eq!(begun(name), count, "{name}");
    }
    assert_eq!(
        ended(start(
            &env,
            &two("org.osbuild.noop", "org.test.fails"),
            "--trace trace"
        )),
        1
    );
    assert!(events().iter().any(|event| event["name"] == "org.test.fails"));
    let child = start(
        &env,
        &two("org.test.meets", "org.test.meets"),
        "--jobs 1 --trace trace",
    );
    gate.reached();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(child), 130);
    assert!(events().iter().any(|event| event["name"] == "org.test.meets"));
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_anything_is_built() {
    let env = TestEnv::new();
    let path = env.write("m.json", two("org.osbuild.noop", "org.osbuild.noop").to_string());
    let mut command = env.command(env.binaries().osbuild());
    command.args(["--trace", "missing/trace", "-o", "out"]).arg(path);
    let run = run(&mut command, b"", LIMIT).expect(1);
    assert!(
        run.stderr.contains("cannot write the trace missing/trace"),
        "{run}"
    );
    assert!(!env.path(".osbuild").exists());
}
