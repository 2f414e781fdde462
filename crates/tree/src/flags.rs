//! Inode flags of a tree's entries, such as `chattr +i` sets: kept as data.
//!
//! A tree of the store has no such flags itself: only the machine's root could set them, and then nobody could remove the
//! tree. They are kept in an attribute that no artifact gets: [`Entry::attributes`](crate::walk::Entry::attributes) does not
//! show it, and copies of trees have it only where they stay trees of the store.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self, IFlags, XattrFlags};
use rustix::io::Errno;

use crate::xattr::Attributes;
use crate::{Error, Result, Tree};

/// Files and directories have it. The value has the letters of lsattr(1).
pub const ATTRIBUTE: &[u8] = b"user.osbuild.flags";
const NAME: &std::ffi::CStr = c"user.osbuild.flags";
const LETTERS: [(u8, IFlags); 2] = [(b'i', IFlags::IMMUTABLE), (b'a', IFlags::APPEND)];

/// Takes the flags out of the attributes.
pub(crate) fn take(attributes: &mut Attributes) -> IFlags {
    let Ok(at) = attributes.binary_search_by(|(name, _)| name.as_slice().cmp(ATTRIBUTE)) else {
        return IFlags::empty();
    };
    of_value(&attributes.remove(at).1)
}

fn of_value(value: &[u8]) -> IFlags {
    let set = LETTERS.iter().filter(|(letter, _)| value.contains(letter));
    set.fold(IFlags::empty(), |flags, (_, flag)| flags | *flag)
}

/// The flags among an index's attributes, which are sorted.
pub fn of_attributes(attributes: &Attributes) -> IFlags {
    let found = attributes.iter().find(|(name, _)| name == ATTRIBUTE);
    found.map_or(IFlags::empty(), |(_, value)| of_value(value))
}

/// Keeps these flags for an open file or directory of a tree; others are forgotten. `path` is for the error.
///
/// # Errors
/// The store's file system has no attributes of users, or refuses.
pub fn keep(fd: impl AsFd, flags: IFlags, path: &Path) -> Result<()> {
    let value: Vec<u8> = LETTERS
        .iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .map(|(letter, _)| *letter)
        .collect();
    let done = match value.is_empty() {
        true => fs::fremovexattr(fd, NAME),
        false => fs::fsetxattr(fd, NAME, &value, XattrFlags::empty()),
    };
    match done {
        Ok(()) => Ok(()),
        Err(Errno::NODATA | Errno::NOTSUP) if value.is_empty() => Ok(()),
        Err(e) => Err(Error::errno("keep the flags of", path, e)),
    }
}

/// Gives the entry `path`, a file or directory, or one no more, these flags of the ones that are kept: in the file system
/// itself. False where that has none, or this process may not.
///
/// # Errors
/// The entry is not there.
pub fn set(tree: &Tree, path: &Path, flags: IFlags) -> Result<bool> {
    use rustix::fs::OFlags;
    let fd = tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW, 0)?;
    let set = || -> rustix::io::Result<()> {
        let all = LETTERS.iter().fold(IFlags::empty(), |all, (_, flag)| all | *flag);
        let before = fs::ioctl_getflags(&fd)?;
        let after = before.difference(all) | flags;
        match after == before {
            true => Ok(()),
            false => fs::ioctl_setflags(&fd, after),
        }
    };
    Ok(set().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::walk;

    #[test]
    fn flags_are_kept_beside_the_attributes() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("f", "x").unwrap();
        let file = tree.open_file("f").unwrap();
        if let Err(error) = keep(&file, IFlags::IMMUTABLE, Path::new("f")) {
            return println!("skipped: {error}");
        }
        rustix::fs::fsetxattr(&file, c"user.mine", b"1", XattrFlags::empty()).unwrap();
        let read = || {
            let mut found = None;
            walk(&tree, &mut |entry| {
                if entry.path == Path::new("f") {
                    assert_eq!(entry.attributes()?, entry.attributes_and_flags()?.0);
                    found = Some(entry.attributes_and_flags()?);
                }
                Ok(())
            })
            .unwrap();
            found.unwrap()
        };
        let mine = vec![(b"user.mine".to_vec(), b"1".to_vec())];
        assert_eq!(read(), (mine.clone(), IFlags::IMMUTABLE));
        // a tree of the store keeps them, and its digest is another one
        let index = crate::index::Index::scan(&tree, crate::index::Times::Keep).unwrap();
        assert_eq!(of_attributes(&index.get("f").unwrap().xattrs), IFlags::IMMUTABLE);
        keep(&file, IFlags::empty(), Path::new("f")).unwrap();
        keep(&file, IFlags::empty(), Path::new("f")).unwrap();
        assert_eq!(read(), (mine, IFlags::empty()));
    }
}
