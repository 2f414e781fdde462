//! Taking damage out of the way: the next build makes again what is gone.
//!
//! A damaged object is moved to `damaged/`, where nobody looks for trees. One that is in use stays where it is, as it may
//! be mounted, but loses its index: nobody finds it any more, and who makes it again moves it away.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use tree::index::TreeDigest;

use crate::away::take_away;
use crate::fsck::{Damage, Damaged};
use crate::lock::{flock, is_at};
use crate::object::parent;
use crate::record::json_of;
use crate::store::Store;
use crate::{Error, Result};

/// What became of something damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// It lies in `damaged/` now.
    Quarantined,
    /// It is removed.
    Removed,
    /// A builder uses it: it counts as missing, and is replaced when it has been made again.
    Disabled,
    /// A builder makes it again just now: it was left to that one.
    LeftToBuilder,
}

impl Store {
    /// Takes something damaged out of the way, with the references that name it.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn repair(&self, damage: &Damage) -> Result<Repair> {
        let repair = match &damage.what {
            Damaged::Tree(digest) => self.disable(digest)?,
            Damaged::Stage(id) => return self.drop_stale(id),
            Damaged::Download(name) => {
                let path = self.sources().join("org.osbuild.files").join(name);
                self.put_aside(&path, name)?
            }
        };
        for id in &damage.stages {
            self.drop_stale(id)?;
        }
        Ok(repair)
    }

    /// Removes the reference of a stage, unless a builder has that stage.
    fn drop_stale(&self, id: &str) -> Result<Repair> {
        let Some(_lock) = self.try_lock_stage(id)? else {
            return Ok(Repair::LeftToBuilder);
        };
        self.drop_reference(id)?;
        Ok(Repair::Removed)
    }

    /// Removes a reference; its stage's lock is held.
    pub(crate) fn drop_reference(&self, id: &str) -> Result<()> {
        let link = self.refs().join(id);
        for path in [link.clone(), json_of(&link)] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("remove", path, e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn disable(&self, digest: &TreeDigest) -> Result<Repair> {
        let dir = self.object_dir(digest);
        if let Some(_locks) = self.lock_all_above(digest)? {
            return self.put_aside(&dir, &digest.to_string());
        }
        match std::fs::remove_file(dir.join("index")) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", dir.join("index"), e)),
            _ => Ok(Repair::Disabled),
        }
    }

    /// Keeps everybody from an object and those that lie on it: who uses one of these has its layer mounted too. `None`:
    /// somebody does.
    fn lock_all_above(&self, digest: &TreeDigest) -> Result<Option<Vec<File>>> {
        let parents: BTreeMap<TreeDigest, Option<TreeDigest>> = self
            .trees()?
            .into_iter()
            .map(|digest| (digest, parent(&self.object_dir(&digest)).ok().flatten()))
            .collect();
        let mut locks = Vec::new();
        for other in parents.keys().filter(|other| lies_on(other, digest, &parents)) {
            let path = self.object_dir(other).join("lock");
            // without one it cannot be used
            let Ok(lock) = File::open(&path) else { continue };
            let free = flock(&lock, FlockOperation::NonBlockingLockExclusive, &path)?.is_some();
            if !free || !is_at(&lock, &path) {
                return Ok(None);
            }
            locks.push(lock);
        }
        Ok(Some(locks))
    }

    /// Moves something to the quarantine. Of what is missing an empty place there tells that it was missed.
    fn put_aside(&self, path: &Path, name: &str) -> Result<Repair> {
        let dir = self.quarantine();
        make_private(&dir)?;
        let place = dir.join(name);
        if place.symlink_metadata().is_ok() {
            let old = self.scratch("damaged")?;
            take_away(&place, &old.path().join("old")).map_err(|e| Error::io("move away", &place, e))?;
        }
        match take_away(path, &place) {
            Ok(()) if place.symlink_metadata().is_ok() => Ok(Repair::Quarantined),
            Ok(()) => make_private(&place).map(|()| Repair::Quarantined),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_private(&place)?;
                Ok(Repair::Quarantined)
            }
            Err(e) => Err(Error::io("move away", path, e)),
        }
    }

    /// What lies in the quarantine.
    pub(crate) fn quarantined(&self) -> Result<Vec<PathBuf>> {
        let dir = self.quarantine();
        let mut names = crate::list::names(&dir)?;
        names.sort();
        Ok(names.into_iter().map(|name| dir.join(name)).collect())
    }
}

/// Whether `tree` is `below`, or has it somewhere below.
fn lies_on(
    tree: &TreeDigest,
    below: &TreeDigest,
    parents: &BTreeMap<TreeDigest, Option<TreeDigest>>,
) -> bool {
    let mut next = Some(*tree);
    // a chain is not longer than there are objects, unless it is a circle, which only damage makes
    for _ in 0..=parents.len() {
        match next {
            Some(tree) if tree == *below => return true,
            Some(tree) => next = parents.get(&tree).copied().flatten(),
            None => return false,
        }
    }
    false
}

/// Makes a directory for the owner alone: set-id programs of images come to lie there.
fn make_private(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io("make", path, e)),
        _ => Ok(()),
    }
}
