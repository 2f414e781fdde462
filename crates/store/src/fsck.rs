//! Looking for damage: references that say nothing, objects that are not what their index says, downloads that are not
//! what their name says.
//!
//! An object is checked against the index of the one below it, so each layer is read once, and damage is found where it is.
//! Nothing is changed, nobody is kept waiting: an object is locked as a user locks it, and one that vanishes is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tree::Tree;
use tree::index::{Difference, Index, Times, TreeDigest, What};

use crate::download::{self, Download};
use crate::info::Info;
use crate::object::{parent, read_index, use_lock};
use crate::store::Store;
use crate::{Error, Result};

/// What a check has found.
#[derive(Debug, Default)]
pub struct Check {
    /// How many of each were looked at.
    pub trees: usize,
    pub stages: usize,
    pub downloads: usize,
    pub damage: Vec<Damage>,
    /// Trees that lie on a quarantined one: they are good again when that has been made again.
    pub waiting: Vec<TreeDigest>,
    /// Trees that could not be checked, and why.
    pub unchecked: Vec<(TreeDigest, String)>,
}

/// Something damaged.
#[derive(Debug, Clone)]
pub struct Damage {
    pub what: Damaged,
    pub reason: String,
    /// The ids of the stages that will run again because of it.
    pub stages: Vec<String>,
}

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damaged {
    /// An object.
    Tree(TreeDigest),
    /// The reference of a stage, by its id.
    Stage(String),
    /// A download, by its checksum.
    Download(String),
}

/// What is known of an object after a look at it.
enum Found {
    Good(Index),
    Bad(String),
    Unchecked(String),
    /// Somebody has removed it meanwhile.
    Gone,
}

impl Store {
    /// Looks for damage. With `deep` all contents are read, else what can be seen without: missing and short files, wrong
    /// modes and owners, damaged indexes. `tell` is given how many trees are done, of how many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn check(&self, deep: bool, tell: &dyn Fn(usize, usize)) -> Result<Check> {
        let mut check = Check::default();
        let trees = self.trees()?;
        let parents: BTreeMap<TreeDigest, Option<TreeDigest>> = trees
            .iter()
            .map(|digest| (*digest, parent(&self.object_dir(digest)).ok().flatten()))
            .collect();
        let mut last: Option<(TreeDigest, Index)> = None;
        for (done, digest) in upwards(&parents).into_iter().enumerate() {
            tell(done, trees.len());
            let below = last
                .take()
                .filter(|(known, _)| Some(Some(known)) == parents.get(&digest).map(Option::as_ref));
            match self.look_at(&digest, below.map(|(_, index)| index), deep)? {
                Found::Good(index) => last = Some((digest, index)),
                Found::Bad(reason) => check.damage.push(Damage::new(Damaged::Tree(digest), reason)),
                Found::Unchecked(reason) => check.unchecked.push((digest, reason)),
                Found::Gone => continue,
            }
            check.trees += 1;
        }
        self.check_below(&parents, &mut check);
        self.check_stages(&mut check)?;
        if deep {
            self.check_downloads(&mut check)?;
        }
        Ok(check)
    }

    /// Checks one object; `below` is the index of the one it lies on, where that is at hand.
    fn look_at(&self, digest: &TreeDigest, below: Option<Index>, deep: bool) -> Result<Found> {
        let dir = self.object_dir(digest);
        let Some(lock) = use_lock(&dir, false)? else {
            return Ok(if dir.exists() {
                Found::Bad("its lock is missing".into())
            } else {
                Found::Gone
            });
        };
        let found = self.contents(&dir, digest, below, deep);
        drop(lock);
        Ok(found)
    }

    fn contents(&self, dir: &Path, digest: &TreeDigest, below: Option<Index>, deep: bool) -> Found {
        let Some(info) = Info::read(dir) else {
            return Found::Bad("its file `info` is missing, or makes no sense".into());
        };
        let Ok(parent) = parent(dir) else {
            return Found::Bad("its file `parent` makes no sense".into());
        };
        let index = match read_index(dir, *digest) {
            Ok(index) => index,
            Err(Error::Damaged { reason, .. }) => return Found::Bad(reason),
            Err(e) => return Found::Unchecked(e.to_string()),
        };
        if !dir.join("layer").is_dir() {
            return Found::Bad("its layer is missing".into());
        }
        if !info.is_readable() {
            return Found::Unchecked("it was made by another kind of user".into());
        }
        let below = match (below, parent) {
            (Some(below), Some(_)) => Ok(below),
            (_, Some(parent)) => read_index(&self.object_dir(&parent), parent),
            (_, None) => Ok(Index::empty()),
        };
        let Ok(below) = below else {
            return Found::Unchecked("what it lies on is not there, or damaged".into());
        };
        match differences(&index, &below, &dir.join("layer"), deep || info.is_doubtful()) {
            Ok(None) => Found::Good(index),
            Ok(Some(reason)) => Found::Bad(reason),
            Err(e) => Found::Bad(e.to_string()),
        }
    }

    /// Says of objects that are not there, although others lie on them.
    fn check_below(&self, parents: &BTreeMap<TreeDigest, Option<TreeDigest>>, check: &mut Check) {
        let mut missing = BTreeSet::new();
        for (digest, parent) in parents {
            let Some(parent) = parent.filter(|parent| !self.object_dir(parent).exists()) else {
                continue;
            };
            if self.quarantine().join(parent.to_string()).exists() {
                check.waiting.push(*digest);
            } else if self.object_dir(digest).exists() && missing.insert(parent) {
                let reason = "it is missing, and others lie on it".to_owned();
                check.damage.push(Damage::new(Damaged::Tree(parent), reason));
            }
        }
        check
            .unchecked
            .retain(|(digest, _)| !check.waiting.contains(digest));
    }

    fn check_stages(&self, check: &mut Check) -> Result<()> {
        for reference in self.references()? {
            check.stages += 1;
            let reason = match reference.names {
                Err(reason) => reason,
                Ok((tree, _)) => {
                    let known = check.damage.iter_mut().find(|d| d.what == Damaged::Tree(tree));
                    match known {
                        Some(damage) => {
                            damage.stages.push(reference.id);
                            continue;
                        }
                        None if self.object_dir(&tree).exists() => continue,
                        None => format!("its tree {tree} is missing"),
                    }
                }
            };
            let damage = Damage {
                stages: vec![reference.id.clone()],
                ..Damage::new(Damaged::Stage(reference.id), reason)
            };
            check.damage.push(damage);
        }
        Ok(())
    }

    fn check_downloads(&self, check: &mut Check) -> Result<()> {
        for Download { name, path } in download::list(&self.sources())? {
            match download::is_intact(&name, &path) {
                Ok(None) => continue,
                Ok(Some(true)) => {}
                Ok(Some(false)) => check.damage.push(Damage::new(
                    Damaged::Download(name),
                    "its content is not that of its checksum".into(),
                )),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => check.damage.push(Damage::new(
                    Damaged::Download(name),
                    format!("it cannot be read: {e}"),
                )),
            }
            check.downloads += 1;
        }
        Ok(())
    }
}

impl Damage {
    fn new(what: Damaged, reason: String) -> Self {
        Self {
            what,
            reason,
            stages: Vec::new(),
        }
    }
}

/// What is different between a layer and what the index says that it adds to `below`; `None`: nothing.
fn differences(index: &Index, below: &Index, layer: &Path, deep: bool) -> Result<Option<String>> {
    let layer = Tree::open(layer)?;
    let found = match deep {
        true => below.merge_layer(&layer, Times::Keep)?,
        false => below.merge_layer_unread(&layer)?,
    };
    // a layer may have hundreds of thousands of files that were not read: no more is kept than the first that matters
    let mut first = None;
    let mut more = 0usize;
    for difference in index.differences(&found) {
        if let Some(change) = told(difference) {
            more += usize::from(first.is_some());
            first.get_or_insert(change);
        }
    }
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Ok(first.map(|first| format!("{first}{more}")))
}

/// What is to be said of one; `None`: it is no damage.
fn told(difference: Difference) -> Option<String> {
    let Difference { old, new, what } = difference;
    // without a digest the size has to do
    let unread = old.as_ref().zip(new.as_ref()).is_some_and(|(said, found)| {
        found.digest.is_none() && (said.kind, said.size) == (found.kind, found.size)
    });
    let entry = new.or(old)?;
    let place = entry.path.display();
    match what {
        What::Added => Some(format!("/{place}: does not belong there")),
        What::Removed => Some(format!("/{place}: missing")),
        What::Changed(mut aspects) => {
            // a time that was changed by accident is no damage
            aspects.retain(|aspect| *aspect != "time" && !(unread && *aspect == "content"));
            (!aspects.is_empty()).then(|| format!("/{place}: {} changed", aspects.join(", ")))
        }
    }
}

/// All objects, each behind the one it lies on, and what lies on it right behind it as far as that goes.
fn upwards(parents: &BTreeMap<TreeDigest, Option<TreeDigest>>) -> Vec<TreeDigest> {
    let mut above: BTreeMap<TreeDigest, Vec<TreeDigest>> = BTreeMap::new();
    let mut todo: Vec<TreeDigest> = Vec::new();
    for (digest, parent) in parents {
        match parent.filter(|parent| parents.contains_key(parent)) {
            Some(parent) => above.entry(parent).or_default().push(*digest),
            None => todo.push(*digest),
        }
    }
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    // those in a circle, which only damage makes, have no beginning
    let mut rest = parents.keys();
    while let Some(digest) = todo.pop().or_else(|| rest.next().copied()) {
        if seen.insert(digest) {
            order.push(digest);
            todo.extend(above.get(&digest).into_iter().flatten());
        }
    }
    order
}
