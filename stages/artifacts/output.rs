//! A file of the tree that a tool of the build root writes.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use module::{Context, Result, Tree, ensure};
use tree::Kind;

/// Where a tool finds its output: it is run in the directory of the file and told the last name only, so that no link in
/// the tree leads it elsewhere.
#[derive(Debug)]
pub struct ToolOutput {
    dir: OwnedFd,
    name: OsString,
}

impl ToolOutput {
    /// The file `path` of the tree, which may be there already.
    ///
    /// # Errors
    /// Its directory is not there, or something else than a file is in its place.
    pub fn new(tree: &Tree, path: &str) -> Result<Self> {
        let (dir, name) = tree.parent_of(Path::new(path))?;
        let there = tree.stat(path)?.map(|stat| stat.kind);
        ensure!(
            matches!(there, None | Some(Kind::File)),
            "/{} is there and no file",
            path.trim_start_matches('/')
        );
        Ok(Self { dir, name })
    }

    /// The directory to run the tool in.
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    /// The file's name there, in a form that no tool takes for an option.
    pub fn name(&self) -> Result<String> {
        let name = self.name.to_str().context("a file's name is not UTF-8")?;
        Ok(format!("./{name}"))
    }
}
