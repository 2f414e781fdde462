//! Keeping the store within its limit: what was not used for longest goes first.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use tree::index::TreeDigest;

use crate::away::take_away;
use crate::info::Info;
use crate::lock::{flock, is_at};
use crate::record;
use crate::store::Store;
use crate::{Error, Result, object};

/// What an eviction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    pub objects: usize,
    pub bytes: u64,
    /// Bytes that objects take now.
    pub left: u64,
}

/// What became of an object that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    InUse,
    /// Something lies on it.
    Covered,
}

/// An object as the eviction sees it.
#[derive(Debug)]
struct Known {
    size: u64,
    parent: Option<TreeDigest>,
    used: SystemTime,
}

impl Store {
    /// Removes objects, those not used for longest first, until the store keeps within [`Store::max_size`].
    ///
    /// An object stays while somebody uses it, while another one lies on it, and while a pinned reference names it. Of
    /// two processes one evicts, the other does nothing.
    pub fn evict(&self) -> Result<Evicted> {
        let Some(limit) = self.max_size()? else {
            return Ok(Evicted::default());
        };
        let mut known: HashMap<TreeDigest, Known> = self
            .digests()?
            .into_iter()
            .filter_map(|digest| Some((digest, self.known(&digest)?)))
            .collect();
        let mut done = Evicted {
            left: known.values().map(|k| k.size).sum(),
            ..Evicted::default()
        };
        if done.left <= limit {
            return Ok(done);
        }
        let Some(_lock) = self.try_lock_stage("eviction")? else {
            return Ok(done);
        };
        let mut spared = self.pinned();
        while done.left > limit {
            let covered: HashSet<TreeDigest> = known.values().filter_map(|k| k.parent).collect();
            let oldest = known
                .iter()
                .filter(|(digest, _)| !covered.contains(digest) && !spared.contains(digest))
                .min_by_key(|(digest, k)| (k.used, **digest))
                .map(|(digest, k)| (*digest, k.size));
            let Some((digest, size)) = oldest else { break };
            let there: Vec<TreeDigest> = known.keys().copied().collect();
            if self.remove_tree(&digest, &there)? == Removal::Removed {
                known.remove(&digest);
                done.objects += 1;
                done.bytes += size;
                done.left = done.left.saturating_sub(size);
            } else {
                spared.insert(digest);
            }
        }
        self.drop_dangling();
        Ok(done)
    }

    /// Removes one object, unless it is in use or something lies on it that is not among those `known`.
    pub(crate) fn remove_tree(&self, digest: &TreeDigest, known: &[TreeDigest]) -> Result<Removal> {
        let place = self.object_dir(digest);
        let path = place.join("lock");
        // without the file nobody can use it
        let lock = File::open(&path).ok();
        if let Some(lock) = &lock {
            let free = flock(lock, FlockOperation::NonBlockingLockExclusive, &path)?.is_some();
            if !free || !is_at(lock, &path) {
                return Ok(Removal::InUse);
            }
        }
        // with the lock held nobody can build on it any more, but since we looked somebody may have
        if self.is_covered_by_new(digest, known)? {
            return Ok(Removal::Covered);
        }
        let away = self.scratch("evicted")?;
        let target = away.path().join("object");
        match take_away(&place, &target) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("move away", place, e)),
            _ => Ok(Removal::Removed),
        }
    }

    fn is_covered_by_new(&self, digest: &TreeDigest, known: &[TreeDigest]) -> Result<bool> {
        let new = self.digests()?.into_iter().filter(|d| !known.contains(d));
        Ok(new
            .map(|d| object::parent(&self.object_dir(&d)))
            .any(|parent| parent == Ok(Some(*digest))))
    }

    fn known(&self, digest: &TreeDigest) -> Option<Known> {
        let dir = self.object_dir(digest);
        Some(Known {
            size: Info::read(&dir)?.size,
            parent: object::parent(&dir).ok()?,
            used: dir.join("lock").metadata().ok()?.modified().ok()?,
        })
    }

    fn links(&self) -> Vec<PathBuf> {
        let list = std::fs::read_dir(self.refs()).into_iter().flatten().flatten();
        list.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
            .map(|entry| entry.path())
            .collect()
    }

    fn pinned(&self) -> HashSet<TreeDigest> {
        let links = self.links();
        let records = links.iter().filter_map(|link| record::read(link));
        records
            .filter(|(_, record)| record.pinned)
            .map(|(tree, _)| tree)
            .collect()
    }

    /// Removes references whose object is gone.
    fn drop_dangling(&self) {
        for link in self.links() {
            let id = link.file_name().and_then(|name| name.to_str());
            // a builder that has the stage is about to name another object
            if let (false, Some(id)) = (link.exists(), id)
                && let Ok(Some(_lock)) = self.try_lock_stage(id)
                && !link.exists()
            {
                let _ = self.drop_reference(id);
            }
        }
    }
}
