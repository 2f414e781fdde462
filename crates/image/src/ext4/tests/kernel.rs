//! Trees of all shapes in file systems of all kinds: what `e2fsck` says of them, and what the kernel reads back.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{FileType, IFlags, Mode, OFlags, XattrFlags, makedev, mknodat, setxattr};
use tree::index::{Index, Times};

use super::*;

/// As mke2fs makes them of these options; so small ones have blocks of 1,024 bytes where nothing else is said.
const VARIANTS: [&[&str]; 13] = [
    &["-b", "4096"],
    &[],
    &["-b", "2048", "-O", "^metadata_csum"],
    &["-I", "128"],
    &["-I", "1024"],
    &["-O", "^metadata_csum,uninit_bg,^64bit"],
    &["-O", "^metadata_csum,^uninit_bg,^flex_bg"],
    &["-O", "^64bit", "-b", "4096"],
    &["-O", "^flex_bg"],
    &["-O", "metadata_csum_seed,orphan_file", "-b", "4096"],
    &["-O", "^dir_index,^filetype"],
    &["-O", "^huge_file,^large_file,^dir_nlink,^extra_isize"],
    &["-O", "sparse_super2,^resize_inode,^has_journal"],
];

/// What the kernel shows of a file system, as long as this lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn of(image: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let output = mount
            .args(["-o", "loop,ro"])
            .arg(image)
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().unwrap();
    }
}

fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !can {
        println!("skipped: nothing can be mounted here");
    }
    can
}

/// An empty file system of mke2fs; `None` where it does not know such.
fn fresh(size: u64, variant: &[&str]) -> Option<(tempfile::NamedTempFile, SparseFile)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let image = SparseFile::new(file.reopen().unwrap(), size).unwrap();
    let mut command = tool::command("mke2fs");
    command
        .args(["-q", "-F", "-t", "ext4"])
        .args(variant)
        .arg(file.path());
    match command.output().unwrap().status.success() {
        true => Some((file, image)),
        false => {
            println!("skipped: mke2fs makes nothing with {variant:?}");
            None
        }
    }
}

fn fill(image: &SparseFile, tree: &Tree) -> Result<()> {
    fill_with(image, tree, 0)
}

/// [`fill`], as if the tree had so many bytes.
fn fill_with(image: &SparseFile, tree: &Tree, bytes: u64) -> Result<()> {
    let terms = Terms {
        now: 1,
        clamp: None,
        bytes,
    };
    populate(image, 0, tree, terms)
}

/// A little of everything that a tree can have, with times of whole seconds.
fn everything(dir: &Path, is_root: bool) -> Tree {
    let tree = Tree::open(dir).unwrap();
    let mut next = crate::testing::noise(5);
    tree.mkdir_all("lost+found").unwrap();
    for number in 0..60 {
        let length = 1 + next() as usize % 255;
        let name: Vec<u8> = (0..length)
            .map(|_| match next() as u8 {
                0 | b'/' => b'_',
                byte => byte,
            })
            .collect();
        let path = Path::new("odd").join(std::ffi::OsStr::from_bytes(&name));
        tree.mkdir_all("odd").unwrap();
        tree.write(path, vec![number; next() as usize % 20_000]).unwrap();
    }
    let mut deep = PathBuf::from("deep");
    for _ in 0..30 {
        deep.push("deeper");
        tree.mkdir_all(&deep).unwrap();
        tree.write(deep.join("here"), "x").unwrap();
    }
    tree.mkdir("wide", 0o1777).unwrap();
    for number in 0..600 {
        tree.write(format!("wide/{number:0100}"), "").unwrap();
    }
    for length in [1, 59, 60, 61, 1000] {
        tree.symlink("t".repeat(length), format!("link-{length}"))
            .unwrap();
    }
    tree.hard_link("link-60", "link-60-twin").unwrap();
    tree.hard_link("wide/..//link-1", "deep/link-1-twin").unwrap();
    for (name, step, pieces) in [("few", 300_000, 3), ("many", 16_384, 1500)] {
        let mut file = tree.create_file(name).unwrap();
        for piece in 0..pieces {
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(piece * step)).unwrap();
            file.write_all(&[7; 4096]).unwrap();
        }
        file.set_len(pieces * step).unwrap();
    }
    tree.write("zeros", vec![0; 100_000]).unwrap();
    tree.write("large", (0..3 << 20).map(|_| next() as u8).collect::<Vec<_>>())
        .unwrap();
    let at = |path: &str| dir.join(path);
    mknodat(tree.fd(), "pipe", FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
    if is_root {
        for (name, kind, number) in [
            ("null", FileType::CharacterDevice, makedev(1, 3)),
            ("disk", FileType::BlockDevice, makedev(259, 70_000)),
        ] {
            mknodat(tree.fd(), name, kind, Mode::from_raw_mode(0o660), number).unwrap();
        }
        tree.chown("few", Some(60_000), Some(65_000)).unwrap();
        tree.chmod("few", 0o6755).unwrap();
        let set = |path: &str, name: &str, value: &[u8]| {
            setxattr(at(path), name, value, XattrFlags::empty()).unwrap();
        };
        // CAP_NET_RAW, permitted and effective, version 2
        let capability = [1u8, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (path, length) in [("large", 0), ("deep", 40), ("odd", 400)] {
            set(path, "security.capability", &capability);
            set(path, "trusted.note", &vec![3; length]);
            set(path, "user.a.longer.name.of.an.attribute", &vec![5; length]);
        }
        // owner, user 1000, group, mask, others; all with an id, 0xffffffff where there is none
        let entry = |tag: u16, permissions: u16, id: u32| {
            [
                &tag.to_le_bytes()[..],
                &permissions.to_le_bytes(),
                &id.to_le_bytes(),
            ]
            .concat()
        };
        let list = [
            2u32.to_le_bytes().to_vec(),
            entry(1, 6, !0),
            entry(2, 4, 1000),
            entry(4, 4, !0),
            entry(0x10, 4, !0),
            entry(0x20, 0, !0),
        ]
        .concat();
        set("few", "system.posix_acl_access", &list);
        set("wide", "system.posix_acl_default", &list);
    }
    let mut paths = Vec::new();
    tree::walk::walk(&tree, &mut |entry| {
        paths.push(entry.path.to_owned());
        Ok(())
    })
    .unwrap();
    for (number, path) in paths.iter().enumerate().rev() {
        tree.set_mtime(path, 1_000_000_000 + number as i64, 0).unwrap();
    }
    for (path, time) in [("zeros", -300_000_000), ("few", 4_000_000_000)] {
        tree.set_mtime(path, time, 0).unwrap();
    }
    tree
}

fn fsck(image: &Path, what: &str) {
    let output = Command::new("e2fsck").arg("-fn").arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {said}");
}

#[test]
fn every_kind_of_file_system_holds_everything() {
    if !have_tools() {
        return;
    }
    let is_root = can_mount();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = everything(dir.path(), is_root);
    let index = Index::scan(&tree, Times::Keep).unwrap();
    for variant in VARIANTS {
        let Some((file, image)) = fresh(64 * MIB, variant) else {
            continue;
        };
        if variant == ["-I", "128"] {
            // such inodes end in 2038
            tree.set_mtime("few", 2_000_000_000, 0).unwrap();
        }
        let again = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        std::fs::copy(file.path(), again.path()).unwrap();
        fill(&image, &tree).unwrap();
        fsck(file.path(), &format!("{variant:?}"));
        let past_the_cache = SparseFile::open(again.reopen().unwrap()).unwrap();
        fill_with(&past_the_cache, &tree, direct::LARGE).unwrap();
        let bytes = |path| std::fs::read(path).unwrap();
        assert!(bytes(file.path()) == bytes(again.path()), "{variant:?}");
        if variant == ["-I", "128"] {
            tree.set_mtime("few", 4_000_000_000, 0).unwrap();
            continue;
        }
        if is_root {
            let mounted = Mounted::of(file.path());
            let there = Tree::open(mounted.0.path()).unwrap();
            let changes = index.diff(&Index::scan(&there, Times::Keep).unwrap());
            assert!(changes.is_empty(), "{variant:?}: {changes:?}");
            assert_eq!(there.stat("zeros").unwrap().unwrap().blocks, 0);
            assert!(there.stat("many").unwrap().unwrap().blocks * 512 < 8 * MIB);
        }
    }
}

#[test]
fn a_large_directory_has_an_index() {
    if !have_tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    for number in 0..12_000 {
        tree.write(format!("a-longer-name-{number}"), "").unwrap();
    }
    // of the small blocks so many are needed that the index has two levels
    for (variant, levels) in [("4096", 0), ("1024", 1)] {
        let (file, image) = fresh(32 * MIB, &["-N", "16384", "-b", variant]).unwrap();
        fill(&image, &tree).unwrap();
        fsck(file.path(), "a large directory");
        assert!(debugfs(file.path(), "stat /").contains("Flags: 0x81000"));
        let levels = format!("Indirect levels: {levels}");
        assert!(debugfs(file.path(), "htree_dump /").contains(&levels), "{levels}");
        assert!(debugfs(file.path(), "stat a-longer-name-11999").contains("Inode: "));
    }
}

#[test]
fn entries_get_the_flags_that_the_tree_keeps() {
    if !have_tools() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.mkdir_all("etc").unwrap();
    tree.write("etc/fixed", "x").unwrap();
    for (path, flags) in [("etc", IFlags::APPEND), ("etc/fixed", IFlags::IMMUTABLE)] {
        let entry = tree.open_at(path, OFlags::RDONLY, 0).unwrap();
        tree::flags::keep(entry, flags, Path::new(path)).unwrap();
    }
    let (file, image) = fresh(8 * MIB, &[]).unwrap();
    fill(&image, &tree).unwrap();
    fsck(file.path(), "flags");
    assert!(debugfs(file.path(), "stat /etc/fixed").contains("Flags: 0x80010"));
    assert!(debugfs(file.path(), "stat /etc").contains("Flags: 0x80020"));
}

#[test]
fn what_does_not_fit_is_named() {
    if !have_tools() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let refused = |variant: &[&str]| {
        let (_file, image) = fresh(4 * MIB, variant).unwrap();
        fill(&image, &tree).unwrap_err().to_string()
    };
    for number in 0..20 {
        tree.write(format!("small-{number}"), "").unwrap();
    }
    let error = refused(&["-N", "24"]);
    assert!(error.contains("too few inodes"), "{error}");
    tree.write("big", vec![7; 5 << 20]).unwrap();
    let error = refused(&[]);
    assert!(error.contains("too few blocks"), "{error}");
    tree.remove_file("big").unwrap();
    // of features that ask for more than is done here
    let error = refused(&["-O", "quota"]);
    assert!(error.contains("features"), "{error}");
    let set = setxattr(
        dir.path().join("small-0"),
        "user.much",
        &[1; 3000],
        XattrFlags::empty(),
    );
    if set.is_ok() {
        let error = refused(&["-b", "1024"]);
        assert!(
            error.starts_with("/small-0: its extended attributes take "),
            "{error}"
        );
    }
}
