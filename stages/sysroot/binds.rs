//! Directories of a tree as mounts of their own.

use std::path::{Path, PathBuf};

use module::{Context, Result};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount};

/// Mounts in the box, taken down when this is dropped, the last one first.
#[derive(Debug, Default)]
pub struct Binds(Vec<PathBuf>);

impl Binds {
    /// Mounts each path of the tree on itself, so that `ostree` takes it for a file system of its own.
    pub fn on_themselves(tree: &Path, paths: &[String]) -> Result<Self> {
        let mut binds = Self::default();
        for path in paths {
            let path = super::below(tree, path);
            binds.mount(&path, &path)?;
        }
        Ok(binds)
    }

    /// Shows `source` at `target`.
    pub fn mount(&mut self, source: &Path, target: &Path) -> Result<()> {
        mount_bind_recursive(source, target)
            .with_context(|| format!("cannot mount {} on {}", source.display(), target.display()))?;
        self.0.push(target.to_owned());
        mount_change(target, MountPropagationFlags::PRIVATE)
            .with_context(|| format!("cannot make the mount {} private", target.display()))
    }
}

impl Drop for Binds {
    fn drop(&mut self) {
        while let Some(target) = self.0.pop() {
            if let Err(e) = unmount(&target, UnmountFlags::DETACH) {
                eprintln!("cannot unmount {}: {e}", target.display());
            }
        }
    }
}
