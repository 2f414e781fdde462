//! Change permission bits.
//!
//! Modes are octal (`0644`) or symbolic (`u+x,go-w`, `a=rX`, `+t`), with the meaning chmod(1) gives them: an octal mode
//! of up to four digits leaves a directory's set-id bits alone unless it sets them, and a symbolic mode without a "who"
//! heeds the umask 022. A path that is a link means what the link leads to in the tree; links met on the way down are
//! left alone.

mod mode;

use std::collections::BTreeMap;
use std::path::Path;

use module::{Args, Context, Result, Tree, anyhow};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Kind;

use crate::common::{self, Keyed, keys};
use mode::Mode;

/// Options of `org.osbuild.chmod`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Path of the tree → what to do there.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Item>", transform = keys(r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    items: Keyed<Item>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Item {
    /// The mode, octal or symbolic.
    mode: String,
    /// Change all that lies below as well.
    #[serde(default)]
    recursive: bool,
}

module::stage! {
    file: "chmod.rs", name: "org.osbuild.chmod", options: Options, run: run,
    libraries: [common::SOURCE, include_str!("chmod/mode.rs")],
}

fn run(args: Args<Options>) -> Result<()> {
    for (path, item) in args.options.items.iter() {
        let mode = Mode::parse(&item.mode).with_context(|| format!("options: items: {path}"))?;
        let stat = args
            .tree
            .stat_followed(path)?
            .ok_or_else(|| anyhow!("{path} is not in the tree"))?;
        change(&args.tree, Path::new(path), stat, &mode, item.recursive)?;
    }
    Ok(())
}

fn change(tree: &Tree, path: &Path, stat: tree::Stat, mode: &Mode, recursive: bool) -> Result<()> {
    let is_dir = stat.kind == Kind::Directory;
    let bits = mode.apply(stat.mode, is_dir);
    if bits != stat.mode {
        tree.chmod(path, bits)?;
    }
    if !(recursive && is_dir) {
        return Ok(());
    }
    for name in tree.list(path)? {
        let path = path.join(name);
        match tree.stat(&path)? {
            Some(stat) if stat.kind != Kind::Symlink => change(tree, &path, stat, mode, true)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_on_the_way_down_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        tree.mkdir("d", 0o755).unwrap();
        tree.write("d/f", "").unwrap();
        tree.write("other", "").unwrap();
        tree.symlink("../other", "d/inside").unwrap();
        tree.symlink(outside.path(), "d/outside").unwrap();
        let items = json!({"/d": {"mode": "go=", "recursive": true}});
        (MODULE.run)(json!({"tree": dir.path(), "options": {"items": items}})).unwrap();
        let mode = |path: &str| tree.stat(path).unwrap().unwrap().mode;
        assert_eq!((mode("d"), mode("d/f"), mode("other")), (0o700, 0o600, 0o644));
    }
}
