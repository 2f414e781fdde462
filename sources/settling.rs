//! Verified files on their way to the disk and into the store, many at a time.
//!
//! A name must not outlive a power cut without its bytes: so these are on disk before the rename. Waiting for the disk takes
//! longer than the download of a small file, and costs as much for one as for hundreds; a thread of its own therefore takes
//! all that come within a moment, and waits for these together. A second one does so with those that come meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::content::{self, Partial};
use crate::digest::Checksum;
use crate::pool::TICK;

/// How long more files are waited for, after the first one.
const MOMENT: Duration = Duration::from_millis(15);

/// So many threads wait for the disk: while one does, the other lets files in.
const THREADS: usize = 2;

/// Files that wait, and as many that each thread waits for the disk with: all of them are open, and a process may have
/// only so many open.
fn waiting() -> usize {
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open / 16).unwrap_or(usize::MAX).clamp(8, 256)
}

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

/// Files on their way to the thread, which is woken for the first of them and when there is no more room: to be woken for
/// each would cost more than some of them.
struct Queue {
    /// So many files wait at most.
    most: usize,
    /// Held by the thread that takes.
    turn: Mutex<()>,
    waiting: Mutex<Waiting>,
    come: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    files: Vec<Partial>,
    /// Nothing comes any more, or nothing is taken.
    closed: bool,
}

impl Queue {
    fn new() -> Self {
        Self {
            most: waiting(),
            turn: Mutex::default(),
            waiting: Mutex::default(),
            come: Condvar::default(),
            room: Condvar::default(),
        }
    }

    /// Waits for room. When it is closed the file stays behind.
    fn add(&self, partial: Partial) {
        let most = self.most;
        let full = |waiting: &mut Waiting| waiting.files.len() >= most && !waiting.closed;
        let waited = self.room.wait_while(lock(&self.waiting), full);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return;
        }
        waiting.files.push(partial);
        if [1, most].contains(&waiting.files.len()) {
            self.come.notify_one();
        }
    }

    /// All that come within a moment; none: nothing comes any more.
    fn take(&self) -> Vec<Partial> {
        let _turn = lock(&self.turn);
        let most = self.most;
        let none = |waiting: &mut Waiting| waiting.files.is_empty() && !waiting.closed;
        let few = |waiting: &mut Waiting| waiting.files.len() < most && !waiting.closed;
        let first = self.come.wait_while(lock(&self.waiting), none);
        let first = first.unwrap_or_else(PoisonError::into_inner);
        let more = self.come.wait_timeout_while(first, MOMENT, few);
        let files = std::mem::take(&mut more.unwrap_or_else(PoisonError::into_inner).0.files);
        self.room.notify_all();
        files
    }

    fn close(&self) {
        lock(&self.waiting).closed = true;
        self.come.notify_all();
        self.room.notify_all();
    }
}

/// Files that settle. The threads begin with the first of them.
#[derive(Default)]
pub(crate) struct Settling {
    threads: Mutex<Option<Settler>>,
    settled: Arc<Mutex<Settled>>,
}

struct Settler {
    files: Close,
    /// Nothing comes of it: it breaks when the threads have ended.
    end: Receiver<()>,
}

/// Closes the queue when it is dropped, by whoever ends first.
struct Close(Arc<Queue>);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Settling {
    /// Lets a file into the store, soon. `failed` is told of the one with which that fails.
    pub(crate) fn add(&self, partial: Partial, failed: impl Fn(&str) + Clone + Send + 'static) {
        let queue = {
            let mut threads = lock(&self.threads);
            let settler = threads.get_or_insert_with(|| {
                let queue = Arc::new(Queue::new());
                let (until, end) = channel();
                for _ in 0..THREADS {
                    let taken = Close(Arc::clone(&queue));
                    let settled = Arc::clone(&self.settled);
                    let (failed, until) = (failed.clone(), until.clone());
                    std::thread::spawn(move || {
                        settle(&taken.0, &settled, &failed);
                        drop(until);
                    });
                }
                Settler {
                    files: Close(queue),
                    end,
                }
            });
            Arc::clone(&settler.files.0)
        };
        queue.add(partial);
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
        let settler = lock(&self.threads).take();
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

fn settle(queue: &Queue, settled: &Mutex<Settled>, failed: &dyn Fn(&str)) {
    loop {
        let files = queue.take();
        if files.is_empty() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::content::Content;
    use crate::pool::Stop;

    fn open(content: &Content, text: &str) -> Partial {
        let name = format!("sha256:{}", hex::encode(Sha256::digest(text)));
        let checksum = Checksum::parse(&name).unwrap();
        content.partial(&checksum, &Stop::default()).unwrap().unwrap()
    }

    fn partial(content: &Content, text: &str) -> Partial {
        let mut partial = open(content, text);
        partial.write(text.as_bytes()).unwrap();
        partial
    }

    #[test]
    fn more_than_there_is_room_for_come_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        let settling = Settling::default();
        let count = 2 * waiting() + 1;
        std::thread::scope(|scope| {
            for part in 0..2 {
                let (content, settling) = (&content, &settling);
                scope.spawn(move || {
                    for n in (part..count).step_by(2) {
                        settling.add(partial(content, &n.to_string()), |error| panic!("{error}"));
                    }
                });
            }
        });
        let results = settling.wait(&AtomicBool::new(false));
        assert_eq!(results.len(), count);
        assert!(
            results
                .iter()
                .all(|(checksum, result)| result.is_ok() && content.contains(checksum))
        );
        assert_eq!(settling.entered().len(), count);
    }

    #[test]
    fn what_comes_to_a_closed_queue_is_for_the_next_try() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::new(dir.path());
        let queue = Queue::new();
        queue.add(partial(&content, "one"));
        queue.close();
        queue.add(partial(&content, "two"));
        assert_eq!(queue.take().len(), 1);
        assert!(queue.take().is_empty());
        assert_eq!(open(&content, "two").len(), 3);
    }
}
