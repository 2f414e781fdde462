//! Locks: of directories in `tmp/`, of objects, of stages.
//!
//! All are `flock` locks, which belong to an open file: they end with the process, however that ends. A locked file may
//! have been removed or replaced while one waited, so each lock is checked to be that of the file now at the path.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{Error, Result, own};

/// Takes a lock; `None`: it is held by another, which happens with the non-blocking operations only.
pub(crate) fn flock(file: &File, operation: FlockOperation, path: &Path) -> Result<Option<()>> {
    loop {
        match fault::step!(rustix::fs::flock(file, operation)) {
            Ok(()) => return Ok(Some(())),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(Error::io("lock", path, e)),
        }
    }
}

/// Whether `file` is what is at `path` now.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The lock on a stage that is being built. It ends with the value, or the process.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
    _file: File,
}

impl StageLock {
    /// Waits for the lock when `wait`; `None`: another builder has it.
    pub(crate) fn take(path: &Path, wait: bool) -> Result<Option<Self>> {
        let operation = if wait {
            FlockOperation::LockExclusive
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = fault::step!(options.open(path)).map_err(|e| Error::io("open", path, e))?;
            if flock(&file, operation, path)?.is_none() {
                return Ok(None);
            }
            // the one before us removed the file when it was done: then ours is the lock of nothing
            if is_at(&file, path) {
                own::add(path);
                return Ok(Some(Self {
                    path: path.to_owned(),
                    _file: file,
                }));
            }
        }
    }
}

impl Drop for StageLock {
    fn drop(&mut self) {
        // still locked, so nobody loses a lock by this; those who wait will notice and make a new file
        let _ = std::fs::remove_file(&self.path);
        own::forget(&self.path);
    }
}

/// The read lock that the Python osbuild takes on `cache.lock`: an open-file-description lock over the whole file.
#[derive(Debug)]
pub(crate) struct PeerLock {
    _file: File,
}

impl PeerLock {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        loop {
            let open = || fault::step!(OpenOptions::new().read(true).open(path));
            let file = match open() {
                Err(e) if e.kind() == ErrorKind::NotFound => OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path),
                other => other,
            }
            .map_err(|e| Error::io("open", path, e))?;
            let all = nix::libc::flock {
                l_type: nix::libc::F_RDLCK as _,
                l_whence: nix::libc::SEEK_SET as _,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            match nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLKW(&all)) {
                Ok(_) if is_at(&file, path) => return Ok(Self { _file: file }),
                Ok(_) | Err(nix::Error::EINTR | nix::Error::ESTALE) => {}
                Err(e) => return Err(Error::io("lock", path, e)),
            }
        }
    }
}
