//! A storage of container images (containers/storage) in the tree.
//!
//! The overlay driver refuses a directory that lies on an overlay, as the tree of a stage does. So the storage is put
//! together elsewhere, and takes its place in the tree when it is done. All paths in it are relative to it.

use std::path::{Path, PathBuf};

use module::{Context, Result, Tree, bail};
use rustix::io::Errno;
use tempfile::TempDir;
use tree::copy::{Options, copy_tree};
use tree::walk::walk;

/// A directory outside of the tree.
pub(super) fn scratch() -> Result<TempDir> {
    std::fs::create_dir_all("/var/tmp").context("cannot make /var/tmp")?;
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("images-")
        .tempdir_in("/var/tmp")
        .context("cannot make a directory in /var/tmp")
}

/// A storage being written.
#[derive(Debug)]
pub struct Store {
    driver: String,
    /// In the tree.
    path: PathBuf,
    scratch: TempDir,
}

impl Store {
    /// Begins with what is in the storage `path` of the tree.
    pub fn open(tree: &Tree, path: &str, driver: &str) -> Result<Self> {
        let store = Self {
            driver: driver.to_owned(),
            path: path.trim_start_matches('/').into(),
            scratch: scratch()?,
        };
        let root = store.root();
        std::fs::create_dir(&root).context("cannot make a directory")?;
        if tree.is_dir(&store.path) {
            copy_tree(
                &tree.subtree(&store.path)?,
                &Tree::open(root)?,
                &Options::default(),
            )?;
        }
        Ok(store)
    }

    fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// An image in it, as skopeo is told of it.
    pub fn image(&self, name: &str) -> String {
        let (root, run) = (self.root(), self.scratch.path().join("run"));
        format!(
            "containers-storage:[{}@{}+{}]{name}",
            self.driver,
            root.display(),
            run.display()
        )
    }

    /// Puts it into the tree.
    ///
    /// # Errors
    /// An image has what cannot be recorded in a sandbox.
    pub fn finish(self, tree: &Tree) -> Result<()> {
        let root = self.root();
        if self.driver == "overlay" {
            let overlay = root.join("overlay");
            // the driver leaves its directory mounted on itself
            match rustix::mount::unmount(&overlay, rustix::mount::UnmountFlags::DETACH) {
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(e) => bail!("cannot unmount {}: {e}", overlay.display()),
            }
            // made anew by every run; a device node would have no place in the tree
            std::fs::remove_file(overlay.join("backingFsBlockDev")).ok();
        }
        let root = Tree::open(root)?;
        refuse_removals(&root)?;
        tree.mkdir_all(&self.path)?;
        let to = tree.subtree(&self.path)?;
        for name in to.list("")? {
            to.remove_all(&name)?;
        }
        Ok(copy_tree(&root, &to, &Options::default())?)
    }
}

/// What removes things of the layers below cannot be recorded: a whiteout is a device node that no overlay takes, and
/// the tree of a stage lies on one; the mark of a directory that hides those below is an attribute which only the first
/// user namespace may write, so the driver writes one that means nothing to whoever mounts the storage later.
fn refuse_removals(root: &Tree) -> Result<()> {
    const MARK: &[u8] = b"user.overlay.opaque";
    let mut found = None;
    walk(root, &mut |entry| {
        let removes = match entry.stat.kind {
            tree::Kind::Directory => {
                let attributes = entry.attributes()?;
                attributes.iter().any(|(name, _)| name.as_slice() == MARK)
            }
            tree::Kind::CharDevice => entry.stat.rdev == (0, 0),
            _ => false,
        };
        if removes && found.is_none() {
            found = Some(entry.path.to_owned());
        }
        Ok(())
    })?;
    match found {
        None => Ok(()),
        Some(path) => bail!(
            "a layer of the image removes {} of those below it, which a storage with the driver `overlay` cannot \
             record in a stage's tree: use the `storage-driver` vfs",
            shown(&path)
        ),
    }
}

/// The path in the image: what stands behind `overlay/LAYER/diff`.
fn shown(path: &Path) -> String {
    let inner: PathBuf = path.iter().skip(3).collect();
    format!("/{}", inner.display())
}
