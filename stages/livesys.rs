//! Choose the desktop of a live image.
//!
//! Writes `livesys_session` to `/etc/sysconfig/livesys`, which the scripts of livesys-scripts read. The directory must
//! be in the tree.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/sysconfig/livesys";

/// Options of `org.osbuild.livesys`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The desktop, such as `gnome`.
    livesys_session: String,
}

module::stage! { file: "livesys.rs", name: "org.osbuild.livesys", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let text = format!("\nlivesys_session=\"{}\"\n", args.options.livesys_session);
    args.tree.write(FILE, text)?;
    args.tree.chown(FILE, Some(0), Some(0))?;
    Ok(args.tree.chmod(FILE, 0o644)?)
}
