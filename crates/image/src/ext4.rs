//! ext4 file systems: made empty by `mke2fs`, filled from a tree by a writer of our own. No mount, no loop device.
//!
//! Everything that mke2fs would take from its configuration file, the kernel or the clock is given, so that versions
//! 1.47.0 to 1.47.2 write the same: an explicit list of features (all of them known to GRUB 2.06), a fixed hash seed,
//! sizes of journal and inode table. What the versions do differently is set right when the file system is filled
//! ([`groups`]).
//!
//! Each inode's access, change and creation time are its modification time, without nanoseconds and not later than the
//! epoch: the others tell of reading and building.
//!
//! * [`format`]: the superblock, [`groups`]: descriptors and bitmaps; [`space`], [`table`]: free blocks and inodes.
//! * [`inode`], [`extents`], [`attributes`], [`directory`], [`index`] with [`name_hash`]: what a file consists of.
//! * [`stream`]: blocks on their way, [`content`]: those of files; [`ahead`]: the tree that they are
//!   of; [`populate`]: what fills all of them.

mod ahead;
mod attributes;
mod content;
mod directory;
mod extents;
mod format;
mod groups;
mod index;
mod inode;
mod name_hash;
mod populate;
mod space;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;

use tree::Tree;
use uuid::Uuid;

use crate::size::{GIB, MIB, Usage};
use crate::{Error, Result, SparseFile, tool};

pub(crate) use attributes::need_block;
use populate::{Terms, populate};

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

/// [`write`], with more features. Inode flags are those that the tree [keeps](tree::flags), not what entries have in the
/// file system that it lies on.
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
    command.arg(image.path()).arg(layout.blocks.to_string());
    tool::run(&mut command)?;
    let terms = Terms {
        now,
        clamp: options.epoch,
        bytes: usage.bytes,
    };
    populate(image, options.offset, tree, terms)
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
