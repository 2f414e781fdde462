//! The files that are to be in a file system that is being made.

use image::SparseFile;
use module::{Args, Result, Tree, bail, ensure};

use super::Target;

/// A tree, and whatever must outlive it.
#[derive(Debug)]
pub struct Content {
    pub tree: Tree,
    /// Whether it is empty and the stage's to begin.
    pub is_new: bool,
    _dir: Option<tempfile::TempDir>,
}

impl Content {
    /// The tree that goes with the device; an empty one of our own where none does.
    pub fn of(target: &Target) -> Result<Self> {
        if let Some((path, filled)) = &target.content {
            return Ok(Self {
                tree: Tree::open(path)?,
                is_new: !filled,
                _dir: None,
            });
        }
        let dir = tempfile::tempdir()?;
        let tree = Tree::open(dir.path())?;
        tree.chmod("", 0o755)?;
        Ok(Self {
            tree,
            is_new: true,
            _dir: Some(dir),
        })
    }

    /// Gives the root directory, and with it a file system that nobody changes, the time that stands for now.
    pub fn settle(&self, epoch: Option<i64>) -> Result<()> {
        Ok(self.tree.set_mtime("", epoch.unwrap_or(0), 0)?)
    }
}

/// The source epoch as file systems can hold it.
pub fn epoch<O>(args: &Args<O>) -> Result<Option<i64>> {
    let epoch = args.meta.source_epoch;
    if let Some(bad) = epoch.filter(|epoch| !(0..1 << 33).contains(epoch)) {
        bail!("the source-epoch {bad} cannot be a time in a file system");
    }
    Ok(epoch)
}

impl Target {
    /// Makes a file system with a tool that takes a whole file or device: `make` is given it, and what it makes ends up on
    /// the device.
    pub fn make_whole(&self, make: impl FnOnce(&SparseFile) -> Result<()>) -> Result<()> {
        if self.node.is_some() {
            return make(&self.image);
        }
        // the tools know no offset; the box's own /var/tmp lies on a disk
        let file = tempfile::tempfile_in("/var/tmp")?;
        let whole = SparseFile::new(file, self.size)?;
        make(&whole)?;
        ensure!(whole.size() == self.size, "the tool changed the size of the file");
        self.copy_from(&whole)
    }
}
