//! Two builds of one manifest, in different stores and surroundings and at different times, give the same trees and bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{TestEnv, need, oracle, repository, run};

use crate::debian::{Image, share_sources};

const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn a_debian_image() {
    if !need::root("building") {
        return;
    }
    let image = Image::server(12);
    let env = TestEnv::new();
    share_sources(&env.store());
    let result = build_elsewhere(&env, &image.manifest_file());
    assert_same_trees(&image.store(), &env.store(), &result);
    let disk = env.path("else where/out/disk.qcow2");
    assert_eq!(digest(&image.disk()), digest(&disk), "{}", disk.display());
}

#[test]
fn the_sample_without_packages() {
    if need::root("building") {
        let text = fs::read_to_string(repository().join("samples/files.json")).unwrap();
        twice(&serde_json::from_str(&text).unwrap());
    }
}

#[test]
fn a_raw_disk() {
    if need::root("building") && need::tools(&["mke2fs"], "a raw disk") {
        twice(&assembled(json!({
            "type": "org.osbuild.raw", "inputs": tree_input(),
            "options": {"filename": "disk.raw", "root_fs_uuid": UUID, "size": "300 MiB"},
        })));
    }
}

#[test]
fn a_raw_disk_compressed() {
    if need::root("building") && need::tools(&["mke2fs"], "a raw disk") {
        twice(&assembled(json!({
            "type": "org.osbuild.raw", "inputs": tree_input(),
            "options": {"filename": "disk.raw.xz", "root_fs_uuid": UUID, "compression": "xz", "size": "64 MiB"},
        })));
    }
}

#[test]
fn a_file_system() {
    if need::root("building") && need::tools(&["mke2fs"], "a file system") {
        twice(&assembled(json!({
            "type": "org.osbuild.rawfs", "inputs": tree_input(),
            "options": {"filename": "root.ext4", "root_fs_uuid": UUID, "size": 64 << 20},
        })));
    }
}

#[test]
fn an_archive() {
    if need::root("building") {
        twice(&assembled(json!({
            "type": "org.osbuild.tar", "inputs": tree_input(), "options": {"filename": "tree.tar.gz"},
        })));
    }
}

#[test]
fn an_ostree_commit() {
    if need::root("building") {
        twice(&assembled(json!({
            "type": "org.osbuild.ostree.commit.assembler", "inputs": tree_input(),
            "options": {"ref": "test/small", "os_version": "1"},
        })));
    }
}

const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";
/// Before all that these tests do.
const EPOCH: i64 = 1_700_000_000;

fn tree_input() -> Value {
    json!({"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]}})
}

/// A small tree in which everything has the time at which it was made, and something made of it.
fn assembled(assembler: Value) -> Value {
    let mut manifest = tree_of(json!([
        {"type": "org.test.all-kinds"},
        {"type": "org.osbuild.hostname", "options": {"hostname": "same"}},
        {"type": "org.osbuild.machine-id", "options": {"first-boot": "no"}},
        {"type": "org.osbuild.users", "options": {"users": {"ada": {"home": "/home/ada"}}}},
    ]));
    manifest["pipelines"][0]["source-epoch"] = EPOCH.into();
    let result = json!({"name": "result", "source-epoch": EPOCH, "stages": [assembler]});
    manifest["pipelines"].as_array_mut().unwrap().push(result);
    manifest
}

const ALL_KINDS: &str = r#"set -e
cd /run/osbuild/tree
mkdir -p etc usr/bin usr/lib home var/lib tmp
echo root:x:0:0::/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
cp /usr/bin/env usr/bin
chmod 4755 usr/bin/env
ln usr/bin/env usr/bin/same
ln -s env usr/bin/link
mkfifo var/lib/fifo
truncate -s 10M var/lib/holes
seq 100000 > usr/lib/numbers
for i in $(seq 300); do echo $i > var/lib/file-$i; done
chown -R 7:8 var/lib
touch -d 2001-02-03 etc/group
chmod 1777 tmp
"#;

/// Builds it twice and compares all.
#[track_caller]
fn twice(manifest: &Value) {
    let (here, there) = (TestEnv::new(), TestEnv::new());
    for env in [&here, &there] {
        env.stage("org.test.all-kinds", ALL_KINDS);
    }
    let mut first = here.build(manifest, &["-l", "lib", "--json"]).expect(0).json();
    wait_for_another_second();
    let text = there.write("manifest.json", manifest.to_string());
    let mut result = build_elsewhere(&there, &text);
    forget_costs(&mut first);
    forget_costs(&mut result);
    assert_eq!(first, result, "the result says the same");
    assert_same_trees(&here.store(), &there.store(), &result);
    let (first, second) = (listing(&here.out()), listing(&there.path("else where/out")));
    assert!(
        first == second,
        "what was handed out differs:\n{}",
        difference(&first, &second)
    );
}

/// Takes out how long each stage took, and the space on disk, which is the file system's choice: all else that is said of
/// a build is the same.
fn forget_costs(result: &mut Value) {
    for stage in result["statistics"].as_object_mut().unwrap().values_mut() {
        stage["duration"].take();
        stage["size"].take();
    }
}

/// Builds a manifest in surroundings that differ in everything that may differ: the result.
#[track_caller]
fn build_elsewhere(env: &TestEnv, manifest: &Path) -> Value {
    let cwd = env.path("else where");
    fs::create_dir(&cwd).unwrap();
    let lib = env.path("lib");
    fs::create_dir_all(&lib).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 077 && exec nice \"$@\"", "sh"])
        .arg(env.binaries().osbuild())
        .args(["--json", "--store", "../store", "--output", "out", "--libdir"])
        .args([&lib, manifest])
        .current_dir(cwd)
        .env_clear()
        .env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin")
        .env("TMPDIR", env.path("tmp"))
        .env("TZ", "Asia/Kathmandu")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANGUAGE", "tr")
        .env("SOURCE_DATE_EPOCH", "1")
        .env("USER", "somebody")
        .env("E2FSPROGS_FAKE_TIME", "1")
        .env("GZIP", "-1");
    run(&mut command, b"", LIMIT).expect(0).json()
}

/// The stages that ran made the same trees in both stores; if not, what the first one that differs made of each file.
#[track_caller]
fn assert_same_trees(here: &Path, there: &Path, result: &Value) {
    let log = result["log"].as_object().unwrap();
    assert!(!log.is_empty(), "everything is built anew");
    for stage in log.values().flat_map(|stages| stages.as_array().unwrap()) {
        let object = |store: &Path| {
            let link = store.join("refs").join(stage["id"].as_str().unwrap());
            fs::canonicalize(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()))
        };
        let (first, second) = (object(here), object(there));
        if first.file_name() != second.file_name() {
            let layers = [first, second].map(|object| listing(&object.join("layer")));
            let difference = difference(&layers[0], &layers[1]);
            panic!("{} makes different trees:\n{difference}", stage["type"]);
        }
    }
}

/// All below a directory: kind, mode, owner, time, path and, of a file, its checksum.
fn listing(dir: &Path) -> String {
    let script = "cd \"$1\" && find . -mindepth 1 -printf '%p %y %m %U:%G %T@ %l\\n' | sort && \
                  find . -type f -print0 | sort -z | xargs -0r sha256sum";
    oracle::tool(Command::new("sh").args(["-c", script, "sh"]).arg(dir)).unwrap()
}

/// The lines that only one of two texts has.
fn difference(first: &str, second: &str) -> String {
    let only = |sign: char, text: &str, other: &str| -> Vec<String> {
        let other: std::collections::HashSet<&str> = other.lines().collect();
        let lines = text.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only('-', first, second);
    lines.extend(only('+', second, first));
    lines.truncate(200);
    lines.join("\n")
}

fn digest(file: &PathBuf) -> String {
    let line = oracle::tool(Command::new("sha256sum").arg("--").arg(file)).unwrap();
    line.split(' ')
        .next()
        .unwrap_or_default()
        .trim_start_matches('\\')
        .to_owned()
}

/// Times that are taken over from the clock would be the same by chance if all was done in one second.
fn wait_for_another_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    while second() == now {
        std::thread::yield_now();
    }
}
