//! Every entry of a tree, in one fixed order.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::chain::Chain;
use crate::xattr::Attributes;
use crate::{Error, Kind, Result, Stat, Tree};

/// An entry as [`walk`] comes by it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Relative to the tree; empty for the root.
    pub path: &'a Path,
    /// Its last link is not followed.
    pub stat: Stat,
    /// The directory that holds it (for the root: the root), opened with `O_PATH` or for reading.
    pub dir: BorrowedFd<'a>,
    /// Its name in `dir`; `.` for the root.
    pub name: &'a OsStr,
}

impl Entry<'_> {
    /// Opens a file or directory for reading, no link followed and, where that is allowed, its access time left alone.
    pub fn open(&self) -> Result<OwnedFd> {
        let waits = match fault::lifted!("kinds") {
            false => OFlags::NONBLOCK,
            true => OFlags::empty(),
        };
        open_quietly(self.dir, self.name, no_link() | waits).map_err(|e| Error::errno("open", self.path, e))
    }

    /// The text of a symbolic link.
    pub fn read_link(&self) -> Result<PathBuf> {
        fs::readlinkat(self.dir, self.name, Vec::new())
            .map(|target| PathBuf::from(OsString::from_vec(target.into_bytes())))
            .map_err(|e| Error::errno("read the link", self.path, e))
    }

    /// Its extended attributes that this process may see, sorted by name.
    pub fn attributes(&self) -> Result<Attributes> {
        Ok(self.attributes_and_flags()?.0)
    }

    /// Its [`attributes`](Self::attributes), and the inode flags that are kept for it.
    pub fn attributes_and_flags(&self) -> Result<(Attributes, fs::IFlags)> {
        let mut attributes = crate::xattr::read(self.dir, self.name, self.path)?;
        let flags = crate::flags::take(&mut attributes);
        Ok((attributes, flags))
    }
}

/// What an entry is opened with: by the time it is, a link may be in its place.
pub(crate) fn no_link() -> OFlags {
    match fault::lifted!("no-follow") {
        false => OFlags::NOFOLLOW,
        true => OFlags::empty(),
    }
}

/// What wants to know when a directory has been gone through, too.
pub(crate) trait Visitor {
    /// An entry, directories before what they hold.
    fn enter(&mut self, entry: &Entry<'_>) -> Result<()>;
    /// The directory `path`, after all that it holds.
    fn leave(&mut self, path: &Path) -> Result<()>;
}

/// Calls `visit` with each entry, the root first: parents before children, siblings sorted by their bytes.
///
/// Nothing is opened by its whole path: any depth goes, and no link leads away. Directories that appear meanwhile in one
/// that was already listed are not seen.
pub fn walk(tree: &Tree, visit: &mut dyn FnMut(&Entry<'_>) -> Result<()>) -> Result<()> {
    struct Plain<'v>(&'v mut dyn FnMut(&Entry<'_>) -> Result<()>);
    impl Visitor for Plain<'_> {
        fn enter(&mut self, entry: &Entry<'_>) -> Result<()> {
            (self.0)(entry)
        }
        fn leave(&mut self, _: &Path) -> Result<()> {
            Ok(())
        }
    }
    walk_both_ways(tree, &mut Plain(visit))
}

/// [`walk`] for a visitor that is told the ends of directories as well.
pub(crate) fn walk_both_ways(tree: &Tree, visitor: &mut dyn Visitor) -> Result<()> {
    let root = Path::new("");
    let stat = |dir: BorrowedFd<'_>, name: &OsStr, path: &Path| -> Result<Stat> {
        fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map(Stat::from)
            .map_err(|e| Error::errno("stat", path, e))
    };
    let dot = OsStr::new(".");
    visitor.enter(&Entry {
        path: root,
        stat: stat(tree.fd(), dot, root)?,
        dir: tree.fd(),
        name: dot,
    })?;

    let mut chain = Chain::new();
    let dir = open_quietly(tree.fd(), dot, OFlags::DIRECTORY).map_err(|e| Error::errno("open", root, e))?;
    let mut rest = vec![names(dir.as_fd(), root)?];
    chain.push(dir, root)?;
    let mut path = Vec::new();
    while let Some(names_left) = rest.last_mut() {
        let Some(name) = names_left.pop() else {
            rest.pop();
            let here = Path::new(OsStr::from_bytes(&path));
            visitor.leave(here)?;
            chain.pop(here)?;
            path.truncate(path.iter().rposition(|b| *b == b'/').unwrap_or(0));
            continue;
        };
        let parent = path.len();
        if parent > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        let here = Path::new(OsStr::from_bytes(&path));
        let dir = chain.top(here)?;
        let entry = Entry {
            path: here,
            stat: stat(dir, &name, here)?,
            dir,
            name: &name,
        };
        visitor.enter(&entry)?;
        if entry.stat.kind == Kind::Directory {
            if fault::lifted!("hurry") {
                // no defence, but it leaves an attempt less time
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            let below = open_quietly(dir, &name, OFlags::DIRECTORY | no_link())
                .map_err(|e| Error::errno("open", here, e))?;
            rest.push(names(below.as_fd(), here)?);
            chain.push(below, here)?;
        } else {
            path.truncate(parent);
        }
    }
    Ok(())
}

/// The names in a directory, the first one last.
pub(crate) fn names(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<OsString>> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut list = fs::RawDir::new(dir, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = list.next() {
        let entry = entry.map_err(|e| Error::errno("list", path, e))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// Opens for reading; only owners (and root) may leave the access time alone, others open it as usual.
fn open_quietly(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    match fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tree: &Tree) -> Vec<String> {
        let mut seen = Vec::new();
        walk(tree, &mut |e| {
            seen.push(e.path.to_string_lossy().into_owned());
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn parents_come_first_and_siblings_are_sorted_by_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["b", "a-x", "a/z", "a/B", "ä"] {
            tree.mkdir_all(path).unwrap();
        }
        tree.symlink("/", "a/link").unwrap();
        assert_eq!(paths(&tree), ["", "a", "a/B", "a/link", "a/z", "a-x", "b", "ä"]);
    }

    #[test]
    fn a_tree_deeper_than_any_path_or_descriptor_limit_is_walked_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let name = "d".repeat(40);
        let depth = 3000;
        let mut at = tree.subtree("").unwrap();
        for _ in 0..depth {
            at.mkdir(&name, 0o755).unwrap();
            at = at.subtree(&name).unwrap();
        }
        let (mut entries, mut longest) = (0, 0);
        walk(&tree, &mut |e| {
            entries += 1;
            longest = longest.max(e.path.as_os_str().len());
            Ok(())
        })
        .unwrap();
        assert_eq!((entries, longest), (depth + 1, depth * 41 - 1));
        crate::remove::remove_tree(tree.fd(), OsStr::new(&name)).unwrap();
        assert_eq!(paths(&tree), [""]);
    }
}
