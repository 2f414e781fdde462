//! Inputs: what a stage is given to read, made by the executor itself. One file each, its documentation on top.

mod commits;
mod containers;
mod containers_storage;
mod describe;
mod files;
mod noop;
mod ostree;
mod ostree_checkout;
mod tree;

use std::path::{Path, PathBuf};

use manifest::Input;
use sandbox::{Layers, Mount};
use serde_json::{Value, json};
use store::{Object, Store};

use crate::{Error, Result, saw};

/// Where inputs lie in the box.
const ROOT: &str = "/run/osbuild/inputs";

/// A kind of input.
pub(crate) struct InputModule {
    pub(crate) name: &'static str,
    /// Its file: the documentation is on top.
    text: &'static str,
    /// Draft 4, of the whole input in a manifest of format 2.
    schema: fn() -> Value,
    make: fn(&Making<'_>) -> Result<Ready>,
}

/// Every input, sorted by name.
pub(crate) static INPUTS: &[&InputModule] = &[
    &containers::INPUT,
    &containers_storage::INPUT,
    &files::INPUT,
    &noop::INPUT,
    &ostree::INPUT,
    &ostree_checkout::INPUT,
    &tree::INPUT,
];

/// The `.meta.json` of an input.
pub(crate) fn meta(name: &str) -> Option<Value> {
    find(name).map(describe::meta)
}

fn find(name: &str) -> Option<&'static InputModule> {
    INPUTS.iter().copied().find(|module| module.name == name)
}

/// What a stage sees of an input: its references, and the digests of the trees they stand for.
pub(crate) fn saw_input(input: &Input, objects: &[Option<Object>]) -> Value {
    let trees = input
        .pipelines
        .iter()
        .map(|index| tree_of(objects, *index).map(|object| object.digest().to_string()));
    json!({"of": saw::references(input), "trees": trees.collect::<Vec<_>>()})
}

/// An input ready for the box.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) mounts: Vec<Mount>,
    /// What the module is told of it.
    pub(crate) argument: Value,
}

/// An input being made.
pub(crate) struct Making<'a> {
    stage: &'a str,
    input: &'a Input,
    objects: &'a [Option<Object>],
    store: &'a Store,
    /// A directory of this stage on the store's file system.
    scratch: &'a Path,
    /// Where it appears in the box.
    target: PathBuf,
}

/// Makes an input. `scratch` is a directory of this stage on the store's file system.
pub(crate) fn ready(
    stage: &str,
    input: &Input,
    objects: &[Option<Object>],
    store: &Store,
    scratch: &Path,
) -> Result<Ready> {
    let making = Making {
        stage,
        input,
        objects,
        store,
        scratch,
        target: Path::new(ROOT).join(&input.name),
    };
    // names are checked by the manifest's schema only at their beginning
    if input.name.contains('/') || input.name == ".." {
        return Err(making.wrong("its name must be a plain one"));
    }
    // a source of a library directory may let others pass: they must not name files of the host
    let plain = |name: &String| !name.contains('/') && !matches!(name.as_str(), "" | "." | "..");
    if let Some((wrong, _)) = input.references.iter().find(|(name, _)| !plain(name)) {
        return Err(making.wrong(format!("the reference `{wrong}` is no checksum")));
    }
    match find(&input.kind) {
        Some(module) => (module.make)(&making),
        None => Err(making.wrong(format!("there is no input module {}", input.kind))),
    }
}

impl<'a> Making<'a> {
    /// It cannot be made.
    fn wrong(&self, message: impl std::fmt::Display) -> Error {
        Error::Unbuildable {
            stage: self.stage.to_owned(),
            message: format!("input {}: {message}", self.input.name),
        }
    }

    /// The tree of a pipeline; `None` is an empty one.
    fn tree(&self, index: usize) -> Option<&'a Object> {
        tree_of(self.objects, index)
    }

    /// Makes a directory for the input, which goes when the stage ends.
    fn directory(&self) -> Result<PathBuf> {
        let dir = self.scratch.join("inputs").join(&self.input.name);
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", &dir, e))?;
        Ok(dir)
    }

    /// The empty directory in the box that other mounts lie on.
    fn root(&self) -> Mount {
        Mount::Directory {
            target: self.target.clone(),
            mode: 0o755,
        }
    }
}

/// The read-only layers of an object.
pub(crate) fn layers_of(object: Option<&Object>) -> Layers {
    Layers {
        lower: object.map(Object::layers).unwrap_or_default(),
        changes: None,
        ..Layers::default()
    }
}

fn tree_of(objects: &[Option<Object>], index: usize) -> Option<&Object> {
    objects.get(index).and_then(Option::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_describes_itself() {
        assert!(INPUTS.is_sorted_by_key(|module| module.name));
        for module in INPUTS {
            let meta = meta(module.name).unwrap();
            assert!(!meta["summary"].as_str().unwrap().is_empty());
            assert!(!meta["description"].as_array().unwrap().is_empty());
            assert!(meta["schema_2"].is_object());
        }
        assert!(meta("org.osbuild.x").is_none());
    }
}
