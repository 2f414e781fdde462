//! Finding what a person means: an id or a digest, the beginning of one, or the name of a stage.

use tree::index::TreeDigest;

use crate::store::Store;
use crate::{Result, Stored};

/// Beginnings that are shorter name nothing.
const SHORTEST: usize = 4;

/// What was meant.
#[derive(Debug, Clone)]
pub struct Match {
    pub tree: TreeDigest,
    /// The stage; `None`: the tree itself was named.
    pub stage: Option<Stored>,
}

impl Store {
    /// All that `word` can mean: what is called just so, else what begins so. Stages are named by id or by name
    /// (`org.osbuild.` may be left out), trees by their digest. Those used last come first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, word: &str) -> Result<Vec<Match>> {
        let stages = self.stages()?;
        let trees = self.trees()?;
        let find = |fits: &dyn Fn(&str) -> bool| -> Vec<Match> {
            let stages = stages.iter().filter(|stage| fits(&stage.id)).map(Match::of_stage);
            let trees = trees.iter().filter(|tree| fits(&tree.to_string()));
            stages.chain(trees.map(|tree| Match::of_tree(*tree))).collect()
        };
        let exact = find(&|name| name == word);
        if !exact.is_empty() {
            return Ok(exact);
        }
        let long = format!("org.osbuild.{word}");
        let is_named = |stage: &&Stored| {
            stage
                .name
                .as_deref()
                .is_some_and(|name| name == word || name == long)
        };
        let named: Vec<Match> = stages.iter().filter(is_named).map(Match::of_stage).collect();
        if !named.is_empty() || word.len() < SHORTEST {
            return Ok(named);
        }
        Ok(find(&|name| name.starts_with(word)))
    }
}

impl Match {
    fn of_stage(stage: &Stored) -> Self {
        Self {
            tree: stage.tree,
            stage: Some(stage.clone()),
        }
    }

    fn of_tree(tree: TreeDigest) -> Self {
        Self { tree, stage: None }
    }
}
