//! The cache, the manifest, the sockets of a box, a machine that cannot give all of the boundary.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::need;

use super::{Hostile, LIMIT, Said};

#[test]
fn item_38_names_with_parts_of_paths_stay_names() {
    let Some(hostile) = Hostile::new("names") else {
        return;
    };
    let stage = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]}});
    for name in ["../outside", "/etc", "a/../../b", "x\0y", &"n".repeat(5000)] {
        let named = json!({"version": "2", "pipelines": [{"name": name, "stages": [stage]}]});
        let mut command = hostile.env.command(hostile.env.binaries().osbuild());
        command.args(["--store", "store", "--output-directory", "into", "-"]);
        command.args(["--export", &name.replace('\0', "")]);
        let run = tests::run(&mut command, named.to_string().as_bytes(), LIMIT);
        assert!(run.code == 1 || run.code == 2, "{name:?}: {run}");
        let unknown = tree_of(json!([{"type": format!("org.osbuild.{name}")}]));
        hostile.run(&unknown, &[]).expect(2);
    }
    // the plain name is fine
    hostile.run(&tree_of(json!([stage])), &[]).expect(0);
    assert!(hostile.env.out().join("made").is_dir());
}

#[test]
fn item_38_a_stage_is_no_program_outside_of_its_library() {
    let Some(hostile) = Hostile::new("names of stages") else {
        return;
    };
    hostile
        .env
        .module("../tools", "tool", "echo run > /run/osbuild/tree/run");
    let manifest = tree_of(json!([{"type": "../../tools/tool"}]));
    hostile.run(&manifest, &[]).expect(2).says(&["../../tools/tool"]);
    // the names joined, there is such a program
    hostile.lifted(&["module-names"], &manifest, &[]).expect(0);
    assert!(hostile.env.path("lifted-out/run").exists());
    hostile.forget_lifted();
}

#[test]
fn item_38_texts_without_measure_are_refused() {
    let Some(hostile) = Hostile::new("odd texts") else {
        return;
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let twice =
        r#"{"version": "2", "version": "1", "pipelines": [{"name": "tree", "name": "x", "stages": 1e999}]}"#;
    for text in [
        &*deep,
        twice,
        r#"{"version": 1e400}"#,
        r#"{"version": "2", "pipelines": [], "x": 123456789012345678901234567890}"#,
        "\u{0}",
        "{\"version\": \"2\"",
    ] {
        let run = hostile.env.build_text(text, &[]).expect(2);
        assert!(run.stderr.starts_with("error: "), "{run}");
    }
    hostile
        .env
        .build_text(r#"{"version": "2", "pipelines": []}"#, &["--inspect"])
        .expect(0);
    // a reader without a measure of its own dies of the first
    let path = hostile.env.write("deep.json", &deep);
    let mut python = hostile.env.command("python3");
    let reader = "import json, sys; sys.setrecursionlimit(1 << 30); json.load(open(sys.argv[1]))";
    let run = tests::run(python.args(["-c", reader]).arg(path), b"", LIMIT);
    assert_ne!(run.code, 0, "{run}");
}

#[test]
fn item_37_the_callers_surroundings_do_not_reach_a_tree() {
    let Some(hostile) = Hostile::new("surroundings") else {
        return;
    };
    let env = &hostile.env;
    env.stage(
        "org.hostile.tell",
        "{ env | sort; umask; id; pwd; date +%Z; ulimit -n; cat /proc/self/cgroup; } > /run/osbuild/tree/told",
    );
    let manifest = tree_of(json!([{"type": "org.hostile.tell"}])).to_string();
    let told = |defences: &[&str], script: &str| {
        let mut inner = hostile.lifted_command(defences);
        inner.arg("-");
        let mut command = env.command("sh");
        command.args(["-c", &format!("{script} exec \"$0\" \"$@\"")]);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            value.map(|value| command.env(name, value));
        }
        tests::run(&mut command, manifest.as_bytes(), LIMIT).expect(0);
        let told = fs::read_to_string(env.path("lifted-out/told")).unwrap();
        hostile.forget_lifted();
        told
    };
    let other = "umask 0; cd /; cd - >/dev/null; export TZ=Asia/Tokyo LANG=de_DE PATH=/sbin:$PATH;";
    assert_eq!(told(&[], ""), told(&[], other));
    assert_ne!(told(&["environment"], ""), told(&["environment"], other));
}

#[test]
fn item_37_an_object_is_not_shared_by_what_only_has_its_id() {
    let Some(hostile) = Hostile::new("cached objects") else {
        return;
    };
    let env = &hostile.env;
    let manifest = tree_of(json!([{"type": "org.hostile.tool"}]));
    // the module is no part of the id
    let version = |number: &str| {
        env.stage(
            "org.hostile.tool",
            &format!("echo {number} > /run/osbuild/tree/version"),
        );
        let mut inspect = env.command(env.binaries().osbuild());
        let run = tests::run(
            inspect.args(["-l", "lib", "--inspect", "-"]),
            manifest.to_string().as_bytes(),
            LIMIT,
        );
        run.expect(0).json()["pipelines"][0]["stages"][0]["id"].clone()
    };
    let built = |defences: &[&str]| {
        hostile.lifted(defences, &manifest, &[]).expect(0);
        fs::read_to_string(env.path("lifted-out/version")).unwrap()
    };
    let first = version("1");
    assert_eq!(built(&[]), "1\n");
    assert_eq!(version("2"), first);
    assert_eq!(built(&[]), "2\n");
    version("3");
    assert_eq!(built(&["saw"]), "2\n", "what was made by another one is served");
    hostile.forget_lifted();
}

#[test]
fn item_40_a_secret_of_the_caller_stays_with_it() {
    let Some(hostile) = Hostile::new("secrets") else {
        return;
    };
    let secret = "osbuild-hostile-secret-5151";
    // half of it is in the manifest
    let manifest = tree_of(json!([hostile.stage("environment", &json!({"secret": "5151"}))])).to_string();
    let build = |defences: &[&str]| {
        let mut command = hostile.lifted_command(defences);
        command.args(["--json", "-"]).env("SECRET", secret);
        Said::in_document(tests::run(&mut command, manifest.as_bytes(), LIMIT))
    };
    let found = || {
        let mut grep = Command::new("grep");
        grep.args(["-r", "-q", secret]).arg(hostile.env.path("lifted"));
        grep.status().unwrap().code() == Some(0)
    };
    build(&[]).refused("environment");
    assert!(!found(), "it is in the store");
    hostile.forget_lifted();
    let said = build(&["environment"]);
    assert!(said.got.contains(&"the secret in SECRET".to_owned()), "{said:?}");
    hostile.forget_lifted();
}

#[test]
fn item_40_a_core_dump_stays_in_the_tree_and_holds_no_secret() {
    let what = "core dumps";
    let Some(hostile) = Hostile::new(what).filter(|_| need::tools(&["grep", "find"], what)) else {
        return;
    };
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.trim_end() != "core" {
        eprintln!("skipped, as this machine does not write a core file where the program is: {what}");
        return;
    }
    let env = &hostile.env;
    let secret = "osbuild-hostile-secret-4040";
    env.stage(
        "org.hostile.core",
        "cd /run/osbuild/tree && sh -c 'kill -SEGV $$'; true",
    );
    let manifest = tree_of(json!([{"type": "org.hostile.core"}])).to_string();
    let build = |defences: &[&str]| {
        let inner = hostile.lifted_command(defences);
        // as a machine on which programs may dump
        let mut command = env.command("sh");
        command.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]);
        command.arg(inner.get_program()).args(inner.get_args()).arg("-");
        for (name, value) in inner.get_envs() {
            value.map(|value| command.env(name, value));
        }
        let run = tests::run(command.env("SECRET", secret), manifest.as_bytes(), LIMIT).expect(0);
        let mut find = Command::new("find");
        find.arg(env.path("")).args(["-name", "core*", "-type", "f"]);
        let found = tests::oracle::tool(&mut find).unwrap();
        let (inside, outside): (Vec<_>, Vec<_>) =
            found.lines().map(std::path::PathBuf::from).partition(|path| {
                path.starts_with(env.path("lifted")) || path.starts_with(env.path("lifted-out"))
            });
        assert!(outside.is_empty(), "{outside:?}");
        assert!(!inside.is_empty(), "nothing dumped: {run}");
        let mut grep = Command::new("grep");
        let told = grep
            .args(["-r", "-q", "-a", secret])
            .args(inside)
            .status()
            .unwrap();
        hostile.forget_lifted();
        told.code()
    };
    assert_eq!(build(&[]), Some(1), "the secret is in the core dump");
    assert_eq!(build(&["environment"]), Some(0));
}

#[test]
fn item_41_no_capability_is_left_that_was_to_be_dropped() {
    let Some(hostile) = Hostile::new("capabilities").filter(|_| need::tools(&["setpriv"], "capabilities"))
    else {
        return;
    };
    hostile.refused("capabilities", &json!({}), &["capabilities"]);
    // bubblewrap keeps them all where one of those that stay is missing at the start
    let manifest = tree_of(json!([hostile.stage("capabilities", &json!({}))])).to_string();
    let build = |capability: &str| {
        let mut command = hostile.env.command("setpriv");
        command.arg("--bounding-set").arg(format!("-{capability}"));
        command.arg(hostile.env.binaries().osbuild());
        command.args(["--store", "other", "--output", "out", "-l", "lib", "--json", "-"]);
        tests::run(&mut command, manifest.as_bytes(), LIMIT)
    };
    Said::in_document(build("sys_resource")).refused("capabilities");
    fs::remove_dir_all(hostile.env.path("other")).unwrap();
    // who lacks what mounts take is no root, and builds as one who is none
    let run = build("sys_admin");
    match run.code {
        0 => Said::in_document(run).refused("capabilities"),
        _ => assert!(run.stdout.contains("cannot"), "{run}"),
    }
}

/// Runs the rest of its arguments on a kernel without a call, or without user namespaces: what a container's filter does.
const WITHOUT: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
what = sys.argv[1]
def op(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
allow, refuse = op(6, 0, 0, 0x7fff0000), op(6, 0, 0, 0x00050000 | 1)
if what == "seccomp":
    program = [op(0x20, 0, 0, 0), op(0x15, 0, 1, 317), refuse, allow]
else:
    # clone(2) with CLONE_NEWUSER
    program = [op(0x20, 0, 0, 0), op(0x15, 0, 3, 56), op(0x20, 0, 0, 16), op(0x45, 0, 1, 0x10000000), refuse, allow]
code = b"".join(program)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.byref(Program(len(program), code)), 0, 0):
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
"#;

fn without(hostile: &Hostile, part: &str, args: &[&str]) -> tests::Run {
    let script = hostile.env.write("without.py", WITHOUT);
    let mut command = hostile.env.command("python3");
    command
        .arg(script)
        .arg(part)
        .arg(hostile.env.binaries().osbuild());
    command
        .args(["--store", "store", "--output", "out", "-"])
        .args(args);
    let stage = json!({"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]}});
    tests::run(
        &mut command,
        tree_of(json!([stage])).to_string().as_bytes(),
        LIMIT,
    )
}

#[test]
fn item_41_a_boundary_that_cannot_be_had_is_refused_by_name() {
    let Some(hostile) = Hostile::new("missing parts") else {
        return;
    };
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped, as the numbers are those of x86-64: missing parts");
        return;
    }
    for part in ["seccomp", "users"] {
        let option = format!("--unsafe-allow={part}");
        without(&hostile, part, &[])
            .expect(1)
            .says(&["cannot set up the sandbox", &option]);
        // another part's name does not help
        without(&hostile, part, &["--unsafe-allow=limits"]).expect(1);
        let run = without(&hostile, part, &[&option, "--json"]).expect(0);
        assert_eq!(run.json()["sandbox"]["missing"], json!([part]), "{run}");
        fs::remove_dir_all(hostile.env.store()).unwrap();
        fs::remove_dir_all(hostile.env.out()).unwrap();
    }
    let run = hostile.run(
        &tree_of(json!([{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]}}])),
        &["--json", "--unsafe-allow=seccomp"],
    );
    assert_eq!(
        run.expect(0).json()["sandbox"]["missing"],
        json!([]),
        "what can be had is had"
    );
}

#[test]
fn item_42_strange_messages_do_not_stop_a_build() {
    let Some(hostile) = Hostile::new("strange messages") else {
        return;
    };
    let sockets = json!({"sockets": ["/run/osbuild/api/osbuild", "/run/osbuild/api/remoteloop"]});
    let run = hostile.build("malformed", &sockets, &["--json", "--stage-timeout", "60"]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    let document: Value = run.json();
    let output = document["log"]["tree"][0]["output"].as_str().unwrap();
    assert!(output.contains("GOT it sent"), "{output}");
    assert!(run.time < Duration::from_secs(60), "{run}");
    // a service that trusts what it is sent does not live through it
    let manifest = tree_of(json!([hostile.stage("malformed", &sockets)]));
    let control = hostile.lifted(&["packets"], &manifest, &["--stage-timeout", "60"]);
    assert!(
        control.code != 0 && control.stderr.contains("panicked"),
        "{control}"
    );
    hostile.forget_lifted();
    // the next build is served as ever
    let said = hostile.said("environment", &json!({"secret": "osbuild-hostile"}));
    assert!(!said.not.is_empty());
}
