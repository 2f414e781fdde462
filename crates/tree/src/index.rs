//! [`Index`]: the list of a tree's entries, and the digest that stands for its content.
//!
//! An index is scanned from a plain directory ([`Index::scan`]), or made from the index below and the upper directory of
//! an overlay mount ([`Index::merge_layer`]), so that only what changed is read. Both ways to one tree end in one digest.

mod coding;
mod diff;
mod digest;
mod entries;
mod format;
mod hash;
mod marks;
mod merge;
mod packed;
mod pieces;
mod scan;
mod squash;

use std::cmp::Ordering;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{Kind, Result, Tree};
use format::{Fields, Parts};
use packed::Packed;

pub use crate::xattr::Attributes;
pub use diff::{Change, Difference, Differences, What};
pub use digest::{ParseDigestError, TreeDigest};
pub use entries::Entries;
pub use scan::{Markers, Times};
pub use squash::{Links, squash, squash_as, squash_upon};

/// Whether what takes long is to go on; asked from several threads.
pub type GoOn<'g> = &'g (dyn Fn() -> bool + Sync);

/// What is known of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the tree; empty for the root.
    pub path: PathBuf,
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// The time came from the clock of a build without a `source-epoch`: in the digest it counts as 0.
    pub timeless: bool,
    /// Of a file its length, else 0.
    pub size: u64,
    /// Of a device node: major and minor number.
    pub rdev: (u32, u32),
    /// The text of a symbolic link.
    pub target: Option<PathBuf>,
    /// Extended attributes sorted by name, without those that overlayfs keeps for itself.
    pub xattrs: Attributes,
    /// Of a file what stands for its content: not always its SHA-256, which [`Entry::sha256`] has. `None`: it was not read.
    pub digest: Option<[u8; 32]>,
    /// Entries of one inode have one number; they are counted in the order of their first paths. `None`: just one name.
    pub hard_link: Option<u32>,
}

impl Entry {
    /// Of a file the SHA-256 of its content; of one of 64 MiB or more it is not known, since its digest is over those of
    /// its pieces.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.digest.filter(|_| self.size < pieces::LARGE)
    }
}

/// All entries of a tree: parents before children, siblings sorted by bytes.
///
/// In memory it is about as large as on disk, some 70 bytes an entry: each [`Entry`] is made when it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    packed: Packed<Fields>,
}

impl Index {
    /// The index of no tree at all: what the first stage builds on.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Scans a whole directory as it shows itself: a plain one or a mounted one, but no layer of an overlay (for the
    /// lowest layer merge into [`Index::empty`]).
    ///
    /// [`Times::Clamp`] sets times on disk, see there. Paths over 4,096 bytes and owners above 65,535 are refused.
    pub fn scan(tree: &Tree, times: Times) -> Result<Self> {
        scan::plain(tree, times)
    }

    /// The index of the tree that overlayfs shows with `upper` on top of the tree of this index.
    ///
    /// Whiteouts, opaque and redirected directories count as the kernel takes them; their marks do not enter the index.
    /// Entries that `upper` does not touch keep what this index says.
    pub fn merge_layer(&self, upper: &Tree, times: Times) -> Result<Self> {
        self.merge_layer_with(upper, times, Markers::of_this_process())
    }

    /// [`Index::merge_layer`] for a mount whose marks are known to be of the one or the other kind.
    pub fn merge_layer_with(&self, upper: &Tree, times: Times, markers: Markers) -> Result<Self> {
        merge::merge_layer(self, upper, times, markers, true, &|| true)
    }

    /// [`Index::merge_layer`] that ends with [`Error::Stopped`](crate::Error::Stopped) soon after `go_on` says no.
    pub fn merge_layer_while(&self, upper: &Tree, times: Times, go_on: GoOn<'_>) -> Result<Self> {
        merge::merge_layer(self, upper, times, Markers::of_this_process(), true, go_on)
    }

    /// [`Index::merge_layer`] with times as they are and without reading a file: those of `upper` have no digest.
    pub fn merge_layer_unread(&self, upper: &Tree) -> Result<Self> {
        merge::merge_layer(
            self,
            upper,
            Times::Keep,
            Markers::of_this_process(),
            false,
            &|| true,
        )
    }

    /// The index of a directory that began as a copy of the tree of this one, and is no layer: all of it is read. It is what
    /// [`Index::merge_layer`] gives for an overlay on which the same was done.
    pub fn scan_copy(&self, tree: &Tree, times: Times) -> Result<Self> {
        self.scan_copy_while(tree, times, &|| true)
    }

    /// [`Index::scan_copy`] that ends with [`Error::Stopped`](crate::Error::Stopped) soon after `go_on` says no.
    pub fn scan_copy_while(&self, tree: &Tree, times: Times, go_on: GoOn<'_>) -> Result<Self> {
        merge::scan_copy(self, tree, times, Markers::of_this_process(), go_on)
    }

    /// The digest of all that the index says, times that do not count left out.
    pub fn digest(&self) -> TreeDigest {
        format::digest(&self.packed)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Whether it is the index of no tree at all: that of an empty one has its root.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the index takes.
    pub fn memory(&self) -> usize {
        self.packed.memory()
    }

    /// The entries in order.
    pub fn entries(&self) -> Entries<'_> {
        Entries::all(&self.packed)
    }

    /// The entries that have attributes, in order: few as a rule, and found sooner than among all.
    pub fn entries_with_attributes(&self) -> Entries<'_> {
        Entries::with_attributes(&self.packed)
    }

    /// The entry `path`, given without a leading slash; no link is followed.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Entry> {
        let found = self.packed.find(path.as_ref().as_os_str().as_bytes())?;
        Some(format::entry(found.path(), found.record()))
    }

    /// The bytes of all files, those with several names counted once.
    pub fn total_size(&self) -> u64 {
        let mut last = None;
        let mut total = 0;
        self.packed.each_record(&mut |_, record| {
            let Some(parts) = Parts::of(record) else { return };
            // groups are numbered by their first paths: a number not above the last one was counted
            match parts.group(record) {
                Some(group) if last.is_some_and(|last| group <= last) => {}
                group => {
                    total += parts.size(record);
                    last = group.or(last);
                }
            }
        });
        total
    }

    /// What is different in `other`, sorted by path.
    pub fn diff(&self, other: &Self) -> Vec<Change> {
        self.differences(other).map(Change::from).collect()
    }

    /// [`Index::diff`] one by one, with both entries.
    pub fn differences<'i>(&'i self, other: &'i Self) -> Differences<'i> {
        Differences::new(&self.packed, &other.packed)
    }
}

/// What tells inodes apart in one merge: those of the upper directory, and the groups of the index below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Inode {
    Upper(u64, u64),
    Lower(u32),
}

/// The order of paths in an index: a directory directly before what it holds.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    a.get(same).map(rank).cmp(&b.get(same).map(rank))
}

#[cfg(test)]
mod tests;
