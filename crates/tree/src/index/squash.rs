//! Many layers become one directory, without a mount: a plain one, or a layer with marks for what lies below.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::coding::{Rest, put_number, put_text};
use super::format::Fields;
use super::marks::{self, Marking};
use super::merge::{Sink, merge};
use super::packed::{Cursor, Packed, Packer, Record};
use super::scan::{Markers, Reading, Timeless, Times, scan};
use super::{GoOn, Index};
use crate::copy::{self, Options};
use crate::walk::Entry;
use crate::{Error, Kind, Result, Shift, Stat, Tree, xattr};

/// Of an entry of the merged tree: which layer has it, and where.
///
/// ```text
/// directory 1, over another 2  layer  length path  [length over]    the path there; empty: the same
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item;

const DIRECTORY: u8 = 1;
const OVER: u8 = 2;

/// What an item says.
#[derive(Debug, Clone, Copy)]
struct Origin<'r> {
    directory: bool,
    /// The topmost is 0; what the layers lie on counts as one more.
    layer: usize,
    path: &'r [u8],
    /// A directory of a layer shows this one of what the layers lie on, too.
    over: Option<&'r [u8]>,
}

impl<'r> Origin<'r> {
    /// Of the entry where the cursor stands.
    fn of<'c: 'r>(entry: &'c Cursor<'_, Item>) -> Option<Self> {
        let mut rest = Rest(entry.record());
        let flags = rest.byte().ok()?;
        let layer = rest.number().ok()? as usize;
        let path = match rest.text().ok()? {
            b"" => entry.path(),
            other => other,
        };
        let over = match flags & OVER {
            0 => None,
            _ => Some(rest.text().ok()?),
        };
        Some(Self {
            directory: flags & DIRECTORY != 0,
            layer,
            path,
            over,
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        let over = if self.over.is_some() { OVER } else { 0 };
        out.push(over | u8::from(self.directory));
        put_number(out, self.layer as u64);
        put_text(out, self.path);
        if let Some(over) = self.over {
            put_text(out, over);
        }
    }
}

impl Record for Item {
    fn check(rest: &mut Rest<'_>) -> std::io::Result<()> {
        Self::skip(rest)
    }

    fn skip(rest: &mut Rest<'_>) -> std::io::Result<()> {
        let flags = rest.byte()?;
        rest.number()?;
        rest.text()?;
        match flags & OVER {
            0 => Ok(()),
            _ => rest.text().map(drop),
        }
    }

    /// Only whether it is a directory is known.
    fn kind(record: &[u8]) -> Kind {
        match Self::flags(record) & DIRECTORY {
            0 => Kind::File,
            _ => Kind::Directory,
        }
    }

    fn flags(record: &[u8]) -> u8 {
        record.first().copied().unwrap_or(0)
    }
}

/// Writes the tree that overlayfs shows for `layers`, the topmost first, into the empty directory `to`.
///
/// Owners, modes, times, attributes, hard links and holes stay. `to` can then serve as a layer with nothing below.
pub fn squash(layers: &[Tree], to: &Tree, markers: Markers) -> Result<()> {
    squash_as(layers, to, markers, Shift::default(), Links::Kept).map(drop)
}

/// Makes the empty directory `to` one layer that shows what `layers`, the topmost first, show on the tree of `below`: where
/// that is [empty](Index::empty), the whole tree.
///
/// The files of the topmost layer are moved, so that it is of no use any more, and those of the others copied. All lie on one
/// file system.
///
/// # Errors
/// Those of a copy, and [`Error::Stopped`] soon after `go_on` says no.
pub fn squash_upon(
    below: &Index,
    layers: &[Tree],
    to: &Tree,
    markers: Markers,
    go_on: GoOn<'_>,
) -> Result<()> {
    let way = Way {
        markers,
        shift: Shift::default(),
        links: Links::Kept,
        moves: true,
        go_on,
    };
    squash_with(below, layers, to, way).map(drop)
}

/// What becomes of hard links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Kept,
    /// Each name gets a file of its own.
    Parted,
}

/// [`squash`] that moves owners, and may part hard links: then the names are returned that were one file, each group in
/// order.
pub fn squash_as(
    layers: &[Tree],
    to: &Tree,
    markers: Markers,
    shift: Shift,
    links: Links,
) -> Result<Vec<Vec<PathBuf>>> {
    let way = Way {
        markers,
        shift,
        links,
        moves: false,
        go_on: &|| true,
    };
    squash_with(&Index::empty(), layers, to, way)
}

/// How layers become one.
#[derive(Clone, Copy)]
struct Way<'g> {
    markers: Markers,
    shift: Shift,
    links: Links,
    /// Whether the files of the topmost layer are moved.
    moves: bool,
    go_on: GoOn<'g>,
}

fn squash_with(below: &Index, layers: &[Tree], to: &Tree, way: Way<'_>) -> Result<Vec<Vec<PathBuf>>> {
    let Way {
        markers,
        shift,
        links,
        moves,
        go_on,
    } = way;
    let options = Options {
        shift,
        ..Options::default()
    };
    let bottom = items_of(below, layers.len());
    let mut items = bottom.clone();
    for (layer, tree) in layers.iter().enumerate().rev() {
        items = add_layer(&items, (layer, tree), layers.len(), way)?;
    }
    let mut marking = Marking::upon(&bottom);
    // of each file with several names: those that there are already
    let mut names: HashMap<(u64, u64), Vec<PathBuf>> = HashMap::new();
    let mut directories = Vec::new();
    let mut item = items.cursor();
    while item.is_there() {
        if !go_on() {
            return Err(Error::Stopped);
        }
        let here = Path::new(OsStr::from_bytes(item.path())).to_owned();
        let Some((origin, tree)) =
            Origin::of(&item).and_then(|origin| Some((origin, layers.get(origin.layer)?)))
        else {
            // no layer has it, nor anything in it
            item.skip_tree();
            continue;
        };
        let (from, from_name) = tree.parent_of(Path::new(OsStr::from_bytes(origin.path)))?;
        if moves && origin.layer == 0 && !origin.directory {
            let (dir, name) = to.parent_of(&here)?;
            fault::step!(fs::renameat(&from, &from_name, &dir, &name))
                .map_err(|e| Error::errno("move", &here, e))?;
            item.advance();
            continue;
        }
        let stat: Stat = fault::step!(fs::statat(&from, &from_name, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| Error::errno("stat", &here, e))?
            .into();
        let entry = Entry {
            path: &here,
            stat,
            dir: from.as_fd(),
            name: &from_name,
        };
        let mut attributes = attributes(&entry, markers)?;
        shift.attributes(&mut attributes);
        if stat.kind == Kind::Directory {
            if !here.as_os_str().is_empty() {
                fault::step!(Ok(())).map_err(|e: Errno| Error::errno("make", &here, e))?;
                to.mkdir(&here, 0o700)?;
            }
            let mark = marking.of_directory(item.path(), origin.over);
            attributes.extend(marks::attribute(mark, markers));
            if let Some(over) = origin.over {
                let hidden = marks::hidden((&items, item.path()), (&bottom, over));
                make_whiteouts(to, &here, &hidden)?;
            }
            directories.push((here, stat, attributes));
            item.advance();
            continue;
        }
        item.advance();
        let inode = (stat.dev, stat.ino);
        if stat.nlink > 1 {
            let names = names.entry(inode).or_default();
            names.push(here.clone());
            if let (Links::Kept, [first, _, ..]) = (links, &names[..]) {
                fault::step!(Ok(())).map_err(|e: Errno| Error::errno("link", &here, e))?;
                to.hard_link(first, &here)?;
                continue;
            }
        }
        let (dir, name) = to.parent_of(&here)?;
        copy::make(&entry, dir.as_fd())?;
        copy::apply(dir.as_fd(), &name, &here, &stat, &attributes, &options, false)?;
    }
    for (path, stat, attributes) in directories.iter().rev() {
        let (dir, name) = to.parent_of(path)?;
        copy::apply(dir.as_fd(), &name, path, stat, attributes, &options, false)?;
    }
    let mut groups: Vec<Vec<PathBuf>> = names.into_values().filter(|names| names.len() > 1).collect();
    groups.sort_unstable();
    Ok(groups)
}

/// The entries of the tree that layers lie on, which counts as the layer `number`.
fn items_of(tree: &Index, number: usize) -> Packed<Item> {
    let mut packer = Packer::with_capacity(0);
    let mut entry = tree.packed.cursor();
    while entry.is_there() {
        let origin = Origin {
            directory: entry.kind() == Kind::Directory,
            layer: number,
            path: b"",
            over: None,
        };
        packer.push_with(entry.path(), |out| origin.put(out));
        entry.advance();
    }
    packer.finish()
}

/// The entries of one more layer and those below it; what all of them lie on counts as the layer `bottom`.
fn add_layer(
    below: &Packed<Item>,
    (layer, tree): (usize, &Tree),
    bottom: usize,
    way: Way<'_>,
) -> Result<Packed<Item>> {
    let scanned = scan(
        tree,
        Reading {
            times: Times::Keep,
            markers: Some(way.markers),
            timeless: &Timeless::of(&Index::empty()),
            content: false,
            go_on: way.go_on,
        },
    )?;
    let mut adding = Adding {
        packer: Packer::with_capacity(below.bytes().len()),
        layer,
        bottom,
    };
    merge(&scanned, below, &mut adding)?;
    Ok(adding.packer.finish())
}

/// Writes the items of one more layer and those below it.
struct Adding {
    packer: Packer<Item>,
    layer: usize,
    bottom: usize,
}

impl Sink<'_, Item> for Adding {
    fn above(&mut self, entry: &Cursor<'_, Fields>, over: Option<&Cursor<'_, Item>>) {
        let over = over.and_then(Origin::of);
        let origin = Origin {
            directory: entry.kind() == Kind::Directory,
            layer: self.layer,
            path: b"",
            over: over.and_then(|over| match over.layer == self.bottom {
                true => Some(over.path),
                false => over.over,
            }),
        };
        self.packer.push_with(entry.path(), |out| origin.put(out));
    }

    fn below(&mut self, path: &[u8], entry: &Cursor<'_, Item>) {
        // it was put there as an item
        if let Some(origin) = Origin::of(entry) {
            self.packer.push_with(path, |out| origin.put(out));
        }
    }

    fn stays(&mut self, from: &mut Cursor<'_, Item>, dir: &[u8]) {
        self.packer.push_span(from, dir);
    }
}

/// Has the directory `dir` hide these names of what is below.
fn make_whiteouts(to: &Tree, dir: &Path, names: &[Vec<u8>]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let parent = to.open_at(dir, OFlags::PATH | OFlags::DIRECTORY, 0)?;
    for name in names {
        let name = OsStr::from_bytes(name);
        let (kind, device) = (FileType::CharacterDevice, fs::makedev(0, 0));
        fault::step!(fs::mknodat(&parent, name, kind, Mode::empty(), device))
            .map_err(|e| Error::errno("make the whiteout", dir.join(name), e))?;
    }
    Ok(())
}

/// All attributes but overlayfs's marks; what it stored for the tree itself stays as it is stored.
fn attributes(entry: &Entry<'_>, markers: Markers) -> Result<super::Attributes> {
    let mut attributes = xattr::read(entry.dir, entry.name, entry.path)?;
    attributes.retain(|(name, _)| match name.strip_prefix(markers.prefix()) {
        Some(rest) => rest.starts_with(b"overlay."),
        None => true,
    });
    Ok(attributes)
}
