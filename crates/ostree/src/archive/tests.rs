use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tree::Tree;

use super::place;
use crate::object::Kind;
use crate::{Archive, Checksum, Commit, Error, Mode, Node, Repo};

/// A repository `from` with one commit, in a new directory.
fn sample() -> (TempDir, Tree, Archive, Checksum) {
    let dir = tempfile::tempdir().unwrap();
    let root = Tree::open(dir.path()).unwrap();
    let tree = {
        root.mkdir("tree", 0o755).unwrap();
        root.subtree("tree").unwrap()
    };
    tree.mkdir_all("usr/bin").unwrap();
    tree.write("usr/bin/su", vec![7; 300_000]).unwrap();
    tree.chown("usr/bin/su", Some(7), Some(8)).unwrap();
    tree.chmod("usr/bin/su", 0o4755).unwrap();
    tree.write("usr/empty", "").unwrap();
    tree.symlink("../bin/su", "usr/link").unwrap();
    tree.mkdir("usr/closed", 0o500).unwrap();
    let repo = Repo::create_in(&root, "from", Mode::Archive).unwrap();
    let node = repo.write_tree(&tree, &Node::read(&tree).unwrap()).unwrap();
    let commit = repo.write_commit(&Commit::default(), node).unwrap();
    let from = Archive::open_in(&root, "from").unwrap();
    (dir, root, from, commit)
}

/// Runs a tool; `false` where it is not installed.
fn tool(name: &str, args: &[&str], dir: &TempDir) -> bool {
    match Command::new(name).args(args).current_dir(dir.path()).output() {
        Err(_) => {
            println!("skipped: there is no {name}");
            false
        }
        Ok(output) => {
            assert!(output.status.success(), "{name} {args:?}: {output:?}");
            true
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_commit_is_taken_over_whole() {
    if !is_root() {
        return;
    }
    let (dir, root, from, commit) = sample();
    let to = Archive::open_or_create(&root, "to").unwrap();
    assert!(!to.is_whole(commit));
    to.take(&from, commit, true).unwrap();
    assert!(to.is_whole(commit));
    to.set_ref("a/b", commit).unwrap();
    tool("ostree", &["fsck", "--repo=to"], &dir);
    tool("ostree", &["show", "--repo=to", "a/b"], &dir);
    let file = from.objects(commit).unwrap().files.into_iter().next().unwrap();
    let inode = |archive: &Archive| archive.file(file).unwrap().metadata().unwrap().ino();
    assert_eq!(inode(&from), inode(&to));
    // what only looks like a commit is none
    root.write(format!("from/state/{commit}.commitpartial"), "")
        .unwrap();
    let again = Archive::open_or_create(&root, "again").unwrap();
    assert!(matches!(
        again.take(&from, commit, true),
        Err(Error::NoCommit { .. })
    ));
    assert!(again.objects(commit).is_err());
}

#[test]
fn a_checkout_is_ostrees() {
    if !is_root() {
        return;
    }
    let (dir, root, from, commit) = sample();
    root.mkdir("ours", 0o755).unwrap();
    let ours = root.subtree("ours").unwrap();
    from.checkout(commit, &ours).unwrap();
    let hex = commit.to_string();
    if !tool("ostree", &["checkout", "--repo=from", &hex, "theirs"], &dir) {
        return;
    }
    let listing = |name: &str| {
        let output = Command::new("find")
            .args([
                ".",
                "-printf",
                "%P %M %U:%G %l ",
                "(",
                "-type",
                "f",
                "-printf",
                "%s",
                "-o",
                "-true",
                ")",
            ])
            .args(["-printf", "\n"])
            .current_dir(dir.path().join(name))
            .output()
            .unwrap();
        let mut lines: Vec<_> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(listing("ours"), listing("theirs"));
    assert!(listing("ours").iter().any(|line| line.contains("rwsr-xr-x 7:8")));
}

#[test]
fn a_damaged_object_does_not_enter() {
    let (_dir, root, from, commit) = sample();
    let to = Archive::open_or_create(&root, "to").unwrap();
    let objects = from.objects(commit).unwrap();
    for file in objects.files {
        let mut good = Vec::new();
        std::io::Read::read_to_end(&mut from.file(file).unwrap(), &mut good).unwrap();
        let mut longer = good.clone();
        longer.push(0);
        let mut other = good.clone();
        // the low byte of the owner
        other[8 + 8 + 3] ^= 1;
        for bad in [&good[..good.len() - 1], &longer, &other, &[]] {
            assert!(to.add_file(file, &mut &bad[..]).is_err());
            assert!(!to.has_file(file));
        }
        to.add_file(file, &mut &good[..]).unwrap();
        assert!(to.has_file(file));
    }
    let error = to.add_metadata(Kind::Commit, commit, b"no commit").unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }));
    assert!(!to.has(Kind::Commit, commit));
}

#[test]
fn only_archives_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let root = Tree::open(dir.path()).unwrap();
    assert!(Archive::open_in(&root, "none").is_err());
    Repo::create_in(&root, "bare", Mode::BareUser).unwrap();
    let error = Archive::open_in(&root, "bare").unwrap_err().to_string();
    assert!(error.ends_with("its mode is `bare-user`"), "{error}");
}

#[test]
fn what_lost_its_bytes_is_brought_again() {
    if !is_root() {
        return;
    }
    let (dir, root, from, commit) = sample();
    let to = Archive::open_or_create(&root, "to").unwrap();
    assert!(!to.begin(commit).unwrap(), "nothing was there to be in doubt");
    to.take_objects(&from, commit, false, false).unwrap();
    assert!(!to.is_whole(commit), "it is marked, and not there");
    // as after a power cut: names without bytes
    let objects = from.objects(commit).unwrap();
    let files = objects.files.iter().map(|file| place(*file, "filez"));
    let metadata = objects.metadata.iter();
    let metadata = metadata.map(|(kind, checksum)| place(*checksum, kind.extension()));
    for path in files.chain(metadata) {
        root.write(Path::new("to").join(path), "").unwrap();
    }
    assert!(to.begin(commit).unwrap());
    to.take_objects(&from, commit, true, true).unwrap();
    let bytes = from.metadata(Kind::Commit, commit).unwrap();
    let empty = Path::new("to").join(place(commit, "commit"));
    root.mkdir_all(empty.parent().unwrap()).unwrap();
    root.write(&empty, "").unwrap();
    assert!(!to.is_whole(commit));
    to.finish(commit, &bytes).unwrap();
    assert!(to.is_whole(commit));
    assert_eq!(root.list("to/state").unwrap().len(), 0);
    assert!(objects.files.iter().all(|file| to.is_sound(*file)));
    tool("ostree", &["fsck", "--repo=to"], &dir);
}
