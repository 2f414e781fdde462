//! What is promised of whole file systems, asked of the format's own tools.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::size::usage;

mod kernel;

const EPOCH: i64 = 1_700_000_000;

fn have_tools() -> bool {
    let have = ["mke2fs", "e2fsck", "debugfs"].map(|tool| Command::new(tool).arg("-V").output().is_ok());
    if have != [true; 3] {
        println!("skipped: e2fsprogs is not installed");
    }
    have == [true; 3]
}

fn options() -> Options {
    Options {
        uuid: Uuid::from_u128(0x6e4f_f95f_f662_45ee_a82a_bdf4_4a2d_0b75),
        label: Some("root".into()),
        offset: 0,
        size: 64 * MIB,
        epoch: Some(EPOCH),
    }
}

fn sample(dir: &Path) -> Tree {
    let tree = Tree::open(dir).unwrap();
    tree.chmod("", 0o751).unwrap();
    tree.mkdir_all("etc/deep/er").unwrap();
    for n in 0..300 {
        tree.write(format!("etc/deep/file-{n}"), format!("{n}")).unwrap();
    }
    tree.write("etc/old", "old").unwrap();
    tree.set_mtime("etc/old", 1_000_000_000, 5).unwrap();
    tree.hard_link("etc/old", "etc/twin").unwrap();
    tree.symlink("/etc/old", "link").unwrap();
    let mut hole = tree.create_file("hole").unwrap();
    std::io::Seek::seek(&mut hole, std::io::SeekFrom::Start(20 << 20)).unwrap();
    hole.write_all(b"end").unwrap();
    tree.mkdir_all("lost+found").unwrap();
    if rustix::process::geteuid().is_root() {
        tree.chown("etc/old", Some(1234), Some(70_000)).unwrap();
        tree.chmod("etc/old", 0o4755).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        // CAP_NET_RAW, permitted and effective, version 2
        let capability = [1u8, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let path = dir.join("etc/deep/file-7");
        rustix::fs::setxattr(&path, "security.capability", &capability, flags).unwrap();
        rustix::fs::setxattr(&path, "user.note", b"kept", flags).ok();
    }
    tree
}

fn make(tree: &Tree, options: &Options) -> (tempfile::NamedTempFile, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let size = options.offset + options.size;
    let image = SparseFile::new(file.reopen().unwrap(), size).unwrap();
    write(&image, tree, &usage(tree, None).unwrap(), options).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    (file, bytes)
}

fn debugfs(image: &Path, request: &str) -> String {
    let output = Command::new("debugfs")
        .args(["-R", request])
        .arg(image)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_file_system_is_clean_and_holds_everything() {
    if !have_tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = make(&sample(dir.path()), &options());
    let output = Command::new("e2fsck")
        .arg("-fn")
        .arg(file.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let old = debugfs(file.path(), "stat /etc/old");
    assert!(old.contains("Links: 2"), "{old}");
    for time in ["ctime", "atime", "mtime", "crtime"] {
        assert!(old.contains(&format!("{time}: 0x3b9aca00:00000000")), "{old}");
    }
    let young = debugfs(file.path(), "stat /etc/deep/file-7");
    assert!(young.contains(&format!("mtime: 0x{EPOCH:x}:00000000")), "{young}");
    assert!(debugfs(file.path(), "stat /").contains("Mode:  0751"));
    let hole = debugfs(file.path(), "stat /hole");
    assert!(
        hole.contains("Size: 20971523") && hole.contains("Blockcount: 8"),
        "{hole}"
    );
    if rustix::process::geteuid().is_root() {
        assert!(old.contains("User:  1234   Group: 70000"), "{old}");
        assert!(old.contains("Mode:  04755"), "{old}");
        assert!(young.contains("security.capability (20)"), "{young}");
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    if !have_tools() {
        return;
    }
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = make(&sample(one.path()), &options()).1;
    let tree = sample(two.path());
    // made anew and read since: other inode numbers, access and change times
    tree.read("etc/old").unwrap();
    assert!(first == make(&tree, &options()).1);
    // a hole or zeros, that depends on the file system that the tree lies on
    let hole = tree.stat("hole").unwrap().unwrap();
    let content = tree.read("hole").unwrap();
    tree.write("hole", content).unwrap();
    tree.set_mtime("hole", hole.mtime.0, 0).unwrap();
    assert!(first == make(&tree, &options()).1, "what is a hole shows");
    let moved = Options {
        offset: 3 * MIB,
        ..options()
    };
    assert!(
        first == make(&tree, &moved).1[3 << 20..],
        "the place on the disk shows"
    );
}

#[test]
fn the_smallest_one_can_be_made() {
    if !have_tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for extra in [0, 1 << 20, 2 << 20] {
        tree.write("some", vec![7; extra]).unwrap();
        let size = needed(&usage(&tree, None).unwrap());
        assert_eq!(size, SMALLEST);
        let (file, _) = make(&tree, &Options { size, ..options() });
        let fsck = Command::new("e2fsck")
            .arg("-fn")
            .arg(file.path())
            .output()
            .unwrap();
        assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
    }
}

#[test]
fn attributes_that_need_blocks_are_measured() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let before = usage(&tree, None).unwrap();
    for n in 0..4000 {
        let name = format!("{n}");
        tree.write(&name, "").unwrap();
        // what fits in the inode takes no block
        let length = if n % 2 == 0 { 68 } else { 200 };
        let value = vec![n as u8; length];
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(dir.path().join(&name), "user.ima", &value, flags).is_err() {
            return println!("skipped: /var/tmp has no attributes of users");
        }
    }
    let usage = usage(&tree, None).unwrap();
    let names = (4000 * 16 + 3 * 4000u64).next_multiple_of(BLOCK) + 4096;
    let more = usage.bytes - before.bytes;
    assert!((2000 * BLOCK..2000 * BLOCK + names).contains(&more), "{more}");
    let size = needed(&usage);
    if have_tools() {
        make(&tree, &Options { size, ..options() });
    }
}

#[test]
fn too_small_a_size_says_what_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.write("big", vec![7; 9 << 20]).unwrap();
    let image = SparseFile::new(tempfile::tempfile().unwrap(), 8 * MIB).unwrap();
    let small = Options {
        size: 8 * MIB,
        ..options()
    };
    let usage = usage(&tree, None).unwrap();
    let error = write(&image, &tree, &usage, &small).unwrap_err().to_string();
    assert!(
        error.starts_with("the file system of 8 MiB is too small: it needs "),
        "{error}"
    );
    let enough = Options {
        size: needed(&usage),
        ..options()
    };
    if have_tools() {
        make(&tree, &enough);
    }
}
