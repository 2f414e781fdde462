//! A stage that fails, is killed or never ends: each with its message, its exit code, its document, and nothing left behind.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{Run, TestEnv, need, run};

/// The stderr with what differs from run to run replaced.
fn essence(env: &TestEnv, run: &Run, document: &Value) -> String {
    let id = document["error"]["details"]["stage"]["id"]
        .as_str()
        .unwrap_or_default();
    let text = run.stderr.replace(&env.path("").display().to_string(), "DIR/");
    let text = text
        .replace(id, "ID")
        .replace(&id[..id.len().min(12)], "SHORT-ID");
    let seconds = |line: &str| Some(line.rsplit_once(" after ")?.1.to_owned());
    match text.lines().next().and_then(seconds) {
        Some(time) => text.replacen(&format!(" after {time}"), " after TIME", 1),
        None => text,
    }
}

fn shell_stage(env: &TestEnv, script: &str) -> Value {
    env.stage("org.example.stage", script);
    tree_of(json!([{"type": "org.osbuild.noop"}, {"type": "org.example.stage"}]))
}

#[test]
fn a_stage_that_fails_says_where_and_how() {
    if !need::root("a stage that fails") {
        return;
    }
    let env = TestEnv::new();
    let script = "seq 1 30; echo 'no such thing' >&2; echo left > /run/osbuild/tree/left; exit 3";
    let manifest = shell_stage(&env, script);
    let (run, document) = env.fails(&manifest, &["-l", "lib"], 1);
    let lines: String = (12..=30).map(|n| format!("  | {n}\n")).collect();
    assert_eq!(
        essence(&env, &run, &document),
        format!(
            "error: stage org.example.stage failed (exit 3) after TIME\n  \
             at .pipelines[0].stages[1] of <stdin>, id SHORT-ID\n\
             {lines}  | no such thing\n  \
             full log: DIR/store/logs/ID.log (kept until the next run)\n"
        )
    );
    let stage = &document["error"]["details"]["stage"];
    assert_eq!(stage["type"], "org.example.stage");
    assert!(stage["output"].as_str().unwrap().starts_with("1\n2\n"));
    let log = env
        .store()
        .join(format!("logs/{}.log", stage["id"].as_str().unwrap()));
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 31);
    // nothing of it is in the result, but the stage before it is kept
    assert!(!env.out().join("left").exists());
    assert_eq!(document["log"]["tree"].as_array().map(Vec::len), Some(1));
}

#[test]
fn our_own_stage_that_fails_says_why() {
    if !need::root("a stage that fails") {
        return;
    }
    let env = TestEnv::new();
    let manifest = tree_of(json!([
        {"type": "org.osbuild.chmod", "options": {"items": {"/missing": {"mode": "0644"}}}}
    ]));
    let (run, _) = env.fails(&manifest, &[], 1);
    run.says(&["stage org.osbuild.chmod failed (exit 1)", "/missing"]);
    let manifest = tree_of(json!([{"type": "org.osbuild.error", "options": {"returncode": 42}}]));
    let (run, _) = env.fails(&manifest, &[], 1);
    run.says(&[
        "stage org.osbuild.error failed (exit 42)",
        "at .pipelines[0].stages[0]",
    ]);
}

#[test]
fn a_stage_that_is_killed_or_says_nothing_is_told_so() {
    if !need::root("a stage that is killed") {
        return;
    }
    let env = TestEnv::new();
    for (script, how) in [
        ("kill -9 $$", "killed by signal 9"),
        ("kill -SEGV $$", "killed by signal 11"),
        ("kill -TERM 0; sleep 1000", "killed by signal 15"),
        ("exit 77", "exit 77"),
    ] {
        let (run, document) = env.fails(&shell_stage(&env, script), &["-l", "lib"], 1);
        assert_eq!(
            essence(&env, &run, &document),
            format!(
                "error: stage org.example.stage failed ({how}) after TIME\n  \
                 at .pipelines[0].stages[1] of <stdin>, id SHORT-ID\n  \
                 full log: DIR/store/logs/ID.log (kept until the next run)\n"
            )
        );
        assert_eq!(document["error"]["details"]["stage"]["output"], "");
    }
}

#[test]
fn a_stage_that_never_ends_is_stopped_with_all_that_it_started() {
    if !need::root("a stage that never ends") {
        return;
    }
    let scripts = [
        "echo begun; sleep 1000",
        "trap '' TERM INT HUP; echo begun; while :; do sleep 1000; done",
        "echo begun; setsid sleep 1000 & sleep 1000 >/dev/null & wait",
        "echo begun; exec >&- 2>&-; sleep 1000",
        "echo begun; kill -STOP $$",
        // without an end, and without a pause
        "echo begun; exec cat /dev/zero > /dev/null",
    ];
    std::thread::scope(|scope| {
        for script in scripts {
            scope.spawn(move || {
                let env = TestEnv::new();
                let manifest = shell_stage(&env, script);
                let args = ["-l", "lib", "--stage-timeout", "2"];
                let (run, document) = env.fails(&manifest, &args, 1);
                assert!(run.time < Duration::from_secs(20), "{script}: {:?}", run.time);
                assert_eq!(
                    essence(&env, &run, &document),
                    "error: stage org.example.stage failed (stopped: over its limit of 2 s) after TIME\n  \
                     at .pipelines[0].stages[1] of <stdin>, id SHORT-ID\n  \
                     | begun\n  \
                     full log: DIR/store/logs/ID.log (kept until the next run)\n",
                    "{script}"
                );
            });
        }
    });
}

#[test]
fn a_daemon_does_not_outlive_its_stage() {
    if !need::root("daemons of a stage") {
        return;
    }
    let env = TestEnv::new();
    // they hold stdout: who waits for its end waits forever
    let script = "setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000 & echo done";
    let run = env.build(&shell_stage(&env, script), &["-l", "lib"]).expect(0);
    assert!(run.time < Duration::from_secs(20), "{:?}", run.time);
    assert!(run.stdout.contains("\ndone\n"), "{run}");
}

#[test]
fn whatever_a_stage_prints_can_be_shown() {
    if !need::root("a stage that prints much") {
        return;
    }
    let env = TestEnv::new();
    // 24 MB in short lines, one line of 24 MB, and what is not UTF-8
    let script = r"yes 'a line' | head -n 3500000
head -c 24000000 /dev/zero | tr '\0' x; echo
printf 'caf\303\251 \377\376 \303( \033[31mred\033[0m\r\000end\n'; printf 'half \342\202'; exit 1";
    let (run, document) = env.fails(&shell_stage(&env, script), &["-l", "lib"], 1);
    let end = "caf\u{e9} \u{fffd}\u{fffd} \u{fffd}( \u{1b}[31mred\u{1b}[0m\r\0end\nhalf \u{fffd}";
    let output = document["error"]["details"]["stage"]["output"].as_str().unwrap();
    assert!(output.ends_with(end), "{:?}", output.get(output.len() - 80..));
    assert!(
        output.len() < 10 << 20,
        "{} bytes of output are kept",
        output.len()
    );
    let id = document["error"]["details"]["stage"]["id"].as_str().unwrap();
    let log = env.store().join(format!("logs/{id}.log"));
    assert!(std::fs::metadata(log).unwrap().len() > 48_000_000);
    // a terminal is not flooded, nor told to do things
    assert!(run.stderr.len() < 100_000, "{} bytes on stderr", run.stderr.len());
    assert!(
        !run.stderr.contains('\u{1b}'),
        "escape sequences reach the terminal"
    );
    assert!(run.stderr.contains("end\n  | half"), "the end is shown");
}

/// Runs the rest of its arguments on a terminal of their own and hands on what they print there.
const WATCHER: &str = r"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    os.write(1, piece)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn on_a_terminal_the_whole_log_is_shown_or_it_is_said_what_is_not() {
    if !need::root("a stage that fails") || !need::tools(&["python3"], "a terminal") {
        return;
    }
    let env = TestEnv::new();
    let failing = |script: &str| -> Vec<String> {
        env.write("manifest.json", shell_stage(&env, script).to_string());
        let mut command = env.command("python3");
        command.args(["-c", WATCHER]).arg(env.binaries().osbuild());
        command.args(["-l", "lib", "--store", "store", "-o", "out", "manifest.json"]);
        let run = run(&mut command, b"", Duration::from_secs(300)).expect(1);
        let lines = run.stdout.split("\r\n").filter(|line| line.starts_with("  | "));
        lines.map(|line| line[4..].to_owned()).collect()
    };
    let numbers = |from: u32, to: u32| -> Vec<String> { (from..=to).map(|n| n.to_string()).collect() };
    assert_eq!(failing("seq 300; exit 1"), numbers(1, 300));
    let shown = failing("seq 100000; exit 1");
    assert_eq!(shown[..100], numbers(1, 100));
    assert_eq!(
        shown[100],
        "[... 99000 lines are left out: they are in the full log ...]"
    );
    assert_eq!(shown[101..], numbers(99_101, 100_000));
}

#[test]
fn a_result_that_cannot_lie_on_what_is_there_is_not_begun() {
    if !need::root("an export onto what is there") {
        return;
    }
    let paths = json!([{"path": "/a"}, {"path": "/b/x", "parents": true}]);
    let manifest = tree_of(json!([{"type": "org.osbuild.mkdir", "options": {"paths": paths}}]));
    let env = TestEnv::new();
    env.write("out/b/x", "precious");
    let (run, _) = env.fails(&manifest, &[], 1);
    let message = format!(
        "error: cannot put the result at {}: a file is there, and a directory belongs there: remove it, or name another \
         directory\n",
        env.out().join("b/x").display()
    );
    assert_eq!(run.stderr, message, "{run}");
    assert_eq!(
        std::fs::read_to_string(env.out().join("b/x")).unwrap(),
        "precious"
    );
    let there: Vec<_> = std::fs::read_dir(env.out()).unwrap().collect();
    assert_eq!(there.len(), 1, "nothing of the result is there: {there:?}");
    // nor of one that could, beside it
    let other = json!({"name": "also", "stages": [{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/a"}]}}]});
    let pipelines = json!([other, manifest["pipelines"][0]]);
    env.write("out/tree/b/x", "precious");
    let manifest = json!({"version": "2", "pipelines": pipelines});
    let (run, _) = env.fails(&manifest, &["--export", "also", "--export", "tree"], 1);
    run.says(&["out/tree/b/x: a file is there"]);
    assert!(!env.out().join("also").exists());
}

#[test]
fn a_library_directory_that_is_not_there_is_named() {
    let env = TestEnv::new();
    let manifest = tree_of(json!([]));
    let (run, document) = env.fails(&manifest, &["-l", "nowhere"], 1);
    let dir = env.path("nowhere").display().to_string();
    run.says(&[&dir, "hint: "]);
    let message = document["error"]["details"]["message"].as_str().unwrap();
    assert!(message.contains(&dir), "{message}");
}

#[test]
fn osbuild_without_its_modules_says_where_it_looked() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path("bin")).unwrap();
    let alone = env.path("bin/osbuild");
    std::fs::copy(env.binaries().osbuild(), &alone).unwrap();
    let manifest = tree_of(json!([{"type": "org.osbuild.noop"}]));
    let call = |args: &[&str]| {
        let mut command = env.command(&alone);
        command
            .args(["--store", "store", "--output", "out", "-"])
            .args(args);
        run(
            &mut command,
            manifest.to_string().as_bytes(),
            Duration::from_secs(60),
        )
        .expect(1)
    };
    let people = call(&[]).says(&["error: the modules are nowhere", "bin/osbuild-modules", "hint: "]);
    assert_eq!(people.stdout, "");
    assert_eq!(people.stderr.lines().count(), 2, "{people}");
    let machine = call(&["--json"]);
    assert_eq!(
        (machine.stderr.as_str(), &machine.json()["success"]),
        ("", &json!(false))
    );
    // one that is no such thing is told apart
    env.module("x", "y", "echo nonsense");
    std::fs::copy(env.path("lib/x/y"), env.path("bin/osbuild-modules")).unwrap();
    let run = call(&[]).says(&["does not describe its modules"]);
    assert!(!run.stderr.contains("nowhere"));
    assert!(!Path::new(&env.store()).exists());
}
