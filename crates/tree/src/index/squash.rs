//! Many layers become one plain directory, without a mount.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

use super::GoOn;
use super::merge::{Origin, merge};
use super::scan::{Mark, Markers, Reading, Times, scan};
use crate::copy::{self, Options};
use crate::walk::Entry;
use crate::{Error, Kind, Result, Shift, Stat, Tree, xattr};

/// An entry of the merged tree: where it shall be, and which layer has it where.
struct Item {
    path: PathBuf,
    kind: Kind,
    layer: usize,
    origin: PathBuf,
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
    let mut items: Vec<Item> = Vec::new();
    for (layer, tree) in layers.iter().enumerate().rev() {
        items = add_layer(items, (layer, tree), markers, go_on)?;
    }
    // of each file with several names: those that there are already
    let mut names: HashMap<(u64, u64), Vec<&Path>> = HashMap::new();
    let mut directories = Vec::new();
    for item in &items {
        if !go_on() {
            return Err(Error::Stopped);
        }
        let (from, from_name) = layers[item.layer].parent_of(&item.origin)?;
        let stat: Stat = fault::step!(fs::statat(&from, &from_name, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| Error::errno("stat", &item.path, e))?
            .into();
        let entry = Entry {
            path: &item.path,
            stat,
            dir: from.as_fd(),
            name: &from_name,
        };
        let mut attributes = attributes(&entry, markers)?;
        shift.attributes(&mut attributes);
        if stat.kind == Kind::Directory {
            if !item.path.as_os_str().is_empty() {
                fault::step!(Ok(())).map_err(|e: Errno| Error::errno("make", &item.path, e))?;
                to.mkdir(&item.path, 0o700)?;
            }
            directories.push((&item.path, stat, attributes));
            continue;
        }
        let inode = (stat.dev, stat.ino);
        if stat.nlink > 1 {
            let names = names.entry(inode).or_default();
            names.push(&item.path);
            if let (Links::Kept, [first, _, ..]) = (links, &names[..]) {
                fault::step!(Ok(())).map_err(|e: Errno| Error::errno("link", &item.path, e))?;
                to.hard_link(first, &item.path)?;
                continue;
            }
        }
        let (dir, name) = to.parent_of(&item.path)?;
        copy::make(&entry, dir.as_fd())?;
        copy::apply(
            dir.as_fd(),
            &name,
            &item.path,
            &stat,
            &attributes,
            &options,
            false,
        )?;
    }
    for (path, stat, attributes) in directories.iter().rev() {
        let (dir, name) = to.parent_of(path)?;
        copy::apply(dir.as_fd(), &name, path, stat, attributes, &options, false)?;
    }
    let mut groups: Vec<Vec<PathBuf>> = names
        .into_values()
        .filter(|names| names.len() > 1)
        .map(|names| names.into_iter().map(Path::to_owned).collect())
        .collect();
    groups.sort_unstable();
    Ok(groups)
}

fn add_layer(
    below: Vec<Item>,
    (layer, tree): (usize, &Tree),
    markers: Markers,
    go_on: GoOn<'_>,
) -> Result<Vec<Item>> {
    let scanned = scan(
        tree,
        Reading {
            times: Times::Keep,
            markers: Some(markers),
            timeless: &Default::default(),
            content: false,
            go_on,
        },
    )?;
    let above: Vec<_> = scanned
        .iter()
        .map(|s| (s.entry.path.as_path(), s.entry.kind))
        .collect();
    let marks: Vec<&Mark> = scanned.iter().map(|s| &s.mark).collect();
    let places: Vec<_> = below.iter().map(|i| (i.path.as_path(), i.kind)).collect();
    let merged = merge(&above, &marks, &places)?;
    let item = |origin| match origin {
        Origin::Above(at) => Item {
            path: above[at].0.to_owned(),
            kind: above[at].1,
            layer,
            origin: above[at].0.to_owned(),
        },
        Origin::Below(at, moved) => Item {
            path: moved.unwrap_or_else(|| below[at].path.clone()),
            kind: below[at].kind,
            layer: below[at].layer,
            origin: below[at].origin.clone(),
        },
    };
    Ok(merged.into_iter().map(item).collect())
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
