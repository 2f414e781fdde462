//! What there is: references, whether good or stale, and objects, whether whole or damaged.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tree::index::TreeDigest;

use crate::info::Info;
use crate::record::{Record, read, why_stale};
use crate::store::{Store, check_id};
use crate::{Error, Result};

/// A reference on disk.
#[derive(Debug)]
pub(crate) struct Reference {
    /// The stage's id.
    pub id: String,
    /// The tree that the stage made, or why the reference says nothing.
    pub names: std::result::Result<(TreeDigest, Record), String>,
}

/// A stage whose tree is, or was, in the store.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: String,
    /// The stage's name, where the record has it.
    pub name: Option<String>,
    pub tree: TreeDigest,
    /// Bytes on disk that the tree takes beside those below it; `None` where it is not there, or not whole.
    pub size: Option<u64>,
    /// When the tree was last used.
    pub used: Option<SystemTime>,
    /// Not evicted: the stage is a checkpoint.
    pub pinned: bool,
    /// How long the stage took, in seconds.
    pub seconds: f64,
}

/// A builder writes a record and then the link to it: what does not agree may do so a moment later.
const MOMENT: Duration = Duration::from_millis(5);
const MOMENTS: usize = 5;

impl Store {
    /// All stages with a good reference, those used last first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn stages(&self) -> Result<Vec<Stored>> {
        let good = self.references()?.into_iter();
        let good = good.filter_map(|reference| Some((reference.id, reference.names.ok()?)));
        let mut all: Vec<Stored> = good
            .map(|(id, (tree, record))| self.stored(id, tree, &record))
            .collect();
        all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    fn stored(&self, id: String, tree: TreeDigest, record: &Record) -> Stored {
        let dir = self.object_dir(&tree);
        let whole = self.chain(&tree).is_some();
        Stored {
            id,
            name: record.stage().map(str::to_owned),
            tree,
            size: Info::read(&dir).filter(|_| whole).map(|info| info.size),
            used: dir.join("lock").metadata().and_then(|lock| lock.modified()).ok(),
            pinned: record.pinned,
            seconds: record.seconds,
        }
    }

    /// All references, in the order of their ids.
    pub(crate) fn references(&self) -> Result<Vec<Reference>> {
        let mut ids = BTreeSet::new();
        for name in names(&self.refs())? {
            let id = name.into_string().unwrap_or_default();
            let id = id.strip_suffix(".json").unwrap_or(&id);
            if check_id(id).is_ok() {
                ids.insert(id.to_owned());
            }
        }
        Ok(ids.into_iter().map(|id| self.reference(id)).collect())
    }

    pub(crate) fn reference(&self, id: String) -> Reference {
        let link = self.refs().join(&id);
        for _ in 0..MOMENTS {
            if let Some(found) = read(&link) {
                return Reference { id, names: Ok(found) };
            }
            std::thread::sleep(MOMENT);
        }
        let names = Err(why_stale(&link));
        Reference { id, names }
    }

    /// The digests of all objects of ours, whole or not, in order.
    pub(crate) fn trees(&self) -> Result<Vec<TreeDigest>> {
        let mut all: Vec<TreeDigest> = self.digests()?;
        all.retain(|digest| !is_the_peers(&self.object_dir(digest)));
        all.sort();
        Ok(all)
    }

    /// All names in `objects/` that can be ours.
    pub(crate) fn digests(&self) -> Result<Vec<TreeDigest>> {
        let names = names(&self.objects())?;
        Ok(names
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect())
    }

    pub(crate) fn object_dir(&self, digest: &TreeDigest) -> PathBuf {
        self.objects().join(digest.to_string())
    }
}

impl Record {
    /// The name of the stage.
    pub fn stage(&self) -> Option<&str> {
        self.about.get("stage").and_then(Value::as_str)
    }
}

/// What the Python osbuild has in its objects; their names look like ours.
fn is_the_peers(object: &Path) -> bool {
    ["data", "object.lock", "object.info"]
        .iter()
        .any(|name| object.join(name).symlink_metadata().is_ok())
}

/// The names in a directory; none where there is none.
pub(crate) fn names(dir: &Path) -> Result<Vec<OsString>> {
    match std::fs::read_dir(dir) {
        Ok(list) => Ok(list.flatten().map(|entry| entry.file_name()).collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io("list", dir, e)),
    }
}
