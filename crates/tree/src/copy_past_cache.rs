//! A long stretch of a file's data into another file, by several threads past the page cache.
//!
//! The kernel copies what it has in memory fastest. What it has not it would bring in first, with fresh pages for both files.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use direct::{Buffer, Reader, Writer, cached};

/// Bytes of a stretch from which on it is worth it.
const LONG: u64 = if fault::ON { 64 << 10 } else { direct::LARGE };

/// Chunks under way at the most: the disk reads some and writes others.
const THREADS: u64 = 4;

/// What a disk must do, in bytes a second: with a slower one the kernel had better write in the background.
const LEAST: u64 = 150 << 20;

/// How long a disk may take to get going.
const PATIENCE: Duration = Duration::from_millis(100);

/// What could not be done, and why.
type Failure = (&'static str, io::Error);

/// Whether the stretch `start..end` of a file is long, and most of it not in memory.
pub(crate) fn pays(from: &File, start: u64, end: u64) -> bool {
    end - start >= LONG && (fault::ON || cached(from, start..end) < (end - start) / 2)
}

/// Copies `start..end` as long as the disk is fast, and says where that ended: all before it is copied.
///
/// The blocks of `to` should be allocated: then the writes do not wait for each other.
pub(crate) fn copy(from: &File, to: &File, start: u64, end: u64) -> Result<u64, Failure> {
    let copying = Copying {
        from: Reader::new(from),
        to: Writer::new(to),
        end,
        next: AtomicU64::new(start),
        over: AtomicBool::new(false),
        failure: Mutex::new(None),
        pace: Pace::new(LEAST, PATIENCE),
    };
    std::thread::scope(|scope| {
        for _ in 1..((end - start) / direct::LARGE).clamp(1, THREADS) {
            let work = || copying.work();
            // who cannot have a thread does with fewer
            let _ = std::thread::Builder::new()
                .name("copy".into())
                .spawn_scoped(scope, work);
        }
        copying.work();
    });
    match copying
        .failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        Some(failure) => Err(failure),
        None => Ok(copying.next.into_inner().min(end)),
    }
}

struct Copying<'f> {
    from: Reader<&'f File>,
    to: Writer<&'f File>,
    end: u64,
    /// Where the next chunk begins.
    next: AtomicU64,
    /// No further chunk is to be taken.
    over: AtomicBool,
    failure: Mutex<Option<Failure>>,
    pace: Pace,
}

impl Copying<'_> {
    fn work(&self) {
        let mut buffer = Buffer::new(direct::CHUNK);
        while !self.over.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(direct::CHUNK as u64, Ordering::Relaxed);
            if at >= self.end {
                return;
            }
            let length = (self.end - at).min(direct::CHUNK as u64);
            if let Err(failure) = self.chunk(&mut buffer[..length as usize], at) {
                self.over.store(true, Ordering::Relaxed);
                let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(failure);
            }
            if !self.pace.is_kept(length) {
                self.over.store(true, Ordering::Relaxed);
            }
        }
    }

    fn chunk(&self, buffer: &mut [u8], at: u64) -> Result<(), Failure> {
        // what is no longer there is not copied
        let length = self.from.read_at(buffer, at).map_err(|e| ("read", e))?;
        fault::step!(self.to.write_at(&buffer[..length], at)).map_err(|e| ("write", e))
    }
}

/// Whether bytes go by fast enough.
struct Pace {
    /// Bytes a second.
    least: u64,
    patience: Duration,
    began: Instant,
    bytes: AtomicU64,
}

impl Pace {
    fn new(least: u64, patience: Duration) -> Self {
        Self {
            least,
            patience,
            began: Instant::now(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Counts what went by.
    fn is_kept(&self, bytes: u64) -> bool {
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let allowed = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.least);
        self.began.elapsed() <= self.patience + allowed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn file() -> File {
        tempfile::tempfile_in("/var/tmp").unwrap()
    }

    #[test]
    fn each_byte_comes_to_lie_where_it_was() {
        let length: u64 = (37 << 20) + 77;
        let content: Vec<u8> = (0..length).map(|n| ((n * n) >> 11) as u8).collect();
        let (from, to) = (file(), file());
        from.write_all_at(&content, 0).unwrap();
        for start in [0, 4096, 5000] {
            to.set_len(0).unwrap();
            to.set_len(length).unwrap();
            let mut done = start;
            // as often as the disk is slow
            while done < length {
                done = copy(&from, &to, done, length).unwrap();
            }
            assert_eq!(done, length);
            let mut read = vec![1; length as usize + 1];
            assert_eq!(to.read_at(&mut read, 0).unwrap() as u64, length);
            assert!(read[..start as usize].iter().all(|byte| *byte == 0));
            assert!(read[start as usize..length as usize] == content[start as usize..]);
        }
    }

    #[test]
    fn what_fails_is_said() {
        let (from, full) = (file(), File::options().write(true).open("/dev/full").unwrap());
        from.write_all_at(&vec![7; 1 << 20], 0).unwrap();
        let (operation, error) = copy(&from, &full, 0, 1 << 20).unwrap_err();
        assert_eq!((operation, error.kind()), ("write", io::ErrorKind::StorageFull));
    }

    #[test]
    fn what_is_in_memory_is_left_to_the_kernel() {
        let from = file();
        from.write_all_at(&vec![7; 17 << 20], 0).unwrap();
        assert!(!pays(&from, 0, 17 << 20));
        assert!(!pays(&from, 0, 1 << 20));
    }

    #[test]
    fn so_is_what_lies_on_a_slow_disk() {
        let hour = Duration::from_secs(3600);
        assert!(Pace::new(1 << 40, hour).is_kept(1));
        assert!(Pace::new(1, Duration::ZERO).is_kept(3600));
        assert!(!Pace::new(1 << 40, Duration::ZERO).is_kept(1));
    }
}
