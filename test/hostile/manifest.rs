//! The cache, the manifest, the sockets of a box, a machine that cannot give all of the boundary.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;

use super::Hostile;

const LIMIT: Duration = Duration::from_secs(120);

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
        "\u{0}",
        "{\"version\": \"2\"",
    ] {
        hostile.env.build_text(text, &[]).expect(2);
    }
    hostile
        .env
        .build_text(r#"{"version": "2", "pipelines": []}"#, &["--inspect"])
        .expect(0);
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
    let told = |script: &str, name: &str| {
        let mut command = env.command("sh");
        let call = format!("{script} exec \"$0\" -l lib --store store-{name} --output {name} -");
        command.args(["-c", &call]).arg(env.binaries().osbuild());
        tests::run(&mut command, manifest.as_bytes(), LIMIT).expect(0);
        fs::read_to_string(env.path(name).join("told")).unwrap()
    };
    let plain = told("", "plain");
    let other = told(
        "umask 0; cd /; cd - >/dev/null; export TZ=Asia/Tokyo LANG=de_DE PATH=/sbin:$PATH;",
        "other",
    );
    assert_eq!(plain, other);
    // without the box it would have told
    let tell = |script: &str| {
        let mut command = env.command("sh");
        command.args(["-c", &format!("{script} umask; date +%Z")]);
        tests::run(&mut command, b"", LIMIT).stdout
    };
    assert_ne!(tell("umask 022;"), tell("umask 0;"));
}

#[test]
fn item_40_a_secret_of_the_caller_stays_with_it() {
    let Some(hostile) = Hostile::new("secrets") else {
        return;
    };
    let secret = "osbuild-hostile-secret-5151";
    let targets = json!({"secret": secret});
    let manifest = tree_of(json!([hostile.stage("environment", &json!({"secret": "5151"}))]));
    let mut command = hostile.env.build_command();
    command.args(["-l", "lib", "--json"]).env("SECRET", secret);
    let run = tests::run(&mut command, manifest.to_string().as_bytes(), LIMIT).expect(0);
    assert!(!run.stdout.contains("GOT"), "{run}");
    let found = Command::new("grep")
        .args(["-r", secret])
        .arg(hostile.env.store())
        .output()
        .unwrap();
    assert_eq!(found.status.code(), Some(1), "it is in the store: {found:?}");
    let mut control = hostile.control_command("environment", &targets);
    let control = tests::run(control.env("SECRET", secret), b"", LIMIT);
    assert!(control.stdout.contains("GOT the secret in SECRET"), "{control}");
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
    // the next build is served as ever
    let said = hostile.said("environment", &json!({"secret": "osbuild-hostile"}));
    assert!(!said.not.is_empty());
}
