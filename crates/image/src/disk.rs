//! A whole disk from a tree: one that boots by BIOS and by UEFI.
//!
//! ```text
//! 0        boot.img and the partition table
//! 1 MiB    BIOS boot partition: core.img                  where the tree has both
//! 2 MiB    EFI system partition: the tree's /boot/efi     where that is not empty
//! …        root file system: the rest of the tree
//! -1 MiB   copy of the partition table
//! ```
//!
//! The disk is composed in place in one sparse file: file systems are written at their offset, so a raw image is that
//! file and every other format is streamed from it.

use std::fs::File;
use std::path::{Path, PathBuf};

use tree::Tree;
use uuid::Uuid;

use crate::boot_blocks::GRUB_DIRS;
use crate::gpt::{self, Partition, SECTOR, Table};
use crate::size::{MIB, Usage, usage};
use crate::view::View;
use crate::{BootBlocks, Error, Result, SparseFile, ext4, fat};

/// Where the tree keeps what belongs on the EFI system partition.
pub const ESP_DIR: &str = "boot/efi";

/// What is asked of a disk.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of the whole disk; `None`: a comfortable size for the tree.
    pub size: Option<u64>,
    /// GUID of the partition table. The partitions' GUIDs and the ESP's volume id are derived from it.
    pub disk_guid: Uuid,
    pub root_uuid: Uuid,
    /// The time that stands for now, in seconds.
    pub epoch: Option<i64>,
}

/// A stretch of the disk in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub size: u64,
}

/// Where the partitions lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub size: u64,
    pub bios: Option<Extent>,
    pub esp: Option<Extent>,
    pub root: Extent,
}

impl Layout {
    /// Lays out a disk of `size` bytes; an ESP has the size given. The root file system gets the rest, maybe nothing.
    pub fn new(size: u64, bios: bool, esp: Option<u64>) -> Self {
        let mut free = MIB;
        let mut next = |size: u64| {
            let extent = Extent { start: free, size };
            free = (free + size).next_multiple_of(MIB);
            extent
        };
        let bios = bios.then(|| next(MIB));
        let esp = esp.map(&mut next);
        let end = size.saturating_sub(gpt::BACKUP_SECTORS * SECTOR) / MIB * MIB;
        let root = Extent {
            start: free,
            size: end.saturating_sub(free),
        };
        Self {
            size,
            bios,
            esp,
            root,
        }
    }

    /// The size of a disk whose root file system gets `root` bytes.
    pub fn size_for(root: u64, bios: bool, esp: Option<u64>) -> u64 {
        let start = Self::new(0, bios, esp).root.start;
        (start + root).next_multiple_of(MIB) + MIB
    }

    /// The partition table.
    pub fn table(&self, disk_guid: Uuid) -> Table {
        let partition = |type_guid, name: &str, extent: Extent| Partition {
            type_guid,
            guid: Uuid::new_v5(&disk_guid, name.as_bytes()),
            first: extent.start / SECTOR,
            sectors: extent.size / SECTOR,
            attributes: 0,
            name: name.into(),
        };
        let all = [
            self.bios
                .map(|extent| partition(gpt::TYPE_BIOS_BOOT, "bios", extent)),
            self.esp.map(|extent| partition(gpt::TYPE_ESP, "esp", extent)),
            Some(partition(gpt::TYPE_LINUX, "root", self.root)),
        ];
        Table {
            disk_guid,
            sectors: self.size / SECTOR,
            partitions: all.into_iter().flatten().collect(),
        }
    }
}

/// What of a tree goes where.
#[derive(Debug)]
struct Content {
    boot_blocks: Option<BootBlocks>,
    /// The ESP's content and size.
    esp: Option<(Tree, u64)>,
    root: Usage,
}

/// Composes the disk in the empty `file`.
///
/// What the tree lacks for booting is left out, with a note on stdout. A size too small for the tree is an
/// [`Error::TooSmall`], found before anything is written. The process must have one thread (see [`View`]).
pub fn compose(file: File, tree: &Tree, options: &Options) -> Result<SparseFile> {
    let content = Content::of(tree)?;
    let layout = content.layout(options.size)?;
    let disk = SparseFile::new(file, layout.size)?;
    if let (Some((esp, _)), Some(extent)) = (&content.esp, layout.esp) {
        let id = Uuid::new_v5(&options.disk_guid, b"esp volume id");
        let [a, b, c, d, ..] = *id.as_bytes();
        let fat = fat::Options {
            offset: extent.start,
            size: extent.size,
            kind: None,
            volume_id: u32::from_be_bytes([a, b, c, d]),
            label: Some("ESP".into()),
            epoch: options.epoch.unwrap_or(0),
        };
        fat::write(&disk, esp, &fat)?;
    }
    let ext4 = ext4::Options {
        uuid: options.root_uuid,
        label: Some("root".into()),
        offset: layout.root.start,
        size: layout.root.size,
        epoch: options.epoch,
    };
    let hidden: &[PathBuf] = match content.esp {
        Some(_) => &[PathBuf::from(ESP_DIR)],
        None => &[],
    };
    let root = View::new(tree, Path::new(""), hidden, 0)?;
    ext4::write(&disk, root.tree(), &content.root, &ext4)?;
    write_boot(&disk, &layout, options.disk_guid, content.boot_blocks.as_ref())?;
    Ok(disk)
}

/// Writes the partition table and GRUB's boot blocks.
fn write_boot(disk: &SparseFile, layout: &Layout, guid: Uuid, blocks: Option<&BootBlocks>) -> Result<()> {
    let (primary, backup) = layout.table(guid).encode()?;
    disk.write(&primary, 0)?;
    disk.write(&backup, layout.size - gpt::BACKUP_SECTORS * SECTOR)?;
    match (blocks, layout.bios) {
        (Some(blocks), Some(extent)) => blocks.write(disk, extent.start / SECTOR, extent.size / SECTOR),
        _ => Ok(()),
    }
}

impl Content {
    fn of(tree: &Tree) -> Result<Self> {
        let boot_blocks = BootBlocks::of(tree)?;
        if boot_blocks.is_none() {
            println!(
                "note: no boot.img and core.img in {}: the disk will not boot by BIOS",
                GRUB_DIRS[0]
            );
        }
        let esp = match tree.is_dir(ESP_DIR) && !tree.list(ESP_DIR)?.is_empty() {
            true => {
                let esp = tree.subtree(ESP_DIR)?;
                let size = fat::comfortable(&esp)?;
                Some((esp, size))
            }
            false => {
                println!("note: nothing in {ESP_DIR}: the disk will not boot by UEFI");
                None
            }
        };
        let root = usage(tree, Some(Path::new(ESP_DIR)))?;
        Ok(Self {
            boot_blocks,
            esp,
            root,
        })
    }

    fn layout(&self, size: Option<u64>) -> Result<Layout> {
        let (bios, esp) = (self.boot_blocks.is_some(), self.esp.as_ref().map(|esp| esp.1));
        let size = size.unwrap_or_else(|| Layout::size_for(ext4::comfortable(&self.root), bios, esp));
        if !size.is_multiple_of(SECTOR) {
            return Err(Error::unsuitable(format!(
                "the size {size} is not a multiple of {SECTOR}"
            )));
        }
        let layout = Layout::new(size, bios, esp);
        let needed = ext4::needed(&self.root);
        if layout.root.size < needed {
            return Err(Error::TooSmall {
                what: "a disk",
                given: size,
                needed: Layout::size_for(needed, bios, esp),
            });
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(size: Option<u64>) -> Options {
        Options {
            size,
            disk_guid: Uuid::from_u128(1),
            root_uuid: Uuid::from_u128(2),
            epoch: Some(0),
        }
    }

    #[test]
    fn partitions_begin_at_whole_mebibytes() {
        let layout = Layout::new(1000 * MIB, true, Some(64 * MIB));
        let extent = |start, size| Extent {
            start: start * MIB,
            size: size * MIB,
        };
        assert_eq!(layout.bios, Some(extent(1, 1)));
        assert_eq!(layout.esp, Some(extent(2, 64)));
        assert_eq!(layout.root, extent(66, 933));
        assert_eq!(Layout::size_for(933 * MIB, true, Some(64 * MIB)), 1000 * MIB);
        assert_eq!(Layout::new(1000 * MIB, false, None).root, extent(1, 998));
        assert_eq!(Layout::new(512, true, None).root.size, 0);
    }

    #[test]
    fn a_tree_without_boot_files_becomes_a_disk_with_a_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("file", "content").unwrap();
        if std::process::Command::new("mke2fs").arg("-V").output().is_err() {
            return println!("skipped: mke2fs is not installed");
        }
        let make = || {
            let file = tempfile::NamedTempFile::new().unwrap();
            compose(file.reopen().unwrap(), &tree, &options(None)).unwrap();
            file
        };
        let (one, two) = (make(), make());
        assert!(std::fs::read(one.path()).unwrap() == std::fs::read(two.path()).unwrap());
        let dump = std::process::Command::new("sfdisk")
            .arg("-d")
            .arg(one.path())
            .output();
        if let Ok(dump) = dump {
            let text = String::from_utf8_lossy(&dump.stdout);
            assert!(
                text.contains("name=\"root\"") && !text.contains("name=\"esp\""),
                "{text}"
            );
        }
    }

    #[test]
    fn too_small_a_disk_says_what_the_tree_needs() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot/efi/EFI").unwrap();
        tree.write("big", vec![1; 30 << 20]).unwrap();
        let compose = |size| compose(tempfile::tempfile().unwrap(), &tree, &options(Some(size)));
        let error = compose(80 * MIB).unwrap_err();
        let Error::TooSmall { needed, .. } = error else {
            panic!("{error}")
        };
        assert!(needed > 94 * MIB && needed < 140 * MIB, "{needed}");
        assert!(compose(1_000_001).is_err());
    }
}
