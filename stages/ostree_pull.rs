//! Take OSTree commits over into a repository of the tree.
//!
//! The commits are those of the input `commits`, by their refs where they have one.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.ostree.pull`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository.
    repo: String,
    /// The remote that the refs are taken to be of.
    remote: Option<String>,
}

module::stage! {
    file: "ostree_pull.rs", name: "org.osbuild.ostree.pull", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["commits"],
            "properties": {"commits": {"type": "object", "additionalProperties": true}},
        },
    },
    capabilities: ["CAP_MAC_ADMIN"],
    needs: [FileCapabilities, Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let repo = sysroot::below(args.tree.path(), &args.options.repo);
    let remote = args.options.remote.as_deref().filter(|remote| !remote.is_empty());
    sysroot::pull(args.input("commits")?, &repo, remote).map(drop)
}
