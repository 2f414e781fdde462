//! Processes, descriptors, terminals; how much of the machine they take.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::ends_within;

use super::host::processes;
use super::{Hostile, Said};

#[test]
fn item_9_our_executables_cannot_be_opened() {
    let Some(hostile) = Hostile::new("our executables") else {
        return;
    };
    let copy = hostile.env.write("copy", "x");
    hostile.refused("own_executable", &json!({}), &json!({"executable": copy}));
}

#[test]
fn items_9_and_13_the_first_process_is_out_of_reach() {
    let Some(hostile) = Hostile::new("the first process") else {
        return;
    };
    let mut child = sleeper();
    hostile.refused("first_process", &json!({}), &json!({"pid": child.id()}));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn sleeper() -> Child {
    std::process::Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn item_10_no_descriptor_is_handed_down() {
    let Some(hostile) = Hostile::new("descriptors") else {
        return;
    };
    let said = hostile.said("descriptors", &json!({}));
    // the module's own listing of the directory aside, which is closed again before it is looked at
    assert!(said.got.is_empty(), "{said:?}");
    let mut command = hostile.env.command("sh");
    let python = format!(
        "exec 9< / && exec python3 {}",
        hostile.env.path("attempts.py").display()
    );
    command.args(["-c", &format!("{python} descriptors '{{}}'")]);
    let control = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert!(control.stdout.contains("GOT a descriptor"), "{control}");
}

#[test]
fn items_11_and_16_nothing_survives_its_stage() {
    let Some(hostile) = Hostile::new("daemons") else {
        return;
    };
    hostile.build("survive", &json!({}), &[]).expect(0);
    assert_eq!(processes("org.hostile.survive"), Vec::<i32>::new());
    assert!(!hostile.env.out().join("late").exists());
    hostile
        .env
        .osbuild(["store", "fsck", "--deep", "--store", "store"])
        .expect(0);
    // outside of a box it lives on, and writes
    let tree = hostile.env.path("control-tree");
    fs::create_dir(&tree).unwrap();
    let run = hostile
        .control_command("survive", &json!({"tree": tree}))
        .status()
        .unwrap();
    assert!(run.success());
    let word = tree.display().to_string();
    let left = processes(&word);
    std::thread::sleep(Duration::from_secs(3));
    for pid in &left {
        let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
    }
    assert!(!left.is_empty() && tree.join("late").exists());
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
    hostile.refused("sockets", &targets, &targets);
}

#[test]
fn item_13_processes_of_the_host_get_no_signal() {
    let Some(hostile) = Hostile::new("signals") else {
        return;
    };
    let mut child = sleeper();
    let targets = json!({"pids": [child.id(), std::process::id()]});
    hostile.refused("signals", &targets, &targets);
    // to all: nobody but the stage itself is hit
    let run = hostile.build("kill_all", &json!({}), &[]);
    assert!(run.code == 0 || run.code == 1, "{run}");
    assert!(
        child.try_wait().unwrap().is_none(),
        "the host's process was killed"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // in a process namespace with a victim the same code hits it
    let mut command = hostile.env.command("unshare");
    let script =
        "sleep 600 & victim=$!; setsid python3 attempts.py kill_all '{}' & wait $victim; echo victim $?";
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", script]);
    let control = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert!(control.stdout.contains("victim 1"), "{control}");
}

#[test]
fn item_14_no_input_is_pretended_on_a_terminal() {
    let Some(hostile) = Hostile::new("terminals") else {
        return;
    };
    hostile.refused("terminal", &json!({}), &json!({}));
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
    let mut command = hostile.control_command("escapes", &json!({}));
    let control = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert!(control.stdout.contains('\x1b'));
}

/// An attempt that a limit stops, with this message, and that succeeds without the limit.
fn limited(attempt: &str, targets: &Value, limit: &[&str], message: &str) {
    let Some(hostile) = Hostile::new(attempt) else {
        return;
    };
    let run = hostile.build(attempt, targets, limit).expect(1).says(&[message]);
    assert!(Said::of(&run.stdout).got.is_empty(), "{run}");
    assert_eq!(processes(&format!("org.hostile.{attempt}")), Vec::<i32>::new());
    let said = hostile.said(attempt, targets);
    assert!(!said.got.is_empty(), "without the limit it succeeds: {said:?}");
}

#[test]
fn item_15_a_fork_bomb_is_stopped() {
    let limit = ["--pids-limit", "60"];
    let message = "over the limit of 60 processes (`--pids-limit`)";
    limited("fork_bomb", &json!({"count": 200}), &limit, message);
}

#[test]
fn item_15b_a_memory_bomb_is_stopped() {
    let limit = ["--memory-limit", "128MiB"];
    let message = "over the memory limit of 128 MiB (`--memory-limit`)";
    limited("memory_bomb", &json!({"mebibytes": 400}), &limit, message);
}

#[test]
fn item_15c_files_in_memory_count() {
    let limit = ["--memory-limit", "128MiB"];
    let message = "over the memory limit of 128 MiB (`--memory-limit`)";
    limited(
        "fill_memory_file_system",
        &json!({"mebibytes": 300}),
        &limit,
        message,
    );
}

#[test]
fn item_15c_file_systems_in_memory_are_sized() {
    let Some(hostile) = Hostile::new("sizes of memory file systems") else {
        return;
    };
    let said = hostile.said("size_of_memory_file_systems", &json!({}));
    assert!(said.got.is_empty() && !said.not.is_empty(), "{said:?}");
    // as the kernel makes them each has half of the memory
    let script = "for i in 1 2 3; do mkdir -p scratch/$i; mount -t tmpfs t scratch/$i; done; \
                  exec python3 attempts.py size_of_memory_file_systems '{\"places\": [\"scratch/1\", \"scratch/2\", \"scratch/3\"]}'";
    let mut command = hostile.env.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
    let control = tests::run(&mut command, b"", Duration::from_secs(30)).expect(0);
    assert_eq!(control.stdout, "GOT more than there is\n", "{control}");
}

#[test]
fn item_15d_inodes_in_memory_count() {
    let limit = ["--memory-limit", "64MiB"];
    let message = "over the memory limit of 64 MiB (`--memory-limit`)";
    limited("inodes", &json!({"count": 150_000}), &limit, message);
}

#[test]
fn item_15e_endless_output_does_not_fill_the_disk() {
    let Some(hostile) = Hostile::new("endless output") else {
        return;
    };
    let mebibytes = 90;
    let targets = json!({"mebibytes": mebibytes});
    let run = hostile.build("endless", &targets, &["--json"]).expect(0);
    assert!(
        run.stdout.len() < 16 << 20,
        "the document has {} bytes",
        run.stdout.len()
    );
    let logs: Vec<_> = fs::read_dir(hostile.env.store().join("logs"))
        .unwrap()
        .flatten()
        .collect();
    let [log] = &logs[..] else { panic!("{logs:?}") };
    let text = fs::read_to_string(log.path()).unwrap();
    assert!(text.len() < 64 << 20, "the log has {} bytes", text.len());
    assert!(text.contains("bytes of output were left out here]") && text.ends_with("GOT it all out\n"));
    let mut command = hostile.control_command("endless", &targets);
    let control = tests::run(&mut command, b"", Duration::from_secs(60)).expect(0);
    assert!(control.stdout.len() > mebibytes << 20);
}

#[test]
fn item_17_a_stage_that_stops_itself_is_over_its_time() {
    let Some(hostile) = Hostile::new("stopped stages") else {
        return;
    };
    let run = hostile
        .build("stop_itself", &json!({}), &["--stage-timeout", "2"])
        .expect(1);
    let run = run.says(&["stopped: over its limit of 2 s"]);
    assert!(run.time < Duration::from_secs(60));
    assert_eq!(processes("org.hostile.stop_itself"), Vec::<i32>::new());
    // without a limit it does not end
    let mut command = hostile.control_command("stop_itself", &json!({}));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    assert!(!ends_within(&child, Duration::from_secs(3)));
    child.kill().unwrap();
    child.wait().unwrap();
}
