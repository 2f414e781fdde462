//! A repository with OSTree commits.
//!
//! The stage is given an archive repository that holds just these commits, from the source `org.osbuild.ostree` or from
//! the tree of a pipeline with `compose.json` and `repo`, as `org.osbuild.ostree.commit` makes it. The option `ref` of a
//! reference makes a ref of that name for the commit.
//!
//! `data.refs` holds for each commit its options.

use ::ostree::Archive;
use sandbox::{Idmap, Mount, Source};
use serde_json::{Map, Value, json};
use tree::Tree;

use super::describe::{closed, input};
use super::{InputModule, Making, Ready, commits};
use crate::Result;

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.ostree",
    text: include_str!("ostree.rs"),
    schema,
    make,
};

fn schema() -> Value {
    let options = closed(
        &[],
        json!({"ref": {"type": "string", "description": "Make this ref for the commit."}}),
    );
    references(INPUT.name, &options, json!({"minItems": 1}))
}

/// The schema of an input of commits with these options each.
pub(super) fn references(name: &str, options: &Value, list: Value) -> Value {
    let mut list = list;
    list["type"] = "array".into();
    list["items"] = json!({"type": "string"});
    let [object, mut single] = super::describe::with_options(options);
    // the Python osbuild takes one in this form
    single["items"] = json!([single["items"]]);
    single["additionalItems"] = false.into();
    if list.get("minItems").is_some() {
        single["maxItems"] = 1.into();
    }
    let origins = ["org.osbuild.source", "org.osbuild.pipeline"];
    input(name, &origins, json!({"oneOf": [list, object, single]}))
}

fn make(making: &Making<'_>) -> Result<Ready> {
    let failed = |e| commits::failed(making, &e);
    let dir = making.directory()?;
    let repo = Archive::open_or_create(&Tree::open(&dir)?, "repo").map_err(failed)?;
    let mut refs = Map::new();
    for commit in commits::of(making)? {
        repo.take(&commit.archive, commit.checksum, commit.shared)
            .map_err(failed)?;
        if let Some(name) = commit.options["ref"].as_str().filter(|name| !name.is_empty()) {
            repo.set_ref(name, commit.checksum).map_err(failed)?;
        }
        refs.insert(commit.checksum.to_string(), commit.options.clone());
    }
    let bind = Mount::Bind {
        source: Source::at(dir),
        target: making.target.clone(),
        writable: false,
        idmap: Idmap::Required,
    };
    Ok(Ready {
        mounts: vec![bind],
        argument: json!({"path": making.target.join("repo"), "data": {"refs": refs}}),
    })
}
