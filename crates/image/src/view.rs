//! A part of a tree without what other file systems hold of it, for tools that are given a whole directory.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;
use tree::Tree;

use crate::{Error, Result};

/// A directory of a tree in which some directories look empty to whoever opens it by its path in this process or a child.
///
/// Owner, mode and time of those directories stay. Empty tmpfs are mounted over them in a mount namespace of our own, so
/// nothing outside sees it; they are taken off again when the view is dropped. To be made while the process has one
/// thread. Where the directories are empty anyway nothing is mounted, and no privilege is needed.
#[derive(Debug)]
pub struct View {
    tree: Tree,
    /// The roots of what is mounted, the last one on top.
    covers: Vec<OwnedFd>,
    /// What the tree lacks, and where it is shown together with that; gone after the mounts.
    _more: Option<[TempDir; 2]>,
}

impl View {
    /// The directory `below` of `tree`, without what is in the directories `hidden`, which are relative to it. Those that
    /// are not there are made, with the time `now`.
    pub fn new(tree: &Tree, below: &Path, hidden: &[PathBuf], now: i64) -> Result<Self> {
        let whole = tree.subtree(below)?;
        let mut view = Self {
            tree: whole,
            covers: Vec::new(),
            _more: None,
        };
        let (mut filled, mut missing) = (Vec::new(), Vec::new());
        for path in topmost(hidden) {
            if !view.tree.is_dir(path) {
                missing.push(path);
            } else if !view.tree.list(path)?.is_empty() {
                filled.push(path);
            }
        }
        if filled.is_empty() && missing.is_empty() {
            return Ok(view);
        }
        own_namespace()?;
        // the descriptor we have belongs to the namespace left behind
        view.tree = Tree::open(tree.path())?.subtree(below)?;
        if !missing.is_empty() {
            view.show_more(&missing, now)?;
        }
        for path in filled {
            view.covers.push(cover(&view.tree, path)?);
        }
        Ok(view)
    }

    /// Shows the tree with these directories, through a read-only overlay.
    fn show_more(&mut self, missing: &[&Path], now: i64) -> Result<()> {
        let dir = || tempfile::tempdir().map_err(Error::io("make a directory for a mount"));
        let (top, at) = (dir()?, dir()?);
        fill(&Tree::open(top.path())?, &self.tree, missing, now)?;
        let [upper, lower] = [Tree::open(top.path())?, Tree::open(self.tree.path())?];
        let layers = [&upper, &lower].map(|tree| format!("/proc/self/fd/{}", tree.fd().as_raw_fd()));
        let options = format!("lowerdir={}", layers.join(":"));
        let options = std::ffi::CString::new(options).unwrap_or_default();
        mount(
            "overlay",
            at.path(),
            "overlay",
            MountFlags::RDONLY,
            Some(options.as_c_str()),
        )
        .map_err(Error::io(
            "show the tree with the directories for the mount points that it lacks",
        ))?;
        self.tree = Tree::open(at.path())?;
        self.covers
            .push(self.tree.open_at(".", OFlags::PATH | OFlags::DIRECTORY, 0)?);
        self._more = Some([top, at]);
        Ok(())
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

impl Drop for View {
    fn drop(&mut self) {
        while let Some(cover) = self.covers.pop() {
            let path = format!("/proc/self/fd/{}", cover.as_raw_fd());
            if let Err(error) = unmount(path, UnmountFlags::DETACH) {
                eprintln!("cannot show a hidden directory again: {error}");
            }
        }
    }
}

/// Makes the directories `paths` in the empty tree `top`; those on the way look as they do in `like`.
fn fill(top: &Tree, like: &Tree, paths: &[&Path], now: i64) -> Result<()> {
    let mut made: Vec<&Path> = vec![Path::new("")];
    for path in paths {
        let mut way: Vec<&Path> = path.ancestors().filter(|part| !made.contains(part)).collect();
        way.reverse();
        for part in way {
            top.mkdir(part, 0o755)?;
            made.push(part);
        }
    }
    // what is made in a directory changes its time: the deepest first
    for part in made.iter().rev() {
        match like.stat_followed(part)? {
            Some(stat) => {
                top.chown(part, Some(stat.uid), Some(stat.gid))?;
                top.chmod(part, stat.mode)?;
                top.set_mtime(part, stat.mtime.0, stat.mtime.1)?;
            }
            None => {
                top.chmod(part, 0o755)?;
                top.set_mtime(part, now, 0)?;
            }
        }
    }
    Ok(())
}

/// Without those that lie below others.
fn topmost(paths: &[PathBuf]) -> impl Iterator<Item = &Path> {
    let is_top = |path: &&PathBuf| {
        !paths
            .iter()
            .any(|other| other != *path && path.starts_with(other))
    };
    paths.iter().filter(is_top).map(PathBuf::as_path)
}

fn own_namespace() -> Result<()> {
    // SAFETY: no descriptor table is unshared, and the process has one thread.
    #[allow(unsafe_code)]
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Error::io(
        "make a mount namespace to hide a directory of the tree",
    ))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Error::io("make the mounts private"))
}

/// Mounts an empty directory over `path`, which looks like it; the root of what is mounted.
fn cover(tree: &Tree, path: &Path) -> Result<OwnedFd> {
    let open = || tree.open_at(path, OFlags::PATH | OFlags::DIRECTORY, 0);
    let Some(stat) = tree.stat_followed(path)? else {
        return Ok(open()?);
    };
    let target = open()?;
    let options = format!("mode={:o},uid={},gid={}", stat.mode, stat.uid, stat.gid);
    let options = std::ffi::CString::new(options).unwrap_or_default();
    mount(
        "tmpfs",
        format!("/proc/self/fd/{}", target.as_raw_fd()),
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(options.as_c_str()),
    )
    .map_err(Error::io("hide a directory of the tree"))?;
    let cover = open()?;
    tree.set_mtime(path, stat.mtime.0, stat.mtime.1)?;
    Ok(cover)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_hidden_from_us_alone_and_shown_again() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: not root");
        }
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot/efi/EFI").unwrap();
        tree.write("boot/efi/file", "content").unwrap();
        tree.chmod("boot/efi", 0o700).unwrap();
        tree.set_mtime("boot/efi", 1_000_000_000, 0).unwrap();
        let before = tree.stat("boot/efi").unwrap().unwrap();
        let inside = tree.subtree("boot/efi").unwrap();
        let path = dir.path().join("boot/efi");
        let count = || std::fs::read_dir(&path).unwrap().count();
        std::thread::scope(|scope| {
            let counts = scope.spawn(|| {
                // what is hidden with the directory above it needs no cover of its own
                let hidden = ["efi", "efi/EFI"].map(PathBuf::from);
                let view = View::new(&tree, Path::new("boot"), &hidden, 0).unwrap();
                let seen = Tree::open(view.tree().path()).unwrap();
                let stat = seen.stat("efi").unwrap().unwrap();
                assert_eq!((stat.mode, stat.mtime), (before.mode, before.mtime));
                let hidden = count();
                drop(view);
                (hidden, count())
            });
            assert_eq!(counts.join().unwrap(), (0, 2));
        });
        assert_eq!(count(), 2);
        assert_eq!(inside.read_text("file").unwrap(), "content");
    }

    #[test]
    fn directories_that_are_not_there_are_shown_as_well() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: not root");
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("var/log").unwrap();
        tree.write("var/log/file", "content").unwrap();
        tree.chmod("var", 0o711).unwrap();
        tree.set_mtime("var", 1_000_000_000, 0).unwrap();
        std::thread::scope(|scope| {
            let shown = scope.spawn(|| {
                let hidden = ["var/lib/data", "boot", "var/log"].map(PathBuf::from);
                let view = View::new(&tree, Path::new(""), &hidden, 77).unwrap();
                let seen = Tree::open(view.tree().path()).unwrap();
                let var = seen.stat("var").unwrap().unwrap();
                assert_eq!((var.mode, var.mtime.0), (0o711, 1_000_000_000));
                assert_eq!(seen.stat("boot").unwrap().unwrap().mtime.0, 77);
                assert!(seen.is_dir("var/lib/data") && !seen.exists("var/log/file"));
                let path = seen.path().to_owned();
                drop((view, seen));
                path
            });
            assert!(!shown.join().unwrap().exists());
        });
        assert!(!tree.exists("boot") && tree.exists("var/log/file"));
    }
}
