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
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, RawDir, Statx, StatxFlags, StatxTimestamp, ioctl_getflags,
    llistxattr, openat, statx,
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

    /// Takes a place back for the next who wants one. `Some`: it is not as it was, and goes when the value does.
    ///
    /// To be called when nobody is left who could change it.
    pub fn give_back(&self, place: Place) -> Option<Scratch> {
        let Place { kind, dir, seen } = place;
        let is_same = Seen::all(dir.path()).is_ok_and(|now| now == seen);
        let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same || lists.places.len() >= KEPT {
            return Some(dir);
        }
        lists.places.push((kind, dir, seen));
        None
    }

    /// A spare directory for a tree on `base`.
    pub(crate) fn spare_tree(&self, base: Option<&Object>) -> Option<SpareTree> {
        let base = base.map(|base| *base.digest());
        let mut lists = self.spares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = lists.trees.iter().position(|(_, of)| *of == base)?;
        Some(lists.trees.swap_remove(index).0)
    }

    /// Takes back the directory of a tree on `base`; `Some` as for [`give_back`](Self::give_back).
    pub(crate) fn give_back_tree(&self, tree: SpareTree, base: Option<&Object>) -> Option<Scratch> {
        let (upper, work) = (tree.dir.path().join("upper"), tree.dir.path().join("work"));
        let is_same = Seen::all(&upper).is_ok_and(|now| now == tree.upper);
        // an overlay that was mounted without syncing is refused a second time until what it left here is gone
        let is_fresh = || match remove(&work.join("work")) {
            Ok(()) => Seen::all(&work).is_ok_and(|now| now.is_empty()),
            Err(_) => false,
        };
        if !is_same || !is_fresh() {
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

/// All that can be seen of a directory and what is in it, in the order of the paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(Vec<Entry>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
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
        let (mut entries, mut paths) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(path) = paths.pop() {
            let stat = statx(CWD, &path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
            let kind = FileType::from_raw_mode(stat.stx_mode.into());
            let mut flags = None;
            if kind.is_dir() || kind.is_file() {
                // without this a look would set the time of the last access
                let untouched = OFlags::NOATIME | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(CWD, &path, OFlags::RDONLY | untouched, Mode::empty())?;
                flags = ioctl_getflags(&file).ok();
                if kind.is_dir() {
                    let room = MOST.saturating_sub(entries.len() + paths.len());
                    list(file.as_fd(), room, |name| paths.push(path.join(name)))?;
                }
            }
            entries.push(Entry::of(path, &stat, flags)?);
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(entries))
    }

    /// Whether there is nothing in the directory.
    fn is_empty(&self) -> bool {
        self.0.len() == 1
    }
}

impl Entry {
    fn of(path: PathBuf, stat: &Statx, flags: Option<IFlags>) -> std::io::Result<Self> {
        let time = |time: &StatxTimestamp| (time.tv_sec, time.tv_nsec);
        let mut attributes = [0u8; 1024];
        let length = match llistxattr(&path, &mut attributes) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(e) => return Err(e.into()),
        };
        Ok(Self {
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
            attributes: attributes[..length].to_vec(),
            flags,
        })
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
        assert!(store.give_back(first).is_none());
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
            assert!(store.give_back(place).is_some());
            let fresh = store.place("stage", fill).unwrap();
            assert_ne!(fresh.path(), path);
            path = fresh.path().to_owned();
            assert!(store.give_back(fresh).is_none());
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
