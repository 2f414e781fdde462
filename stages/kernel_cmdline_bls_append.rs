//! Append kernel arguments to all boot entries.
//!
//! To the first line `options` of each `loader/entries/*.conf`, which is added where there is none. No entry at all is
//! an error.

use module::{Args, Location, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;

/// Options of `org.osbuild.kernel-cmdline.bls-append`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The arguments.
    kernel_opts: Vec<String>,
    /// Where `/boot` is: `tree:///…` or `mount:///…`.
    #[serde(default = "boot")]
    #[schemars(regex(pattern = "^(mount|tree):///"))]
    bootpath: String,
}

module::stage! {
    file: "kernel_cmdline_bls_append.rs", name: "org.osbuild.kernel-cmdline.bls-append", options: Options, run: run,
    takes: {"devices": {"type": "object", "additionalProperties": true}, "mounts": {"type": "array"}},
    libraries: [common::SOURCE],
}

fn boot() -> String {
    "tree:///boot".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let boot = Location::parse(&args.options.bootpath)?;
    common::append_kernel_arguments(&boot.root(&args)?, boot.path(), &args.options.kernel_opts)
}
