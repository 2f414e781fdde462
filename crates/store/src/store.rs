//! [`Store`]: its directory.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tree::index::{Index, TreeDigest};

use crate::broom::Broom;
use crate::driver::Drive;
use crate::lock::{PeerLock, StageLock};
use crate::scratch::{Scratch, leftovers};
use crate::spare::Spares;
use crate::{Error, Result};

/// What tells backup programs to pass the directory over (bford.info/cachedir).
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
                            # A store of operating system trees: all of it can be made again.\n";

/// A store that is open: many processes, and threads of one, may have it open at once.
#[derive(Debug)]
pub struct Store {
    pub(crate) path: PathBuf,
    /// Where files are written before they are moved to their places; `None` for who only looks.
    pub(crate) desk: Option<Scratch>,
    /// False from the moment the desk goes: for the thread that outlives the value.
    pub(crate) open: Arc<Mutex<bool>>,
    /// The indexes used last: the stage that follows needs that of the stage before.
    pub(crate) recent: Mutex<VecDeque<(TreeDigest, Arc<Index>)>>,
    pub(crate) drive: Drive,
    /// What all boxes of a run are lent.
    pub(crate) common: Mutex<Option<Scratch>>,
    /// What the next stage may have.
    pub(crate) spares: Spares,
    pub(crate) broom: Broom,
    _peer: Option<PeerLock>,
}

impl Drop for Store {
    fn drop(&mut self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl Store {
    /// Opens the store in `dir`, which is made where it is not there, and removes what died builders left.
    ///
    /// # Errors
    /// `dir` is a file, or cannot be written to.
    pub fn open(dir: &Path) -> Result<Self> {
        let store = Self::open_as_left(dir)?;
        for left in leftovers(&store.tmp()) {
            left.remove();
        }
        Ok(store)
    }

    /// Opens the store in `dir` to look at it: nothing is made or changed, and not even the time of an object's last use.
    /// `None`: there is no such directory.
    ///
    /// # Errors
    /// `dir` is a file, or its lock cannot be had.
    pub fn look(dir: &Path) -> Result<Option<Self>> {
        let path = match dir.canonicalize() {
            Ok(path) if path.is_dir() => path,
            Ok(_) => return Err(Error::NotADirectory(dir.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", dir, e)),
        };
        let lock = path.join("cache.lock");
        let peer = lock.exists().then(|| PeerLock::read(&lock)).transpose()?;
        Ok(Some(Self::new(path, None, peer)))
    }

    fn new(path: PathBuf, desk: Option<Scratch>, peer: Option<PeerLock>) -> Self {
        Self {
            path,
            desk,
            open: Arc::new(Mutex::new(true)),
            recent: Mutex::default(),
            drive: Drive::default(),
            common: Mutex::default(),
            spares: Spares::default(),
            broom: Broom::default(),
            _peer: peer,
        }
    }

    /// [`Store::open`] without removing anything.
    pub fn open_as_left(dir: &Path) -> Result<Self> {
        let unwritable = |source: std::io::Error| Error::Unwritable {
            path: dir.to_owned(),
            source,
        };
        if dir.metadata().is_ok_and(|there| !there.is_dir()) {
            return Err(Error::NotADirectory(dir.to_owned()));
        }
        fault::step!(std::fs::create_dir_all(dir)).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Error::NotADirectory(dir.to_owned()),
            _ => unwritable(e),
        })?;
        let path = dir.canonicalize().map_err(unwritable)?;
        // set-id programs of images lie in objects and tmp: of no use to other users of this machine
        for (name, mode) in [
            ("objects", 0o700),
            ("refs", 0o755),
            ("sources", 0o755),
            ("sources/org.osbuild.files", 0o755),
            ("tmp", 0o700),
            ("logs", 0o755),
        ] {
            match fault::step!(DirBuilder::new().mode(mode).create(path.join(name))) {
                Ok(()) if name == "tmp" => spread(&path.join(name)),
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists && path.join(name).is_dir() => {}
                Err(e) => return Err(unwritable(e)),
            }
        }
        let unwritable_too = |e: Error| match e {
            Error::Io { source, .. } => unwritable(source),
            other => other,
        };
        let peer = PeerLock::read(&path.join("cache.lock")).map_err(unwritable_too)?;
        let tmp = path.join("tmp");
        let desk = Scratch::new(&tmp, "desk").map_err(unwritable_too)?;
        let tag = path.join("CACHEDIR.TAG");
        // one that a power cut left empty is written again: nobody waits for the disk
        if tag.metadata().map_or(0, |tag| tag.len()) == 0 {
            write_whole(desk.path(), &tag, CACHEDIR_TAG.as_bytes())?;
        }
        let store = Self::new(path, Some(desk), Some(peer));
        store.set_down_limit()?;
        Ok(store)
    }

    /// Whether there is something under a stage's id: a hint, since it may be damaged, or of another tree below.
    pub fn has(&self, id: &str) -> bool {
        check_id(id).is_ok_and(|id| self.refs().join(id).exists())
    }

    /// The store's directory: an absolute path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where downloads are kept: `<store>/sources`, with one directory a kind of content.
    pub fn sources(&self) -> PathBuf {
        self.path.join("sources")
    }

    /// Where the logs of stages are kept.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// A directory on the store's file system that vanishes with the value.
    pub fn scratch(&self, prefix: &str) -> Result<Scratch> {
        Scratch::new(&self.tmp(), prefix)
    }

    /// Waits until no other builder has the stage, and keeps others waiting while the value lives.
    pub fn lock_stage(&self, id: &str) -> Result<StageLock> {
        let path = self.lock_path(id)?;
        loop {
            if let Some(lock) = StageLock::take(&path, true)? {
                return Ok(lock);
            }
        }
    }

    /// [`Store::lock_stage`] without waiting; `None`: another builder has the stage.
    pub fn try_lock_stage(&self, id: &str) -> Result<Option<StageLock>> {
        StageLock::take(&self.lock_path(id)?, false)
    }

    /// Keeps a file `name` at the top of the store that can be made again: only the owner can write it.
    ///
    /// # Errors
    /// It cannot be written, or the store was opened to look at it.
    pub fn write_note(&self, name: &str, content: &[u8]) -> Result<()> {
        write_then(self.desk()?, &self.path.join(name), content, |file| {
            file.set_permissions(std::fs::Permissions::from_mode(0o644))
        })
    }

    fn lock_path(&self, id: &str) -> Result<PathBuf> {
        Ok(self.tmp().join(format!("lock-{}", check_id(id)?)))
    }

    /// Where files are written before they are moved to their places.
    ///
    /// # Errors
    /// The store was opened to look at it.
    pub(crate) fn desk(&self) -> Result<&Path> {
        let desk = self.desk.as_ref().map(Scratch::path);
        desk.ok_or_else(|| Error::ReadOnly(self.path.clone()))
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Where damaged objects and downloads lie until they are collected.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.path.join("damaged")
    }

    pub(crate) fn refs(&self) -> PathBuf {
        self.path.join("refs")
    }
}

/// Has ext4 put each directory of `dir` into a part of the disk of its own (`chattr +T`). Without a journal it looks for a
/// free inode by passing over those deleted in the last minutes, one by one, and in here all that is made is soon deleted.
fn spread(dir: &Path) {
    // other file systems know no such thing
    if let Ok(dir) = File::open(dir)
        && let Ok(flags) = rustix::fs::ioctl_getflags(&dir)
    {
        let _ = rustix::fs::ioctl_setflags(&dir, flags | rustix::fs::IFlags::TOPDIR);
    }
}

/// Refuses ids that would not be one plain file name.
pub(crate) fn check_id(id: &str) -> Result<&str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.chars().all(allowed) {
        return Err(Error::BadId(id.to_owned()));
    }
    Ok(id)
}

/// A path in `desk` that nobody else uses.
pub(crate) fn fresh(desk: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    desk.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string())
}

/// Writes a file so that `path` has all of it or what it had before.
pub(crate) fn write_whole(desk: &Path, path: &Path, content: &[u8]) -> Result<()> {
    write_then(desk, path, content, |_| Ok(()))
}

/// [`write_whole`] for what is not made again: it is on disk before it gets its name, so that no empty file is found there
/// after the machine went down.
pub(crate) fn write_durably(desk: &Path, path: &Path, content: &[u8]) -> Result<()> {
    write_then(desk, path, content, |file| fault::step!(file.sync_data()))
}

fn write_then(
    desk: &Path,
    path: &Path,
    content: &[u8],
    then: impl FnOnce(&File) -> std::io::Result<()>,
) -> Result<()> {
    let draft = fresh(desk);
    write_new(&draft, content)
        .and_then(|file| then(&file))
        .and_then(|()| fault::step!(std::fs::rename(&draft, path)))
        .map_err(|e| Error::io("write", path, e))
}

/// Writes what is to be renamed to `path` later.
pub(crate) fn write_draft(desk: &Path, path: &Path, content: &[u8]) -> Result<PathBuf> {
    let draft = fresh(desk);
    write_new(&draft, content).map_err(|e| Error::io("write", path, e))?;
    Ok(draft)
}

fn write_new(draft: &Path, content: &[u8]) -> std::io::Result<File> {
    let file = fault::step!(File::create_new(draft))?;
    fault::writer!(&file).write_all(content)?;
    Ok(file)
}
