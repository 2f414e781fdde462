//! One layer over those below it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use archive::extract::{Unpacker, inside};
use archive::tar::{Kind as Member, Reader};
use module::{Context, Result, Tree, bail};
use tree::Kind;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks a layer. Links on the way are followed inside the tree.
pub(super) struct Layer<'t> {
    tree: &'t Tree,
    /// What this layer has brought: its own whiteouts do not mean that.
    brought: HashSet<PathBuf>,
}

impl<'t> Layer<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            brought: HashSet::new(),
        }
    }

    /// Unpacks the tar archive `stream`.
    pub(super) fn unpack(&mut self, stream: impl Read) -> Result<()> {
        let mut reader = Reader::new(stream);
        let mut unpacker = Unpacker::new(self.tree);
        while let Some(entry) = reader.entry().context("its archive is damaged")? {
            let path = inside(&entry.path)?;
            let name = path.file_name().unwrap_or_default();
            let parent = path.parent().unwrap_or(Path::new(""));
            if name.as_bytes() == OPAQUE {
                self.clear(parent)?;
                unpacker.tree_changed();
            } else if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
                // others of aufs mean nothing to an image
                if !hidden.starts_with(WHITEOUT) {
                    self.hide(&parent.join(OsStr::from_bytes(hidden)))?;
                    unpacker.tree_changed();
                }
            } else {
                // what is no directory takes the place of one of the layers below, whatever is in that
                let there = self.tree.stat(&path)?.map(|stat| stat.kind);
                if entry.kind != Member::Directory
                    && there == Some(Kind::Directory)
                    && !path.as_os_str().is_empty()
                {
                    self.tree.remove_all(&path)?;
                    unpacker.tree_changed();
                }
                unpacker.unpack(&path, &entry, &mut reader)?;
                self.brought.insert(path);
            }
        }
        match unpacker.finish()?.first() {
            None => Ok(()),
            Some((path, _)) => bail!(
                "cannot unpack /{}: device nodes cannot be made in a sandbox",
                path.display()
            ),
        }
    }

    /// Removes what a layer below has brought.
    fn hide(&self, path: &Path) -> Result<()> {
        if self.brought.contains(path) {
            return self.clear(path);
        }
        Ok(self.tree.remove_all(path)?)
    }

    /// Removes all that the layers below have brought into a directory.
    fn clear(&self, dir: &Path) -> Result<()> {
        if !matches!(self.tree.stat(dir)?, Some(stat) if stat.kind == Kind::Directory) {
            return Ok(());
        }
        for name in self.tree.list(dir)? {
            self.hide(&dir.join(name))?;
        }
        Ok(())
    }
}
