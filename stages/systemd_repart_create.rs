//! Make a disk image with systemd-repart(8), from the `repart.d` files of a tree.
//!
//! With `systemd-repart` of the build root; the tree is the input `root-tree`, also for `CopyFiles=`. UUIDs are derived from
//! `seed`, without one from the stage's id; `random` has them drawn by lot. File systems are made without loop devices, which
//! systemd can from version 254 on.

use module::{Args, Context, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::disk;

/// Options of `org.osbuild.systemd-repart.create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file of the tree that is made.
    path: String,
    /// Its size in bytes, with a suffix such as `G`, or `auto`.
    size: String,
    /// What the UUIDs are derived from: a UUID, or `random`.
    #[schemars(extend("default" = "random"))]
    seed: Option<String>,
    /// Bytes of a sector.
    #[serde(rename = "sector-size")]
    sector_size: Option<i64>,
    /// Leave out the partitions that a factory reset makes.
    #[serde(default, rename = "defer-partitions-factory-reset")]
    defer_partitions_factory_reset: bool,
    /// Write each partition to a file of its own as well.
    #[serde(default)]
    split: bool,
}

module::stage! {
    file: "systemd_repart_create.rs", name: "org.osbuild.systemd-repart.create", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["root-tree"],
            "properties": {"root-tree": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Anything],
    libraries: [disk::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let root = &args.input("root-tree")?.path;
    let path = options.path.trim_start_matches('/');
    let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
    // not through links of the tree
    let dir = args.tree.subtree(dir).with_context(|| format!("/{dir}"))?;
    let seed = options.seed.clone();
    let seed = seed.unwrap_or_else(|| disk::derived(&args, "systemd-repart").to_string());
    let mut tool = Tool::new("systemd-repart")
        .args(["--empty", "create", "--size", &options.size, "--root"])
        .arg(root)
        .args(["--seed", &seed])
        .arg(dir.path().join(name))
        .args(options.more());
    if let Some(epoch) = args.meta.source_epoch {
        tool = tool.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    tool.run()
}

impl Options {
    /// The words for what not every version knows.
    fn more(&self) -> Vec<String> {
        let sector = self.sector_size.filter(|size| *size != 0);
        let mut words: Vec<String> = Vec::new();
        if let Some(size) = sector {
            words.extend(["--sector-size".into(), size.to_string()]);
        }
        for (name, wanted) in [
            (
                "--defer-partitions-factory-reset",
                self.defer_partitions_factory_reset,
            ),
            ("--split", self.split),
        ] {
            if wanted {
                words.extend([name.into(), "yes".into()]);
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_disk_by_the_trees_definitions() {
        if Command::new("systemd-repart").arg("--version").output().is_err() {
            return println!("skipped: systemd-repart is not installed");
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib/repart.d")).unwrap();
        fs::write(
            root.join("usr/lib/repart.d/10-x.conf"),
            "[Partition]\nType=linux-generic\nLabel=data\nSizeMinBytes=10M\n",
        )
        .unwrap();
        let make = |name: &str| {
            let tree = dir.path().join(name);
            fs::create_dir(&tree).unwrap();
            (MODULE.run)(json!({
                "tree": tree, "options": {"path": "/disk.img", "size": "32M"}, "meta": {"id": "x"},
                "inputs": {"root-tree": {"path": root}},
            }))
            .unwrap();
            fs::read(tree.join("disk.img")).unwrap()
        };
        let one = make("one");
        assert!(one == make("two"));
        let image = image::SparseFile::open(fs::File::open(dir.path().join("one/disk.img")).unwrap());
        let found = image::partitions::read(&image.unwrap(), 0, 32 << 20, 512).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].size >= 10 << 20);
    }

    #[test]
    fn further_words_only_where_asked_for() {
        let words = |options| {
            let options: Options = serde_json::from_value(options).unwrap();
            options.more().join(" ")
        };
        assert_eq!(words(json!({"path": "a", "size": "1G", "split": false})), "");
        assert_eq!(
            words(json!({"path": "a", "size": "1G", "split": true, "sector-size": 4096})),
            "--sector-size 4096 --split yes"
        );
    }
}
