//! ext4 file systems, filled from a tree by `mke2fs -d`: no mount, no loop device.
//!
//! Everything that mke2fs would take from its configuration file, the kernel or the clock is given, so that versions
//! 1.47.0 to 1.47.2 write the same: an explicit list of features (all of them known to GRUB 2.06), a fixed hash seed,
//! sizes of journal and inode table. What it copies from the source's own inodes, and what the versions do differently,
//! is set right afterwards (`ext4_times`, `ext4_groups`).

use std::io::Write;

use tree::Tree;
use uuid::Uuid;

use crate::ext4_groups;
use crate::ext4_times::{self, Times};
use crate::size::{GIB, MIB, Usage};
use crate::{Error, Result, SparseFile, tool};

/// Bytes in a block.
pub const BLOCK: u64 = 4096;
/// Bytes in a block of a small file system: its journal, 1,024 blocks at least, must leave half of it.
const SMALL_BLOCK: u64 = 2048;
/// From here on it is [`BLOCK`].
const SMALL: u64 = 16 * MIB;
/// The smallest file system made here.
pub const SMALLEST: u64 = 8 * MIB;

const INODE_SIZE: u64 = 256;
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// In the place of the machine's configuration file: what has no option of its own.
const CONFIG: &str = "\
[defaults]
    base_features = none
    default_mntopts = acl,user_xattr
    enable_periodic_fsck = 0
[fs_types]
    ext4 = {
        inode_size = 256
    }
";

/// How the file system is made.
#[derive(Debug, Clone)]
pub struct Options {
    pub uuid: Uuid,
    /// At most 16 bytes.
    pub label: Option<String>,
    /// Where it begins in the image, in bytes.
    pub offset: u64,
    /// Its size in bytes; what is beyond a whole block stays unused.
    pub size: u64,
    /// The time that stands for now, in seconds; later times in the tree are set back to it. Without one the file
    /// system's own times are the earliest possible.
    pub epoch: Option<i64>,
}

/// Features beyond the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    pub verity: bool,
    pub orphan_file: bool,
    pub metadata_csum_seed: bool,
}

impl Features {
    fn list(self) -> String {
        let extra = [
            (self.verity, "verity"),
            (self.orphan_file, "orphan_file"),
            (self.metadata_csum_seed, "metadata_csum_seed"),
        ];
        let names = extra.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name);
        std::iter::once(FEATURES)
            .chain(names)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// The numbers mke2fs is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    blocks: u64,
    inodes: u64,
    journal_mib: u64,
}

/// Makes the file system in `image` and fills it with `tree`.
///
/// A file system that cannot hold the tree is an [`Error::TooSmall`] saying how much is needed.
pub fn write(image: &SparseFile, tree: &Tree, usage: &Usage, options: &Options) -> Result<()> {
    write_with(image, tree, usage, options, Features::default())
}

/// [`write`], with more features.
pub fn write_with(
    image: &SparseFile,
    tree: &Tree,
    usage: &Usage,
    options: &Options,
    features: Features,
) -> Result<()> {
    let needed = needed(usage);
    if options.size < needed {
        return Err(Error::TooSmall {
            what: "the file system",
            given: options.size,
            needed,
        });
    }
    // 0 would mean "not set" to mke2fs 1.47.0
    let now = options.epoch.unwrap_or(0).max(1);
    let config = config_file()?;
    let layout = layout(options.size, usage);
    let uuid = options.uuid.to_string();
    let seed = Uuid::new_v5(&options.uuid, b"hash_seed");
    let mut command = tool::command("mke2fs");
    command
        .env("MKE2FS_CONFIG", config.path())
        .env("E2FSPROGS_FAKE_TIME", now.to_string())
        .env("SOURCE_DATE_EPOCH", now.to_string())
        .args([
            "-q", "-F", "-t", "ext4", "-o", "Linux", "-I", "256", "-G", "16", "-m", "5",
        ])
        .args(["-b", &block(options.size).to_string()])
        .args([
            "-O",
            &features.list(),
            "-U",
            &uuid,
            "-N",
            &layout.inodes.to_string(),
        ])
        .args(["-J", &format!("size={}", layout.journal_mib)])
        // no other usage type than this, whatever the size
        .args(["-T", "ext4"])
        // one -E only: before 1.47.4 the last one wins
        .arg("-E")
        .arg(format!(
            "hash_seed={seed},nodiscard,lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,\
             root_owner=0:0,offset={}",
            options.offset
        ));
    if let Some(label) = &options.label {
        command.args(["-L", label]);
    }
    command
        .arg("-d")
        .arg(tree.path())
        .arg(image.path())
        .arg(layout.blocks.to_string());
    tool::run(&mut command)?;
    let root = tree.stat("")?.map(|stat| ext4_times::Root::from(&stat));
    ext4_groups::settle(image, options.offset)?;
    ext4_times::set(
        image,
        options.offset,
        &Times {
            now,
            clamp: options.epoch,
            root,
        },
    )
}

/// The bytes a file system needs to hold `usage` and little more.
pub fn needed(usage: &Usage) -> u64 {
    let mut size = SMALLEST;
    // journal and inode table grow with the size: two rounds settle it
    for _ in 0..3 {
        let layout = layout(size, usage);
        let fixed = layout.journal_mib * MIB + layout.inodes * INODE_SIZE;
        // bitmaps, and blocks that no file can have whole; hardly any of either where there is little
        let spare = (usage.bytes / 4).clamp(MIB, 4 * MIB);
        size = (usage.bytes + fixed + usage.bytes / 50 + spare).max(SMALLEST);
    }
    size.next_multiple_of(MIB)
}

/// A comfortable size for `usage`: a third more, and half a GiB to work in.
pub fn comfortable(usage: &Usage) -> u64 {
    let needed = needed(usage);
    (needed + needed / 3 + GIB / 2).next_multiple_of(64 * MIB)
}

/// Bytes in a block of a file system of `size` bytes.
fn block(size: u64) -> u64 {
    if size < SMALL { SMALL_BLOCK } else { BLOCK }
}

fn layout(size: u64, usage: &Usage) -> Layout {
    let blocks = size / block(size);
    // mke2fs' own steps
    let journal_blocks: u64 = match blocks {
        0..32_768 => 1024,
        32_768..262_144 => 4096,
        262_144..524_288 => 8192,
        524_288..4_194_304 => 16_384,
        4_194_304..8_388_608 => 32_768,
        _ => 65_536,
    };
    Layout {
        blocks,
        inodes: (size / 16_384).max(usage.inodes + usage.inodes / 4 + 64),
        journal_mib: journal_blocks * block(size) / MIB,
    }
}

fn config_file() -> Result<tempfile::NamedTempFile> {
    let failed = Error::io("write a configuration for mke2fs");
    let mut file = tempfile::NamedTempFile::new().map_err(&failed)?;
    file.write_all(CONFIG.as_bytes()).map_err(&failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::size::usage;

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
}
