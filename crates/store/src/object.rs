//! [`Object`]: a tree that is in the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rustix::fs::{FlockOperation, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use tree::Tree;
use tree::index::{Index, Times, TreeDigest, What};

use crate::info::Info;
use crate::lock::{flock, is_at};
use crate::store::Store;
use crate::{Error, Result};

/// No chain is longer, unless the store is damaged: commits merge layers long before, at [`LAYERS`](crate::chain::LAYERS).
const LONGEST: usize = 1000;
/// So many indexes are kept in memory, and so many bytes of them beside the last one.
const RECENT: (usize, usize) = (4, 16 << 20);

/// A whole tree in the store, kept there while the value (or a clone of it) lives.
#[derive(Debug, Clone)]
pub struct Object(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    digest: TreeDigest,
    path: PathBuf,
    /// Digests of the objects whose layers make the tree, the topmost first.
    chain: Vec<TreeDigest>,
    layers: Vec<PathBuf>,
    _lock: File,
}

impl Object {
    /// The digest of the tree's content.
    pub fn digest(&self) -> &TreeDigest {
        &self.0.digest
    }

    /// The object's own directory in the store.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Bytes on disk that the tree takes beside `base`, on which it was made: none where it is the same one.
    pub fn size_above(&self, base: Option<&Object>) -> u64 {
        let same = base.is_some_and(|base| base.digest() == self.digest());
        let info = (!same).then(|| Info::read(&self.0.path)).flatten();
        info.map_or(0, |info| info.size)
    }

    /// The directories that make the tree when overlaid, the topmost first: absolute paths.
    pub fn layers(&self) -> Vec<PathBuf> {
        self.0.layers.clone()
    }

    /// The entries of the whole tree, checked against the digest.
    pub fn index(&self) -> Result<Index> {
        read_index(&self.0.path, self.0.digest)
    }

    /// Whether the layers hold what the index says: all contents are read.
    pub fn is_intact(&self) -> Result<bool> {
        is_intact(&self.0.path, self.0.digest, &self.0.layers)
    }

    pub(crate) fn chain(&self) -> &[TreeDigest] {
        &self.0.chain
    }

    /// The lowest `layers` of those that make the tree. They are there while the object is, and once another object that
    /// lies on them is in its place.
    pub(crate) fn lowest(&self, layers: usize) -> Below<'_> {
        let above = self.0.chain.len().saturating_sub(layers);
        Below {
            chain: &self.0.chain[above..],
            layers: &self.0.layers[above..],
        }
    }

    fn new(
        digest: TreeDigest,
        path: PathBuf,
        chain: Vec<TreeDigest>,
        layers: Vec<PathBuf>,
        lock: File,
    ) -> Self {
        Self(Arc::new(Inner {
            digest,
            path,
            chain,
            layers,
            _lock: lock,
        }))
    }
}

/// What an object lies on: nothing, or what a part of another one's chain makes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Below<'o> {
    chain: &'o [TreeDigest],
    layers: &'o [PathBuf],
}

impl<'o> Below<'o> {
    /// The object that is the parent of what lies on it.
    pub(crate) fn digest(&self) -> Option<&'o TreeDigest> {
        self.chain.first()
    }

    pub(crate) fn layers(&self) -> &'o [PathBuf] {
        self.layers
    }
}

impl Store {
    /// The object of that digest; `None` where it, or something below it, is missing or damaged.
    pub fn object(&self, digest: &TreeDigest) -> Result<Option<Object>> {
        let path = self.objects().join(digest.to_string());
        let Some(lock) = use_lock(&path, self.desk.is_some())? else {
            return Ok(None);
        };
        let Some(info) = Info::read(&path) else {
            return Ok(None);
        };
        let Some(chain) = self.chain(digest) else {
            return Ok(None);
        };
        let layer = |digest: &TreeDigest| self.objects().join(digest.to_string()).join("layer");
        let layers: Vec<PathBuf> = chain.iter().map(layer).collect();
        if chain.len() > 1 && self.hides_marks() && !self.is_seen_whole(&path, *digest, &layers) {
            return Ok(None);
        }
        if info.is_doubtful() {
            if !is_intact(&path, *digest, &layers).unwrap_or(false) {
                return Ok(None);
            }
            self.mark_durable(&path, info);
        }
        Ok(Some(Object::new(*digest, path, chain, layers, lock)))
    }

    /// The digests of the objects that make a tree, itself first; `None` when one is missing.
    pub(crate) fn chain(&self, digest: &TreeDigest) -> Option<Vec<TreeDigest>> {
        let mut chain = Vec::new();
        let mut next = Some(*digest);
        while let Some(digest) = next {
            let path = self.objects().join(digest.to_string());
            let whole = path.join("index").is_file() && path.join("layer").is_dir();
            if !whole || !Info::read(&path)?.is_readable() || chain.len() == LONGEST {
                return None;
            }
            chain.push(digest);
            next = parent(&path).ok()?;
        }
        Some(chain)
    }

    /// Whether the layers of a tree show through a file system that hides marks: found out once.
    fn is_seen_whole(&self, path: &Path, digest: TreeDigest, layers: &[PathBuf]) -> bool {
        let seen = || self.drive.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole) = seen().get(&digest) {
            return *whole;
        }
        let whole = is_intact(path, digest, layers).unwrap_or(false);
        seen().insert(digest, whole);
        whole
    }

    /// Whether a tree can be made upon the object: its index is whole. One that is not counts as missing from now on.
    pub fn is_usable(&self, object: &Object) -> Result<bool> {
        match self.index_of(object) {
            Ok(_) => Ok(true),
            Err(Error::Damaged { .. }) => {
                // the rest stays, as others may have it mounted, until the object is made again
                let path = object.path().join("index");
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        Err(Error::io("remove the damaged", path, e))
                    }
                    _ => Ok(false),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// The index of an object, from memory when it was used just now.
    pub(crate) fn index_of(&self, object: &Object) -> Result<Arc<Index>> {
        let find = || {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let found = recent.iter().find(|(digest, _)| digest == object.digest());
            found.map(|(_, index)| Arc::clone(index))
        };
        if let Some(index) = find() {
            return Ok(index);
        }
        let index = Arc::new(object.index()?);
        self.remember(*object.digest(), Arc::clone(&index));
        Ok(index)
    }

    pub(crate) fn remember(&self, digest: TreeDigest, index: Arc<Index>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front((digest, index));
        let (most, mut room) = RECENT;
        let older = recent.iter().take(most).skip(1).take_while(|(_, index)| {
            let rest = room.checked_sub(index.memory());
            room = rest.unwrap_or(0);
            rest.is_some()
        });
        let kept = 1 + older.count();
        recent.truncate(kept);
    }
}

/// The digest of the object below; an error when the file is there and is none.
pub(crate) fn parent(object: &Path) -> std::result::Result<Option<TreeDigest>, ()> {
    match fault::step!(std::fs::read_to_string(object.join("parent"))) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| ()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(_) => Err(()),
    }
}

/// Keeps an object from being evicted; `None` when it is not there. Marks it as used now, unless one only looks.
pub(crate) fn use_lock(object: &Path, mark: bool) -> Result<Option<File>> {
    let path = object.join("lock");
    loop {
        let Ok(file) = fault::step!(File::open(&path)) else {
            return Ok(None);
        };
        flock(&file, FlockOperation::LockShared, &path)?;
        if is_at(&file, &path) {
            if !mark {
                return Ok(Some(file));
            }
            let now = rustix::fs::Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW as _,
            };
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            // in another user's store the time of the last use is theirs to keep
            let _ = rustix::fs::futimens(&file, &times);
            return Ok(Some(file));
        }
    }
}

/// Locks the not yet published object in `dir`, and keeps the lock when it is moved to its place.
pub(crate) fn publish(
    dir: &Path,
    place: PathBuf,
    digest: TreeDigest,
    below: Below<'_>,
) -> Result<std::result::Result<Object, std::io::Error>> {
    let path = dir.join("lock");
    let lock = fault::step!(File::create(&path)).map_err(|e| Error::io("write", &path, e))?;
    flock(&lock, FlockOperation::LockShared, &path)?;
    if let Err(e) = fault::step!(std::fs::rename(dir, &place)) {
        return Ok(Err(e));
    }
    let chain = [&[digest], below.chain].concat();
    let layers = [&[place.join("layer")], below.layers].concat();
    Ok(Ok(Object::new(digest, place, chain, layers, lock)))
}

pub(crate) fn read_index(object: &Path, digest: TreeDigest) -> Result<Index> {
    let path = object.join("index");
    let damaged = |reason: String| Error::Damaged { digest, reason };
    let index = fault::step!(File::open(&path))
        .and_then(Index::read_from)
        .map_err(|e| match e.raw_os_error().map(Errno::from_raw_os_error) {
            None | Some(Errno::NOENT | Errno::IO) => damaged(format!("its index: {e}")),
            // such as too many open files: that says nothing of the object
            Some(_) => Error::io("read", &path, e),
        })?;
    if index.digest() != digest {
        return Err(damaged("its index is of another tree".into()));
    }
    Ok(index)
}

/// Reads all layers and compares them with the index; times may differ, what was changed by accident is more than that.
fn is_intact(object: &Path, digest: TreeDigest, layers: &[PathBuf]) -> Result<bool> {
    let Ok(index) = read_index(object, digest) else {
        return Ok(false);
    };
    let mut found = Index::empty();
    for layer in layers.iter().rev() {
        found = found.merge_layer(&Tree::open(layer)?, Times::Keep)?;
    }
    let only_time = |what: &What| matches!(what, What::Changed(aspects) if aspects == &["time"]);
    Ok(index.differences(&found).all(|one| only_time(&one.what)))
}
