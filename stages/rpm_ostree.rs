//! Turn a tree of RPM packages into one that OSTree can commit, with `rpm-ostree compose postprocess`.
//!
//! Moves `/etc` to `/usr/etc`, the kernel and what was made for it to `/usr/lib/modules`, and the package database to
//! `/usr`; makes the initial RAM file system anew, and `/var` a matter of tmpfiles.d. `org.osbuild.ostree.preptree` does
//! more of it by itself.

use module::{Args, Result, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot::{self, Treefile};

/// Options of `org.osbuild.rpm-ostree`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Groups that stay in `/etc/group`, so that people can be added to them.
    etc_group_members: Vec<String>,
    /// Arguments for dracut.
    #[serde(rename = "initramfs-args")]
    initramfs_args: Vec<String>,
}

module::stage! {
    file: "rpm_ostree.rs", name: "org.osbuild.rpm-ostree", options: Options, run: run,
    capabilities: ["CAP_MAC_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"],
    needs: [Anything],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = args.options;
    // rpm-ostree empties or removes it, and must be told which
    let machine_id = args.tree.exists("etc/machine-id");
    let treefile = Treefile::default()
        .with("boot-location", "new")
        .with("machineid-compat", machine_id)
        .with("etc-group-members", options.etc_group_members)
        .with("initramfs-args", options.initramfs_args)
        .file()?;
    Tool::new("rpm-ostree")
        .args(["compose", "postprocess"])
        .arg(args.tree.path())
        .arg(treefile.path())
        .run()
}
