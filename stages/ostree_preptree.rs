//! Lay a tree out as an OSTree commit wants it.
//!
//! `/etc` goes to `/usr/etc`; `/home`, `/opt`, `/srv`, `/mnt`, `/root`, `/media` and `/ostree` become links, and a
//! `/home` that is not empty goes to `/var/home`; then `rpm-ostree compose postprocess` does the rest, such as moving the
//! kernel and making the initramfs.
//!
//! Where the build root has no rpm-ostree, as on Debian, the rest is done here: kernels go with the initial RAM file
//! systems that are there to `/usr/lib/modules`, `/usr/local` becomes a link to `/var/usrlocal`, and what lies below
//! `/var` is made by `tmpfiles.d` when the system starts, apart from files, which are left out. `/etc/passwd` and
//! `/etc/group` stay as they are, and there are no arguments for dracut.

mod postprocess;

use std::ffi::OsStr;
use std::path::Path;

use module::{Args, Context, Result, Tool, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot::{self, Treefile};

/// Options of `org.osbuild.ostree.preptree`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Groups whose members stay in `/etc/group`.
    etc_group_members: Vec<String>,
    /// Arguments for dracut.
    #[serde(rename = "initramfs-args")]
    initramfs_args: Vec<String>,
    /// Whether `/tmp` is a directory, and not a link to `sysroot/tmp`.
    #[serde(rename = "tmp-is-dir")]
    tmp_is_dir: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            etc_group_members: Vec::new(),
            initramfs_args: Vec::new(),
            tmp_is_dir: true,
        }
    }
}

module::stage! {
    file: "ostree_preptree.rs", name: "org.osbuild.ostree.preptree", options: Options, run: run,
    capabilities: ["CAP_MAC_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"],
    needs: [Anything],
    libraries: [sysroot::SOURCE, include_str!("ostree_preptree/postprocess.rs")],
}

/// Of rpm-ostree, `rust/src/composepost.rs`.
const DIRECTORIES: [&str; 6] = ["dev", "proc", "run", "sys", "sysroot", "var"];
const LINKS: [(&str, &str); 7] = [
    ("home", "var/home"),
    ("media", "run/media"),
    ("mnt", "var/mnt"),
    ("opt", "var/opt"),
    ("ostree", "sysroot/ostree"),
    ("root", "var/roothome"),
    ("srv", "var/srv"),
];
/// What a merged `/usr` has as links, and others as directories.
const PROGRAMS: [&str; 5] = ["bin", "lib", "lib32", "lib64", "sbin"];

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    // rpm-ostree empties or removes it, and must be told which
    let machine_id = args.tree.exists("etc/machine-id");
    args.tree.rename("etc", "usr/etc")?;
    rearrange(&args.tree, options.tmp_is_dir)?;
    if !sysroot::has_rpm_ostree() {
        ensure!(
            options.initramfs_args.is_empty(),
            "`initramfs-args`: they need rpm-ostree in the build root"
        );
        return postprocess::run(&args.tree);
    }
    let treefile = Treefile::default()
        .with("boot-location", "new")
        .with("machineid-compat", machine_id)
        .with("etc-group-members", options.etc_group_members.clone())
        .with("initramfs-args", options.initramfs_args.clone())
        .file()?;
    Tool::new("rpm-ostree")
        .args(["compose", "postprocess"])
        .arg(args.tree.path())
        .arg(treefile.path())
        .run()
}

/// Moves everything aside, makes the new root, and moves back what belongs there.
fn rearrange(tree: &Tree, tmp_is_dir: bool) -> Result<()> {
    let aside = tempfile::Builder::new()
        .prefix(".preptree-")
        .tempdir_in(tree.path())
        .context("cannot make a directory in the tree")?;
    let old = Path::new(aside.path().file_name().unwrap_or(OsStr::new("")));
    for name in tree.list("")? {
        if Path::new(&name) != old {
            tree.rename(&name, old.join(&name))?;
        }
    }
    tree.chmod("", 0o755)?;
    for name in DIRECTORIES {
        tree.mkdir(name, 0o755)?;
    }
    for (name, target) in LINKS {
        tree.symlink(target, name)?;
    }
    match tmp_is_dir {
        true => tree.mkdir("tmp", 0o1777)?,
        false => tree.symlink("sysroot/tmp", "tmp")?,
    }
    tree.remove_all("var")?;
    for name in ["usr", "boot", "var"] {
        tree.rename(old.join(name), name)?;
    }
    let home = old.join("home");
    if tree.is_dir(&home) && !tree.list(&home)?.is_empty() {
        tree.rename(home, "var/home")?;
    }
    for name in PROGRAMS {
        if tree.stat(old.join(name))?.is_some() {
            tree.rename(old.join(name), name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_a_commit() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in [
            "usr/bin",
            "usr/etc",
            "boot/grub",
            "var/log",
            "home/ada",
            "opt/old",
            "tmp",
        ] {
            tree.mkdir_all(path).unwrap();
        }
        tree.symlink("usr/bin", "bin").unwrap();
        rearrange(&tree, false).unwrap();
        let mut names = tree.list("").unwrap();
        names.sort();
        let expected = [
            "bin", "boot", "dev", "home", "media", "mnt", "opt", "ostree", "proc", "root", "run", "srv",
            "sys", "sysroot", "tmp", "usr", "var",
        ];
        assert_eq!(names, expected.map(std::ffi::OsString::from));
        assert!(tree.is_dir("var/home/ada") && tree.is_dir("var/log") && tree.is_dir("boot/grub"));
        assert_eq!(tree.read_link("tmp").unwrap(), Path::new("sysroot/tmp"));
        assert_eq!(tree.read_link("opt").unwrap(), Path::new("var/opt"));
    }
}
