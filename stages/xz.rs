//! Compress a file with xz.
//!
//! The only file of the input `file` becomes `filename`, at the fastest level, on all processors; the bytes do not depend
//! on how many there are.

use archive::compress::Compression;
use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts;

/// Options of `org.osbuild.xz`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The compressed file.
    filename: String,
}

module::stage! {
    file: "xz.rs", name: "org.osbuild.xz", options: Options, run: run,
    takes: {
        "inputs": {
            "type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {"file": {"type": "object", "additionalProperties": true}},
        },
    },
    needs: [Tools],
    libraries: [artifacts::SOURCE, archive::SOURCE_DIGEST],
}

fn run(args: Args<Options>) -> Result<()> {
    artifacts::compress(&args, &args.options.filename, Compression::Xz, 0)
}
