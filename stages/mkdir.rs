//! Make directories.
//!
//! Each one in turn, in the tree or, with `mount://NAME/…`, in a mounted file system. The mode is cut by the umask 022
//! that stages run with: to give others the right to write, use `org.osbuild.chmod`.

use std::path::{Component, Path};

use module::{Args, Location, Result, Tree, bail, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, Whole};

const UMASK: u32 = 0o022;
/// The mode bits that mkdir(2) heeds.
const MKDIR_BITS: u32 = 0o1777;

/// Options of `org.osbuild.mkdir`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The directories.
    #[serde(default)]
    paths: Vec<Entry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The directory: a path of the tree, `tree:///…` or `mount://NAME/…`.
    #[schemars(extend("anyOf" = [
        {"type": "string", "pattern": "^\\/?(?!\\.\\.)((?!\\/\\.\\.\\/).)+$"},
        {"type": "string", "pattern": "^mount://.+"},
        {"type": "string", "pattern": "^tree://.+"},
    ]))]
    path: String,
    /// The permission bits as a number (0755 is 493); 0777 unless given.
    #[serde(default)]
    #[schemars(with = "Whole")]
    mode: Option<Whole>,
    /// Make the directories on the way too, with mode 0755.
    #[serde(default)]
    parents: bool,
    /// Take a directory that is there already, as it is.
    #[serde(default)]
    exist_ok: bool,
}

module::stage! {
    file: "mkdir.rs", name: "org.osbuild.mkdir", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    for entry in &args.options.paths {
        let location = Location::parse(&entry.path)?;
        let path = Path::new(location.path());
        ensure!(
            !path.components().any(|part| part == Component::ParentDir),
            "{}: a path must not contain `..`",
            entry.path
        );
        make(&location.root(&args)?, path, entry)?;
    }
    Ok(())
}

fn make(tree: &Tree, path: &Path, entry: &Entry) -> Result<()> {
    if tree.exists(path) {
        if !entry.exist_ok {
            bail!(
                "{} is there already: set `exist_ok` if that is as it should be",
                entry.path
            );
        }
        ensure!(
            tree.is_dir(path),
            "{} is there and is not a directory",
            entry.path
        );
        return Ok(());
    }
    if entry.parents
        && let Some(parent) = path.parent()
    {
        tree.mkdir_all(parent)?;
    }
    let mode = entry.mode.map_or(0o777, |mode| mode.0);
    Ok(tree.mkdir(path, mode & MKDIR_BITS & !UMASK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mkdir(dir: &Path, path: Value) -> Result<()> {
        (MODULE.run)(json!({"tree": dir, "options": {"paths": [path]}}))
    }

    #[test]
    fn parents_have_the_usual_mode() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        mkdir(
            dir.path(),
            json!({"path": "/a/b/c", "parents": true, "mode": 0o1700}),
        )
        .unwrap();
        assert_eq!(tree.stat("a/b").unwrap().unwrap().mode, 0o755);
        assert_eq!(tree.stat("a/b/c").unwrap().unwrap().mode, 0o1700);
        assert!(mkdir(dir.path(), json!({"path": "/x/y"})).is_err());
    }

    #[test]
    fn nothing_is_made_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.symlink(outside.path(), "link").unwrap();
        assert!(mkdir(dir.path(), json!({"path": "/link/x"})).is_err());
        assert!(mkdir(dir.path(), json!({"path": "/a/../../x", "parents": true})).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
