//! Real boxes, made as root; skipped with a word otherwise.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sandbox::*;

fn run(script: &str, mounts: Vec<Mount>) -> Option<(Ended, String)> {
    run_in(script, mounts, None)
}

fn run_in(script: &str, mounts: Vec<Mount>, group: Option<&Group>) -> Option<(Ended, String)> {
    if !is_root() {
        return None;
    }
    let scaffold = tempfile::tempdir().unwrap();
    let (plan, (read, write)) = (plan(script, mounts, scaffold.path()), pipe());
    let users = UserNamespace::new().unwrap();
    let running = start_in(plan, &users, write, group).unwrap();
    Some(outcome(running, read))
}

fn is_root() -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        println!("skipped: a box with id-mapped layers needs root");
    }
    is_root
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

fn outcome(running: Running, output: OwnedFd) -> (Ended, String) {
    let mut text = String::new();
    std::fs::File::from(output).read_to_string(&mut text).unwrap();
    (running.wait().unwrap(), text)
}

fn plan(script: &str, mounts: Vec<Mount>, scaffold: &Path) -> Plan {
    let mut all = Plan::skeleton();
    all.push(Mount::Bind {
        source: Source::at("/usr"),
        target: "/usr".into(),
        writable: false,
        idmap: Idmap::Wanted,
    });
    let common = all.len();
    all.extend(mounts);
    Plan {
        scaffold: scaffold.to_owned(),
        mounts: all,
        common,
        hostname: "box".into(),
        capabilities: DEFAULT_CAPABILITIES.to_vec(),
        sockets: true,
        guards: Guards::default(),
        command: Command {
            program: "/usr/bin/sh".into(),
            args: ["sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin".into())],
            stdin: None,
        },
    }
}

fn tree(lower: &[&Path], changes: Option<&Path>) -> Mount {
    let layers = Layers {
        lower: lower.iter().map(|p| p.to_path_buf()).collect(),
        changes: changes.map(Path::to_path_buf),
        ..Layers::default()
    };
    Mount::Tree {
        layers,
        target: "/run/osbuild/tree".into(),
    }
}

fn changes() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["upper", "work"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

#[test]
fn the_module_is_root_of_its_own_and_nobody_outside() {
    let script = "id -u; id -g; cat /proc/self/uid_map; hostname; ls /; exit 7";
    let Some((ended, text)) = run(script, vec![]) else {
        return;
    };
    assert_eq!(ended, Ended::Exited(7), "{text}");
    assert!(text.starts_with("0\n0\n"), "{text}");
    assert!(text.contains("2000000000"), "{text}");
    assert!(text.contains("box\n"), "{text}");
    assert!(
        text.contains("\nbin\ndev\netc\nlib\nlib64\nproc\nrun\nsbin\nsys\ntmp\nusr\n"),
        "{text}"
    );
}

#[test]
fn changes_land_on_disk_with_true_owners() {
    use std::os::unix::fs::MetadataExt;
    let lower = tempfile::tempdir().unwrap();
    std::fs::create_dir(lower.path().join("old")).unwrap();
    std::fs::write(lower.path().join("old/file"), "x").unwrap();
    let (_keep, dir) = changes();
    let script = "cd /run/osbuild/tree && stat -c %u old/file && mv old new && touch f && chown 33:44 f && chmod 4755 f \
        && rm new/file && mkdir d && ls";
    let Some((ended, text)) = run(script, vec![tree(&[lower.path()], Some(&dir))]) else {
        return;
    };
    assert_eq!((ended, text.as_str()), (Ended::Exited(0), "0\nd\nf\nnew\n"));
    let st = std::fs::metadata(dir.join("upper/f")).unwrap();
    assert_eq!((st.uid(), st.gid(), st.mode() & 0o7777), (33, 44, 0o4755));
    assert_eq!(std::fs::metadata(dir.join("upper/d")).unwrap().uid(), 0);
    assert!(lower.path().join("old/file").exists());
}

#[test]
fn a_first_stage_has_an_empty_tree() {
    let (_keep, dir) = changes();
    let Some((ended, text)) = run(
        "cd /run/osbuild/tree && ls && echo hi > a",
        vec![tree(&[], Some(&dir))],
    ) else {
        return;
    };
    assert_eq!((ended, text.as_str()), (Ended::Exited(0), ""));
    assert_eq!(std::fs::read_to_string(dir.join("upper/a")).unwrap(), "hi\n");
}

#[test]
fn a_finished_tree_is_read_only() {
    let lower = tempfile::tempdir().unwrap();
    let Some((ended, _)) = run("touch /run/osbuild/tree/x", vec![tree(&[lower.path()], None)]) else {
        return;
    };
    assert_eq!(ended, Ended::Exited(1));
}

#[test]
fn kernel_switches_are_out_of_reach() {
    let script = "echo x > /proc/sys/kernel/core_pattern; mknod /tmp/n c 1 3; mount -t proc proc /tmp";
    let Some((_, text)) = run(script, vec![]) else {
        return;
    };
    assert!(
        text.contains("cannot create /proc/sys/kernel/core_pattern: Read-only file system"),
        "{text}"
    );
    assert!(text.contains("mknod: /tmp/n: Operation not permitted"), "{text}");
    assert!(text.contains("mount: /tmp: permission denied"), "{text}");
}

#[test]
fn a_killed_box_leaves_nothing() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some((ended, _)) = run("kill -9 $$", vec![]) else {
        return;
    };
    assert_eq!(ended, Ended::Killed(9));
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

#[test]
fn package_scripts_may_mount_in_their_own_namespace() {
    let (_keep, dir) = changes();
    let script = "cd /run/osbuild/tree && mkdir proc dev run && mount --rbind /proc proc && mount --rbind /dev dev && \
        mount -t tmpfs tmpfs run && ls dev/null proc/self/status";
    let Some((ended, text)) = run(script, vec![tree(&[], Some(&dir))]) else {
        return;
    };
    assert_eq!(ended, Ended::Exited(0), "{text}");
}

#[test]
fn calls_that_act_on_the_machine_are_filtered() {
    // unshare(1) of a user namespace, the keyring and the kernel's log, each by the tool that everybody has
    let script =
        "grep ^Seccomp: /proc/self/status; unshare -U true; echo user $?; dmesg >/dev/null; echo log $?";
    let Some((_, text)) = run(script, vec![]) else {
        return;
    };
    assert!(text.contains("Seccomp:\t2"), "{text}");
    assert!(text.contains("user 1") && text.contains("log 1"), "{text}");
}

#[test]
fn a_group_bounds_processes_and_memory() {
    let limits = Limits {
        memory: Some(64 << 20),
        processes: Some(20),
        cpus: Some(1.0),
    };
    let group = match Group::new(&limits) {
        Ok(group) => group,
        Err(error) => return println!("skipped: {error}"),
    };
    // forty sleeps cannot be started; then more memory is taken than there is
    let script = "for i in $(seq 40); do sleep 100 & done; echo forked";
    let Some((_, text)) = run_in(script, vec![], Some(&group)) else {
        return;
    };
    assert!(group.hits().processes > 0, "{text}");
    let script = "head -c 200000000 /dev/zero | tail";
    run_in(script, vec![], Some(&group));
    assert!(group.hits().memory > 0);
    drop(group);
}

/// The children of this thread.
fn children() -> Vec<String> {
    let path = format!(
        "/proc/self/task/{}/children",
        rustix::thread::gettid().as_raw_nonzero()
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

/// One that has begun a box while another one ran, which says `text`.
fn nursery_after(text: &str, scaffold: &Path, users: &UserNamespace) -> Nursery {
    let (read, write) = pipe();
    let script = format!("printf '{text}'");
    let mut nursery = Nursery::default();
    let own = plan(&script, vec![], scaffold);
    let first = start_from(Some(&mut nursery), own, users, write, None).unwrap();
    nursery.begin(true).unwrap();
    assert_eq!(outcome(first, read), (Ended::Exited(0), text.into()));
    nursery
}

#[test]
fn a_box_begun_beside_another_one_runs_what_it_is_told() {
    if !is_root() {
        return;
    }
    let users = UserNamespace::new().unwrap();
    let (scaffold, lower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(lower.path().join("file"), "of the second\n").unwrap();
    let mut nursery = nursery_after("first\n", scaffold.path(), &users);
    // the nursery, and the box that it has begun or is about to
    let begun = || Some(children()).filter(|children| children.len() == 2);
    let waiting = std::iter::from_fn(|| Some(begun())).flatten().next().unwrap();
    let (read, write) = pipe();
    let script = "cat /run/osbuild/tree/file; ls /proc | grep -c '^[0-9]'; touch /tmp/x; readlink /proc/self/fd/0; exit 3";
    let own = plan(script, vec![tree(&[lower.path()], None)], scaffold.path());
    let second = start_from(Some(&mut nursery), own, &users, write, None).unwrap();
    // no other process was made for it
    assert_eq!(children(), waiting);
    let (ended, text) = outcome(second, read);
    assert_eq!(ended, Ended::Exited(3), "{text}");
    assert!(
        text.starts_with("of the second\n") && text.ends_with("/dev/null\n"),
        "{text}"
    );
    drop(nursery);
    assert_eq!(children(), Vec::<String>::new());
}

#[test]
fn a_box_that_differs_from_the_one_begun_is_made_anew() {
    if !is_root() {
        return;
    }
    let users = UserNamespace::new().unwrap();
    let scaffold = tempfile::tempdir().unwrap();
    let mut nursery = nursery_after("", scaffold.path(), &users);
    let (read, write) = pipe();
    let mut other = plan("hostname", vec![], scaffold.path());
    other.hostname = "other".into();
    let second = start_from(Some(&mut nursery), other, &users, write, None).unwrap();
    assert_eq!(outcome(second, read), (Ended::Exited(0), "other\n".into()));
    drop(nursery);
    assert_eq!(children(), Vec::<String>::new());
}

#[test]
fn a_box_that_was_begun_for_nothing_is_gone() {
    if !is_root() {
        return;
    }
    let users = UserNamespace::new().unwrap();
    let scaffold = tempfile::tempdir().unwrap();
    drop(nursery_after("", scaffold.path(), &users));
    assert_eq!(children(), Vec::<String>::new());
}

/// Says which network namespace it is in and whether it gets a socket, and of the latter the errno where not.
const NETWORK: &str = r#"readlink /proc/self/ns/net; perl -MSocket -e '
    for (AF_UNIX, AF_INET, 16) { print socket(my $s, $_, SOCK_DGRAM, 0) ? "socket" : $!{EPERM} ? "EPERM" : $!, "\n" }
    print socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) ? "pair\n" : $!{EPERM} ? "EPERM\n" : "$!\n"'"#;

/// The network namespace of a box that `nursery` has begun for one kind and that is taken for another; the rest that it says.
fn network(nursery: &mut Nursery, begun_for: bool, plan: Plan, users: &UserNamespace) -> (String, String) {
    nursery.begin(begun_for).unwrap();
    let (read, write) = pipe();
    let running = start_from(Some(nursery), plan, users, write, None).unwrap();
    let (ended, text) = outcome(running, read);
    assert_eq!(ended, Ended::Exited(0), "{text}");
    let (namespace, rest) = text.split_once('\n').unwrap();
    (namespace.to_owned(), rest.to_owned())
}

#[test]
fn only_boxes_without_sockets_share_a_network_namespace() {
    if !is_root() {
        return;
    }
    let users = UserNamespace::new().unwrap();
    let scaffold = tempfile::tempdir().unwrap();
    let mut nursery = nursery_after("", scaffold.path(), &users);
    let box_with = |sockets: bool| Plan {
        sockets,
        ..plan(NETWORK, vec![], scaffold.path())
    };
    let unguarded = || Plan {
        guards: Guards {
            optional: vec![Guard::Seccomp],
            ..Guards::default()
        },
        ..box_with(false)
    };
    let (with, without) = ("socket\nsocket\nsocket\npair\n", "EPERM\n".repeat(4));
    // the one that was begun before
    let _ = network(&mut nursery, true, box_with(true), &users);
    let mut shared = Vec::new();
    let mut own = Vec::new();
    for begun_for in [true, false, true, false] {
        let (namespace, said) = network(&mut nursery, begun_for, box_with(true), &users);
        assert_eq!(said, with);
        own.push(namespace);
        let (namespace, said) = network(&mut nursery, begun_for, box_with(false), &users);
        assert_eq!(said, without);
        if begun_for { &mut own } else { &mut shared }.push(namespace);
    }
    // where the filter may be missing, nobody shares
    let mut other = nursery_after("", scaffold.path(), &users);
    own.extend([0; 3].map(|_| network(&mut other, false, unguarded(), &users).0));
    // the nurseries are still there: the numbers of their namespaces can be no other's
    let mut theirs: Vec<PathBuf> = children()
        .iter()
        .map(|pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap())
        .collect();
    theirs.push(std::fs::read_link("/proc/self/ns/net").unwrap());
    assert_eq!(Path::new(&shared[0]), theirs[0]);
    assert_eq!(shared[0], shared[1]);
    assert!(
        own.iter().all(|own| !theirs.contains(&own.into())),
        "{own:?}, {theirs:?}"
    );
}
