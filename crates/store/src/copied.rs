//! A new tree that is a directory of its own, as [`Driver::Copies`](crate::Driver::Copies) has it.
//!
//! On an overlay a name that is written to becomes a file of its own, whatever other names its file had below. So that the
//! same comes of it here, each name of a file begins as one; those that nobody has touched are one file again in the end.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, statat};
use tree::index::Links;
use tree::walk::{self, Entry};
use tree::{Kind, Shift, Stat, Tree};

use crate::driver::copy_layers;
use crate::{Object, Result};

/// Device and inode.
type Inode = (u64, u64);

/// What is known of such a tree.
#[derive(Debug)]
pub(crate) struct Copied(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The host's id of the root whose namespace's users have the files now; 0: true owners.
    root_id: u32,
    parted: HashMap<Inode, Parted>,
}

/// A name of a file that had several.
#[derive(Debug, Clone, Copy)]
struct Parted {
    /// Which file.
    group: usize,
    /// When anything of it changed last: seconds and nanoseconds, which nobody can set.
    changed: (i64, i64),
}

impl Copied {
    /// Copies `base` into the empty directory `upper`.
    pub(crate) fn make(base: Option<&Object>, upper: &Path, root_id: u32) -> Result<Self> {
        let groups = match base {
            Some(base) => copy_layers(&base.layers(), upper, root_id, Links::Parted)?,
            None => {
                tree::shift_tree(&Tree::open(upper)?, Shift::into(root_id))?;
                Vec::new()
            }
        };
        let tree = Tree::open(upper)?;
        let mut parted = HashMap::new();
        for (group, paths) in groups.iter().enumerate() {
            for path in paths {
                let (dir, name) = tree.parent_of(path)?;
                let (inode, changed) = look(dir.as_fd(), &name, path)?;
                parted.insert(inode, Parted { group, changed });
            }
        }
        Ok(Self(Mutex::new(State { root_id, parted })))
    }

    /// Gives all files to the users of the namespace whose root is `root_id` on the host; 0: true owners.
    pub(crate) fn own(&self, upper: &Path, root_id: u32) -> Result<()> {
        let mut state = self.state();
        if state.root_id == root_id {
            return Ok(());
        }
        let tree = Tree::open(upper)?;
        let untouched = state.untouched(&tree)?;
        let shift = Shift {
            from: state.root_id,
            to: root_id,
        };
        tree::shift_tree(&tree, shift)?;
        state.root_id = root_id;
        state.parted.clear();
        for (group, paths) in untouched {
            for path in paths {
                let (dir, name) = tree.parent_of(&path)?;
                let (inode, changed) = look(dir.as_fd(), &name, &path)?;
                state.parted.insert(inode, Parted { group, changed });
            }
        }
        Ok(())
    }

    /// Makes one file again of names that are as they were copied.
    pub(crate) fn join(&self, upper: &Path) -> Result<()> {
        let mut state = self.state();
        let tree = Tree::open(upper)?;
        for paths in state.untouched(&tree)?.values() {
            let Some((first, others)) = paths.split_first() else {
                continue;
            };
            for other in others {
                // a change within one tick of the clock after the copy leaves no trace
                if same(&tree, first, other)? {
                    replace(&tree, first, other)?;
                }
            }
        }
        state.parted.clear();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The names, by file, of which nothing has changed since they were copied.
    fn untouched(&self, tree: &Tree) -> Result<BTreeMap<usize, Vec<PathBuf>>> {
        let mut groups: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
        if self.parted.is_empty() {
            return Ok(groups);
        }
        walk::walk(tree, &mut |entry| {
            let inode = (entry.stat.dev, entry.stat.ino);
            if let Some(parted) = self.parted.get(&inode)
                && entry.stat.kind != Kind::Directory
                && look(entry.dir, entry.name, entry.path)?.1 == parted.changed
            {
                groups
                    .entry(parted.group)
                    .or_default()
                    .push(entry.path.to_owned());
            }
            Ok(())
        })?;
        Ok(groups)
    }
}

/// Which file a name is, and when anything of it changed last.
// the kernel's fields are narrower on some architectures
#[allow(clippy::unnecessary_cast)]
fn look(
    dir: std::os::fd::BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    path: &Path,
) -> tree::Result<(Inode, (i64, i64))> {
    let stat =
        statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| tree::Error::errno("stat", path, e))?;
    let inode = (stat.st_dev as u64, stat.st_ino as u64);
    Ok((inode, (stat.st_ctime as i64, stat.st_ctime_nsec as i64)))
}

/// Whether two names could be one file.
fn same(tree: &Tree, a: &Path, b: &Path) -> Result<bool> {
    let (Some(first), Some(second)) = (tree.stat(a)?, tree.stat(b)?) else {
        return Ok(false);
    };
    let is_alike = |a: &Stat, b: &Stat| {
        (a.kind, a.mode, a.uid, a.gid, a.size, a.mtime, a.rdev)
            == (b.kind, b.mode, b.uid, b.gid, b.size, b.mtime, b.rdev)
    };
    if !is_alike(&first, &second) || attributes(tree, a, first)? != attributes(tree, b, second)? {
        return Ok(false);
    }
    match first.kind {
        Kind::File => same_content(tree, a, b),
        Kind::Symlink => Ok(tree.read_link(a)? == tree.read_link(b)?),
        _ => Ok(true),
    }
}

fn attributes(tree: &Tree, path: &Path, stat: Stat) -> tree::Result<impl PartialEq + use<>> {
    let (dir, name) = tree.parent_of(path)?;
    let entry = Entry {
        path,
        stat,
        dir: dir.as_fd(),
        name: &name,
    };
    entry.attributes_and_flags()
}

/// Of two files of one length.
fn same_content(tree: &Tree, a: &Path, b: &Path) -> Result<bool> {
    let (mut first, mut second) = (tree.open_file(a)?, tree.open_file(b)?);
    let fail = |e| tree::Error::io("read", a, e);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = first.read(&mut left).map_err(fail)?;
        if count == 0 {
            return Ok(true);
        }
        match second.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            _ => return Ok(false),
        }
    }
}

/// Makes `path` another name of `first`, without a trace in the time of its directory.
fn replace(tree: &Tree, first: &Path, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let before = tree.stat(parent)?.map(|stat| stat.mtime);
    tree.remove_file(path)?;
    tree.hard_link(first, path)?;
    if let Some((seconds, nanoseconds)) = before {
        tree.set_mtime(parent, seconds, nanoseconds)?;
    }
    Ok(())
}
