//! Running a tree's own programs in the tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::system::sethostname;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tree::Tree;

use crate::Tool;

/// A tree with `/proc`, `/sys`, `/dev` and fresh `/run` and `/tmp`, in which package scripts find what they expect; the
/// host is called `localhost` there.
///
/// The mounts live in a mount namespace of this process and its children: nothing outside sees them, and nothing has
/// to take them down. One module makes at most one of these, and only while it has a single thread.
#[derive(Debug)]
pub struct Chroot {
    root: PathBuf,
}

impl Chroot {
    /// Mounts the kernel's file systems, `/run` and `/tmp` into the tree. Mount points are made where they are not there.
    pub fn enter(tree: &Tree) -> Result<Self> {
        let chroot = Self::with_kernel_only(tree)?;
        // packages that bring these directories cannot give them their modes while they are covered
        for (dir, mode) in [("run", 0o755), ("tmp", 0o1777)] {
            if !tree.exists(dir) {
                tree.mkdir(dir, mode)?;
            }
            let target = chroot.mount_point(tree, dir)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", &target, "tmpfs", flags, Some(c"mode=1777"))
                .with_context(|| format!("cannot mount a tmpfs on /{dir} of the tree"))?;
        }
        Ok(chroot)
    }

    /// Mounts `/proc`, `/sys` and `/dev` alone: what is written to `/run` and `/tmp` stays in the tree.
    pub fn with_kernel_only(tree: &Tree) -> Result<Self> {
        // SAFETY: no descriptor table is unshared, and the process has one thread.
        #[allow(unsafe_code)]
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS) }
            .context("cannot make a mount namespace")?;
        // package scripts copy the host's name into configuration files
        sethostname(b"localhost").context("cannot set the host name of the namespace")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .context("cannot make the mounts private")?;
        let chroot = Self {
            root: tree.path().to_owned(),
        };
        for dir in ["proc", "sys", "dev"] {
            tree.mkdir_all(dir)?;
            let target = chroot.mount_point(tree, dir)?;
            mount_bind_recursive(Path::new("/").join(dir), &target)
                .with_context(|| format!("cannot bind /{dir} into the tree"))?;
        }
        Ok(chroot)
    }

    /// Shows the directory `dir` of the box in the tree too, with all that is mounted below it.
    pub fn bind(&self, tree: &Tree, dir: &str) -> Result<()> {
        let target = self.mount_point(tree, dir)?;
        mount_bind_recursive(Path::new("/").join(dir), &target)
            .with_context(|| format!("cannot bind /{dir} into the tree"))
    }

    /// The program `name` of the tree, to be run with the tree as its root directory and a plain environment.
    pub fn tool(&self, name: &str) -> Tool {
        Tool::in_root(&self.root, name)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .env("TZ", "UTC")
    }

    /// The directory `name` of the tree, which must not be a link that leads out of it.
    fn mount_point(&self, tree: &Tree, name: &str) -> Result<PathBuf> {
        let kind = tree.stat(name)?.map(|st| st.kind);
        anyhow::ensure!(
            kind == Some(tree::Kind::Directory),
            "/{name} of the tree is not a directory"
        );
        Ok(self.root.join(name))
    }
}
