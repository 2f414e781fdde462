//! Finish OSTree deployments that were copied to another file system.
//!
//! What copies do not carry over, such as seals, is made again, on what is mounted.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.post-copy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The system root, below the mounts.
    #[schemars(extend("pattern" = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    sysroot: Option<String>,
}

module::stage! {
    file: "ostree_post_copy.rs", name: "org.osbuild.ostree.post-copy", options: Options, run: run,
    takes: {
        "devices": {"type": "object", "additionalProperties": true},
        "mounts": {"type": "array"},
    },
    needs: [FileCapabilities, Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let path = args.options.sysroot.as_deref().unwrap_or_default();
    let sysroot = sysroot::option("sysroot", &sysroot::below(&args.mounts_root, path));
    sysroot::ostree(&["admin", "post-copy", &sysroot]).run()
}
