//! Keeping the store within its limit: what was not used for longest goes first.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use tree::index::TreeDigest;

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
            if self.remove(&digest, &known)? {
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

    /// Removes one object unless it is in use; says whether it did.
    fn remove(&self, digest: &TreeDigest, known: &HashMap<TreeDigest, Known>) -> Result<bool> {
        let place = self.objects().join(digest.to_string());
        let path = place.join("lock");
        let Ok(lock) = File::open(&path) else {
            return Ok(false);
        };
        let free =
            flock(&lock, FlockOperation::NonBlockingLockExclusive, &path)?.is_some() && is_at(&lock, &path);
        // with the lock held nobody can build on it any more, but since we looked somebody may have
        if !free || self.is_covered_by_new(digest, known)? {
            return Ok(false);
        }
        let away = self.scratch("evicted")?;
        let target = away.path().join("object");
        std::fs::rename(&place, &target).map_err(|e| Error::io("move away", place, e))?;
        Ok(true)
    }

    fn is_covered_by_new(&self, digest: &TreeDigest, known: &HashMap<TreeDigest, Known>) -> Result<bool> {
        let new = self.digests()?.into_iter().filter(|d| !known.contains_key(d));
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

    fn object_dir(&self, digest: &TreeDigest) -> PathBuf {
        self.objects().join(digest.to_string())
    }

    /// All names in `objects/` that can be ours.
    fn digests(&self) -> Result<Vec<TreeDigest>> {
        let path = self.objects();
        let list = std::fs::read_dir(&path).map_err(|e| Error::io("list", &path, e))?;
        Ok(list
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
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
            if !link.exists() {
                remove_reference(&link);
            }
        }
    }
}

fn remove_reference(link: &Path) {
    let _ = std::fs::remove_file(link);
    let _ = std::fs::remove_file(record::json_of(link));
}
