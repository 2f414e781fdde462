//! Inputs: `org.osbuild.files` and `org.osbuild.tree`, made by the executor itself.

use std::path::{Path, PathBuf};

use manifest::{Input, Origin};
use sandbox::{Idmap, Layers, Mount, Part, Source};
use serde_json::{Map, Value, json};
use store::{Object, Store};

use crate::{Error, Result, saw};

/// The inputs there are.
pub(crate) const NAMES: [&str; 2] = ["org.osbuild.files", "org.osbuild.tree"];

/// Where inputs lie in the box.
const ROOT: &str = "/run/osbuild/inputs";

/// The `.meta.json` of an input.
pub(crate) fn meta(name: &str) -> Option<Value> {
    let references = json!({
        "oneOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "object"}},
            {"type": "array", "minItems": 1, "items": {
                "type": "object", "additionalProperties": false, "required": ["id"],
                "properties": {"id": {"type": "string"}, "options": {"type": "object"}},
            }},
        ],
    });
    let (summary, origins, options) = match name {
        "org.osbuild.files" => (
            "Files of sources, or single files of trees",
            json!(["org.osbuild.source", "org.osbuild.pipeline"]),
            true,
        ),
        "org.osbuild.tree" => ("The tree of a pipeline", json!(["org.osbuild.pipeline"]), true),
        _ => return None,
    };
    Some(json!({
        "summary": summary,
        "description": [],
        "schema_2": {
            "additionalProperties": false,
            "required": ["type", "origin", "references"],
            "properties": {
                "type": {"enum": [name]},
                "origin": {"type": "string", "enum": origins},
                "references": references,
                "options": {"type": "object", "additionalProperties": options},
            },
        },
    }))
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

/// Makes an input. `scratch` is a directory of this stage on the store's file system.
pub(crate) fn ready(
    stage: &str,
    input: &Input,
    objects: &[Option<Object>],
    store: &Store,
    scratch: &Path,
) -> Result<Ready> {
    let unbuildable = |message: String| Error::Unbuildable {
        stage: stage.to_owned(),
        message: format!("input {}: {message}", input.name),
    };
    // names are checked by the manifest's schema only at their beginning
    if input.name.contains('/') || input.name == ".." {
        return Err(unbuildable("its name must be a plain one".into()));
    }
    // a source of a library directory may let others pass: they must not name files of the host
    let plain = |name: &String| !name.contains('/') && !matches!(name.as_str(), "" | "." | "..");
    if let Some((wrong, _)) = input.references.iter().find(|(name, _)| !plain(name)) {
        return Err(unbuildable(format!("the reference `{wrong}` is no checksum")));
    }
    let target = Path::new(ROOT).join(&input.name);
    match (input.kind.as_str(), input.origin) {
        ("org.osbuild.files", Origin::Source) => source_files(input, store, scratch, &target),
        ("org.osbuild.files", Origin::Pipeline) => tree_files(input, objects, &target).map_err(unbuildable),
        ("org.osbuild.tree", _) => {
            let layers = match &input.pipelines[..] {
                [] => Layers::default(),
                [index] => layers_of(tree_of(objects, *index)),
                more => return Err(unbuildable(format!("it takes one tree, not {}", more.len()))),
            };
            let mounts = vec![
                Mount::Directory {
                    target: target.clone(),
                    mode: 0o755,
                },
                Mount::Tree {
                    layers,
                    target: target.clone(),
                },
            ];
            Ok(Ready {
                mounts,
                argument: json!({"path": target, "data": {}}),
            })
        }
        (kind, _) => Err(unbuildable(format!("there is no input module {kind}"))),
    }
}

/// The read-only layers of an object.
pub(crate) fn layers_of(object: Option<&Object>) -> Layers {
    Layers {
        lower: object.map(Object::layers).unwrap_or_default(),
        changes: None,
    }
}

fn tree_of(objects: &[Option<Object>], index: usize) -> Option<&Object> {
    objects.get(index).and_then(Option::as_ref)
}

/// Downloaded files under their checksums: names of the store's own files, in a directory that holds just these.
fn source_files(input: &Input, store: &Store, scratch: &Path, target: &Path) -> Result<Ready> {
    let cache = store.sources().join("org.osbuild.files");
    let dir = scratch.join("inputs").join(&input.name);
    std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", &dir, e))?;
    let mut files = Map::new();
    for (checksum, options) in &input.references {
        let file = cache.join(checksum);
        take(&file, &dir.join(checksum)).map_err(|e| Error::io("take the source", &file, e))?;
        files.insert(
            checksum.clone(),
            options.get("metadata").cloned().unwrap_or_else(|| json!({})),
        );
    }
    let bind = Mount::Bind {
        source: Source::at(dir),
        target: target.to_owned(),
        writable: false,
        idmap: Idmap::Required,
    };
    Ok(Ready {
        mounts: vec![bind],
        argument: json!({"path": target, "data": {"files": files}}),
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
fn tree_files(
    input: &Input,
    objects: &[Option<Object>],
    target: &Path,
) -> std::result::Result<Ready, String> {
    let mut mounts = vec![Mount::Directory {
        target: target.to_owned(),
        mode: 0o755,
    }];
    let mut files = Map::new();
    for ((_, options), index) in input.references.iter().zip(&input.pipelines) {
        let file = options
            .get("file")
            .and_then(Value::as_str)
            .ok_or("a reference to a pipeline needs the option `file`")?;
        let path = PathBuf::from(file.trim_start_matches('/'));
        let name = path
            .file_name()
            .ok_or_else(|| format!("`{file}` is not the path of a file"))?
            .to_owned();
        let part = Part {
            target: target.join(&name),
            path,
            optional: false,
        };
        mounts.push(Mount::TreeParts {
            layers: layers_of(tree_of(objects, *index)),
            parts: vec![part],
        });
        files.insert(
            name.to_string_lossy().into_owned(),
            options.get("metadata").cloned().unwrap_or_else(|| json!({})),
        );
    }
    Ok(Ready {
        mounts,
        argument: json!({"path": target, "data": {"files": files}}),
    })
}
