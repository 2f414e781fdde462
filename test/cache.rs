//! What is in the store is not built again, unless something that decides it has changed, or it is damaged.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, repository};

use crate::gate::Gate;

/// Names of the stages that ran, in order.
#[track_caller]
fn ran(run: &Run) -> Vec<String> {
    let log = &run.json()["log"];
    let pipelines = log.as_object().unwrap_or_else(|| panic!("no log: {run}"));
    let stages = pipelines.values().flat_map(|stages| stages.as_array().unwrap());
    stages
        .map(|stage| stage["type"].as_str().unwrap().to_owned())
        .collect()
}

const JSON: [&str; 3] = ["--json", "--libdir", "lib"];

#[track_caller]
fn build(env: &TestEnv, manifest: &Value) -> Vec<String> {
    ran(&env.build(manifest, &JSON).expect(0))
}

#[test]
fn a_second_run_runs_no_stage() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let text = fs::read_to_string(repository().join("samples/files.json")).unwrap();
    let first = env.build_text(&text, &["--json"]).expect(0);
    assert_eq!(
        ran(&first),
        ["mkdir", "copy", "chmod", "tar"].map(|name| format!("org.osbuild.{name}"))
    );
    let archive = fs::read(env.out().join("files.tar.gz")).unwrap();
    fs::remove_dir_all(env.out()).unwrap();
    let second = env.build_text(&text, &["--json"]).expect(0);
    assert_eq!(second.json()["log"], json!({}));
    assert_eq!(fs::read(env.out().join("files.tar.gz")).unwrap(), archive);
}

#[test]
fn what_modules_said_is_noted_and_a_note_that_was_tampered_with_is_not_believed() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop", "options": {"number": 1}}]));
    let note = env.store().join("modules");
    env.build(&manifest, &["--json"]).expect(0);
    let whole = fs::read_to_string(&note).unwrap();
    assert!(whole.contains(" org.osbuild.noop [["), "{whole}");
    let other = whole.replace("digest\":\"", "digest\":\"0");
    let elsewhere = whole.replacen("osbuild-modules 1 ", "osbuild-modules 1 9", 1);
    for bad in ["", "rubbish\n", &whole[..whole.len() / 2], &other, &elsewhere] {
        fs::write(&note, bad).unwrap();
        let again = env.build(&manifest, &["--json"]).expect(0);
        assert_eq!(again.json()["log"], json!({}), "{bad}");
        assert_eq!(fs::read_to_string(&note).unwrap(), whole, "{bad}");
    }
    // what anybody could have written counts as little
    fs::write(&note, &elsewhere).unwrap();
    fs::set_permissions(&note, fs::Permissions::from_mode(0o666)).unwrap();
    env.build(&manifest, &["--json"]).expect(0);
    assert_eq!(fs::read_to_string(&note).unwrap(), whole);
    assert_eq!(note.metadata().unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_changed_last_stage_runs_alone() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    fs::create_dir(env.path("lib")).unwrap();
    let with = |name: &str| {
        tree_of(json!([
            {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
            {"type": "org.osbuild.noop", "options": {}},
            {"type": "org.osbuild.hostname", "options": {"hostname": name}},
        ]))
    };
    assert_eq!(build(&env, &with("one")).len(), 3);
    assert_eq!(build(&env, &with("two")), ["org.osbuild.hostname"]);
    assert_eq!(
        fs::read_to_string(env.out().join("etc/hostname")).unwrap(),
        "two\n"
    );
    assert_eq!(build(&env, &with("one")), [""; 0]);
    assert_eq!(
        fs::read_to_string(env.out().join("etc/hostname")).unwrap(),
        "one\n"
    );
}

#[test]
fn an_edited_stage_runs_again_and_what_follows_only_if_its_tree_differs() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.test.a", "echo a > /run/osbuild/tree/a");
    env.stage("org.test.b", "echo b > /run/osbuild/tree/b");
    let manifest = tree_of(json!([{"type": "org.test.a"}, {"type": "org.test.b"}]));
    assert_eq!(build(&env, &manifest), ["org.test.a", "org.test.b"]);
    env.stage(
        "org.test.a",
        "echo a > /run/osbuild/tree/a # the same, said otherwise",
    );
    assert_eq!(build(&env, &manifest), ["org.test.a"]);
    env.stage("org.test.a", "echo another > /run/osbuild/tree/a");
    assert_eq!(build(&env, &manifest), ["org.test.a", "org.test.b"]);
    assert_eq!(fs::read_to_string(env.out().join("a")).unwrap(), "another\n");
    // metadata decides what a stage is, too
    env.write(
        "lib/stages/org.test.b.meta.json",
        r#"{"schema_2": {"options": {"type": "object"}}}"#,
    );
    assert_eq!(build(&env, &manifest), ["org.test.b"]);
    assert_eq!(build(&env, &manifest), [""; 0]);
}

#[test]
fn a_mount_by_another_name_is_another_one() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let disk = |file: &str| json!({"type": "org.osbuild.loopback", "options": {"filename": file}});
    let truncate =
        |file: &str| json!({"type": "org.osbuild.truncate", "options": {"filename": file, "size": "16M"}});
    let ext4 = |file: &str| {
        json!({"type": "org.osbuild.mkfs.ext4", "devices": {"device": disk(file)},
            "options": {"uuid": "c6a1c8a5-31c5-4a1b-8e0f-5f4a4c3e2d10"}})
    };
    let manifest = |on_a: &str, on_b: &str| {
        let mount = |name: &str, device: &str, target: &str| json!({"name": name, "type": "org.osbuild.ext4", "source": device, "target": target});
        tree_of(json!([
            {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/source"}]}},
            truncate("a.img"), truncate("b.img"), ext4("a.img"), ext4("b.img"),
            {"type": "org.osbuild.copy", "devices": {"a": disk("a.img"), "b": disk("b.img")},
             "mounts": [mount(on_a, "a", "/"), mount(on_b, "b", "/b")],
             "options": {"paths": [{"from": "tree:///source", "to": "mount://x/"}]}},
        ]))
    };
    let build = |manifest: &Value| ran(&env.build(manifest, &["--json"]).expect(0));
    assert_eq!(build(&manifest("x", "y")).len(), 6);
    let on_a = fs::read(env.out().join("a.img")).unwrap();
    fs::remove_dir_all(env.out()).unwrap();
    assert_eq!(build(&manifest("y", "x")), ["org.osbuild.copy"]);
    assert!(fs::read(env.out().join("a.img")).unwrap() != on_a);
}

#[test]
fn a_changed_host_matters_only_to_what_it_built() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    fs::create_dir(env.path("lib")).unwrap();
    let stages = json!([{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/usr"}]}}]);
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "build", "stages": stages},
        {"name": "tree", "build": "name:build", "stages": [{"type": "org.osbuild.noop"}]},
    ]});
    assert_eq!(build(&env, &manifest), ["org.osbuild.mkdir", "org.osbuild.noop"]);
    let other = env.write("os-release", "NAME=Another\nID=another\n");
    let text = env.write("manifest.json", manifest.to_string());
    let on_another_host = || {
        let mut command = env.command("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/os-release && exec \"$@\"")
            .arg(&other)
            .arg(env.binaries().osbuild())
            .args(["--json", "--store", "store", "--output", "out"])
            .arg(&text);
        ran(&tests::run(&mut command, b"", std::time::Duration::from_secs(120)).expect(0))
    };
    assert_eq!(on_another_host(), ["org.osbuild.mkdir"]);
    assert_eq!(on_another_host(), [""; 0]);
}

#[test]
fn builders_at_once_share_the_work() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    env.stage(
        "org.test.slow",
        &format!("{}; echo 1 > /run/osbuild/tree/slow", Gate::SCRIPT),
    );
    env.stage("org.test.then", "echo 2 > /run/osbuild/tree/then");
    let text = tree_of(json!([{"type": "org.test.slow"}, {"type": "org.test.then"}])).to_string();
    let builder = |out: &str| {
        let mut command = env.command(env.binaries().osbuild());
        command
            .args(JSON)
            .args(["--store", "store", "--output", out, "manifest.json"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    env.write("manifest.json", &text);
    let first = builder("out-1");
    gate.reached();
    // it finds the stage being built, or a little later built
    let second = builder("out-2");
    gate.open();
    let mut all = Vec::new();
    for (builder, out) in [(first, "out-1"), (second, "out-2")] {
        let output = builder.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let log = result["log"]["tree"].as_array().cloned().unwrap_or_default();
        all.extend(log.iter().map(|stage| stage["type"].as_str().unwrap().to_owned()));
        assert_eq!(fs::read_to_string(env.path(out).join("then")).unwrap(), "2\n");
    }
    all.sort();
    assert_eq!(
        all,
        ["org.test.slow", "org.test.then"],
        "each stage ran in one of them"
    );
}

#[test]
fn what_is_damaged_is_built_again() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.test.a", "echo a > /run/osbuild/tree/a");
    env.stage("org.test.b", "echo b > /run/osbuild/tree/b");
    let with = |last: usize| {
        tree_of(json!([
            {"type": "org.test.a"}, {"type": "org.test.b"},
            {"type": "org.osbuild.noop", "options": {"last": last}},
        ]))
    };
    let first = env.build(&with(0), &JSON).expect(0).json();
    let id = first["log"]["tree"][1]["id"].as_str().unwrap();
    let link = env.store().join("refs").join(id);
    let object = fs::canonicalize(&link).unwrap();
    let damages: [(&str, &dyn Fn()); 11] = [
        ("no reference", &|| fs::remove_file(&link).unwrap()),
        ("a reference to nothing", &|| relink(&link, "../objects/nothing")),
        ("a reference to itself", &|| relink(&link, id)),
        ("a cut record", &|| cut(&beside(&link))),
        ("an empty record", &|| fs::write(beside(&link), "").unwrap()),
        ("no index", &|| fs::remove_file(object.join("index")).unwrap()),
        ("a cut index", &|| cut(&object.join("index"))),
        ("a flipped bit in the index", &|| flip(&object.join("index"))),
        ("no layer", &|| fs::remove_dir_all(object.join("layer")).unwrap()),
        ("senseless information", &|| {
            fs::write(object.join("info"), "{").unwrap()
        }),
        (
            "a file that did not reach the disk before the machine went down",
            &|| {
                fs::write(object.join("layer/b"), "\0\0").unwrap();
                let mut info: Value =
                    serde_json::from_slice(&fs::read(object.join("info")).unwrap()).unwrap();
                info["boot"] = json!("an earlier one");
                fs::write(object.join("info"), info.to_string()).unwrap();
            },
        ),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        damage();
        fs::remove_dir_all(env.out()).unwrap();
        let run = env.build(&with(number + 1), &JSON);
        assert_eq!(run.code, 0, "{what}: {run}");
        let ran: BTreeSet<String> = ran(&run).into_iter().collect();
        let expected = ["org.osbuild.noop", "org.test.b"].map(str::to_owned);
        assert_eq!(ran, expected.into(), "{what}");
        assert_eq!(fs::read_to_string(env.out().join("b")).unwrap(), "b\n", "{what}");
        assert_eq!(build(&env, &with(number + 1)), [""; 0], "{what}");
    }
}

fn relink(link: &Path, target: &str) {
    fs::remove_file(link).unwrap();
    symlink(target, link).unwrap();
}

fn beside(link: &Path) -> PathBuf {
    let mut name = link.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn cut(path: &Path) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..content.len() / 2]).unwrap();
}

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}
