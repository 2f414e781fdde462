//! The command line behaves as recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Run, TestEnv, run};

use super::recordings::{Ours, documents, essence, folder, peer};

/// What we do differently on purpose, each listed in `docs/compatibility.md`: the recording, and the exit code of ours.
const REPAIRED: [(&str, i32); 2] = [
    // text that is no JSON is a bad manifest, not a crash
    ("not-json", 2),
    // a checkpoint is kept without `--cache-max-size`
    ("checkpoint-reuse", 0),
];

#[test]
fn what_was_recorded_is_what_we_do() {
    let builds = folder().join("builds");
    let ours = Ours::new();
    let mut passed_over = 0;
    for (name, case) in documents("cli") {
        let foreign = foreign(&case, &builds, &ours);
        let libdir = peer().filter(|_| !foreign.is_empty());
        let why = missing(&case, &builds).or_else(|| {
            let needed = !foreign.is_empty() && libdir.is_none();
            needed.then(|| format!("it needs {}", foreign.join(", ")))
        });
        match why {
            Some(why) => {
                println!("{name}: skipped, {why}");
                passed_over += 1;
            }
            None => {
                replay(&name, &case, &builds, libdir.as_deref());
                println!("{name}: as recorded");
            }
        }
    }
    println!("{passed_over} calls were skipped");
}

/// Why a case cannot be replayed.
fn missing(case: &Value, builds: &Path) -> Option<String> {
    let manifest = manifest_of(case)?;
    match std::fs::read_to_string(builds.join(&manifest)) {
        Err(_) => Some(format!("{manifest} is not there")),
        Ok(text) if text.contains("file://rpmtest/") => {
            Some("the package file that it takes was not recorded".to_owned())
        }
        Ok(_) => None,
    }
}

/// The modules that a case builds with and that are not ours.
fn foreign(case: &Value, builds: &Path, ours: &Ours) -> Vec<String> {
    let text = manifest_of(case).and_then(|manifest| std::fs::read(builds.join(manifest)).ok());
    match text.filter(|_| case["rc"] != 2) {
        Some(text) => ours.missing(&serde_json::from_slice(&text).unwrap()),
        None => Vec::new(),
    }
}

fn manifest_of(case: &Value) -> Option<String> {
    let last = case["args"].as_array()?.last()?.as_str()?;
    last.ends_with(".json").then(|| last.to_owned())
}

fn replay(name: &str, case: &Value, builds: &Path, libdir: Option<&str>) {
    let env = TestEnv::new();
    if let Some(manifest) = manifest_of(case) {
        env.write(&manifest, std::fs::read(builds.join(&manifest)).unwrap());
    }
    let place = |text: &str| match text {
        "{store}" => "store".to_owned(),
        "{out}" => "out".to_owned(),
        "N" => "3".to_owned(),
        other => other.to_owned(),
    };
    let args: Vec<String> = case["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| place(arg.as_str().unwrap()))
        .collect();
    let once = || {
        let mut command = env.command("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 3> monitor"])
            .arg(env.binaries().osbuild())
            .args(libdir)
            .args(&args);
        let stdin = case["stdin"].as_str().unwrap_or_default();
        run(&mut command, stdin.as_bytes(), Duration::from_secs(600))
    };
    if name.ends_with("-reuse") {
        once().expect(0);
    }
    let run = once();
    let repaired = REPAIRED.iter().find(|(other, _)| *other == name);
    let code = repaired.map_or_else(|| case["rc"].as_i64().unwrap() as i32, |(_, code)| *code);
    let run = run.expect(code);
    if code == 0 || args.iter().any(|arg| arg == "--json") {
        assert_eq!(run.stderr, "", "{name}: {run}");
    }
    if repaired.is_none() {
        compare_stdout(name, case["stdout"].as_str().unwrap(), &run);
        if let Some(recorded) = case["monitor_output"].as_str() {
            let ours = std::fs::read_to_string(env.path("monitor")).unwrap();
            assert_eq!(records(&ours), records(recorded), "{name}: the monitor's records");
        }
    }
}

fn compare_stdout(name: &str, recorded: &str, run: &Run) {
    if name == "version" {
        let number = run
            .stdout
            .strip_prefix("osbuild ")
            .and_then(|rest| rest.strip_suffix('\n'));
        assert!(number.unwrap().parse::<u32>().unwrap() >= 191, "{run}");
    } else if let Ok(document) = serde_json::from_str::<Value>(recorded) {
        assert_eq!(essence(&run.json()), essence(&document), "{name}: {run}");
    } else {
        assert_eq!(lines(&run.stdout), lines(recorded), "{name}: {run}");
    }
}

/// The lines that are not a module's own, with what belongs to the machine taken out.
fn lines(text: &str) -> Vec<String> {
    // the newline that is missing there
    let text = text
        .replace(".jsonPipeline", ".json\nPipeline")
        .replace(".jsonmanifest", ".json\nmanifest");
    let words = [
        "starting ",
        "Pipeline",
        "Build",
        "manifest ",
        "Failed",
        "Checkpoints",
        "No check",
        "Need",
        "Unsupp",
    ];
    let kept = |line: &&str| {
        words.iter().any(|word| line.starts_with(word))
            || ["  ", "}", "⏱", "org.osbuild."]
                .iter()
                .any(|start| line.starts_with(start))
            || line.ends_with(" has errors:")
            || (line.starts_with('.') && line.ends_with(':'))
    };
    let masked = |line: &str| match line {
        line if line.starts_with("⏱") => "duration".to_owned(),
        line if line.starts_with("  runner: ") => "  runner".to_owned(),
        // there only with a limit that was set
        line if line.ends_with(": not cached") => line.replace("not cached", "cached"),
        line => line.to_owned(),
    };
    let mut kept: Vec<String> = text.lines().filter(kept).map(masked).collect();
    // a set there
    if let Some(at) = kept.iter().position(|line| line == "Checkpoints") {
        kept[at..].sort();
    }
    if text.contains(" has errors:") {
        kept.retain(|line| !line.starts_with("  "));
        kept.dedup();
    }
    kept
}

/// The records of a monitor without those of what modules print. Contexts are their ids, with a mark where they are
/// told in full; times are there or not.
fn records(text: &str) -> Vec<Value> {
    let mut origins: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Vec::new();
    for record in text.split('\u{1e}').skip(1) {
        let mut record: Value =
            serde_json::from_str(record.strip_suffix('\n').expect("a record is a line")).unwrap();
        let id = record["context"]["id"].as_str().unwrap().to_owned();
        if let Some(origin) = record["context"]["origin"].as_str() {
            origins.insert(id.clone(), origin.to_owned());
        }
        if origins[&id].starts_with("stages/") || origins[&id] == "org.osbuild" {
            continue;
        }
        for key in ["timestamp", "duration"] {
            if record[key].take().is_f64() {
                record[key] = "a number".into();
            }
        }
        if let Some(result) = record["result"].as_object_mut() {
            result.remove("output");
        }
        // the order of the members counts too
        all.push(json!({"keys": record.as_object().unwrap().keys().collect::<Vec<_>>(), "record": record}));
    }
    all
}
