//! Make what bootupd updates boot loaders from, out of `/usr/lib/ostree-boot`.
//!
//! The tree's own `bootupctl` looks up which packages the boot loaders came in, and moves their files to
//! `/usr/lib/bootupd/updates`.

use module::{Args, Chroot, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.bootupd.gen-metadata`: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

module::stage! {
    file: "bootupd_gen_metadata.rs", name: "org.osbuild.bootupd.gen-metadata", options: Options, run: run,
    needs: [Chroot],
}

fn run(args: Args<Options>) -> Result<()> {
    let program = "/usr/bin/bootupctl";
    ensure!(
        args.tree.is_file(program),
        "{program} is not in the tree: install bootupd before this stage"
    );
    let chroot = Chroot::with_kernel_only(&args.tree)?;
    chroot
        .tool(program)
        .args(["backend", "generate-update-metadata", "/"])
        .run()
}
