//! What the store takes on disk, and what for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tree::Tree;
use tree::index::TreeDigest;

use crate::object::parent;
use crate::store::Store;
use crate::{Result, Stored, list};

/// Bytes on disk, by what they are for.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// The trees, those that take most first.
    pub trees: Vec<TreeUsage>,
    pub downloads: u64,
    pub logs: u64,
    /// What builders are making, or have left.
    pub unfinished: u64,
    pub quarantined: u64,
    /// What the Python osbuild keeps in the same directory, and small files.
    pub others: u64,
}

/// What a tree takes.
#[derive(Debug, Clone)]
pub struct TreeUsage {
    pub tree: TreeDigest,
    /// Of its own: freed with it.
    pub own: u64,
    /// Of the trees it lies on, which it shares with others.
    pub below: u64,
    /// How many trees lie directly on it.
    pub above: usize,
    /// The ids and names of the stages that made it.
    pub stages: Vec<(String, Option<String>)>,
    pub pinned: bool,
}

impl Usage {
    /// Bytes of all trees, each counted once.
    pub fn of_trees(&self) -> u64 {
        self.trees.iter().map(|tree| tree.own).sum()
    }

    pub fn total(&self) -> u64 {
        self.of_trees() + self.downloads + self.logs + self.unfinished + self.quarantined + self.others
    }
}

impl Store {
    /// Measures all that is there: what the file system says, not what was written down.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let own: BTreeMap<TreeDigest, (u64, Option<TreeDigest>)> = self
            .trees()?
            .into_iter()
            .map(|digest| {
                let dir = self.object_dir(&digest);
                (digest, (disk_usage(&dir), parent(&dir).ok().flatten()))
            })
            .collect();
        let mut stages: BTreeMap<TreeDigest, Vec<Stored>> = BTreeMap::new();
        for stage in self.stages()? {
            stages.entry(stage.tree).or_default().push(stage);
        }
        let mut trees: Vec<TreeUsage> = own
            .iter()
            .map(|(tree, (bytes, _))| {
                let stages = stages.remove(tree).unwrap_or_default();
                TreeUsage {
                    tree: *tree,
                    own: *bytes,
                    below: below(tree, &own),
                    above: own.values().filter(|(_, parent)| *parent == Some(*tree)).count(),
                    pinned: stages.iter().any(|stage| stage.pinned),
                    stages: stages.into_iter().map(|stage| (stage.id, stage.name)).collect(),
                }
            })
            .collect();
        trees.sort_by(|a, b| b.own.cmp(&a.own).then_with(|| a.tree.cmp(&b.tree)));
        self.usage_beside(trees)
    }

    fn usage_beside(&self, trees: Vec<TreeUsage>) -> Result<Usage> {
        let mut usage = Usage {
            downloads: disk_usage(&self.sources()),
            logs: disk_usage(&self.logs()),
            quarantined: disk_usage(&self.quarantine()),
            trees,
            ..Usage::default()
        };
        let ours: BTreeSet<String> = usage.trees.iter().map(|tree| tree.tree.to_string()).collect();
        for name in list::names(&self.objects())? {
            if !ours.contains(&*name.to_string_lossy()) {
                usage.others += disk_usage(&self.objects().join(name));
            }
        }
        for name in list::names(&self.tmp())? {
            let bytes = disk_usage(&self.tmp().join(&name));
            match name.as_encoded_bytes().starts_with(b"new-") {
                true => usage.unfinished += bytes,
                false => usage.others += bytes,
            }
        }
        let counted = ["objects", "tmp", "sources", "logs", "damaged"];
        for name in list::names(self.path())? {
            if !counted.iter().any(|known| name == *known) {
                usage.others += disk_usage(&self.path().join(name));
            }
        }
        Ok(usage)
    }
}

/// Bytes of the trees below one.
fn below(tree: &TreeDigest, own: &BTreeMap<TreeDigest, (u64, Option<TreeDigest>)>) -> u64 {
    let mut seen = BTreeSet::from([*tree]);
    let mut next = own.get(tree).and_then(|(_, parent)| *parent);
    let mut bytes = 0;
    while let Some(tree) = next.filter(|tree| seen.insert(*tree)) {
        let Some((more, parent)) = own.get(&tree) else {
            break;
        };
        bytes += more;
        next = *parent;
    }
    bytes
}

/// Bytes on disk of a file, or of a directory with all below; files with several names count once, what vanishes or
/// cannot be read not at all.
pub(crate) fn disk_usage(path: &Path) -> u64 {
    let Ok(there) = path.symlink_metadata() else {
        return 0;
    };
    if !there.is_dir() {
        return there.blocks() * 512;
    }
    let Ok(tree) = Tree::open(path) else { return 0 };
    let mut counted = HashSet::new();
    let mut blocks = 0;
    let walked = tree::walk::walk(&tree, &mut |entry| {
        let stat = &entry.stat;
        if stat.nlink < 2 || counted.insert((stat.dev, stat.ino)) {
            blocks += stat.blocks;
        }
        Ok(())
    });
    // a walk that ends early has counted what it saw
    drop(walked);
    blocks * 512
}
