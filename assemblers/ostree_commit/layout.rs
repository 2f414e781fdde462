//! The top level of an OSTree deployment.

use module::Result;
use ostree::Node;

use super::var::Var;

/// Directories that a deployment mounts something on, or keeps empty.
const EMPTY: &[&str] = &["dev", "proc", "run", "sys", "sysroot", "var"];

/// Links to where a deployment keeps what changes, and the place below `/var` where it starts from.
const LINKS: &[(&str, &str, Option<&str>)] = &[
    ("home", "var/home", Some("home")),
    ("media", "run/media", None),
    ("mnt", "var/mnt", Some("mnt")),
    ("opt", "var/opt", Some("opt")),
    ("ostree", "sysroot/ostree", None),
    ("root", "var/roothome", Some("roothome")),
    ("srv", "var/srv", Some("srv")),
];

/// Package databases: they belong to the deployment, not to the machine.
const DATABASES: &[(&str, &str)] = &[
    ("lib/dpkg", "usr/lib/sysimage/dpkg"),
    ("lib/rpm", "usr/share/rpm"),
];

/// Rearranges the tree `root`.
pub fn convert(root: &mut Node, tmp_is_dir: bool) -> Result<()> {
    if let Some(etc) = root.take("etc") {
        module::ensure!(
            root.get("usr/etc").is_none(),
            "the tree has both /etc and /usr/etc: it must have one of them"
        );
        root.put("usr/etc", etc)?;
    }
    let mut var = Var::new(root.take("var"));
    for (name, target, moved) in LINKS {
        let old = root.take(name);
        if let (Some(old @ Node::Directory { .. }), Some(moved)) = (old, moved) {
            var.adopt(moved, old)?;
        }
        root.put(name, Node::symlink(target))?;
    }
    for (from, to) in DATABASES {
        if let Some(database @ Node::Directory { .. }) = var.take(from) {
            if root.get(to).is_none() {
                root.put(to, database)?;
            }
            var.link(from, to)?;
        }
    }
    for name in EMPTY {
        root.take(name);
        root.put(name, Node::directory(0o755))?;
    }
    root.take("tmp");
    match tmp_is_dir {
        true => root.put("tmp", Node::directory(0o1777))?,
        false => root.put("tmp", Node::symlink("sysroot/tmp"))?,
    }
    var.commit(root)
}
