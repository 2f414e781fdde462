//! Make the tree the root of OSTree deployments.
//!
//! `/ostree` with its repository, `/boot` and the directories that a booted system mounts over.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// `org.osbuild.ostree.init-fs` has no options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "ostree_init_fs.rs", name: "org.osbuild.ostree.init-fs", options: Options, run: run,
    needs: [FileCapabilities, Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let tree = args.tree.path();
    let sysroot = sysroot::option("sysroot", tree);
    sysroot::ostree(&["admin", "init-fs", "--modern", &tree.to_string_lossy(), &sysroot]).run()
}
