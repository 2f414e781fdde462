//! How much of the machine a stage takes. The control is the same build without the limit: what is asked for is the defence.

use std::fs;

use serde_json::{Value, json};
use tests::manifests::tree_of;

use super::host::processes;
use super::{Hostile, Said};

/// An attempt that a limit stops, with this message, and that succeeds without the limit.
fn limited(attempt: &str, targets: &Value, limit: &[&str], message: &str) {
    let Some(hostile) = Hostile::new(attempt) else {
        return;
    };
    let run = hostile.build(attempt, targets, limit).expect(1).says(&[message]);
    assert!(Said::of(&run.stdout).got.is_empty(), "{run}");
    assert_eq!(processes(&format!("org.hostile.{attempt}")), Vec::<i32>::new());
    hostile.said(attempt, targets).succeeded(attempt);
}

#[test]
fn item_15_a_fork_bomb_is_stopped() {
    let limit = ["--pids-limit", "60"];
    let message = "over the limit of 60 processes (`--pids-limit`)";
    limited("fork_bomb", &json!({"count": 200}), &limit, message);
}

#[test]
fn item_15b_a_memory_bomb_is_stopped() {
    let limit = ["--memory-limit", "128MiB"];
    let message = "over the memory limit of 128 MiB (`--memory-limit`)";
    limited("memory_bomb", &json!({"mebibytes": 400}), &limit, message);
}

#[test]
fn item_15c_files_in_memory_count() {
    let limit = ["--memory-limit", "128MiB"];
    let message = "over the memory limit of 128 MiB (`--memory-limit`)";
    limited(
        "fill_memory_file_system",
        &json!({"mebibytes": 300}),
        &limit,
        message,
    );
}

#[test]
fn item_15c_file_systems_in_memory_are_sized() {
    let Some(hostile) = Hostile::new("sizes of memory file systems") else {
        return;
    };
    hostile.refused("size_of_memory_file_systems", &json!({}), &["sizes"]);
}

#[test]
fn item_15d_inodes_in_memory_count() {
    let limit = ["--memory-limit", "64MiB"];
    let message = "over the memory limit of 64 MiB (`--memory-limit`)";
    limited("inodes", &json!({"count": 150_000}), &limit, message);
}

#[test]
fn item_15e_endless_output_does_not_fill_the_disk() {
    let Some(hostile) = Hostile::new("endless output") else {
        return;
    };
    let mebibytes = 90;
    let targets = json!({"mebibytes": mebibytes});
    let log = |store: &str| {
        let logs: Vec<_> = fs::read_dir(hostile.env.path(store).join("logs"))
            .unwrap()
            .flatten()
            .collect();
        let [log] = &logs[..] else { panic!("{logs:?}") };
        fs::read_to_string(log.path()).unwrap()
    };
    let run = hostile.build("endless", &targets, &["--json"]).expect(0);
    assert!(
        run.stdout.len() < 16 << 20,
        "the document has {} bytes",
        run.stdout.len()
    );
    let text = log("store");
    assert!(text.len() < 64 << 20, "the log has {} bytes", text.len());
    assert!(text.contains("bytes of output were left out here]") && text.ends_with("GOT it all out\n"));
    let manifest = tree_of(json!([hostile.stage("endless", &targets)]));
    hostile.lifted(&["log-limit"], &manifest, &["--json"]).expect(0);
    assert!(log("lifted").len() > mebibytes << 20);
    hostile.forget_lifted();
}
