//! Directories in `tmp/` that vanish with whoever made them.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use crate::lock::{StageLock, flock, is_at};
use crate::{Error, Result, own};

/// What the names of our directories begin with; all else in `tmp/` is not ours.
pub(crate) const PREFIX: &str = "new-";
/// The same in a directory of the user's.
const HIDDEN: &str = ".osbuild-new-";

/// A directory of one's own on the store's file system. It is removed with the value; should the process die, the next
/// one that opens the store removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    lock: File,
}

impl Scratch {
    pub(crate) fn new(tmp: &Path, name: &str) -> Result<Self> {
        Self::named(tmp, &format!("{PREFIX}{name}"))
    }

    /// A hidden one in a directory outside the store, for what then takes its place there. Those that died builders left
    /// are removed.
    pub fn hidden_in(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
        let new = Self::named(&dir, &format!("{HIDDEN}export"))?;
        for left in leftovers_named(&dir, HIDDEN) {
            left.remove();
        }
        Ok(new)
    }

    fn named(dir: &Path, name: &str) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("{name}-{}-{number}", std::process::id()));
            match fault::step!(DirBuilder::new().mode(0o755).create(&path)) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::io("make", path, e)),
            }
            match lock_new(&path) {
                Ok(Some(lock)) => {
                    own::add(&path);
                    return Ok(Self { path, lock });
                }
                Ok(None) => {}
                Err(e) => {
                    let _ = std::fs::remove_dir(&path);
                    return Err(e);
                }
            }
        }
    }

    /// Where it is: an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks a directory that was just made; `None`: another process has taken it for a leftover meanwhile.
fn lock_new(path: &Path) -> Result<Option<File>> {
    let lock = match fault::step!(File::open(path)) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| Error::io("open", path, e))?,
    };
    flock(&lock, FlockOperation::LockExclusive, path)?;
    Ok(is_at(&lock, path).then_some(lock))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what resists is a leftover, which is tried again when a store is opened
        let _ = remove(&self.path);
        own::forget(&self.path);
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Removes a path with all below.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = tree::Tree::open(parent)?;
    Ok(tree::remove_tree(parent.fd().as_fd(), name)?)
}

/// A directory that a builder left when it died. While the value lives nobody else removes it.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub path: PathBuf,
    lock: File,
}

impl Leftover {
    /// Removes it; what cannot be removed is no failure.
    pub fn remove(self) {
        let _ = remove(&self.path);
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// What others left in `tmp`: directories of ours that nobody holds. Locks of stages that nobody holds are removed.
pub(crate) fn leftovers(tmp: &Path) -> Vec<Leftover> {
    for entry in std::fs::read_dir(tmp).into_iter().flatten().flatten() {
        if begins(&entry.file_name(), "lock-") {
            // taken and dropped, which removes it
            let _ = StageLock::take(&entry.path(), false);
        }
    }
    leftovers_named(tmp, PREFIX)
}

/// The directories whose names begin with `prefix` and that nobody holds.
pub(crate) fn leftovers_named(dir: &Path, prefix: &str) -> Vec<Leftover> {
    let list = std::fs::read_dir(dir).into_iter().flatten().flatten();
    list.filter(|entry| begins(&entry.file_name(), prefix))
        .filter_map(|entry| {
            let path = entry.path();
            let lock = File::open(&path).ok()?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive, &path).ok()??;
            is_at(&lock, &path).then_some(Leftover { path, lock })
        })
        .collect()
}

fn begins(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}
