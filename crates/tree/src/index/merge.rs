//! The tree that overlayfs shows: one layer on top of what lies below.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::scan::{Mark, Markers, Reading, Scanned, Times, bytes, is_name, scan};
use super::{Entry, GoOn, Index, Inode, ends, order};
use crate::{Error, Kind, Result, Tree};

/// Why a tree cannot have the device 0:0.
const WHITEOUT: &str = "is the device 0:0, which overlayfs takes for a removed file: a tree cannot hold it";

/// Without `content` no file is read: those of `upper` have no digest.
pub(super) fn merge_layer(
    lower: &Index,
    upper: &Tree,
    times: Times,
    markers: Markers,
    content: bool,
    go_on: GoOn<'_>,
) -> Result<Index> {
    let timeless = timeless(lower, times);
    let scanned = scan(
        upper,
        Reading {
            times,
            markers: Some(markers),
            timeless: &timeless,
            content,
            go_on,
        },
    )?;
    if lower.entries.is_empty()
        && let Some(odd) = scanned.iter().find(|s| s.mark == Mark::Whiteout)
    {
        // shown as a device when the layer is used alone, and hidden when it lies below another one
        return Err(Error::Unsuitable {
            path: odd.entry.path.clone(),
            reason: WHITEOUT.into(),
        });
    }
    let above: Vec<Place<'_>> = scanned
        .iter()
        .map(|s| (s.entry.path.as_path(), s.entry.kind))
        .collect();
    let marks: Vec<&Mark> = scanned.iter().map(|s| &s.mark).collect();
    let below: Vec<Place<'_>> = lower.entries.iter().map(|e| (e.path.as_path(), e.kind)).collect();
    let merged = merge(&above, &marks, &below)?;

    let mut entries = Vec::with_capacity(merged.len());
    let mut inodes = Vec::with_capacity(merged.len());
    for place in merged {
        match place {
            Origin::Above(at) => {
                entries.push(scanned[at].entry.clone());
                inodes.push(scanned[at].inode);
            }
            Origin::Below(at, moved) => {
                let mut entry = lower.entries[at].clone();
                if let Some(path) = moved {
                    entry.path = path;
                }
                inodes.push(entry.hard_link.map(Inode::Lower));
                entries.push(entry);
            }
        }
    }
    Ok(Index::from_parts(entries, &inodes))
}

/// The times of a tree that counted as 0 in it.
fn timeless(lower: &Index, times: Times) -> HashSet<(i64, u32)> {
    match times {
        Times::Zero { .. } => {
            let timeless = lower.entries.iter().filter(|e| e.timeless);
            timeless.map(|e| e.mtime).collect()
        }
        Times::Clamp { .. } | Times::Keep => HashSet::new(),
    }
}

/// The index of a whole tree that began as a copy of `base`.
pub(super) fn scan_copy(
    base: &Index,
    tree: &Tree,
    times: Times,
    markers: Markers,
    go_on: GoOn<'_>,
) -> Result<Index> {
    let reading = Reading {
        times,
        markers: None,
        timeless: &timeless(base, times),
        content: true,
        go_on,
    };
    let scanned = scan(tree, reading)?;
    let refuse = |entry: &Entry, reason: &str| {
        Err(Error::Unsuitable {
            path: entry.path.clone(),
            reason: reason.to_owned(),
        })
    };
    let (mut entries, mut inodes) = (
        Vec::with_capacity(scanned.len()),
        Vec::with_capacity(scanned.len()),
    );
    for Scanned { entry, inode, .. } in scanned {
        // nobody could tell them from overlayfs's own when the tree has become a layer
        if entry.kind == Kind::CharDevice && entry.rdev == (0, 0) {
            return refuse(&entry, WHITEOUT);
        }
        if entry
            .xattrs
            .iter()
            .any(|(name, _)| name.starts_with(markers.prefix()))
        {
            return refuse(&entry, "has an attribute that overlayfs keeps for itself");
        }
        entries.push(entry);
        inodes.push(inode);
    }
    Ok(Index::from_parts(entries, &inodes))
}

/// A path and what is there.
pub(super) type Place<'p> = (&'p Path, Kind);

/// Where an entry of the merged tree comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// From the layer.
    Above(usize),
    /// From below, perhaps under another path.
    Below(usize, Option<PathBuf>),
}

/// Merges two ordered lists; `marks` belong to `above`. The result is in order.
pub(super) fn merge(above: &[Place<'_>], marks: &[&Mark], below: &[Place<'_>]) -> Result<Vec<Origin>> {
    if above.is_empty() {
        return Ok((0..below.len()).map(|at| Origin::Below(at, None)).collect());
    }
    let mut merge = Merge {
        above,
        marks,
        below,
        above_ends: ends(above.iter().map(|p| p.0)),
        below_ends: ends(below.iter().map(|p| p.0)),
        out: Vec::with_capacity(above.len() + below.len()),
        open: Vec::new(),
    };
    let root = below.first().filter(|_| *marks[0] != Mark::Opaque);
    merge.enter(0, root.map(|_| 0));
    while let Some(level) = merge.open.pop() {
        merge.step(level)?;
    }
    Ok(merge.out)
}

struct Merge<'m> {
    above: &'m [Place<'m>],
    marks: &'m [&'m Mark],
    below: &'m [Place<'m>],
    above_ends: Vec<usize>,
    below_ends: Vec<usize>,
    out: Vec<Origin>,
    /// The directories that the merge stands in: a list, since a stranger's tree may be deeper than our stack.
    open: Vec<Level>,
}

/// A directory of the layer over one below, if there is one: what is left of both.
#[derive(Clone)]
struct Level {
    path_of: usize,
    down: Option<usize>,
    above: Range<usize>,
    below: Range<usize>,
}

impl Merge<'_> {
    fn enter(&mut self, up: usize, down: Option<usize>) {
        self.out.push(Origin::Above(up));
        self.open.push(Level {
            path_of: up,
            down,
            above: up + 1..self.above_ends[up],
            below: down.map_or(0..0, |down| down + 1..self.below_ends[down]),
        });
    }

    /// Goes through a directory up to its end or the next one of the layer in it.
    fn step(&mut self, mut level: Level) -> Result<()> {
        loop {
            let (u, d) = (level.above.start, level.below.start);
            let next = match (level.above.is_empty(), level.below.is_empty()) {
                (true, true) => return Ok(()),
                (false, true) => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, false) => name(self.above[u].0).cmp(name(self.below[d].0)),
            };
            if next.is_ge() {
                level.below.start = self.below_ends[d];
            }
            if next.is_gt() {
                self.keep(d, self.above[level.path_of].0);
                continue;
            }
            level.above.start = self.above_ends[u];
            let is_dir = |at: &usize| self.below[*at].1 == Kind::Directory;
            let down = match self.marks[u] {
                Mark::Whiteout => continue,
                Mark::Opaque => None,
                Mark::None => next.is_eq().then_some(d).filter(is_dir),
                Mark::Redirect(to) => self.redirected(self.above[u].0, to, level.down)?.filter(is_dir),
            };
            if self.above[u].1 == Kind::Directory {
                self.open.push(level);
                self.enter(u, down);
                return Ok(());
            }
            self.out.push(Origin::Above(u));
        }
    }

    /// What is below at the place that a redirect names.
    fn redirected(&self, path: &Path, to: &[u8], parent: Option<usize>) -> Result<Option<usize>> {
        let wanted = if let Some(absolute) = to.strip_prefix(b"/") {
            OsStr::from_bytes(absolute).into()
        } else if is_name(to) {
            match parent {
                Some(parent) => self.below[parent].0.join(OsStr::from_bytes(to)),
                None => return Ok(None),
            }
        } else {
            return Err(Error::Unsuitable {
                path: path.to_owned(),
                reason: format!(
                    "has an overlay redirect that leads nowhere: {:?}",
                    OsStr::from_bytes(to)
                ),
            });
        };
        Ok(self.below.binary_search_by(|p| order(p.0, &wanted)).ok())
    }

    /// What is below stays, with all that it holds, now in the directory `to`.
    fn keep(&mut self, from: usize, to: &Path) {
        let parent = self.below[from].0.parent().unwrap_or(Path::new(""));
        let range = from..self.below_ends[from];
        if parent == to {
            self.out.extend(range.map(|at| Origin::Below(at, None)));
            return;
        }
        // what follows the old parent, with its slash
        let cut = bytes(parent).len();
        for at in range {
            let rest = &bytes(self.below[at].0)[cut..];
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let mut moved = bytes(to).to_vec();
            if !moved.is_empty() {
                moved.push(b'/');
            }
            moved.extend_from_slice(rest);
            self.out
                .push(Origin::Below(at, Some(OsString::from_vec(moved).into())));
        }
    }
}

/// The last part of a path.
fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}
