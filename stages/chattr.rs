//! Make files and directories immutable, or mutable again.
//!
//! As chattr(1) does with `+i` and `-i`, on the file or directory that a path leads to. What is as it should be already
//! is left alone.
//!
//! In a tree, and in a file system that our stages make, the flag is kept as data: nothing is locked while the image is built,
//! it goes along with renames and copies, counts in the tree's digest, and no archive or image has it as an attribute. An ext4
//! file system made of the tree has it, and so has a tree that root exports with its owners to a file system with flags; other
//! file systems and archives leave it out. In a file system that the kernel has mounted only the machine's root may set it.

use std::collections::BTreeMap;

use module::{Args, Context, Location, Result, Tree, bail, ensure};
use rustix::fs::{IFlags, OFlags, fstat, fstatfs, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tree::{Kind, flags};

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

/// `OVERLAYFS_SUPER_MAGIC` (linux/magic.h).
const OVERLAY: u64 = 0x794c_7630;

fn run(args: Args<Options>) -> Result<()> {
    for (path, item) in args.options.items.iter() {
        let location = Location::parse(path)?;
        let root = location.root(&args)?;
        let is_kept = is_of_the_store(&args.tree, &root)?;
        set(&root, location.path(), item.immutable, is_kept)
            .with_context(|| format!("options: items: {path}"))?;
    }
    Ok(())
}

/// Whether `root` is a tree of the store, and not what the kernel mounted: an overlay, or on the file system of the tree.
fn is_of_the_store(tree: &Tree, root: &Tree) -> Result<bool> {
    let device = |tree: &Tree| fstat(tree.fd()).map(|stat| stat.st_dev);
    let is_overlay = fstatfs(root.fd())?.f_type as u64 == OVERLAY;
    Ok(is_overlay || device(tree)? == device(root)?)
}

fn set(tree: &Tree, path: &str, immutable: bool, is_kept: bool) -> Result<()> {
    let kind = tree.stat_followed(path)?.map(|stat| stat.kind);
    ensure!(kind.is_some(), "{path} is not there");
    ensure!(
        matches!(kind, Some(Kind::File | Kind::Directory)),
        "{path} is neither a file nor a directory"
    );
    let fd = tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
    if is_kept {
        let wanted = match immutable {
            true => IFlags::IMMUTABLE,
            false => IFlags::empty(),
        };
        return Ok(flags::keep(fd, wanted, path.as_ref())?);
    }
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
            "the kernel has mounted it, and only the machine's root may change the immutable flag, which the root of a \
             sandbox is not: make and mount the file system with our own stages, or leave the flag to the first boot"
        ),
        Err(error) => Err(error).context("cannot change the flag"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tree::walk::walk;

    fn kept(tree: &Tree, name: &str) -> IFlags {
        let mut found = IFlags::empty();
        walk(tree, &mut |entry| {
            if entry.path.as_os_str() == name {
                found = entry.attributes_and_flags()?.1;
            }
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn the_flag_is_kept_and_forgotten() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("f", "x").unwrap();
        tree.symlink("/f", "link").unwrap();
        let flip = |immutable: bool| {
            let options = json!({"items": {"tree:///link": {"immutable": immutable}}});
            (MODULE.run)(json!({"tree": dir.path(), "options": options}))
        };
        flip(false).unwrap();
        for _ in 0..2 {
            flip(true).unwrap();
            assert_eq!(kept(&tree, "f"), IFlags::IMMUTABLE);
        }
        // whoever builds can still change it
        tree.write("f", "y").unwrap();
        flip(false).unwrap();
        assert_eq!(kept(&tree, "f"), IFlags::empty());
    }

    #[test]
    fn what_has_no_flag_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let options = json!({"items": {"tree:///none": {"immutable": true}}});
        let error = (MODULE.run)(json!({"tree": dir.path(), "options": options})).unwrap_err();
        assert!(format!("{error:#}").contains("/none is not there"), "{error:#}");
    }
}
