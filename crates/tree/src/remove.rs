//! Removal of whole directories that strangers filled.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::chain::Chain;
use crate::walk::names;
use crate::{Error, Result};

/// Removes the entry `name` of `dir` with all below it, however deep that is; what is not there is fine.
///
/// Links are removed, never followed. Directories without permissions and entries marked immutable are made removable
/// first.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let mut path = PathBuf::from(name);
    fault::step!(Ok(())).map_err(|e: Errno| Error::errno("remove", &path, e))?;
    if !is_dir(dir, name, &path)? {
        return unlink(dir, name, &path, AtFlags::empty());
    }
    let mut chain = Chain::new();
    let first = open(dir, name, &path)?;
    let mut rest = vec![names(first.as_fd(), &path)?];
    chain.push(first, &path)?;
    while let Some(list) = rest.last_mut() {
        let Some(name_here) = list.pop() else {
            rest.pop();
            chain.pop(&path)?;
            let last = path.file_name().unwrap_or(name).to_owned();
            let parent = if rest.is_empty() { dir } else { chain.top(&path)? };
            unlink(parent, &last, &path, AtFlags::REMOVEDIR)?;
            path.pop();
            continue;
        };
        path.push(&name_here);
        let here = chain.top(&path)?;
        if is_dir(here, &name_here, &path)? {
            let below = open(here, &name_here, &path)?;
            rest.push(names(below.as_fd(), &path)?);
            chain.push(below, &path)?;
        } else {
            unlink(here, &name_here, &path, AtFlags::empty())?;
            path.pop();
        }
    }
    Ok(())
}

fn is_dir(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<bool> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(st) => Ok(FileType::from_raw_mode(st.st_mode) == FileType::Directory),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(Error::errno("stat", path, e)),
    }
}

fn open(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(dir, name, flags, Mode::empty()) {
        // ours, but without permissions: a stage's `chmod 0`, or the work directory of an overlay without root
        Err(Errno::ACCESS) => fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())
            .and_then(|()| fs::openat(dir, name, flags, Mode::empty())),
        other => other,
    }
    .map_err(|e| Error::errno("open", path, e))
}

fn unlink(dir: BorrowedFd<'_>, name: &OsStr, path: &Path, flags: AtFlags) -> Result<()> {
    let done = match fs::unlinkat(dir, name, flags) {
        Err(Errno::PERM | Errno::ACCESS) => {
            make_removable(dir, name, flags);
            fs::unlinkat(dir, name, flags)
        }
        other => other,
    };
    match done {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(Error::errno("remove", path, e)),
    }
}

/// Takes the immutable and append-only marks (`chattr +i`, `+a`) from the entry and its directory, and makes the
/// directory writable: what cannot be done shows when the removal is tried again.
fn make_removable(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) {
    let clear = |fd: BorrowedFd<'_>| {
        if !fault::lifted!("marks")
            && let Ok(marks) = fs::ioctl_getflags(fd)
        {
            let _ = fs::ioctl_setflags(fd, marks - IFlags::IMMUTABLE - IFlags::APPEND);
        }
    };
    let open = |name: &OsStr, more| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
        fs::openat(dir, name, flags, Mode::empty())
    };
    if let Ok(parent) = open(OsStr::new("."), OFlags::DIRECTORY) {
        clear(parent.as_fd());
        if let Ok(st) = fs::fstat(&parent) {
            let _ = fs::fchmod(&parent, Mode::from_raw_mode(st.st_mode & 0o7777) | Mode::RWXU);
        }
    }
    let regular = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|st| FileType::from_raw_mode(st.st_mode) == FileType::RegularFile);
    if (regular || flags.contains(AtFlags::REMOVEDIR))
        && let Ok(entry) = open(name, OFlags::empty())
    {
        clear(entry.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tree;

    #[test]
    fn links_are_removed_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("keep/a").unwrap();
        tree.mkdir_all("gone/b").unwrap();
        tree.symlink("../keep", "gone/link").unwrap();
        tree.chmod("gone/b", 0).unwrap();
        remove_tree(tree.fd(), OsStr::new("gone")).unwrap();
        remove_tree(tree.fd(), OsStr::new("gone")).unwrap();
        assert!(tree.exists("keep/a") && !tree.exists("gone"));
    }

    #[test]
    fn immutable_files_go_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("gone").unwrap();
        tree.write("gone/file", "x").unwrap();
        for path in ["gone/file", "gone"] {
            let done = std::process::Command::new("chattr")
                .arg("+i")
                .arg(dir.path().join(path))
                .output();
            if !done.is_ok_and(|o| o.status.success()) {
                println!("skipped: chattr +i does not work here");
            }
        }
        remove_tree(tree.fd(), OsStr::new("gone")).unwrap();
        assert!(!tree.exists("gone"));
    }
}
