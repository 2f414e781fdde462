//! Put a checksum into an ISO 9660 image, by which the installer checks its medium.
//!
//! Runs implantisomd5 of the build root on `filename`.

use module::{Args, Context, Result, Tool, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifacts::{self, ToolOutput};

/// Options of `org.osbuild.implantisomd5`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The image.
    filename: String,
}

module::stage! {
    file: "implantisomd5.rs", name: "org.osbuild.implantisomd5", options: Options, run: run,
    needs: [Tools],
    libraries: [artifacts::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let filename = &args.options.filename;
    ensure!(
        args.tree.is_file(filename),
        "options: filename: the tree has no file {filename}"
    );
    let image = ToolOutput::new(&args.tree, filename)?;
    Tool::new("implantisomd5")
        .dir(image.dir())
        .arg(image.name()?)
        .run()
        .with_context(|| format!("cannot change {filename}"))
}
