//! One end of a copy.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use module::{Args, Context, Location, Result, Tree, bail};
use rustix::fs::OFlags;

/// A path in a tree.
pub struct Place {
    pub tree: Tree,
    /// From the root of `tree`, without `.` and `..`; empty for the root itself.
    pub path: PathBuf,
    /// It was written with a slash at its end.
    pub contents: bool,
}

impl Place {
    /// Reads a location.
    pub fn read<O>(args: &Args<O>, text: &str) -> Result<Self> {
        let location = Location::parse(text)?;
        let mut path = PathBuf::new();
        for part in Path::new(location.path()).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => drop(path.pop()),
                _ => {}
            }
        }
        Ok(Self {
            tree: location.root(args)?,
            path,
            contents: location.path().is_empty() || location.path().ends_with('/'),
        })
    }

    /// The contents of the directory `path` of the same tree.
    pub fn contents_of(&self, path: &Path) -> Result<Self> {
        Ok(Self {
            tree: self.tree.subtree("")?,
            path: path.to_owned(),
            contents: true,
        })
    }

    /// The last name of the path; for the root, of the directory that it is.
    pub fn name(&self) -> Result<OsString> {
        let whole = self.path.file_name().or(self.tree.path().file_name());
        whole
            .map(OsString::from)
            .context("the source has no name: write it with a `/` at its end")
    }

    /// The path of the file that the link `path` leads to, without any link in it.
    pub fn through(&self, path: &Path) -> Result<PathBuf> {
        if !self.tree.is_file(path) {
            bail!(
                "/{} is a link that leads to no file: set `remove_destination` to replace it",
                path.display()
            );
        }
        let (root, file) = (real(&self.tree, Path::new(""))?, real(&self.tree, path)?);
        let inside = file.strip_prefix(&root);
        Ok(inside
            .with_context(|| format!("/{} was moved meanwhile", path.display()))?
            .to_owned())
    }

    /// Whether `path` of this tree is the directory `other` or lies below it.
    pub fn lies_in(&self, path: &Path, other: &Place) -> Result<bool> {
        let mut existing = path;
        while !self.tree.is_dir(existing) {
            let Some(parent) = existing.parent() else {
                return Ok(false);
            };
            existing = parent;
        }
        let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
        let whole = real(&self.tree, existing)?.join(rest);
        Ok(whole.starts_with(real(&other.tree, &other.path)?))
    }
}

/// Where the kernel says that `path` lies.
fn real(tree: &Tree, path: &Path) -> Result<PathBuf> {
    let fd = tree.open_at(path, OFlags::PATH, 0)?;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).context("/proc is not there")
}
