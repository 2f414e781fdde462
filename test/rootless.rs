//! An ordinary user, and root of a container, build what root builds: the same trees, the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::ordinary::{CONTAINER_TOOLS, USER_TOOLS};
use tests::qemu::Console;
use tests::{Container, Ordinary, Run, TestEnv, ends_within, left_behind, need, oracle, run};

use crate::debian::Image;

const LIMIT: Duration = Duration::from_secs(900);

/// How long something may take to begin, or to end, on a busy machine.
const WHILE: Duration = Duration::from_secs(120);

const UUID: &str = "2b5a3a39-6ab9-4f8f-8f0c-6f3c35d5a1d8";
const EPOCH: i64 = 1_700_000_000;

/// Of each kind one, and what an overlay keeps in marks of its own: what is gone, new in the place of old, renamed.
const KINDS: &str = r#"set -e
cd /run/osbuild/tree
mkdir -p etc usr/bin usr/lib home var/lib/gone var/lib/anew var/old tmp
echo root:x:0:0::/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
seq 1000 > usr/bin/env
chmod 4755 usr/bin/env
ln usr/bin/env usr/bin/same
ln -s env usr/bin/link
mkfifo var/lib/fifo
truncate -s 10M var/lib/holes
seq 100000 > usr/lib/numbers
for i in $(seq 100); do echo $i > var/lib/file-$i; done
for dir in gone anew; do echo old > var/lib/$dir/file; done
echo kept > var/old/file
chown -R 7:65534 var/lib
chown -h 12:13 usr/bin/link
chmod 1777 tmp
"#;

/// What only tools set.
const ATTRIBUTES: &str = r#"
cp usr/bin/env usr/bin/capable
python3 -c 'import os
os.setxattr("usr/bin/capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
os.setxattr("etc/passwd", "user.note", b"text")'
"#;

const MARKS: &str = r#"set -e
cd /run/osbuild/tree
rm -r var/lib/gone var/lib/anew var/lib/file-1
mkdir var/lib/anew
echo new > var/lib/anew/other
mv var/old var/new
mv usr/lib/numbers usr/lib/renamed
chown 3:4 etc/group
"#;

fn tree_input() -> Value {
    json!({"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:tree"]}})
}

/// The formats of ours: the name of a pipeline, an assembler, options.
fn formats() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("archive", "org.osbuild.tar", json!({"filename": "tree.tar.gz"})),
        (
            "file-system",
            "org.osbuild.rawfs",
            json!({"filename": "root.ext4", "root_fs_uuid": UUID, "size": 64 << 20}),
        ),
        (
            "raw",
            "org.osbuild.raw",
            json!({"filename": "disk.raw", "root_fs_uuid": UUID, "size": "300 MiB"}),
        ),
        (
            "qcow2",
            "org.osbuild.qcow2",
            json!({"filename": "disk.qcow2", "root_fs_uuid": UUID, "size": "300 MiB"}),
        ),
        (
            "commit",
            "org.osbuild.ostree.commit.assembler",
            json!({"ref": "test/small", "os_version": "1"}),
        ),
        (
            "squashfs",
            "org.osbuild.squashfs",
            json!({"filename": "root.squashfs", "compression": {"method": "zstd"}}),
        ),
        ("erofs", "org.osbuild.erofs", json!({"filename": "root.erofs"})),
    ]
}

/// A small tree in every format.
fn manifest() -> Value {
    let mut manifest = tree_of(json!([
        {"type": "org.test.kinds"},
        {"type": "org.test.marks"},
        {"type": "org.osbuild.hostname", "options": {"hostname": "same"}},
        {"type": "org.osbuild.users", "options": {"users": {"ada": {"home": "/home/ada"}}}},
    ]));
    manifest["pipelines"][0]["source-epoch"] = EPOCH.into();
    let pipelines = manifest["pipelines"].as_array_mut().unwrap();
    pipelines.extend(formats().into_iter().map(|(name, kind, options)| {
        let stage = json!({"type": kind, "inputs": tree_input(), "options": options});
        json!({"name": name, "source-epoch": EPOCH, "stages": [stage]})
    }));
    manifest
}

fn stages(env: &TestEnv, attributes: &str) {
    env.stage("org.test.kinds", &[KINDS, attributes].concat());
    env.stage("org.test.marks", MARKS);
}

fn exports() -> Vec<String> {
    let names = formats().into_iter().map(|(name, ..)| name.to_owned());
    names.flat_map(|name| ["--export".to_owned(), name]).collect()
}

fn can_be_ordinary(what: &str) -> bool {
    need::root(what) && need::tools(USER_TOOLS, what)
}

fn builds_formats(what: &str) -> bool {
    can_be_ordinary(what) && need::tools(&["mke2fs", "mksquashfs", "mkfs.erofs", "python3"], what)
}

fn end(mut command: Command) -> Run {
    run(&mut command, b"", LIMIT)
}

#[test]
fn every_format_is_the_same_as_roots() {
    let what = "all formats as an ordinary user";
    if !builds_formats(what) {
        return;
    }
    let env = TestEnv::new();
    stages(&env, ATTRIBUTES);
    let mut command = env.build_command();
    command.args(["--json", "-l", "lib"]).args(exports());
    let text = manifest().to_string();
    let roots = run(&mut command, text.as_bytes(), LIMIT).expect(0).json();
    assert_eq!(roots["sandbox"]["root"], "nobody");

    let ada = Ordinary::with_sub_ids(&env);
    let file = ada.write("manifest.json", &text);
    let mut command = ada.command("osbuild");
    command.args(["--json", "--store", "store", "--output", "out/of/ada", "-l"]);
    command.arg(env.path("lib")).args(exports()).arg(file);
    let adas = end(command).expect(0).json();
    assert_eq!(adas["sandbox"]["root"], "sub-ids");
    assert_eq!(adas["sandbox"]["missing"], json!([]));
    assert_eq!(told(&roots), told(&adas), "the results say the same");
    assert_same_trees(&env.store(), &ada.path("store"));
    assert_same_files(&env.out(), &ada.path("out/of/ada"));
    // what is handed out is the caller's, and the place of the store too
    for place in [
        "out",
        "out/of/ada",
        "out/of/ada/qcow2",
        "out/of/ada/qcow2/disk.qcow2",
        "store",
    ] {
        assert!(ada.owns(&ada.path(place)), "{place}");
    }

    // once more all is found; the store is sound, and can be looked after
    let mut command = ada.command("osbuild");
    command.args(["--json", "--store", "store", "--output", "out/of/ada", "-l"]);
    command.arg(env.path("lib")).args(exports()).arg("manifest.json");
    let again = end(command).expect(0).json();
    assert!(
        again["log"].as_object().unwrap().is_empty() || !again["log"].to_string().contains("output"),
        "{again}"
    );
    let store = |args: &[&str]| {
        let mut command = ada.command("osbuild");
        command.args(["store", "--store", "store"]).args(args);
        end(command).expect(0)
    };
    store(&["fsck", "--deep"]);
    store(&["ls"]);
    store(&["gc"]);
    nothing_is_left(&ada);
}

#[test]
fn the_debian_image_is_the_same_as_roots() {
    let what = "a Debian image as an ordinary user";
    if !can_be_ordinary(what) {
        return;
    }
    let image = Image::server(12);
    let env = TestEnv::new();
    let ada = Ordinary::with_sub_ids(&env);
    let text = fs::read_to_string(image.manifest_file()).unwrap();
    let file = ada.write("manifest.json", text);
    // the downloads are there already, and its own
    let sources = ada.path("store/sources");
    let script = "mkdir -p \"$2\" && cp -r -- \"$1\"/. \"$2\" && chown -R 1500000:1500000 \"$2\" && chown 61234:61234 \"$2/..\"";
    let mut copy = Command::new("sh");
    oracle::tool(
        copy.args(["-c", script, "sh"])
            .args([&Image::sources(), &sources]),
    )
    .unwrap();
    let mut command = ada.command("osbuild");
    command
        .args(["--store", "store", "--output", "out", "--json"])
        .arg(file);
    let result = end(command).expect(0).json();
    assert_eq!(result["sandbox"]["root"], "sub-ids");
    assert_same_trees(&ada.path("store"), &image.store());
    let digest =
        |path: &Path| oracle::tool(Command::new("sha256sum").stdin(fs::File::open(path).unwrap())).unwrap();
    assert_eq!(digest(&image.disk()), digest(&ada.path("out/disk.qcow2")));
    nothing_is_left(&ada);
}

#[test]
fn who_cannot_build_is_told_what_to_do() {
    let what = "advice to ordinary users";
    if !can_be_ordinary(what) {
        return;
    }
    let env = TestEnv::new();
    let build = |ada: &Ordinary| {
        let mut command = ada.command("osbuild");
        command.args(["--store", "store", "--output", "out", "-"]);
        run(&mut command, tree_of(json!([])).to_string().as_bytes(), LIMIT)
    };
    let ada = Ordinary::new(&env, "bob:100000:65536\n");
    build(&ada).expect(1).says(&[
        "error: the user ada has no sub-ids in /etc/subuid, and an image needs 65536 of them",
        "hint: as root: `usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ada` (the line \
         `ada:165536:65536` in /etc/subuid and /etc/subgid)",
    ]);
    let ada = Ordinary::new(&env, "ada:100000:1000\n61234:200000:1\n");
    build(&ada)
        .expect(1)
        .says(&["the user ada has 1001 sub-ids in /etc/subuid"]);
    // a manifest that is wrong is told first
    let mut command = ada.command("osbuild");
    run(command.arg("-"), b"{", LIMIT).expect(2);
    // in two pieces there are enough, and one more
    let ada = Ordinary::new(&env, "ada:1500000:65535\nada:1600000:2\n");
    build(&ada).expect(0);
    let ada = Ordinary::with_sub_ids(&env);
    let mut command = ada.command_with_path(&ada_osbuild(&env), "/nonexistent");
    command.args(["--store", "store", "--output", "out", "-"]);
    run(&mut command, tree_of(json!([])).to_string().as_bytes(), LIMIT)
        .expect(1)
        .says(&["`newuidmap` is not installed", "install the package `uidmap`"]);
    assert!(!env.path("home/out").join("x").exists());
}

#[test]
fn signals_descriptors_and_streams_are_as_roots() {
    let what = "signals to an ordinary user's build";
    if !can_be_ordinary(what) {
        return;
    }
    let env = TestEnv::new();
    let ada = Ordinary::with_sub_ids(&env);
    env.stage("org.test.waits", "echo waiting; while :; do sleep 1; done");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut command = ada.command("osbuild");
        command
            .args(["--store", "store", "-o", "out", "-l"])
            .arg(env.path("lib"))
            .arg("-");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = tree_of(json!([{"type": "org.test.waits"}])).to_string();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let mut console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
        console.wait_for(&["waiting"], WHILE).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = ends_within(&child, WHILE);
        if !ended {
            child.kill().unwrap();
        }
        assert_eq!(
            (ended, child.wait().unwrap().code()),
            (true, Some(code)),
            "{}",
            console.transcript()
        );
        nothing_is_left(&ada);
    }
    let mut command = ada.command("sh");
    command.args([
        "-c",
        "osbuild --store store -o out --json --monitor JSONSeqMonitor --monitor-fd 3 - 3>monitor && \
         grep -c '\"progress\"' monitor >lines",
    ]);
    let text = tree_of(json!([{"type": "org.osbuild.hostname", "options": {"hostname": "ada"}}])).to_string();
    let run = run(&mut command, text.as_bytes(), LIMIT).expect(0);
    assert_eq!(run.json()["success"], true);
    assert!(ada.owns(&ada.path("out/etc/hostname")));
}

#[test]
fn what_only_root_may_is_refused_by_name() {
    let what = "device nodes as an ordinary user";
    if !can_be_ordinary(what) {
        return;
    }
    let env = TestEnv::new();
    let ada = Ordinary::with_sub_ids(&env);
    let archive = env.path("device.tar");
    let script = "mkdir nodes && mknod nodes/null c 1 3 && tar cf \"$1\" nodes && rm -r nodes";
    let mut make = env.command("sh");
    oracle::tool(make.args(["-c", script, "sh"]).arg(&archive)).unwrap();
    let content = fs::read(&archive).unwrap();
    let checksum = tests::manifests::sha256(&content);
    let untar = json!({
        "type": "org.osbuild.untar",
        "inputs": {"file": {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [checksum]}},
    });
    let mut manifest = tree_of(json!([untar]));
    fs::copy(&archive, ada.path("device.tar")).unwrap();
    let url = format!("file://{}", ada.path("device.tar").display());
    manifest["sources"] = json!({"org.osbuild.curl": {"items": {checksum: url}}});
    let mut command = ada.command("osbuild");
    command.args(["--store", "store", "-o", "out", "-"]);
    let run = run(&mut command, manifest.to_string().as_bytes(), LIMIT).expect(1);
    assert!(
        run.to_string()
            .contains("only the machine's root may: build as root"),
        "{run}"
    );
    nothing_is_left(&ada);
}

#[test]
fn a_container_without_privileges_builds_the_same() {
    let what = "all formats in a container";
    if !need::root(what) || !need::tools(CONTAINER_TOOLS, what) || !need::tools(&["mke2fs"], what) {
        return;
    }
    let env = TestEnv::new();
    let tree = debian_root(&env);
    let mut container = Container::new(&env, &tree);
    stages(&env, "");
    let mut formats = vec!["archive", "commit"];
    let version = |command: &mut Command| command.arg("-V").output().unwrap().stderr;
    if version(&mut Command::new("mke2fs")) == version(Command::new("chroot").arg(&tree).arg("mke2fs")) {
        formats.extend(["raw", "qcow2", "file-system"]);
    } else {
        println!("skipped, as the machine's mke2fs is of another version than Debian 12's: disks");
    }
    let mut manifest = manifest();
    let wanted =
        |pipeline: &Value| pipeline["name"] == "tree" || formats.iter().any(|name| pipeline["name"] == *name);
    manifest["pipelines"].as_array_mut().unwrap().retain(wanted);
    let exports: Vec<&str> = formats.iter().flat_map(|name| ["--export", name]).collect();
    let text = manifest.to_string();
    let mut command = env.build_command();
    command.args(["--json", "-l", "lib"]).args(&exports);
    let roots = run(&mut command, text.as_bytes(), LIMIT).expect(0).json();
    container.write("root/manifest.json", &text);
    for name in ["kinds", "marks"] {
        let file = format!("lib/stages/org.test.{name}");
        fs::create_dir_all(container.path("root/lib/stages")).unwrap();
        fs::copy(env.path(&file), container.path("root").join(&file)).unwrap();
    }
    let build = |container: &Container, store: &str| {
        let mut command = container.command("osbuild");
        command.args([
            "--json",
            "-l",
            "lib",
            "--store",
            store,
            "-o",
            &format!("out-{store}"),
        ]);
        end({
            command.args(&exports).arg("manifest.json");
            command
        })
    };
    for (store, masked, capable) in [("full", false, true), ("default", false, false)] {
        (container.masked, container.capable) = (masked, capable);
        let result = build(&container, store).expect(0).json();
        assert_eq!(result["sandbox"]["root"], "container");
        assert_eq!(result["sandbox"]["missing"], json!([]));
        assert_eq!(told(&roots), told(&result), "the results say the same");
        assert_same_trees(&env.store(), &container.path("root").join(store));
        assert_same_files(&env.out(), &container.path(format!("root/out-{store}")));
    }
    // as container engines mask /proc: what lies over it cannot be taken away, so no new one is given
    (container.masked, container.capable) = (true, false);
    let refused = build(&container, "masked").expect(1);
    for part in [
        "mounting /proc",
        "unmask=ALL",
        "systempaths=unconfined",
        "--unsafe-allow=proc",
    ] {
        assert!(refused.stdout.contains(part), "{part}: {refused}");
    }
    // disks are written through descriptors in /proc, whose processes have other numbers there
    let mut command = container.command("osbuild");
    command.args(["--json", "-l", "lib", "--store", "masked", "-o", "out-masked"]);
    command.args(["--export", "archive", "--unsafe-allow=proc", "manifest.json"]);
    let result = end(command).expect(0).json();
    assert_eq!(result["sandbox"]["missing"], json!(["proc"]));
    let archive = |out: PathBuf| out.join("archive");
    assert_same_files(&archive(env.out()), &archive(container.path("root/out-masked")));
    // each user namespace has a switch of its own
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \
                  osbuild --store off -o out-off manifest.json -l lib";
    (container.masked, container.capable) = (false, true);
    let mut command = container.command("sh");
    command.args(["-c", script]);
    end(command).expect(1).says(&[
        "user.max_user_namespaces is 0",
        "sysctl user.max_user_namespaces=",
    ]);
    assert_eq!(left_behind(&env.path("container")), Vec::<String>::new());
}

/// The members of a result that do not depend on who builds, and when.
fn told(result: &Value) -> Value {
    let mut result = result.clone();
    for name in ["statistics", "sandbox"] {
        result[name].take();
    }
    result
}

/// What two stores have, is the same.
#[track_caller]
fn assert_same_trees(here: &Path, there: &Path) {
    let trees = |store: &Path| -> Vec<(String, PathBuf)> {
        let list = fs::read_dir(store.join("refs"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = list
            .filter(|path| path.is_symlink())
            .map(|path| {
                let tree = fs::read_link(&path).unwrap();
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    tree.file_name().unwrap().into(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let (here, mut there) = (trees(here), trees(there));
    assert!(!here.is_empty());
    // other tests may have built more in that store
    there.retain(|(id, _)| here.iter().any(|(other, _)| other == id));
    assert_eq!(here, there, "the digests of all trees are the same");
}

/// All below two directories is the same: kinds, modes, times, contents. Whose it is is the caller's.
#[track_caller]
fn assert_same_files(here: &Path, there: &Path) {
    let listing = |dir: &Path| {
        let script = "cd \"$1\" && find . -mindepth 1 \\( -type d -printf '%p %y\\n' -o -printf '%p %y %m %T@ %l\\n' \\) | \
                      sort && find . -type f -print0 | sort -z | xargs -0r sha256sum";
        oracle::tool(Command::new("sh").args(["-c", script, "sh"]).arg(dir)).unwrap()
    };
    let (here, there) = (listing(here), listing(there));
    assert!(here.lines().count() > 1, "{here}");
    assert_eq!(here, there, "what is handed out is the same");
}

/// No process, no mount, nothing unfinished.
#[track_caller]
fn nothing_is_left(ada: &Ordinary) {
    assert_eq!(left_behind(&ada.path("")), Vec::<String>::new());
    let unfinished = fs::read_dir(ada.path("store/tmp")).unwrap();
    let names: Vec<_> = unfinished.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.is_empty(), "{names:?}");
}

fn ada_osbuild(env: &TestEnv) -> String {
    env.path("bin/osbuild").display().to_string()
}

/// The tree of a Debian system.
fn debian_root(env: &TestEnv) -> PathBuf {
    let image = Image::server(12);
    let mut command = env.command(env.binaries().osbuild());
    command
        .arg(image.manifest_file())
        .arg("--store")
        .arg(image.store());
    command
        .args(["--export", "os", "--output-directory"])
        .arg(env.path("root"));
    end(command).expect(0);
    env.path("root/os")
}
