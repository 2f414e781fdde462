//! A small file system, to be filled up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::oracle::tool;

/// How long a loop device may be held after its file system was unmounted: as long as anything that another test runs has a
/// copy of the table of mounts.
const GRACE: Duration = Duration::from_secs(300);

/// A file system mounted on a directory until this goes.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
    /// The file behind its loop device.
    image: Option<PathBuf>,
}

impl SmallDisk {
    /// A tmpfs with these mount options (`size=4m`, `ro`), as root.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn tmpfs(dir: &Path, options: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        tool(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", options, "none"])
                .arg(dir),
        )?;
        Ok(Self {
            dir: dir.to_owned(),
            image: None,
        })
    }

    /// An ext4 file system of so many MiB in the file `image`, as root.
    ///
    /// # Errors
    /// It cannot be made or mounted.
    pub fn ext4(dir: &Path, image: &Path, size: u64) -> Result<Self> {
        Self::ext4_with(dir, image, size, "defaults")
    }

    /// [`SmallDisk::ext4`] with further mount options.
    ///
    /// # Errors
    /// It cannot be made or mounted.
    pub fn ext4_with(dir: &Path, image: &Path, size: u64, options: &str) -> Result<Self> {
        std::fs::File::create(image)?.set_len(size << 20)?;
        tool(
            Command::new("mke2fs")
                .args(["-q", "-t", "ext4", "-m", "0"])
                .arg(image),
        )?;
        Self::again(dir, image, options)
    }

    /// The file system in the file `image`, as root.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn again(dir: &Path, image: &Path, options: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let options = format!("loop,{options}");
        tool(Command::new("mount").args(["-o", &options]).args([image, dir]))?;
        Ok(Self {
            dir: dir.to_owned(),
            image: Some(image.to_owned()),
        })
    }

    /// The ext4 file system at byte `offset` of a raw image, read-only, as root.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn of_image(dir: &Path, image: &Path, offset: u64) -> Result<Self> {
        Self::of_image_as(dir, image, offset, "ext4")
    }

    /// The file system of a kind that the kernel has a name for at byte `offset` of a raw image, read-only, as root.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn of_image_as(dir: &Path, image: &Path, offset: u64, kind: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        // without its journal, which is clean: nothing is to be written
        let journal = match kind {
            "ext2" | "ext3" | "ext4" => ",noload",
            "xfs" => ",norecovery",
            _ => "",
        };
        let options = format!("loop,ro{journal},offset={offset}");
        tool(Command::new("mount").args(["-o", &options]).args([image, dir]))?;
        Ok(Self {
            dir: dir.to_owned(),
            image: Some(image.to_owned()),
        })
    }
}

impl SmallDisk {
    /// Unmounts it, and waits until its loop device is free: what another test runs in a mount table of its own may hold the
    /// mount for a while, and the kernel tells nobody when it is gone.
    fn unmount(&self) -> Result<()> {
        tool(Command::new("umount").arg(&self.dir))?;
        let Some(image) = &self.image else { return Ok(()) };
        let end = Instant::now() + GRACE;
        while !tool(Command::new("losetup").arg("-j").arg(image))?.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{error:#}");
        }
    }
}
