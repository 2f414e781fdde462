//! How trees are put together: as layers of overlays, or as copies where the store's file system carries none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use tree::index::{Links, Markers, TreeDigest, squash_as};
use tree::{Shift, Tree};

use crate::Result;
use crate::scratch::Scratch;
use crate::store::Store;

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const OVERLAY: i64 = 0x794c_7630;

/// How new trees are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Each is an overlay on the layers of the one below, whose changes become the next layer.
    Layers,
    /// Each is a directory that begins as a copy of the one below. Until it is committed its files belong to the users of
    /// the namespace whose root this is on the host: they cannot be id-mapped either.
    Copies { root_id: u32 },
}

/// What is settled and made while a store is open.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    driver: OnceLock<Driver>,
    hides_marks: OnceLock<bool>,
    /// Whether trees of several layers are whole where marks may be hidden.
    pub(crate) seen: Mutex<HashMap<TreeDigest, bool>>,
    /// Copies of trees with other owners, by the topmost layer and the host's id of root.
    shifted: Mutex<HashMap<(PathBuf, u32), Scratch>>,
}

impl Store {
    /// How new trees are made: layers, until something else is settled.
    pub fn driver(&self) -> Driver {
        self.drive.driver.get().copied().unwrap_or(Driver::Layers)
    }

    /// Settles, once for as long as the store is open, how new trees are made.
    ///
    /// # Errors
    /// Those of `find`, which is not asked when it is settled already.
    pub fn settle_driver<E>(
        &self,
        find: impl FnOnce() -> std::result::Result<Driver, E>,
    ) -> std::result::Result<Driver, E> {
        match self.drive.driver.get() {
            Some(driver) => Ok(*driver),
            None => find().map(|driver| *self.drive.driver.get_or_init(|| driver)),
        }
    }

    /// Whether the store lies on an overlay: that takes the marks in its own layers for its own, such as those of a store
    /// that was put into the image of a container.
    // the kernel's field is narrower on some architectures
    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn hides_marks(&self) -> bool {
        *self.drive.hides_marks.get_or_init(|| {
            let there = rustix::fs::statfs(&self.path);
            there.is_ok_and(|there| there.f_type as i64 == OVERLAY)
        })
    }

    /// Fills the empty directory `to` with the tree that `layers` (the topmost first) make. Its files belong to the users of
    /// the namespace with the root `root_id` on the host.
    ///
    /// # Errors
    /// There is no space for it.
    pub fn copy_layers(&self, layers: &[PathBuf], to: &Path, root_id: u32) -> Result<()> {
        copy_layers(layers, to, root_id, Links::Kept).map(drop)
    }

    /// A directory with the tree that `layers` (the topmost first, at least one) make, whose files belong to the users of
    /// the namespace with the root `root_id` on the host. It is made once, and is there while the store is open.
    ///
    /// # Errors
    /// There is no space for it.
    pub fn shifted(&self, layers: &[PathBuf], root_id: u32) -> Result<PathBuf> {
        let Some(top) = layers.first() else {
            return Ok(PathBuf::new());
        };
        // held while one is made: who wants the same waits for it
        let mut all = self.drive.shifted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (top.clone(), root_id);
        if let Some(there) = all.get(&key) {
            return Ok(there.path().join("tree"));
        }
        let dir = self.scratch("shifted")?;
        let path = dir.path().join("tree");
        crate::commit::make_dir(&path)?;
        copy_layers(layers, &path, root_id, Links::Kept)?;
        all.insert(key, dir);
        Ok(path)
    }
}

/// Fills the empty directory `to`; the names that were one file, where links are parted.
pub(crate) fn copy_layers(
    layers: &[PathBuf],
    to: &Path,
    root_id: u32,
    links: Links,
) -> Result<Vec<Vec<PathBuf>>> {
    let layers: tree::Result<Vec<Tree>> = layers.iter().map(Tree::open).collect();
    let (markers, shift) = (Markers::of_this_process(), Shift::into(root_id));
    Ok(squash_as(&layers?, &Tree::open(to)?, markers, shift, links)?)
}
