//! Hiding a directory's content from tools that are given the whole tree.

use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tree::Tree;

use crate::{Error, Result};

/// Makes the directory `path` of `tree` look empty to whoever opens the tree by its path in this process or a child.
///
/// Owner, mode and time of the directory stay.
/// An empty tmpfs is mounted over it in a mount namespace of our own, so nothing outside sees it and nothing has to
/// take it down. Descriptors opened before still reach the content. To be called while the process has one thread.
/// A directory that is empty already is left alone, and needs no privilege.
pub fn mask(tree: &Tree, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if tree.list(path)?.is_empty() {
        return Ok(());
    }
    let Some(stat) = tree.stat_followed(path)? else {
        return Ok(());
    };
    // SAFETY: no descriptor table is unshared, and the process has one thread.
    #[allow(unsafe_code)]
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Error::io(
        "make a mount namespace to hide a directory of the tree",
    ))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Error::io("make the mounts private"))?;
    // the descriptor we have belongs to the namespace left behind
    let tree = Tree::open(tree.path())?;
    let target = tree.open_at(path, OFlags::PATH | OFlags::DIRECTORY, 0)?;
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
    tree.set_mtime(path, stat.mtime.0, stat.mtime.1)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_hidden_from_us_alone() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: not root");
        }
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("boot/efi").unwrap();
        tree.write("boot/efi/file", "content").unwrap();
        tree.chmod("boot/efi", 0o700).unwrap();
        tree.set_mtime("boot/efi", 1_000_000_000, 0).unwrap();
        let before = tree.stat("boot/efi").unwrap().unwrap();
        let inside = tree.subtree("boot/efi").unwrap();
        let path = dir.path().join("boot/efi");
        std::thread::scope(|scope| {
            let masked = scope.spawn(|| {
                mask(&tree, "boot/efi").unwrap();
                let seen = Tree::open(dir.path()).unwrap();
                let stat = seen.stat("boot/efi").unwrap().unwrap();
                assert_eq!((stat.mode, stat.mtime), (before.mode, before.mtime));
                std::fs::read_dir(&path).unwrap().count()
            });
            assert_eq!(masked.join().unwrap(), 0);
        });
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
        assert_eq!(inside.read_text("file").unwrap(), "content");
    }
}
