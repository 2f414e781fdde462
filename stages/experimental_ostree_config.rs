//! Configure experimental features of an OSTree repository.
//!
//! What is not given stays as it is. The settings may change with ostree.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sysroot;

/// Options of `org.osbuild.experimental.ostree.config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The repository.
    repo: String,
    /// What to set.
    #[serde(default)]
    config: Config,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// How the integrity of deployments is kept.
    integrity: Integrity,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Integrity {
    /// Whether deployments are composefs images.
    #[schemars(extend("enum" = ["true", "false", "maybe"]))]
    composefs: Option<String>,
}

module::stage! {
    file: "experimental_ostree_config.rs", name: "org.osbuild.experimental.ostree.config", options: Options, run: run,
    needs: [Tools],
    libraries: [sysroot::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let Some(composefs) = &args.options.config.integrity.composefs else {
        return Ok(());
    };
    let repo = sysroot::option("repo", &sysroot::below(args.tree.path(), &args.options.repo));
    sysroot::ostree(&["config", "set", "ex-integrity.composefs", composefs, &repo]).run()
}
