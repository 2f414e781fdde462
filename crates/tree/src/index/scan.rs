//! A directory as it lies on disk becomes a list of entries, its times made independent of when it was written.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Timespec, Timestamps};

use super::format::{Fields, Parts, TIMELESS, put_record};
use super::hash::Hasher;
use super::merge::index_of;
use super::packed::{Packed, Packer, Record};
use super::{Entry, GoOn, Index, Inode};
use crate::{Error, Kind, Result, Stat, Tree, walk, xattr};

/// What becomes of modification times that a build's own clock has set: of those at or after the second `since`, in
/// which the build began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The pipeline has a `source-epoch`: access and modification time are set to `epoch` on disk, and so in the index.
    Clamp { since: i64, epoch: i64 },
    /// It has none: the index keeps the time and marks it as [`Entry::timeless`], so it counts as 0 in the digest.
    Zero { since: i64 },
    /// Every time counts as it is.
    Keep,
}

/// Where overlayfs keeps its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markers {
    /// In `trusted.overlay.*`: mounts made by root.
    Trusted,
    /// In `user.overlay.*`: mounts with `userxattr`, as they are made in a user namespace. Directories are not redirected.
    User,
}

impl Markers {
    /// Those of the mounts that this process makes: `trusted.*` is for the first user namespace only.
    pub fn of_this_process() -> Self {
        // the inode number of the first one: `PROC_USER_INIT_INO` of <linux/proc_ns.h>
        let first = std::fs::metadata("/proc/self/ns/user").is_ok_and(|there| there.ino() == 0xEFFF_FFFD);
        if first && rustix::process::geteuid().is_root() {
            Self::Trusted
        } else {
            Self::User
        }
    }

    /// What the names of the marks begin with.
    pub(super) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }
}

/// The entries of a layer, and what its marks say.
#[derive(Debug)]
pub(super) struct Layer {
    /// In order. No record has a hard link: that is for the whole tree to say.
    pub entries: Packed<Fields>,
    /// Of entries whose inodes have several names, by their numbers.
    pub inodes: Vec<(usize, Inode)>,
    /// Of the entries that have one, by their numbers.
    pub marks: Vec<(usize, Mark)>,
}

impl Layer {
    pub(super) fn mark(&self, number: usize) -> &Mark {
        let found = self.marks.binary_search_by_key(&number, |(at, _)| *at);
        found.map_or(&Mark::None, |found| &self.marks[found].1)
    }

    pub(super) fn inode(&self, number: usize) -> Option<Inode> {
        let found = self.inodes.binary_search_by_key(&number, |(at, _)| *at).ok()?;
        Some(self.inodes[found].1)
    }

    /// The path of the first entry that hides one below.
    pub(super) fn first_whiteout(&self) -> Option<PathBuf> {
        let (number, _) = self.marks.iter().find(|(_, mark)| *mark == Mark::Whiteout)?;
        let mut cursor = self.entries.cursor();
        while cursor.number() < *number {
            cursor.advance();
        }
        Some(OsStr::from_bytes(cursor.path()).into())
    }
}

/// An entry that was just read.
struct Scanned {
    entry: Entry,
    inode: Option<Inode>,
    mark: Mark,
}

/// What an entry of a layer does to the tree below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing beside covering a file of the same name, or joining a directory.
    None,
    /// The name is not there.
    Whiteout,
    /// A directory that shows nothing of the one below.
    Opaque,
    /// A directory that lies over another one: `/a/b` from the root, or a name beside it.
    Redirect(Vec<u8>),
}

/// How a directory is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'r> {
    pub times: Times,
    /// A layer whose marks are of this kind; `None`: a plain directory.
    pub markers: Option<Markers>,
    /// Times of the tree below that count as 0: files copied or moved up from there have them still.
    pub timeless: &'r Timeless<'r>,
    /// Whether contents are hashed.
    pub content: bool,
    /// Asked again and again; once it says no the reading ends with [`Error::Stopped`].
    pub go_on: GoOn<'r>,
}

/// The times of a tree that counted as 0 in it: gathered when somebody asks.
pub(super) struct Timeless<'i> {
    index: &'i Index,
    times: OnceCell<HashSet<(i64, u32)>>,
}

impl<'i> Timeless<'i> {
    pub(super) fn of(index: &'i Index) -> Self {
        Self {
            index,
            times: OnceCell::new(),
        }
    }

    fn contains(&self, time: (i64, u32)) -> bool {
        self.times.get_or_init(|| self.gather()).contains(&time)
    }

    fn gather(&self) -> HashSet<(i64, u32)> {
        let mut found = HashSet::new();
        if self.index.packed.flags() & TIMELESS != 0 {
            self.index.packed.each_record(&mut |_, record| {
                if Fields::flags(record) & TIMELESS != 0 {
                    found.extend(Parts::of(record).and_then(|parts| parts.time(record)));
                }
            });
        }
        found
    }
}

/// A larger file is a hole that nobody can read to its end: it would keep the walk for hours.
const LARGEST: u64 = 1 << 40;

fn too_large(path: &Path, size: u64) -> Error {
    Error::Unsuitable {
        path: path.to_owned(),
        reason: format!("a file of {size} bytes is too large: {LARGEST} are allowed"),
    }
}

pub(super) fn plain(tree: &Tree, times: Times) -> Result<Index> {
    let layer = scan(
        tree,
        Reading {
            times,
            markers: None,
            timeless: &Timeless::of(&Index::empty()),
            content: true,
            go_on: &|| true,
        },
    )?;
    index_of(layer, &Packed::default())
}

pub(super) fn scan(tree: &Tree, reading: Reading<'_>) -> Result<Layer> {
    std::thread::scope(|scope| scan_with(tree, &reading, Hasher::new(scope, reading.go_on)))
}

fn scan_with(tree: &Tree, reading: &Reading<'_>, mut hasher: Hasher<'_, '_>) -> Result<Layer> {
    let mut packer = Packer::with_capacity(0);
    let (mut inodes, mut marks) = (Vec::new(), Vec::new());
    walk::walk(tree, &mut |found| {
        if !(reading.go_on)() {
            return Err(Error::Stopped);
        }
        let Scanned {
            mut entry,
            inode,
            mark,
        } = read(found, reading)?;
        let mut content = None;
        if mark != Mark::Whiteout {
            let has_content = match found.stat.kind {
                Kind::File => true,
                Kind::Fifo => fault::lifted!("kinds"),
                _ => false,
            };
            if has_content && reading.content {
                if found.stat.size > LARGEST {
                    return Err(too_large(found.path, found.stat.size));
                }
                content = Some(found.open()?);
            }
            settle_time(found, &mut entry, reading)?;
        }
        let number = packer.len();
        inodes.extend(inode.map(|inode| (number, inode)));
        if mark != Mark::None {
            marks.push((number, mark));
        }
        let mut place = None;
        let at = packer.push_with(bytes(found.path), |out| {
            let start = out.len();
            put_record(out, &entry);
            place = Parts::of(&out[start..]).and_then(|parts| parts.digest());
        });
        if let Some(file) = content {
            // where there is no place for a digest it is taken for nothing
            let place = place.map_or(usize::MAX, |place| at + place);
            hasher.add(place, file.into(), found.path, found.stat.size);
        }
        Ok(())
    })?;
    let mut entries = packer.finish();
    hasher.finish(&mut |place, digest| entries.patch(place, &digest))?;
    Ok(Layer {
        entries,
        inodes,
        marks,
    })
}

fn read(found: &walk::Entry<'_>, reading: &Reading<'_>) -> Result<Scanned> {
    let stat = &found.stat;
    let whiteout = stat.kind == Kind::CharDevice && stat.rdev == (0, 0);
    let mark = match reading.markers {
        Some(_) if whiteout => Mark::Whiteout,
        Some(markers) if stat.kind == Kind::Directory => directory_mark(found, markers)?,
        _ => Mark::None,
    };
    if mark != Mark::Whiteout {
        check(found)?;
    }
    let mut xattrs = if mark == Mark::Whiteout {
        Vec::new()
    } else {
        xattr::read(found.dir, found.name, found.path)?
    };
    if let Some(markers) = reading.markers {
        hide_marks(found, markers, &mut xattrs)?;
    }
    let is = |kind| stat.kind == kind;
    Ok(Scanned {
        inode: (stat.nlink > 1 && !is(Kind::Directory)).then_some(Inode::Upper(stat.dev, stat.ino)),
        mark,
        entry: Entry {
            path: found.path.to_owned(),
            kind: stat.kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime,
            timeless: false,
            size: if is(Kind::File) { stat.size } else { 0 },
            rdev: if is(Kind::CharDevice) || is(Kind::BlockDevice) {
                stat.rdev
            } else {
                (0, 0)
            },
            target: if is(Kind::Symlink) {
                Some(found.read_link()?)
            } else {
                None
            },
            xattrs,
            digest: None,
            hard_link: None,
        },
    })
}

/// Refuses what later steps could not name or map.
fn check(found: &walk::Entry<'_>) -> Result<()> {
    let refuse = |reason: String| Error::Unsuitable {
        path: found.path.to_owned(),
        reason,
    };
    // with its leading slash and the closing zero this is the kernel's PATH_MAX
    let length = found.path.as_os_str().len() + 1;
    if length > 4096 {
        return Err(refuse(format!(
            "a path of {length} bytes is too long: 4096 are allowed"
        )));
    }
    let Stat { uid, gid, .. } = found.stat;
    if uid > 65535 || gid > 65535 {
        return Err(refuse(format!(
            "belongs to {uid}:{gid}, and ids in a tree must not be above 65535"
        )));
    }
    Ok(())
}

/// An opaque directory stays so whatever else is written on it: the kernel looks no further.
fn directory_mark(found: &walk::Entry<'_>, markers: Markers) -> Result<Mark> {
    let get = |key| xattr::get(found.dir, found.name, key, found.path);
    if get(markers.opaque())?.as_deref() == Some(b"y") {
        return Ok(Mark::Opaque);
    }
    if markers == Markers::User {
        return Ok(Mark::None);
    }
    Ok(get(c"trusted.overlay.redirect")?.map_or(Mark::None, Mark::Redirect))
}

/// Removes overlayfs's marks. `P.overlay.overlay.X` is how it stores an attribute `P.overlay.X` of the tree itself.
fn hide_marks(found: &walk::Entry<'_>, markers: Markers, xattrs: &mut xattr::Attributes) -> Result<()> {
    let prefix = markers.prefix();
    let mut shown = Vec::new();
    for (name, value) in xattrs.drain(..) {
        match name.strip_prefix(prefix) {
            None => shown.push((name, value)),
            Some(b"metacopy") => {
                return Err(Error::Unsuitable {
                    path: found.path.to_owned(),
                    reason: "was copied up without its content: mount the overlay with metacopy=off".into(),
                });
            }
            Some(rest) => {
                if let Some(rest) = rest.strip_prefix(b"overlay.") {
                    shown.push(([prefix, rest].concat(), value));
                }
            }
        }
    }
    shown.sort_unstable();
    *xattrs = shown;
    Ok(())
}

fn settle_time(found: &walk::Entry<'_>, entry: &mut Entry, reading: &Reading<'_>) -> Result<()> {
    match reading.times {
        Times::Keep => {}
        Times::Zero { since } => {
            entry.timeless = is_recent(entry.mtime, since) || reading.timeless.contains(entry.mtime);
        }
        Times::Clamp { since, epoch } if is_recent(entry.mtime, since) => {
            let time = Timespec {
                tv_sec: epoch,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: time,
                last_modification: time,
            };
            fs::utimensat(found.dir, found.name, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| Error::errno("set the time of", found.path, e))?;
            entry.mtime = (epoch, 0);
        }
        Times::Clamp { .. } => {}
    }
    Ok(())
}

/// Whether a time is not before the second `since`. The kernel stamps files with the time of its last tick, which may be
/// a hundredth of a second behind the clock that the caller has read.
fn is_recent((seconds, nanoseconds): (i64, u32), since: i64) -> bool {
    seconds >= since || (seconds == since - 1 && nanoseconds >= 980_000_000)
}

/// Whether a redirect is a plain name.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/')
}

/// The bytes of a path.
pub(super) fn bytes(path: &std::path::Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
