//! A whole tree that goes into a file system which was just made: its layers become what lies below, and no file is copied.
//!
//! A stage is told which of its mounts are fresh (`meta.fresh_mounts`). Where it would begin with copying all of an input
//! to the root of one, it may write `{"mount": NAME, "input": NAME}` to `/run/osbuild/graft` and end. It is run again, and
//! finds the tree there (`meta.grafted`), but for what the file systems that are mounted below it hide. Where that
//! cannot be had it is run again with nothing offered.

use std::path::{Path, PathBuf};

use manifest::Stage;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Driver, Object, Store};
use tree::{Kind, Tree};

use super::setup::Setup;
use super::sides::Side;
use crate::Result;
use crate::attached::with_attached;
use crate::services::Modules;

/// The directory that a fresh ext4 has.
const FOUND: &str = "lost+found";

/// What a stage asks for; by names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graft {
    mount: String,
    input: String,
}

/// What can be had, and was.
#[derive(Debug, Default)]
pub(crate) struct Grafting {
    /// Mounts, by name.
    fresh: Vec<String>,
    done: Option<Graft>,
}

impl Grafting {
    /// What a stage of ours is offered.
    pub(crate) fn offer(stage: &Stage, setup: &Setup, sides: &[Side], store: &Store) -> Result<Self> {
        let mut fresh = Vec::new();
        if store.driver() != Driver::Layers {
            return Ok(Self::default());
        }
        for (mount, shown) in stage.mounts.iter().zip(&setup.shown) {
            let Some(used) = *shown else { continue };
            let twice = setup.shown.iter().filter(|other| **other == Some(used)).count() > 1;
            if !twice && !setup.used[used].read_only && is_fresh(&sides[setup.used[used].side].tree)? {
                fresh.push(mount.name.clone());
            }
        }
        Ok(Self { fresh, done: None })
    }

    pub(crate) fn is_offered(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Tells the stage of it.
    pub(crate) fn add_to(&self, meta: &mut Value) {
        if self.is_offered() {
            meta["fresh_mounts"] = json!(self.fresh);
        }
        if let Some(done) = &self.done {
            meta["grafted"] = json!({"mount": done.mount, "input": done.input});
        }
    }
}

/// Whether nobody has put anything into the file system with these files.
fn is_fresh(tree: &Object) -> Result<bool> {
    let index = tree.index()?;
    Ok(index.entries().all(|entry| {
        let path = entry.path.as_os_str();
        path.is_empty() || (path == FOUND && entry.kind == Kind::Directory)
    }))
}

/// What a stage that asks has around it.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) modules: &'a Modules,
    pub(crate) objects: &'a [Option<Object>],
    pub(crate) sides: &'a [Side],
}

/// Does what the stage asks for, as far as it can be had: `setup` is ready for its second run.
pub(crate) fn carry_out(graft: Graft, from: &From<'_>, setup: &mut Setup, store: &Store) -> Result<()> {
    let offered = std::mem::take(&mut setup.grafting);
    let From { stage, sides, .. } = *from;
    let Some(mount) = stage.mounts.iter().position(|mount| mount.name == graft.mount) else {
        return Ok(());
    };
    let Some(used) = setup.shown[mount].filter(|_| offered.fresh.contains(&graft.mount)) else {
        return Ok(());
    };
    let Some(input) = input_of(&graft, from) else {
        return Ok(());
    };
    let Some(hidden) = hidden(stage, mount, input)? else {
        return Ok(());
    };
    let new = store.new_tree(Some(input))?;
    let found = sides[setup.used[used].side].tree.index()?;
    let found = found.get(FOUND);
    let prepare = |tree: &Tree| -> tree::Result<()> {
        let root = tree.stat("")?;
        for path in &hidden {
            clear(tree, path)?;
        }
        if let Some(found) = &found {
            tree.mkdir(FOUND, found.mode)?;
            tree.chown(FOUND, Some(found.uid), Some(found.gid))?;
            tree.set_mtime(FOUND, found.mtime.0, found.mtime.1)?;
        }
        match root {
            Some(root) => tree.set_mtime("", root.mtime.0, root.mtime.1),
            None => Ok(()),
        }
    };
    if found.is_some() || !hidden.is_empty() {
        with_attached(store, &new, prepare)??;
    }
    setup.used[used].tree = new;
    setup.grafting.done = Some(graft);
    Ok(())
}

/// The tree that is the whole input.
fn input_of<'a>(graft: &Graft, from: &From<'a>) -> Option<&'a Object> {
    let inputs = &from.stage.inputs;
    let index = inputs.iter().position(|input| input.name == graft.input)?;
    let input = &inputs[index];
    if from.modules.has_input(index) || input.kind != "org.osbuild.tree" {
        return None;
    }
    match &input.pipelines[..] {
        [pipeline] => from.objects.get(*pipeline)?.as_ref(),
        _ => None,
    }
}

/// The directories of the input that file systems hide which are mounted below this one; `None` where that, or a name that
/// both have, does not let it be had.
fn hidden(stage: &Stage, mount: usize, input: &Object) -> Result<Option<Vec<PathBuf>>> {
    let target = |index: usize| {
        let target = stage.mounts[index].target.as_deref().unwrap_or("/");
        let plain = Path::new(target).components();
        plain
            .filter(|part| {
                matches!(
                    part,
                    std::path::Component::Normal(_) | std::path::Component::ParentDir
                )
            })
            .collect::<PathBuf>()
    };
    let own = target(mount);
    let index = input.index()?;
    let mut hidden: Vec<PathBuf> = Vec::new();
    for other in (0..stage.mounts.len()).filter(|other| *other != mount) {
        let other = target(other);
        let Ok(path) = other.strip_prefix(&own) else {
            continue;
        };
        let mut on_the_way = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let plain = on_the_way.all(|path| index.get(path).is_none_or(|entry| entry.kind == Kind::Directory));
        if path.as_os_str().is_empty() || !plain || path.starts_with("..") {
            return Ok(None);
        }
        if index.get(path).is_some() {
            hidden.push(path.to_owned());
        }
    }
    hidden.sort();
    hidden.dedup_by(|path, above| path.starts_with(above));
    let clash = index.get(FOUND).is_some();
    Ok((!clash).then_some(hidden))
}

/// Has an empty directory in the place of one of the tree, as a mount makes it; the times above it stay.
fn clear(tree: &Tree, path: &Path) -> tree::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let before = tree.stat(parent)?;
    tree.remove_all(path)?;
    tree.mkdir(path, 0o755)?;
    match before {
        Some(before) => tree.set_mtime(parent, before.mtime.0, before.mtime.1),
        None => Ok(()),
    }
}
