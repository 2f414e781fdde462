//! The digests of many files' contents, taken beside the walk that finds them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

use direct::{Buffer, Reader};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::GoOn;
use super::pieces::{self, LARGE, Pieces};
use crate::{Error, Result};

/// So many files wait at most, each of them an open descriptor.
const WAITING: usize = 64;
/// With less to read than this a thread costs more than it saves.
const WORTH_A_THREAD: u64 = 1 << 20;

/// A file, and the place that its digest gets: so the order of the work does not matter.
struct Job {
    place: usize,
    file: Arc<File>,
    path: PathBuf,
    /// Of a large file what is to be hashed of it.
    stretch: Option<Range<u64>>,
}

impl Job {
    fn hash(self, done: &mut Done, go_on: GoOn<'_>) -> Result<()> {
        match self.stretch {
            None => {
                let digest = digest_of(&self.file, &self.path, go_on)?;
                done.whole.push((self.place, digest));
            }
            Some(stretch) => {
                let pieces = pieces::hash_stretch(&self.file, &self.path, stretch, go_on)?;
                done.parts.push((self.place, pieces));
            }
        }
        Ok(())
    }
}

/// What jobs come to, by the places of their digests. There may be hundreds of thousands of small files: no more is kept
/// of each than its digest.
#[derive(Default)]
struct Done {
    whole: Vec<(usize, [u8; 32])>,
    parts: Vec<(usize, Pieces)>,
}

/// Takes files as they are found and starts threads once there is enough to do for them.
pub(super) struct Hasher<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    go_on: GoOn<'env>,
    waiting: Vec<Job>,
    bytes: u64,
    /// The large files: the places of their digests, and their sizes.
    large: Vec<(usize, u64)>,
    send: Option<SyncSender<Job>>,
    workers: Vec<ScopedJoinHandle<'scope, Result<Done>>>,
}

impl<'scope, 'env> Hasher<'scope, 'env> {
    /// One whose threads run in `scope`, and give up once `go_on` says no.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, go_on: GoOn<'env>) -> Self {
        Self {
            scope,
            go_on,
            waiting: Vec::new(),
            bytes: 0,
            large: Vec::new(),
            send: None,
            workers: Vec::new(),
        }
    }

    /// Has the content of `file`, of `size` bytes, hashed for the place `place`, which no other file has.
    pub(super) fn add(&mut self, place: usize, file: File, path: &Path, size: u64) {
        let file = Arc::new(file);
        if size < LARGE {
            self.queue(place, &file, path, None, size);
            return;
        }
        self.large.push((place, size));
        for stretch in pieces::stretches(&file, size) {
            let bytes = stretch.end - stretch.start;
            self.queue(place, &file, path, Some(stretch), bytes);
        }
    }

    fn queue(
        &mut self,
        place: usize,
        file: &Arc<File>,
        path: &Path,
        stretch: Option<Range<u64>>,
        bytes: u64,
    ) {
        self.waiting.push(Job {
            place,
            file: Arc::clone(file),
            path: path.to_owned(),
            stretch,
        });
        self.bytes += bytes;
        if self.send.is_none() && (self.bytes > WORTH_A_THREAD || self.waiting.len() >= WAITING) {
            self.start();
        }
        if let Some(send) = &self.send {
            for job in self.waiting.drain(..) {
                // a send fails only when every worker has given up: `finish` says why
                let _ = send.send(job);
            }
        }
    }

    fn start(&mut self) {
        let (send, receive) = sync_channel(WAITING);
        let receive = Arc::new(Mutex::new(receive));
        // what is not in memory has to come from the disk meanwhile
        let more = if self.large.is_empty() { 0 } else { 2 };
        let threads = available_parallelism().map_or(2, |n| n.get().clamp(1, 4)) + more;
        for _ in 0..threads {
            let receive = Arc::clone(&receive);
            let go_on = self.go_on;
            let work = move || work(&receive, go_on);
            match Builder::new().name("hash".into()).spawn_scoped(self.scope, work) {
                Ok(worker) => self.workers.push(worker),
                Err(_) => break,
            }
        }
        // without a single thread the files are hashed here, in batches
        if self.workers.is_empty() {
            return;
        }
        self.send = Some(send);
    }

    /// Waits for all digests, and gives each with its place; of several failures one is told.
    pub(super) fn finish(mut self, put: &mut dyn FnMut(usize, [u8; 32])) -> Result<()> {
        drop(self.send.take());
        let mut all = vec![Done::default()];
        for job in self.waiting.drain(..) {
            job.hash(&mut all[0], self.go_on)?;
        }
        let mut failure = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(done)) => all.push(done),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let mut parts: HashMap<usize, Vec<Pieces>> = HashMap::new();
        for done in all {
            done.whole.iter().for_each(|(place, digest)| put(*place, *digest));
            for (place, pieces) in done.parts {
                parts.entry(place).or_default().push(pieces);
            }
        }
        for (place, size) in &self.large {
            let pieces = parts.remove(place).unwrap_or_default();
            put(*place, pieces::join(*size, &pieces));
        }
        Ok(())
    }
}

fn work(receive: &Mutex<Receiver<Job>>, go_on: GoOn<'_>) -> Result<Done> {
    let mut done = Done::default();
    loop {
        let job = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return Ok(done);
        };
        job.hash(&mut done, go_on)?;
    }
}

/// Zeros to hash in the place of holes.
static ZEROS: [u8; 128 * 1024] = [0; 128 * 1024];

/// Bytes that are read at a time: they stay in the processor's own cache until they are hashed, and a disk is asked for
/// enough.
const CHUNK: usize = 512 * 1024;

thread_local! {
    /// What files are read into: a buffer for each file would be memory that the kernel has to find and clear again.
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer::new(CHUNK));
}

fn digest_of(file: &File, path: &Path, go_on: GoOn<'_>) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    hash_range(&Reader::plain(file), path, 0..u64::MAX, &mut hash, go_on)?;
    Ok(hash.finalize().into())
}

/// Hashes what lies in the range, as far as the file goes. Holes are hashed without being read: the kernel would fill its
/// memory with zeros for each of them.
pub(super) fn hash_range(
    file: &Reader<&File>,
    path: &Path,
    range: Range<u64>,
    hash: &mut Sha256,
    go_on: GoOn<'_>,
) -> Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut holes = Holes::of(file.file());
        // one that says it is empty is asked
        let end = match holes.size {
            0 => range.end,
            size => range.end.min(size),
        };
        let mut at = range.start;
        while at < end {
            if !go_on() {
                return Err(Error::Stopped);
            }
            let hole = holes.length_at(at).min(end - at).min(ZEROS.len() as u64);
            if hole > 0 {
                hash.update(&ZEROS[..hole as usize]);
                at += hole;
                continue;
            }
            let most = (end - at).min(CHUNK as u64) as usize;
            match file.read_at(&mut buffer[..most], at) {
                Ok(0) => break,
                Ok(length) => {
                    hash.update(&buffer[..length]);
                    at += length as u64;
                }
                Err(e) => return Err(Error::io("read", path, e)),
            }
        }
        Ok(())
    })
}

/// Where a file has holes, as far as was asked.
pub(super) struct Holes<'f> {
    /// `None`: it has none, or its file system does not say.
    file: Option<&'f File>,
    size: u64,
    /// The last stretch that was looked at, data before hole.
    data: u64,
    end: u64,
}

impl<'f> Holes<'f> {
    pub(super) fn of(file: &'f File) -> Self {
        let (size, blocks) = file.metadata().map_or((0, 0), |stat| (stat.len(), stat.blocks()));
        Self {
            file: (blocks * 512 < size).then_some(file),
            size,
            data: 0,
            end: 0,
        }
    }

    /// How many bytes from `at` on are in a hole. `at` never goes back.
    pub(super) fn length_at(&mut self, at: u64) -> u64 {
        let Some(file) = self.file else { return 0 };
        if at >= self.end && at < self.size {
            // the hole that may begin here, and the data behind it
            let data = match seek(file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => self.size,
                Err(_) => {
                    self.file = None;
                    return 0;
                }
            };
            self.data = data.min(self.size);
            self.end = seek(file, SeekFrom::Hole(data))
                .unwrap_or(self.size)
                .clamp(self.data, self.size);
        }
        self.data.saturating_sub(at)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_are_hashed_as_the_zeros_that_they_read_as() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str, size: u64| {
            let file = File::create_new(dir.path().join(name)).unwrap();
            file.set_len(size).unwrap();
            (File::open(dir.path().join(name)).unwrap(), file)
        };
        for (number, (size, data)) in [
            (5 << 20, &[][..]),
            (5 << 20, &[(0, 10), (1 << 20, 300_000)]),
            ((5 << 20) + 17, &[(70_000, 1), ((5 << 20) + 16, 1)]),
            (1, &[]),
        ]
        .into_iter()
        .enumerate()
        {
            let (read, sparse) = create(&number.to_string(), size);
            for (at, length) in data {
                sparse.write_all_at(&vec![7; *length], *at).unwrap();
            }
            let plain = Sha256::digest(std::fs::read(dir.path().join(number.to_string())).unwrap());
            let found = digest_of(&read, Path::new("x"), &|| true).unwrap();
            assert_eq!(found[..], plain[..], "{data:?}");
        }
    }
}
