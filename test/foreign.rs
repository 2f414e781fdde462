//! `--libdir DIR`: an executable `DIR/stages/NAME` in any language is a stage.

use std::path::Path;

use serde_json::{Value, json};
use tests::TestEnv;
use tests::manifests::tree_of;
use tests::need;

/// Runs one stage of `lib`; its result document.
fn run_stage(env: &TestEnv, stage: Value) -> Value {
    let manifest = tree_of(json!([stage]));
    env.build(&manifest, &["-l", "lib", "--json"]).expect(0).json()
}

/// What the one stage that ran has printed.
fn output(result: &Value) -> &str {
    result["log"]["tree"][0]["output"]
        .as_str()
        .expect("the stage ran")
}

#[test]
fn a_stage_prepares_its_tree_for_programs_of_that() {
    if !need::root("stages that mount into their tree") {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.example.chroot",
        r#"set -e
cd /run/osbuild/tree
mkdir proc dev sys
mount -t proc -o nosuid,noexec,nodev proc $PWD/proc
mount -t devtmpfs -o mode=0755,noexec,nosuid,strictatime devtmpfs $PWD/dev || mount --bind /dev $PWD/dev
mount -t sysfs -o nosuid,noexec,nodev sysfs $PWD/sys
test -r proc/self/status; test -d sys/kernel; echo gone > dev/null
test ! -e dev/kmsg
umount --lazy $PWD/proc; umount --lazy $PWD/dev; umount --lazy $PWD/sys
mount -o bind /proc $PWD/proc; mount -o bind /dev $PWD/dev
umount --lazy $PWD/proc; umount --lazy $PWD/dev
rmdir proc dev sys
mount -t tmpfs tmpfs /tmp"#,
    );
    run_stage(&env, json!({"type": "org.example.chroot"}));
}

#[test]
fn devices_are_those_that_stages_are_written_for() {
    if !need::root("the devices of foreign stages") {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.example.devices",
        r#"set -e
mkdir /run/osbuild/tree/dev
mount -o rbind /dev /run/osbuild/tree/dev
ls /run/osbuild/tree/dev > /run/osbuild/tree/listed
# as some stages do, which fail where it is there
ln -s /proc/self/fd /run/osbuild/tree/dev/fd
umount --lazy /run/osbuild/tree/dev; rmdir /run/osbuild/tree/dev"#,
    );
    run_stage(&env, json!({"type": "org.example.devices"}));
    let listed = std::fs::read_to_string(env.out().join("listed")).unwrap();
    let fuse = Path::new("/dev/fuse").exists().then_some("fuse");
    let names: Vec<&str> = ["full"]
        .into_iter()
        .chain(fuse)
        .chain(["null", "random", "shm", "tty", "urandom", "zero"])
        .collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}

#[test]
fn a_stage_that_cannot_be_started_says_why_in_the_document() {
    if !need::root("stages in a build root") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.never", "echo started");
    let mkdir = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/usr"}]}});
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "build", "stages": [mkdir]},
        {"name": "tree", "build": "name:build", "stages": [{"type": "org.example.never"}]},
    ]});
    let says_why = |manifest: &Value| {
        let run = env.build(manifest, &["-l", "lib", "--json"]).expect(1);
        let said = &run.json()["error"]["details"]["stage"]["output"];
        assert!(said.as_str().unwrap().contains("No such file"), "{run}");
    };
    says_why(&manifest);
    // so it does in a box that was begun ahead
    let noop = json!({"type": "org.osbuild.noop"});
    let mut among = manifest;
    among["pipelines"][1]["stages"] = json!([noop, {"type": "org.example.never"}, noop]);
    says_why(&among);
}

#[test]
fn a_shell_script_is_a_stage_and_gets_the_document_of_the_field() {
    if !need::root("stages in any language") {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.example.look",
        r#"set -e
cat > /run/osbuild/tree/stdin
cp /run/osbuild/api/arguments /run/osbuild/tree/api
echo "called as $0 in $PWD with $# arguments"
(echo x >&0) 2>/dev/null || echo 'stdin cannot be written'
mkdir /run/osbuild/tree/etc; ln -s nowhere /run/osbuild/tree/etc/link
printf '{"colour": "blue"}' > /run/osbuild/meta"#,
    );
    let options = json!({"any": ["option", 1, null], "deep": {"er": true}});
    let result = run_stage(&env, json!({"type": "org.example.look", "options": options}));
    let read = |name: &str| std::fs::read_to_string(env.out().join(name)).unwrap();
    let document: Value = serde_json::from_str(&read("stdin")).unwrap();
    let id = result["log"]["tree"][0]["id"].clone();
    assert_eq!(
        document,
        json!({
            "tree": "/run/osbuild/tree",
            "paths": {
                "devices": "/dev", "inputs": "/run/osbuild/inputs", "mounts": "/run/osbuild/mounts",
            },
            "devices": {}, "inputs": {}, "mounts": {},
            "options": options,
            "meta": {"id": id},
        })
    );
    assert_eq!(read("stdin"), read("api"));
    assert_eq!(
        output(&result),
        "called as /run/osbuild/bin/org.example.look in / with 0 arguments\nstdin cannot be written\n"
    );
    assert_eq!(
        result["metadata"],
        json!({"tree": {"org.example.look": {"colour": "blue"}}})
    );
    assert_eq!(
        std::fs::read_link(env.out().join("etc/link")).unwrap(),
        Path::new("nowhere")
    );
    // the second time it comes from the store, with what it reported
    let again = run_stage(&env, json!({"type": "org.example.look", "options": options}));
    assert_eq!(again["log"], json!({}));
    assert_eq!(again["metadata"], result["metadata"]);
}

#[test]
fn an_assembler_in_shell_sees_the_tree_and_makes_the_result() {
    if !need::root("assemblers in any language") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.make", "echo content > /run/osbuild/tree/file");
    // ours on stdin, the Python osbuild's in the file: this one asks the latter
    env.module(
        "assemblers",
        "org.example.pack",
        r#"set -e
value() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$2"; }
cat > /tmp/stdin
output=$(value output_dir /tmp/stdin)
cp /run/osbuild/inputs/tree/file "$output/result"
! touch /run/osbuild/inputs/tree/x 2>/dev/null
cp /tmp/stdin "$output/stdin"; cp /run/osbuild/api/arguments "$output/api""#,
    );
    let manifest = json!({
        "stages": [{"name": "org.example.make"}],
        "assembler": {"name": "org.example.pack", "options": {"filename": "x"}},
    });
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(0);
    assert_eq!(run.json()["assembler"]["success"], true);
    let read = |name: &str| std::fs::read_to_string(env.out().join(name)).unwrap();
    assert_eq!(read("result"), "content\n");
    let ours: Value = serde_json::from_str(&read("stdin")).unwrap();
    let theirs: Value = serde_json::from_str(&read("api")).unwrap();
    assert_eq!(ours["tree"], theirs["inputs"]["tree"]["path"]);
    assert_eq!(ours["output_dir"], theirs["tree"]);
    assert_eq!(theirs["options"], json!({"filename": "x"}));
}

#[test]
fn its_options_are_validated_when_it_has_metadata() {
    if !need::root("stages in any language") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.strict", "cat > /run/osbuild/tree/stdin");
    let schema = json!({
        "summary": "A stage with a schema", "description": [],
        "schema_2": {"options": {
            "additionalProperties": false, "required": ["colour"],
            "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
        }},
    });
    env.write("lib/stages/org.example.strict.meta.json", schema.to_string());
    let stage = |options: Value| tree_of(json!([{"type": "org.example.strict", "options": options}]));
    let build = |options: Value| env.build(&stage(options), &["-l", "lib"]);
    build(json!({"colour": "blue"})).expect(0);
    build(json!({"colour": "green"}))
        .expect(2)
        .says(&[".pipelines[0].stages[0].options.colour"]);
    build(json!({})).expect(2).says(&["colour"]);
    build(json!({"colour": "red", "colur": 1}))
        .expect(2)
        .says(&[".pipelines[0].stages[0].options", "colur"]);
    // a build that is refused has made nothing new
    assert_eq!(std::fs::read_dir(env.store().join("refs")).unwrap().count(), 2);
}

#[test]
fn the_runner_of_the_directory_starts_it() {
    if !need::root("runners") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.run", "echo \"stage: $RUN_BY\"");
    let runner = |name: &str, says: &str| {
        env.module(
            "runners",
            name,
            &format!("echo \"{says} starts $*\"\nRUN_BY={says} exec \"$@\""),
        )
    };
    let stage = json!({"type": "org.example.run"});
    // `runners` without one for this machine is no obstacle
    runner("org.osbuild.elsewhere1", "elsewhere");
    assert_eq!(output(&run_stage(&env, stage.clone())), "stage: \n");
    // the manifest names it for a build root, and whoever is built in that: the newest that is not newer
    // a build root of a few files only: the shell and its libraries
    env.stage(
        "org.example.root",
        r#"set -e
cd /run/osbuild/tree
for file in /usr/bin/sh $(ldd /usr/bin/sh | grep -o '/[^ ]*'); do
    file=$(readlink -f "$file")
    mkdir -p ".${file%/*}"; cp "$file" ".$file"
done
test -e usr/bin/sh || ln -s "$(readlink -f /usr/bin/sh)" usr/bin/sh
for file in $(ldd /usr/bin/sh | grep -o '/lib[^ ]*'); do
    mkdir -p "./usr${file%/*}"; cp -n "$(readlink -f "$file")" "./usr$file" || :
done"#,
    );
    for version in [7, 9, 12] {
        runner(
            &format!("org.osbuild.sample{version}"),
            &format!("sample{version}"),
        );
    }
    let manifest = json!({"version": "2", "pipelines": [
        {"name": "build", "runner": "org.osbuild.sample10", "stages": [{"type": "org.example.root"}]},
        {"name": "tree", "build": "name:build", "stages": [stage]},
    ]});
    let result = env.build(&manifest, &["-l", "lib", "--json"]).expect(0).json();
    assert_eq!(
        output(&result),
        "sample9 starts /run/osbuild/bin/org.example.run\nstage: sample9\n"
    );
    // what is in it decides what a stage makes
    runner("org.osbuild.sample9", "another");
    let result = env.build(&manifest, &["-l", "lib", "--json"]).expect(0).json();
    assert_eq!(
        output(&result),
        "another starts /run/osbuild/bin/org.example.run\nstage: another\n"
    );
    // one that is asked for and cannot be had is an error
    let mut wanting = manifest.clone();
    wanting["pipelines"][0]["runner"] = "org.osbuild.sample3".into();
    env.build(&wanting, &["-l", "lib"])
        .expect(1)
        .says(&["no suitable runner for org.osbuild.sample3"]);
}

#[test]
fn a_stage_in_python_runs_where_there_is_python() {
    let what = "a stage in Python";
    if !need::root(what) || !need::tools(&["python3"], what) {
        return;
    }
    let env = TestEnv::new();
    let script = env.stage("org.example.python", "");
    let text = r#"#!/usr/bin/python3
import json, os, sys
from helper import shout
args = json.load(sys.stdin)
with open(os.path.join(args["tree"], "file"), "w", encoding="utf-8") as file:
    file.write(shout(args["options"]["text"]))
"#;
    std::fs::write(script, text).unwrap();
    env.write("lib/helper.py", "def shout(text):\n    return text.upper()\n");
    let result = run_stage(
        &env,
        json!({"type": "org.example.python", "options": {"text": "é"}}),
    );
    assert_eq!(std::fs::read_to_string(env.out().join("file")).unwrap(), "É");
    assert_eq!(result["success"], true);
    // reading the library has not written into it
    assert!(!env.path("lib/__pycache__").exists());
}

#[test]
fn the_first_directory_with_a_name_wins_before_ours() {
    if !need::root("stages in any language") {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.osbuild.noop", "echo first");
    env.write("other/stages/org.osbuild.noop", "#!/bin/sh\necho second\n");
    env.write("other/stages/org.example.other", "#!/bin/sh\necho other\n");
    for name in ["org.osbuild.noop", "org.example.other"] {
        let path = env.path("other/stages").join(name);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let said = |args: &[&str], stages: &[&str]| {
        let stages: Vec<Value> = stages.iter().map(|name| json!({"type": name})).collect();
        let args = [args, &["--json"]].concat();
        let result = env.build(&tree_of(stages.into()), &args).expect(0).json();
        let log = result["log"]["tree"].as_array().cloned().unwrap_or_default();
        log.iter()
            .map(|entry| entry["output"].as_str().unwrap_or_default().to_owned())
            .collect::<String>()
    };
    assert_eq!(
        said(
            &["-l", "lib", "-l", "other"],
            &["org.osbuild.noop", "org.example.other"]
        ),
        "first\nother\n"
    );
    // another module of the same name is another stage, though the id is the same
    assert_eq!(said(&["--libdir", "other"], &["org.osbuild.noop"]), "second\n");
    let ours = said(&[], &["org.osbuild.noop"]);
    assert!(ours.starts_with("Not doing anything"), "{ours}");
    // what is not executable is no stage
    env.write("other/stages/org.example.text", "#!/bin/sh\n");
    env.build(&tree_of(json!([{"type": "org.example.text"}])), &["-l", "other"])
        .expect(2)
        .says(&["org.example.text"]);
}
