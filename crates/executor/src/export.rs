//! Handing a finished tree out of the store.

use std::path::{Path, PathBuf};

use store::Object;
use tree::Tree;
use tree::copy::{Options, copy_tree};

use crate::{Error, Result};

/// Where a tree goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub dir: PathBuf,
    /// Whether files keep their owners; without it they belong to whoever runs us.
    pub ownership: bool,
    /// Whether the directory itself gets owner, mode and time of the tree's root.
    pub root: bool,
}

impl Destination {
    /// Makes the directory where it is not there and checks that it is one: before anything is built.
    ///
    /// # Errors
    /// It is a file, or cannot be made.
    pub fn prepare(dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Error::io(
                "use as output directory",
                dir,
                std::io::Error::other("it is not a directory"),
            ),
            _ => Error::io("make the output directory", dir, e),
        })
    }

    /// Copies the contents of the tree into the directory, over what is there. Never a hard link into the store.
    ///
    /// # Errors
    /// A file cannot be copied: no space, no permission.
    pub fn export(&self, object: Option<&Object>) -> Result<()> {
        Self::prepare(&self.dir)?;
        let Some(object) = object else { return Ok(()) };
        let merged = sandbox::overlay::Merged::open(&object.layers())?;
        let from = Tree::open(merged.path())?;
        let to = Tree::open(&self.dir)?;
        let options = Options {
            ownership: self.ownership,
            root: self.root,
            ..Options::default()
        };
        copy_tree(&from, &to, &options)?;
        Ok(())
    }
}
