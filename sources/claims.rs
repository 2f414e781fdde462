//! Who is at which file: a few lock files for all of them.
//!
//! ```text
//! .partial/lock-0 … lock-7   byte 0: read-locked by all who have it open
//!                            byte 1 + the first digits of a checksum: locked by whoever is at that file
//!                            content: a byte of each who has opened it since it was made
//! ```
//!
//! Whoever finds no byte but their own knows that nobody has brought anything since they looked, and need not look again.
//!
//! The locks belong to the open file (`fcntl(2)`, open file description locks), so they end with the process, however that
//! ends. A file needs no name to be claimed: what is small never has one before it is in the store. The kernel goes through
//! all locks of a file for each one more, and hundreds of files wait for the disk at a time: so the locks are in several.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{OFlags, fstat};

use crate::digest::Checksum;
use crate::pool::Stop;
use crate::same_file::lies_at;

/// How the names of the lock files begin. No checksum is called so.
const PREFIX: &str = "lock-";

/// Lock files.
const FILES: usize = 8;

/// The byte of those who have the file open.
const PRESENT: i64 = 0;

/// The claims of one call of a source.
#[derive(Debug)]
pub(crate) struct Claims {
    dir: PathBuf,
    states: [Mutex<State>; FILES],
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Arc<Table>),
    /// The file system has no such locks, or the lock file is somebody's who does not share it.
    Impossible,
}

#[derive(Debug)]
struct Table {
    file: File,
    /// The names beside it when it was opened, and those that came since from here.
    left: Mutex<HashSet<OsString>>,
    /// The names of the whole files when it was opened, and of those that came since from here; `None`: too many.
    there: Mutex<Option<HashSet<OsString>>>,
}

/// So many names of whole files are kept at most.
const MOST: usize = 1000;

/// A file that nobody else is at.
#[derive(Debug)]
pub(crate) struct Claim {
    table: Arc<Table>,
    byte: i64,
}

impl Claims {
    /// Claims in the directory of unfinished files. Nothing is made yet.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            states: Default::default(),
        }
    }

    /// Waits until nobody else is at the file. `None`: here nobody can say who is.
    pub(crate) fn take(&self, checksum: &Checksum, stop: &Stop) -> Result<Option<Claim>, String> {
        let byte = byte(checksum);
        let Some(table) = self.table(byte as usize % FILES, stop)? else {
            return Ok(None);
        };
        loop {
            match fault::step!(set(&table.file, libc::F_WRLCK, byte)) {
                Ok(()) => return Ok(Some(Claim { table, byte })),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait(stop, 100)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// Removes the lock files that nobody has open. This call of a source makes no more claims.
    pub(crate) fn end(&self) {
        for state in &self.states {
            *lock(state) = State::Closed;
        }
        for name in names(&self.dir).iter().filter(|name| is_lock(name)) {
            let path = self.dir.join(name);
            let mut options = OpenOptions::new();
            options
                .write(true)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
            if let Ok(file) = options.open(&path)
                && set(&file, libc::F_WRLCK, PRESENT).is_ok()
                && lies_at(&file, &path)
            {
                std::fs::remove_file(&path).ok();
            }
        }
    }

    fn table(&self, number: usize, stop: &Stop) -> Result<Option<Arc<Table>>, String> {
        let mut state = lock(&self.states[number]);
        if let State::Closed = &*state {
            let opened = self.open(&self.dir.join(format!("{PREFIX}{number}")), stop)?;
            *state = opened.map_or(State::Impossible, |file| {
                let whole = self.dir.parent().map(|dir| first_names(dir, MOST));
                State::Open(Arc::new(Table {
                    file,
                    left: Mutex::new(names(&self.dir)),
                    there: Mutex::new(whole.filter(|whole| whole.len() < MOST)),
                }))
            });
        }
        Ok(match &*state {
            State::Open(table) => Some(Arc::clone(table)),
            _ => None,
        })
    }

    fn open(&self, path: &Path, stop: &Stop) -> Result<Option<File>, String> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            options.mode(0o644).custom_flags(OFlags::NOFOLLOW.bits() as i32);
            let file = match fault::step!(options.open(path)) {
                // it is the first one, or another process has just cleaned up
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    make(&self.dir)?;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
                other => other.map_err(|e| format!("cannot open {}: {e}", path.display()))?,
            };
            match fault::step!(set(&file, libc::F_RDLCK, PRESENT)) {
                Ok(()) if lies_at(&file, path) => {
                    let written = fault::writer!(&file).write_all(b".");
                    return Ok(written.is_ok().then_some(file));
                }
                // it has just been removed
                Ok(()) => {}
                // it is just being removed
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait(stop, 1)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    std::fs::remove_file(path).ok();
                    return Ok(None);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Table {
    fn drop(&mut self) {
        // a process that was cloned meanwhile may have the same open file for a moment longer
        set(&self.file, libc::F_UNLCK, PRESENT).ok();
    }
}

impl Claim {
    /// Whether an earlier try has left something of this name.
    pub(crate) fn has_left(&self, name: &str) -> bool {
        lock(&self.table.left).contains(OsStr::new(name))
    }

    /// Whether the whole file may be there: else it is not.
    pub(crate) fn may_be_there(&self, name: &str) -> bool {
        let is_first = fstat(&self.table.file).is_ok_and(|found| found.st_size == 1);
        let there = lock(&self.table.there);
        !is_first
            || there
                .as_ref()
                .is_none_or(|there| there.contains(OsStr::new(name)))
    }

    /// Notes that the whole file is there.
    pub(crate) fn brought(&self, name: &str) {
        if let Some(there) = &mut *lock(&self.table.there) {
            there.insert(name.into());
        }
    }

    /// Notes that this try may leave something of this name.
    pub(crate) fn may_leave(&self, name: &OsStr) {
        lock(&self.table.left).insert(name.to_owned());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        set(&self.table.file, libc::F_UNLCK, self.byte).ok();
    }
}

/// Whether a name is that of a lock file.
pub(crate) fn is_lock(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Makes the directory of unfinished files.
pub(crate) fn make(dir: &Path) -> Result<(), String> {
    fault::step!(DirBuilder::new().recursive(true).mode(0o755).create(dir))
        .map_err(|e| format!("cannot create {}: {e}", dir.display()))
}

fn wait(stop: &Stop, milliseconds: u64) -> Result<(), String> {
    stop.pause(Duration::from_millis(milliseconds));
    match stop.is_set() {
        true => Err("interrupted".to_owned()),
        false => Ok(()),
    }
}

fn names(dir: &Path) -> HashSet<OsString> {
    first_names(dir, usize::MAX)
}

fn first_names(dir: &Path, most: usize) -> HashSet<OsString> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.take(most).map(|entry| entry.file_name()).collect()
}

/// Two checksums that begin alike are taken for one, and come one after the other.
fn byte(checksum: &Checksum) -> i64 {
    const DIGITS: usize = 15;
    let digits = &checksum.hex()[..DIGITS];
    1 + i64::from_str_radix(digits, 16).unwrap_or(0)
}

fn set(file: &File, kind: libc::c_int, byte: i64) -> io::Result<()> {
    let range = libc::flock {
        l_type: kind as _,
        l_whence: libc::SEEK_SET as _,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&range))
        .map(drop)
        .map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_claim_and_the_last_one_removes_the_locks() {
        let dir = tempfile::tempdir().unwrap();
        let partial = dir.path().join("below");
        let (one, two) = (Claims::new(partial.clone()), Claims::new(partial.clone()));
        let stop = Stop::default();
        let checksum = |digit: char| {
            let name = format!("md5:{}", String::from(digit).repeat(32));
            Checksum::parse(&name).unwrap()
        };
        let first = one.take(&checksum('0'), &stop).unwrap().unwrap();
        let other = two.take(&checksum('8'), &stop).unwrap().unwrap();
        let last = two.take(&checksum('f'), &stop).unwrap().unwrap();
        assert_eq!((first.byte, last.byte), (1, 1 << 60));
        // of the same one the second waits for the first
        let ended = Stop::default();
        ended.set();
        assert_eq!(two.take(&checksum('0'), &ended).unwrap_err(), "interrupted");
        drop(first);
        let second = two.take(&checksum('0'), &ended).unwrap().unwrap();
        one.end();
        assert_eq!(names(&partial).len(), 2);
        drop((other, last, second));
        two.end();
        assert!(names(&partial).is_empty());
        // and there can be other ones
        assert!(one.take(&checksum('0'), &stop).unwrap().is_some());
    }

    #[test]
    fn what_others_may_have_brought_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("whole"), "").unwrap();
        let claims = || Claims::new(dir.path().join("partial"));
        let checksum = Checksum::parse(&format!("md5:{}", "0".repeat(32))).unwrap();
        let take = |claims: &Claims| claims.take(&checksum, &Stop::default()).unwrap().unwrap();
        let (one, two) = (claims(), claims());
        let first = take(&one);
        assert_eq!(
            ["whole", "new"].map(|name| first.may_be_there(name)),
            [true, false]
        );
        first.brought("new");
        assert!(first.may_be_there("new") && !first.may_be_there("other"));
        drop(first);
        // each of two may have brought anything since the other has looked, also when it has ended
        assert!(take(&two).may_be_there("other"));
        two.end();
        assert!(take(&one).may_be_there("other"));
        one.end();
        assert!(!take(&claims()).may_be_there("other"));
    }

    #[test]
    fn of_too_many_names_any_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..=MOST {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let claims = Claims::new(dir.path().join("partial"));
        let checksum = Checksum::parse(&format!("md5:{}", "0".repeat(32))).unwrap();
        let claim = claims.take(&checksum, &Stop::default()).unwrap().unwrap();
        assert!(claim.may_be_there("other"));
    }
}
