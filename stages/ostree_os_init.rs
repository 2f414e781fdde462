//! Make the state root of an operating system in the tree's `/ostree/deploy`.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.os-init`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    /// The operating system's name.
    osname: String,
}

module::stage! {
    file: "ostree_os_init.rs", name: "org.osbuild.ostree.os-init", options: Options, run: run,
    needs: [FileCapabilities, Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let sysroot = sysroot::option("sysroot", args.tree.path());
    sysroot::ostree(&["admin", "os-init", &args.options.osname, &sysroot]).run()
}
