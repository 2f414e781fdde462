//! A directory for something on its way into the store.
//!
//! It is hidden beside where the thing will lie, and goes when it is dropped. Whoever has it holds its lock: what a
//! killed process has left is found unlocked, and removed by the next one.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::same_file::lies_at;

const PREFIX: &str = ".draft-";

/// A locked directory of our own.
pub(crate) struct Draft {
    dir: TempDir,
    _lock: File,
}

impl Draft {
    /// Makes one in `parent`, which is made as well.
    pub(crate) fn new(parent: &Path) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("cannot make a directory in {}: {e}", parent.display());
        fault::step!(std::fs::create_dir_all(parent)).map_err(failed)?;
        collect(parent);
        loop {
            let dir =
                fault::step!(tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)).map_err(failed)?;
            // between these two somebody may have collected it
            let lock = match fault::step!(File::open(dir.path())) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && lies_at(&lock, dir.path()) {
                return Ok(Self { dir, _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what is in nobody's hands.
pub(crate) fn collect(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours
            && let Ok(lock) = File::open(entry.path())
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_collected_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(".draft-dead/below");
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::create_dir(parent.path().join("sha256:x")).unwrap();
        let draft = Draft::new(parent.path()).unwrap();
        assert!(!dead.exists());
        let other = Draft::new(parent.path()).unwrap();
        assert!(draft.path().is_dir() && other.path().is_dir());
        drop((draft, other));
        let left: Vec<_> = std::fs::read_dir(parent.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["sha256:x"]);
    }
}
