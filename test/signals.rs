//! An interrupted build ends at once, with the exit code of the signal; nothing of it is left, and the store is good.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tests::manifests::{fetching, sha256, tree_of};
use tests::qemu::Console;
use tests::{Httpd, Reply, TestEnv, ends_within, need};

use crate::gate::Gate;

/// What is said to happen at once takes no longer, not even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);
/// How long something may take to begin.
const BEGIN: Duration = Duration::from_secs(120);

const BOTH: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// A build that runs.
struct Build {
    child: Child,
    /// What it prints.
    console: Console,
}

impl Build {
    /// Begins to build a manifest, with `lib` as library directory, in a process group of its own as a terminal does.
    fn start(env: &TestEnv, manifest: &Value) -> Self {
        fs::create_dir_all(env.path("lib")).unwrap();
        let mut this = Self::waiting(env);
        let input = this.child.stdin.take();
        input.unwrap().write_all(manifest.to_string().as_bytes()).unwrap();
        this
    }

    /// One that still waits for its manifest.
    fn waiting(env: &TestEnv) -> Self {
        let mut command = env.build_command();
        command.args(["--libdir", "lib"]).process_group(0);
        command.env("PATH", path(env));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
        Self { child, console }
    }

    /// Sends a signal, as Ctrl-C does to all processes of the group.
    fn signal(&self, signal: Signal) {
        let group = Pid::from_child(&self.child);
        kill_process_group(group, signal).unwrap();
    }

    /// Sends a signal and expects the end with this code.
    #[track_caller]
    fn ended_by(mut self, signal: Signal, code: i32) {
        let start = Instant::now();
        self.signal(signal);
        let ended = ends_within(&self.child, AT_ONCE);
        if !ended {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        assert!(
            ended,
            "{signal:?} did not end it; it printed\n{}",
            self.console.transcript()
        );
        assert_eq!(status.code(), Some(code), "{}", self.console.transcript());
        println!("{signal:?}: ended after {:?}", start.elapsed());
    }
}

/// Where tools are looked for: those of the test come first.
fn path(env: &TestEnv) -> String {
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", env.path("lib/bin").display())
}

/// Nothing runs, is mounted, is unfinished; nothing was handed out; no stage counts as done.
#[track_caller]
fn nothing_is_left(env: &TestEnv) {
    assert_eq!(env.left_behind(), Vec::<String>::new());
    let inside = |dir: &str| match fs::read_dir(env.path(dir)) {
        // what has come of a download is kept apart, to go on from there
        Ok(list) => list
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".partial")
            .collect(),
        Err(_) => Vec::new(),
    };
    for dir in ["out", "store/refs", "store/sources/org.osbuild.files"] {
        assert_eq!(inside(dir), Vec::<std::ffi::OsString>::new(), "{dir}");
    }
}

#[test]
fn while_it_waits_for_its_manifest() {
    let env = TestEnv::new();
    for (signal, code) in BOTH {
        let build = Build::waiting(&env);
        let status = format!("/proc/{}/status", build.child.id());
        let bit = 1 << (signal.as_raw() - 1);
        let end = Instant::now() + BEGIN;
        // it listens, as the kernel says, before it reads
        loop {
            let text = fs::read_to_string(&status).unwrap();
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
            if u64::from_str_radix(caught.unwrap_or_default(), 16).unwrap_or(0) & bit != 0 {
                break;
            }
            assert!(Instant::now() < end, "it does not listen to signals");
            std::thread::yield_now();
        }
        build.ended_by(signal, code);
    }
}

#[test]
fn during_a_download() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let content = vec![7; 1 << 20];
    let server = Httpd::serve([]);
    let checksum = sha256(&content);
    let manifest = fetching(
        "org.osbuild.curl",
        vec![(checksum, json!({"url": server.url("/file")}))],
    );
    let replies = [Reply::Silence, Reply::Stall(content.clone(), 300_000)];
    for (reply, (signal, code)) in replies.into_iter().zip(BOTH) {
        server.set("/file", reply);
        let build = Build::start(&env, &manifest);
        server.next_request(BEGIN);
        build.ended_by(signal, code);
        nothing_is_left(&env);
    }
    server.set("/file", Reply::Content(content.clone()));
    env.build(&manifest, &[]).expect(0);
    assert_eq!(fs::read(env.out().join("0")).unwrap(), content);
}

#[test]
fn during_a_stage_that_ignores_them() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    env.stage(
        "org.test.deaf",
        &format!(
            "set -e; trap '' INT TERM HUP\nsetsid sleep 600 &\necho half > /run/osbuild/tree/half\n\
             {}\necho whole > /run/osbuild/tree/half",
            Gate::SCRIPT
        ),
    );
    let manifest = tree_of(json!([{"type": "org.test.deaf"}]));
    for (signal, code) in BOTH {
        let build = Build::start(&env, &manifest);
        gate.reached();
        build.ended_by(signal, code);
        nothing_is_left(&env);
    }
    gate.open();
    // what the stage leaves running does not keep it from its end
    env.build(&manifest, &["-l", "lib"]).expect(0);
    assert_eq!(fs::read_to_string(env.out().join("half")).unwrap(), "whole\n");
}

#[test]
fn while_another_one_builds_the_stage() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    env.stage(
        "org.test.slow",
        &format!("{}\necho > /run/osbuild/tree/file", Gate::SCRIPT),
    );
    let manifest = tree_of(json!([{"type": "org.test.slow"}]));
    let mut first = Build::start(&env, &manifest);
    gate.reached();
    for (signal, code) in BOTH {
        let mut second = Build::start(&env, &manifest);
        second.console.wait_for(&["starting"], BEGIN).unwrap();
        second.ended_by(signal, code);
    }
    gate.open();
    assert!(
        first.child.wait().unwrap().success(),
        "{}",
        first.console.transcript()
    );
    assert!(env.out().join("file").exists());
}

/// A stage that makes so many files that what follows takes a while.
fn many_files(env: &TestEnv) -> Value {
    let script = "cd /run/osbuild/tree; head -c 8000000 /dev/zero | split -a 5 -b 1000 - file-";
    env.stage("org.test.many", &format!("set -e; {script}\n{}", Gate::TELL));
    tree_of(json!([{"type": "org.test.many"}]))
}

#[test]
fn during_the_commit_of_a_tree() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    let manifest = many_files(&env);
    for (signal, code) in BOTH {
        let build = Build::start(&env, &manifest);
        gate.reached();
        build.ended_by(signal, code);
        assert_eq!(env.left_behind(), Vec::<String>::new());
        assert_eq!(fs::read_dir(env.out()).unwrap().count(), 0);
    }
    env.build(&manifest, &["-l", "lib"]).expect(0);
    assert_eq!(fs::read_dir(env.out()).unwrap().count(), 8_000);
}

/// A stage that leaves more than can be waited for: holes, in files too small for their pieces to be passed over.
fn endless(env: &TestEnv) -> Value {
    let script = "seq -f /run/osbuild/tree/%g 20000 | xargs truncate -s 60M";
    env.stage("org.test.endless", &format!("set -e; {script}\n{}", Gate::TELL));
    tree_of(json!([{"type": "org.test.endless"}]))
}

#[test]
fn while_a_tree_without_end_is_read() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    let manifest = endless(&env);
    for (signal, code) in BOTH {
        let build = Build::start(&env, &manifest);
        gate.reached();
        build.ended_by(signal, code);
        nothing_is_left(&env);
    }
}

#[test]
fn reading_the_tree_is_part_of_the_time_of_a_stage() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    let manifest = endless(&env);
    let limit = ["-l", "lib", "--stage-timeout", "15"];
    let run = env.build(&manifest, &limit).expect(1);
    // the stage itself was done
    gate.reached();
    run.says(&["(stopped: over its limit of 15 s)"]);
    nothing_is_left(&env);
    env.build(&tree_of(json!([{"type": "org.osbuild.noop"}])), &["-l", "lib"])
        .expect(0);
}

#[test]
fn during_the_export_of_a_tree() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let _gate = Gate::new(&env);
    let manifest = many_files(&env);
    fs::create_dir(env.out()).unwrap();
    for (signal, code) in BOTH {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&events, env.out(), inotify::WatchFlags::CREATE).unwrap();
        let build = Build::start(&env, &manifest);
        let mut fds = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(BEGIN).unwrap();
        assert_eq!(
            rustix::event::poll(&mut fds, Some(&limit)).unwrap(),
            1,
            "nothing is handed out"
        );
        build.ended_by(signal, code);
        assert_eq!(env.left_behind(), Vec::<String>::new());
        assert_eq!(
            fs::read_dir(env.out()).unwrap().count(),
            0,
            "it is handed out as a whole or not at all"
        );
    }
    let run = env.build(&manifest, &["-l", "lib", "--json"]).expect(0);
    assert_eq!(run.json()["log"], json!({}), "the tree itself was done");
    assert_eq!(fs::read_dir(env.out()).unwrap().count(), 8_000);
}

#[test]
fn who_is_killed_leaves_no_process_and_the_next_one_cleans_up() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    let script = "set -e; echo 1 > /run/osbuild/tree/file; setsid sleep 600 &\n";
    env.stage("org.test.held", &format!("{script}{}", Gate::SCRIPT));
    let manifest = tree_of(json!([{"type": "org.test.held"}]));
    let mut build = Build::start(&env, &manifest);
    gate.reached();
    build.child.kill().unwrap();
    build.child.wait().unwrap();
    assert_eq!(tests::left_behind(&env.path("store")), Vec::<String>::new());
    assert_ne!(
        fs::read_dir(env.path("store/tmp")).unwrap().count(),
        0,
        "nobody has cleaned up"
    );
    gate.open();
    env.build(&manifest, &["-l", "lib"]).expect(0);
    assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(env.out().join("file")).unwrap(), "1\n");
}

/// A `cryptsetup` that keeps a file for each mapping, and waits at the gate in the step that is written in `lib/step`.
fn stand_in_mapper(env: &TestEnv) {
    let lib = env.path("lib");
    let script = format!(
        "cd {}; if [ \"$2\" = \"$(cat step)\" ]; then echo > ready; read _ < go; fi\n\
         case $2 in open) touch \"mapped/$4\";; close) rm \"mapped/$3\";; esac",
        lib.display()
    );
    env.module("bin", "cryptsetup", &script);
    env.module("bin", "dmsetup", "echo 253:0");
    fs::create_dir(lib.join("mapped")).unwrap();
}

/// What the machine would keep when we are gone.
#[test]
fn while_an_encrypted_device_is_opened_or_closed() {
    let what = "an encrypted device";
    if !need::root(what) {
        return;
    }
    // no mapping is made, but without any kernel of the kind none is tried
    if !std::path::Path::new("/dev/mapper/control").exists() {
        eprintln!("skipped, as there is no device mapper: {what}");
        return;
    }
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    stand_in_mapper(&env);
    env.stage("org.test.looks", "test -b /dev/mapper/osbuild-luks-*");
    let manifest = tree_of(json!([
        {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "1M"}},
        {"type": "org.test.looks", "devices": {
            "part": {"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}},
            "inner": {"type": "org.osbuild.luks2", "parent": "part", "options": {"passphrase": "secret"}},
        }},
    ]));
    for (step, (signal, code)) in ["close", "open"].into_iter().zip(BOTH) {
        fs::write(env.path("lib/step"), step).unwrap();
        let mut build = Build::start(&env, &manifest);
        gate.reached();
        match signal {
            // as a service manager or `kill` does
            Signal::TERM => kill_process(Pid::from_child(&build.child), signal).unwrap(),
            _ => build.signal(signal),
        }
        // longer than what holds no device has to end
        let ended = ends_within(&build.child, Duration::from_secs(2));
        gate.open();
        let status = build.child.wait().unwrap();
        assert!(!ended, "{step}: {}", build.console.transcript());
        assert_eq!(status.code(), Some(code), "{}", build.console.transcript());
        assert_eq!(env.left_behind(), Vec::<String>::new());
        assert_eq!(fs::read_dir(env.path("lib/mapped")).unwrap().count(), 0, "{step}");
    }
}

/// What resolves packages is ended too: it would go on fetching, and keep the next one waiting for its locks.
#[test]
fn while_packages_are_resolved() {
    let env = TestEnv::new();
    let mut gate = Gate::new(&env);
    let ready = env.path("lib/ready");
    // as apt does while it checks a signature
    let script = format!(
        "case $1 in dump) exit;; esac; touch \"$TMPDIR/apt.sig\"; echo > {}; exec sleep 1000",
        ready.display()
    );
    env.module("bin", "apt-get", &script);
    env.module("bin", "apt-config", "exit 0");
    for (signal, code) in BOTH {
        let mut command = env.command(env.binaries().image_builder());
        command
            .env("PATH", path(&env))
            .env("XDG_CACHE_HOME", env.path("cache"));
        command.args(["manifest", "--distro", "debian-12", "--type", "tar"]);
        command.args(["--repo", "http://localhost/debian,trusted=yes"]);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let console = Console::new(child.stdout.take().unwrap(), std::io::sink(), false);
        gate.reached();
        Build { child, console }.ended_by(signal, code);
        nothing_is_left(&env);
        let kept = fs::read_dir(env.path("cache/image-builder/apt")).unwrap();
        let kept = kept.map(|entry| entry.unwrap().path());
        let runs: Vec<_> = kept
            .filter(|path| path.extension().is_some_and(|end| end == "run"))
            .collect();
        assert_eq!(runs, Vec::<std::path::PathBuf>::new());
    }
}
