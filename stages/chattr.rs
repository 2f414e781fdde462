//! Make files and directories immutable, or mutable again.
//!
//! As chattr(1) does with `+i` and `-i`, on the file or directory that a path leads to. What is as it should be already
//! is left alone. Only the machine's root may change the flag: where the sandbox's may not, that is an error.

use std::collections::BTreeMap;

use module::{Args, Context, Location, Result, Tree, bail, ensure};
use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tree::Kind;

use crate::common::{self, Keyed, keys};

/// Options of `org.osbuild.chattr`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Location, `tree:///…` or `mount://NAME/…` → what it shall be.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Item>", transform = keys("^mount://[^/]+/|^tree:///"))]
    items: Keyed<Item>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Item {
    /// Whether nobody may change, rename or remove it.
    immutable: bool,
}

module::stage! {
    file: "chattr.rs", name: "org.osbuild.chattr", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    capabilities: ["CAP_LINUX_IMMUTABLE"],
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    for (path, item) in args.options.items.iter() {
        let location = Location::parse(path)?;
        set(&location.root(&args)?, location.path(), item.immutable)
            .with_context(|| format!("options: items: {path}"))?;
    }
    Ok(())
}

fn set(tree: &Tree, path: &str, immutable: bool) -> Result<()> {
    let kind = tree.stat_followed(path)?.map(|stat| stat.kind);
    ensure!(kind.is_some(), "{path} is not there");
    ensure!(
        matches!(kind, Some(Kind::File | Kind::Directory)),
        "{path} is neither a file nor a directory"
    );
    let fd = tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
    let old = match ioctl_getflags(&fd) {
        Ok(flags) => flags,
        // a file system without flags has nothing immutable
        Err(Errno::NOTTY | Errno::OPNOTSUPP) if !immutable => return Ok(()),
        Err(error) => return Err(error).context("the file system keeps no such flag"),
    };
    let mut new = old;
    new.set(IFlags::IMMUTABLE, immutable);
    if new == old {
        return Ok(());
    }
    match ioctl_setflags(&fd, new) {
        Ok(()) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) => bail!(
            "only the machine's root may change the immutable flag, which the root of a sandbox is not: leave it to \
             the first boot (a unit that runs `chattr`), or run this stage where it is"
        ),
        Err(error) => Err(error).context("cannot change the flag"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_flag_is_set_and_cleared() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("f", "x").unwrap();
        tree.symlink("/f", "link").unwrap();
        let flip = |immutable: bool| {
            let options = json!({"items": {"tree:///link": {"immutable": immutable}}});
            (MODULE.run)(json!({"tree": dir.path(), "options": options}))
        };
        flip(false).unwrap();
        match flip(true) {
            Err(error) => eprintln!("skipped: {error:#}"),
            Ok(()) => {
                let refused = tree.write("f", "y").is_err();
                flip(false).unwrap();
                tree.write("f", "z").unwrap();
                assert!(refused);
            }
        }
    }

    #[test]
    fn what_has_no_flag_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let options = json!({"items": {"tree:///none": {"immutable": true}}});
        let error = (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap_err();
        assert!(format!("{error:#}").contains("/none is not there"), "{error:#}");
    }
}
