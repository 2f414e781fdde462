//! Verified files on their way to the disk and into the store, many at a time.
//!
//! A name must not outlive a power cut without its bytes: so these are on disk before the rename. Waiting for the disk takes
//! longer than the download of a small file; a thread of its own therefore takes all that came while it waited for the
//! files before, and waits for these together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::content::{self, Partial};
use crate::digest::Checksum;
use crate::pool::TICK;

/// Files that wait for the disk, and as many that it is being waited for: each of them is open.
const WAITING: usize = 64;

/// What came of each file.
#[derive(Default)]
struct Settled {
    results: HashMap<Checksum, Result<(), String>>,
    /// Those in the store that were not told of yet.
    entered: Vec<Checksum>,
}

impl Settled {
    fn add(&mut self, checksum: Checksum, result: Result<(), String>) {
        if result.is_ok() {
            self.entered.push(checksum.clone());
        }
        self.results.insert(checksum, result);
    }
}

/// Files that settle. The thread begins with the first of them.
#[derive(Default)]
pub(crate) struct Settling {
    thread: Mutex<Option<Settler>>,
    settled: Arc<Mutex<Settled>>,
}

struct Settler {
    files: SyncSender<Partial>,
    /// Nothing comes of it: it breaks when the thread ends.
    end: Receiver<()>,
}

impl Settling {
    /// Lets a file into the store, soon. `failed` is told of the one with which that fails.
    pub(crate) fn add(&self, partial: Partial, failed: impl Fn(&str) + Send + 'static) {
        let files = {
            let mut thread = lock(&self.thread);
            let settler = thread.get_or_insert_with(|| {
                let (files, queue) = sync_channel(WAITING);
                let settled = Arc::clone(&self.settled);
                let (until, end) = channel();
                std::thread::spawn(move || {
                    settle(&queue, &settled, &failed);
                    drop(until);
                });
                Settler { files, end }
            });
            settler.files.clone()
        };
        // it takes files until the last sender has gone
        files.send(partial).ok();
    }

    /// Counts a file as settled that somebody else has brought.
    pub(crate) fn is_there(&self, checksum: &Checksum) {
        lock(&self.settled).add(checksum.clone(), Ok(()));
    }

    /// The files that have come into the store since this was asked last.
    pub(crate) fn entered(&self) -> Vec<Checksum> {
        std::mem::take(&mut lock(&self.settled).entered)
    }

    /// What came of all files, once that is known; when `cancelled` is set, of those of which it is.
    pub(crate) fn wait(&self, cancelled: &AtomicBool) -> HashMap<Checksum, Result<(), String>> {
        let settler = lock(&self.thread).take();
        if let Some(Settler { files, end }) = settler {
            drop(files);
            // nothing interrupts who waits for a disk
            while !cancelled.load(Ordering::SeqCst)
                && end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
            {}
        }
        lock(&self.settled).results.clone()
    }
}

fn settle(queue: &Receiver<Partial>, settled: &Mutex<Settled>, failed: &dyn Fn(&str)) {
    while let Ok(first) = queue.recv() {
        let files: Vec<_> = std::iter::once(first)
            .chain(queue.try_iter().take(WAITING - 1))
            .collect();
        for (checksum, result) in content::commit(files) {
            if let Err(error) = &result {
                failed(error);
            }
            lock(settled).add(checksum, result);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
