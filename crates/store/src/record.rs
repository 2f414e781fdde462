//! References: which tree a stage made, and what it saw when it made it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tree::index::TreeDigest;

use crate::store::{Store, check_id, fresh, write_whole};
use crate::{Error, Object, Result};

/// What is kept of a stage that ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Record {
    /// All that decided its result: a hit needs an equal one.
    pub saw: Value,
    /// What it wrote as metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// What it printed.
    pub log: String,
    /// How long it took.
    pub seconds: f64,
    /// Which stage it was, for those who compare stages; no part of what decides a hit.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub about: Value,
    /// Its tree is not evicted: the stage is a checkpoint.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
}

/// A reference on disk. The digest is in there again, so that a link and a record of two different runs are told apart.
#[derive(Debug, Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    tree: TreeDigest,
    #[serde(flatten)]
    record: Record,
}

impl Record {
    /// A record that pins nothing.
    pub fn new(saw: Value, metadata: Option<Value>, log: String, seconds: f64) -> Self {
        Self {
            saw,
            metadata,
            log,
            seconds,
            about: Value::Null,
            pinned: false,
        }
    }
}

impl Store {
    /// The tree that the stage `id` made, and the record of it. The object stays while the value lives.
    ///
    /// A reference or object that is missing, damaged or incomplete is `None`.
    pub fn lookup(&self, id: &str) -> Result<Option<(Object, Record)>> {
        let link = self.refs().join(check_id(id)?);
        let Some((tree, record)) = read(&link) else {
            return Ok(None);
        };
        Ok(self.object(&tree)?.map(|object| (object, record)))
    }

    /// All records there are, in the order of their ids.
    pub fn records(&self) -> Vec<Record> {
        let list = std::fs::read_dir(self.refs()).into_iter().flatten().flatten();
        let mut links: Vec<_> = list
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
            .map(|entry| entry.path())
            .collect();
        links.sort();
        links.iter().filter_map(|link| Some(read(link)?.1)).collect()
    }

    /// Publishes that the stage `id` made `object`. Where there was a reference, it is replaced.
    pub fn commit_record(&self, id: &str, object: &Object, record: &Record) -> Result<()> {
        let link = self.refs().join(check_id(id)?);
        let on_disk = OnDisk {
            version: 1,
            tree: *object.digest(),
            record: record.clone(),
        };
        let (path, desk) = (json_of(&link), self.desk()?);
        let text = serde_json::to_vec(&on_disk).map_err(|e| Error::io("write", &path, e))?;
        if !write_first(&path, &text)? {
            write_whole(desk, &path, &text)?;
        }
        let target = format!("../objects/{}", object.digest());
        let made = match fault::step!(std::os::unix::fs::symlink(&target, &link)) {
            // what is there is replaced in one step
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let draft = fresh(desk);
                fault::step!(std::os::unix::fs::symlink(target, &draft))
                    .and_then(|()| fault::step!(std::fs::rename(&draft, &link)))
            }
            other => other,
        };
        made.map_err(|e| Error::io("write", &link, e))
    }
}

/// Writes the record where there is none: nobody heeds one without a link, nor one that is not whole. False: there is one.
fn write_first(path: &Path, text: &[u8]) -> Result<bool> {
    let file = match fault::step!(File::create_new(path)) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
        other => other,
    };
    file.and_then(|file| fault::writer!(&file).write_all(text))
        .map(|()| true)
        .map_err(|e| Error::io("write", path, e))
}

/// The `.json` beside a link.
pub(crate) fn json_of(link: &Path) -> std::path::PathBuf {
    let mut name = link.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// What link and record agree on.
pub(crate) fn read(link: &Path) -> Option<(TreeDigest, Record)> {
    let target = std::fs::read_link(link).ok()?;
    let tree: TreeDigest = target.file_name()?.to_str()?.parse().ok()?;
    let on_disk: OnDisk = serde_json::from_slice(&fault::step!(std::fs::read(json_of(link))).ok()?).ok()?;
    (on_disk.version == 1 && on_disk.tree == tree).then_some((tree, on_disk.record))
}

/// Why [`read`] finds nothing.
pub(crate) fn why_stale(link: &Path) -> String {
    let Ok(target) = std::fs::read_link(link) else {
        return "its link is missing".into();
    };
    let tree: Option<TreeDigest> = target.file_name().and_then(|name| name.to_str()?.parse().ok());
    let Some(tree) = tree else {
        return format!("its link leads to {}, which is no tree", target.display());
    };
    let on_disk = match std::fs::read(json_of(link)) {
        Ok(text) => serde_json::from_slice::<OnDisk>(&text),
        Err(e) => return format!("its record cannot be read: {e}"),
    };
    match on_disk {
        Ok(on_disk) if on_disk.tree != tree => "its record is of another tree".into(),
        Ok(on_disk) => format!("its record is of the unknown version {}", on_disk.version),
        Err(e) => format!("its record makes no sense: {e}"),
    }
}
