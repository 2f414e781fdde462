//! Do nothing.
//!
//! Prints its options and inputs and leaves the tree as it is. Any option is taken.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Options of `org.osbuild.noop`: anything.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Options {
    #[serde(flatten)]
    any: Map<String, Value>,
}

module::stage! {
    file: "noop.rs", name: "org.osbuild.noop", options: Options, run: run,
    takes: {"inputs": {"type": "object", "additionalProperties": true}},
}

fn run(args: Args<Options>) -> Result<()> {
    println!(
        "Not doing anything with these options: {}",
        Value::Object(args.options.any)
    );
    for (name, input) in &args.inputs {
        println!("Not doing anything with this input: {name}: {}", input.data);
    }
    Ok(())
}
