//! Files and directories that are not of packages: `mkdir`, `copy`, `chmod` and `chown` stages over inline data.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::blueprint::{Directory, File, Owner};

/// Inline data by digest, in base64.
pub type Inline = BTreeMap<String, String>;

/// Stages that make `directories` and then `files` in a tree.
pub fn stages(directories: &[Directory], files: &[File], inline: &mut Inline) -> Vec<Value> {
    let mut stages = Vec::new();
    let mut modes = Map::new();
    let mut owners = Map::new();
    let mut made = Vec::new();
    for dir in directories {
        made.push(json!({"path": dir.path, "parents": dir.ensure_parents, "exist_ok": true}));
        if let Some(mode) = dir.mode {
            modes.insert(dir.path.clone(), json!({"mode": mode.octal()}));
        }
        if dir.user.is_some() || dir.group.is_some() {
            owners.insert(dir.path.clone(), ownership(dir.user.as_ref(), dir.group.as_ref()));
        }
    }
    let listed: BTreeSet<&str> = directories.iter().map(|dir| dir.path.as_str()).collect();
    let parents: BTreeSet<&str> = files.iter().filter_map(|file| parent(&file.path)).collect();
    for parent in parents.difference(&listed) {
        made.push(json!({"path": parent, "parents": true, "exist_ok": true}));
    }
    if !made.is_empty() {
        stages.push(json!({"type": "org.osbuild.mkdir", "options": {"paths": made}}));
    }
    if !files.is_empty() {
        stages.push(copy(files, inline));
    }
    for file in files {
        let mode = file.mode.map_or_else(|| "0644".to_owned(), |mode| mode.octal());
        modes.insert(file.path.clone(), json!({"mode": mode}));
        owners.insert(
            file.path.clone(),
            ownership(file.user.as_ref(), file.group.as_ref()),
        );
    }
    // before chmod: changing the owner takes setuid bits away
    if !owners.is_empty() {
        stages.push(json!({"type": "org.osbuild.chown", "options": {"items": owners}}));
    }
    if !modes.is_empty() {
        stages.push(json!({"type": "org.osbuild.chmod", "options": {"items": modes}}));
    }
    stages
}

fn copy(files: &[File], inline: &mut Inline) -> Value {
    let mut references = BTreeSet::new();
    let mut paths = Vec::new();
    for file in files {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&file.data)));
        inline.insert(digest.clone(), STANDARD.encode(&file.data));
        paths.push(json!({
            "from": format!("input://files/{digest}"),
            "to": format!("tree://{}", file.path),
            "remove_destination": true,
        }));
        references.insert(digest);
    }
    json!({
        "type": "org.osbuild.copy",
        "inputs": {
            "files": {
                "type": "org.osbuild.files",
                "origin": "org.osbuild.source",
                "references": references,
            },
        },
        "options": {"paths": paths},
    })
}

/// The directory a file lies in, unless that is the root.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/')
        .map(|(parent, _)| parent)
        .filter(|parent| !parent.is_empty())
}

/// Both owners: files come out of a store, where they belong to whoever runs it.
fn ownership(user: Option<&Owner>, group: Option<&Owner>) -> Value {
    json!({"user": owner(user), "group": owner(group)})
}

fn owner(owner: Option<&Owner>) -> Value {
    match owner {
        None => json!(0),
        Some(Owner::Id(id)) => json!(id.0),
        Some(Owner::Name(name)) => json!(name),
    }
}
