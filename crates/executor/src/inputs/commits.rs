//! Where the commits of an input are: in the store's repository, or in the tree that `org.osbuild.ostree.commit` made.

use manifest::Origin;
use ostree::{Archive, Checksum};
use sandbox::overlay::Merged;
use serde_json::Value;
use tree::Tree;

use super::Making;
use crate::{Error, Result};

/// A commit that a reference stands for.
pub(super) struct Commit<'a> {
    pub(super) checksum: Checksum,
    /// Of the reference.
    pub(super) options: &'a Value,
    pub(super) archive: Archive,
    /// Whether its objects are files of the source cache, which may get further names.
    pub(super) shared: bool,
    /// Holds the tree that the archive lies in.
    _tree: Option<Merged>,
}

/// The commits of all references, in order.
pub(super) fn of<'a>(making: &'a Making<'_>) -> Result<Vec<Commit<'a>>> {
    let references = making.input.references.iter();
    match making.input.origin {
        Origin::Source => references
            .map(|(name, options)| of_source(making, name, options))
            .collect(),
        Origin::Pipeline => references
            .zip(&making.input.pipelines)
            .map(|((_, options), index)| of_tree(making, *index, options))
            .collect(),
    }
}

fn of_source<'a>(making: &Making<'_>, name: &str, options: &'a Value) -> Result<Commit<'a>> {
    let dir = making.store.sources().join("org.osbuild.ostree");
    Ok(Commit {
        checksum: checksum(making, name)?,
        options,
        archive: open(making, &Tree::open(dir)?)?,
        shared: true,
        _tree: None,
    })
}

fn of_tree<'a>(making: &Making<'_>, index: usize, options: &'a Value) -> Result<Commit<'a>> {
    const NAME: &str = "compose.json";
    let object = making
        .tree(index)
        .ok_or_else(|| making.wrong("the tree is empty: it has no commit"))?;
    let merged = Merged::open(&object.layers())?;
    let tree = Tree::open(merged.path())?;
    let compose: Value = serde_json::from_slice(&tree.read(NAME)?)
        .map_err(|e| making.wrong(format!("{NAME} of the tree: {e}")))?;
    let name = compose["ostree-commit"]
        .as_str()
        .ok_or_else(|| making.wrong(format!("{NAME} of the tree names no `ostree-commit`")))?;
    Ok(Commit {
        checksum: checksum(making, name)?,
        options,
        archive: open(making, &tree)?,
        shared: false,
        _tree: Some(merged),
    })
}

fn checksum(making: &Making<'_>, name: &str) -> Result<Checksum> {
    Checksum::parse(name).ok_or_else(|| making.wrong(format!("`{name}` is no commit")))
}

fn open(making: &Making<'_>, tree: &Tree) -> Result<Archive> {
    Archive::open_in(tree, "repo").map_err(|e| failed(making, &e))
}

/// What went wrong with a repository.
pub(super) fn failed(making: &Making<'_>, error: &ostree::Error) -> Error {
    making.wrong(error.to_string())
}
