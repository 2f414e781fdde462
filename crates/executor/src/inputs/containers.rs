//! Container images.
//!
//! From sources: images that `org.osbuild.skopeo` fetched, named by their image id (the digest of the configuration), each
//! a directory in the format `dir`. From a pipeline: the first regular file, by name, in the root of its tree, an archive
//! in the format `oci-archive` as the stage of that name makes it.
//!
//! `data.archives` holds for each image, or archive, its `format` and the `name` that the reference's options give it.

use manifest::Origin;
use sandbox::overlay::Merged;
use sandbox::{Idmap, Mount, Source};
use serde_json::{Map, Value, json};
use tree::{Kind, Tree};

use super::describe::{closed, input, with_options};
use super::{InputModule, Making, Ready, layers_of};
use crate::Result;

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.containers",
    text: include_str!("containers.rs"),
    schema,
    make: |making| match making.input.origin {
        Origin::Source => sources(making),
        Origin::Pipeline => tree(making),
    },
};

fn schema() -> Value {
    let name = json!({"name": {"type": "string", "description": "The name of the image."}});
    let references = json!({"oneOf": with_options(&closed(&["name"], name))});
    input(
        INPUT.name,
        &["org.osbuild.source", "org.osbuild.pipeline"],
        references,
    )
}

fn sources(making: &Making<'_>) -> Result<Ready> {
    let cache = making.store.sources().join("org.osbuild.containers");
    let mut mounts = vec![making.root()];
    let mut archives = Map::new();
    for (id, options) in &making.input.references {
        let target = making.target.join(id);
        mounts.push(Mount::Bind {
            source: Source::at(cache.join(id).join("image")),
            target,
            writable: false,
            idmap: Idmap::Required,
        });
        archives.insert(
            id.clone(),
            json!({"format": "dir", "name": name(making, options)?}),
        );
    }
    Ok(Ready {
        mounts,
        argument: json!({"path": making.target, "data": {"archives": archives}}),
    })
}

fn tree(making: &Making<'_>) -> Result<Ready> {
    let ([(_, options)], [index]) = (&making.input.references[..], &making.input.pipelines[..]) else {
        let count = making.input.references.len();
        return Err(making.wrong(format!("it takes one pipeline, not {count}")));
    };
    let object = making.tree(*index);
    let file = match object {
        Some(object) => first_file(&Tree::open(Merged::open(&object.layers())?.path())?)?,
        None => None,
    };
    let file = file.ok_or_else(|| making.wrong("there is no file in the root of the tree"))?;
    let tree = Mount::Tree {
        layers: layers_of(object),
        target: making.target.clone(),
    };
    let archives = json!({file: {"format": "oci-archive", "name": name(making, options)?}});
    Ok(Ready {
        mounts: vec![making.root(), tree],
        argument: json!({"path": making.target, "data": {"archives": archives}}),
    })
}

fn first_file(tree: &Tree) -> Result<Option<String>> {
    let mut names = tree.list("")?;
    names.sort();
    for name in names {
        if tree.stat(&name)?.is_some_and(|stat| stat.kind == Kind::File) {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The name that a reference gives its image. Of a reference in a list the schema does not ask for it.
pub(super) fn name<'a>(making: &Making<'_>, options: &'a Value) -> Result<&'a str> {
    options["name"]
        .as_str()
        .ok_or_else(|| making.wrong("a reference to an image needs the option `name`"))
}
