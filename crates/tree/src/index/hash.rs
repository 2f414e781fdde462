//! The digests of many files' contents, taken beside the walk that finds them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, available_parallelism};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// So many files wait at most, each of them an open descriptor.
const WAITING: usize = 64;
/// With less to read than this a thread costs more than it saves.
const WORTH_A_THREAD: u64 = 1 << 20;

/// A file, and the number of the entry that gets its digest: so the order of the work does not matter.
struct Job {
    number: usize,
    file: File,
    path: PathBuf,
}

type Digests = Vec<(usize, [u8; 32])>;

/// Takes files as they are found and starts threads once there is enough to do for them.
#[derive(Default)]
pub(super) struct Hasher {
    waiting: Vec<Job>,
    bytes: u64,
    send: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<Result<Digests>>>,
}

impl Hasher {
    /// Has the content of `file`, about `size` bytes, hashed for entry `number`.
    pub(super) fn add(&mut self, number: usize, file: File, path: &Path, size: u64) {
        self.waiting.push(Job {
            number,
            file,
            path: path.to_owned(),
        });
        self.bytes += size;
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
        let threads = available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
        for _ in 0..threads {
            let receive = Arc::clone(&receive);
            let work = move || work(&receive);
            match std::thread::Builder::new().name("hash".into()).spawn(work) {
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

    /// Waits for all digests; of several failures one is told.
    pub(super) fn finish(mut self) -> Result<Digests> {
        drop(self.send.take());
        let mut all = Digests::new();
        for job in self.waiting.drain(..) {
            all.push((job.number, digest_of(&job.file, &job.path)?));
        }
        let mut failure = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(digests)) => all.extend(digests),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failure.map_or(Ok(all), Err)
    }
}

fn work(receive: &Mutex<Receiver<Job>>) -> Result<Digests> {
    let mut digests = Digests::new();
    loop {
        let job = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return Ok(digests);
        };
        digests.push((job.number, digest_of(&job.file, &job.path)?));
    }
}

fn digest_of(file: &File, path: &Path) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => {
                hash.update(&buffer[..length]);
                at += length as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, e)),
        }
    }
}
