//! Make subvolumes in a mounted btrfs file system.
//!
//! With `btrfs` of the build root. Directories on the way are made where they are not there: by the stage itself, since
//! not every `btrfs` can.

use std::path::{Component, Path, PathBuf};

use module::{Args, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.btrfs.subvol`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The subvolumes.
    #[serde(default)]
    subvolumes: Vec<Subvolume>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Subvolume {
    /// Its path below all mounts.
    name: String,
}

module::stage! {
    file: "btrfs_subvol.rs", name: "org.osbuild.btrfs.subvol", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    needs: [Anything],
}

fn run(args: Args<Options>) -> Result<()> {
    let root = Tree::open(&args.mounts_root)?;
    for subvolume in &args.options.subvolumes {
        let path = plain(&subvolume.name)?;
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            root.mkdir_all(parent)?;
        }
        let made = Tool::new("btrfs")
            .args(["subvolume", "create"])
            .arg(root.path().join(&path))
            .run();
        made.with_context(|| format!("cannot make the subvolume `{}`", subvolume.name))?;
    }
    Ok(())
}

/// The path without a root; none that leads upwards.
fn plain(name: &str) -> Result<PathBuf> {
    let path: PathBuf = Path::new(name.trim_start_matches('/')).components().collect();
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(
        is_plain && path != Path::new(""),
        "a subvolume cannot have the name `{name}`"
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_below_the_mounts() {
        assert_eq!(plain("/home//x").unwrap(), Path::new("home/x"));
        for name in ["", "/", "../x", "a/.."] {
            assert!(plain(name).is_err(), "{name}");
        }
    }
}
