//! A new tree, and how it enters the store.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tree::Tree;
use tree::index::{GoOn, Index, Times, TreeDigest};

use crate::away::take_away;
use crate::broom::is_bare;
use crate::copied::Copied;
use crate::info::Info;
use crate::object::{Below, publish};
use crate::scratch::Scratch;
use crate::spare::{Seen, SpareTree};
use crate::store::Store;
use crate::{Driver, Error, Object, Result};

/// A tree that is being made: a directory in `tmp/` with `upper` and `work`. Unless it is committed it is removed.
#[derive(Debug)]
pub struct NewTree {
    dir: Scratch,
    base: Option<Object>,
    /// `None`: changes to the base are made.
    copied: Option<Copied>,
    /// What `upper` looked like when it was made.
    begun: Option<Seen>,
}

impl NewTree {
    /// The directory that holds `upper` and `work`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether `upper` is the whole tree, and not the upper directory of an overlay.
    pub fn is_whole(&self) -> bool {
        self.copied.is_some()
    }

    /// Gives the files of a tree that [is whole](Self::is_whole) to the users of the namespace whose root is `root_id` on
    /// the host: 0 for the host's own. Nobody may have it mounted meanwhile.
    pub fn own(&self, root_id: u32) -> Result<()> {
        match &self.copied {
            Some(copied) => copied.own(&self.upper(), root_id),
            None => Ok(()),
        }
    }

    /// The overlay's upper directory: what becomes the layer. Its root has what the base's root has.
    pub fn upper(&self) -> PathBuf {
        self.path().join("upper")
    }

    /// The overlay's work directory.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// The layers of the base, the topmost first; none without a base, or where it was copied.
    pub fn lower_layers(&self) -> Vec<PathBuf> {
        let base = self.base.as_ref().filter(|_| !self.is_whole());
        base.map(Object::layers).unwrap_or_default()
    }
}

impl Store {
    /// A place for a new tree, on top of `base` or empty.
    pub fn new_tree(&self, base: Option<&Object>) -> Result<NewTree> {
        if let Some(spare) = self.spare_tree(base) {
            return Ok(NewTree {
                dir: spare.dir,
                base: base.cloned(),
                copied: None,
                begun: Some(spare.upper),
            });
        }
        let mut new = NewTree {
            dir: self.scratch("tree")?,
            base: base.cloned(),
            copied: None,
            begun: None,
        };
        for path in [new.upper(), new.work()] {
            make_dir(&path)?;
        }
        if let Driver::Copies { root_id } = self.driver() {
            new.copied = Some(Copied::make(base, &new.upper(), root_id)?);
        } else if let Some(top) = new.lower_layers().first() {
            tree::copy::copy_root(&Tree::open(top)?, &Tree::open(new.upper())?)?;
        }
        if !new.is_whole() {
            // what cannot be looked at is just not used again
            new.begun = Seen::all(&new.upper()).ok();
        }
        Ok(new)
    }

    /// Makes the new tree an object, once nothing has it mounted any more. A tree that is there already is taken
    /// instead.
    ///
    /// # Errors
    /// The tree holds what no store can hold ([`Index::scan`]), or the disk is full; the store is as it was.
    pub fn commit(&self, new: NewTree, times: Times) -> Result<Object> {
        self.commit_while(new, times, &|| true)
    }

    /// [`commit`](Self::commit) that ends with [`tree::Error::Stopped`] soon after `go_on` says no.
    pub fn commit_while(&self, new: NewTree, times: Times, go_on: GoOn<'_>) -> Result<Object> {
        let untouched = self.is_untouched(&new, times)?;
        let object = match &new.base {
            Some(base) if untouched && go_on() => base.clone(),
            _ => self.keep(&new, times, go_on)?,
        };
        let upper = new.upper();
        let NewTree { dir, base, begun, .. } = new;
        let done_with = match begun {
            // a tree that was read may have been given other times
            Some(begun) if untouched || begun.is_still(&upper) => {
                self.give_back_tree(SpareTree { dir, upper: begun }, base.as_ref())
            }
            _ => Some(dir),
        };
        if let Some(dir) = done_with {
            self.forget(dir);
        }
        Ok(object)
    }

    /// Removes a tree of which nothing is to be kept, once nothing has it mounted any more.
    pub fn discard(&self, new: NewTree) {
        self.forget(new.dir);
    }

    /// Removes the directory of a tree: while the next stage runs, unless it may be a large one.
    fn forget(&self, dir: Scratch) {
        if is_bare(&dir.path().join("upper")) {
            self.sweep(dir);
        }
    }

    /// Whether the tree is its base, as the directory of the changes shows: nothing is in it, and it is as it was made. To
    /// read it would lead to the same index.
    fn is_untouched(&self, new: &NewTree, times: Times) -> Result<bool> {
        let (Some(base), Some(begun)) = (&new.base, &new.begun) else {
            return Ok(false);
        };
        let Some(written) = begun.bare_since() else {
            return Ok(false);
        };
        // its own time is then neither clamped nor left out where that of the base's root was not
        let counts_alike = match times {
            Times::Keep => true,
            Times::Clamp { since, .. } => written < since - 1,
            Times::Zero { since } => {
                written < since - 1 || self.index_of(base)?.get("").is_some_and(|root| root.timeless)
            }
        };
        Ok(counts_alike && begun.is_still(&new.upper()))
    }

    fn keep(&self, new: &NewTree, times: Times, go_on: GoOn<'_>) -> Result<Object> {
        let upper = Tree::open(new.upper())?;
        let below = match &new.base {
            Some(base) => self.index_of(base)?,
            None => Arc::new(Index::empty()),
        };
        let span = trace::span("scan");
        let index = Arc::new(match &new.copied {
            Some(copied) => {
                copied.join(&new.upper())?;
                copied.own(&new.upper(), 0)?;
                below.scan_copy_while(&upper, times, go_on)?
            }
            None => below.merge_layer_while(&upper, times, go_on)?,
        });
        drop(span);
        let digest = index.digest();
        if let Some(base) = new.base.as_ref().filter(|base| *base.digest() == digest) {
            return Ok(base.clone());
        }
        let object = match self.object(&digest)? {
            Some(object) => object,
            None => self.add(new, &upper, (&index, digest), go_on)?,
        };
        self.remember(digest, index);
        Ok(object)
    }

    fn add(
        &self,
        new: &NewTree,
        upper: &Tree,
        (index, digest): (&Index, TreeDigest),
        go_on: GoOn<'_>,
    ) -> Result<Object> {
        let _span = trace::span("keep");
        let dir = new.path().join("object");
        make_dir(&dir)?;
        let layer = dir.join("layer");
        let base = new.base.as_ref().filter(|_| !new.is_whole());
        let kept = match base {
            Some(base) => self.kept_layers(base, &digest, || disk_usage(upper, go_on))?,
            None => 0,
        };
        let below = base.map_or_else(Below::default, |base| base.lowest(kept));
        let merged = new.lower_layers().len() - kept;
        let (below, taken) = if merged == 0 {
            fault::step!(std::fs::rename(new.upper(), &layer))
                .map_err(|e| Error::io("move the layer to", &layer, e))?;
            (below, disk_usage(upper, go_on)?)
        } else {
            make_dir(&layer)?;
            let layer = Tree::open(&layer)?;
            let above = new.lower_layers().into_iter().take(merged);
            let above = std::iter::once(new.upper()).chain(above).collect();
            let below = self.merge_layers(above, below, &layer, go_on)?;
            (below, disk_usage(&layer, go_on)?)
        };
        if let Some(parent) = below.digest() {
            write(&dir.join("parent"), format!("{parent}\n").as_bytes())?;
        }
        let path = dir.join("index");
        let file = fault::step!(File::create(&path)).map_err(|e| Error::io("write", &path, e))?;
        let mut out = BufWriter::new(fault::writer!(file));
        index
            .write_to(&mut out)
            .and_then(|()| out.flush())
            .map_err(|e| Error::io("write", &path, e))?;
        let size = taken + path.metadata().map_or(0, |m| m.len());
        write(&dir.join("info"), &Info::new(size).to_bytes())?;
        self.publish(new, &dir, digest, below)
    }

    /// Moves the finished object to its place. Should one have appeared there meanwhile it is taken, unless it is
    /// damaged: then it is moved away.
    fn publish(&self, new: &NewTree, dir: &Path, digest: TreeDigest, below: Below<'_>) -> Result<Object> {
        let place = self.objects().join(digest.to_string());
        let mut removed = 0;
        loop {
            let error = match publish(dir, place.clone(), digest, below)? {
                Ok(object) => return Ok(object),
                Err(error) => error,
            };
            if !matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
            ) || removed > 100
            {
                return Err(Error::io("move the new object to", place, error));
            }
            if let Some(object) = self.object(&digest)? {
                return Ok(object);
            }
            // goes away with the rest of the new tree
            let _ = take_away(&place, &new.path().join(format!("damaged-{removed}")));
            removed += 1;
        }
    }
}

/// A directory with mode 0755, whatever the umask says.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fault::step!(DirBuilder::new().mode(0o755).create(path))
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
        .map_err(|e| Error::io("make", path, e))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fault::step!(File::create(path))
        .and_then(|file| fault::writer!(&file).write_all(content))
        .map_err(|e| Error::io("write", path, e))
}

/// Bytes on disk, files with several names counted once.
fn disk_usage(tree: &Tree, go_on: GoOn<'_>) -> Result<u64> {
    let mut counted = HashSet::new();
    let mut blocks = 0;
    tree::walk::walk(tree, &mut |entry| {
        if !go_on() {
            return Err(tree::Error::Stopped);
        }
        let stat = &entry.stat;
        if stat.nlink < 2 || counted.insert((stat.dev, stat.ino)) {
            blocks += stat.blocks;
        }
        Ok(())
    })?;
    Ok(blocks * 512)
}
