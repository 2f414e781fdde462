//! Every kind of artifact is read back by a tool that is not ours, and is the same bytes once more: in another store, at
//! another time, with other threads and surroundings, and for an ordinary user.
//!
//! Not here, since they need what a machine may lack, or are checked beside the stage: `implantisomd5`, `bfb`,
//! `bootiso.mono`, `coreos.live-artifacts.mono`, `mks390image`; xfs and btrfs, whose tools of Debian 12 fill nothing; volumes
//! with keys (`luks2.format`), which are to differ.

mod manifest;
mod read_back;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::ordinary::USER_TOOLS;
use tests::{Ordinary, TestEnv, need, run};

const LIMIT: Duration = Duration::from_secs(900);
const TOOLS: &[&str] = &["mke2fs", "mksquashfs", "mkfs.erofs", "xorrisofs", "taskset"];

fn unfit(what: &str) -> bool {
    !need::root(what) || !need::tools(TOOLS, what)
}

fn exports(manifest: &Value) -> Vec<String> {
    let pipelines = manifest["pipelines"].as_array().unwrap().iter().skip(2);
    let names = pipelines.map(|pipeline| pipeline["name"].as_str().unwrap().to_owned());
    names.flat_map(|name| ["--export".to_owned(), name]).collect()
}

/// What a file is but for its content: its mode, or where a link leads.
type Files = BTreeMap<String, (String, String)>;

/// All files below a directory.
fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let stat = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            if stat.is_dir() {
                left.push(path);
            } else if stat.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(name, (target.to_string_lossy().into_owned(), String::new()));
            } else {
                let digest = hex::encode(Sha256::digest(fs::read(&path).unwrap()));
                found.insert(name, (format!("{:o}", stat.permissions().mode()), digest));
            }
        }
    }
    found
}

#[track_caller]
fn assert_same(first: &Files, second: &Files) {
    let differ: Vec<&String> = first
        .keys()
        .chain(second.keys())
        .filter(|name| first.get(*name) != second.get(*name))
        .collect();
    assert!(differ.is_empty(), "these differ: {differ:?}");
    assert!(!first.is_empty());
}

#[test]
fn each_is_read_by_another_tool() {
    if unfit("artifacts") {
        return;
    }
    let env = TestEnv::new();
    let manifest = manifest::manifest();
    env.build(
        &manifest,
        &exports(&manifest).iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .expect(0);
    let mut unread = Vec::new();
    for artifact in table::artifacts() {
        let dir = env.out().join(artifact.name);
        let scratch = env.path(format!("scratch-{}", artifact.name));
        fs::create_dir(&scratch).unwrap();
        for tool in artifact.tools {
            if !need::tools(&[tool], artifact.name) {
                unread.push(*tool);
            }
        }
        if artifact.tools.iter().all(|tool| !unread.contains(tool)) {
            (artifact.read)(&dir, &scratch).unwrap_or_else(|error| panic!("{}: {error:#}", artifact.name));
        }
    }
}

#[test]
fn each_is_the_same_bytes_elsewhere_later_and_with_one_thread() {
    if unfit("artifacts") {
        return;
    }
    let (here, there) = (TestEnv::new(), TestEnv::new());
    let manifest = manifest::manifest();
    let mut command = here.build_command();
    command.args(["--jobs", "4"]).args(exports(&manifest));
    run(&mut command, manifest.to_string().as_bytes(), LIMIT).expect(0);
    wait_for_another_second();
    let file = there.write("manifest.json", manifest.to_string());
    fs::create_dir(there.path("else where")).unwrap();
    let mut command = Command::new("sh");
    command
        // one processor: writers and compressors take as many threads as there are
        .args(["-c", "umask 077 && exec taskset -c 0 nice \"$@\"", "sh"])
        .arg(there.binaries().osbuild())
        .args(["--store", "../another store", "--output", "out", "--jobs", "1"])
        .args(exports(&manifest))
        .arg(file)
        .current_dir(there.path("else where"))
        .env_clear()
        .env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin")
        .env("TMPDIR", there.path("tmp"))
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("SOURCE_DATE_EPOCH", "1")
        .env("XZ_OPT", "-1")
        .env("ZSTD_CLEVEL", "1");
    run(&mut command, b"", LIMIT).expect(0);
    assert_same(&files(&here.out()), &files(&there.path("else where/out")));
}

#[test]
fn each_is_the_same_bytes_for_an_ordinary_user() {
    let what = "artifacts as an ordinary user";
    if unfit(what) || !need::tools(USER_TOOLS, what) {
        return;
    }
    let env = TestEnv::new();
    let manifest = manifest::manifest();
    let mut command = env.build_command();
    command.args(exports(&manifest));
    run(&mut command, manifest.to_string().as_bytes(), LIMIT).expect(0);
    let ada = Ordinary::with_sub_ids(&env);
    let file = ada.write("manifest.json", manifest.to_string());
    let mut command = ada.command("osbuild");
    command
        .args(["--store", "store", "--output", "out"])
        .args(exports(&manifest))
        .arg(file);
    run(&mut command, b"", LIMIT).expect(0);
    assert_same(&files(&env.out()), &files(&ada.path("out")));
}

/// Times that are taken over from the clock would be the same by chance if all was done in one second.
fn wait_for_another_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    while second() == now {
        std::thread::yield_now();
    }
}
