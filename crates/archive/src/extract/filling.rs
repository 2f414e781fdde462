//! Files' content, written and dressed on other threads: the kernel copies on them while the archive is read on.
//!
//! Whoever reads the archive makes the file, so that members come into being in their order, and passes on the open file
//! with its content: whatever happens to its name afterwards, a hard link to it or another member in its place, means the same.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{self, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::output::PIECE;
use crate::tar::{Entry, Reader};
use crate::{Error, Result};

/// Bytes passed on at once.
const BATCH: usize = 256 * 1024;
/// Open files passed on at once.
const PIECES: usize = 32;
const MOST_THREADS: usize = 4;

/// What a file or a directory is given beside its content.
#[derive(Debug)]
pub(super) struct Look {
    uid: u32,
    gid: u32,
    mode: u32,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Look {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            uid: entry.uid,
            gid: entry.gid,
            mode: entry.mode,
            attributes: entry.attributes.clone(),
        }
    }

    /// Owner, mode and attributes, in this order: a change of owner takes the setuid bit and capabilities away.
    pub(super) fn apply(&self, file: &File) -> Result<()> {
        let (uid, gid) = (fs::Uid::from_raw(self.uid), fs::Gid::from_raw(self.gid));
        fs::fchown(file, Some(uid), Some(gid)).map_err(std::io::Error::from)?;
        fs::fchmod(file, Mode::from_raw_mode(self.mode)).map_err(std::io::Error::from)?;
        for (name, value) in &self.attributes {
            // a label belongs to the policy of the system that it came from, and the other is ours
            if name == b"security.selinux" || name == tree::flags::ATTRIBUTE {
                continue;
            }
            match fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::NOTSUP) if is_note(name) => {}
                Err(errno) => {
                    let shown = String::from_utf8_lossy(name);
                    return Err(Error::at(|| format!("cannot set the attribute {shown}"))(
                        errno.into(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether an attribute is a note of the system that the archive was made on, such as `trusted.overlay.opaque` or
/// `security.ima`: only a machine's root can set it.
fn is_note(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || (name.starts_with(b"security.") && name != b"security.capability")
}

/// A file that is being filled.
#[derive(Debug)]
struct Target {
    file: File,
    path: PathBuf,
    /// Which member it is: of several failures the first one is told.
    number: u64,
    look: Look,
    mtime: (i64, u32),
}

impl Target {
    /// What is done when all is written.
    fn dress(&self) -> Result<()> {
        self.look.apply(&self.file)?;
        let at = Timespec {
            tv_sec: self.mtime.0,
            tv_nsec: self.mtime.1.into(),
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        fs::futimens(&self.file, &times).map_err(|errno| Error::at(|| "cannot set its time")(errno.into()))
    }
}

/// Some of a file's content: where it goes, and where in the batch it is.
#[derive(Debug)]
struct Piece {
    target: Arc<Target>,
    at: u64,
    bytes: std::ops::Range<usize>,
}

#[derive(Debug, Default)]
struct Batch {
    buffer: Vec<u8>,
    used: usize,
    pieces: Vec<Piece>,
}

/// The first failure, with its member's number.
type Failure = Arc<Mutex<Option<(u64, Error)>>>;

/// Threads that fill files.
#[derive(Debug)]
pub(super) struct Filling {
    batch: Batch,
    /// `None`: no more comes.
    batches: Option<Sender<Batch>>,
    /// Buffers come back: there is a fixed number of them, so that reading does not run ahead.
    buffers: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    failure: Failure,
    members: u64,
}

impl Filling {
    pub(super) fn new() -> Self {
        let (batches, queue) = channel::<Batch>();
        let (returned, buffers) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let failure = Failure::default();
        // one processor is busy with reading
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let count = processors.saturating_sub(1).clamp(1, MOST_THREADS);
        let worker = |_| {
            let (queue, returned, failure) = (Arc::clone(&queue), returned.clone(), Arc::clone(&failure));
            std::thread::spawn(move || work(&queue, &returned, &failure))
        };
        for _ in 0..2 * count {
            returned.send(vec![0; BATCH]).ok();
        }
        Self {
            batch: Batch {
                buffer: vec![0; BATCH],
                ..Batch::default()
            },
            batches: Some(batches),
            threads: (0..count).map(worker).collect(),
            buffers,
            failure,
            members: 0,
        }
    }

    /// Fills the empty `file` with what `reader` is at, and dresses it as `entry` says: soon, or at [`Self::finish`].
    pub(super) fn fill(
        &mut self,
        file: File,
        path: &Path,
        entry: &Entry,
        reader: &mut Reader<impl Read>,
    ) -> Result<()> {
        self.members += 1;
        if lock(&self.failure).is_some() {
            return self.give_up();
        }
        let whole = [(0, entry.size)];
        let ranges = match &entry.ranges {
            None => &whole[..],
            Some(ranges) => {
                file.set_len(entry.size)?;
                ranges
            }
        };
        let target = Arc::new(Target {
            file,
            path: path.to_owned(),
            number: self.members,
            look: Look::of(entry),
            mtime: entry.mtime,
        });
        for (at, length) in ranges {
            let (mut at, mut left) = (*at, *length);
            while left > 0 {
                let size = left.min((BATCH - self.batch.used) as u64) as usize;
                self.put(&target, at, size, reader)?;
                (at, left) = (at + size as u64, left - size as u64);
            }
        }
        // whoever lets go of it last dresses it
        Arc::into_inner(target).map_or(Ok(()), |target| target.dress())
    }

    /// Reads the next `size` bytes, for which the batch has room, and passes it on when it is full.
    fn put(
        &mut self,
        target: &Arc<Target>,
        at: u64,
        size: usize,
        reader: &mut Reader<impl Read>,
    ) -> Result<()> {
        let bytes = self.batch.used..self.batch.used + size;
        reader
            .content()
            .read_exact(&mut self.batch.buffer[bytes.clone()])?;
        self.batch.used = bytes.end;
        self.batch.pieces.push(Piece {
            target: Arc::clone(target),
            at,
            bytes,
        });
        if self.batch.used == BATCH || self.batch.pieces.len() >= PIECES {
            self.pass_on()?;
        }
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        let Ok(buffer) = self.buffers.recv() else {
            return self.give_up();
        };
        let next = Batch {
            buffer,
            ..Batch::default()
        };
        let full = std::mem::replace(&mut self.batch, next);
        if let Some(batches) = &self.batches {
            batches.send(full).ok();
        }
        Ok(())
    }

    /// Tells why no more can be filled.
    fn give_up(&mut self) -> Result<()> {
        self.finish()?;
        Error::unsuitable("files can no longer be written")
    }

    /// Waits until all files are filled and dressed.
    ///
    /// # Errors
    /// Those of the first file with which it failed.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(batches) = self.batches.take() {
            batches.send(std::mem::take(&mut self.batch)).ok();
        }
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        match lock(&self.failure).take() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }
}

impl Drop for Filling {
    /// Nothing is written any more behind the back of whoever gave up.
    fn drop(&mut self) {
        self.batches = None;
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn work(queue: &Mutex<Receiver<Batch>>, returned: &Sender<Vec<u8>>, failure: &Failure) {
    loop {
        let next = lock(queue).recv();
        let Ok(mut batch) = next else {
            return;
        };
        for Piece { target, at, bytes } in batch.pieces.drain(..) {
            if let Err(error) = write(&target.file, &batch.buffer[bytes], at) {
                fail(failure, &target, error.into());
            } else if let Some(target) = Arc::into_inner(target)
                && let Err(error) = target.dress()
            {
                fail(failure, &target, error);
            }
        }
        returned.send(batch.buffer).ok();
    }
}

/// Writes all of `bytes`, from a multiple of [`PIECE`] to the next.
fn write(file: &File, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let most = PIECE - (at % PIECE as u64) as usize;
        let (now, later) = bytes.split_at(bytes.len().min(most));
        file.write_all_at(now, at)?;
        (bytes, at) = (later, at + now.len() as u64);
    }
    Ok(())
}

fn fail(failure: &Failure, target: &Target, error: Error) {
    let mut first = lock(failure);
    if first.as_ref().is_none_or(|(other, _)| target.number < *other) {
        let error = error.about(&format!("cannot unpack /{}", target.path.display()));
        *first = Some((target.number, error));
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
