//! Files of sources, or single files of trees.
//!
//! Files of sources lie under their checksums; one of a tree (`options.file` of the reference) under its last name, also
//! where that is a link to it.
//! `options.metadata` of a reference is passed on to the stage, as `data.files.NAME`.

use std::path::{Path, PathBuf};

use manifest::Origin;
use sandbox::{Idmap, Mount, Part, Source};
use serde_json::{Map, Value, json};

use super::{InputModule, Making, Ready, layers_of};
use crate::{Error, Result};

/// This file as an input.
pub(super) static INPUT: InputModule = InputModule {
    name: "org.osbuild.files",
    text: include_str!("files.rs"),
    schema,
    make: |making| match making.input.origin {
        Origin::Source => sources(making),
        Origin::Pipeline => trees(making),
    },
};

fn schema() -> Value {
    json!({
        "additionalProperties": false,
        "required": ["type", "origin", "references"],
        "properties": {
            "type": {"enum": [INPUT.name]},
            "origin": {"type": "string", "enum": ["org.osbuild.source", "org.osbuild.pipeline"]},
            "references": {
                "oneOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": {"type": "object"}},
                    {"type": "array", "minItems": 1, "items": {
                        "type": "object", "additionalProperties": false, "required": ["id"],
                        "properties": {"id": {"type": "string"}, "options": {"type": "object"}},
                    }},
                ],
            },
            "options": {"type": "object", "additionalProperties": true},
        },
    })
}

/// Downloaded files under their checksums: names of the store's own files, in a directory that holds just these.
fn sources(making: &Making<'_>) -> Result<Ready> {
    let cache = making.store.sources().join("org.osbuild.files");
    let dir = making.directory()?;
    let mut files = Map::new();
    for (checksum, options) in &making.input.references {
        let file = cache.join(checksum);
        take(&file, &dir.join(checksum)).map_err(|e| Error::io("take the source", &file, e))?;
        files.insert(checksum.clone(), metadata(options));
    }
    let bind = Mount::Bind {
        source: Source::at(dir),
        target: making.target.clone(),
        writable: false,
        idmap: Idmap::Required,
    };
    Ok(Ready {
        mounts: vec![bind],
        argument: json!({"path": making.target, "data": {"files": files}}),
    })
}

/// Makes `name` a name of the source `file`, as if it had been made just now.
///
/// A stage that copies it would else carry the moment of the download into the tree, or the mode and owner that a
/// caller's umask gave it. What happened during the stage counts as the source epoch, or not at all.
fn take(file: &Path, name: &Path) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let metadata = file.metadata()?;
    let ours = (metadata.uid(), metadata.gid())
        == (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
    if !ours || std::fs::hard_link(file, name).is_err() {
        // another file system, or somebody else's file
        std::fs::copy(file, name)?;
    }
    std::fs::set_permissions(name, std::fs::Permissions::from_mode(0o644))?;
    Ok(utimensat(CWD, name, &times, AtFlags::empty())?)
}

/// Single files of trees (`options.file`), under their last names.
fn trees(making: &Making<'_>) -> Result<Ready> {
    let mut mounts = vec![making.root()];
    let mut files = Map::new();
    for ((_, options), index) in making.input.references.iter().zip(&making.input.pipelines) {
        let file = options
            .get("file")
            .and_then(Value::as_str)
            .ok_or_else(|| making.wrong("a reference to a pipeline needs the option `file`"))?;
        let path = PathBuf::from(file.trim_start_matches('/'));
        let name = path
            .file_name()
            .ok_or_else(|| making.wrong(format!("`{file}` is not the path of a file")))?
            .to_owned();
        let part = Part {
            target: making.target.join(&name),
            path,
            optional: false,
        };
        mounts.push(Mount::TreeParts {
            layers: layers_of(making.tree(*index)),
            parts: vec![part],
        });
        files.insert(name.to_string_lossy().into_owned(), metadata(options));
    }
    Ok(Ready {
        mounts,
        argument: json!({"path": making.target, "data": {"files": files}}),
    })
}

fn metadata(options: &Value) -> Value {
    options.get("metadata").cloned().unwrap_or_else(|| json!({}))
}
