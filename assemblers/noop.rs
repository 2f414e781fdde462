//! Assemble nothing.
//!
//! Leaves the output directory empty. Any option is taken.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Options of `org.osbuild.noop`: anything.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    #[serde(flatten)]
    _any: Map<String, Value>,
}

module::assembler! { file: "noop.rs", name: "org.osbuild.noop", options: Options, run: run }

fn run(_: Args<Options>) -> Result<()> {
    Ok(())
}
