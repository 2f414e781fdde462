//! Directories that a stage left as it got them are the next one's: a disk may be slow to make and to forget them.
//!
//! The next stage must not learn from such a directory what the last one did. So it is given on only where all that can be
//! seen of it, and of what is in it, is as it was when it was made. What a stage changes and changes back shows in the time
//! of the last change, which nobody can set.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, RawDir, SeekFrom, Statx, StatxFlags, StatxTimestamp,
    flistxattr, ioctl_getflags, llistxattr, openat, seek, statx, unlinkat,
};
use rustix::io::Errno;
use tree::index::TreeDigest;

use crate::scratch::{Scratch, remove};
use crate::store::Store;
use crate::{Error, Object};

/// How many of each kind are kept: one for each builder that has a stage running.
const KEPT: usize = 8;

/// How many entries are looked at: what has more of them is none of ours any more.
const MOST: usize = 32;

/// So many blocks of 512 bytes are not missed for a moment.
const SMALL: u64 = (1 << 20) / 512;

/// How many bytes the names of an entry's extended attributes may take.
const ATTRIBUTES: usize = 1024;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Without `NOATIME` a look would set the time of the last access.
const UNTOUCHED: OFlags = OFlags::RDONLY
    .union(OFlags::NOATIME)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What nobody uses just now.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    places: Vec<(&'static str, Scratch, Seen)>,
    trees: Vec<(SpareTree, Option<TreeDigest>)>,
}

/// A directory for new trees of one base, which its `upper` looks like.
#[derive(Debug)]
pub(crate) struct SpareTree {
    pub(crate) dir: Scratch,
    pub(crate) upper: Seen,
}

/// A directory with what each of its kind has in it, for one user at a time: see [`Store::place`].
#[derive(Debug)]
pub struct Place {
    kind: &'static str,
    dir: Scratch,
    seen: Seen,
}

impl Place {
    /// Where it is: an absolute path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Store {
    /// A directory of a `kind`, with what `fill` makes in it: one that was [given back](Self::give_back), or a new one.
    ///
    /// # Errors
    /// It cannot be made, or filled.
    pub fn place<E: From<Error>>(
        &self,
        kind: &'static str,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<Place, E> {
        let spare = {
            let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
            let index = lists.places.iter().position(|(of, ..)| *of == kind);
            index.map(|index| lists.places.swap_remove(index))
        };
        if let Some((kind, dir, seen)) = spare {
            return Ok(Place { kind, dir, seen });
        }
        let dir = self.scratch(kind)?;
        fill(dir.path())?;
        let seen = Seen::all(dir.path()).map_err(|e| Error::io("look at", dir.path(), e))?;
        Ok(Place { kind, dir, seen })
    }

    /// Takes a place back for the next who wants one; if it is not as it was, it is removed. Whether it is kept.
    ///
    /// To be called when nobody is left who could change it.
    pub fn give_back(&self, place: Place) -> bool {
        let Place { kind, dir, seen } = place;
        let now = Seen::all(dir.path()).ok();
        let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref() == Some(&seen) && lists.places.len() < KEPT {
            lists.places.push((kind, dir, seen));
            return true;
        }
        drop(lists);
        if now.is_some_and(|now| now.is_small()) {
            self.sweep(dir);
        }
        false
    }

    /// A spare directory for a tree on `base`.
    pub(crate) fn spare_tree(&self, base: Option<&Object>) -> Option<SpareTree> {
        let base = base.map(|base| *base.digest());
        let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = lists.trees.iter().position(|(_, of)| *of == base)?;
        Some(lists.trees.swap_remove(index).0)
    }

    /// Takes back the directory of a tree on `base`, whose `upper` is as it was; `Some` as for [`give_back`](Self::give_back).
    pub(crate) fn give_back_tree(&self, tree: SpareTree, base: Option<&Object>) -> Option<Scratch> {
        if !clear_work(&tree.dir.path().join("work")) {
            return Some(tree.dir);
        }
        let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.trees.len() >= KEPT {
            return Some(tree.dir);
        }
        lists.trees.push((tree, base.map(|base| *base.digest())));
        None
    }
}

/// Empties a work directory: an overlay that was mounted without syncing is refused a second time until what it left there
/// is gone. False: there was more in it.
fn clear_work(work: &Path) -> bool {
    let Ok(dir) = openat(CWD, work, DIRECTORY, Mode::empty()) else {
        return false;
    };
    // just what the kernel leaves, without a look for more; where there is more, the last of these fails
    let _ = unlinkat(&dir, "work/incompat/volatile/dirty", AtFlags::empty());
    for left in ["work/incompat/volatile", "work/incompat", "work"] {
        let _ = unlinkat(&dir, left, AtFlags::REMOVEDIR);
    }
    let is_empty = || list(dir.as_fd(), 0, |_| ()).is_ok();
    is_empty() || (remove(&work.join("work")).is_ok() && seek(&dir, SeekFrom::Start(0)).is_ok() && is_empty())
}

/// All that can be seen of a directory and what is in it, in the order of the paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(Vec<Entry>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// Below the directory that was looked at: nothing for itself.
    path: PathBuf,
    /// Mode, links, owner, group, attributes.
    what: (u16, u32, u32, u32, u64),
    /// Inode, size, blocks.
    which: (u64, u64, u64),
    /// Of the last access, the last writing, the last change.
    times: [(i64, u32); 3],
    /// The names of its extended attributes, each with a NUL.
    attributes: Vec<u8>,
    /// As `chattr` has them, of a directory or plain file of a file system that does.
    flags: Option<IFlags>,
}

impl Seen {
    /// What is seen of `dir`. To look leaves no trace.
    ///
    /// # Errors
    /// It cannot be looked at, or has more than [`MOST`] entries.
    pub(crate) fn all(dir: &Path) -> std::io::Result<Self> {
        let mut entries = Vec::new();
        look(CWD, dir.as_os_str(), (dir, PathBuf::new()), &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(entries))
    }

    /// Whether `dir`, which this was seen of, still looks like it.
    pub(crate) fn is_still(&self, dir: &Path) -> bool {
        Self::all(dir).is_ok_and(|now| now == *self)
    }

    /// Whether next to nothing is in it.
    fn is_small(&self) -> bool {
        let blocks: u64 = self.0.iter().map(|entry| entry.which.2).sum();
        blocks <= SMALL
    }

    /// When the directory was last written to, in seconds; `None`: there is something in it, or it has extended attributes.
    pub(crate) fn bare_since(&self) -> Option<i64> {
        match &self.0[..] {
            [only] if only.attributes.is_empty() => Some(only.times[1].0),
            _ => None,
        }
    }
}

/// Adds what is seen of the entry `name` of `at`, and of what is in it; `below` is its path in the directory `top`.
fn look(
    at: BorrowedFd<'_>,
    name: &OsStr,
    (top, below): (&Path, PathBuf),
    entries: &mut Vec<Entry>,
) -> std::io::Result<()> {
    let stat = statx(at, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let kind = FileType::from_raw_mode(stat.stx_mode.into());
    if !kind.is_dir() && !kind.is_file() {
        let mut attributes = [0u8; ATTRIBUTES];
        let length = llistxattr(top.join(&below), &mut attributes);
        entries.push(Entry::of(below, &stat, listed(&attributes, length)?, None));
        return Ok(());
    }
    let file = openat(at, name, UNTOUCHED, Mode::empty())?;
    let mut attributes = [0u8; ATTRIBUTES];
    let length = flistxattr(&file, &mut attributes);
    let attributes = listed(&attributes, length)?;
    entries.push(Entry::of(
        below.clone(),
        &stat,
        attributes,
        ioctl_getflags(&file).ok(),
    ));
    if kind.is_dir() {
        let mut names = Vec::new();
        let room = MOST.saturating_sub(entries.len());
        list(file.as_fd(), room, |name| names.push(name.to_owned()))?;
        for name in names {
            look(file.as_fd(), &name, (top, below.join(&name)), entries)?;
        }
    }
    match entries.len() > MOST {
        true => Err(Errno::OVERFLOW.into()),
        false => Ok(()),
    }
}

/// The names of extended attributes that were written to `buffer`: none where there cannot be any.
fn listed(buffer: &[u8], length: rustix::io::Result<usize>) -> std::io::Result<Vec<u8>> {
    match length {
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

impl Entry {
    fn of(path: PathBuf, stat: &Statx, attributes: Vec<u8>, flags: Option<IFlags>) -> Self {
        let time = |time: &StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Self {
            path,
            what: (
                stat.stx_mode,
                stat.stx_nlink,
                stat.stx_uid,
                stat.stx_gid,
                stat.stx_attributes.bits(),
            ),
            which: (stat.stx_ino, stat.stx_size, stat.stx_blocks),
            times: [&stat.stx_atime, &stat.stx_mtime, &stat.stx_ctime].map(time),
            attributes,
            flags,
        }
    }
}

/// Calls `each` with every name in the directory; more than `room` are an error.
fn list(dir: BorrowedFd<'_>, mut room: usize, mut each: impl FnMut(&OsStr)) -> std::io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if ![c".", c".."].contains(&name) {
            room = room.checked_sub(1).ok_or(Errno::OVERFLOW)?;
            each(OsStr::from_bytes(name.to_bytes()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use tree::index::Times;

    use super::*;

    fn fill(dir: &Path) -> Result<(), Error> {
        std::fs::create_dir(dir.join("var")).unwrap();
        std::fs::write(dir.join("meta"), "").unwrap();
        Ok(())
    }

    #[test]
    fn a_place_is_given_on_only_as_it_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.place("stage", fill).unwrap();
        let path = first.path().to_owned();
        assert!(store.give_back(first));
        let other = store.place("other", fill).unwrap();
        assert_ne!(other.path(), path);
        let changes: [fn(&Path); 6] = [
            |dir| std::fs::write(dir.join("var/left"), "").unwrap(),
            |dir| std::fs::write(dir.join("meta"), "{}").unwrap(),
            |dir| std::fs::set_permissions(dir.join("var"), Permissions::from_mode(0o700)).unwrap(),
            |dir| std::fs::remove_file(dir.join("meta")).unwrap(),
            |dir| std::os::unix::fs::symlink("meta", dir.join("link")).unwrap(),
            |dir| {
                let file = File::open(dir.join("var")).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            },
        ];
        let mut path = path;
        for change in changes {
            let place = store.place("stage", fill).unwrap();
            assert_eq!(place.path(), path);
            change(place.path());
            assert!(!store.give_back(place));
            let fresh = store.place("stage", fill).unwrap();
            assert_ne!(fresh.path(), path);
            path = fresh.path().to_owned();
            assert!(store.give_back(fresh));
        }
        // two users at a time have two of them
        let (one, two) = (
            store.place("stage", fill).unwrap(),
            store.place("stage", fill).unwrap(),
        );
        assert_ne!(one.path(), two.path());
    }

    #[test]
    fn the_place_of_a_tree_that_stayed_the_same_is_for_the_next_on_its_base() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.new_tree(None).unwrap();
        std::fs::write(first.upper().join("file"), "content").unwrap();
        let base = store.commit(first, Times::Keep).unwrap();
        let unchanged = store.new_tree(Some(&base)).unwrap();
        let path = unchanged.path().to_owned();
        // as an overlay leaves it
        std::fs::create_dir_all(unchanged.work().join("work/incompat/volatile")).unwrap();
        assert_eq!(
            store.commit(unchanged, Times::Keep).unwrap().digest(),
            base.digest()
        );
        assert_ne!(store.new_tree(None).unwrap().path(), path);
        let next = store.new_tree(Some(&base)).unwrap();
        assert_eq!(next.path(), path);
        assert_eq!(std::fs::read_dir(next.work()).unwrap().count(), 0);
        std::fs::write(next.upper().join("more"), "").unwrap();
        let changed = store.commit(next, Times::Keep).unwrap();
        assert_ne!(store.new_tree(Some(&changed)).unwrap().path(), path);
        assert_ne!(store.new_tree(Some(&base)).unwrap().path(), path);
    }
}
