//! Small files on their way into memory before they are copied: a disk has many at a time sooner than one after the other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Advice, fadvise};

use crate::walk::{Entry, walk};
use crate::{Error, Kind, Tree};

/// A copy of fewer entries is done before it would gain.
const FROM: u64 = 64;
/// How many entries it is ahead of the copy, and how many bytes, at most.
const ENTRIES: u64 = 256;
const BYTES: u64 = 16 << 20;
/// Longer files the kernel reads ahead itself, or they are copied past its cache.
const LONGEST: u64 = 1 << 20;

/// What has the kernel read the files of a tree, in the order in which they are copied. It ends with this value.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    copied: u64,
    thread: Option<(Arc<Shared>, JoinHandle<()>)>,
}

#[derive(Debug, Default)]
struct Shared {
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    copied: u64,
    /// Bytes of the small ones among them.
    bytes: u64,
    /// How many entries and bytes are waited for: not each single one, which would cost a change of threads.
    goal: Option<(u64, u64)>,
    ended: bool,
}

impl Prefetch {
    /// Notes that the copy has come to another entry of `tree`, in the order of [`walk`].
    pub(crate) fn reached(&mut self, tree: &Tree, entry: &Entry<'_>) {
        self.copied += 1;
        if self.copied == FROM {
            self.thread = start(tree, self.copied);
        }
        let Some((shared, _)) = &self.thread else { return };
        let mut progress = shared.lock();
        progress.copied = self.copied;
        progress.bytes += small(entry).unwrap_or(0);
        if progress.is_there() {
            shared.moved.notify_one();
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        if let Some((shared, thread)) = self.thread.take() {
            shared.lock().ended = true;
            shared.moved.notify_one();
            // it only helps: whatever went wrong there goes wrong in the copy too
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the copy is near; how many entries it has copied, and bytes of small ones. `None`: it has ended.
    fn near(&self, entries: u64, bytes: u64) -> Option<u64> {
        let mut progress = self.lock();
        if entries > progress.copied + ENTRIES || bytes > progress.bytes + BYTES {
            progress.goal = Some((entries - ENTRIES.min(entries) / 2, bytes - BYTES.min(bytes) / 2));
            let far = |progress: &mut Progress| !progress.is_there() && !progress.ended;
            let waited = self.moved.wait_while(progress, far);
            progress = waited.unwrap_or_else(PoisonError::into_inner);
            progress.goal = None;
        }
        (!progress.ended).then_some(progress.copied)
    }
}

impl Progress {
    fn is_there(&self) -> bool {
        let reached = |(entries, bytes)| self.copied >= entries && self.bytes >= bytes;
        self.goal.is_some_and(reached)
    }
}

/// Starts behind the first `copied` entries. `None`: there is no thread to be had.
fn start(tree: &Tree, copied: u64) -> Option<(Arc<Shared>, JoinHandle<()>)> {
    let tree = Tree::at(tree.fd().try_clone_to_owned().ok()?, tree.path());
    let shared = Arc::new(Shared::default());
    shared.lock().copied = copied;
    let thread = {
        let shared = Arc::clone(&shared);
        let read = move || fetch(&tree, copied, &shared);
        std::thread::Builder::new()
            .name("prefetch".into())
            .spawn(read)
            .ok()?
    };
    Some((shared, thread))
}

fn fetch(tree: &Tree, first: u64, shared: &Shared) {
    let (mut entries, mut bytes) = (0, 0);
    let _ = walk(tree, &mut |entry| {
        entries += 1;
        if entries <= first {
            return Ok(());
        }
        let size = small(entry);
        bytes += size.unwrap_or(0);
        let copied = shared.near(entries, bytes).ok_or(Error::Stopped)?;
        // one that the copy has passed is of no use
        if size.is_some() && entries > copied {
            let file = entry.open()?;
            // a hint: who cannot take it reads when it is read
            let _ = fadvise(&file, 0, None, Advice::WillNeed);
        }
        Ok(())
    });
}

/// Bytes of a file that is worth it.
fn small(entry: &Entry<'_>) -> Option<u64> {
    let stat = &entry.stat;
    (stat.kind == Kind::File && stat.size > 0 && stat.size <= LONGEST).then_some(stat.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::path::Path;
    use std::time::{Duration, Instant};

    fn tree_of(files: u64) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        for number in 0..files {
            let path = path(dir.path(), number);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, number.to_string()).unwrap();
        }
        let tree = Tree::open(dir.path()).unwrap();
        (dir, tree)
    }

    fn path(dir: &Path, number: u64) -> std::path::PathBuf {
        dir.join(format!("{:02}/{:02}", number / 50, number % 50))
    }

    fn is_in_memory(path: &Path) -> bool {
        direct::cached(File::open(path).unwrap(), 0..1) > 0
    }

    #[test]
    fn files_are_read_before_the_copy_comes_to_them_but_not_all() {
        let (dir, tree) = tree_of(1000);
        for number in 0..1000 {
            let file = File::open(path(dir.path(), number)).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
        let (near, far) = (path(dir.path(), 150), path(dir.path(), 900));
        if is_in_memory(&near) || is_in_memory(&far) {
            println!("skipped: this file system keeps its files in memory");
            return;
        }
        let mut prefetch = Prefetch::default();
        let (mut count, end) = (0, Instant::now() + Duration::from_secs(60));
        let stopped = walk(&tree, &mut |entry| {
            count += 1;
            prefetch.reached(&tree, entry);
            if count < 2 * FROM {
                return Ok(());
            }
            while !is_in_memory(&near) {
                assert!(Instant::now() < end, "nothing reads what comes next");
                std::thread::yield_now();
            }
            assert!(!is_in_memory(&far), "it does not wait for the copy");
            Err(Error::Stopped)
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
        // in the middle of the tree
        drop(prefetch);
    }

    #[test]
    fn a_copy_of_many_files_is_whole() {
        let (from, tree) = tree_of(3 * ENTRIES);
        std::fs::hard_link(path(from.path(), 100), from.path().join("00/again")).unwrap();
        std::fs::write(from.path().join("03/empty"), "").unwrap();
        std::fs::write(from.path().join("03/long"), vec![1; (BYTES + LONGEST) as usize]).unwrap();
        for number in 0..20 {
            let content = vec![number; LONGEST as usize];
            std::fs::write(from.path().join(format!("04/{number}-middle")), content).unwrap();
        }
        let to = tempfile::tempdir_in("/var/tmp").unwrap();
        let options = crate::copy::Options {
            leaves: true,
            ownership: false,
            ..Default::default()
        };
        crate::copy::copy_tree(&tree, &Tree::open(to.path()).unwrap(), &options).unwrap();
        let mut count = 0;
        walk(&tree, &mut |entry| {
            count += 1;
            let read = |dir: &Path| std::fs::read(dir.join(entry.path)).ok();
            assert!(read(from.path()) == read(to.path()), "{}", entry.path.display());
            Ok(())
        })
        .unwrap();
        assert!(count > 3 * ENTRIES);
    }
}
