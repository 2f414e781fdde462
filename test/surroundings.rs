//! Whatever starts the commands: one that ignores the ends of its children, a reader that goes away, a terminal, a kill.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tests::manifests::tree_of;
use tests::{Httpd, Reply, TestEnv, ends_within, need, run};

const LIMIT: Duration = Duration::from_secs(120);

fn two_stages() -> String {
    tree_of(json!([
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}},
        {"type": "org.osbuild.hostname", "options": {"hostname": "here"}},
    ]))
    .to_string()
}

/// The words that have packages resolved from a repository of `server`.
fn resolve(server: &Httpd) -> Vec<String> {
    let repository = format!("{},suite=bookworm,component=main", server.url("/debian"));
    let words = [
        "manifest",
        "--type",
        "tar",
        "--distro",
        "debian-12",
        "--cache",
        "cache",
        "--repo",
    ];
    words
        .into_iter()
        .chain([&*repository])
        .map(str::to_owned)
        .collect()
}

#[test]
fn who_ignores_the_ends_of_children_may_start_us() {
    if !need::root("building") || !need::tools(&["python3"], "an ignored SIGCHLD") {
        return;
    }
    let env = TestEnv::new();
    env.write("manifest.json", two_stages());
    let ignoring = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execvp(sys.argv[1], sys.argv[1:])";
    let mut command = env.command("python3");
    command.args(["-c", ignoring]).arg(env.binaries().osbuild());
    command.args(["--store", "store", "-o", "out", "--json", "manifest.json"]);
    let run_ = run(&mut command, b"", LIMIT).expect(0);
    assert_eq!(run_.json()["success"], true);
    // the solver of packages is a child too: that it fails is told, rather than that its end is not known
    if !need::tools(&["apt-get"], "a solver with an ignored SIGCHLD") {
        return;
    }
    let server = Httpd::serve([]);
    let mut command = env.command("python3");
    command.args(["-c", ignoring]).arg(env.binaries().image_builder());
    command.args(resolve(&server));
    let failed = run(&mut command, b"", LIMIT);
    assert!(
        failed.stderr.contains("cannot fetch the package lists"),
        "{failed}"
    );
}

/// Runs a command whose stdout and stderr nobody reads.
fn unread(mut command: Command) -> i32 {
    let (reader, writer) = std::io::pipe().unwrap();
    let other = writer.try_clone().unwrap();
    drop(reader);
    command.stdin(Stdio::null()).stdout(writer).stderr(other);
    let mut child = command.spawn().unwrap();
    drop(command);
    assert!(ends_within(&child, LIMIT));
    child.wait().unwrap().code().unwrap_or(-1)
}

#[test]
fn a_reader_that_goes_away_is_no_failure_of_ours() {
    let env = TestEnv::new();
    let of = |program: &Path, args: &[&str]| {
        let mut command = env.command(program);
        command.args(args);
        unread(command)
    };
    let osbuild = env.binaries().osbuild();
    for args in [&["--help"][..], &["modules"], &["store", "--help"]] {
        assert_eq!(of(&osbuild, args), 0, "{args:?}");
    }
    assert_eq!(of(&osbuild, &["store", "ls"]), 2);
    assert_eq!(of(&osbuild, &["no-such-manifest"]), 1);
    // a panic would be 101
    let image_builder = env.binaries().image_builder();
    assert_eq!(of(&image_builder, &["list"]), 0);
    assert_eq!(of(&image_builder, &["resolve", "no-such-pipeline"]), 2);
    if need::tools(&["apt-get"], "progress that nobody reads") {
        let server = Httpd::serve([]);
        let args = resolve(&server);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(of(&image_builder, &args), 1);
    }
}

/// Runs the rest of its arguments on a terminal of their own, types Ctrl-C and Ctrl-\ once there is a prompt, then what makes
/// the shell end well; ends as they do.
const TYPIST: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def wait_for(text):
    global seen
    while text not in seen:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            piece = b""
        if not piece:
            sys.exit("it ended early: " + seen.decode(errors="replace"))
        seen += piece
    seen = seen[seen.index(text) + len(text):]
# the words are put together by the shell: what the terminal echoes is not taken for its answer
os.write(terminal, b"echo in'si'de\n")
wait_for(b"inside")
os.write(terminal, b"\x03\x1c")
os.write(terminal, b"echo still' 'here; touch /run/osbuild/tree/etc/typed\n")
wait_for(b"still here")
os.write(terminal, b"exit 0\n")
while True:
    try:
        if not os.read(terminal, 4096):
            break
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
"#;

#[test]
fn ctrl_c_in_a_shell_is_for_the_shell() {
    if !need::root("a shell in a box") || !need::tools(&["python3", "bash"], "a shell on a terminal") {
        return;
    }
    let env = TestEnv::new();
    env.write("manifest.json", two_stages());
    let mut command = env.command("python3");
    command.args(["-c", TYPIST]).arg(env.binaries().osbuild());
    command.args([
        "--store",
        "store",
        "-o",
        "out",
        "manifest.json",
        "--break",
        "org.osbuild.hostname",
    ]);
    run(&mut command, b"", LIMIT).expect(0);
    assert_eq!(
        fs::read_to_string(env.out().join("etc/hostname")).unwrap(),
        "here\n"
    );
    assert!(env.out().join("etc/typed").exists());
}

#[test]
fn an_image_builder_that_is_killed_leaves_nothing_beside_its_cache() {
    if !need::tools(&["apt-get"], "resolving packages") {
        return;
    }
    let env = TestEnv::new();
    let server = Httpd::serve([]);
    for name in ["InRelease", "Release"] {
        server.set(&format!("/debian/dists/bookworm/{name}"), Reply::Silence);
    }
    let resolving = || {
        let mut command = env.command(env.binaries().image_builder());
        command.args(resolve(&server));
        command
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    for signal in [Signal::KILL, Signal::INT] {
        let mut child = resolving();
        server.next_request(LIMIT);
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
    }
    assert_eq!(fs::read_dir(env.path("tmp")).unwrap().count(), 0);
    let left = || -> Vec<String> {
        let list = fs::read_dir(env.path("cache/apt")).unwrap();
        let names = list.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".run")).collect()
    };
    assert!(left().len() <= 1, "they do not add up: {:?}", left());
    // the next run clears it away
    server.set("/debian/dists/bookworm/InRelease", Reply::Status(404));
    server.set("/debian/dists/bookworm/Release", Reply::Status(404));
    let mut child = resolving();
    assert!(ends_within(&child, LIMIT));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left(), Vec::<String>::new());
}
