//! Processes, descriptors, terminals.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::ends_within;
use tests::manifests::tree_of;

use super::host::processes;
use super::{Hostile, LIMIT, Said};

#[test]
fn item_9_our_executables_cannot_be_opened() {
    let Some(hostile) = Hostile::new("our executables") else {
        return;
    };
    hostile.refused("own_executable", &json!({}), &["read-only"]);
}

#[test]
fn items_9_and_13_the_first_process_is_out_of_reach() {
    let Some(hostile) = Hostile::new("the first process") else {
        return;
    };
    hostile.refused("first_process", &json!({}), &["users"]);
}

#[test]
fn item_13_processes_of_the_host_are_out_of_reach() {
    let Some(hostile) = Hostile::new("processes of the host") else {
        return;
    };
    let mut child = sleeper();
    let targets = json!({"pid": child.id()});
    hostile.refused("first_process", &targets, &["processes", "users", "capabilities"]);
    let targets = json!({"pids": [child.id()]});
    hostile.refused("signals", &targets, &["processes", "users"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

/// A command as the arguments of another one, which comes to it.
fn behind(outer: &[&str], inner: &Command) -> Command {
    let mut command = Command::new(outer[0]);
    command
        .args(&outer[1..])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = inner.get_current_dir() {
        command.current_dir(dir);
    }
    command
}

#[test]
fn item_13_a_signal_to_all_hits_the_stage_alone() {
    let Some(hostile) = Hostile::new("signals") else {
        return;
    };
    let mut child = sleeper();
    let run = hostile.build("kill_all", &json!({}), &[]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    assert!(
        child.try_wait().unwrap().is_none(),
        "the host's process was killed"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // without processes and users of its own it hits all there are: here those of a process namespace of the test's
    let manifest = tree_of(json!([hostile.stage("kill_all", &json!({}))]));
    let path = hostile.env.write("manifest.json", manifest.to_string());
    let mut build = hostile.lifted_command(&["processes", "users"]);
    build.arg(path);
    let script = "sleep 600 & victim=$!; \"$@\" >/dev/null 2>&1; wait $victim; echo victim $?";
    let outer = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        script,
        "sh",
    ];
    let control = tests::run(&mut behind(&outer, &build), b"", LIMIT).expect(0);
    assert_eq!(control.stdout, "victim 143\n", "{control}");
    hostile.forget_lifted();
}

#[test]
fn item_10_no_descriptor_is_handed_down() {
    let Some(hostile) = Hostile::new("descriptors") else {
        return;
    };
    let manifest = tree_of(json!([hostile.stage("descriptors", &json!({}))])).to_string();
    let with_nine = |mut build: Command| {
        build.args(["--json", "-"]);
        let outer = ["sh", "-c", "exec 9< / && exec \"$@\"", "sh"];
        Said::in_document(tests::run(
            &mut behind(&outer, &build),
            manifest.as_bytes(),
            LIMIT,
        ))
    };
    let mut plain = hostile.env.command(hostile.env.binaries().osbuild());
    plain.args(["--store", "store", "--output", "out", "-l", "lib"]);
    with_nine(plain).refused("descriptors");
    with_nine(hostile.lifted_command(&["descriptors"])).succeeded("descriptors");
    hostile.forget_lifted();
}

fn kill(pids: &[i32]) {
    for pid in pids {
        let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
    }
}

/// The files below a directory whose names begin with `late`.
fn late(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("late") {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(late(&entry.path()));
        }
    }
    found
}

#[test]
fn items_11_and_16_nothing_survives_its_stage() {
    let Some(hostile) = Hostile::new("daemons") else {
        return;
    };
    hostile.build("survive", &json!({}), &[]).expect(0);
    assert_eq!(processes("org.hostile.survive"), Vec::<i32>::new());
    hostile
        .env
        .osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // with processes that are the host's it lives on, and writes into what was committed
    let manifest = tree_of(json!([hostile.stage("survive", &json!({}))]));
    hostile.lifted(&["processes"], &manifest, &[]).expect(0);
    let left = processes("org.hostile.survive");
    let objects = hostile.env.path("lifted/objects");
    let committed = late(&objects);
    let end = Instant::now() + Duration::from_secs(20);
    while late(&objects) == committed && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let written = late(&objects) != committed;
    kill(&left);
    assert!(!left.is_empty() && written, "{left:?} {committed:?}");
    assert!(ends_soon(&left));
    hostile.forget_lifted();
}

fn ends_soon(pids: &[i32]) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if !pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn item_12_and_23_sockets_of_the_host_are_not_there() {
    let Some(hostile) = Hostile::new("sockets of the host") else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("osbuild-hostile-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
    let _abstract = UnixListener::bind_addr(&address.unwrap()).unwrap();
    let targets = json!({"port": listener.local_addr().unwrap().port(), "abstract": name});
    hostile.refused("sockets", &targets, &["network"]);
}

#[test]
fn item_12_a_stage_hands_nothing_to_the_next_one() {
    let Some(hostile) = Hostile::new("sockets between stages") else {
        return;
    };
    let name = format!("osbuild-hostile-rendezvous-{}", std::process::id());
    let stage = |first: bool| hostile.stage("rendezvous", &json!({"first": first, "name": name}));
    let manifest = tree_of(json!([stage(true), stage(false)]));
    let second = |document: &Value| Said::of(document["log"]["tree"][1]["output"].as_str().unwrap());
    let run = hostile.run(&manifest, &["--json"]).expect(0);
    second(&run.json()).refused("rendezvous");
    let without = |defences: &[&str]| {
        let run = hostile.lifted(defences, &manifest, &["--json"]).expect(0);
        let left = processes("org.hostile.rendezvous");
        kill(&left);
        assert!(ends_soon(&left));
        hostile.forget_lifted();
        second(&run.json())
    };
    without(&["processes", "network"]).succeeded("rendezvous");
    without(&["processes"]).refused("rendezvous");
    without(&["network"]).refused("rendezvous");
}

#[test]
fn item_14_no_input_is_pretended_on_a_terminal() {
    let Some(hostile) = Hostile::new("terminals") else {
        return;
    };
    hostile.refused("terminal", &json!({}), &["filter"]);
}

#[test]
fn item_14_escape_sequences_do_not_reach_the_terminal_with_a_failure() {
    let Some(hostile) = Hostile::new("escape sequences") else {
        return;
    };
    let run = hostile.build("escapes", &json!({}), &["--quiet"]).expect(1);
    assert!(
        run.stderr.contains("GOT red") && !run.stderr.contains('\x1b'),
        "{run}"
    );
    let manifest = tree_of(json!([hostile.stage("escapes", &json!({}))]));
    let control = hostile.lifted(&["tame"], &manifest, &["--quiet"]).expect(1);
    assert!(
        control.stderr.contains("\x1b]0;owned") && control.stderr.contains("GOT red"),
        "{control}"
    );
    hostile.forget_lifted();
}

/// Whether the process stands still.
fn is_stopped(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}

#[test]
fn item_17_a_stage_that_stops_itself_is_over_its_time() {
    let Some(hostile) = Hostile::new("stopped stages") else {
        return;
    };
    let run = hostile
        .build("stop_itself", &json!({}), &["--stage-timeout", "2"])
        .expect(1);
    run.says(&["stopped: over its limit of 2 s"]);
    assert_eq!(processes("org.hostile.stop_itself"), Vec::<i32>::new());
    // without a limit it stands still for good
    let manifest = tree_of(json!([hostile.stage("stop_itself", &json!({}))]));
    let path = hostile.env.write("manifest.json", manifest.to_string());
    let mut command = hostile.env.command(hostile.env.binaries().osbuild());
    command
        .args(["--store", "store", "--output", "out", "-l", "lib"])
        .arg(path);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + LIMIT;
    while !processes("org.hostile.stop_itself").into_iter().any(is_stopped) {
        assert!(Instant::now() < end, "the stage never stopped itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = ends_within(&child, Duration::from_secs(3));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!ended);
    // what the killed one left the next one removes
    hostile.run(&tree_of(json!([])), &[]).expect(0);
    hostile.env.osbuild(["store", "gc", "--store", "store"]).expect(0);
}
