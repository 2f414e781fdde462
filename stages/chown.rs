//! Change owner and group.
//!
//! Names are those of the tree's own `/etc/passwd` and `/etc/group`; numbers are taken as they are. As chown(1) does
//! it: a path that is a link means what the link leads to in the tree, but with `recursive` the entry itself and all
//! below it are changed and no link is followed.

use std::collections::BTreeMap;
use std::path::Path;

use module::{Args, Context, Result, Tree, anyhow, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Kind;

use crate::common::{self, Keyed, Whole, keys};

/// Options of `org.osbuild.chown`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Path of the tree → what to do there.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Item>", transform = keys(r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    items: Keyed<Item>,
}

/// At least one of `user` and `group` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["user"]}, {"required": ["group"]}]))]
struct Item {
    /// Name or id of the new owner.
    #[serde(default)]
    #[schemars(with = "Owner", extend("oneOf" = [
        {"type": "string", "pattern": "^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$"},
        {"type": "number", "minimum": 0},
    ]))]
    user: Option<Owner>,
    /// Name or id of the new group.
    #[serde(default)]
    #[schemars(with = "Owner", extend("oneOf" = [
        {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,31}$"},
        {"type": "number", "minimum": 0},
    ]))]
    group: Option<Owner>,
    /// Change all that lies below as well.
    #[serde(default)]
    recursive: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(transform = any)]
enum Owner {
    Id(Whole),
    Name(String),
}

module::stage! {
    file: "chown.rs", name: "org.osbuild.chown", options: Options, run: run,
    libraries: [common::SOURCE],
}

/// The members say themselves what they take.
fn any(schema: &mut schemars::Schema) {
    schema.remove("anyOf");
}

fn run(args: Args<Options>) -> Result<()> {
    let tree = &args.tree;
    for (path, item) in args.options.items.iter() {
        let at = || format!("options: items: {path}");
        let user = item
            .user
            .as_ref()
            .map(|user| id(tree, "user", "etc/passwd", user));
        let group = item
            .group
            .as_ref()
            .map(|group| id(tree, "group", "etc/group", group));
        let (user, group) = (
            user.transpose().with_context(at)?,
            group.transpose().with_context(at)?,
        );
        if user.is_none() && group.is_none() {
            return Err(anyhow!("`user` or `group` is needed")).with_context(at);
        }
        if item.recursive {
            change_all(tree, Path::new(path), user, group)?;
        } else {
            change_followed(tree, path, user, group)?;
        }
    }
    Ok(())
}

/// The id of `owner` by `file` of the tree, whose third field is an id.
fn id(tree: &Tree, what: &str, file: &str, owner: &Owner) -> Result<u32> {
    let name = match owner {
        Owner::Id(id) => return Ok(id.0),
        Owner::Name(name) => name,
    };
    let text = if tree.exists(file) {
        tree.read_text(file)?
    } else {
        String::new()
    };
    for line in text.lines() {
        let mut fields = line.split(':');
        if fields.next() == Some(name)
            && let Some(Ok(id)) = fields.nth(1).map(str::parse)
        {
            return Ok(id);
        }
    }
    name.parse().map_err(|_| {
        anyhow!("there is no {what} `{name}` in /{file} of the tree: make it in an earlier stage")
    })
}

/// What `path` leads to.
fn change_followed(tree: &Tree, path: &str, user: Option<u32>, group: Option<u32>) -> Result<()> {
    use rustix::fs::{AtFlags, Gid, OFlags, Uid, chownat};
    if tree.stat_followed(path)?.is_none() {
        bail!("{path} is not in the tree");
    }
    let fd = tree.open_at(path, OFlags::PATH, 0)?;
    let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
    chownat(&fd, "", user, group, AtFlags::EMPTY_PATH).with_context(|| format!("cannot chown {path}"))
}

/// The entry `path` itself and all below it.
fn change_all(tree: &Tree, path: &Path, user: Option<u32>, group: Option<u32>) -> Result<()> {
    let Some(stat) = tree.stat(path)? else {
        bail!("{} is not in the tree", path.display());
    };
    if stat.kind == Kind::Directory {
        for name in tree.list(path)? {
            change_all(tree, &path.join(name), user, group)?;
        }
    }
    Ok(tree.chown(path, user, group)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_the_trees_and_links_are_not_followed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc").unwrap();
        tree.mkdir_all("d").unwrap();
        tree.write("etc/passwd", "root:x:7:7::/:/bin/sh\n").unwrap();
        tree.symlink(outside.path(), "d/link").unwrap();
        let items = json!({"/d": {"user": "root", "group": 9, "recursive": true}});
        (MODULE.run)(json!({"tree": dir.path(), "options": {"items": items}})).unwrap();
        for path in ["d", "d/link"] {
            let stat = tree.stat(path).unwrap().unwrap();
            assert_eq!((stat.uid, stat.gid), (7, 9), "{path}");
        }
        use std::os::unix::fs::MetadataExt;
        assert_eq!(outside.path().metadata().unwrap().uid(), 0);
    }
}
