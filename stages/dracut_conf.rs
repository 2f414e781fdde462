//! Write a piece of dracut's configuration.
//!
//! `config` becomes `/usr/lib/dracut/dracut.conf.d/FILENAME`, see dracut.conf(5): lists are added to what other files
//! say, all else is set.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::common::{self, InOrder, plain};

const DIR: &str = "usr/lib/dracut/dracut.conf.d";

/// Options of `org.osbuild.dracut.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// Its lines.
    config: InOrder<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)]
struct Config {
    /// How the image is compressed: `xz`, `zstd` or a command.
    compress: Option<String>,
    /// The only dracut modules to use.
    dracutmodules: Option<Vec<String>>,
    /// Dracut modules to use as well.
    add_dracutmodules: Option<Vec<String>>,
    /// Dracut modules not to use.
    omit_dracutmodules: Option<Vec<String>>,
    /// The only kernel modules to take in.
    drivers: Option<Vec<String>>,
    /// Kernel modules to take in as well.
    add_drivers: Option<Vec<String>>,
    /// Kernel modules not to take in.
    omit_drivers: Option<Vec<String>>,
    /// Kernel modules to take in and load early.
    force_drivers: Option<Vec<String>>,
    /// The only kernel modules of file systems to take in.
    filesystems: Option<Vec<String>>,
    /// Files to take in.
    install_items: Option<Vec<String>>,
    /// Files not to take in.
    remove_items: Option<Vec<String>>,
    /// Whether the processor's microcode is taken in.
    early_microcode: Option<bool>,
    /// Whether two runs make the same image.
    reproducible: Option<bool>,
}

module::stage! {
    file: "dracut_conf.rs", name: "org.osbuild.dracut.conf", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let options = &args.options;
    let line = |(name, value): (&str, &Value)| {
        let text = plain(value, ("no", "yes"), " ");
        match value {
            Value::Array(_) => format!("{name}+=\" {text} \"\n"),
            _ => format!("{name}=\"{text}\"\n"),
        }
    };
    let text: String = options.config.iter().map(line).collect();
    common::write_below(&args.tree, &format!("{DIR}/{}", options.filename), &text)
}
