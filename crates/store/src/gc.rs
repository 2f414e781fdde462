//! Removing what nobody will ask for: what died builders left, objects that no reference leads to, references that lead
//! nowhere, old logs, the quarantine. What is in use stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tree::index::TreeDigest;

use crate::evict::Removal;
use crate::object::parent;
use crate::scratch::{PREFIX, leftovers, leftovers_named, remove};
use crate::store::Store;
use crate::usage::disk_usage;
use crate::{Result, list};

/// Something that is, or was, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    pub kind: GarbageKind,
    /// Its file name: a digest, an id, a path in `tmp/`.
    pub name: String,
    pub bytes: u64,
}

/// Why it is garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GarbageKind {
    /// What a builder that died was making.
    Unfinished,
    /// A reference to a tree that is not there, or not whole.
    StaleStage,
    /// A tree of no stage.
    Tree,
    /// The log of a stage, older than [`LOGS`].
    Log,
    /// What was damaged.
    Quarantined,
}

/// How long logs are kept.
pub const LOGS: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    /// Removes all garbage, or with `dry` only says what it is. A store that is to be cleaned is opened with
    /// [`Store::open_as_left`].
    ///
    /// # Errors
    /// The store cannot be read, or written to.
    pub fn collect(&self, dry: bool) -> Result<Vec<Garbage>> {
        let mut all = self.collect_unfinished(dry);
        let stale = self.collect_stages(dry, &mut all)?;
        self.collect_trees(dry, &stale, &mut all)?;
        self.collect_logs(dry, &mut all)?;
        for path in self.quarantined()? {
            all.push(garbage(GarbageKind::Quarantined, &path));
            if !dry {
                remove(&path)?;
            }
        }
        Ok(all)
    }

    fn collect_unfinished(&self, dry: bool) -> Vec<Garbage> {
        let found = match dry {
            true => leftovers_named(&self.tmp(), PREFIX),
            false => leftovers(&self.tmp()),
        };
        let mut all = Vec::new();
        for left in found {
            all.push(garbage(GarbageKind::Unfinished, &left.path));
            if !dry {
                left.remove();
            }
        }
        all
    }

    /// The ids of references that are, or are to be, removed.
    fn collect_stages(&self, dry: bool, all: &mut Vec<Garbage>) -> Result<BTreeSet<String>> {
        let mut gone = BTreeSet::new();
        for reference in self.references()? {
            if self.leads_somewhere(&reference) {
                continue;
            }
            if !dry {
                let Some(_lock) = self.try_lock_stage(&reference.id)? else {
                    continue;
                };
                // it may have been made again since
                if self.leads_somewhere(&self.reference(reference.id.clone())) {
                    continue;
                }
                self.drop_reference(&reference.id)?;
            }
            all.push(Garbage {
                kind: GarbageKind::StaleStage,
                name: reference.id.clone(),
                bytes: 0,
            });
            gone.insert(reference.id);
        }
        Ok(gone)
    }

    fn leads_somewhere(&self, reference: &list::Reference) -> bool {
        let tree = reference.names.as_ref().ok().map(|(tree, _)| tree);
        tree.is_some_and(|tree| self.chain(tree).is_some())
    }

    /// Removes the trees that no reference needs, those that lie on others first.
    fn collect_trees(&self, dry: bool, stale: &BTreeSet<String>, all: &mut Vec<Garbage>) -> Result<()> {
        let trees = self.trees()?;
        let parents: BTreeMap<TreeDigest, Option<TreeDigest>> = trees
            .iter()
            .map(|digest| (*digest, parent(&self.object_dir(digest)).ok().flatten()))
            .collect();
        let mut needed = BTreeSet::new();
        for reference in self.references()? {
            if let (Ok((tree, _)), false) = (reference.names, stale.contains(&reference.id)) {
                need(tree, &parents, &mut needed);
            }
        }
        loop {
            let covered: BTreeSet<TreeDigest> = parents
                .iter()
                .filter(|(digest, _)| needed.contains(digest) || !is_listed(all, digest))
                .filter_map(|(_, parent)| *parent)
                .collect();
            let next = trees
                .iter()
                .find(|d| !needed.contains(d) && !is_listed(all, d) && !covered.contains(d));
            // those that are left lie on each other in a circle, which only damage makes
            let next = next.or_else(|| trees.iter().find(|d| !needed.contains(d) && !is_listed(all, d)));
            let Some(digest) = next else { return Ok(()) };
            let found = garbage(GarbageKind::Tree, &self.object_dir(digest));
            if dry || self.remove_tree(digest, &trees)? == Removal::Removed {
                all.push(found);
            } else {
                need(*digest, &parents, &mut needed);
            }
        }
    }

    fn collect_logs(&self, dry: bool, all: &mut Vec<Garbage>) -> Result<()> {
        let now = SystemTime::now();
        let mut names = list::names(&self.logs())?;
        names.sort();
        for name in names {
            let path = self.logs().join(&name);
            let id = name.to_string_lossy();
            let Some(id) = id.strip_suffix(".log") else {
                continue;
            };
            let written = path.symlink_metadata().and_then(|log| log.modified()).ok();
            let age = written.and_then(|written| now.duration_since(written).ok());
            if age.is_none_or(|age| age < LOGS) {
                continue;
            }
            let found = garbage(GarbageKind::Log, &path);
            if !dry {
                let Ok(Some(_lock)) = self.try_lock_stage(id) else {
                    continue;
                };
                remove(&path)?;
            }
            all.push(found);
        }
        Ok(())
    }
}

/// Marks a tree and those below it.
fn need(
    tree: TreeDigest,
    parents: &BTreeMap<TreeDigest, Option<TreeDigest>>,
    needed: &mut BTreeSet<TreeDigest>,
) {
    let mut next = Some(tree);
    while let Some(tree) = next.filter(|tree| needed.insert(*tree)) {
        next = parents.get(&tree).copied().flatten();
    }
}

fn is_listed(all: &[Garbage], digest: &TreeDigest) -> bool {
    let name = digest.to_string();
    all.iter()
        .any(|garbage| garbage.kind == GarbageKind::Tree && garbage.name == name)
}

fn garbage(kind: GarbageKind, path: &Path) -> Garbage {
    Garbage {
        kind,
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: disk_usage(path),
    }
}
