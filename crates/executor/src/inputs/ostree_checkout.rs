//! The trees of OSTree commits.
//!
//! Each commit, from the source `org.osbuild.ostree` or from a tree made by `org.osbuild.ostree.commit`, is laid out in
//! a directory named by its checksum, with owners, modes and attributes; all times are 1970's.
//!
//! `data.refs` holds for each commit the `path` of its directory.

use sandbox::{Idmap, Mount, Source};
use serde_json::{Map, Value, json};
use tree::Tree;

use super::describe::closed;
use super::{InputModule, Making, Ready, commits};
use crate::Result;

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.ostree.checkout",
    text: include_str!("ostree_checkout.rs"),
    schema: || super::ostree::references(INPUT.name, &closed(&[], json!({})), json!({})),
    make,
};

fn make(making: &Making<'_>) -> Result<Ready> {
    let dir = making.directory()?;
    let root = Tree::open(&dir)?;
    let mut refs: Map<String, Value> = Map::new();
    for commit in commits::of(making)? {
        let name = commit.checksum.to_string();
        if refs.contains_key(&name) {
            continue;
        }
        root.mkdir(&name, 0o755)?;
        commit
            .archive
            .checkout(commit.checksum, &root.subtree(&name)?)
            .map_err(|e| commits::failed(making, &e))?;
        refs.insert(name.clone(), json!({"path": name}));
    }
    let bind = Mount::Bind {
        source: Source::at(dir),
        target: making.target.clone(),
        writable: false,
        idmap: Idmap::Required,
    };
    Ok(Ready {
        mounts: vec![bind],
        argument: json!({"path": making.target, "data": {"refs": refs}}),
    })
}
