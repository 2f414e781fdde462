//! Many layers become one plain directory, without a mount.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

use super::coding::{Rest, put_number, put_text};
use super::format::Fields;
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
/// directory 1 or other 0  layer  length path      the path there; empty: the same
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item;

impl Item {
    fn put(out: &mut Vec<u8>, directory: bool, layer: usize, path: &[u8]) {
        out.push(directory.into());
        put_number(out, layer as u64);
        put_text(out, path);
    }

    /// The layer, and the path there of what is at `path` in the merged tree.
    fn origin<'r>(path: &'r Path, record: &'r [u8]) -> Option<(usize, &'r Path)> {
        let mut rest = Rest(record.get(1..)?);
        let layer = rest.number().ok()? as usize;
        match rest.text().ok()? {
            b"" => Some((layer, path)),
            other => Some((layer, Path::new(OsStr::from_bytes(other)))),
        }
    }
}

impl Record for Item {
    fn check(rest: &mut Rest<'_>) -> std::io::Result<()> {
        Self::skip(rest)
    }

    fn skip(rest: &mut Rest<'_>) -> std::io::Result<()> {
        rest.byte()?;
        rest.number()?;
        rest.text().map(drop)
    }

    /// Only whether it is a directory is known.
    fn kind(record: &[u8]) -> Kind {
        match Self::flags(record) {
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
    squash_while(layers, to, markers, &|| true)
}

/// [`squash`] that ends with [`Error::Stopped`] soon after `go_on` says no.
pub fn squash_while(layers: &[Tree], to: &Tree, markers: Markers, go_on: GoOn<'_>) -> Result<()> {
    squash_with(layers, to, markers, (Shift::default(), Links::Kept), go_on).map(drop)
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
    squash_with(layers, to, markers, (shift, links), &|| true)
}

fn squash_with(
    layers: &[Tree],
    to: &Tree,
    markers: Markers,
    (shift, links): (Shift, Links),
    go_on: GoOn<'_>,
) -> Result<Vec<Vec<PathBuf>>> {
    let options = Options {
        shift,
        ..Options::default()
    };
    let mut items = Packed::<Item>::default();
    for (layer, tree) in layers.iter().enumerate().rev() {
        items = add_layer(&items, (layer, tree), markers, go_on)?;
    }
    // of each file with several names: those that there are already
    let mut names: HashMap<(u64, u64), Vec<PathBuf>> = HashMap::new();
    let mut directories = Vec::new();
    let mut item = items.cursor();
    while item.is_there() {
        if !go_on() {
            return Err(Error::Stopped);
        }
        let here = Path::new(OsStr::from_bytes(item.path())).to_owned();
        let (layer, origin) = Item::origin(&here, item.record()).unwrap_or((0, &here));
        let (from, from_name) = layers[layer].parent_of(origin)?;
        item.advance();
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
            directories.push((here, stat, attributes));
            continue;
        }
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

fn add_layer(
    below: &Packed<Item>,
    (layer, tree): (usize, &Tree),
    markers: Markers,
    go_on: GoOn<'_>,
) -> Result<Packed<Item>> {
    let scanned = scan(
        tree,
        Reading {
            times: Times::Keep,
            markers: Some(markers),
            timeless: &Timeless::of(&Index::empty()),
            content: false,
            go_on,
        },
    )?;
    let mut adding = Adding {
        packer: Packer::with_capacity(below.bytes().len()),
        layer,
    };
    merge(&scanned, below, &mut adding)?;
    Ok(adding.packer.finish())
}

/// Writes the items of one more layer and those below it.
struct Adding {
    packer: Packer<Item>,
    layer: usize,
}

impl Sink<'_, Item> for Adding {
    fn above(&mut self, entry: &Cursor<'_, Fields>) {
        let directory = entry.kind() == Kind::Directory;
        self.packer
            .push_with(entry.path(), |out| Item::put(out, directory, self.layer, b""));
    }

    fn below(&mut self, path: &[u8], entry: &Cursor<'_, Item>) {
        let directory = entry.kind() == Kind::Directory;
        let old = Path::new(OsStr::from_bytes(entry.path()));
        let (layer, origin) = Item::origin(old, entry.record()).unwrap_or((self.layer, old));
        let origin = origin.as_os_str().as_bytes();
        self.packer
            .push_with(path, |out| Item::put(out, directory, layer, origin));
    }

    fn stays(&mut self, from: &mut Cursor<'_, Item>, dir: &[u8]) {
        self.packer.push_span(from, dir);
    }
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
