//! Compress a file with gzip.
//!
//! The only file of the input `file` becomes `filename`, on all processors. The bytes depend on the content and the level
//! alone: neither name nor time is stored.

use archive::compress::Compression;
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;

/// Options of `org.osbuild.gzip`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The compressed file.
    filename: String,
    /// From 1, the fastest, to 9, the smallest.
    #[serde(default = "fastest")]
    #[schemars(range(min = 1, max = 9))]
    level: u32,
}

module::stage! {
    file: "gzip.rs", name: "org.osbuild.gzip", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {"file": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [artifacts::SOURCE, archive::SOURCE_DIGEST],
}

fn fastest() -> u32 {
    1
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    artifacts::compress(&args, &options.filename, Compression::Gzip, options.level)
}
