//! File systems of a disk whose files lie beside it: see [`devices`](super).
//!
//! The record of a stage names them (`about.filesystems`), each file tree by its digest:
//!
//! ```text
//! {"file": "disk.img", "start": 1048576, "size": 536870912, "sector": 512, "kind": "ext4",
//!  "stage": ID of the stage that makes it, "device": NAME of the device of that stage,
//!  "tree": DIGEST, "state": "behind", "written" or, where somebody may have written there since, the DIGEST of the range}
//! ```

use std::path::Path;

use image::SparseFile;
use sandbox::overlay::Merged;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Object, Store};
use tree::Tree;

use super::range::{self, Range};
use crate::Result;

/// A tree in the store, and the file systems of its disks whose files lie beside it.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) object: Object,
    pub(crate) sides: Vec<Side>,
}

/// A file system, as a tree of its files.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// Where it lies; the size is known.
    pub(crate) range: Range,
    /// `ext4`, `fat`, …
    pub(crate) kind: String,
    /// The id of the stage that made it, and can make it again.
    pub(crate) stage: String,
    /// That stage's device.
    pub(crate) device: String,
    pub(crate) tree: Object,
    pub(crate) state: State,
}

/// How the disk compares with the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It has older files.
    Behind,
    /// It has the tree's files.
    Written,
    /// It has them if the range still has this digest.
    Doubtful { digest: String },
}

const BEHIND: &str = "behind";
const WRITTEN: &str = "written";

impl Made {
    /// Without anything beside it.
    pub(crate) fn plain(object: Object) -> Self {
        Self {
            object,
            sides: Vec::new(),
        }
    }

    /// The tree with what the record of its stage names beside it; `None` where the store has not all of it.
    pub(crate) fn recall(store: &Store, object: Object, about: &Value) -> Result<Option<Self>> {
        let mut sides = Vec::new();
        for entry in about["filesystems"].as_array().into_iter().flatten() {
            match Side::recall(store, entry)? {
                Some(side) => sides.push(side),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { object, sides }))
    }

    /// What decides what a stage on it sees.
    pub(crate) fn digest(&self) -> String {
        let mut text = self.object.digest().to_string();
        for side in &self.sides {
            text.push_str(&format!(
                " with {} at {} of {}",
                side.tree.digest(),
                side.range.start,
                side.range.file
            ));
        }
        text
    }

    /// Whether a disk is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.sides.iter().any(Side::is_behind)
    }
}

impl Side {
    pub(crate) fn is_behind(&self) -> bool {
        self.state == State::Behind
    }

    /// Whether the tree is what is on the disk, or newer. `disk` is the file that it lies in.
    pub(crate) fn holds(&self, disk: Option<&SparseFile>) -> bool {
        match (&self.state, disk) {
            (State::Behind | State::Written, _) => true,
            (State::Doubtful { digest }, Some(disk)) => {
                range_digest(disk, &self.range).is_ok_and(|found| found == *digest)
            }
            _ => false,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let state = match &self.state {
            State::Behind => BEHIND,
            State::Written => WRITTEN,
            State::Doubtful { digest } => digest,
        };
        json!({
            "file": self.range.file, "start": self.range.start, "size": self.range.size,
            "sector": self.range.sector, "kind": self.kind, "stage": self.stage, "device": self.device,
            "tree": self.tree.digest().to_string(), "state": state,
        })
    }

    fn recall(store: &Store, entry: &Value) -> Result<Option<Self>> {
        let Some(digest) = text(entry, "tree").and_then(|digest| digest.parse().ok()) else {
            return Ok(None);
        };
        let Some(tree) = store.object(&digest)? else {
            return Ok(None);
        };
        let side = || {
            Some(Self {
                range: Range {
                    file: text(entry, "file")?.to_owned(),
                    start: entry["start"].as_u64()?,
                    size: Some(entry["size"].as_u64()?),
                    sector: entry["sector"].as_u64()?,
                    read_only: false,
                },
                kind: text(entry, "kind")?.to_owned(),
                stage: text(entry, "stage")?.to_owned(),
                device: text(entry, "device")?.to_owned(),
                tree,
                state: match text(entry, "state")? {
                    BEHIND => State::Behind,
                    WRITTEN => State::Written,
                    digest => State::Doubtful {
                        digest: digest.to_owned(),
                    },
                },
            })
        };
        Ok(side())
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str)
}

/// What the record of a stage keeps of them.
pub(crate) fn to_json(sides: &[Side]) -> Value {
    sides.iter().map(Side::to_json).collect()
}

/// A digest of the bytes of a range, to which holes and zeros are the same.
pub(crate) fn range_digest(disk: &SparseFile, range: &Range) -> std::result::Result<String, String> {
    let mut hash = Sha256::new();
    let size = range.size.unwrap_or(u64::MAX);
    let mut visit = |at: u64, block: &[u8]| {
        hash.update(at.to_le_bytes());
        hash.update(block);
    };
    disk.blocks(range.start, size, &mut visit)
        .map_err(|e| e.to_string())?;
    Ok(hex::encode(hash.finalize()))
}

/// The disks of a tree, for the executor to read.
#[derive(Debug)]
pub(crate) struct Disks {
    _merged: Option<Merged>,
    tree: Option<Tree>,
}

impl Disks {
    /// Of a tree in the store; without one there are none.
    pub(crate) fn of(object: Option<&Object>) -> Result<Self> {
        let merged = object.map(|object| Merged::open(&object.layers())).transpose()?;
        let tree = merged
            .as_ref()
            .map(|merged| Tree::open(merged.path()))
            .transpose()?;
        Ok(Self {
            _merged: merged,
            tree,
        })
    }

    /// Of a directory of the host.
    pub(crate) fn of_dir(dir: &Path) -> Result<Self> {
        Ok(Self {
            _merged: None,
            tree: Some(Tree::open(dir)?),
        })
    }

    pub(crate) fn open(&self, file: &str) -> std::result::Result<SparseFile, String> {
        let tree = self.tree.as_ref().ok_or("the tree is empty")?;
        range::open(tree, file, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::index::Times;

    #[test]
    fn a_record_brings_all_of_it_back_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let tree = |name: &str| {
            let new = store.new_tree(None).unwrap();
            std::fs::write(new.upper().join(name), name).unwrap();
            store.commit(new, Times::Zero { since: 0 }).unwrap()
        };
        let range = Range {
            file: "disk.img".into(),
            start: 4096,
            size: Some(8192),
            sector: 512,
            read_only: false,
        };
        let side = |state| Side {
            range: range.clone(),
            kind: "ext4".into(),
            stage: "id".into(),
            device: "device".into(),
            tree: tree("inside"),
            state,
        };
        let doubtful = State::Doubtful { digest: "d".into() };
        let sides = [side(State::Behind), side(State::Written), side(doubtful.clone())];
        let about = json!({"filesystems": to_json(&sides)});
        let made = Made::recall(&store, tree("disk.img"), &about).unwrap().unwrap();
        assert!(made.is_behind());
        assert_eq!(
            (&made.sides[0].range, &made.sides[1].state),
            (&range, &State::Written)
        );
        assert_eq!(made.sides[2].state, doubtful);
        let gone = json!({"filesystems": [{"tree": "ab".repeat(32)}]});
        assert!(Made::recall(&store, tree("disk.img"), &gone).unwrap().is_none());
        assert!(
            Made::recall(&store, tree("disk.img"), &json!({}))
                .unwrap()
                .unwrap()
                .sides
                .is_empty()
        );
    }

    #[test]
    fn what_is_beside_a_changed_disk_counts_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let tree = store.commit(store.new_tree(None).unwrap(), Times::Keep).unwrap();
        let disk = SparseFile::new(tempfile::tempfile().unwrap(), 1 << 20).unwrap();
        disk.write(b"file system", 8192).unwrap();
        let range = Range {
            file: "x".into(),
            start: 4096,
            size: Some(65_536),
            sector: 512,
            read_only: false,
        };
        let side = Side {
            state: State::Doubtful {
                digest: range_digest(&disk, &range).unwrap(),
            },
            range,
            kind: "ext4".into(),
            stage: String::new(),
            device: String::new(),
            tree,
        };
        disk.write(b"a table", 0).unwrap();
        assert!(side.holds(Some(&disk)));
        disk.write(b"F", 8192).unwrap();
        assert!(!side.holds(Some(&disk)) && !side.holds(None));
    }
}
