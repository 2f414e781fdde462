use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tree::Tree;

use super::*;

/// A tree with everything a commit can hold.
fn sample() -> (TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("usr/bin").unwrap();
    tree.mkdir("usr/empty", 0o1777).unwrap();
    tree.write("usr/bin/su", vec![7; 300_000]).unwrap();
    tree.chmod("usr/bin/su", 0o4755).unwrap();
    tree.write("usr/empty file", "").unwrap();
    tree.chown("usr/empty file", Some(1234), Some(55)).unwrap();
    tree.hard_link("usr/bin/su", "usr/zsu").unwrap();
    tree.symlink("../bin/su", "usr/bin/link").unwrap();
    for name in 0..40 {
        tree.write(format!("usr/f{name}"), format!("{name}")).unwrap();
    }
    tree.write("usr/ping", "p").unwrap();
    run(
        "setfattr",
        &["-n", "user.test", "-v", "value", path(&dir, "usr/ping").as_str()],
    );
    run(
        "setfattr",
        &["-n", "user.a", "-v", "first", path(&dir, "usr/empty").as_str()],
    );
    run("setcap", &["cap_net_raw=ep", path(&dir, "usr/ping").as_str()]);
    (dir, tree)
}

fn path(dir: &TempDir, path: &str) -> String {
    dir.path().join(path).to_str().unwrap().to_owned()
}

/// Runs a tool; `None` where it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(tool).args(args).output() else {
        println!("skipped: there is no {tool}");
        return None;
    };
    assert!(
        output.status.success(),
        "{tool} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

fn commit(mode: Mode, into: &TempDir, tree: &Tree) -> (Checksum, Checksum) {
    let repo = Repo::create_in(&Tree::open(into.path()).unwrap(), "repo", mode).unwrap();
    let root = repo.write_tree(tree, &Node::read(tree).unwrap()).unwrap();
    let commit = Commit {
        metadata: vec![
            ("version".into(), Entry::Text("1.2".into())),
            ("ostree.bootable".into(), Entry::Flag(true)),
            ("ostree.ref-binding".into(), Entry::List(vec!["os/x".into()])),
        ],
        parent: None,
        subject: "a subject".into(),
        body: String::new(),
        timestamp: 1_700_000_000,
    };
    let checksum = repo.write_commit(&commit, root).unwrap();
    repo.set_ref("os/x", checksum).unwrap();
    (checksum, root.0)
}

/// Whether this process may set owners and capabilities.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_objects_are_those_of_the_ostree_tool() {
    if !is_root() {
        println!("skipped: not root");
        return;
    }
    let (dir, tree) = sample();
    let out = tempfile::tempdir().unwrap();
    let (commit, root) = commit(Mode::Archive, &out, &tree);
    let ours = format!("--repo={}", path(&out, "repo"));
    let theirs = format!("--repo={}", path(&out, "theirs"));
    if run("ostree", &["init", "--mode=archive", &theirs]).is_none() {
        return;
    }
    let source = format!("--tree=dir={}", dir.path().display());
    run("ostree", &["commit", &theirs, "-b", "os/x", "-s", "", &source]);
    let root_line = |repo: &str| run("ostree", &["ls", "-d", "-C", repo, "os/x", "/"]).unwrap();
    assert_eq!(root_line(&ours), root_line(&theirs));
    assert!(root_line(&ours).contains(&root.to_string()));
    let listing = |repo: &str| run("ostree", &["ls", "-R", "-C", "-X", repo, "os/x"]).unwrap();
    assert_eq!(listing(&ours), listing(&theirs));
    run("ostree", &["fsck", &ours]);
    let rev = run("ostree", &["rev-parse", &ours, "os/x"]).unwrap();
    assert_eq!(rev.trim(), commit.to_string());
    let show = run("ostree", &["show", &ours, "os/x"]).unwrap();
    assert!(
        show.contains("a subject") && show.contains("Version: 1.2"),
        "{show}"
    );

    let checkout = path(&out, "checkout");
    run("ostree", &["checkout", &ours, "os/x", &checkout]);
    let su = fs::metadata(Path::new(&checkout).join("usr/bin/su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.len()), (0o4755, 300_000));
    if let Some(caps) = run("getcap", &[&format!("{checkout}/usr/ping")]) {
        assert!(caps.contains("cap_net_raw=ep"), "{caps}");
    }
}

#[test]
fn a_bare_user_repository_holds_the_same_commit() {
    if !is_root() {
        println!("skipped: not root");
        return;
    }
    let (_dir, tree) = sample();
    let (archive, bare) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir_in("/var/tmp").unwrap(),
    );
    let first = commit(Mode::Archive, &archive, &tree);
    assert_eq!(first, commit(Mode::BareUser, &bare, &tree));
    run("ostree", &["fsck", &format!("--repo={}", path(&bare, "repo"))]);
}

#[test]
fn entries_move_before_they_are_committed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("etc").unwrap();
    tree.write("etc/f", "x").unwrap();
    let mut node = Node::read(&tree).unwrap();
    let etc = node.take("etc").unwrap();
    node.put("usr/etc", etc).unwrap();
    assert!(node.get("usr/etc/f").is_some() && node.get("etc").is_none());
    let out = tempfile::tempdir().unwrap();
    let repo = Repo::create_in(&Tree::open(out.path()).unwrap(), "repo", Mode::Archive).unwrap();
    repo.write_tree(&tree, &node).unwrap();
}

#[test]
fn refs_and_special_files_are_checked() {
    assert!(repo::check_ref("fedora/39/x86_64/iot").is_ok());
    for bad in ["", "/a", "a//b", "a/../b", "-a", "a b"] {
        assert!(repo::check_ref(bad).is_err(), "{bad}");
    }
    let dir = tempfile::tempdir().unwrap();
    run("mkfifo", &[&path(&dir, "pipe")]);
    let tree = Tree::open(dir.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let repo = Repo::create_in(&Tree::open(out.path()).unwrap(), "repo", Mode::Archive).unwrap();
    let error = repo.write_tree(&tree, &Node::read(&tree).unwrap()).unwrap_err();
    assert!(error.to_string().contains("/pipe"), "{error}");
}
