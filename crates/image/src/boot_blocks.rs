//! GRUB's boot blocks as a tree keeps them, and where they go on a disk.

use std::path::Path;

use tree::Tree;

use crate::gpt::SECTOR;
use crate::{Result, SparseFile, grub_bios};

/// Where a tree may keep them.
pub const GRUB_DIRS: [&str; 2] = ["boot/grub/i386-pc", "boot/grub2/i386-pc"];

/// `boot.img` and `core.img`.
#[derive(Debug, Clone)]
pub struct BootBlocks {
    pub boot: Vec<u8>,
    pub core: Vec<u8>,
}

impl BootBlocks {
    /// Those in the directory `dir` of the tree, if both are there.
    pub fn in_dir(tree: &Tree, dir: impl AsRef<Path>) -> Result<Option<Self>> {
        let (boot, core) = (dir.as_ref().join("boot.img"), dir.as_ref().join("core.img"));
        if !tree.is_file(&boot) || !tree.is_file(&core) {
            return Ok(None);
        }
        Ok(Some(Self {
            boot: tree.read(boot)?,
            core: tree.read(core)?,
        }))
    }

    /// Those in the first of [`GRUB_DIRS`] that has both.
    pub fn of(tree: &Tree) -> Result<Option<Self>> {
        for dir in GRUB_DIRS {
            if let Some(found) = Self::in_dir(tree, dir)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Writes `core.img` from the sector `core_sector` on, where there is `room` for so many sectors, and has the boot code
    /// in sector 0 load it. The partition table there must be written already, and stays.
    pub fn write(&self, disk: &SparseFile, core_sector: u64, room: u64) -> Result<()> {
        let core = grub_bios::core_image(&self.core, core_sector, room)?;
        let mut table = [0; SECTOR as usize];
        disk.read(&mut table, 0)?;
        disk.write(&core, core_sector * SECTOR)?;
        disk.write(&grub_bios::boot_sector(&self.boot, &table, core_sector)?, 0)
    }
}
