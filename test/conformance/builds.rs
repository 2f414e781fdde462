//! Builds end as recorded: exit code, document, exported trees with the images in them.

use std::time::Duration;

use serde_json::Value;
use tests::{TestEnv, need, run};

use super::exported::{Recorded, differences};
use super::recordings::{Ours, documents, essence, peer, without};

/// These failed when they were recorded, for lack of a tool or driver on that machine: they may succeed.
const LACKED: [&str; 5] = [
    "17-v1-asm-qemu-mbr-grub2-fails",
    "30-build-pipeline",
    "31-luks",
    "34-btrfs-subvol",
    "37-fat-mount-fails",
];

/// These failed by a mistake of the module that ran: ours has not made it.
const MISTAKEN: [&str; 1] = ["15-v1-asm-oci-noconfig-fails"];

#[test]
fn builds_end_as_recorded() {
    if !need::root("the recorded builds") {
        return;
    }
    let ours = Ours::new();
    let all = documents("builds");
    let (mut passed_over, mut different) = (Vec::new(), Vec::new());
    for (name, manifest) in all.iter().filter(|(name, _)| !name.contains('.')) {
        let result = format!("{name}.result");
        let (_, recorded) = all.iter().find(|(other, _)| *other == result).unwrap();
        if manifest.to_string().contains("file://rpmtest/") {
            passed_over.push(format!(
                "{name}: skipped, the package file that it takes was not recorded"
            ));
            continue;
        }
        // a manifest that is refused needs nothing
        let refused = recorded["returncode"] == 2;
        let missing = if refused {
            Vec::new()
        } else {
            ours.missing(manifest)
        };
        if !missing.is_empty() {
            passed_over.push(format!("{name}: skipped, it needs {}", missing.join(", ")));
        }
        let native = missing.is_empty().then_some(None);
        for libdir in native.into_iter().chain(peer().map(Some)) {
            let with = libdir.as_ref().map_or("", |_| " with the peer's modules");
            match replay(name, manifest, recorded, libdir.as_deref()) {
                Ok(what) => println!("{name}{with}: {what}"),
                Err(why) => different.push(format!("{name}{with}: {why}")),
            }
        }
    }
    passed_over.iter().for_each(|line| println!("{line}"));
    println!("{} builds were skipped", passed_over.len());
    assert!(
        different.is_empty(),
        "{} builds differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// How it ended, or what is different.
fn replay(
    name: &str,
    manifest: &Value,
    recorded: &Value,
    libdir: Option<&str>,
) -> Result<&'static str, String> {
    let env = TestEnv::new();
    let file = format!("{name}.json");
    env.write(&file, manifest.to_string());
    let mut command = env.command(env.binaries().osbuild());
    command
        .args(libdir)
        .args(["--store", "store", "--output-directory", "out", "--json"]);
    for export in recorded["exports"].as_array().unwrap() {
        command.args(["--export", export.as_str().unwrap()]);
    }
    let run = run(command.arg(&file), b"", Duration::from_secs(900));
    let may_succeed = LACKED.contains(&name) || (libdir.is_none() && MISTAKEN.contains(&name));
    if may_succeed && run.code == 0 {
        return Ok("succeeds here");
    }
    if recorded["returncode"] != run.code {
        return Err(format!(
            "exit code {}, not {}: {run}",
            run.code, recorded["returncode"]
        ));
    }
    // a crash there has no document
    let document = &recorded["result"];
    let compared = |document: &Value| without(&essence(document), "output");
    if document.get("_stdout").is_none() && compared(&run.json()) != compared(document) {
        return Err(format!("another document than {document}\n{run}"));
    }
    let pinned = manifest.to_string();
    // the peer's modules copy files with the times at which they were fetched
    let with_times = libdir.is_none() && pinned.contains("source-epoch");
    let mut different = Vec::new();
    for (export, tree) in recorded["exports_tree"].as_object().unwrap() {
        let recorded = Recorded {
            tree: tree.as_object().unwrap(),
            manifest: &pinned,
            with_times,
        };
        different.extend(differences(
            &env.out().join(export),
            &recorded,
            &env.path("scratch"),
        ));
    }
    match different.is_empty() {
        true => Ok("as recorded"),
        false => Err(format!(
            "what it exports is different:\n  {}",
            different.join("\n  ")
        )),
    }
}
