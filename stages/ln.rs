//! Make links.
//!
//! A symbolic link has `target` as its text. For a hard link, `target` is where the file lies in the tree or in a
//! mounted file system: a location (`tree:///…`, `mount://NAME/…`) or the path by which a stage sees it
//! (`/run/osbuild/tree/…`). What is to be made must not be there.

use std::path::Path;

use module::{Args, Context, Location, Result, Tree, anyhow, ensure};
use rustix::fs::{AtFlags, linkat};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where a stage sees the tree and the mounts.
const TREE: &str = "/run/osbuild/tree";
const MOUNTS: &str = "/run/osbuild/mounts";

/// Options of `org.osbuild.ln`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The links.
    #[schemars(length(min = 1))]
    paths: Vec<Link>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Link {
    /// What it leads to.
    target: String,
    /// Where it is made: `tree:///…` or `mount://NAME/…`.
    #[schemars(extend("oneOf" = [
        {"type": "string", "pattern": "^mount://[^/]+/"},
        {"type": "string", "pattern": "^tree://"},
    ]))]
    link_name: String,
    /// Make a symbolic link, not a hard one.
    #[serde(default)]
    symbolic: bool,
}

module::stage! {
    file: "ln.rs", name: "org.osbuild.ln", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
        "inputs": {"type": "object", "additionalProperties": true}
    },
}

fn run(args: Args<Options>) -> Result<()> {
    for link in &args.options.paths {
        let place = Location::parse(&link.link_name)?;
        let root = place.root(&args)?;
        if link.symbolic {
            root.symlink(&link.target, place.path())?;
        } else {
            let (from, path) = original(&args, &link.target)?;
            hard_link(&from, &path, &root, place.path())
                .with_context(|| format!("cannot link {} to {}", link.link_name, link.target))?;
        }
    }
    Ok(())
}

/// The tree that the target of a hard link lies in, and its path there.
fn original(args: &Args<Options>, target: &str) -> Result<(Tree, String)> {
    if target.contains("://") {
        let location = Location::parse(target)?;
        return Ok((location.root(args)?, location.path().to_owned()));
    }
    let below = |root: &Path| Path::new(target).strip_prefix(root).ok()?.to_str();
    let found = [
        (Path::new(TREE), args.tree.path()),
        (Path::new(MOUNTS), &args.mounts_root),
    ]
    .into_iter()
    .find_map(|(seen, root)| Some((root, below(seen).or_else(|| below(root))?)));
    let (root, path) = found.ok_or_else(|| {
        anyhow!(
            "`{target}` is neither in the tree nor in a mount: the target of a hard link is a location such as \
             tree:///{}",
            target.trim_start_matches('/')
        )
    })?;
    Ok((Tree::open(root)?, path.to_owned()))
}

fn hard_link(from: &Tree, original: &str, to: &Tree, path: &str) -> Result<()> {
    ensure!(
        from.exists(original),
        "/{} is not there",
        original.trim_start_matches('/')
    );
    let (from_dir, from_name) = from.parent_of(Path::new(original))?;
    let (to_dir, to_name) = to.parent_of(Path::new(path))?;
    Ok(linkat(from_dir, from_name, to_dir, to_name, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hard_links_are_made_by_location_and_by_the_stages_path() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("a", "1").unwrap();
        let link = |target: &str, name: &str| {
            let options = json!({"paths": [{"target": target, "link_name": name}]});
            (MODULE.run)(json!({"tree": dir.path(), "options": options}))
        };
        link("tree:///a", "tree:///b").unwrap();
        link("/run/osbuild/tree/a", "tree:///c").unwrap();
        tree.write("c", "2").unwrap();
        assert_eq!(tree.read_text("b").unwrap(), "2");
        let error = format!("{:#}", link("/a", "tree:///d").unwrap_err());
        assert!(error.contains("tree:///a"), "{error}");
        assert!(link("tree:///a", "tree:///b").is_err());
        assert!(link("/etc/hostname", "tree:///e").is_err());
    }
}
