//! Decompress a file that gzip compressed.
//!
//! The only file of the input `file` is decompressed to `path`.

use std::fs::File;

use module::{Args, Context, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.gunzip`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The decompressed file.
    path: String,
}

module::stage! {
    file: "gunzip.rs", name: "org.osbuild.gunzip", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {"file": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    let input = args.input("file")?.single_file().context("input `file`")?;
    let file = File::open(&input.path).with_context(|| format!("cannot open {}", input.name))?;
    let mut output = args.tree.create_file(&args.options.path)?;
    let copied = std::io::copy(&mut archive::decompress::gunzip(file), &mut output);
    copied.with_context(|| format!("cannot decompress {}", input.name))?;
    Ok(())
}
