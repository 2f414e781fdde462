//! `cargo xtask install`: what it lays out works wherever it is moved, and each module by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Run, TestEnv, is_static, repository, run};

const LIMIT: Duration = Duration::from_secs(1800);

/// One installation for all tests here, removed with the program's temporary directory below `target`.
static LAYOUT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install");
    let _ = fs::remove_dir_all(&root);
    let env = TestEnv::new();
    let xtask = env.binaries().dir.join("xtask");
    let mut command = if xtask.exists() {
        Command::new(xtask)
    } else {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
        cargo
    };
    command.current_dir(repository());
    command
        .args(["install", "--prefix", "/opt/osbuild", "--destdir"])
        .arg(&root);
    command.arg("--bin-dir").arg(&env.binaries().dir);
    run(&mut command, b"", LIMIT).expect(0);
    // relocatable: where it is now is not where it was put
    let moved = root.join("moved");
    fs::rename(root.join("opt/osbuild"), &moved).unwrap();
    moved
});

/// Runs a program of the installation, in its own directory, on a document.
fn by_hand(program: &Path, document: &Value) -> Run {
    let name = Path::new(".").join(program.file_name().unwrap());
    let mut command = Command::new(name);
    command.current_dir(program.parent().unwrap());
    run(&mut command, document.to_string().as_bytes(), LIMIT)
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(LAYOUT.join("lib/osbuild").join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_module_has_a_link_and_a_description() {
    for (folder, some) in [
        ("stages", ["org.osbuild.hostname", "org.osbuild.noop"]),
        ("assemblers", ["io.weldr.qcow2", "org.osbuild.noop"]),
        ("sources", ["org.osbuild.files", "org.osbuild.curl"]),
    ] {
        let names = names(folder);
        assert!(
            some.iter().all(|name| names.contains(*name)),
            "{folder}: {names:?}"
        );
        for name in names.iter().filter(|name| !name.ends_with(".meta.json")) {
            let path = LAYOUT.join("lib/osbuild").join(folder).join(name);
            assert!(fs::read_link(&path).unwrap().is_relative());
            assert!(path.metadata().unwrap().is_file(), "{name} leads to nothing");
            let meta = fs::read(path.with_file_name(format!("{name}.meta.json"))).unwrap();
            let meta: Value = serde_json::from_slice(&meta).unwrap();
            let mut members: Vec<_> = meta.as_object().unwrap().keys().map(String::as_str).collect();
            members.retain(|key| !["capabilities", "schema", "schema_2"].contains(key));
            assert_eq!(members, ["summary", "description"], "{name}");
        }
    }
}

#[test]
fn the_modules_need_nothing_of_the_machine() {
    let modules = LAYOUT.join("lib/osbuild/osbuild-modules");
    assert!(is_static(&modules).unwrap());
    let env = TestEnv::new();
    fs::copy(modules, env.path("osbuild-modules")).unwrap();
    let mut chroot = Command::new("chroot");
    chroot.arg(env.path("")).args(["/osbuild-modules", "--list"]);
    let list = run(&mut chroot, b"", LIMIT).expect(0).stdout;
    assert!(list.lines().any(|name| name == "org.osbuild.deb"), "{list}");
}

#[test]
fn osbuild_finds_them_beside_itself() {
    let env = TestEnv::new();
    let mut command = env.command(LAYOUT.join("bin/osbuild"));
    command
        .args(["--store", "store", "-o", "out"])
        .arg(repository().join("samples/noop.json"));
    run(&mut command, b"", LIMIT).expect(0);
}

#[test]
fn a_stage_changes_any_directory() {
    let env = TestEnv::new();
    env.write("tree/etc/hostname", "old\n");
    let stage = LAYOUT.join("lib/osbuild/stages/org.osbuild.hostname");
    let document = json!({"tree": env.path("tree"), "options": {"hostname": "web1"}});
    by_hand(&stage, &document).expect(0);
    assert_eq!(
        fs::read_to_string(env.path("tree/etc/hostname")).unwrap(),
        "web1\n"
    );
    let wrong = json!({"tree": env.path("tree"), "options": {"hostnme": "web1"}});
    by_hand(&stage, &wrong).expect(1).says(&["error: ", "hostnme"]);
}

#[test]
fn a_stage_and_an_assembler_of_one_name_are_told_apart() {
    let env = TestEnv::new();
    env.write("tree/file", "");
    env.write("out/.keep", "");
    let document = json!({"tree": env.path("tree"), "output_dir": env.path("out"), "options": {}});
    let stage = by_hand(&LAYOUT.join("lib/osbuild/stages/org.osbuild.noop"), &document).expect(0);
    assert!(stage.stdout.starts_with("Not doing anything"), "{stage}");
    let assembler = by_hand(&LAYOUT.join("lib/osbuild/assemblers/org.osbuild.noop"), &document).expect(0);
    assert_eq!(assembler.stdout, "");
}

#[test]
fn an_assembler_writes_into_any_directory() {
    let env = TestEnv::new();
    env.write("tree/etc/hostname", "web1\n");
    fs::create_dir(env.path("out")).unwrap();
    let options = json!({"filename": "tree.tar"});
    let document = json!({"tree": env.path("tree"), "output_dir": env.path("out"), "options": options});
    by_hand(&LAYOUT.join("lib/osbuild/assemblers/org.osbuild.tar"), &document).expect(0);
    let list = tests::oracle::tool(Command::new("tar").arg("-tf").arg(env.path("out/tree.tar"))).unwrap();
    assert!(list.lines().any(|line| line.ends_with("etc/hostname")), "{list}");
}

#[test]
fn a_source_fills_any_directory() {
    let env = TestEnv::new();
    fs::create_dir(env.path("cache")).unwrap();
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let items = json!({digest: {"encoding": "base64", "data": "aGVsbG8="}});
    let document = json!({"items": items, "cache": env.path("cache")});
    let run = by_hand(&LAYOUT.join("lib/osbuild/sources/org.osbuild.inline"), &document).expect(0);
    assert_eq!(run.json()["success"], true, "{run}");
    let file = env.path("cache/org.osbuild.files").join(digest);
    assert_eq!(fs::read_to_string(file).unwrap(), "hello");
}
