//! The tree that overlayfs shows: one layer on top of what lies below.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::format::{self, Fields, HARD_LINK, Parts, put_linked};
use super::packed::{Cursor, Packed, Packer, Record, is_inside};
use super::scan::{Layer, Mark, Markers, Reading, Timeless, Times, is_name, scan};
use super::{GoOn, Index, Inode};
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
    let timeless = Timeless::of(lower);
    let layer = scan(
        upper,
        Reading {
            times,
            markers: Some(markers),
            timeless: &timeless,
            content,
            go_on,
        },
    )?;
    if lower.is_empty()
        && let Some(odd) = layer.first_whiteout()
    {
        // shown as a device when the layer is used alone, and hidden when it lies below another one
        return Err(Error::Unsuitable {
            path: odd,
            reason: WHITEOUT.into(),
        });
    }
    index_of(layer, &lower.packed)
}

/// The index of what a layer makes of the entries below it.
pub(super) fn index_of(layer: Layer, below: &Packed<Fields>) -> Result<Index> {
    let lower_links = below.flags() & HARD_LINK != 0;
    if below.len() == 0 && layer.marks.is_empty() && layer.inodes.is_empty() && !lower_links {
        return Ok(Index {
            packed: layer.entries,
        });
    }
    let redirects = layer
        .marks
        .iter()
        .any(|(_, mark)| matches!(mark, Mark::Redirect(_)));
    let mut numbering = !layer.inodes.is_empty() || (lower_links && redirects);
    if lower_links && !numbering {
        let mut lost = Lost(0);
        merge(&layer, below, &mut lost)?;
        numbering = lost.0 & HARD_LINK != 0;
    }
    let groups = match numbering {
        true => {
            let mut names = Names {
                layer: &layer,
                number: 0,
                found: Vec::new(),
            };
            merge(&layer, below, &mut names)?;
            Some(names.groups().into_iter().peekable())
        }
        false => None,
    };
    let mut writing = Writing {
        packer: Packer::with_capacity(layer.entries.bytes().len() + below.bytes().len()),
        groups,
    };
    merge(&layer, below, &mut writing)?;
    Ok(Index {
        packed: writing.packer.finish(),
    })
}

/// What flags there are among the entries below that are no more.
struct Lost(u8);

impl<B: Record> Sink<'_, B> for Lost {
    fn above(&mut self, _: &Cursor<'_, Fields>, _: Option<&Cursor<'_, B>>) {}

    fn below(&mut self, _: &[u8], _: &Cursor<'_, B>) {}

    fn stays(&mut self, from: &mut Cursor<'_, B>, dir: &[u8]) {
        from.go_behind(dir);
    }

    fn lost(&mut self, flags: u8) {
        self.0 |= flags;
    }
}

/// The entries that have other names, perhaps, with what their inodes are told apart by.
struct Names<'l> {
    layer: &'l Layer,
    number: usize,
    found: Vec<(usize, Inode)>,
}

impl Names<'_> {
    fn add(&mut self, inode: Option<Inode>) {
        self.found.extend(inode.map(|inode| (self.number, inode)));
        self.number += 1;
    }

    /// Which entries of the merged tree, by their places in it, share an inode with others, and the number of that: counted
    /// in the order of their first paths.
    fn groups(mut self) -> Vec<(usize, u32)> {
        let mut names: HashMap<Inode, u32> = HashMap::new();
        for (_, inode) in &self.found {
            *names.entry(*inode).or_default() += 1;
        }
        self.found
            .retain(|(_, inode)| names.get(inode).is_some_and(|names| *names > 1));
        let mut numbers: HashMap<Inode, u32> = HashMap::new();
        let number = |(at, inode)| {
            let next = numbers.len() as u32;
            (at, *numbers.entry(inode).or_insert(next))
        };
        self.found.into_iter().map(number).collect()
    }
}

impl Sink<'_, Fields> for Names<'_> {
    fn above(&mut self, entry: &Cursor<'_, Fields>, _: Option<&Cursor<'_, Fields>>) {
        self.add(self.layer.inode(entry.number()));
    }

    fn below(&mut self, _: &[u8], entry: &Cursor<'_, Fields>) {
        let record = entry.record();
        let group = match Fields::flags(record) & HARD_LINK {
            0 => None,
            _ => Parts::of(record).and_then(|parts| parts.group(record)),
        };
        self.add(group.map(Inode::Lower));
    }
}

/// Writes the merged tree.
struct Writing {
    packer: Packer<Fields>,
    /// The groups of hard links, by the places of their entries; `None`: they are what they were.
    groups: Option<Peekable<std::vec::IntoIter<(usize, u32)>>>,
}

impl Writing {
    fn add(&mut self, path: &[u8], record: &[u8]) {
        let number = self.packer.len();
        match &mut self.groups {
            None => self.packer.push(path, record),
            Some(groups) => {
                let group = groups.next_if(|(at, _)| *at == number).map(|(_, group)| group);
                self.packer.push_with(path, |out| put_linked(out, record, group));
            }
        }
    }
}

impl Sink<'_, Fields> for Writing {
    fn above(&mut self, entry: &Cursor<'_, Fields>, _: Option<&Cursor<'_, Fields>>) {
        self.add(entry.path(), entry.record());
    }

    fn below(&mut self, path: &[u8], entry: &Cursor<'_, Fields>) {
        self.add(path, entry.record());
    }

    fn stays(&mut self, from: &mut Cursor<'_, Fields>, dir: &[u8]) {
        match &self.groups {
            None => self.packer.push_span(from, dir),
            Some(_) => one_by_one(self, from, dir),
        }
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
        timeless: &Timeless::of(base),
        content: true,
        go_on,
    };
    let layer = scan(tree, reading)?;
    let mut entry = layer.entries.cursor();
    while entry.is_there() {
        // nobody could tell them from overlayfs's own when the tree has become a layer
        let whiteout = || format::entry(entry.path(), entry.record()).rdev == (0, 0);
        let marked = || {
            let attributes = format::attributes(entry.record());
            attributes
                .iter()
                .any(|(name, _)| name.starts_with(markers.prefix()))
        };
        let reason = match entry.kind() {
            Kind::CharDevice if whiteout() => WHITEOUT,
            _ if marked() => "has an attribute that overlayfs keeps for itself",
            _ => {
                entry.advance();
                continue;
            }
        };
        return Err(Error::Unsuitable {
            path: OsStr::from_bytes(entry.path()).into(),
            reason: reason.to_owned(),
        });
    }
    drop(entry);
    index_of(layer, &Packed::default())
}

/// What is given the entries of a merged tree in order.
pub(super) trait Sink<'p, B: Record> {
    /// One of the layer; `over`: the directory below that it shows too.
    fn above(&mut self, entry: &Cursor<'p, Fields>, over: Option<&Cursor<'p, B>>);

    /// One from below, whose path is now `path`.
    fn below(&mut self, path: &[u8], entry: &Cursor<'p, B>);

    /// One from below, where the cursor stands, and what follows it inside the directory `dir`, all with the paths that they
    /// had. The cursor is to be left behind them.
    fn stays(&mut self, from: &mut Cursor<'p, B>, dir: &[u8]) {
        one_by_one(self, from, dir);
    }

    /// Entries from below are no more, and have these flags.
    fn lost(&mut self, _flags: u8) {}
}

/// [`Sink::stays`] for who looks at each entry.
fn one_by_one<'p, B: Record, S: Sink<'p, B> + ?Sized>(sink: &mut S, from: &mut Cursor<'p, B>, dir: &[u8]) {
    loop {
        sink.below(from.path(), from);
        from.advance();
        if !from.is_there() || !is_inside(from.path(), dir) {
            return;
        }
    }
}

/// Gives the entries of the merged tree in order.
pub(super) fn merge<'p, B: Record>(
    layer: &'p Layer,
    below: &'p Packed<B>,
    sink: &mut dyn Sink<'p, B>,
) -> Result<()> {
    let mut merge = Merge {
        layer,
        lower: below,
        up: layer.entries.cursor(),
        open: Vec::new(),
        sink,
    };
    let mut root = below.cursor();
    if !merge.up.is_there() {
        if root.is_there() {
            merge.sink.stays(&mut root, b"");
        }
        return Ok(());
    }
    let seen = root.is_there() && *layer.mark(0) != Mark::Opaque;
    merge.enter(seen.then_some((root, false)));
    while merge.step()? {}
    Ok(())
}

struct Merge<'p, 's, B> {
    layer: &'p Layer,
    lower: &'p Packed<B>,
    /// The entry of the layer that comes next.
    up: Cursor<'p, Fields>,
    /// The directories that the merge stands in: a list, since a stranger's tree may be deeper than our stack.
    open: Vec<Level<'p, B>>,
    sink: &'s mut dyn Sink<'p, B>,
}

/// A directory of the layer over one below, if there is one.
struct Level<'p, B> {
    /// Its path in the layer and in the merged tree.
    path: Vec<u8>,
    below: Option<Below<'p, B>>,
}

/// A directory below one of the layer.
struct Below<'p, B> {
    /// Its path there.
    dir: Vec<u8>,
    /// Stands on the next entry of the directory, or behind the last one. `None`: lent to the directory that was entered.
    next: Option<Cursor<'p, B>>,
    /// The cursor is that of the level above, and goes back there.
    lent: bool,
}

impl<'p, B: Record> Level<'p, B> {
    /// The next entry of the directory below.
    fn down(&mut self) -> Option<&mut Cursor<'p, B>> {
        let below = self.below.as_mut()?;
        let next = below.next.as_mut()?;
        (next.is_there() && is_inside(next.path(), &below.dir)).then_some(next)
    }
}

impl<'p, B: Record> Merge<'p, '_, B> {
    /// Goes into the directory where `up` stands, over the one where the cursor stands.
    fn enter(&mut self, down: Option<(Cursor<'p, B>, bool)>) {
        self.sink.above(&self.up, down.as_ref().map(|(over, _)| over));
        self.open.push(Level {
            path: self.up.path().to_vec(),
            below: down.map(|(mut next, lent)| {
                let dir = next.path().to_vec();
                next.advance();
                Below {
                    dir,
                    next: Some(next),
                    lent,
                }
            }),
        });
        self.up.advance();
    }

    /// Deals with the next entry of the innermost directory, or leaves it. False: all is done.
    fn step(&mut self) -> Result<bool> {
        let Some(level) = self.open.last_mut() else {
            return Ok(false);
        };
        let above = self.up.is_there() && is_inside(self.up.path(), &level.path);
        let next = match (above, level.down()) {
            (false, None) => {
                self.leave();
                return Ok(true);
            }
            (true, None) => Ordering::Less,
            (false, Some(_)) => Ordering::Greater,
            (true, Some(down)) => name(self.up.path()).cmp(name(down.path())),
        };
        if next.is_gt() {
            keep(level, above, self.sink);
            return Ok(true);
        }
        let is_dir = |down: &Cursor<'p, B>| down.kind() == Kind::Directory;
        let same = next.is_eq();
        let down = match self.layer.mark(self.up.number()) {
            Mark::Whiteout => {
                skip(level, same, self.sink);
                self.up.advance();
                return Ok(true);
            }
            Mark::None
                if self.up.kind() == Kind::Directory && same && level.down().is_some_and(|d| is_dir(d)) =>
            {
                let lent = level.below.as_mut().and_then(|below| below.next.take());
                lent.map(|cursor| (cursor, true))
            }
            Mark::None | Mark::Opaque => {
                skip(level, same, self.sink);
                None
            }
            Mark::Redirect(to) => {
                let dir = level.below.as_ref().map(|below| below.dir.as_slice());
                let found = redirected(self.lower, self.up.path(), to, dir)?;
                skip(level, same, self.sink);
                found.filter(is_dir).map(|cursor| (cursor, false))
            }
        };
        if self.up.kind() == Kind::Directory {
            self.enter(down);
        } else {
            self.sink.above(&self.up, None);
            self.up.advance();
        }
        Ok(true)
    }

    fn leave(&mut self) {
        let left = self.open.pop().and_then(|level| level.below);
        if let (Some(left), Some(level)) = (left, self.open.last_mut())
            && left.lent
            && let Some(below) = &mut level.below
        {
            below.next = left.next;
        }
    }
}

/// Passes over the next entry of the directory below, where it has the name of the one above it.
fn skip<'p, B: Record>(level: &mut Level<'p, B>, same: bool, sink: &mut dyn Sink<'p, B>) {
    if let Some(down) = level.down().filter(|_| same) {
        sink.lost(down.skip_tree());
    }
}

/// What is below comes next and stays, with all that it holds. Where nothing of the layer is left in the directory, that
/// goes for the rest of it.
fn keep<'p, B: Record>(level: &mut Level<'p, B>, above: bool, sink: &mut dyn Sink<'p, B>) {
    let Level { path: to, below } = level;
    let Some(below) = below else { return };
    let Some(down) = &mut below.next else { return };
    let top = match above {
        true => down.path().to_vec(),
        false => below.dir.clone(),
    };
    if below.dir == *to {
        sink.stays(down, &top);
        return;
    }
    let mut moved = Vec::new();
    loop {
        // what follows the old parent, with its slash
        let rest = down.path().get(below.dir.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        moved.clear();
        moved.extend_from_slice(to);
        if !to.is_empty() {
            moved.push(b'/');
        }
        moved.extend_from_slice(rest);
        sink.below(&moved, down);
        down.advance();
        if !down.is_there() || !is_inside(down.path(), &top) {
            return;
        }
    }
}

/// What is below at the place that the redirect of `path` names; `dir` is the directory below the one that it is in.
fn redirected<'p, B: Record>(
    below: &'p Packed<B>,
    path: &[u8],
    to: &[u8],
    dir: Option<&[u8]>,
) -> Result<Option<Cursor<'p, B>>> {
    if let Some(absolute) = to.strip_prefix(b"/") {
        return Ok(below.find(absolute));
    }
    if !is_name(to) {
        return Err(Error::Unsuitable {
            path: OsStr::from_bytes(path).into(),
            reason: format!(
                "has an overlay redirect that leads nowhere: {:?}",
                OsStr::from_bytes(to)
            ),
        });
    }
    let wanted = dir.map(|dir| Path::new(OsStr::from_bytes(dir)).join(OsStr::from_bytes(to)));
    Ok(wanted.and_then(|wanted| below.find(wanted.as_os_str().as_bytes())))
}

/// The last part of a path.
pub(super) fn name(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[slash.map_or(0, |slash| slash + 1)..]
}
