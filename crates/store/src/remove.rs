//! Removing what somebody names.

use tree::index::TreeDigest;

use crate::evict::Removal;
use crate::object::parent;
use crate::store::Store;
use crate::usage::disk_usage;
use crate::{Match, Result};

/// What became of something that was to be removed.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    /// The ids of the stages that are forgotten.
    pub stages: Vec<String>,
    /// The ids of stages that a builder has: they stay.
    pub busy: Vec<String>,
    /// Bytes that its tree took; `None`: the tree stays.
    pub bytes: Option<u64>,
    /// Why the tree stays.
    pub stays: Option<String>,
}

impl Store {
    /// Forgets the stage, or all stages whose tree was named, and removes the tree unless others need it.
    ///
    /// # Errors
    /// The store cannot be read, or written to.
    pub fn remove(&self, found: &Match) -> Result<Removed> {
        let of_tree: Vec<String> = self
            .stages()?
            .into_iter()
            .filter(|stage| stage.tree == found.tree)
            .map(|stage| stage.id)
            .collect();
        let (meant, others): (Vec<String>, Vec<String>) = of_tree
            .into_iter()
            .partition(|id| found.stage.as_ref().is_none_or(|stage| stage.id == *id));
        let mut removed = Removed::default();
        for id in meant {
            match self.try_lock_stage(&id)? {
                None => removed.busy.push(id),
                Some(_lock) => {
                    self.drop_reference(&id)?;
                    removed.stages.push(id);
                }
            }
        }
        let needed = others.len() + removed.busy.len();
        if needed > 0 {
            removed.stays = Some(format!("{} made it", count(needed, "other stage")));
            return Ok(removed);
        }
        self.remove_unless_needed(&found.tree, &mut removed)?;
        Ok(removed)
    }

    fn remove_unless_needed(&self, tree: &TreeDigest, removed: &mut Removed) -> Result<()> {
        let trees = self.trees()?;
        let above = trees
            .iter()
            .filter(|other| parent(&self.object_dir(other)) == Ok(Some(*tree)));
        let above = above.count();
        if above > 0 {
            let lie = if above == 1 { "lies" } else { "lie" };
            removed.stays = Some(format!("{} {lie} on it", count(above, "other tree")));
            return Ok(());
        }
        let bytes = disk_usage(&self.object_dir(tree));
        match self.remove_tree(tree, &trees)? {
            Removal::Removed => removed.bytes = Some(bytes),
            Removal::InUse => removed.stays = Some("a builder uses it".into()),
            Removal::Covered => removed.stays = Some("another tree lies on it".into()),
        }
        Ok(())
    }
}

fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
