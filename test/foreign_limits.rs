//! A host service of a library directory that hangs, is stopped or does not want to end does not keep a build from its end;
//! nothing of it is left.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::qemu::Console;
use tests::{TestEnv, ends_within, need};

use crate::foreign_protocol::with_modules;

/// Longer than anything here may take: the services never end by themselves.
const LIMIT: Duration = Duration::from_secs(60);

/// A stage that leaves a file, with a device that does not do as it is told.
fn stuck(how: &str) -> Value {
    tree_of(json!([{
        "type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/made"}]},
        "devices": {"disk": {"type": "org.example.stuck", "options": {"how": how}}},
    }]))
}

fn fails(env: &TestEnv, how: &str, args: &[&str], says: &[&str]) -> Value {
    let args = [&["-l", "lib"], args].concat();
    let run = env.build(&stuck(how), &args).expect(1).says(says);
    assert!(run.time < LIMIT, "{:?}", run.time);
    let run = env
        .build(&stuck(how), &[&args[..], &["--json"]].concat())
        .expect(1);
    assert!(!env.out().join("made").exists(), "what it left is not handed out");
    assert_eq!(run.stderr, "");
    run.json()
}

#[test]
fn the_limit_of_a_stage_is_that_of_its_services_too() {
    let Some(env) = with_modules("limits of foreign services", &[]) else {
        return;
    };
    for (how, what) in [
        (
            "hang when opened",
            "device/disk (org.example.stuck) has not answered",
        ),
        (
            "hang when closed",
            "device/disk (org.example.stuck) has not ended and was killed",
        ),
    ] {
        let limit = ["--stage-timeout", "2"];
        let says = ["(stopped: over its limit of 2 s)", &format!("  | {what}\n")];
        let document = fails(&env, how, &limit, &says);
        assert_eq!(document["error"]["type"], "org.osbuild.error.stage");
        let output = document["error"]["details"]["stage"]["output"].as_str().unwrap();
        assert!(output.ends_with(&format!("{what}\n")), "{output}");
    }
}

#[test]
fn who_was_stopped_is_not_waited_for() {
    let Some(env) = with_modules("stopped foreign services", &[]) else {
        return;
    };
    let document = fails(&env, "stop when opened", &[], &["device/disk: it was stopped"]);
    assert_eq!(document["error"]["type"], "org.osbuild.error.fatal");
    // at the end it is woken, and does what it has to
    let run = env.build(&stuck("stop when closed"), &["-l", "lib"]).expect(0);
    assert!(run.time < LIMIT, "{:?}", run.time);
    assert!(env.out().join("made").is_dir());
}

/// A build with a stuck device, once that has printed `line`.
fn started(env: &TestEnv, how: &str, line: &str) -> Child {
    let mut command = env.build_command();
    command.args(["-l", "lib"]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let manifest = stuck(how).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.as_bytes())
        .unwrap();
    let mut console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
    console.wait_for(&[line], Duration::from_secs(120)).unwrap();
    child
}

#[test]
fn an_interrupted_build_ends_whatever_its_services_do() {
    let Some(env) = with_modules("interrupted foreign services", &[]) else {
        return;
    };
    // nobody has set a limit for the stage
    for (how, line, signal, code) in [
        ("hang when opened", "opened", Signal::INT, 130),
        ("hang when opened", "opened", Signal::TERM, 143),
        ("stop when opened", "opened", Signal::INT, 130),
        ("hang when closed", "closed", Signal::INT, 130),
    ] {
        let mut child = started(&env, how, line);
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        assert!(ends_within(&child, LIMIT), "{how}");
        assert_eq!(child.wait().unwrap().code(), Some(code), "{how}");
        assert_eq!(env.left_behind(), Vec::<String>::new(), "{how}");
    }
    // who does not want to wait that long says so
    let mut child = started(&env, "hang when closed", "closed");
    for signal in [Signal::INT, Signal::TERM] {
        kill_process_group(Pid::from_child(&child), signal).unwrap();
    }
    assert!(ends_within(&child, Duration::from_secs(10)));
    assert!(matches!(child.wait().unwrap().code(), Some(130 | 143)));
    assert!(fs::read_dir(env.store().join("refs")).unwrap().next().is_none());
}

#[test]
fn a_source_that_does_not_answer_ends_with_the_build() {
    let Some(env) = with_modules("interrupted foreign sources", &[]) else {
        return;
    };
    if !need::tools(&["python3"], "foreign sources") {
        return;
    }
    let text = fs::read_to_string(env.path("lib/sources/org.example.text")).unwrap();
    let text = text.replacen(
        "wire.serve(",
        "import time\nprint('silent', flush=True)\ntime.sleep(600)\nwire.serve(",
        1,
    );
    fs::write(env.path("lib/sources/org.example.text"), text).unwrap();
    let mut manifest = stuck("");
    manifest["sources"] = json!({"org.example.text": {"items": {tests::manifests::sha256("x"): "x"}}});
    let mut command = env.build_command();
    command.args(["-l", "lib"]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take();
    input.unwrap().write_all(manifest.to_string().as_bytes()).unwrap();
    let mut console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
    console.wait_for(&["silent"], Duration::from_secs(120)).unwrap();
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(ends_within(&child, Duration::from_secs(20)));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
